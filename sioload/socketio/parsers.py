"""What a codec is, the msgpack parser, and parsers that a script brings along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgpack

from sioload.errors import EncodeError, LimitError, OptionError, ProtocolError, in_words
from sioload.options import Limits
from sioload.plain import Json
from sioload.socketio.codec import ID_DIGITS, Message, event_name
from sioload.socketio.jsontext import culprit
from sioload.socketio.packet import Fields, Packet, PacketType


class Decoder(Protocol):
    """Turns the Engine.IO messages of one connection into packets."""

    def feed(self, message: Message) -> Fields | None:
        """One message in; a packet (or its fields) out, or None while more messages belong to it.

        Raises:
            ProtocolError: the message breaks the protocol.
        """


class Parser(Protocol):
    """What `Options.parser` may be beside "json" and "msgpack"."""

    def encode(self, packet: Packet) -> list[Message]:
        """The Engine.IO messages of a packet, all of which are sent in order."""

    def decoder(self, limits: Limits) -> Decoder:
        """A decoder for one connection."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How packets travel. Encoders raise EncodeError for data that can't be sent.

    Attributes:
        encode_event: (namespace, event, arguments, ack id or None) to messages.
        encode_ack: (namespace, id, arguments) to messages.
        encode_connect: (namespace, auth payload or query string or None) to messages.
        encode_disconnect: (namespace) to messages.
        decoder: makes a decoder for one connection.
    """

    encode_event: Callable[[str, str | int, Sequence[Json], int | None], list[Message]]
    encode_ack: Callable[[str, int, Sequence[Json]], list[Message]]
    encode_connect: Callable[[str, Any], list[Message]]
    encode_disconnect: Callable[[str], list[Message]]
    decoder: Callable[[Limits], Decoder]


def codec_of(parser: Parser) -> Codec:
    """The codec that uses a parser. Whatever it raises, nothing was sent, or the message was none of its."""

    def encode(packet: Packet) -> list[Message]:
        try:
            messages: Any = parser.encode(packet)
        except EncodeError:
            raise
        except Exception as error:
            raise EncodeError(f"the parser raised {in_words(error)}") from error
        whole = isinstance(messages, list | tuple) and messages
        if not whole or not all(isinstance(message, str | bytes) for message in messages):
            raise EncodeError("the parser's encode must give a list of str or bytes, and gave another")
        return [*messages]

    def decoder(limits: Limits) -> Decoder:
        try:
            return _Judged(parser.decoder(limits))
        except Exception as error:
            raise OptionError(f"parser: decoder(limits) raised {in_words(error)}") from error

    return Codec(
        lambda namespace, event, args, id: encode(Packet(PacketType.EVENT, namespace, [event, *args], id)),
        lambda namespace, id, args: encode(Packet(PacketType.ACK, namespace, [*args], id)),
        lambda namespace, data: encode(Packet(PacketType.CONNECT, namespace, data)),
        lambda namespace: encode(Packet(PacketType.DISCONNECT, namespace)),
        decoder,
    )


class _Judged:
    """A parser's decoder, of which nothing but packets and the documented exception is let through."""

    __slots__ = ("_decoder",)

    def __init__(self, decoder: Decoder) -> None:
        self._decoder: Any = decoder

    def feed(self, message: Message) -> Fields | None:
        """See `Decoder.feed`."""
        try:
            found = self._decoder.feed(message)
        except ProtocolError:
            raise
        except Exception as error:
            raise ProtocolError(f"the parser raised {in_words(error)}") from error
        return None if found is None else _judged(found)


def _judged(found: Any) -> Packet:
    """The packet that a parser gave.

    Raises:
        ProtocolError: it is none.
    """
    if not isinstance(found, tuple) or len(found) != len(Packet._fields):
        raise ProtocolError(f"the parser gave a {type(found).__name__} that is no Packet")
    kind, namespace, data, number, auto = found
    fields = {
        "type": int(kind) if isinstance(kind, PacketType) else kind,
        "nsp": namespace,
        "data": [*data] if isinstance(data, tuple) else data,
        "id": number,
    }
    try:
        return _packet(fields)._replace(auto=bool(auto))
    except ProtocolError as error:
        raise ProtocolError(f"the parser gave a Packet that is none: {error}") from error


