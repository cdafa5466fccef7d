"""The JSON codec of Socket.IO 1 to 4: packets to Engine.IO messages and back.

Form (Socket.IO protocol, section "Packet encoding"):
`type[attachments-][namespace,][id][JSON]`, then each attachment as a binary message of its own. 1.x leaves
out a comma that nothing follows ("bare" here); 1.0.0 to 1.0.2 write acks, binary or not, as
`3<attachments>-[namespace,]id[JSON]` ("dashed").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import orjson

from sioload.errors import EncodeError, LimitError, ProtocolError
from sioload.options import Limits
from sioload.plain import Json
from sioload.socketio.jsontext import OPTIONS, check_depth, culprit, escape, loads, to_json
from sioload.socketio.packet import Fields, PacketType

Message = str | bytes

#: Ids above this many digits can't come from a counter, and JavaScript couldn't hold them exactly.
ID_DIGITS: Final = 15
#: Attachments that JavaScript's parsers of 2025 and later take (socket.io-parser, `maxAttachments`).
COMMON_ATTACHMENTS: Final = 10
_OPTIONS: Final = OPTIONS  # of this module: a global that costs no look-up
_KINDS: Final[dict[str, PacketType]] = {str(kind.value): kind for kind in PacketType}
_EVENT: Final = PacketType.EVENT
_ACK: Final = PacketType.ACK
_CONNECT: Final = PacketType.CONNECT
_DISCONNECT: Final = PacketType.DISCONNECT
_CONNECT_ERROR: Final = PacketType.CONNECT_ERROR
_BINARY_EVENT: Final = PacketType.BINARY_EVENT
_from_json: Final = orjson.loads
_to_json: Final = orjson.dumps


# --- sending


def encode_event(
    namespace: str, event: str | int, args: Sequence[Json], id: int | None = None, *, ascii: bool = False
) -> list[Message]:
    """The messages of an event: its text, then its attachments.

    bytes, bytearray and memoryview anywhere in `args` become attachments; tuples become arrays, UUIDs text
    and enum members their values; NaN and infinity become null, as in JSON.stringify.

    Args:
        namespace: "/" or "/name".
        event: the event's name.
        args: its arguments.
        id: asks for an ack under this number.
        ascii: escape all non-ASCII characters of the JSON.

    Raises:
        EncodeError: an argument can't be sent as JSON; the message names its type and place.
    """
    text, attachments = to_json([event, *args], args)
    kind = f"5{len(attachments)}-" if attachments else "2"
    return [_head(kind, namespace, id) + (escape(text) if ascii else text), *attachments]


#: Names of what Socket.IO 3 and 4 tell about the connection itself: no client may emit them, and servers of
#: Node end the session of who does. socket.io-parser, `RESERVED_EVENTS`.
RESERVED: Final = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)


def event_head(namespace: str, kind: bytes) -> bytes:
    """What stands before an event's id, in UTF-8; `kind` is what it begins with: "2", or "42" in a frame."""
    return kind if namespace == "/" else kind + _head("", namespace, None).encode()


def event_json(event: str | int, data: Json) -> bytes | None:
    """What stands behind the id of most events, in UTF-8, with less work than `encode_event`.

    Args:
        event: the event's name.
        data: None for no argument, a tuple for several.

    Returns:
        None if it takes attachments or can't be sent, so that `encode_event` is to judge.
    """
    try:
        if data is None:
            return _to_json([event], None, _OPTIONS)
        if isinstance(data, tuple):
            return _to_json([event, *data], None, _OPTIONS)
        return _to_json([event, data], None, _OPTIONS)
    except TypeError:
        return None


def encode_ack(
    namespace: str, id: int, args: Sequence[Json], *, ascii: bool = False, dashed: bool = False
) -> list[Message]:
    """The messages of an ack that answers the server's event `id`; see `encode_event`."""
    text, attachments = to_json([*args], args)
    count = len(attachments)
    kind = f"3{count}-" if dashed else f"6{count}-" if count else "3"
    return [_head(kind, namespace, id) + (escape(text) if ascii else text), *attachments]


