"""Bodies of long-polling requests: several packets in one HTTP body, in each generation's framing.

- `records` (Engine.IO 4): packets separated by 0x1e, binary ones as `b<base64>`.
- `lengths` (Engine.IO 3): `<length>:<packet>` in UTF-16 units, or octet-stream framing with lengths in bytes.
- `v0` (Socket.IO 0.9): one packet as it is; several as `U+FFFD <length> U+FFFD <packet>`.

Decoders take a whole body. They check `Limits.payload`, the number of packets and `Limits.message` before
they take memory.
"""

from __future__ import annotations

import codecs
from bisect import bisect_left
from collections.abc import Sequence

from sioload.engineio import packet as frames
from sioload.engineio.packet import MESSAGE, Packet
from sioload.errors import LimitError, ProtocolError, TextError
from sioload.options import Limits

#: Packets that one body may hold.
PACKETS = 100_000
#: Digits of a length: enough for every body that fits into memory.
LENGTH_DIGITS = 10

TEXT = "text/plain;charset=UTF-8"
BINARY = "application/octet-stream"

_MARK = "\ufffd".encode()
_ASCII = bytes(range(128))


def decode_records(body: bytes, limits: Limits) -> list[Packet]:
    """The packets of an Engine.IO 4 payload.

    Raises:
        ProtocolError: the body is malformed (LimitError: too large; TextError: not UTF-8).
    """
    _check_body(body, limits)
    if body.count(b"\x1e") >= PACKETS:
        raise LimitError(f"payload of more than {PACKETS} packets")
    return [_record(record, limits) for record in body.split(b"\x1e")]


def _record(record: bytes, limits: Limits) -> Packet:
    if record[:1] == b"b":
        _check_size(_base64_size(record, 1, len(record)), limits)
        return Packet(MESSAGE, frames.from_base64(record[1:]))
    _check_size(len(record) - 1, limits)
    return frames.decode_eio4(_text(record))


def encode_records(packets: Sequence[Packet], base64: bool = False) -> tuple[bytes, str]:
    """The body of an Engine.IO 4 payload, and its content type. Binary is base64 in any case."""
    return _bytes("\x1e".join([frames.encode_eio4_base64(packet) for packet in packets])), TEXT


def decode_lengths(body: bytes, limits: Limits, *, double: bool = False) -> list[Packet]:
    """The packets of an Engine.IO 3 payload, in either framing.

    Args:
        body: the body as it came.
        limits: what it may make us hold.
        double: text may be encoded as UTF-8 twice (Socket.IO 1).

    Raises:
        ProtocolError: the body is malformed (LimitError: too large; TextError: not UTF-8).
    """
    _check_body(body, limits)
    packets: list[Packet] = []
    position = 0
    octets = body[0] <= 1
    decode = frames.decode_eio3_double if double and not octets else frames.decode_eio3
    while position < len(body):
        if len(packets) >= PACKETS:
            raise LimitError(f"payload of more than {PACKETS} packets")
        if octets:
            frame, position = _octet_frame(body, position, limits, double)
        else:
            frame, position = _text_frame(body, position, limits)
        packets.append(decode(frame))
    return packets


def _text_frame(body: bytes, start: int, limits: Limits) -> tuple[str, int]:
    """One packet of text framing, and the position behind it: the length in UTF-16 units, ":", the packet."""
    length, start = _length(body, start, b":")
    if body[start : start + 1] == b"b":
        _check_size(_base64_size(body, start + 2, start + length), limits)
    else:
        _check_size(length - 1, limits)
    taken = _take(body, start, length)
    if taken is None:
        raise ProtocolError("payload ends within a packet")
    return taken


def _octet_frame(body: bytes, start: int, limits: Limits, double: bool) -> tuple[frames.Frame, int]:
    """One packet of octet-stream framing, and the position behind it.

    0 (text) or 1 (binary), the length's digits as bytes, 0xff, the packet. 1.0.0 counts a text's non-ASCII
    bytes twice (engine.io-parser before 1.0.6): with `double`, it is that if no packet begins where one ends.
    """
    kind = body[start]
    end = body.find(b"\xff", start + 1, start + LENGTH_DIGITS + 2)
    digits = b"" if end < 0 else body[start + 1 : end]  # compiled, no slice may end before it begins
    if kind > 1 or not digits or max(digits) > 9:
        raise ProtocolError("malformed length in payload")
    length = int(bytes([digit + 48 for digit in digits]))
    _check_size(length - 1, limits)
    start, position = end + 1, end + 1 + length
    if double and not kind and not (position == len(body) or body[position : position + 1] in (b"\0", b"\1")):
        position = start + bisect_left(range(length), length, key=lambda n: n + _high(body, start, n))
    if position > len(body):
        raise ProtocolError("payload ends within a packet")
    data = body[start:position]
    return (data if kind else _text(data)), position


