"""Engine.IO packets, their websocket frames in each dialect, and the handshake.

A frame is `str` (websocket text) or `bytes` (websocket binary). Dialects: `eio4` (Socket.IO 3 and 4), `eio3`
(Socket.IO 1 and 2; its `double` variant is that of 1.0.x, which encodes text as UTF-8 twice) and `v0`
(Socket.IO 0.9, which has no Engine.IO: its heartbeats and its disconnect stand for packets of this layer).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from sioload.errors import LimitError, ProtocolError
from sioload.plain import Json


class PacketType(IntEnum):
    """Engine.IO protocol, section "Packet types"."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


class Packet(NamedTuple):
    """One Engine.IO packet. Only a MESSAGE may hold `bytes`."""

    type: int
    data: str | bytes


Frame = str | bytes

#: Characters that a session's id may have: it goes into each request, and is looked for in each error.
SID_LENGTH = 4096
#: Characters or bytes of a whole handshake.
HANDSHAKE_LENGTH = 1 << 16

MESSAGE: Final = PacketType.MESSAGE
#: A text that JavaScript takes for a number without a sign.
_NUMERIC = re.compile(r"\s*(\d+\.?\d*|\.\d+)(e\d{1,2})?\s*", re.IGNORECASE | re.ASCII)
_new = tuple.__new__  # a third faster than the class itself
TYPES: dict[str, PacketType] = {str(kind.value): kind for kind in PacketType}
_DIGITS: dict[int, str] = {kind: digit for digit, kind in TYPES.items()}


def decode_eio4(frame: Frame) -> Packet:
    """A packet from a websocket frame of Engine.IO 4: digit and data, or a raw binary message.

    Raises:
        ProtocolError: the frame is empty or its type is unknown.
    """
    if isinstance(frame, str):
        kind = TYPES.get(frame[:1])
        if kind is not None:
            return _new(Packet, (kind, frame[1:]))
        if frame[:1] == "b":
            return Packet(MESSAGE, from_base64(frame[1:]))
        raise _unknown(frame)
    return Packet(MESSAGE, frame)


def encode_eio4(packet: Packet) -> Frame:
    """The websocket frame of a packet in Engine.IO 4."""
    data = packet.data
    return _DIGITS[packet.type] + data if isinstance(data, str) else data


def encode_eio4_base64(packet: Packet) -> str:
    """As `encode_eio4`, with binary as text for proxies that let no binary frames pass."""
    data = packet.data
    return _DIGITS[packet.type] + data if isinstance(data, str) else "b" + to_base64(data)


def decode_eio3(frame: Frame) -> Packet:
    """A packet from a websocket frame of Engine.IO 3: digit and data, `b4<base64>`, or type byte and data.

    Raises:
        ProtocolError: the frame is empty or its type is unknown.
    """
    if isinstance(frame, str):
        kind = TYPES.get(frame[:1])
        if kind is not None:
            return Packet(kind, frame[1:])
        if frame[:1] == "b" and frame[1:2] in TYPES:
            return Packet(TYPES[frame[1]], from_base64(frame[2:]))
        raise _unknown(frame)
    if not frame or frame[0] > PacketType.NOOP:
        raise _unknown(frame)
    return Packet(PacketType(frame[0]), bytes(frame[1:]))


def encode_eio3(packet: Packet) -> Frame:
    """The websocket frame of a packet in Engine.IO 3."""
    kind, data = packet
    return _DIGITS[kind] + data if isinstance(data, str) else bytes((kind,)) + data


def encode_eio3_base64(packet: Packet) -> str:
    """As `encode_eio3`, with binary as text for proxies that let no binary frames pass."""
    kind, data = packet
    return _DIGITS[kind] + data if isinstance(data, str) else f"b{_DIGITS[kind]}{to_base64(data)}"


def decode_eio3_double(frame: Frame) -> Packet:
    """As `decode_eio3`, for servers that encode text as UTF-8 twice (1.0.x) or may do so (unknown ones)."""
    return decode_eio3(undouble(frame) if isinstance(frame, str) else frame)