def encode_connect(namespace: str, data: Json = None) -> list[Message]:
    """Asks to join a namespace in Socket.IO 3 and 4; `data` is the auth payload, None for none.

    Raises:
        EncodeError: `data` can't be sent as JSON.
    """
    head = _head("0", namespace, None)
    if data is None:
        return [head]
    try:
        return [head + orjson.dumps(data, None, _OPTIONS | orjson.OPT_NON_STR_KEYS).decode()]
    except TypeError as error:
        raise EncodeError(culprit(data, "auth") or f"auth: {error}") from None


def encode_connect_query(namespace: str, data: Json = None) -> list[Message]:
    """Asks to join a namespace in Socket.IO 2; `data` is a query string without "?", None for none."""
    return [_head("0", f"{namespace}?{data}" if data else namespace, None)]


def encode_connect_bare(namespace: str, data: Json = None) -> list[Message]:
    """Asks to join a namespace in Socket.IO 1; `data` is a query string (from 1.5 on), None for none."""
    return [_head("0", f"{namespace}?{data}" if data else namespace, None).removesuffix(",")]


def encode_disconnect(namespace: str) -> list[Message]:
    """Leaves a namespace in Socket.IO 2 to 4."""
    return [_head("1", namespace, None)]


def encode_disconnect_bare(namespace: str) -> list[Message]:
    """Leaves a namespace in Socket.IO 1."""
    return [_head("1", namespace, None).removesuffix(",")]


def _head(kind: str, namespace: str, id: int | None) -> str:
    number = "" if id is None else id
    return f"{kind}{number}" if namespace == "/" else kind + namespace + f",{number}"  # maybe an Enum's


# --- receiving


