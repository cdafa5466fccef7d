"""The codec of Socket.IO 0.9, with the same packets as the later generations.

Form (socket.io-spec, section "Encoding"): `type:id[+]:endpoint[:data]`. The root's endpoint is empty.
Heartbeats, noops and the root's disconnect end in `sioload.engineio.packet`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sioload.errors import EncodeError, ProtocolError
from sioload.options import Limits
from sioload.plain import Json
from sioload.socketio.codec import Message, event_name, to_number
from sioload.socketio.jsontext import loads, to_json
from sioload.socketio.packet import Packet, PacketType

#: The codes of error packets (socket.io-spec, section "Error"), in the words of its text.
REASONS = {"0": "transport not supported", "1": "client not handshaken", "2": "unauthorized"}
ADVICE = {"0": "reconnect"}


def encode_event(
    namespace: str, event: str | int, args: Sequence[Json], id: int | None = None
) -> list[Message]:
    """The message of an event; with an `id` it asks for an ack with data.

    Raises:
        EncodeError: an argument can't be sent as JSON, or holds binary, which 0.9 doesn't know.
    """
    value = {"name": event, "args": args} if args else {"name": event}
    return [f"5:{'' if id is None else f'{id}+'}:{_endpoint(namespace)}:{_json(value, args)}"]


def encode_ack(namespace: str, id: int, args: Sequence[Json]) -> list[Message]:
    """The message of an ack; without arguments it is also the one that is due by itself."""
    return [f"6::{_endpoint(namespace)}:{id}" + (f"+{_json([*args], args)}" if args else "")]


def encode_connect(namespace: str, data: Json = None) -> list[Message]:
    """Asks to join a namespace; `data` is a query string without "?", None for none, as Node reads it."""
    return [f"1::{_endpoint(namespace)}" + (f":?{data}" if data else "")]


def encode_disconnect(namespace: str) -> list[Message]:
    """Leaves a namespace; leaving "/" ends the connection."""
    return [f"0::{_endpoint(namespace)}"]


def _endpoint(namespace: str) -> str:
    return "" if namespace == "/" else "" + namespace  # which may be an Enum's


def _json(value: object, args: Sequence[Json]) -> str:
    text, attachments = to_json(value, args)
    if attachments:
        raise EncodeError("data: bytes can't be sent: Socket.IO 0.9 has no binary")
    return text


class Decoder:
    """Turns messages into packets. A type 3 or 4 message is an EVENT named "message"."""

    __slots__ = ("_nesting",)

    def __init__(self, limits: Limits) -> None:
        self._nesting = limits.nesting

    def feed(self, message: Message) -> Packet:
        """One message in, one packet out.

        Raises:
            ProtocolError: the message is malformed or its type is unknown.
        """
        if not isinstance(message, str):
            raise ProtocolError("binary message: Socket.IO 0.9 has none")
        kind, *rest = message.split(":", 3)
        if len(rest) < 2:
            raise ProtocolError("malformed Socket.IO 0.9 packet")
        digits, endpoint, data = rest[0], rest[1], rest[2] if len(rest) > 2 else ""
        namespace = endpoint.partition("?")[0] or "/"
        if namespace[0] != "/":
            raise ProtocolError("endpoint that doesn't begin with '/'")
        if kind in ("3", "4", "5"):
            number = to_number(digits.removesuffix("+"), "id") if digits else None
            automatic = number is not None and digits[-1] != "+"
            return Packet(PacketType.EVENT, namespace, self._event(kind, data), number, automatic)
        if kind == "6":
            return self._ack(namespace, data)
        if kind == "7":
            reason, _, advice = data.partition("+")
            error = {"reason": REASONS.get(reason, reason), "advice": ADVICE.get(advice, advice)}
            return Packet(PacketType.CONNECT_ERROR, namespace, error)
        if kind in ("0", "1"):
            return Packet(PacketType.CONNECT if kind == "1" else PacketType.DISCONNECT, namespace)
        raise ProtocolError(f"unknown Socket.IO 0.9 packet type {kind[:8]!r}")

    def _event(self, kind: str, data: str) -> list[Json]:
        if kind == "3":
            return ["message", data]
        value = loads(data, self._nesting)
        if kind == "4":
            return ["message", value]
        name, args = (value.get("name"), value.get("args", [])) if isinstance(value, dict) else (None, [])
        if not isinstance(args, list):
            raise ProtocolError("event with malformed arguments")
        return [event_name(name), *args]

    def _ack(self, namespace: str, data: str) -> Packet:
        digits, _, text = data.partition("+")
        args = loads(text, self._nesting) if text else []
        if not isinstance(args, list):
            raise ProtocolError("ack with malformed arguments")
        return Packet(PacketType.ACK, namespace, args, to_number(digits, "id"))
