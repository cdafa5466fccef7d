"""Artillery's scripts for Socket.IO as conversations: what their authors meant, step by step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sioload.errors import UsageError
from sioload.importing import settings
from sioload.importing.amounts import is_count, jittered, pause_of, weight_of
from sioload.importing.answers import judge_emit, name_unread
from sioload.importing.confiding import Secrets, confide_answer, confide_variables, confided, shown
from sioload.importing.conversation import (
    At,
    Connect,
    Conversation,
    Emit,
    Function,
    Kind,
    Log,
    Loop,
    Made,
    Note,
    Request,
    Step,
    Stop,
    Task,
    Think,
    Value,
    Variable,
    records_in,
    steps_of,
)
from sioload.importing.fields import listed, mapping, text_of
from sioload.importing.layout import said
from sioload.importing.loads import take_load
from sioload.importing.origins import accounts
from sioload.importing.requests import METHODS, request_of
from sioload.importing.settings import Files
from sioload.importing.statements import used_early, values_in, variables_in
from sioload.importing.summary import steps_told
from sioload.importing.templates import Templates, nothing_at
from sioload.importing.yamltext import read_yaml
from sioload.plain import Json
from sioload.socketio.codec import RESERVED

#: Steps, in Artillery's order, and the keys that are read beside each (beside an emit: `answers`).
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "loop": ("count", "over", "whileTrue", "loopValue", "loopElement"),
    "emit": (),
    "think": ("jitter",),
    **dict.fromkeys(("function", "log", "parallel", *METHODS), ()),
}
_ENGINES: Final = ("socketio", "socketio-v3", "http")


def read_script(
    data: bytes, name: str, files: Files, environment: str = "", pace: float = 1.0
) -> Conversation:
    """The conversation of a script.

    Args:
        data: its YAML.
        name: of its file.
        files: gives the content of a payload file, or says why not.
        environment: which of `config.environments`.
        pace: think times are multiplied by it.

    Raises:
        UsageError: it is no script, or not one for Socket.IO; one line.
    """
    whole = read_yaml(data, name)
    if not isinstance(whole, dict) or not isinstance(whole.get("scenarios"), list):
        raise UsageError(
            f"{name}: neither a recording (HAR) nor an Artillery script: it has no list of scenarios; "
            "export a recording that was cut off again, as HAR with content"
        )
    return _Script(whole, name, files, environment, pace).conversation()


class _Script:
    def __init__(
        self, whole: Mapping[str, Json], name: str, files: Files, environment: str, pace: float
    ) -> None:
        self._whole = whole
        self._pace = pace
        self._left: dict[str, None] = {}
        self._functions: dict[str, str] = {}
        self._templates = Templates(environment, self._leave)
        self._config = settings.config_of(whole, environment, name)
        self._made = Conversation(f"{name}, a script of Artillery", settings.host_of(self._config, name))
        settings.take_data(self._config, self._made, self._templates, files, self._leave)
        self._loops = 0
        self._path = settings.path_of_target(self._config)
        self._columns = Secrets()
        while any(feed.name == self._columns.feed for feed in self._made.feeds):
            self._columns.feed += "_of_script"

    def _leave(self, what: str) -> None:
        """Something isn't translated."""
        self._left.setdefault(said(what, 200))

    def conversation(self) -> Conversation:
        """All of it."""
        made = self._made
        for key in self._whole:
            if key not in ("config", "scenarios"):
                once = "steps that run once for a test: a listener of Locust's test_start is the place"
                self._leave(f"{said(key, 40)}: {once if key in ('before', 'after') else 'not translated'}")
        for number, raw in enumerate(self._whole["scenarios"], 1):
            where = f"scenario {number}"
            settings.name_misshapen({where: raw}, {where: dict}, "", self._leave)
            kind = self._scenario(raw, number) if isinstance(raw, dict) else None
            if kind is not None:
                made.kinds.append(kind)
        if not made.kinds:
            why = "; ".join(each for each in self._left if each[:9] == "scenario ") or "its list is empty"
            raise UsageError(f"{made.source}: no scenario that can be translated: {said(why, 150)}")
        take_load(self._config, made, self._leave)
        if self._columns:
            made.feeds.append(accounts(self._columns, self._columns.feed))
        self._unset()
        made.left_out += list(self._left)
        self._tell()
        return made

    def _unset(self) -> None:
        """Names that nothing of a scenario sets before it asks for them: some function of JavaScript may."""
        for kind in self._made.kinds:
            steps = [step for body in _bodies(kind) for step in body]
            names = variables_in(kind.options) | used_early(steps)
            for name in sorted(names - self._made.variables.keys()):
                records = records_in([kind.options, values_in(steps)])
                paths = [at.path for at in records if isinstance(at, At) and at.value == Variable(name)]
                self._made.variables[name] = [nothing_at(paths)]
                self._leave(
                    f"{{{{ {name} }}}}: nothing sets it before it is used (a function?); it is an empty text"
                )

    def _tell(self) -> None:
        made, tell = self._made, self._made.understood.append
        for kind in made.kinds:
            weight = f", weight {kind.weight}" if kind.weight != 1 else ""
            tell(f"scenario {said(kind.name, 60)}{weight}: {steps_told([*kind.start, *kind.tasks[0].steps])}")
        if made.phases:
            tell(f"phases: {said(made.phases, 120)}")
        tell(f"rows of data: {', '.join(said(feed.file, 60) for feed in made.feeds) or 'none'}")
        if made.checks:
            tell(f"checks: {len(made.checks)}, in checks.toml")
        if self._columns:
            tell(f"secrets: {', '.join(self._columns)}; {made.feeds[-1].file} has them, so keep it safe")

    # Scenarios.

    def _scenario(self, raw: Mapping[str, Json], number: int) -> Kind | None:
        name = text_of(raw.get("name")) or (f"user {number}" if number > 1 else "user")
        where = f"scenario {said(name, 40)}"
        engine = text_of(raw.get("engine")) or text_of(self._config.get("engine")) or "http"
        if engine not in _ENGINES:
            self._leave(f"{where}: the engine {said(engine, 30)} isn't one of {', '.join(_ENGINES)}")
            return None
        weight = weight_of(raw.get("weight", 1), f"{where}: weight", self._leave)
        if weight < 1:
            return None
        self._functions = {}
        kind = Kind(name[:60], weight=weight)
        settings.name_misshapen(raw, {"flow": list, "socketio": dict}, f"{where}: ", self._leave)
        for key in raw:
            if key in ("beforeScenario", "afterScenario", "beforeRequest", "afterResponse"):
                self._leave(f"{where}: {key} {said(str(raw[key]), 60)} (JavaScript)")
            elif key not in ("name", "engine", "weight", "flow", "socketio"):
                self._leave(f"{where}: {said(key, 40)}")
        names = dict(self._templates.names)
        flow = listed(raw.get("flow"))
        first, before = settings.connect_step(flow), []
        if first is not None:
            before = self._steps(flow[:first])
            if any(isinstance(step, Emit) for step in steps_of(before)):
                first, before = None, []  # it comes too late
        opened = Connect([])
        if first is not None:
            opened = settings.opened_by(flow[first], self._templates, self._columns, self._leave)
        steps = self._steps(flow if first is None else flow[first + 1 :])
        given = settings.connection_options(
            self._config, mapping(raw.get("socketio")), self._templates, self._columns, self._leave
        )
        kind.options, auth = given
        self._templates.names = names  # what one scenario captures is nothing to the next
        emits = any(isinstance(step, Emit) for step in steps_of(steps))
        if engine == "http" and not emits:
            self._leave(f"{where}: its users open a session too, which Artillery's don't")
        if engine != "http" or emits or auth is not None or first is not None:
            opened.namespaces = list(self._namespaces(steps))
            opened.auth = auth if opened.auth is None else opened.auth
            kind.start = [*before, opened]
        phased = bool(self._config.get("phases"))
        if phased:
            steps = [Stop(again=True), *steps, Stop()]
        kind.tasks = [Task(name[:60], steps or [Note("The scenario has no steps."), Think(1.0)])]
        kind.wait = (0.0, 0.0) if phased else (1.0, 1.0)
        kind.stubs = self._functions
        values: list[Value] = [*map(values_in, _bodies(kind)), kind.options]
        values.append(confide_variables(variables_in(values), self._made, self._columns))
        asked = {getattr(record, "feed", "") for record in records_in(values)}
        kind.feeds = [feed.name for feed in self._made.feeds if feed.name in asked and not feed.whole]
        kind.feeds += [self._columns.feed] if self._columns.feed in asked else []
        return kind

    def _steps(self, raw: Json) -> list[Step]:
        found: list[Step] = []
        for each in listed(raw):
            if isinstance(each, list):  # one of YAML's aliases, for steps that several flows share
                found += self._steps(each)
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
            return self._steps(raw["parallel"])
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
        if name not in self._functions:
            self._functions[name] = f"{name}, a function of the script's processor, which isn't translated"
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
        self._loops += 1
        loop = Loop([], name=f"loop {self._loops}")
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
        loop.steps = self._steps(raw["loop"])
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

    # Emits.

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

    def _namespaces(self, steps: list[Step]) -> list[str]:
        """Those that the steps use, and that of the target itself, which Artillery always opens."""
        return sorted({self._namespace("/"), *(s.namespace for s in steps_of(steps) if isinstance(s, Emit))})


def _bodies(kind: Kind) -> list[list[Step]]:
    return [kind.start, *(task.steps for task in kind.tasks)]
