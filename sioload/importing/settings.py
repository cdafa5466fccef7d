"""The configuration of an Artillery script: where it goes, its data, and the options of its connections."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Final
from urllib.parse import unquote, urlsplit

from sioload.errors import UsageError
from sioload.importing.amounts import number_of, seconds_of_time
from sioload.importing.calls import origin
from sioload.importing.confiding import Secrets, confided, shown
from sioload.importing.conversation import (
    At,
    Column,
    Connect,
    Conversation,
    Feed,
    Joined,
    Made,
    Value,
    Variable,
)
from sioload.importing.fields import listed, mapping, text_of
from sioload.importing.layout import said
from sioload.importing.names import Names
from sioload.importing.statements import personal, variables_in
from sioload.importing.templates import Templates
from sioload.plain import Json

#: Notes, in words, what isn't translated.
Leave = Callable[[str], None]
#: Gives the content of a payload file by its path; a text says why it can't be had.
Files = Callable[[str], bytes | str]


_OPTIONS: Final = {
    "path": "path",
    "transports": "transports",
    "extraHeaders": "headers",
    "reconnection": "reconnection",
    "reconnectionAttempts": "reconnection_attempts",
    "randomizationFactor": "randomization_factor",
}
_MILLISECONDS: Final = {
    "timeout": "connect_timeout",
    "reconnectionDelay": "reconnection_delay",
    "reconnectionDelayMax": "reconnection_delay_max",
    "ackTimeout": "ack_timeout",
}
_TAKEN: Final = frozenset(
    ("target", "phases", "payload", "variables", "environments", "processor", "socketio", "engine",
     "engines", "timeout", "tls", "ensure", "defaults", "plugins", "http")
)  # fmt: skip
#: What has to be a list, and what an object.
_SHAPES: Final = {
    **dict.fromkeys(
        ("variables", "environments", "socketio", "engines", "tls", "defaults", "http", "plugins"), dict
    ),
    "phases": list,
    "payload": list | dict,
    "ensure": dict,
}
_PAYLOAD: Final = frozenset(
    ("path", "fields", "order", "skipHeader", "delimiter", "cast", "skipEmptyLines", "loadAll", "name")
)
#: Options of the reader of CSV that Artillery uses, which stand for what has a name of its own.
_READER: Final = {"delimiter": "delimiter", "cast": "cast", "skip_empty_lines": "skipEmptyLines"}


def config_of(whole: Mapping[str, Json], environment: str, name: str) -> Mapping[str, Json]:
    """The configuration with what an environment says otherwise."""
    config = mapping(whole.get("config"))
    environments = mapping(config.get("environments"))
    if environment and environment not in environments:
        known = ", ".join(said(each, 30) for each in environments) or "none"
        raise UsageError(f"{name}: no environment {environment!r} (it has: {known})")
    if not environment:
        return config
    others = {each: value for each, value in environments.items() if each != environment}
    return {**_merged(config, mapping(environments[environment])), "environments": others}


def name_misshapen(
    box: Mapping[str, Json], shapes: Mapping[str, type | UnionType], where: str, leave: Leave
) -> None:
    """Name what isn't a list or an object, as it has to be, and so isn't read."""
    for key, shape in shapes.items():
        if box.get(key) is not None and not isinstance(box[key], shape):
            kind = "list" if shape is list else "object"
            leave(f"{where}{key}: no {kind}, so nothing of it is taken")


def _merged(one: Json, other: Json) -> Json:
    """The second value, over what the first has beside it: by key, and in lists by place."""
    if isinstance(one, list) and isinstance(other, list):
        both = [_merged(*pair) for pair in zip(one, other, strict=False)]
        return [*both, *(one if len(one) > len(other) else other)[len(both) :]]
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
    return other


def host_of(config: Mapping[str, Json], name: str) -> str:
    """The server's address."""
    target = text_of(config.get("target"))
    try:
        url = urlsplit(target)
        good = url.scheme in ("http", "https", "ws", "wss") and bool(url.hostname) and (url.port or 1)
    except ValueError:
        good = False
    if not good or any(char <= " " for char in target):
        hint = "(a target in an environment: -e NAME)"
        if "{{" in target:
            hint = "before a test runs: write the server's URL there, --host can name another"
        raise UsageError(f"{name}: config.target {said(target, 60)!r} is no URL {hint}")
    return origin(url)


def path_of_target(config: Mapping[str, Json]) -> str:
    """What Artillery puts before each namespace, and before the paths of requests."""
    path = urlsplit(text_of(config.get("target"))).path.rstrip("/")
    return "" if path == "/socket.io" else path


# Data.


