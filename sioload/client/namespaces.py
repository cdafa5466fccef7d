"""The namespaces of one connection: asked for, joined, refused, closed by the server, left.

Source: Socket.IO protocol 5, sections "Connection to a namespace" and "Disconnection from a namespace".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mypy_extensions import mypyc_attr

from sioload.client.dispatcher import weigh
from sioload.client.namespace import NO_QUERY, Namespace, namespaces_of, refusal_of
from sioload.client.packets import NOTHING, Control, Packets
from sioload.client.script import Script, ask
from sioload.errors import ConnectError, ConnectionLost, EncodeError, Failure, LimitError, Refused
from sioload.net.clock import stamp
from sioload.net.guard import guarded
from sioload.options import Options
from sioload.plain import Json
from sioload.socketio.detect import unknown_namespace
from sioload.socketio.packet import Packet

if TYPE_CHECKING:
    from sioload.measure.rows import Row
    from sioload.net.fleet import Fleet
    from sioload.session.connection import Connection

T = TypeVar("T")


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Protocol):
    """Who wants the namespaces. Called in the hub."""

    __slots__ = ()

    def on_joined(self, now: float) -> None:
        """Every namespace is connected."""

    def refuse(self, reason: str, kind: Failure = "client", data: object = None) -> None:
        """A namespace can't be joined, so the attempt has failed."""

    def on_older(self) -> None:
        """The server has shown that it is of 1.x or 2.x."""

    def on_unjoined(self, name: str, data: object) -> None:
        """A namespace wasn't joined: what the server said, or what was in the way."""

    def on_rejoin_refused(self) -> None:
        """The connection goes on without a namespace that was asked for again."""

    def on_server_error(self, namespace: str, data: Json, reason: str) -> None:
        """The server refused something that it doesn't name, or the namespace after it was joined."""

    def on_left(self, name: str, last: bool) -> None:
        """The server closed a namespace; `last`: there is no other one any more."""


