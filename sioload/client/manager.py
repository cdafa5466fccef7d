"""One user's way to its server: attempts, namespaces, losing the connection and coming back.

All of it runs in the hub, except where a docstring says that a greenlet may call it.
Source: Socket.IO protocol 5, sections "Connection to a namespace" and "Disconnection from a namespace";
reconnection as in socket.io-client's Manager.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import gevent
from mypy_extensions import mypyc_attr

from sioload.client.dispatcher import weigh
from sioload.client.emits import arguments_of
from sioload.client.namespaces import NO_QUERY, Namespace, namespaces_of, refusal_of
from sioload.engineio.cookies import Jar
from sioload.engineio.secrets import redact
from sioload.engineio.urls import Endpoint, Request, with_token
from sioload.errors import (
    ConnectError,
    ConnectionLost,
    EncodeError,
    End,
    Failure,
    LimitError,
    Loss,
    OptionError,
    ProtocolError,
    Reason,
    Refused,
)
from sioload.net.tunnel import unused
from sioload.options import Options
from sioload.session.connection import Connection
from sioload.session.connection import Listener as SessionListener
from sioload.session.probe import Finding, find_generation, remember_generation
from sioload.session.requests import Requests
from sioload.session.transport import Receipt
from sioload.socketio.backoff import backoff
from sioload.socketio.codec import (
    COMMON_ATTACHMENTS,
    ID_DIGITS,
    Decoder,
    encode_event,
    event_head,
    event_json,
)
from sioload.socketio.detect import wrong_version
from sioload.socketio.generations import UNKNOWN_3, V1_0, VERSIONS, Generation, codec_for
from sioload.socketio.packet import Packet, PacketType

if TYPE_CHECKING:
    from sioload.measure.rows import Row
    from sioload.net.fleet import Fleet
    from sioload.net.pushes import BroadcastKey, CountedBroadcast
    from sioload.socketio.parsers import Codec

#: Events that arrive before their namespace is connected; more than these end the connection.
EARLY = 1000

# Looked up for each message; an attribute of an enumeration costs three times as much as a global.
_EVENT: Final = PacketType.EVENT
_ACK: Final = PacketType.ACK


class Phase(Enum):
    """Where a link is."""

    IDLE = auto()
    CONNECTING = auto()
    UP = auto()
    DOWN = auto()  # lost; an attempt to come back is under way or will be
    CLOSING = auto()


_NOTHING: dict[str, Namespace] = {}


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Protocol):
    """The client above a link. Called in the hub."""

    __slots__ = ()

    def on_event(
        self, namespace: str, args: list[Any], id: int | None, auto: bool, offset: bool = False
    ) -> CountedBroadcast | None:
        """An event: `[name, *arguments]`; `id` asks for an ack. Returns what was done if it was no more.

        `offset`: the last argument is one of connection state recovery.
        """

    def on_server_error(self, namespace: str, data: Any, reason: str) -> None:
        """The server refused something that it doesn't name, or the namespace after it was joined."""

    def only_counts(self, handlers: object) -> bool:
        """Whether an event that was only measured for a user with these handlers is so for this one too."""

    def on_ack(self, id: int, args: list[Any]) -> None:
        """An ack."""

    def on_up(self, again: bool) -> None:
        """Every namespace is connected; `again` after a loss."""

    def on_connect_error(self, namespace: str, data: object) -> None:
        """A namespace wasn't joined: what the server said, or what was in the way."""

    def on_attempt_failed(self, error: ConnectError) -> None:
        """An attempt that `connect` began came to nothing."""

    def on_down(self, reason: Loss, namespace: str | None) -> None:
        """The connection (or, with a name, one namespace) was lost: nothing pending will be answered."""

    def on_writable(self) -> None:
        """The write buffer is empty again."""

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call user code in a greenlet."""

    def jar(self, make: bool = False) -> Jar | None:
        """The user's cookies; None while there are none, unless the jar is to be made."""

    def owner(self) -> object:
        """The user, None without one."""

    def hook(self, name: str) -> Callable[..., Any] | None:
        """A hook that the user defined, None without."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Manager(SessionListener):
    """See the module.

    Attributes:
        options: of the current connection.
        namespaces: name to `Namespace`, those that are wanted.
        ready: the same while the link is up, else nothing.
        connection: the current one, None without.
        size: bytes of the message that is being handled.
        failed: the last attempt's failure; its connection may not have ended yet.
    """

    __slots__ = (
        "_again",
        "_attempts",
        "_auth",
        "_codec",
        "_deadline",
        "_decoder",
        "_direct",
        "_fleet",
        "_generation",
        "_hooked",
        "_json",
        "_listener",
        "_lost_at",
        "_lost_reason",
        "_partial",
        "_query",
        "_retry",
        "ask_headers",
        "ask_url",
        "connection",
        "endpoint",
        "failed",
        "namespaces",
        "options",
        "phase",
        "ready",
        "size",
    )  # fmt: skip

    def __init__(self, fleet: Fleet, options: Options, listener: Listener) -> None:
        self._fleet = fleet
        self._listener = listener
        self.options = options
        self.phase = Phase.IDLE
        self.namespaces: dict[str, Namespace] = {}
        self.ready = _NOTHING
        self.connection: Connection | None = None
        self.endpoint: Endpoint | None = None
        self._generation: Generation = VERSIONS[4]
        self._codec = self._generation.codec
        self._direct = False  # events need nothing of the codec but their JSON
        self._decoder: Any = None
        self._json: Decoder | None = None  # the same, if it is the usual one
        self._partial = False
        self.size = 0
        self._auth: Any = None
        self._query: str | None = None
        self._hooked: object = None
        self.ask_headers: Callable[[], Mapping[str, str]] | None = None
        self.ask_url: Callable[[], Endpoint] | None = None
        self._attempts = 0
        self._again = False  # as an older generation
        self.failed: ConnectError | None = None
        self._lost_at: float | None = None
        self._lost_reason: Reason = "client"
        self._deadline: Any = None
        self._retry: Any = None

    def _row(self, type: str, name: str, error: Exception | None = None) -> Row:
        """A row whose next sample is this user's."""
        row = self._fleet.recorder.row(type, name)
        if row.tap is not None:
            row.note(self._listener.owner(), 0, error)
        return row

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.ready = self.namespaces if phase is Phase.UP else _NOTHING

    # Connecting.

    def connect(self, endpoint: Endpoint, options: Options, namespaces: list[str], auth: Any) -> None:
        """Begin an attempt; `on_up` or `on_attempt_failed` follows. A greenlet may call it."""
        self.endpoint = endpoint
        self.options = options
        self.namespaces = namespaces_of(namespaces)
        self._auth = auth
        self._attempts = 0
        self._lost_at = None
        self._enter(Phase.CONNECTING)
        self._attempt()

    def reopen(self) -> None:
        """Connect once more as last time. A greenlet may call it."""
        assert self.endpoint is not None
        names = [f"{n.name}?{n.query}" if n.query else n.name for n in self.namespaces.values()]
        self.connect(self.endpoint, self.options, names, self._auth)

    def _attempt(self) -> None:
        options, endpoint = self.options, self.endpoint
        assert endpoint is not None
        self.failed = None
        self._fleet.members.add(self)
        self._begin(find_generation, self._fleet, endpoint, options, self._found)

    def _begin(self, step: Callable[..., None], *args: Any) -> None:
        """A step of an attempt that has no connection yet; the attempt fails if it raises."""
        try:
            step(*args)
        except OptionError as error:
            self._fleet.later(self._give_up, str(error))
        except Exception as error:  # noqa: BLE001 - one user's fault must not leave it connecting for ever
            self._fleet.crashed(error)
            self._fleet.later(self._give_up, "internal error")

    def _give_up(self, reason: str) -> None:
        if self.connection is not None:
            self.connection.drop("internal error", reason)
        elif self.phase in (Phase.CONNECTING, Phase.DOWN):
            self._attempt_failed(ConnectError("open", reason, kind="internal error"))

    def _found(self, generation: Generation, finding: Finding | None) -> None:
        """It is known how to begin; the time of the attempt begins too."""
        if self.phase in (Phase.CONNECTING, Phase.DOWN) and self.connection is None:
            self._begin(self._open, generation, finding)
        # Else it was given up meanwhile, or an earlier attempt's answer served already.
        if finding is not None and self.connection is None:
            finding.release()

    def _open(self, generation: Generation, finding: Finding | None) -> None:
        options, endpoint = self.options, self.endpoint
        assert endpoint is not None
        self._fleet.deadlines.cancel(self._deadline)
        self._deadline = self._fleet.deadlines.at(perf_counter() + options.connect_timeout, self._timed_out)
        self.speak(generation)
        query = options.query
        asks = finding is not None and finding.asks
        if options.auth_token is not None and (generation.token == "query" or asks):
            query = with_token(query, options.auth_token)
        request = Request(
            endpoint,
            options.transports[0],
            options.headers,
            query,
            options.cookies,
            options.encode_query,
            self._listener,
        )
        owner = self._listener.owner()
        requests = Requests(self._fleet, options, generation, endpoint, request, owner)
        self.connection = Connection(requests, self, finding)
        self.connection.start()

    def speak(self, generation: Generation) -> None:
        self._generation = generation
        self._use(codec_for(generation, self.options.parser))
        self._decoder = self._codec.decoder(self.options.limits)
        self._json = self._decoder if type(self._decoder) is Decoder else None
        self._partial = False

    def _use(self, codec: Codec) -> None:
        self._codec = codec
        self._direct = codec.encode_event is encode_event

    def _timed_out(self, now: float) -> None:
        self._deadline = None
        waiting = [n.name for n in self.namespaces.values() if not n.connected]
        seconds = f"{self.options.connect_timeout:g} s"
        connection = self.connection
        if connection is not None and connection.is_open:
            self._refuse(f"no answer for namespace {', '.join(waiting)} in {seconds}", "timeout")
        elif connection is not None:
            connection.drop("timeout", f"no answer in {seconds}")
        else:
            self._attempt_failed(ConnectError("open", f"no answer in {seconds}", kind="timeout"))

    def _refuse(self, reason: str, kind: Failure = "client", data: object = None) -> None:
        """This attempt failed after its session was open: give the session up."""
        self.failed = ConnectError("connect", reason, data, kind)
        if self.connection is not None:
            self.connection.close()

    def _attempt_failed(self, error: ConnectError) -> None:
        """Every failed attempt comes through here."""
        self._fleet.deadlines.cancel(self._deadline)
        self._deadline = None
        self._count_failed(error)
        for namespace in self.namespaces.values():
            if not namespace.connected:
                self._listener.on_connect_error(
                    namespace.name, error.reason if error.data is None else error.data
                )
        self._reset_namespaces()
        if self.phase is Phase.CONNECTING:
            self._enter(Phase.IDLE)
            self._fleet.members.discard(self)
            self.failed = error
            self._listener.on_attempt_failed(error)
        elif self.phase is Phase.DOWN:
            self._retry_later()
        else:
            self._enter(Phase.IDLE)
            self._fleet.members.discard(self)

    def _count_failed(self, error: ConnectError) -> None:
        """This attempt has failed: once for each namespace, with what it waited for the answer to CONNECT."""
        for namespace in self.namespaces.values():
            if not namespace.connected and not namespace.refused:
                self._unjoined(namespace, str(error), error)

    def _unjoined(self, namespace: Namespace, said: str, error: ConnectError) -> None:
        asked = namespace.asked
        row = self._row("CONNECT", namespace.name, error)
        row.fail(said, None if asked is None else perf_counter() - asked)

    def _reset_namespaces(self) -> None:
        for namespace in self.namespaces.values():
            namespace.connected = namespace.refused = False
            namespace.asked = None
            namespace.sid = ""
            namespace.early = None

    # Coming back.

    def _retry_later(self) -> None:
        options = self.options
        if self._fleet.over or not options.reconnection or self._attempts >= options.reconnection_attempts:
            self._stay_away(self._fleet.over or "given up")
            return
        seconds = backoff(
            self._attempts,
            options.reconnection_delay,
            options.reconnection_delay_max,
            options.randomization_factor,
        )
        self._attempts += 1
        self._retry = self._fleet.deadlines.at(perf_counter() + seconds, self._retry_now)

    def _stay_away(self, said: str) -> None:
        """The way back isn't tried any more."""
        self._enter(Phase.IDLE)
        self._fleet.members.discard(self)
        if self._lost_at is not None:
            row = self._row("RECONNECT", self._lost_reason, ConnectionLost(said))
            row.fail(said, perf_counter() - self._lost_at)
        self._down("given up")

    def _retry_now(self, now: float) -> None:
        self._retry = None
        if self.phase is Phase.DOWN:
            if self.ask_url is None:
                self._attempt()
            else:
                self._listener.run(self._go_where, self.ask_url)

    def _go_where(self, ask: Callable[[], Endpoint]) -> None:
        """In a greenlet: the script says where the server is by now."""
        try:
            endpoint = ask()
        except gevent.GreenletExit:
            self._listener.run(self._go_where, ask)
            raise
        except Exception as error:  # noqa: BLE001 - the script's own code
            self._fleet.later(self._give_up, f"url raised {type(error).__name__}: {error}")
        else:
            self._fleet.later(self._go, endpoint)

    def _go(self, endpoint: Endpoint) -> None:
        if self.phase is Phase.DOWN and self.connection is None:
            self.endpoint = endpoint
            self._attempt()

    def rejoin(self) -> list[str]:
        """Ask again for namespaces that the server closed; returns their names. A greenlet may call it."""
        names = [n.name for n in self.namespaces.values() if n.kicked]
        for name in names:
            namespace = self.namespaces[name]
            namespace.kicked = namespace.refused = False
            namespace.asked = None
            if self.phase is Phase.UP:
                self._join(namespace)
        return names

    # Leaving.

    def leave(self, name: str) -> None:
        """Leave one namespace; with the last one the connection closes. A greenlet may call it."""
        namespace = self.namespaces.pop(name, None)
        if namespace is None:
            return
        self.forget_shortcuts()
        if namespace.connected and self.connection is not None:
            self.connection.send(self._codec.encode_disconnect(name))
        if not self.namespaces or (name == "/" and self._generation.leaving_root_closes):
            self.shut("client")
        else:
            self._fleet.later(self._listener.on_down, "client", name)

    def shut(self, reason: str) -> None:
        """Close politely. A greenlet may call it; the listener hears `on_down` in the hub."""
        self._fleet.deadlines.cancel(self._retry)
        self._retry = None
        connection = self.connection
        if self.phase is Phase.CLOSING or (self.phase is Phase.IDLE and connection is None):
            return
        was_up = self.phase is Phase.UP
        if self.phase is Phase.CONNECTING:
            self.failed = ConnectError("connect", "disconnected before it was connected", kind="client")
        self._enter(Phase.CLOSING)
        if connection is None:
            self._fleet.later(self._closed_idle)
            return
        if was_up and connection.is_open:
            for name in sorted(self.namespaces, reverse=True):  # "/" last: with it, 0.9 ends the session
                if self.namespaces[name].connected:
                    connection.send(self._codec.encode_disconnect(name))
        connection.close()

    def _closed_idle(self) -> None:
        self._fleet.deadlines.cancel(self._deadline)
        self._deadline = None
        self._enter(Phase.IDLE)
        self._fleet.members.discard(self)
        self._down("client")

    @property
    def pending(self) -> bool:
        """Whether something was begun that the server still owes an answer to."""
        if self.phase is not Phase.UP:
            return self.phase is Phase.CONNECTING or self.phase is Phase.DOWN
        if self.connection is not None and self.connection.upgrading:
            return True
        return not all(n.connected or n.kicked for n in self.namespaces.values())

    def finish(self, said: str) -> None:
        """Close; what was begun and has no answer is a failure, with the time that has passed. In the hub."""
        connection = self.connection
        if self.phase is Phase.DOWN and self._retry is not None:
            self._fleet.deadlines.cancel(self._retry)
            self._retry = None
            self._stay_away(said)
        elif self.phase is Phase.CONNECTING or self.phase is Phase.DOWN:
            if connection is None:
                self._attempt_failed(ConnectError("open", said, kind="timeout"))
            elif connection.is_open:
                self.failed = self.failed or ConnectError("connect", said, kind="timeout")
                connection.drop("client", said)
            else:
                connection.drop("timeout", said)
        else:
            if connection is not None:
                connection.on_probe_failed(said)
            self.unjoined(said)
            self.shut("client")

    def unjoined(self, said: str) -> None:
        """Namespaces that are joined again have no answer."""
        error = ConnectError("connect", said, kind="timeout")
        for namespace in self.namespaces.values():
            if self.phase is Phase.UP and not namespace.connected and not namespace.kicked:
                self._unjoined(namespace, str(error), error)
                namespace.kicked = True

    def forsake(self, said: str) -> None:
        """Whoever began this attempt waits for it no longer. A greenlet may call it."""
        self._count_failed(ConnectError("connect", said, kind="client"))
        self.shut("client")

    def abandon(self) -> None:
        """Drop everything at once (the drain's limit is over)."""
        self._fleet.later(self._abandon)

    def _abandon(self) -> None:
        if self.connection is not None:
            self._enter(Phase.CLOSING)
            self.connection.drop("client", "dropped at the end of the run")
        elif self.phase is not Phase.IDLE:
            self._closed_idle()

    # Sending. Greenlets may call these.

    @property
    def first_id(self) -> int:
        """The id of a connection's first emit that asks for an ack."""
        return self._generation.first_id

    def usable(self, name: str) -> bool:
        """Whether something can be sent in a namespace now."""
        namespace = self.ready.get(name)
        return namespace is not None and namespace.connected

    def send_event(
        self, namespace: str, event: str | int, data: Any, id: int | None, token: Receipt | None
    ) -> bool:
        """Send an event; see `Connection.send`. `data` is as a script gives it (`emits.arguments_of`).

        Raises:
            EncodeError: an argument can't be serialised.
            Refused: the message is above the server's maxPayload.
        """
        connection = self.connection
        assert connection is not None
        if self._direct and connection.direct:
            head, json = event_head(namespace, b"42"), event_json(event, data)
            if json is not None and len(head) + ID_DIGITS + len(json) <= connection.max_payload:
                return connection.send_direct(head, id, json, token)
        messages = self._codec.encode_event(namespace, event, arguments_of(data), id)
        if len(messages) > 1 or len(messages[0]) * 4 >= connection.max_payload:
            self._check_size(messages, connection.max_payload)
            self._tell_of(len(messages) - 1)
        return connection.send(messages, token)

    @staticmethod
    def _check_size(messages: list[str | bytes], most: float) -> None:
        for message in messages:
            size = len(message.encode()) if isinstance(message, str) else len(message)
            if size + 1 > most:
                raise Refused(f"a message of {size} bytes is above the server's maxPayload of {most:.0f}")

    def _tell_of(self, attachments: int) -> None:
        """Say once that other clients and servers wouldn't take so many."""
        if attachments > COMMON_ATTACHMENTS:
            said = f"there are packets with more than {COMMON_ATTACHMENTS} attachments"
            self._fleet.complaints.say(said, "socket.io-parser's maxAttachments is 10 by default")

    def send_ack(self, namespace: str, id: int, args: list[Any]) -> None:
        """Answer an event of the server; nothing happens when its namespace is gone."""
        if self.usable(namespace) and self.connection is not None:
            if getattr(self._decoder, "dashed_acks", False) and not self._generation.dashed_acks:
                self._learn(V1_0)
            messages = self._codec.encode_ack(namespace, id, args)
            self._tell_of(len(messages) - 1)
            self.connection.send(messages)

    def _learn(self, generation: Generation) -> None:
        """The server has shown which of the older generations it speaks exactly."""
        assert self.connection is not None
        assert self.endpoint is not None
        self._generation = generation
        self._use(codec_for(generation, self.options.parser))
        self.connection.speak(generation)
        remember_generation(self._fleet, self.endpoint, self.options, generation)

    def send_raw(self, raw: str | bytes, token: Receipt) -> bool:
        """Send a packet written by hand."""
        assert self.connection is not None
        return self.connection.send_raw(raw, token)

    # The connection's listener.

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        hook = self._listener.hook("on_handshake")
        asks = self.ask_headers if self.connection is None or not self.connection.requests.sid else None
        if asks is not None:
            self._listener.run(self._prepare, partial(_prepare_with, asks, hook), request, then)
        elif hook is None:
            then()
        else:
            self._listener.run(self._prepare, hook, request, then)

    def _prepare(self, hook: Callable[..., Any], request: Request, then: Callable[[], None]) -> None:
        """In a greenlet."""
        try:
            hook(request)
            request.check()
        except gevent.GreenletExit:  # the user is gone, and its attempt is not
            self._listener.run(self._prepare, hook, request, then)
            raise
        except Exception as error:  # noqa: BLE001 - the script's own code
            self._fleet.later(self._prepare_failed, f"on_handshake raised {type(error).__name__}: {error}")
        else:
            self._hooked = (request.headers, request.query)
            self._fleet.later(self._then, then)

    def discreet(self, text: str) -> str:
        """What a server said, without what any of this connection's requests may have told it."""
        if self.connection is not None:
            text = self.connection.requests.discreet(text)
        jar = self._listener.jar()
        return redact(text, self._auth, self._hooked, () if jar is None else jar.secrets())

    def _prepare_failed(self, reason: str) -> None:
        if self.connection is not None:
            self.connection.drop("client", reason)

    def _then(self, then: Callable[..., None], *args: Any) -> None:
        """A guarded callback of the hub."""
        connection = self.connection
        try:
            then(*args)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            if connection is not None:
                connection.on_crash(error)
            else:
                self._fleet.crashed(error)

    def on_open(self) -> None:
        request = self.connection.requests.asked if self.connection is not None else None
        self._query = (
            request.query_string() if request and self._generation.connect_payload == "query" else None
        )
        for namespace in self.namespaces.values():
            if self._generation.opens_root == "server" and namespace.name == "/":
                namespace.asked = perf_counter()
            else:
                self._join(namespace)

    def _join(self, namespace: Namespace) -> None:
        auth = self._auth if self._auth is not None else self.options.auth
        if callable(auth) and self._generation.connect_payload == "auth":
            self._listener.run(self._ask_auth, namespace, auth)
        else:
            self._send_connect(namespace, auth)

    def _ask_auth(self, namespace: Namespace, auth: Callable[[], Any]) -> None:
        """In a greenlet."""
        try:
            payload = auth()
        except gevent.GreenletExit:
            self._listener.run(self._ask_auth, namespace, auth)
            raise
        except Exception as error:  # noqa: BLE001 - the script's own code
            self._fleet.later(self._then, self._refuse, f"auth raised {type(error).__name__}: {error}")
        else:
            self._fleet.later(self._then, self._send_connect, namespace, payload)

    def _send_connect(self, namespace: Namespace, auth: Any) -> None:
        connection, generation = self.connection, self._generation
        if connection is None or not connection.is_open:
            return
        payload = auth
        if generation.connect_payload == "auth":
            if auth is not None and not isinstance(auth, Mapping):
                self._refuse(f"auth must be a dict, not {type(auth).__name__}")
                return
            if self.options.auth_token is not None and generation.token == "auth":
                payload = {"token": self.options.auth_token, **(auth or {})}
            payload = namespace.auth(payload)
            if namespace.query:
                self._refuse(f"namespace {namespace.name}?...: {NO_QUERY}")
                return
        elif generation.connect_payload == "query":
            payload = "&".join(part for part in (namespace.query, self._query) if part) or None
        else:
            payload = None
        namespace.asked = perf_counter()
        connection.requests.confided = payload
        try:
            messages = self._codec.encode_connect(namespace.name, payload)
        except EncodeError as error:
            self._refuse(str(error))
            return
        connection.send(messages)

    def on_message(self, data: str | bytes) -> None:
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        self.size = self.size + size if self._partial else size
        try:
            packet = self._decoder.feed(data)
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
        if kind is _ACK:
            self._listener.on_ack(id, content)
        elif kind is _EVENT:
            namespace = self.namespaces.get(name)
            if namespace is None:
                return
            if not namespace.connected:
                self._event_too_early(namespace, Packet(*packet))
            elif namespace.pid is None:
                push = self._listener.on_event(name, content, id, auto)
                if push is not None and isinstance(data, str):
                    self._fleet.remember(data, name, self._codec, push)
            else:
                self._event(namespace, Packet(*packet))
        elif kind is PacketType.CONNECT:
            self._connected(Packet(*packet))
        elif kind is PacketType.CONNECT_ERROR:
            self._connect_refused(Packet(*packet))
        else:
            self._kicked(name)

    def on_ack_frame(self, frame: bytes, start: int) -> bool:
        found = None if self._json is None else self._json.root_ack(frame, start)
        if found is None:
            return False
        self.size = len(frame) - start
        self._listener.on_ack(found[0], found[1])
        return True

    def forget_shortcuts(self) -> None:
        """What is done with events may have changed."""
        if self.connection is not None:
            self.connection.forget_shortcuts()

    def on_push(self, kind: BroadcastKey) -> bool:
        """A broadcast is decoded for the first of its receivers, and for those whose script looks at it."""
        namespace = self.namespaces.get(kind.namespace)
        return (
            namespace is not None
            and namespace.connected
            and namespace.pid is None
            and kind.codec is self._codec
            and not self._partial
            and self._listener.only_counts(kind.handlers)
        )

    def _event(self, namespace: Namespace, packet: Packet) -> None:
        offset = namespace.takes_offset(packet)
        self._listener.on_event(namespace.name, packet.data, packet.id, packet.auto, offset)

    def _event_too_early(self, namespace: Namespace, packet: Packet) -> None:
        """Events may overtake the answer to CONNECT; they are delivered after it."""
        if namespace.early is None:
            namespace.early = []
            namespace.early_size = 0
        namespace.early.append(packet)
        namespace.early_size += weigh(packet.data)
        if self.connection is None:
            return
        if len(namespace.early) > EARLY:
            self.connection.broken(LimitError(f"{EARLY} events before their namespace was connected"))
        elif namespace.early_size > self.options.limits.payload:
            what = f"events of {self.options.limits.payload} bytes before their namespace was connected"
            self.connection.broken(LimitError(what))

    def _connected(self, packet: Packet) -> None:
        namespace = self.namespaces.get(packet.namespace)
        if namespace is None or namespace.connected:
            return  # the root that old servers open unasked, or an echo
        data = packet.data if isinstance(packet.data, dict) else {}
        if self._generation.connect_payload == "auth" and not isinstance(data.get("sid"), str):
            self._is_older()
            return
        now = perf_counter()
        namespace.joined(data)
        asked = now if namespace.asked is None else namespace.asked
        self._row("CONNECT", namespace.name).add(now - asked)
        if all(n.connected for n in self.namespaces.values()):
            self._up(now)
        early, namespace.early = namespace.early, None
        for waiting in early or ():
            self._event(namespace, waiting)

    def _is_older(self) -> None:
        """A CONNECT without a sid: the server is of 1.x or 2.x (as websockets may show so late)."""
        if self.connection is None:
            return
        if self.options.version == "auto" and self.phase is not Phase.UP and self.endpoint is not None:
            remember_generation(self._fleet, self.endpoint, self.options, UNKNOWN_3)
            self._again = True
            self.connection.close()
        else:
            self.connection.broken(ProtocolError(wrong_version(UNKNOWN_3)))

    def _up(self, now: float) -> None:
        if self.phase is Phase.UP:
            self._listener.on_writable()  # a namespace was joined again
        if self.phase not in (Phase.CONNECTING, Phase.DOWN) or self.failed is not None:
            return
        again = self._lost_at is not None
        if self._lost_at is not None:
            self._row("RECONNECT", self._lost_reason).add(now - self._lost_at)
            self._lost_at = None
        self._fleet.deadlines.cancel(self._deadline)
        self._deadline = None
        self._attempts = 0
        self._enter(Phase.UP)
        self._listener.on_up(again)

    def _connect_refused(self, packet: Packet) -> None:
        """A CONNECT was refused, or something else that the server doesn't name (1.x and 2.x, 0.9)."""
        data, servers_root = packet.data, self._generation.opens_root == "server" and packet.namespace == "/"
        namespace = self.namespaces.get(packet.namespace)
        reason = f"refused: {refusal_of(data)}"
        if self.connection is not None:
            reason = self.connection.requests.discreet(reason)
        reason = reason[:200]
        if namespace is not None and namespace.connected:
            if self._generation.opens_root == "server":
                self._listener.on_server_error(namespace.name, data, reason)
            return
        waiting = [namespace] if namespace is not None else []
        if namespace is None and servers_root:
            waiting = [n for n in self.namespaces.values() if not n.connected]
            reason += " (by /, which servers of 1.x and 2.x open first)"
        if not waiting:
            return
        if self._generation.connect_payload != "auth" and (self._auth or self.options.auth):
            reason += " (auth goes to servers of 3.x and 4.x only: use auth_token or query)"
        for refused in waiting:
            self._unjoined(refused, reason, ConnectError("connect", reason, data, "refused"))
            refused.refused = True
        if self.phase is Phase.UP:
            for refused in waiting:
                refused.kicked = True  # a rejoin that was refused: tried again before the next task
                self._listener.on_connect_error(refused.name, data)
            self._listener.on_writable()
            return
        names = ", ".join(n.name for n in waiting)
        self._refuse(f"namespace {names} {reason}", "refused", data if data is not None else reason)

    def _kicked(self, name: str) -> None:
        """The server closed a namespace."""
        namespace = self.namespaces.get(name)
        if namespace is None or not namespace.connected:
            return
        namespace.connected = False
        namespace.kicked = True
        self.forget_shortcuts()
        namespace.sid = ""
        text = "the server closed the namespace"
        self._row("DISCONNECT", "namespace closed", ConnectionLost(text)).fail(text)
        self._listener.on_down("namespace closed", name)
        if not any(n.connected for n in self.namespaces.values()) and self.connection is not None:
            self._enter(Phase.CLOSING)
            self.connection.close("server")  # it has nothing to say here any more

    def on_closed(self, end: End) -> None:
        reason = end.kind
        connection, self.connection = self.connection, None
        stage = connection.stage if connection is not None else "open"
        self._decoder = self._json = None
        phase = self.phase
        if phase is Phase.CLOSING:
            self._enter(Phase.IDLE)
            self._fleet.deadlines.cancel(self._deadline)
            self._deadline = None
            self._fleet.members.discard(self)
            self._reset_namespaces()
            if connection is not None and connection.sid and reason == "client":
                self._row("DISCONNECT", "client").tick()
            self._down("client")
        elif phase is Phase.UP:
            self._reset_namespaces()
            text = end.detail or reason
            self._row("DISCONNECT", reason, ConnectionLost(text)).fail(text)
            if reason == "server" and self._generation.leaving_root_closes:
                self._dismissed()
                return
            self._lost_at = perf_counter()
            self._lost_reason = reason
            self._enter(Phase.DOWN)
            self._down(reason)
            if self.phase is Phase.DOWN:
                self._retry_later()
        elif self._again:
            self._again = False
            self._reset_namespaces()
            self._attempt()
        elif self.failed is not None:
            self._attempt_failed(self.failed)
        else:
            said = end.detail or end.kind
            if stage == "dial" and self.endpoint is not None and self.options.proxy is None:
                said += unused(self.endpoint)
            self._attempt_failed(ConnectError(stage, said, kind=end.kind))

    def _dismissed(self) -> None:
        """The server sent the disconnect of "/" that ends a session (0.9): nobody comes back by himself."""
        for namespace in self.namespaces.values():
            namespace.kicked = True
        self._enter(Phase.IDLE)
        self._fleet.members.discard(self)
        self._down("server")

    def _down(self, reason: Loss) -> None:
        """Tell the client; whatever becomes of that, this link goes on."""
        try:
            self._listener.on_down(reason, None)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            self._fleet.crashed(error)

    def on_drained(self) -> None:
        self._listener.on_writable()


def _prepare_with(
    headers: Callable[[], Mapping[str, str]], hook: Callable[..., Any] | None, request: Request
) -> None:
    """In a greenlet."""
    request.headers.update(headers())
    if hook is not None:
        hook(request)
