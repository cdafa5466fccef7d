"""Socket.IO packets of one connection: events and acks to the client, the others to its namespaces.

Source: Socket.IO protocol 5, section "Packet encoding".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from mypy_extensions import mypyc_attr

from sioload.client.emits import arguments_of
from sioload.client.namespace import Namespace, plain
from sioload.errors import EncodeError, ProtocolError, Refused
from sioload.net.pushes import Hearer
from sioload.net.websocket import MessageHandler
from sioload.options import Options
from sioload.plain import Json
from sioload.session.connection import Connection
from sioload.session.polling import LENGTHS
from sioload.session.probe import remember_generation
from sioload.session.transport import Receipt
from sioload.socketio.codec import (
    COMMON_ATTACHMENTS,
    ID_DIGITS,
    RESERVED,
    Decoder,
    encode_event,
    event_head,
    event_json,
)
from sioload.socketio.generations import V1_0, VERSIONS, Generation, codec_for
from sioload.socketio.packet import Packet, PacketType

if TYPE_CHECKING:
    from sioload.measure.rooms import Member
    from sioload.net.fleet import Fleet
    from sioload.net.pushes import BroadcastKey, CountedBroadcast
    from sioload.net.wakeups import Woken
    from sioload.socketio.parsers import Codec

# Looked up for each message; an attribute of an enumeration costs three times as much as a global.
_EVENT: Final = PacketType.EVENT
_ACK: Final = PacketType.ACK
_CONNECT: Final = PacketType.CONNECT
_CONNECT_ERROR: Final = PacketType.CONNECT_ERROR

NOTHING: Final[dict[str, Namespace]] = {}


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Hearer, Protocol):
    """Who gets events and acks. Called in the hub."""

    __slots__ = ()

    def on_event(
        self, namespace: str, args: list[Json], id: int | None, auto: bool, offset: bool = False
    ) -> CountedBroadcast | None:
        """An event: `[name, *arguments]`; `id` asks for an ack.

        Args:
            auto: the ack is owed at once, whatever the script does (0.9).
            offset: the last argument is one of connection state recovery.

        Returns:
            What stands for the same frame at others, if all that was done is count it and call a handler.
        """

    def only_counts(self, handlers: object) -> bool:
        """Whether no more is to be done with events for this one, who may have the same handlers."""

    def member(self) -> Member | None:
        """Who is in the audience of events."""

    def on_ack(self, id: int, args: list[Json]) -> None:
        """An ack."""


class Control(Protocol):
    """Who joins and leaves namespaces. Called in the hub."""

    __slots__ = ()

    def on_connect(self, name: str, data: object) -> None:
        """The server joined this client to a namespace, and said this of it."""

    def on_refusal(self, name: str, data: object) -> None:
        """It refused to, or refused something else that it doesn't name."""

    def on_disconnect(self, name: str) -> None:
        """It closed a namespace."""

    def on_early(self, namespace: Namespace, packet: Packet) -> None:
        """An event overtook the answer to CONNECT."""