def take_data(
    config: Mapping[str, Json],
    made: Conversation,
    templates: Templates,
    files: Files,
    leave: Leave,
) -> None:
    """Variables and payload files: what a template's name stands for."""
    templates.names["target"] = made.host + path_of_target(config)
    for code, own in ("$uuid", "user uuid"), ("$testId", "test id"):
        made.variables[own] = [Made("uuid")]
        templates.names[code] = Variable(own)
    given = mapping(config.get("variables"))
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        meant = [templates.value(each) for each in values]
        if variables_in(meant):
            leave(f"config.variables.{said(name, 40)}: what its template asks for is known only later")
            meant = values
        made.variables[name] = meant or [""]
    names = Names()
    payload = config.get("payload")
    for raw in payload if isinstance(payload, list) else [payload]:
        if isinstance(raw, dict):
            _payload(raw, made, templates, files, names, leave)
    for name in given:  # only now: none of them knows another, and each goes before a column of its name
        templates.names[name] = Variable(name)
    name_misshapen(config, _SHAPES, "config.", leave)
    if urlsplit(text_of(config.get("target"))).username is not None:
        leave("config.target: the name and password in its URL")
    for key in config:
        if key == "plugins":
            for plugin in mapping(config["plugins"]):
                if plugin != "ensure":
                    leave(f"config.plugins.{said(plugin, 40)}")
        elif key == "processor":
            leave(f"config.processor {said(str(config[key]), 60)}: JavaScript; its functions are stubs")
        elif key == "environments":
            if others := ", ".join(said(each, 30) for each in mapping(config[key])):
                leave(f"config.environments: {others} (-e NAME)")
        elif key == "defaults":
            _name_defaults("config.defaults", config[key], leave)
        elif key == "http":
            for more, inner in mapping(config[key]).items():
                if more == "defaults":
                    _name_defaults("config.http.defaults", inner, leave)
                else:
                    leave(f"config.http.{said(more, 40)}")
        elif key not in _TAKEN:
            leave(f"config.{said(key, 40)}")


def _name_defaults(where: str, given: Json, leave: Leave) -> None:
    for key in mapping(given):
        if key not in ("headers", "think"):
            leave(f"{where}.{said(key, 40)}")


def headers_of_all(config: Mapping[str, Json]) -> Mapping[str, Json]:
    """What all requests are sent with, where they don't say otherwise; a session's aren't."""
    defaults = mapping(mapping(config.get("http")).get("defaults"))
    return mapping(defaults.get("headers")) or mapping(mapping(config.get("defaults")).get("headers"))


def _payload(
    raw: Mapping[str, Json],
    made: Conversation,
    templates: Templates,
    files: Files,
    names: Names,
    leave: Leave,
) -> None:
    reader = mapping(raw.get("options"))
    raw = {**raw, **{own: reader[key] for key, own in _READER.items() if key in reader}}
    path = text_of(raw.get("path"))
    meant = templates.value(path)  # {{ $environment }} may be in it
    path = meant if isinstance(meant, str) else path
    found = files(path)
    rows = _rows(found, raw) if isinstance(found, bytes) else found
    fields = [str(field) for field in listed(raw.get("fields"))]
    whole = raw.get("loadAll") is True
    if not fields and not whole and not isinstance(rows, str):
        fields = [str(cell) for cell in rows.pop(0)] if rows else []
    known = whole or bool(fields)
    if isinstance(rows, str) or not known:
        why = rows if isinstance(rows, str) else "its first line is empty"
        mend = "put the rows into the file beside the new script"
        mend = mend if known else "nothing else names its columns: mend it, and import again"
        leave(f"config.payload {said(path, 60)}: {why}: {mend}")
        rows = []
    if not known:
        return
    fields = list(dict.fromkeys(field or f"column {place}" for place, field in enumerate(fields, 1)))[:500]
    if fields or not whole:
        rows = [[*row[: len(fields)], *[""] * (len(fields) - len(row))] for row in rows] or [
            [""] * len(fields)
        ]
    base = re.split(r"[/\\]", path)[-1].rpartition(".")[0] or text_of(raw.get("name")) or "rows"
    name = names.new(base, "rows")
    typed = any(not isinstance(cell, str) for row in rows for cell in row)
    feed = Feed(name, f"{name}.{'json' if whole else 'jsonl' if typed else 'csv'}", fields, rows, whole=whole)
    feed.shuffle = not whole and raw.get("order", "random") != "sequence"
    made.feeds.append(feed)
    for key in raw:
        if key not in (*_PAYLOAD, "options"):
            leave(f"config.payload.{said(key, 40)}")
    for key in reader:
        if key not in _READER:
            leave(f"config.payload.options.{said(key, 40)}")
    if whole:
        templates.names[text_of(raw.get("name")) or name] = Column(name, "")
        return
    feed.comments = ["The script's own rows. Every row is used before any is used again."]
    for field in fields:
        templates.names[field] = Column(name, field)


