"""What the target changes below python-socketio: exact counting, strict packets, cheap websockets."""

from __future__ import annotations

import base64
import socket
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import engineio
from engineio import packet as eio_packet
from engineio import payload as eio_payload
from engineio.async_drivers.gevent import WebSocketWSGI
from engineio.exceptions import UnknownPacketError
from geventwebsocket.handler import WebSocketHandler
from geventwebsocket.websocket import Header
from socketio import packet as sio_packet

#: What an Engine.IO packet in a websocket's text begins with: its type.
KINDS = frozenset("0123456")

Tally = defaultdict[str, Counter[str]]
"""Per namespace, per event name: how many."""


class Counts:
    """What the target received and sent since its start or the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start counting from zero."""
        self.received: Tally = defaultdict(Counter)
        self.acks: Tally = defaultdict(Counter)
        self.sent: Tally = defaultdict(Counter)
        self.connects: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.disconnects: Counter[str] = Counter()
        self.malformed = 0

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON takes them."""
        return {
            "received": self.received,
            "acks": self.acks,
            "sent": self.sent,
            "connects": self.connects,
            "refused": self.refused,
            "disconnects": self.disconnects,
            "malformed": self.malformed,
        }


class Frame(NamedTuple):
    """A websocket message with the place where it is counted once it is written."""

    data: str | bytes
    counter: Counter[str] | None
    name: str


class Message(eio_packet.Packet):  # type: ignore[misc]  # python-engineio has no types
    """One Engine.IO message of the target, counted for each receiver when it is written, not when queued.

    So a message that was still queued for a user who left is not counted as sent.
    """

    def __init__(self, data: str | bytes, counter: Counter[str] | None, name: str) -> None:
        super().__init__(eio_packet.MESSAGE, data)
        self.counter = counter
        self.name = name

    def encode(self, b64: bool = False) -> str | Frame:
        """The packet for polling (`b64`) or for a websocket.

        A broadcast shares one Message between receivers on both transports, so nothing is cached here.
        """
        if not b64:
            return Frame(self.data if self.binary else f"4{self.data}", self.counter, self.name)
        if self.counter is not None:
            self.counter[self.name] += 1
        return f"b{base64.b64encode(self.data).decode()}" if self.binary else f"4{self.data}"


class Payload(eio_payload.Payload):  # type: ignore[misc]  # python-engineio has no types
    """The packets of one POST; what is none is answered with 400 and ends its session, as by Node's servers.

    python-engineio says OK to such a body and drops all of it, what was right in it too.
    """

    # It drops what is beyond 16 as well. Node's servers have no such limit, and the size of a body
    # (maxPayload) bounds it anyway.
    max_decode_packets = 10_000

    def decode(self, encoded_payload: str) -> None:
        """Read one body."""
        try:
            super().decode(encoded_payload)
        except (ValueError, LookupError) as error:
            raise UnknownPacketError from error


eio_payload.Payload = Payload


class Engine(engineio.Server):  # type: ignore[misc]  # python-engineio has no types
    """python-engineio's server, which holds up no POST until the client has fetched what is left for it."""

    def disconnect(self, sid: str | None = None) -> None:
        """End a session."""
        session = self.sockets.get(sid)
        if session is not None:
            session.close(wait=False, reason=self.reason.SERVER_DISCONNECT)


def messages(packet: Packet, counter: Counter[str], name: str) -> list[Message]:
    """The Engine.IO messages of one Socket.IO packet; the last one carries the count."""
    encoded = packet.encode()
    *head, last = encoded if isinstance(encoded, list) else [encoded]
    return [Message(data, None, name) for data in head] + [Message(last, counter, name)]


class Packet(sio_packet.Packet):  # type: ignore[misc]  # python-socketio has no types
    """A Socket.IO packet whose decoding raises ValueError, and nothing else, for whatever a client sends."""

    def decode(self, encoded_packet: object) -> int:
        """Decode one text message; the number of attachments that follow."""
        if not isinstance(encoded_packet, str):
            raise ValueError("binary without a packet that announced it")
        count: int = super().decode(encoded_packet)
        if self.packet_type in (sio_packet.EVENT, sio_packet.BINARY_EVENT):
            if not (isinstance(self.data, list) and self.data and isinstance(self.data[0], str)):
                raise ValueError("an event without a name")
        elif self.packet_type in (sio_packet.ACK, sio_packet.BINARY_ACK):
            if not isinstance(self.data, list) or self.id is None:
                raise ValueError("an ack without arguments or id")
        elif self.packet_type == sio_packet.CONNECT and not isinstance(self.data, dict | None):
            raise ValueError("auth that is no object")
        return count

    def add_attachment(self, attachment: object) -> bool:
        """Take one attachment; True when it was the last."""
        if not isinstance(attachment, bytes):
            raise ValueError("text where an attachment was announced")
        try:
            complete: bool = super().add_attachment(attachment)
        except (IndexError, TypeError) as error:
            raise ValueError("a placeholder without an attachment") from error
        return complete


def unmask(header: Any, payload: bytes) -> bytearray:
    """Take a client's mask off (RFC 6455, section 5.3) in one go.

    gevent-websocket's own loop over bytes takes 5 ms for 64 KiB, while every other user waits.
    """
    size = len(payload)
    mask = (bytes(header.mask) * (size // 4 + 1))[:size]
    return bytearray((int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big"))


Header.unmask_payload = unmask


class NoValidator:
    """Stands in for gevent-websocket's validator, which walks each text byte by byte, twice.

    The strict decoding that follows it there refuses invalid UTF-8 all the same.
    """

    def reset(self) -> None:
        """Nothing is kept."""

    def validate(self, payload: bytes) -> tuple[bool, bool, int, int]:
        """Say yes."""
        return True, True, len(payload), len(payload)


def is_packet(text: str) -> bool:
    """Whether a websocket's text is a packet: of a known type, or a binary message in base64."""
    if text[:1] != "b":
        return text[:1] in KINDS
    try:
        base64.b64decode(text[1:], validate=True)
    except ValueError:
        return False
    return True


class WebSocket(WebSocketWSGI):  # type: ignore[misc]  # python-engineio has no types
    """The websocket that python-engineio drives, with counting at the write."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Run the session on the websocket that the handler opened."""
        if (opened := environ.get("wsgi.websocket")) is not None:
            opened.utf8validator = NoValidator()
        return super().__call__(environ, start_response)

    def wait(self) -> str | bytes | bytearray | None:
        """The next message; None, as at its end, for text that is no packet: the session ends there.

        python-engineio would raise past the end of the session, which stayed until its heartbeat was missed.
        """
        message: str | bytes | bytearray | None = super().wait()
        return None if isinstance(message, str) and not is_packet(message) else message

    def send(self, message: str | bytes | Frame) -> None:
        """Write one message, and count it when that worked."""
        if not isinstance(message, Frame):
            super().send(message)
            return
        super().send(message.data)
        if message.counter is not None:
            message.counter[message.name] += 1


class Handler(WebSocketHandler):  # type: ignore[misc]  # gevent-websocket has no types
    """pywsgi's connection handler, without Nagle's delay: a load test must not time it."""

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, address, server, rfile)
