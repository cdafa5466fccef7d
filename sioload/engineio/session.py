"""The Engine.IO session: which inputs each state accepts, and when heartbeats are due.

Pure: time enters as `now`, seconds of a monotonic clock. The driver (`sioload.session.connection`) feeds
inputs to `Session.step` and performs the actions that come back. Socket.IO 0.9 has no Engine.IO; its session
opens, beats and closes in the same states, without the upgrade.

Source: Engine.IO protocol, revisions 3 and 4, sections "Protocol" and "Upgrade"; the upgrade follows
engine.io-client, which goes on polling while it probes and pauses polling once the probe is answered.
"""

from __future__ import annotations

from enum import Enum, auto

from sioload.errors import ProtocolError

INFINITY = float("inf")


class State(Enum):
    """Where a session is. `OPEN` means: on its final transport, the state of nearly its whole life."""

    __hash__ = object.__hash__  # in C; that of `Enum` is Python, and each step looks up two

    IDLE = auto()
    OPENING = auto()
    PROBING = auto()
    PAUSING = auto()
    OPEN = auto()
    CLOSING = auto()  # this side says goodbye, and takes what still comes
    CLOSED = auto()


class Input(Enum):
    """What can happen to a session."""

    __hash__ = object.__hash__

    START = auto()
    OPENED = auto()
    OPENED_UPGRADABLE = auto()
    PROBE_ANSWERED = auto()
    PROBE_FAILED = auto()
    POLLING_PAUSED = auto()
    MESSAGE = auto()
    PING = auto()
    PONG = auto()
    NOOP = auto()
    CLOSE_PACKET = auto()
    ENDED = auto()  # whatever ended it, be it this side
    GOODBYE = auto()


class Do(Enum):
    """What the driver has to do, in the order given."""

    REQUEST_SESSION = auto()
    ANNOUNCE_OPEN = auto()
    PROBE = auto()
    PAUSE_POLLING = auto()
    SWITCH = auto()
    DROP_PROBE = auto()
    RESUME_POLLING = auto()
    BEAT = auto()
    SAY_GOODBYE = auto()
    FINISH = auto()
    FINISH_POSTS = auto()


_LIVE: dict[Input, tuple[State | None, tuple[Do, ...]]] = {
    Input.MESSAGE: (None, ()),
    Input.PING: (None, (Do.BEAT,)),
    Input.PONG: (None, (Do.BEAT,)),
    Input.NOOP: (None, ()),
    Input.CLOSE_PACKET: (State.CLOSED, ()),
    Input.ENDED: (State.CLOSED, ()),
    Input.GOODBYE: (State.CLOSING, (Do.SAY_GOODBYE,)),
}

#: Every transition. `None` keeps the state. A pair that isn't here is a protocol error of the peer, except in
#: `CLOSED`, where whatever still arrives is ignored.
TRANSITIONS: dict[State, dict[Input, tuple[State | None, tuple[Do, ...]]]] = {
    State.IDLE: {
        Input.START: (State.OPENING, (Do.REQUEST_SESSION,)),
        Input.ENDED: (State.CLOSED, ()),
        Input.GOODBYE: (State.CLOSING, (Do.FINISH,)),
    },
    State.OPENING: {
        Input.ENDED: (State.CLOSED, ()),
        Input.GOODBYE: (State.CLOSING, (Do.FINISH,)),
        Input.OPENED: (State.OPEN, (Do.ANNOUNCE_OPEN,)),
        Input.OPENED_UPGRADABLE: (State.PROBING, (Do.ANNOUNCE_OPEN, Do.PROBE)),
        Input.CLOSE_PACKET: (State.CLOSED, ()),
        Input.NOOP: (None, ()),
    },
    State.PROBING: {
        **_LIVE,
        Input.PROBE_ANSWERED: (State.PAUSING, (Do.PAUSE_POLLING,)),
        Input.PROBE_FAILED: (State.OPEN, (Do.DROP_PROBE,)),
    },
    State.PAUSING: {
        **_LIVE,
        Input.POLLING_PAUSED: (State.OPEN, (Do.SWITCH,)),
        Input.PROBE_FAILED: (State.OPEN, (Do.DROP_PROBE, Do.RESUME_POLLING)),
        Input.GOODBYE: (State.CLOSING, (Do.DROP_PROBE, Do.RESUME_POLLING, Do.SAY_GOODBYE)),
    },
    State.OPEN: _LIVE,
    State.CLOSING: {
        **_LIVE,
        Input.GOODBYE: (None, ()),
        Input.OPENED: (None, ()),
        Input.OPENED_UPGRADABLE: (None, ()),
        Input.PROBE_ANSWERED: (None, ()),
        Input.PROBE_FAILED: (None, (Do.DROP_PROBE,)),
        Input.POLLING_PAUSED: (None, (Do.FINISH,)),
        Input.CLOSE_PACKET: (None, (Do.FINISH_POSTS,)),
    },
    State.CLOSED: {},
}


