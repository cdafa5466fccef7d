"""The entries of a HAR file, whatever is wrong with it: each field is what it should be, or empty."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import orjson

from sioload.errors import ProtocolError, UsageError
from sioload.importing.fields import listed, mapping, text_of
from sioload.plain import Json
from sioload.socketio.jsontext import loads

#: Bytes of a file that is read.
LARGEST: Final = 256 << 20
#: A name or a value of a form as it is sent.
_SENT: Final = re.compile(r"(?:[\w*.~+-]|%[0-9A-Fa-f]{2})*", re.ASCII)
#: Seconds by which the zones of the world differ, at least.
_ZONES: Final = 900
#: Seconds since the epoch before which no browser recorded anything; what is less counts from elsewhere.
_NO_TIME: Final = 1e9


def log_of(data: bytes, name: str) -> Mapping[str, Json]:
    """The log of a HAR file, which has a list of entries.

    Raises:
        UsageError: it is no such file; one line with the remedy.
    """
    try:
        whole = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:  # lone surrogates, as JavaScript may write them
            whole = loads(data.decode("utf-8-sig"), 500)
        except (ProtocolError, UnicodeDecodeError):
            raise UsageError(
                f"{name}: not a HAR file: not JSON ({error}); if it was cut off, export it again"
            ) from None
    log = mapping(mapping(whole).get("log"))
    if not isinstance(log.get("entries"), list):
        raise UsageError(f"{name}: not a HAR file: it has no log.entries")
    return log


def number_of(value: object) -> float:
    """A number; 0 when it is none, or none that a recording could have."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    return 0.0


@dataclass(slots=True)
class Entry:
    """One of them.

    Attributes:
        at, until: seconds since the epoch.
        zone: its time names one.
        shift: what the times of its frames lack to seconds since the epoch.
    """

    at: float
    until: float
    url: SplitResult
    request: Mapping[str, Json]
    response: Mapping[str, Json]
    kind: str
    frames: list[Json]
    is_socket: bool
    zone: bool
    shift: float = 0.0


def entries_of(log: Mapping[str, Json]) -> Iterator[Entry]:
    """Those whose URL can be read."""
    for raw in listed(log.get("entries")):
        entry = mapping(raw)
        request, response = mapping(entry.get("request")), mapping(entry.get("response"))
        began = entry.get("startedDateTime")
        at = time_of(began)
        kind = text_of(entry.get("_resourceType")).lower()
        url = _url_of(request.get("url"))
        if url is None:
            continue
        socket = kind == "websocket" or "_webSocketMessages" in entry or url.scheme in ("ws", "wss")
        until = at + max(0.0, number_of(entry.get("time"))) / 1000
        frames = listed(entry.get("_webSocketMessages"))
        yield Entry(at, until, url, request, response, kind, frames, socket, _names_zone(began))


def set_right(entries: list[Entry]) -> None:
    """Make the times of a file those of one clock: the first frame of a socket comes soon after its request.

    Times that name no zone are taken for those of this machine, which may be another's; and the times of
    frames may count from anywhere.
    """
    for entry in entries:
        times = (time_of(mapping(frame).get("time")) for frame in entry.frames)
        first = next((at for at in times if at), 0.0)
        zones = round((first - entry.at) / _ZONES) * _ZONES
        if not first or not entry.at or not zones:
            continue
        if first < _NO_TIME:
            entry.shift = entry.at - first
        elif not entry.zone:
            for each in entries:
                each.at, each.until = each.at + zones, each.until + zones


def _url_of(value: object) -> SplitResult | None:
    try:
        url = urlsplit(text_of(value))
        usable = url.scheme in ("http", "https", "ws", "wss") and url.hostname and (url.port or 1)
    except ValueError:
        return None
    return url if usable else None


def time_of(value: object) -> float:
    """Seconds since the epoch, of a number of seconds or of a part of them, or of a text; 0 for none."""
    text = text_of(value).strip()
    try:
        number = float(value) if isinstance(value, int | float) else float(text)
    except (ValueError, OverflowError):
        return _moment(text)
    while 1e11 < number < 1e21:  # milliseconds, or less
        number /= 1000
    return number if 0 < number < 1e11 else 0.0


def _moment(value: object) -> float:
    try:
        return datetime.fromisoformat(text_of(value)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _names_zone(value: object) -> bool:
    try:
        return datetime.fromisoformat(text_of(value)).tzinfo is not None
    except ValueError:
        return True


def headers_of(side: Mapping[str, Json]) -> list[tuple[str, str]]:
    pairs = (mapping(header) for header in listed(side.get("headers")))
    return [
        (text_of(pair.get("name")).lower(), text_of(pair.get("value")))
        for pair in pairs
        if text_of(pair.get("name"))
    ]


def content_of(box: Mapping[str, Json]) -> bytes | None:
    """A body, of either side; None when the file hasn't it."""
    text = box.get("text")
    if not isinstance(text, str):
        return None
    if box.get("encoding") == "base64" or box.get("_encoding") == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
    return text.encode("utf-8", "surrogatepass")


def form_of(fields: list[tuple[str, str]]) -> str:
    """The body of a form of fields as a file has them: parsed, as HAR wants it, or as they were sent."""
    whole = "&".join(f"{name}={value}" for name, value in fields)
    return whole if all(_SENT.fullmatch(part) for pair in fields for part in pair) else urlencode(fields)


def parameters(url: SplitResult) -> dict[str, str]:
    """The parameters of a URL's query."""
    try:
        return dict(parse_qsl(url.query, keep_blank_values=True, max_num_fields=200))
    except ValueError:
        return {}
