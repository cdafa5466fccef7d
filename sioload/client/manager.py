"""One user's way to its server: attempts, losing the connection and coming back.

All of it runs in the hub, except where a docstring says that a greenlet may call it. Reconnection is as in
socket.io-client's Manager. The way of one attempt is `sioload.client.opener`, that of each namespace
`sioload.client.namespaces`, and packets pass through `sioload.client.packets`, without coming by here.
"""

from __future__ import annotations

from enum import Enum, auto
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from mypy_extensions import mypyc_attr

from sioload.client.attempts import UNCONNECTED, delay
from sioload.client.namespaces import Listener as NamespacesListener
from sioload.client.namespaces import Namespaces
from sioload.client.opener import Listener as OpenerListener
from sioload.client.opener import Opener
from sioload.client.packets import Listener as PacketsListener
from sioload.client.packets import Packets
from sioload.client.script import Script, ask
from sioload.engineio.urls import Endpoint
from sioload.errors import ConnectError, ConnectionLost, End, Failure, Loss, Reason
from sioload.net.clock import stamp
from sioload.net.guard import guarded
from sioload.options import Options
from sioload.plain import Json
from sioload.session.connection import Connection

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet


class Phase(Enum):
    """Where a manager is."""

    __hash__ = object.__hash__  # in C; that of `Enum` is Python

    IDLE = auto()
    CONNECTING = auto()
    UP = auto()
    DOWN = auto()  # lost; an attempt to come back is under way or will be
    CLOSING = auto()


class Turn(Enum):
    """What moves it from one phase to another."""

    __hash__ = object.__hash__

    CONNECT = auto()  # the script wants a connection
    JOINED = auto()  # every namespace is connected
    FAILED = auto()  # an attempt came to nothing
    LOST = auto()  # the session ended
    DISMISSED = auto()  # 0.9: the server sent the disconnect of "/", after which nobody comes back
    GIVEN_UP = auto()  # the way back isn't tried any more
    LEAVE = auto()  # this side says goodbye
    ENDED = auto()  # and has done so