def encode_eio3_double(packet: Packet) -> Frame:
    """As `encode_eio3`, for servers that want text encoded as UTF-8 twice (1.0.x)."""
    frame = encode_eio3(packet)
    return double(frame) if isinstance(frame, str) else frame


def encode_eio3_double_base64(packet: Packet) -> str:
    """As `encode_eio3_double`, with binary as text."""
    return double(encode_eio3_base64(packet))


def decode_v0(frame: Frame) -> Packet:
    """A packet from a message of Socket.IO 0.9, whose text stays whole in a MESSAGE.

    `2::` is a PING, `8::` a NOOP, and `0::` without an endpoint a CLOSE.

    Raises:
        ProtocolError: the frame is binary, which 0.9 doesn't know.
    """
    if not isinstance(frame, str):
        raise ProtocolError("binary frame: Socket.IO 0.9 has none")
    head = frame[:2]
    if head == "2:":
        return Packet(PacketType.PING, "")
    if head == "8:":
        return Packet(PacketType.NOOP, "")
    if frame in ("0", "0::", "0:::"):
        return Packet(PacketType.CLOSE, "")
    return Packet(MESSAGE, frame)


_V0_TEXTS: dict[int, str] = {
    PacketType.CLOSE: "0::", PacketType.PING: "2::", PacketType.PONG: "2::", PacketType.NOOP: "8::"
}  # fmt: skip


def encode_v0(packet: Packet) -> Frame:
    """The message of a packet in Socket.IO 0.9; a PONG is the heartbeat's echo."""
    return packet.data if packet.type == MESSAGE else _V0_TEXTS[packet.type]