class Packets(MessageHandler):
    """Encodes what goes out and decodes what comes in.

    Attributes:
        namespaces: name to `Namespace`, those that are wanted.
        ready: the same while all of them are connected, else nothing.
        connection: the current one, None without.
        generation: what is spoken.
        size: bytes of the message that is being handled.
        control: who gets what isn't an event or ack.
        woken: whose answer has come; they go on before anything that comes behind it is looked at.
            None: nobody waits for answers here.
    """

    __slots__ = ("_codec", "_decoder", "_direct", "_fleet", "_json", "_listener", "_partial", "connection",
                 "control", "generation", "namespaces", "ready", "size", "woken")  # fmt: skip

    control: Control

    def __init__(self, fleet: Fleet, listener: Listener) -> None:
        self._fleet = fleet
        self._listener = listener
        self.namespaces: dict[str, Namespace] = {}
        self.ready = NOTHING
        self.connection: Connection | None = None
        self.generation: Generation = VERSIONS[4]
        self._codec: Codec = self.generation.codec
        self._direct = False  # events need nothing of the codec but their JSON
        self._decoder: Any = None
        self._json: Decoder | None = None  # the same, if it is the usual one
        self._partial = False
        self.size = 0
        self.woken: Woken | None = None

    def speak(self, generation: Generation, options: Options) -> None:
        """A session of this generation begins."""
        self._use(generation, options)
        self._decoder = self._codec.decoder(options.limits)
        self._json = self._decoder if type(self._decoder) is Decoder else None
        self._partial = False

    def _use(self, generation: Generation, options: Options) -> None:
        self.generation = generation
        in_bodies = options.base64 and "polling" in options.transports
        self._codec = codec_for(generation, options.parser, in_bodies)
        self._direct = self._codec.encode_event is encode_event

    def end(self) -> None:
        """The session has ended."""
        self.connection = None
        self._decoder = self._json = None

    def forget_shortcuts(self) -> None:
        """What is done with events may have changed."""
        if self.connection is not None:
            self.connection.forget_shortcuts()

    # Sending. Greenlets may call these.

    def usable(self, name: str) -> bool:
        """Whether something can be sent in a namespace now."""
        namespace = self.ready.get(name)
        return namespace is not None and namespace.connected

    def send_event(
        self, namespace: str, event: str | int, data: Json, id: int | None, receipt: Receipt | None
    ) -> bool:
        """Send an event; see `Connection.send`. `data` is as a script gives it (`emits.arguments_of`).

        Raises:
            EncodeError: an argument can't be serialised, or the name is reserved.
            Refused: the message is above the server's maxPayload.
        """
        connection = self.connection
        assert connection is not None
        if event in RESERVED and self.generation.eio == "4":
            raise EncodeError(f"{plain(event)!r} is reserved: servers end the session of who emits it")
        if self._direct and connection.direct:
            head, json = event_head(namespace, b"42"), event_json(event, data)
            if json is not None and len(head) + ID_DIGITS + len(json) <= connection.max_payload:
                return connection.send_direct(head, id, json, receipt)
        messages = self._codec.encode_event(namespace, event, arguments_of(data), id)
        if len(messages) > 1 or len(messages[0]) * 4 >= connection.max_payload:
            _check_size(connection, messages)
            self._tell_of(len(messages) - 1)
        return connection.send(messages, receipt)

    def send_ack(self, namespace: str, id: int, args: list[Json]) -> None:
        """Answer an event of the server; nothing happens when its namespace is gone.

        Raises:
            EncodeError: an argument can't be serialised.
            Refused: the answer is above the server's maxPayload.
        """
        connection, asked = self.connection, self.namespaces.get(namespace)
        # Others may still be asked for: emits wait for these, but the server waits for this.
        if asked is not None and asked.connected and connection is not None and connection.is_open:
            if getattr(self._decoder, "dashed_acks", False) and not self.generation.dashed_acks:
                # The server has shown which of the older generations it speaks exactly.
                requests = connection.requests
                self._use(V1_0, requests.options)
                connection.speak(V1_0)
                remember_generation(self._fleet, requests.given, requests.options, V1_0)
            messages = self._codec.encode_ack(namespace, id, args)
            _check_size(connection, messages)
            self._tell_of(len(messages) - 1)
            connection.send(messages)

    def send_raw(self, raw: str | bytes, receipt: Receipt) -> bool:
        """Send a packet written by hand."""
        assert self.connection is not None
        return self.connection.send_raw(raw, receipt)

    def send_connect(self, name: str, payload: Json) -> None:
        """Ask to join a namespace.

        Raises:
            EncodeError: the payload can't be serialised.
            Refused: it is above the server's maxPayload.
        """
        connection = self.connection
        assert connection is not None
        connection.requests.confided = payload
        messages = self._codec.encode_connect(name, payload)
        _check_size(connection, messages)
        connection.send(messages)

    def send_disconnect(self, name: str) -> None:
        """Leave a namespace."""
        assert self.connection is not None
        try:
            messages = self._codec.encode_disconnect(name)
        except EncodeError as error:  # of a parser of the script's own; the session's end says as much
            self._fleet.complaints.say(f"leaving namespace {name} can't be told to the server: {error}")
        else:
            self.connection.send(messages)

    def _tell_of(self, attachments: int) -> None:
        """Say once that other clients and servers wouldn't take so many."""
        if attachments > COMMON_ATTACHMENTS:
            said = f"there are packets with more than {COMMON_ATTACHMENTS} attachments"
            self._fleet.complaints.say(said, "socket.io-parser's maxAttachments is 10 by default")

    # The session's receiver.

    def on_message(self, data: str | bytes) -> None:
        woken = self.woken
        if woken is not None and woken.sleepers is not None:
            woken.go_on()
        if self._decoder is None:
            return  # one of them has closed the session
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        self.size = self.size + size if self._partial else size
        try:
            packet = self._decoder.feed(data) if self._json is None else self._json.feed(data)
        except ProtocolError as error:
            if self.connection is not None:
                self.connection.broken(error)
            return
        self._partial = packet is None
        if packet is None:
            self.forget_shortcuts()
            self._tell_of(getattr(self._decoder, "wanted", 0))
            return
        kind, name, content, id, auto = packet
        if self._json is None and kind.__class__ is not PacketType:
            kind = PacketType(kind)  # a script's own parser may give the number
        if kind is _ACK:
            self._listener.on_ack(id, content)
        elif kind is _EVENT:
            namespace = self.namespaces.get(name)
            if namespace is None:
                return
            if not namespace.connected:
                self.control.on_early(namespace, Packet(*packet))
            elif namespace.pid is None:
                push = self._listener.on_event(name, content, id, auto)
                if push is not None and isinstance(data, str):
                    self._remember(data, name, push)
            else:
                self.deliver(namespace, Packet(*packet))
        elif kind is _CONNECT:
            self.control.on_connect(name, content)
        elif kind is _CONNECT_ERROR:
            self.control.on_refusal(name, content)
        else:
            self.control.on_disconnect(name)

    def _remember(self, text: str, namespace: str, push: CountedBroadcast) -> None:
        call = push.call
        if call is not None:
            if self._json is None:
                return
            call.text = text.partition(",")[2] if text.startswith("/", 1) else text[1:]
        self._fleet.remember(text, namespace, self._codec, push)

    def on_ack_frame(self, frame: bytes, start: int) -> bool:
        woken = self.woken
        if woken is not None and woken.sleepers is not None:
            woken.go_on()
        found = None if self._json is None else self._json.root_ack(frame, start)
        if found is None:
            return False
        self.size = len(frame) - start
        self._listener.on_ack(found[0], found[1])
        return True

    def on_push(self, key: BroadcastKey) -> bool:
        """All is done for the first of its receivers, and for those whose script waits for something."""
        namespace = self.namespaces.get(key.namespace)
        return (
            namespace is not None
            and namespace.connected
            and namespace.pid is None
            and key.codec is self._codec
            and not self._partial
            and (self.woken is None or self.woken.sleepers is None)
            and self._listener.only_counts(key.handlers)
        )

    def member(self) -> Member | None:
        return self._listener.member()

    def hearer(self) -> Hearer:
        return self._listener

    def deliver(self, namespace: Namespace, packet: Packet) -> None:
        """Hand on an event that may carry an offset, or that had to wait."""
        offset = namespace.takes_offset(packet)
        self._listener.on_event(namespace.name, packet.data, packet.id, packet.auto, offset)


def _check_size(connection: Connection, messages: list[str | bytes]) -> None:
    most = connection.max_payload
    for message in messages:
        if len(message) * 4 + LENGTHS >= most:  # else it fits, however it is encoded
            size = connection.size_of(message)
            if size > most:
                raise Refused(f"a message of {size} bytes is above the server's maxPayload of {most:.0f}")