class Decoder:
    """Turns the messages of one connection into packets.

    Attributes:
        wanted: attachments of the packet that was begun last.
        dashed_acks: an ack in the form of 1.0.0 to 1.0.2 was seen, so that the server wants that form too.
    """

    __slots__ = (
        "_attachments",
        "_limits",
        "_nesting",
        "_packet",
        "_room",
        "_shallow",
        "dashed_acks",
        "wanted",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._nesting = limits.nesting
        self._shallow = 2 * limits.nesting  # text too short to be nested more deeply
        self._packet: Fields | None = None
        self.wanted = self._room = 0
        self._attachments: list[bytes] = []
        self.dashed_acks = False

    def feed(self, message: Message) -> Fields | None:
        """One Engine.IO message in; a packet's fields out, or None while attachments are missing.

        Raises:
            ProtocolError: the message breaks the protocol (LimitError: it goes beyond `Limits`). The decoder
                is of no further use then.
        """
        if not isinstance(message, str) or self._packet is not None:
            return self._attach(message)
        namespace, number, start = "/", None, 1
        # By far the most frequent packets: events and acks of the root.
        first = message[:1]
        if first == "2" and message.startswith("[", 1):
            kind = _EVENT
        elif (
            first == "3"
            and 1 < (start := message.find("[")) <= ID_DIGITS
            and (digits := message[1:start]).isascii()
            and digits.isdigit()
        ):
            kind, number = _ACK, int(digits)
        else:
            start = 1
            known = _KINDS.get(message[:1])
            if known is not _EVENT and known is not _ACK:
                return self._rare(known, message)
            kind = known
            if message.startswith("/", 1):
                comma = message.find(",")
                if comma < 0:
                    raise ProtocolError("namespace without its end")
                namespace, start = message[1:comma], comma + 1
            bracket = message.find("[", start)
            if bracket < 0:
                raise ProtocolError("event or ack without data")
            if bracket != start:
                digits = message[start:bracket]
                if len(digits) > ID_DIGITS or not (digits.isascii() and digits.isdigit()):
                    return self._rare(kind, message)
                number, start = int(digits), bracket
        text = message[start:]
        if len(text) > self._shallow:
            check_depth(text, self._nesting)
        try:
            data = _from_json(text)
        except ValueError:
            data = loads(text, self._nesting)
        if kind is _EVENT:
            if not data or not isinstance(data[0], str):
                data[:1] = [event_name(data[0] if data else None)]
        elif number is None:
            raise ProtocolError("ack without an id")
        return kind, namespace, data, number, False

    def root_ack(self, frame: bytes, start: int) -> tuple[int, list[Json]] | None:
        """What is received most, an ack in the root without attachments, with less work than `feed`.

        Args:
            frame: holds it, in UTF-8, up to its end.
            start: where it begins.

        Returns:
            Its id and arguments; None if this is anything else, so that `feed` is to judge.
        """
        size = len(frame)
        if self._packet is not None or size > self._shallow or frame[start] != 0x33:
            return None
        number, pos = 0, start + 1
        while pos < size and 0x30 <= frame[pos] <= 0x39:
            number = number * 10 + frame[pos] - 0x30
            pos += 1
        if not 1 < pos - start <= ID_DIGITS or pos == size or frame[pos] != 0x5B:
            return None
        try:
            return number, _from_json(frame[pos:])
        except ValueError:
            return None

    def _rare(self, kind: PacketType | None, message: str) -> Fields | None:
        """All packets but plain events and acks."""
        if kind is None:
            raise ProtocolError(f"unknown Socket.IO packet type {message[:1]!r}")
        if kind is _CONNECT or kind is _DISCONNECT or kind is _CONNECT_ERROR:
            return self._control(kind, message)
        digits, dash, rest = message[1:].partition("-")
        if kind is _EVENT or not dash:
            raise ProtocolError("malformed id")
        count = to_number(digits, "attachment count")
        if count > self._limits.attachments:
            raise LimitError.of(f"{count} attachments", "attachments", self._limits.attachments)
        head = rest.partition("[")[0]
        number = head.partition(",")[2] if head[:1] == "/" else head
        if number:
            to_number(number, "id")
        if kind is _ACK:
            self.dashed_acks = True
        whole = Decoder(self._limits).feed(("2" if kind is _BINARY_EVENT else "3") + rest)
        if not count or whole is None:
            return whole
        self._packet, self.wanted, self._room = whole, count, self._limits.payload
        return None

    def _control(self, kind: PacketType, message: str) -> Fields:
        """CONNECT, DISCONNECT and CONNECT_ERROR, which have neither id nor attachments."""
        namespace, rest, query = "/", message[1:], ""
        if rest[:1] == "/":
            namespace, _, rest = rest.partition(",")
            namespace, _, query = namespace.partition("?")
        data = loads(rest, self._nesting) if rest else query or None
        if kind is _CONNECT:
            if rest and not isinstance(data, dict):
                raise ProtocolError("connect packet with data that isn't an object")
        elif kind is _DISCONNECT and data is not None:
            raise ProtocolError("disconnect packet with data")
        return kind, namespace, data, None, False

    def _attach(self, message: Message) -> Fields | None:
        packet = self._packet
        if packet is None:
            raise ProtocolError("binary message that no packet announced")
        if isinstance(message, str):
            raise ProtocolError(f"text while {self.wanted - len(self._attachments)} attachments are missing")
        self._room -= len(message)
        if self._room < 0:
            limit = self._limits.payload
            raise LimitError.of_size("attachments, together", limit - self._room, "payload", limit)
        self._attachments.append(message)
        if len(self._attachments) < self.wanted:
            return None
        attachments, self._attachments, self._packet = self._attachments, [], None
        _fill(packet[2], attachments)
        return packet


def event_name(given: object) -> str:
    """The name of an event that came, numbers in the text that JavaScript makes of them.

    Raises:
        ProtocolError: it is none. socket.io-parser, `Decoder.isPayloadValid`: texts and numbers are.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, int | float) and given.__class__ is not bool and math.isfinite(given):
        return str(int(given) if given == int(given) else given)
    raise ProtocolError("event without a name")


def to_number(digits: str, what: str) -> int:
    if not 0 < len(digits) <= ID_DIGITS or not digits.isascii() or not digits.isdigit():
        raise ProtocolError(f"malformed {what}")
    return int(digits)


def _fill(data: list[Json], attachments: list[bytes]) -> None:
    """Puts attachments in their placeholders' places."""
    stack: list[Json] = [data]
    while stack:
        box = stack.pop()
        pairs: list[tuple[Any, Any]] = [*(box.items() if isinstance(box, dict) else enumerate(box))]
        for key, value in pairs:
            if isinstance(value, dict) and value.get("_placeholder") is True:
                number = value.get("num")
                if number.__class__ is not int or not 0 <= number < len(attachments):
                    raise ProtocolError("placeholder without its attachment")
                box[key] = attachments[number]
            elif isinstance(value, dict | list):
                stack.append(value)
