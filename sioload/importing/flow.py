"""The flow of an Artillery scenario as steps of a conversation: emits, requests, pauses and loops."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sioload.importing import settings
from sioload.importing.amounts import is_count, jittered, pause_of
from sioload.importing.answers import judge_emit, name_unread
from sioload.importing.confiding import Secrets, confide_answer, confided, shown
from sioload.importing.conversation import (
    Conversation,
    Emit,
    Function,
    Log,
    Loop,
    Made,
    Note,
    Request,
    Step,
    Think,
    Value,
    steps_of,
)
from sioload.importing.fields import listed, mapping, text_of
from sioload.importing.layout import said
from sioload.importing.requests import METHODS, request_of
from sioload.importing.settings import Leave
from sioload.importing.templates import Templates
from sioload.plain import Json
from sioload.socketio.codec import RESERVED

#: Steps, in Artillery's order, and the keys that are read beside each (beside an emit: `answers`).
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "loop": ("count", "over", "whileTrue", "loopValue", "loopElement"),
    "emit": (),
    "think": ("jitter",),
    **dict.fromkeys(("function", "log", "parallel", *METHODS), ()),
}


class Flow:
    """Reads the flow of one scenario.

    Attributes:
        stubs: name to what is told of each function of the script's own that a step calls.
    """

    def __init__(
        self,
        config: Mapping[str, Json],
        made: Conversation,
        templates: Templates,
        columns: Secrets,
        leave: Leave,
        loops: Iterator[int],
        pace: float,
    ) -> None:
        """
        Args:
            config: of the script.
            made: what is made of it.
            templates: what names stand for; what steps capture is added.
            columns: secrets of the script, which are added.
            leave: hears what isn't translated.
            loops: numbers of the script's loops.
            pace: think times are multiplied by it.
        """
        self._config = config
        self._made = made
        self._templates = templates
        self._columns = columns
        self._leave = leave
        self._loops = loops
        self._pace = pace
        self._path = settings.path_of_target(config)
        self.stubs: dict[str, str] = {}

    def steps(self, raw: Json) -> list[Step]:
        """The steps of a flow, or of a loop in it."""
        found: list[Step] = []
        for each in listed(raw):
            if isinstance(each, list):  # one of YAML's aliases, for steps that several flows share
                found += self.steps(each)
            elif isinstance(each, dict):
                found += self._step(each)
            elif each is not None:
                found += self._senseless(f"step {said(str(each), 60)}")
        return found

    def _step(self, raw: Mapping[str, Json]) -> list[Step]:
        kind = next((key for key in _KINDS if key in raw), "emit")
        for key in raw if kind != "emit" else ():
            if key not in (kind, *_KINDS[kind]):
                what = "" if isinstance(raw[kind], list | dict) else f" {said(shown(raw[kind]), 40)}"
                self._leave(f"{kind}{what}: {said(key, 40)} {shown(raw[key])}")
        if "loop" in raw:
            return self._loop(raw)
        if "emit" in raw:
            return self._emit(raw)
        if "think" in raw:
            return self._think(raw)
        if "function" in raw:
            return [self._function(text_of(raw["function"]))]
        if "log" in raw:
            return [Log(self._own(raw["log"]))]
        if "parallel" in raw:
            self._leave("parallel: its steps are done one after the other")
            return self.steps(raw["parallel"])
        if kind in METHODS:
            asked = raw[kind]  # Artillery itself refuses a text, but what is meant is plain
            raw = {"url": asked} if isinstance(asked, str) else mapping(asked)
            known = (self._config, self._made, self._templates, self._columns, self._leave)
            return [request_of(kind, raw, *known)]
        for key in raw:
            made = "connections are made at the start, as config.socketio says"
            given = f" ({said(', '.join(mapping(raw[key])), 60)})" if mapping(raw[key]) else ""
            why = made if key in ("connect", "namespace") else "not translated"
            self._leave(f"step {said(key, 40)}{given}: {why}")
        return [Note(f"{said(', '.join(raw), 60)}: not translated")] if raw else []

    def _senseless(self, what: str) -> list[Step]:
        """A step that Artillery itself refuses."""
        self._leave(what)
        return [Note(f"{what}: not translated")]

    def _function(self, name: str) -> Step:
        if name not in self.stubs:
            self.stubs[name] = f"{name}, a function of the script's processor, which isn't translated"
            self._leave(f"function {said(name, 60)} (JavaScript): write its method, which is empty")
        return Function(name)

    def _think(self, raw: Mapping[str, Json]) -> list[Step]:
        written = f"think {said(str(raw['think']), 40)}"
        pause = pause_of(raw["think"], self._templates, self._made)
        if pause is None:
            self._leave(f"{written}: one second instead")
            pause = Think(1.0)
        jitter = raw.get("jitter", mapping(mapping(self._config.get("defaults")).get("think")).get("jitter"))
        pause = Think(pause.seconds * self._pace, pause.most * self._pace, pause.value)
        if jitter is not None and (pause.most or pause.value):
            self._leave(f"{written}: jitter {said(str(jitter), 40)}")
        elif jitter is not None and pause.seconds:
            around = jittered(pause.seconds, str(jitter).strip())
            if not re.fullmatch(r"\s*[\d.]+(ms|%)?\s*", str(jitter)):
                odd = "; Artillery takes its number for milliseconds" if around else ""
                self._leave(f"{written}: jitter {said(str(jitter), 40)}{odd}")
            pause = around or pause
        return [pause] if pause.seconds or pause.most else []

    def _loop(self, raw: Mapping[str, Json]) -> list[Step]:
        if not isinstance(raw["loop"], list):
            return self._senseless(f"loop {shown(raw['loop'])}: no list of steps")
        names = self._templates.names
        loop = Loop([], name=f"loop {next(self._loops)}")
        turn = text_of(raw.get("loopValue")) or "$loopCount"
        element = text_of(raw.get("loopElement")) or "$loopElement"
        over = raw.get("over")
        if isinstance(over, str):
            loop.over = self._templates.value(over if "{{" in over else f"{{{{ {over} }}}}")
        elif isinstance(over, list):
            loop.over = self._templates.value(over)
        count = raw.get("count")
        before: list[Step] = []
        if loop.over is None:
            before = self._count(loop, count)
        if "whileTrue" in raw:
            self._leave(
                f"loop whileTrue {said(str(raw['whileTrue']), 60)} (JavaScript): the loop has one turn"
            )
            before, loop.count = [Note(f"Repeat while {said(str(raw['whileTrue']), 60)} says so.")], 1
        kept = dict(names)
        names[turn] = Made("count", name=loop.name)
        names[element] = Made("element", name=loop.name)
        loop.steps = self.steps(raw["loop"])
        takes_time = any(isinstance(step, Emit | Request | Think) for step in steps_of(loop.steps))
        if loop.count is None and loop.over is None and not takes_time:
            self._leave("a loop without a count: no step of it takes time, so it has one turn")
            loop.count = 1
        self._templates.names = {
            **self._templates.names,
            **{key: kept.get(key, names[key]) for key in (turn, element)},
        }
        for key in (turn, element):
            if key not in kept:
                self._templates.names.pop(key)
        return [*before, loop]

    def _count(self, loop: Loop, count: Json) -> list[Step]:
        text = str(count).strip()
        span = re.fullmatch(r"(\d{1,9})\s*-\s*(\d{1,9})", text)
        if span is not None:
            loop.first, loop.count = int(span[1]), max(0, int(span[2]) - int(span[1]))
        elif re.fullmatch(r"\d{1,9}(?:\.0)?", text):
            loop.count = int(float(text))
        elif is_count(meant := self._templates.value(count), self._templates, self._made):
            loop.count = meant
        elif count is not None and text != "-1":
            self._leave(f"loop count {said(text, 40)}: the loop has one turn")
            loop.count = 1
            return [Note(f"The count of this loop is {said(text, 40)}.")]
        return []

    def _own(self, given: Json, key: str = "") -> Value:
        """A value that is sent; the script has no secrets."""
        return confided(self._templates.value(given), self._columns, key)

    def _emit(self, raw: Mapping[str, Json]) -> list[Step]:
        given = raw["emit"]
        if isinstance(given, str):  # Artillery itself refuses a text, but what is meant is plain
            given = {"channel": given, **{key: raw[key] for key in raw if key == "data"}}
            raw = {key: raw[key] for key in raw if key != "data"}
        if isinstance(given, list):
            event, args = (given[0], list(given[1:])) if given else ("", [])
        else:
            box = mapping(given)
            event = box.get("channel", "")
            args = [box["data"]] if "data" in box else []
        if event in ("", None):
            return self._senseless(f"emit {shown(given)}: no channel")
        if str(event) in RESERVED:
            return self._senseless(f"emit {event}: a name of Socket.IO's own, which no client may emit")
        namespace = text_of(raw.get("namespace", mapping(given).get("namespace"))) or "/"
        step = Emit(str(event), [self._own(arg) for arg in args], self._namespace(namespace))
        response = mapping(raw.get("response", mapping(given).get("response")))
        acknowledge = raw.get("acknowledge", mapping(given).get("acknowledge"))
        reply = text_of(response.get("on")) or text_of(response.get("channel"))
        answer: Mapping[str, Json] = {}
        if reply:
            step.how, step.reply, answer = "reply", reply, response
        elif acknowledge is not None and acknowledge is not False:
            step.how, answer = "call", mapping(acknowledge)
        if reply and acknowledge:
            self._leave(f"emit {said(step.event, 40)}: of response and acknowledge, the first")
        named = self._templates.text(step.event)
        if isinstance(named, str):
            step.event = named
        else:
            step.asked = settings.written(named)
        for what, text in (("event", reply), ("namespace", step.namespace)):
            if "{{" in text:
                self._leave(f"{what} {said(text, 60)}: names of {what}s are taken as they are written")
        name_unread(step, raw, self._leave)
        judge_emit(step, answer, self._templates, self._leave)
        confide_answer(step, self._columns)
        return [step]

    def _namespace(self, given: str) -> str:
        """Behind the target's path."""
        whole = given if given.startswith("/") else f"/{given}"
        return (self._path if whole == "/" else self._path + whole) or "/"

    def namespaces(self, steps: list[Step]) -> list[str]:
        """Those that the steps use, and that of the target itself, which Artillery always opens."""
        return sorted({self._namespace("/"), *(s.namespace for s in steps_of(steps) if isinstance(s, Emit))})
