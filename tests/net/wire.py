"""A websocket of ours on a tape instead of a socket, and what `websockets` alone makes of the same bytes."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterable

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from sioload.errors import End
from sioload.measure.rows import Row
from sioload.net.pushes import BroadcastKey, CountedBroadcast, Pushes
from sioload.net.stream import Stream
from sioload.net.websocket import NOT_TEXT, WebSocket
from sioload.net.wire import text_frame, text_of_server
from sioload.options import Limits

Event = tuple[str, object]
#: The push that a `Reader` knows, if it reads what it can the short way.
KNOWN = '42["known",1]'


class Tape(Stream):
    """Stands where a stream stands, and keeps what was written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.buffered = 0
        self.closed = False
        self.owner: object = None
        self.counted = None

    def stale(self) -> bool:
        return self.closed

    def received(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data

    def write_text(self, head: bytes, number: int | None, data: bytes) -> None:
        self.write(text_frame(head, number, data))

    def close(self) -> None:
        self.closed = True


class Reader:
    """A `WebSocket` after its handshake, and the events that it told of.

    Attributes:
        events: ("text", str), ("binary", bytes), at last ("closed", None) or ("failed", close code).
    """

    def __init__(self, limits: Limits | None = None, *, compress: bool = False, short: bool = False) -> None:
        self.events: list[Event] = []
        self.end: End | None = None
        self.tape = Tape()
        self.ws = WebSocket(self.tape, self, "/x", [("Host", "x")], limits or Limits(), compress)  # type: ignore[arg-type]
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", self.tape.written)
        assert key is not None
        digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        answer = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        answer += base64.b64encode(digest)
        if compress:
            answer += b"\r\nSec-WebSocket-Extensions: permessage-deflate"
        self.ws.on_data(answer + b"\r\n\r\n")
        assert self.ws.is_open and (self.ws.deflate is not None) == compress
        self.tape.written.clear()
        if short:
            self.ws.receiver = self
            row = Row("PUSH", "known", lambda *_: self.events.append(("text", KNOWN)))
            push = CountedBroadcast(None, row, None, 0)
            self.ws.pushes = Pushes()
            push.key = BroadcastKey("/", None, None, self.ws.pushes)
            self.ws.pushes.put(text_of_server(KNOWN.encode()), push)

    def feed(self, chunks: Iterable[bytes]) -> list[Event]:
        for chunk in chunks:
            if not self.tape.closed:
                self.ws.on_data(chunk)
        return self.events

    def on_message(self, data: str | bytes) -> None:
        assert isinstance(data, str)
        self.events.append(("text", "4" + data))

    def on_ack_frame(self, frame: bytes, start: int) -> bool:
        if not (frame[start:].startswith(b"3") and frame.endswith(b"]")):
            return False
        try:
            self.events.append(("text", "4" + frame[start:].decode()))
        except UnicodeDecodeError:
            return False
        return True

    def on_push(self, key: object) -> bool:
        return True

    def member(self) -> None:
        return None

    def hearer(self) -> None:
        return None

    def on_ws_open(self, ws: WebSocket) -> None:
        pass

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        assert isinstance(frame, str | bytes)
        self.events.append(("text" if isinstance(frame, str) else "binary", frame))

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        self.end = end
        if end.kind == "transport closed":
            self.events.append(("closed", None))
        else:
            assert end.kind in ("protocol error", "limit"), end
            opcode, payload = self.replies()[-1]
            assert opcode == 8
            # What follows a bad text in its read may have been refused, and said goodbye to, before it.
            code = 1007 if end is NOT_TEXT else int.from_bytes(payload[:2], "big")
            self.events.append(("failed", code))

    def on_ws_drained(self, ws: WebSocket) -> None:
        raise AssertionError("a tape is never full")

    def on_crash(self, error: BaseException) -> None:
        raise error

    def replies(self) -> list[tuple[int, bytes]]:
        """The control frames that were sent, unmasked."""
        return sent(bytes(self.tape.written))


def sent(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of a client's frames."""
    found = []
    while data:
        n = data[1] & 0x7F
        assert data[1] & 0x80 and n < 126
        mask, payload = data[2:6], data[6 : 6 + n]
        found.append((data[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))))
        data = data[6 + n :]
    return found


def alone(data: bytes, limits: Limits | None = None, *, compress: bool = False) -> tuple[list[Event], bytes]:
    """The events of `websockets`' protocol alone, UTF-8 checked behind it, and what it wants sent."""
    limits = limits or Limits()
    protocol = Protocol(CLIENT, state=OPEN, max_size=limits.message)
    if compress:
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]
    protocol.receive_data(data)
    events: list[Event] = []
    kind, parts = Opcode.TEXT, b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            continue
        if frame.opcode is not Opcode.CONT:
            kind, parts = frame.opcode, b""
        parts += frame.data
        if not frame.fin:
            continue
        if kind is Opcode.BINARY:
            events.append(("binary", parts))
            continue
        try:
            events.append(("text", parts.decode()))
        except UnicodeDecodeError:
            return [*events, ("failed", 1007)], b"".join(protocol.data_to_send())
    if protocol.parser_exc is not None:
        events.append(("failed", int(protocol.close_sent.code) if protocol.close_sent else 1002))
    elif protocol.close_rcvd is not None:
        events.append(("closed", None))
    return events, b"".join(protocol.data_to_send())


def cuts(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at these places."""
    edges = [0, *sorted({min(place, len(data)) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def bytewise(data: bytes) -> list[bytes]:
    """Each byte by itself."""
    return [data[i : i + 1] for i in range(len(data))]