class MsgpackParser:
    """socket.io-msgpack-parser: each packet is one binary message, a map of type, nsp, data and id."""

    def encode(self, packet: Packet) -> list[Message]:
        """The message of a packet.

        Raises:
            EncodeError: its data can't be sent as msgpack.
        """
        kind, namespace, data, number, _ = packet
        if kind == PacketType.CONNECT and isinstance(data, str):  # a query, in Socket.IO 2
            namespace, data = f"{namespace}?{data}", None
        fields: dict[str, Json] = {"type": int(kind), "nsp": namespace}
        if data is not None:
            fields["data"] = data
        if number is not None:
            fields["id"] = number
        try:
            return [msgpack.packb(fields)]
        except (TypeError, ValueError, OverflowError) as error:
            args = data[1:] if kind == PacketType.EVENT else data
            raise EncodeError(culprit(args, "data", form="msgpack") or f"data: {error}") from None

    def decoder(self, limits: Limits) -> MsgpackDecoder:
        """A decoder for one connection."""
        return MsgpackDecoder(limits)


class MsgpackDecoder:
    """Turns msgpack messages into packets."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def feed(self, message: Message) -> Packet:
        """One message in, one packet out.

        Raises:
            ProtocolError: it isn't the msgpack of a packet (LimitError: it goes beyond `Limits`).
        """
        if isinstance(message, str):
            raise ProtocolError("text message: the msgpack parser sends binary only")
        limits = self._limits
        if len(message) > limits.message:
            raise LimitError.of_size("message of", len(message), "message", limits.message)
        try:
            scan = msgpack.Unpacker(read_size=len(message) or 1, max_buffer_size=limits.message)
            scan.feed(message)
            scan.skip()  # takes no memory: lengths which lie are found before memory is taken for them
            fields = _unpacked(message)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise ProtocolError(f"not msgpack: {str(error) or type(error).__name__}") from None
        if not isinstance(fields, dict):
            raise ProtocolError("packet that isn't a map")
        _check_depth(fields, limits.nesting)
        return _packet(fields)


def _unpacked(message: bytes) -> Any:
    """What a message holds. Python's servers send numbers as keys; JavaScript makes texts of them."""
    try:
        return msgpack.unpackb(message, ext_hook=_ext)
    except ValueError:  # of such a key; or of what is malformed, and is so again
        return msgpack.unpackb(message, ext_hook=_ext, strict_map_key=False, object_pairs_hook=_with_texts)


def _with_texts(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {str(key) if key.__class__ is int else key: value for key, value in pairs}


def _ext(code: int, data: bytes) -> Any:
    """JavaScript's undefined is ExtType(0, b"\\0")."""
    return None if code == 0 and len(data) == 1 else msgpack.ExtType(code, data)


def _check_depth(value: Json, nesting: int) -> None:
    boxes = [value]
    for _ in range(nesting + 1):  # the packet's own map is no part of the data
        contents = [box.values() if isinstance(box, dict) else box for box in boxes]
        boxes = [item for content in contents for item in content if isinstance(item, dict | list)]
        if not boxes:
            return
    raise LimitError.of("data nested more deeply", "nesting", nesting)


def _packet(fields: dict[Any, Any]) -> Packet:
    kind, namespace, data, number = (fields.get(name) for name in ("type", "nsp", "data", "id"))
    if kind.__class__ is not int or not 0 <= kind <= PacketType.BINARY_ACK:
        raise ProtocolError("unknown Socket.IO packet type")
    if not isinstance(namespace, str) or namespace[:1] != "/":
        raise ProtocolError("packet without a namespace")
    if number is not None and (number.__class__ is not int or not 0 <= number < 10**ID_DIGITS):
        raise ProtocolError("malformed id")
    kind = PacketType(kind)
    if kind in (PacketType.EVENT, PacketType.BINARY_EVENT):
        if not isinstance(data, list) or not data:
            raise ProtocolError("event without a name")
        data[0] = event_name(data[0])
        return Packet(PacketType.EVENT, namespace, data, number)
    if kind in (PacketType.ACK, PacketType.BINARY_ACK):
        if not isinstance(data, list) or number is None:
            raise ProtocolError("ack without an id or with malformed arguments")
        return Packet(PacketType.ACK, namespace, data, number)
    if kind is PacketType.CONNECT and not isinstance(data, dict | None):
        raise ProtocolError("connect packet with data that isn't an object")
    return Packet(kind, namespace, None if kind is PacketType.DISCONNECT else data)


_msgpack = MsgpackParser()
MSGPACK = replace(codec_of(_msgpack), decoder=_msgpack.decoder)  # which raises no other