class Session:
    """One Engine.IO session: its state and its heartbeat.

    Attributes:
        state: the current `State`.
        pinger: who sends pings: "server" (Engine.IO 4), "client" (2 and 3) or "echo" (Socket.IO 0.9: the
            server's heartbeat is sent back).
        interval, timeout: pingInterval and pingTimeout in seconds, infinite until the session is open.
    """

    __slots__ = ("_beat", "_heard", "_ping_sent", "interval", "pinger", "state", "timeout")

    def __init__(self, pinger: str) -> None:
        self.state = State.IDLE
        self.pinger = pinger
        self.interval = self.timeout = INFINITY
        self._beat = self._heard = 0.0
        self._ping_sent: float | None = None

    def step(self, given: Input) -> tuple[Do, ...]:
        """Move on.

        Raises:
            ProtocolError: the peer sent what this state doesn't accept.
        """
        if self.state is State.CLOSED:
            return ()
        try:
            state, actions = TRANSITIONS[self.state][given]
        except KeyError:
            raise ProtocolError(f"unexpected {given.name.lower()} while {self.state.name.lower()}") from None
        if state is not None:
            self.state = state
        return actions

    def start_heartbeat(self, interval: float, timeout: float, now: float) -> None:
        """The open packet came at `now`; both times in seconds."""
        self.interval = interval
        self.timeout = timeout
        self._beat = now
        self._ping_sent = None

    def next_check(self) -> float:
        """When `check` has something to do at the earliest."""
        if self.pinger == "client":
            if self._ping_sent is None:
                return self._beat + self.interval
            if self._heard > self._ping_sent:  # engine.io-client 3, `onPacket`: any packet counts
                return self._heard + self.interval + self.timeout
            return self._ping_sent + self.timeout
        return self._beat + self.interval + self.timeout

    def check(self, now: float) -> str | None:
        """What the heartbeat asks for at `now`: "ping" (send one), "missed" (the peer is gone) or None."""
        if now < self.next_check():
            return None
        if self.pinger == "client" and self._ping_sent is None:
            self._ping_sent = now
            return "ping"
        return "missed"

    def on_ping(self, now: float) -> float:
        """The server's ping came and is answered at `now`; returns how late it was, in seconds."""
        late = now - self._beat - self.interval
        self._beat = now
        return late if late > 0.0 else 0.0

    def on_heard(self, now: float) -> None:
        """Something came, which is a sign of life where the server doesn't ping (on polling: of 0.9 too)."""
        self._heard = now
        if self.pinger == "echo":
            self._beat = now

    def on_pong(self, now: float) -> float | None:
        """The answer to our ping came; returns the round trip in seconds, None if none was asked for."""
        sent = self._ping_sent
        if sent is None:
            return None
        self._ping_sent = None
        self._beat = now
        return now - sent
