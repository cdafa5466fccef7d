"""The one timer of a session: heartbeats while it is open, the goodbye once this side leaves."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from sioload.engineio.packet import Packet, PacketType
from sioload.engineio.session import Input, Session, State
from sioload.errors import End
from sioload.net.deadlines import due
from sioload.net.guard import guarded
from sioload.session.requests import Requests

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer

INFINITY = float("inf")
#: Seconds until it is looked again for a sign of life that is overdue.
AGAIN = 0.25
MISSED: Final = End("ping timeout", "no heartbeat from the server in time")


class Listener(Protocol):
    """The session's driver. Called in the hub."""

    __slots__ = ()

    def send_packet(self, packet: Packet) -> None:
        """Send a packet of the engine's own."""

    def on_lost(self, end: End) -> None:
        """The server gave no sign of life in time."""

    def unread(self) -> bool:
        """Whether something of the server has arrived that nobody has read yet."""

    def received(self) -> int:
        """Bytes that have come on the session's websocket; 0 on polling, where each answer is told of."""

    def say_goodbye(self, now: float) -> None:
        """It is time for the next step of the goodbye."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised."""


class Heartbeat:
    """Answers and sends pings, and counts them."""

    __slots__ = ("_listener", "_received", "_requests", "_session", "_timer")
    __deletable__ = ("_listener",)

    def __init__(self, requests: Requests, session: Session, listener: Listener) -> None:
        self._requests = requests
        self._session = session
        self._listener = listener
        self._received = 0  # when the last ping was sent, or since
        self._timer: Timer | None = None

    def beat(self, given: Input) -> None:
        """A ping or pong came."""
        now = perf_counter()
        if given is Input.PONG:
            seconds = self._session.on_pong(now)
            if seconds is not None:
                self._requests.row("HEARTBEAT", "pong").add(seconds)
            self.rearm(self._session.next_check())
            return
        late = self._session.on_ping(now)
        self._listener.send_packet(Packet(PacketType.PONG, ""))
        row = self._requests.row("HEARTBEAT", "ping")
        if self._requests.generation.pinger == "server":
            row.add(late)
        else:
            row.tick()

    def rearm(self, when: float) -> None:
        """Look again at a time at the latest; a timer that comes earlier moves itself."""
        if when == INFINITY or due(self._timer) <= when:
            return
        self._requests.fleet.deadlines.cancel(self._timer)
        self._timer = self._requests.fleet.deadlines.at(when, self._due)

    def stop(self) -> None:
        """The session has ended: it and this would hold each other until the collector comes."""
        self._requests.fleet.deadlines.cancel(self._timer)
        self._timer = None
        del self._listener

    def _due(self, now: float) -> None:
        guarded(self._listener.on_crash, self._check, now)

    def _check(self, now: float) -> None:
        self._timer = None
        if self._session.state is State.CLOSING:
            self._listener.say_goodbye(now)
            return
        asked = self._session.check(now)
        if asked == "missed":
            before, self._received = self._received, self._listener.received()
            lives = self._session.pinger == "client" and self._received > before
            # It may be among what a slow user hasn't taken yet, or what came while this process was stopped.
            waits = self._session.pinger == "client" or self._requests.options.read_rate is not None
            if not lives and not (waits and self._listener.unread()):
                self._listener.on_lost(MISSED)
                return
            self._session.on_heard(now)
            self.rearm(max(self._session.next_check(), now + AGAIN))
            return
        if asked == "ping":
            self._received = self._listener.received()
            self._listener.send_packet(Packet(PacketType.PING, ""))
        self.rearm(self._session.next_check())