def double(text: str) -> str:
    """Text as 1.x puts it into a string that is then encoded as UTF-8 once more."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def undouble(text: str) -> str:
    """Undoes `double`; text that wasn't encoded twice is returned as it is."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def from_base64(text: str | bytes) -> bytes:
    """Decodes base64 strictly.

    Raises:
        ProtocolError: the text isn't base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error, or ValueError for non-ASCII text
        raise ProtocolError(f"not base64: {error}") from None


def to_base64(data: bytes) -> str:
    """`data` in base64 with padding."""
    return b64encode(data).decode("ascii")


def _unknown(frame: Frame) -> ProtocolError:
    if not frame:
        return ProtocolError("empty Engine.IO packet")
    return ProtocolError(f"unknown Engine.IO packet type {frame[:1]!r}")


@dataclass(slots=True)
class Handshake:
    """What the server said on opening a session.

    Attributes:
        sid: the session's id, as the server wrote it.
        upgrades: transports the server can be upgraded to; unknown ones are kept.
        ping_interval: seconds between heartbeats (0.9: the heartbeat timeout; infinite when it wants none).
        ping_timeout: seconds that may pass until the heartbeat's answer (0.9: the close timeout).
        max_payload: bytes a server takes in one body or frame, None when it doesn't say.
    """

    sid: str
    upgrades: tuple[str, ...]
    ping_interval: float
    ping_timeout: float
    max_payload: int | None = None


#: How most handshakes begin, and what was found in the rest of some: a server says the same to each client.
_BEGIN: Final = '{"sid":"'
_KNOWN: Final[dict[tuple[str, bool], Handshake]] = {}


def parse_handshake(data: str | bytes, strict: bool = False) -> Handshake:
    """The data of an OPEN packet, whose times are in milliseconds.

    Taken is what the JavaScript client takes: numbers as text too (settings from a server's environment),
    fractions, and null, which is what JSON makes of Infinity, for 0. Where the sum is to be a time limit, a
    pingTimeout of 0 or a null means that there is none.

    Args:
        data: the JSON.
        strict: a null is refused; clients of Engine.IO 3 drop out there.

    Raises:
        ProtocolError: it isn't a JSON object, or a field is missing or has a value that makes no sense
            (LimitError: it is too long).
    """
    if not isinstance(data, str) or not data.startswith(_BEGIN):
        return _parsed_handshake(data, strict)
    end = data.find('"', len(_BEGIN))
    sid, rest = data[len(_BEGIN) : end], data[end:]
    known = _KNOWN.get((rest, strict))
    if known is not None and 0 < len(sid) <= SID_LENGTH and sid.isprintable() and "\\" not in sid:
        return Handshake(sid, known.upgrades, known.ping_interval, known.ping_timeout, known.max_payload)
    found = _parsed_handshake(data, strict)
    if found.sid == sid and '"sid"' not in rest and "\\" not in rest:
        if len(_KNOWN) >= 16:
            _KNOWN.clear()
        _KNOWN[rest, strict] = found
    return found


def _parsed_handshake(data: str | bytes, strict: bool) -> Handshake:
    if len(data) > HANDSHAKE_LENGTH:
        raise LimitError(f"handshake of {len(data)} characters, more than {HANDSHAKE_LENGTH}")
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"handshake: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ProtocolError("handshake: not a JSON object")
    sid, upgrades = fields.get("sid"), fields.get("upgrades")
    if isinstance(sid, int) and not isinstance(sid, bool):
        sid = str(sid)
    if not isinstance(sid, str) or not sid:
        raise ProtocolError("handshake: sid is missing or not a string")
    if len(sid) > SID_LENGTH:
        raise ProtocolError(f"handshake: sid of {len(sid)} characters")
    if not isinstance(upgrades, list) or not all(isinstance(name, str) for name in upgrades):
        raise ProtocolError("handshake: upgrades is missing or not a list of strings")
    interval, timeout = (_milliseconds(fields, name, strict) for name in ("pingInterval", "pingTimeout"))
    if not interval or not timeout:
        if strict and not interval:
            raise ProtocolError("handshake: pingInterval is 0 (the server's option pingInterval)")
        timeout = interval if strict else float("inf")
    payload = _number(fields, "maxPayload")
    most = max(int(payload), 1) if payload else None
    return Handshake(sid, tuple(upgrades), interval / 1000, timeout / 1000, most)


def _milliseconds(fields: dict[str, Json], name: str, strict: bool) -> float:
    if name not in fields:
        raise ProtocolError(f"handshake: {name} is missing")
    if strict and fields[name] is None:
        raise ProtocolError(
            f"handshake: {name} is null: the server's option {name} must be a finite number of milliseconds"
        )
    return _number(fields, name)


def _number(fields: dict[str, Json], name: str) -> float:
    """A field as JavaScript reckons with it: a text of digits counts, and null (or none) is 0."""
    value = fields.get(name)
    if value is None:
        return 0.0
    if isinstance(value, str) and _NUMERIC.fullmatch(value):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ProtocolError(f"handshake: {name} is {str(value)[:20]!r}, which is no number")
    return float(value)


def parse_handshake_v0(body: str) -> Handshake:
    """The body of a 0.9 handshake, `sid:heartbeat timeout:close timeout:transports`, times in seconds.

    Raises:
        ProtocolError: it hasn't that form.
    """
    if len(body) > HANDSHAKE_LENGTH:
        raise LimitError(f"handshake of {len(body)} characters, more than {HANDSHAKE_LENGTH}")
    parts = body.strip().split(":")
    if len(parts) != 4 or not 0 < len(parts[0]) <= SID_LENGTH or not parts[3]:
        raise ProtocolError("handshake: not sid:heartbeat:close:transports")
    sid, heartbeat, close, transports = parts
    return Handshake(sid, tuple(transports.split(",")), _seconds_v0(heartbeat), _seconds_v0(close))


def _seconds_v0(text: str) -> float:
    if not text:
        return float("inf")
    if not text.isascii() or not text.replace(".", "", 1).isdigit() or len(text) > 15 or float(text) <= 0:
        raise ProtocolError("handshake: a timeout is not a positive number of seconds")
    return float(text)