def _high(body: bytes, start: int, count: int) -> int:
    """How many of `count` bytes from `start` aren't ASCII; those behind the end count as such."""
    part = body[start : start + count]
    return len(part.translate(None, _ASCII)) + count - len(part)


def encode_lengths(
    packets: Sequence[Packet], base64: bool = False, *, double: bool = False
) -> tuple[bytes, str]:
    """The body of an Engine.IO 3 payload, and its content type.

    Octet-stream framing is what every server of this protocol reads alike; text framing (`base64`) depends on
    how the server encodes text.

    Args:
        packets: what to send.
        base64: text framing, with binary as `b4<base64>`.
        double: in text framing, encode text as UTF-8 twice (Socket.IO 1).
    """
    if not base64:
        return b"".join(_octets(packet) for packet in packets), BINARY
    encode = frames.encode_eio3_double_base64 if double else frames.encode_eio3_base64
    texts = [encode(packet) for packet in packets]
    return _bytes("".join([f"{_utf16_length(text)}:{text}" for text in texts])), TEXT


def _octets(packet: Packet) -> bytes:
    frame = frames.encode_eio3(packet)
    kind, data = (b"\0", _bytes(frame)) if isinstance(frame, str) else (b"\1", frame)
    return kind + bytes([int(digit) for digit in str(len(data))]) + b"\xff" + data


def decode_v0(body: bytes, limits: Limits) -> list[Packet]:
    """The packets of a Socket.IO 0.9 payload.

    Raises:
        ProtocolError: the body is malformed (LimitError: too large; TextError: not UTF-8).
    """
    if not body:
        return []  # as Node answers the poll of a session that it has just ended
    _check_body(body, limits)
    if not body.startswith(_MARK):
        _check_size(len(body), limits)
        return [frames.decode_v0(_text(body))]
    packets: list[Packet] = []
    position = 0
    while position < len(body):
        if len(packets) >= PACKETS:
            raise LimitError(f"payload of more than {PACKETS} packets")
        if not body.startswith(_MARK, position):
            raise ProtocolError("malformed length in payload")
        length, start = _length(body, position + len(_MARK), _MARK)
        _check_size(length, limits)
        taken = _take(body, start, length)
        if taken is None or not (taken[1] == len(body) or body.startswith(_MARK, taken[1])):
            taken = _take(body, start, length, points=True)  # as gevent-socketio counts
        if taken is None:
            raise ProtocolError("payload ends within a packet")
        text, position = taken
        packets.append(frames.decode_v0(text))
    return packets


def encode_v0(packets: Sequence[Packet], base64: bool = False) -> tuple[bytes, str]:
    """The body of a Socket.IO 0.9 payload, and its content type. There is no binary."""
    texts = [str(frames.encode_v0(packet)) for packet in packets]
    if len(texts) == 1:
        return _bytes(texts[0]), TEXT
    return _bytes("".join(f"\ufffd{_utf16_length(text)}\ufffd{text}" for text in texts)), TEXT


# --- parts


def _check_body(body: bytes, limits: Limits) -> None:
    if not body:
        raise ProtocolError("empty payload")
    if len(body) > limits.payload:
        raise LimitError.of_size("payload of", len(body), "payload", limits.payload)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.message:
        raise LimitError.of_size("message of", size, "message", limits.message)


def _base64_size(body: bytes, start: int, stop: int) -> int:
    """How many bytes the base64 in `body[start:stop]` stands for."""
    return (stop - start) * 3 // 4 - body[max(start, stop - 2) : max(start, stop)].count(b"=")


def _length(body: bytes, start: int, end: bytes) -> tuple[int, int]:
    """A decimal length, and the position behind the `end` that follows it."""
    stop = body.find(end, start, start + LENGTH_DIGITS + len(end))
    digits = b"" if stop < 0 else body[start:stop]  # as above
    if not digits.isdigit():
        raise ProtocolError("malformed length in payload")
    return int(digits), stop + len(end)


def _take(body: bytes, start: int, count: int, points: bool = False) -> tuple[str, int] | None:
    """The text of `count` UTF-16 units (or code points) from `start`, and the position behind it.

    None if the text ends before, or within a surrogate pair.
    """
    chunk = body[start : start + count]
    if chunk.isascii():
        return (chunk.decode("ascii"), start + count) if len(chunk) == count else None
    try:  # a unit takes three bytes at most, a code point four; the tail may be cut within a character
        text, _ = codecs.utf_8_decode(body[start : start + 4 * count], "strict", False)
    except UnicodeDecodeError as error:
        raise TextError(f"payload is not UTF-8: {error.reason}") from None
    text = text[:count] if points else text.encode("utf-16-le")[: 2 * count].decode("utf-16-le", "ignore")
    if (len(text) if points else _utf16_length(text)) != count:
        return None
    return text, start + len(text.encode())


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"payload is not UTF-8: {error.reason}") from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