#: Every transition. A turn that a phase doesn't have comes too late there, and changes nothing.
PHASES: dict[Phase, dict[Turn, Phase]] = {
    Phase.IDLE: {Turn.CONNECT: Phase.CONNECTING},
    Phase.CONNECTING: {
        Turn.JOINED: Phase.UP,
        Turn.FAILED: Phase.IDLE,
        Turn.LEAVE: Phase.CLOSING,
    },
    Phase.UP: {
        Turn.LOST: Phase.DOWN,
        Turn.DISMISSED: Phase.IDLE,
        Turn.LEAVE: Phase.CLOSING,
    },
    Phase.DOWN: {
        Turn.JOINED: Phase.UP,
        Turn.FAILED: Phase.DOWN,
        Turn.GIVEN_UP: Phase.IDLE,
        Turn.LEAVE: Phase.CLOSING,
    },
    Phase.CLOSING: {Turn.ENDED: Phase.IDLE},
}


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Protocol):
    """The client above a manager. Called in the hub."""

    __slots__ = ()

    def on_server_error(self, namespace: str, data: Json, reason: str) -> None:
        """The server refused something that it doesn't name, or the namespace after it was joined."""

    def on_up(self) -> None:
        """Every namespace is connected, for the first time or again."""

    def on_connect_error(self, namespace: str, data: object) -> None:
        """A namespace wasn't joined: what the server said, or what was in the way."""

    def on_attempt_failed(self) -> None:
        """An attempt that `connect` began came to nothing (`opener.failed`)."""

    def on_down(self, reason: Loss, namespace: str | None) -> None:
        """The connection (or, with a name, one namespace) was lost: nothing pending will be answered."""

    def on_writable(self) -> None:
        """The write buffer is empty again."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Manager(OpenerListener, NamespacesListener):
    """See the module.

    Attributes:
        phase: where it is.
        opener: who opens its sessions.
        namespaces: those that the script wants.
        packets: what passes through the session.
    """

    __slots__ = ("_attempts", "_fleet", "_listener", "_lost_at", "_lost_reason", "_retry", "_script",
                 "namespaces", "opener", "packets", "phase")  # fmt: skip

    def __init__(
        self, fleet: Fleet, options: Options, listener: Listener, events: PacketsListener, script: Script
    ) -> None:
        self._fleet = fleet
        self._listener = listener
        self._script = script
        self.phase = Phase.IDLE
        self.packets = Packets(fleet, events)
        self.namespaces = Namespaces(fleet, self.packets, script, self)
        self.opener = Opener(fleet, options, self.namespaces, script, self)
        self._attempts = 0
        self._lost_at: float | None = None
        self._lost_reason: Reason = "client"
        self._retry: Timer | None = None

    def _turn(self, turn: Turn) -> bool:
        """Whether there is a way on from this phase, which is gone then."""
        to = PHASES[self.phase].get(turn)
        if to is None:
            return False
        self.phase = to
        self.namespaces.enter(to is Phase.UP)
        if to is Phase.IDLE:
            self._fleet.left(self)
        return True

    @property
    def connection(self) -> Connection | None:
        """The current one, None without."""
        return self.opener.connection

    @property
    def trying(self) -> bool:
        return self.phase is Phase.CONNECTING or self.phase is Phase.DOWN

    def discreet(self, text: str) -> str:
        """What a server said, without what this connection may have told it."""
        return self.opener.discreet(text)

    # Connecting.

    def connect(self, endpoint: Endpoint, options: Options, namespaces: list[str], auth: Json) -> None:
        """Begin an attempt; `on_up` or `on_attempt_failed` follows. A greenlet may call it."""
        if not self._turn(Turn.CONNECT):
            return  # another greenlet began one while this one paused, or asked for the URL
        self.opener.endpoint, self.opener.options = endpoint, options
        self.namespaces.want(namespaces)
        self.namespaces.auth = auth
        self._attempts = 0
        self._lost_at = None
        self._attempt()

    def reopen(self) -> None:
        """Connect once more as last time. A greenlet may call it."""
        opener, namespaces = self.opener, self.namespaces
        assert opener.endpoint is not None
        names = [f"{n.name}?{n.query}" if n.query else n.name for n in namespaces.wanted.values()]
        self.connect(opener.endpoint, opener.options, names, namespaces.auth)

    def _attempt(self) -> None:
        self._fleet.members.add(self)
        self.opener.attempt()

    def on_session(self) -> None:
        opener = self.opener
        asked = opener.connection.requests.asked if opener.connection is not None else None
        self.namespaces.join_all(opener.options, asked.query_string() if asked is not None else "")

    def on_joined(self, now: float) -> None:
        if self.phase is Phase.UP:
            self._listener.on_writable()  # a namespace was joined again
        if self.opener.failed is not None or not self._turn(Turn.JOINED):
            return
        if self._lost_at is not None:
            self.namespaces.row("RECONNECT", self._lost_reason).add(now - self._lost_at)
            self._lost_at = None
        self.opener.settle()
        self._attempts = 0
        self._listener.on_up()

    def refuse(self, reason: str, kind: Failure = "client", data: object = None) -> None:
        self.opener.refuse(reason, kind, data)

    def on_older(self) -> None:
        self.opener.is_older()

    def on_again(self) -> None:
        self.namespaces.reset()
        self._attempt()

    def on_failed(self, error: ConnectError) -> None:
        """Every failed attempt comes through here."""
        namespaces = self.namespaces
        self.opener.rest()
        self._fleet.recorder.outages.failed(stamp())
        namespaces.count_failed(error)
        namespaces.tell_unjoined(error)
        namespaces.reset()
        if not self._turn(Turn.FAILED):
            return
        if self.phase is Phase.DOWN:
            self._retry_later()
        else:
            self.opener.failed = error
            self._listener.on_attempt_failed()

    def on_unjoined(self, name: str, data: object) -> None:
        self._listener.on_connect_error(name, data)

    def on_rejoin_refused(self) -> None:
        self._listener.on_writable()

    def on_server_error(self, namespace: str, data: Json, reason: str) -> None:
        self._listener.on_server_error(namespace, data, reason)

    def on_drained(self) -> None:
        self._listener.on_writable()

    # Coming back.

    def _retry_later(self) -> None:
        options = self.opener.options
        if self._fleet.over or not options.reconnection or self._attempts >= options.reconnection_attempts:
            self._stay_away(self._fleet.over or "given up")
            return
        seconds = delay(options, self._attempts)
        self._attempts += 1
        self._retry = self._fleet.deadlines.at(perf_counter() + seconds, self._retry_now)

    def _stay_away(self, said: str) -> None:
        """The way back isn't tried any more."""
        self._turn(Turn.GIVEN_UP)
        if self._lost_at is not None:
            row = self.namespaces.row("RECONNECT", self._lost_reason, ConnectionLost(said))
            row.fail(said, perf_counter() - self._lost_at, kind="given up")
        self._down("given up")

    def _retry_now(self, now: float) -> None:
        self._retry = None
        if self.phase is not Phase.DOWN:
            return
        where = self.opener.ask_url
        if where is None:
            self._attempt()
        else:
            ask(self._script, self._fleet, "url", where, self._go, self.opener.give_up)

    def _go(self, endpoint: Endpoint) -> None:
        """The script has said where the server is by now."""
        if self.phase is Phase.DOWN and self.connection is None:
            self.opener.endpoint = endpoint
            self._attempt()

    def _stop_retrying(self) -> bool:
        retry, self._retry = self._retry, None
        self._fleet.deadlines.cancel(retry)
        return retry is not None

    # Losing and leaving.

    def leave(self, name: str) -> None:
        """Leave one namespace; with the last one the connection closes. A greenlet may call it."""
        if not self.namespaces.leave(name):
            return
        if not self.namespaces.wanted or (name == "/" and self.packets.generation.leaving_root_closes):
            self.shut()
        else:
            self._fleet.later(self._listener.on_down, "client", name)

    def shut(self) -> None:
        """Close politely. A greenlet may call it; the listener hears `on_down` in the hub."""
        self._stop_retrying()
        was, connection = self.phase, self.connection
        if not self._turn(Turn.LEAVE):
            return
        if was is Phase.CONNECTING:
            self.opener.failed = ConnectError("connect", UNCONNECTED, kind="client")
        if connection is None:
            self._fleet.later(self._ended)
            return
        if was is Phase.UP and connection.is_open:
            self.namespaces.leave_all()
        connection.close()

    def on_left(self, name: str, last: bool) -> None:
        self._listener.on_down("namespace closed", name)
        connection = self.connection
        if last and connection is not None and self._turn(Turn.LEAVE):
            connection.close("server")  # it has nothing to say here any more

    def on_session_end(self, end: End, connection: Connection | None) -> None:
        reason, namespaces, was = end.kind, self.namespaces, self.phase
        if was is Phase.CLOSING:
            namespaces.reset()
            if connection is not None and connection.sid and reason == "client":
                namespaces.row("DISCONNECT", "client").tick()
            self._ended()
        elif was is Phase.UP:
            namespaces.reset()
            text = end.detail or reason
            if reason == "dropped":  # by the script, as it wanted
                namespaces.row("DISCONNECT", reason).tick()
            else:
                namespaces.row("DISCONNECT", reason, ConnectionLost(text)).fail(text)
            if reason == "server" and self.packets.generation.leaving_root_closes:
                namespaces.dismiss()
                self._turn(Turn.DISMISSED)
                self._down("server")
                return
            self._lost_at = perf_counter()
            self._lost_reason = reason
            self._turn(Turn.LOST)
            self._down(reason)
            if self.phase is Phase.DOWN:
                self._retry_later()
        else:
            self.opener.unopened(end, connection)

    def _ended(self) -> None:
        """This side has left."""
        if self._turn(Turn.ENDED):
            self.opener.rest()
            self._down("client")

    def _down(self, reason: Loss) -> None:
        """Tell the client; whatever becomes of that, this manager goes on."""
        guarded(self._fleet.crashed, self._listener.on_down, reason, None)

    # A member of the fleet.

    @property
    def pending(self) -> bool:
        """Whether something was begun that the server still owes an answer to."""
        if self.phase is not Phase.UP:
            return self.trying
        if self.connection is not None and (self.connection.upgrading or self.connection.owing):
            return True
        return not all(n.connected or n.kicked for n in self.namespaces.wanted.values())

    def finish(self, said: str) -> None:
        """Close; what was begun and has no answer is a failure, with the time that has passed. In the hub."""
        connection = self.connection
        if self.trying and self._retry is None:
            if connection is None:
                self.on_failed(ConnectError("open", said, kind="timeout"))
            elif connection.is_open:
                self.opener.failed = self.opener.failed or ConnectError("connect", said, kind="timeout")
                connection.drop("client", said)
            else:
                connection.drop("timeout", said)
        elif self.phase is not Phase.DOWN:
            if connection is not None:
                connection.on_probe_failed(said)
            self.namespaces.give_up_rejoins(said)
            self.shut()
        if self._stop_retrying():  # also what was to follow the attempt
            self._stay_away(said)

    def forsake(self, said: str) -> None:
        """Whoever began this attempt waits for it no longer. A greenlet may call it."""
        self.namespaces.count_failed(ConnectError("connect", said, kind="client"))
        self.shut()

    def abandon(self) -> None:
        """Drop everything at once (the drain's limit is over)."""
        self._fleet.later(self._abandon)

    def _abandon(self) -> None:
        self._turn(Turn.LEAVE)
        if self.connection is not None:
            self.connection.drop("client", "dropped at the end of the run")
        elif self.phase is not Phase.IDLE:
            self._ended()
