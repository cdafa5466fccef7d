"""What an Artillery script asks of answers, and what it keeps of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final, Literal

from sioload.importing.confiding import shown
from sioload.importing.conversation import FIRST, LAST, Capture, Emit, Match, Path, Request, Variable
from sioload.importing.expressions import ANY
from sioload.importing.fields import mapping, text_of
from sioload.importing.layout import said
from sioload.importing.settings import Leave
from sioload.importing.templates import Templates, json_path
from sioload.plain import Json

#: How a part of an answer is found where it isn't by JSONPath.
_OTHERWISE: Final = {"regexp", "header", "xpath", "selector"}
#: Keys of a step that emits, of what it emits, and of what it says of an answer.
_STEP: Final = ("emit", "namespace", "response", "acknowledge")
_EMIT: Final = ("channel", "data", *_STEP[1:])
_ANSWER: Final = ("on", "channel", "data", "args", "match", "capture")


def name_unread(step: Emit, raw: Mapping[str, Json], leave: Leave) -> None:
    """What a step that emits says, and nothing reads."""
    where = f"emit {said(step.event, 40)}: "
    inner = mapping(raw["emit"])
    for place, box, known in (("", raw, _STEP), ("emit.", inner, _EMIT)):
        for key in box:
            if key not in known:
                leave(f"{where}{place}{said(key, 40)}")
    for key in ("response", "acknowledge"):
        answer = raw.get(key, inner.get(key))
        for part in mapping(answer):
            if part not in _ANSWER:
                leave(f"{where}{key}.{said(part, 40)}")
        if not isinstance(answer, dict | bool | None):
            leave(f"{where}{key} {said(str(answer), 40)}: it says neither `data` nor `match` or the like")
        elif key == "response" and answer and step.how != "reply":
            leave(f"{where}{key} {shown(answer)}: it names no event (`on`)")


def judge_emit(step: Emit, answer: Mapping[str, Json], templates: Templates, leave: Leave) -> None:
    """`args`, `data`, `match` and `capture` of an emit's acknowledge or response."""
    acked = step.how == "call"
    wanted = answer.get("args", answer.get("data"))
    compared: Literal["==", "in"] = "in" if isinstance(wanted, str) else "=="
    if wanted is not None and not acked:
        step.where = Match((), templates.value(wanted), compared)
    elif isinstance(wanted, list):
        step.matches.append(Match((), templates.value(wanted), "all"))
    elif wanted is not None:
        step.matches.append(Match((LAST,), templates.value(wanted), compared))
    where = f"emit {said(step.event, 40)}"
    _take(step, answer, "$.0" if acked else "$", templates, partial(_said, leave, where))


def judge_request(
    step: Request, answer: Mapping[str, Json], where: str, templates: Templates, leave: Leave
) -> None:
    """`match` and `capture` of an HTTP request."""
    _take(step, answer, "$", templates, partial(_said, leave, where))


def _said(leave: Leave, where: str, what: str, spec: Mapping[str, Json]) -> None:
    leave(f"{where}: {what} {shown(dict(spec))}")


def _take(
    step: Emit | Request, answer: Mapping[str, Json], whole: str, templates: Templates, left: partial[None]
) -> None:
    listed = isinstance(step, Emit)
    several = _several(answer)
    for spec in _specs(answer.get("match")):
        path = None if spec.keys() & _OTHERWISE else _path(spec, whole, listed, several)
        if path is None or ANY in path or "value" not in spec:
            left("match", spec)
        else:
            value = templates.value(spec["value"])
            every = listed and spec.get("json") == "$" and isinstance(value, list)  # all arguments
            step.matches.append(Match(path, value, "all" if every else "=="))
    for spec in _specs(answer.get("capture")):
        name = text_of(spec.get("as"))
        capture = _capture(name, spec, _path(spec, whole, listed, several), listed)
        arguments = listed and spec.get("json") == "$"  # the list of all
        if capture is None or not name or arguments:
            left("capture", spec)
            continue
        step.captures.append(capture)
        templates.names[name] = Variable(name)
        if spec.get("strict") is False:
            left("a capture that finds nothing fails, in spite of", spec)


def _capture(name: str, spec: Mapping[str, Json], path: Path | None, listed: bool) -> Capture | None:
    """What is kept under a name; None for what can't be translated."""
    if not spec.keys() & _OTHERWISE:
        return Capture(name, path) if path is not None else None
    return None if listed else _text_capture(name, spec)


def _several(answer: Mapping[str, Json]) -> bool | None:
    """Whether the answer to an emit has more than one argument; None where the script doesn't tell."""
    wanted = answer.get("args", answer.get("data"))
    if isinstance(wanted, list) and wanted:
        return len(wanted) > 1
    paths = [json_path(spec.get("json")) for key in ("match", "capture") for spec in _specs(answer.get(key))]
    return any(isinstance(path[0], int) and path[0] > 0 for path in paths if path) or None


def _path(spec: Mapping[str, Json], whole: str, listed: bool, several: bool | None) -> Path | None:
    """JSONPath as places in an answer.

    That of an emit is on the list of its arguments, and an answer of one argument is that argument.
    """
    path = json_path(spec.get("json", whole))
    if path is None or not listed or several or path[:1] != (0,):
        return None if listed and path is not None and path[:1] == (ANY,) else path
    return path[1:] if several is False else (FIRST, *path[1:])


def _text_capture(name: str, spec: Mapping[str, Json]) -> Capture | None:
    """From a header, or by a regular expression."""
    if "header" in spec:
        return Capture(name, header=text_of(spec["header"]))
    if "regexp" not in spec:
        return None
    group = spec.get("group", 0)
    try:
        flags = "".join(flag for flag in "ims" if flag in text_of(spec.get("flags")))
        pattern = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", text_of(spec["regexp"])[:1000])
        found = re.compile((f"(?{flags})" if flags else "") + pattern)
    except (re.error, OverflowError, RecursionError):
        return None
    known = group in found.groupindex if isinstance(group, str) else group in range(found.groups + 1)
    return Capture(name, pattern=found.pattern, group=group) if known else None


def _specs(given: Json) -> Iterator[Mapping[str, Json]]:
    for each in given if isinstance(given, list) else [given]:
        if each is not None:
            yield mapping(each)