class Namespaces(Control):
    """Those that a script wants, which `Packets` needs to know as well.

    Attributes:
        packets: what passes through the session.
        wanted: name to `Namespace`.
        auth: the CONNECT payload in place of the option's, or the function that gives it.
        up: all of them were connected, and the connection stands.
    """

    __slots__ = ("_fleet", "_listener", "_options", "_query", "_script", "auth", "packets", "up", "wanted")

    def __init__(self, fleet: Fleet, packets: Packets, script: Script, listener: Listener) -> None:
        self._fleet = fleet
        self.packets = packets
        self._script = script
        self._listener = listener
        self._options: Options | None = None
        self._query: str | None = None
        self.wanted = packets.namespaces
        self.auth: Json = None
        self.up = False
        packets.control = self

    def want(self, names: list[str]) -> None:
        """These are to be joined, and no others; a name may have a query."""
        self.wanted.clear()
        self.wanted.update(namespaces_of(names))

    def enter(self, up: bool) -> None:
        """The connection can be used from now on, or no longer."""
        self.up = up
        self.packets.ready = self.wanted if up else NOTHING

    @property
    def missing(self) -> str:
        """Those that aren't joined yet, for a message: "namespace /, /chat"."""
        return f"namespace {', '.join(n.name for n in self.wanted.values() if not n.connected)}"

    def row(self, type: str, name: str, error: Exception | None = None) -> Row:
        """A row whose next sample is this user's."""
        row = self._fleet.recorder.row_of(self._script.owner(), type, name)
        if row.tap is not None:
            row.note(self._script.owner(), 0, error)
        return row

    # Joining.

    def join_all(self, options: Options, query: str) -> None:
        """A session is open, which was asked for with this query."""
        self._options = options
        self._query = query if self.packets.generation.connect_payload == "query" else None
        for namespace in self.wanted.values():
            if self.packets.generation.opens_root == "server" and namespace.name == "/":
                namespace.asked = perf_counter()
            else:
                self._join(namespace)

    def rejoin(self) -> list[str]:
        """Ask again for namespaces that the server closed; returns their names. A greenlet may call it."""
        names = [n.name for n in self.wanted.values() if n.kicked]
        for name in names:
            namespace = self.wanted[name]
            namespace.kicked = namespace.refused = False
            namespace.asked = None
            if self.up:
                self._join(namespace)
        return names

    def _join(self, namespace: Namespace) -> None:
        auth = self._given()
        if callable(auth) and self.packets.generation.connect_payload == "auth":
            connection = self.packets.connection
            then = partial(self._guarded, connection, partial(self._send_connect, namespace))
            failed = partial(self._guarded, connection, partial(_not_asked, self, namespace))
            ask(self._script, self._fleet, "auth", auth, then, failed)
        else:
            self._send_connect(namespace, auth)

    def _given(self) -> Any:
        options = self._options
        return self.auth if self.auth is not None or options is None else options.auth

    def _guarded(self, connection: Connection | None, then: Callable[[T], None], value: T) -> None:
        """What a function of the script gave is for the connection that it was asked for, which ends by what
        goes wrong behind it; once that is gone, the next one's is another answer."""
        if connection is not None and connection is self.packets.connection:
            guarded(connection.on_crash, then, value)

    def _send_connect(self, namespace: Namespace, auth: Json) -> None:
        connection, options, generation = self.packets.connection, self._options, self.packets.generation
        if connection is None or options is None or not connection.is_open:
            return
        if self.wanted.get(namespace.name) is not namespace or namespace.asked is not None:
            return  # it was left while its auth was asked for, or asked for by another answer
        payload = auth
        if generation.connect_payload == "auth":
            if auth is not None and not isinstance(auth, Mapping):
                _not_asked(self, namespace, f"auth must be a dict, not {type(auth).__name__}")
                return
            if options.auth_token is not None and generation.token == "auth":
                payload = {"token": options.auth_token, **(auth or {})}
            payload = namespace.auth(payload)
            if namespace.query:
                _not_asked(self, namespace, f"namespace {namespace.name}?...: {NO_QUERY}")
                return
        elif generation.connect_payload == "query":
            own = None if namespace.bare else self._query
            payload = "&".join(part for part in (namespace.query, own) if part) or None
        else:
            payload = None
        namespace.asked = perf_counter()
        try:
            self.packets.send_connect(namespace.name, payload)
        except (EncodeError, Refused) as error:
            _not_asked(self, namespace, str(error))

    def on_connect(self, name: str, data: object) -> None:
        packets, namespace = self.packets, self.wanted.get(name)
        if namespace is None or namespace.connected:
            return  # the root that old servers open unasked, or an echo
        told = data if isinstance(data, dict) else {}
        if packets.generation.connect_payload == "auth" and not isinstance(told.get("sid"), str):
            self._listener.on_older()
            return
        if isinstance(data, str) and _ask_bare(self, namespace):
            return
        now = perf_counter()
        namespace.joined(told)
        member = self._script.member()
        if member is not None:
            member.joined(namespace.name, namespace.recovered, stamp())
        asked = now if namespace.asked is None else namespace.asked
        self.row("CONNECT", namespace.name).add(now - asked)
        if self.up:  # joined again, alone
            self._script.tell("connect", namespace=namespace.name)
        self._check_joined(now)
        early, namespace.early = namespace.early, None
        for waiting in early or ():
            packets.deliver(namespace, waiting)

    def _check_joined(self, now: float) -> None:
        if self.wanted and all(n.connected for n in self.wanted.values()):
            self._listener.on_joined(now)

    def on_early(self, namespace: Namespace, packet: Packet) -> None:
        """Events may overtake the answer to CONNECT; they are delivered after it."""
        connection = self.packets.connection
        if namespace.early is None:
            namespace.early = []
            namespace.early_size = 0
        namespace.early.append(packet)
        namespace.early_size += weigh(packet.data)
        if connection is None:
            return
        limits = connection.requests.options.limits
        what = "events before their namespace was connected"
        if len(namespace.early) > limits.handler_queue:  # no more would be handed on
            connection.broken(LimitError.of(what, "handler_queue", limits.handler_queue))
        elif namespace.early_size > limits.payload:
            connection.broken(LimitError.of(what, "payload", limits.payload))

    # Failing.

    def on_refusal(self, name: str, data: object) -> None:
        generation, connection = self.packets.generation, self.packets.connection
        servers_root = generation.opens_root == "server" and name == "/"
        namespace = self.wanted.get(name)
        reason = f"refused: {refusal_of(data)}"
        if connection is not None:
            reason = connection.requests.discreet(reason)
        reason = reason[:200]
        if namespace is not None and namespace.connected:
            if generation.opens_root == "server":
                self._listener.on_server_error(namespace.name, data, reason)
            return
        if namespace is not None and unknown_namespace(reason) and _ask_bare(self, namespace):
            return
        waiting = [namespace] if namespace is not None else []
        if namespace is None and servers_root:
            waiting = [n for n in self.wanted.values() if not n.connected]
            reason += " (by /, which servers of 1.x and 2.x open first)"
        if not waiting:
            return
        if generation.connect_payload != "auth" and self._given():
            reason += " (auth goes to servers of 3.x and 4.x only: use auth_token or query)"
        for refused in waiting:
            self._unjoined(refused, reason, ConnectError("connect", reason, data, "refused"))
            refused.refused = True
        if self.up:
            for refused in waiting:
                refused.kicked = True  # a rejoin that was refused: tried again before the next task
                self._listener.on_unjoined(refused.name, data)
            self._listener.on_rejoin_refused()
            return
        names = ", ".join(n.name for n in waiting)
        self._listener.refuse(f"namespace {names} {reason}", "refused", data if data is not None else reason)

    def count_failed(self, error: ConnectError) -> None:
        """This attempt has failed: once for each namespace, with what it waited for the answer to CONNECT."""
        for namespace in self.wanted.values():
            if not namespace.connected and not namespace.refused:
                self._unjoined(namespace, str(error), error)

    def give_up_rejoins(self, said: str) -> None:
        """Namespaces that are joined again have no answer."""
        error = ConnectError("connect", said, kind="timeout")
        for namespace in self.wanted.values():
            if self.up and not namespace.connected and not namespace.kicked:
                self._unjoined(namespace, str(error), error)
                namespace.kicked = True

    def _unjoined(self, namespace: Namespace, said: str, error: ConnectError) -> None:
        asked = namespace.asked
        row = self.row("CONNECT", namespace.name, error)
        row.fail(said, None if asked is None else perf_counter() - asked, kind=error.kind)

    def tell_unjoined(self, error: ConnectError) -> None:
        """The attempt has failed: the listener hears of each namespace that wasn't joined."""
        for namespace in self.wanted.values():
            if not namespace.connected:
                self._listener.on_unjoined(namespace.name, error.reason if error.data is None else error.data)

    # Leaving.

    def on_disconnect(self, name: str) -> None:
        namespace = self.wanted.get(name)
        if namespace is None or not namespace.connected:
            return
        namespace.connected = False
        namespace.kicked, namespace.refused = self.up, not self.up
        self._parted(name)
        self.packets.forget_shortcuts()
        namespace.sid = ""
        text = "the server closed the namespace"
        self.row("DISCONNECT", "namespace closed", ConnectionLost(text)).fail(text)
        if self.up:
            self._listener.on_left(name, not any(n.connected for n in self.wanted.values()))
        else:
            self._listener.refuse(f"namespace {name} was closed before all were joined", "server")

    def leave(self, name: str) -> bool:
        """Leave one namespace; False if it wasn't wanted."""
        namespace = self.wanted.pop(name, None)
        if namespace is None:
            return False
        self._parted(name)
        self.packets.forget_shortcuts()
        if namespace.connected and self.packets.connection is not None:
            self.packets.send_disconnect(name)
        elif not self.up:
            self._fleet.later(self._check_joined, perf_counter())  # it may be what the others waited for
        return True

    def _parted(self, name: str) -> None:
        member = self._script.member()
        if member is not None:
            member.parted(name, stamp())

    def leave_all(self) -> None:
        """Say goodbye in each: "/" last, because with it 0.9 ends the session."""
        for name in sorted(self.wanted, reverse=True):
            if self.wanted[name].connected:
                self.packets.send_disconnect(name)

    def dismiss(self, kicked: bool = True) -> None:
        """The server closed them all; or it may have, and the script doesn't want them back."""
        for namespace in self.wanted.values():
            namespace.kicked = kicked

    def reset(self) -> None:
        """The session has ended."""
        member = self._script.member()
        if member is not None:
            member.lost(stamp())
        for namespace in self.wanted.values():
            namespace.connected = namespace.refused = False
            namespace.asked = None
            namespace.sid = ""
            namespace.early = None


def _not_asked(namespaces: Namespaces, namespace: Namespace, reason: str) -> None:
    """It can't be asked for: the attempt has failed, or only that one's return."""
    if not namespaces.up:
        namespaces._listener.refuse(reason)
        return
    error = ConnectError("connect", reason, kind="client")
    namespaces._unjoined(namespace, str(error), error)
    namespace.kicked = True  # tried again before the next task
    namespaces._listener.on_unjoined(namespace.name, reason)
    namespaces._fleet.later(namespaces._listener.on_rejoin_refused)


def _ask_bare(namespaces: Namespaces, namespace: Namespace) -> bool:
    """Ask once more without the session's query: before 1.5 it was a part of the name, which 1.0 knows as any
    other and 1.1 to 1.4 don't know."""
    sent, asked = namespaces._query and not namespace.query and not namespace.bare, namespace.asked
    namespace.bare = bool(sent) and namespaces.packets.generation.version == 1
    if namespace.bare:
        namespace.asked = None
        namespaces._send_connect(namespace, None)
        namespace.asked = asked
    return namespace.bare