def _rows(data: bytes, raw: Mapping[str, Json]) -> list[list[Value]] | str:
    delimiter = text_of(raw.get("delimiter")) or ","
    if len(delimiter) != 1:
        return f"the delimiter {said(delimiter, 10)!r} isn't one character"
    try:
        lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)
        rows = [row for row in lines if row or raw.get("skipEmptyLines") is False]
    except (UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        return f"it can't be read ({error})"
    if raw.get("skipHeader") is True and (raw.get("fields") or raw.get("loadAll") is True):
        rows = rows[1:]
    cast = raw.get("cast", True) is not False
    return [[_cast(cell) if cast else cell for cell in row] for row in rows]


def _cast(cell: str) -> Value:
    """Numbers are numbers."""
    if re.fullmatch(r"-?(?:0|[1-9]\d{0,14})", cell):
        return int(cell)
    return float(cell) if re.fullmatch(r"-?\d{1,15}\.\d{1,15}", cell) else cell


# The connection.


def connection_options(
    config: Mapping[str, Json],
    own: Mapping[str, Json],
    templates: Templates,
    columns: Secrets,
    leave: Leave,
) -> tuple[dict[str, Value], Value]:
    """Options of the connection, and its auth."""
    engines = mapping(config.get("engines"))
    asked = urlsplit(text_of(config.get("target"))).query
    given: dict[str, Json] = {"query": asked} if asked else {}
    given |= {**mapping(engines.get("socketio-v3")), **mapping(engines.get("socketio"))}
    given = {**given, **mapping(config.get("socketio")), **own}
    options: dict[str, Value] = {}
    auth: Value = None
    for key, value in given.items():
        if key == "auth" and isinstance(value, dict):
            auth = confided(templates.value(value), columns)
        elif key == "query":
            options["query"] = confided(_query(value, templates), columns)
        elif key == "parser" and "msgpack" in str(value):
            options["parser"] = "msgpack"
        elif key == "upgrade" and isinstance(value, bool):
            continue
        elif key == "rejectUnauthorized":  # Artillery gives config.tls to the same client
            options["tls_verify"] = value is not False
        elif key in _OPTIONS and value is not None:
            fitting = _fitting(key, templates.value(value))
            if isinstance(fitting, dict) or not personal(fitting):
                options[_OPTIONS[key]] = confided(fitting, columns)
            else:
                leave(f"socketio.{key} {said(str(value), 40)}: it is the same for all users here")
        elif key in _MILLISECONDS and number_of(value) > 0:
            options[_MILLISECONDS[key]] = number_of(value) / 1000
        else:
            leave(f"socketio.{said(key, 40)}")
    if given.get("upgrade") is False:  # whichever comes first carries all of a session
        options["transports"] = options.get("transports", ["polling"])[:1]
    timeout = seconds_of_time(config.get("timeout")) if "timeout" in config else None
    if timeout:
        options["ack_timeout"] = timeout
    for key, value in mapping(config.get("tls")).items():
        if key == "rejectUnauthorized":
            options["tls_verify"] = value is not False
        else:
            leave(f"config.tls.{said(key, 40)}")
    return options, auth


def connect_step(flow: list[Json]) -> int | None:
    """Where a flow opens its connection by a step of its own, as those of `socketio-v3` may."""
    steps = (each for each in enumerate(flow) if isinstance(each[1], dict))
    return next((place for place, step in steps if "connect" in step and "emit" not in step), None)


def opened_by(step: Json, templates: Templates, columns: Secrets, leave: Leave) -> Connect:
    """The connection that such a step opens, with what it has beside the script's options."""
    opened = Connect([])
    for key in mapping(step):
        if key not in ("connect", "namespace"):
            leave(f"step connect: {said(key, 40)}")
    for key, value in mapping(mapping(step).get("connect")).items():
        if key == "auth" and isinstance(value, dict):
            opened.auth = confided(templates.value(value), columns)
        elif key == "extraHeaders" and isinstance(value, dict):
            for name, inner in value.items():
                opened.headers[name] = confided(written(templates.value(inner)), columns, name)
        else:
            leave(f"step connect: {said(key, 40)} {said(shown(value), 40)}: write it into the user's options")
    return opened


def _fitting(key: str, value: Value) -> Value:
    if key == "transports":
        names = value if isinstance(value, list) else [value]
        return [name for name in names if name in ("polling", "websocket")] or ["polling", "websocket"]
    if key == "extraHeaders":
        return {str(k): written(v) for k, v in mapping(value).items()}
    if key == "reconnectionAttempts":
        return max(0.0, number_of(value))
    return value


def _query(value: Json, templates: Templates) -> Value:
    if isinstance(value, str):
        pairs = (part.partition("=") for part in value.lstrip("?").split("&") if part)
        value = {unquote(name): unquote(text) for name, _, text in pairs}
    return texts(templates.value(dict(mapping(value))))


def texts(given: Value, nothing: str = "null") -> Value:
    """Parameters whose true, false and null are texts."""
    if not isinstance(given, dict):
        return given
    return {k: nothing if v is None else written(v) if isinstance(v, bool) else v for k, v in given.items()}


def written(value: Value) -> Value:
    """What a value is as a text, as JavaScript has it."""
    if isinstance(value, str | Joined):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return Joined((value,)) if isinstance(value, Variable | Column | At | Made) else str(value)
