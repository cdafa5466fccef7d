"""Emits at intended times: the slots of a paced user, and schedules that don't wait for answers.

A time counts from when an emit was meant to go out. A generator that waits for a slow answer before it goes
on would else leave out of its figures what its users would have had to wait meanwhile (coordinated omission).
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent.event import Event

from sioload.client.emits import Emit
from sioload.client.given import span_given
from sioload.errors import EmitError, Outcome, UsageError, in_words
from sioload.options import MAX_RATE
from sioload.plain import Json

if TYPE_CHECKING:
    from sioload.measure.rows import Row
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet

#: Seconds by which the last slot of a duration may miss its end, computed in floating point.
_ROUNDING = 1e-6


def checked_rate(rate: object, what: str) -> float:
    """A rate per second that can be kept.

    Raises:
        UsageError: it can't.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= MAX_RATE:
        raise UsageError(
            f"{what}: the rate must be a number per second, above 0 and at most {MAX_RATE:,.0f}, not {rate!r}"
        )
    return float(rate)


class Pace:
    """The slots of one user: slot k is `k / rate` seconds after its first iteration began.

    Attributes:
        row: that of the last emit whose time counts from a slot; None before the first.
        plan: the `wait_time` whose pace it is.
    """

    __slots__ = ("_begun", "_closed", "_greenlet", "_interval", "_origin", "_slot", "plan", "row")

    def __init__(self, interval: float, now: float, plan: object = None) -> None:
        """The first iteration begins `now`, in this greenlet; the next ones `interval` seconds apart."""
        self.plan = plan
        self._interval = interval
        self._origin = now
        self._begun = 1
        self._closed = False
        self._slot: float | None = now
        self._greenlet = gevent.getcurrent()
        self.row: Row | None = None

    def next(self, now: float) -> float:
        """Turn to the next slot; returns the seconds until then, 0 when it has passed."""
        self._slot = self._origin + self._begun * self._interval
        self._begun += 1
        return max(0.0, self._slot - now)

    def take(self, row: Row, now: float) -> float | None:
        """When this emit was meant to go out; None unless it is the first one of an iteration.

        Handlers emit in greenlets of their own, and have no part in the user's iteration.
        """
        slot = self._slot
        if slot is None or gevent.getcurrent() is not self._greenlet:
            return None
        self._slot = None
        self.row = row
        return min(slot, now)

    def close(self, now: float) -> int:
        """The user is stopped: how many slots have passed without their iterations. 0 the second time."""
        if self._closed:
            return 0
        self._closed = True
        return self._owed(now)

    def renew(self, now: float) -> int:
        """Owe nothing from now on; returns how many slots had passed without their iterations.

        An iteration that is about to begin late does so, and counts from now. Slots stay where they were in
        time: were they moved to now, all users would emit at one instant.
        """
        if self._closed:
            return 0
        owed = self._owed(now)
        self._begun += owed
        if self._slot is not None:
            self._slot = max(self._slot, now)
        return owed

    def _owed(self, now: float) -> int:
        return max(0, math.floor((now - self._origin) / self._interval) + 1 - self._begun)


class Sender(Protocol):
    """The client that a schedule emits with. The schedule calls these in the hub only."""

    fleet: Fleet

    @property
    def over(self) -> bool:
        """The user or the run has ended: no new emit starts."""

    def owner(self) -> object:
        """The user, None without one."""

    def ready(self, namespace: str) -> bool:
        """Whether an emit would go out without waiting."""

    def transmit(self, entry: Emit, data: Json) -> None:
        """Send an acknowledged emit now; raises what ended it."""

    def forget_schedule(self, schedule: Schedule) -> None:
        """A schedule has come to its end."""


class _Scheduled(Emit):
    """An emit of a schedule, which hears when it ends."""

    __slots__ = ("schedule",)

    schedule: Schedule

    def answer(self, args: list[Json], now: float, size: int) -> None:
        super().answer(args, now, size)
        self.schedule.ended()

    def end(self, outcome: Outcome, reason: str, now: float | None, error: EmitError | None = None) -> None:
        if not self.finished:
            super().end(outcome, reason, now, error)
            self.schedule.ended()


class Schedule:
    """Acknowledged emits at a constant rate, whatever the server does; made by `SocketIOClient.schedule`.

    They go out from the event loop, so they need no greenlet and none can hold them up. While nothing can be
    sent (the connection is lost, or the write buffer full), they wait up to `ack_timeout`, and then end as
    `not_sent`.

    Attributes:
        namespace: where it emits.
        started: emits begun; each of them is in the ledger.
        skipped: emits left out, because `max_outstanding` were open or the run ended just then.
        outstanding: emits begun that have no outcome yet.
    """

    __slots__ = ("_ack_timeout", "_data", "_done", "_event", "_interval", "_most", "_number", "_origin",
                 "_over", "_row", "_sender", "_timer", "_until", "_waiting", "namespace", "outstanding",
                 "skipped", "started")  # fmt: skip

    def __init__(
        self,
        sender: Sender,
        row: Row,
        namespace: str,
        event: str | int,
        data: Json,
        rate: object,
        max_outstanding: object,
        duration: object,
        ack_timeout: float,
    ) -> None:
        self._interval = 1.0 / checked_rate(rate, "schedule()")
        if isinstance(max_outstanding, bool) or not isinstance(max_outstanding, int) or max_outstanding < 1:
            raise UsageError(f"schedule(): max_outstanding must be above 0, not {max_outstanding!r}")
        lasts = math.inf if duration is None else span_given(duration, "schedule(): the duration")
        self._sender = sender
        self._row = row
        self.namespace = namespace
        self._event = event
        self._data = data
        self._most = max_outstanding
        self._ack_timeout = ack_timeout
        self._number = 0
        self._origin = perf_counter()
        self._until = self._origin + lasts - _ROUNDING
        self._over = False
        self._waiting: deque[tuple[_Scheduled, Any]] = deque()
        self._done = Event()
        self.started = self.skipped = self.outstanding = 0
        self._timer: Timer | None = sender.fleet.deadlines.at(self._origin, self._tick)

    @property
    def active(self) -> bool:
        """Whether more emits are to come."""
        return not self._over

    def stop(self) -> None:
        """Begin no more emits; those that are open get their answers still."""
        self._finish(perf_counter())
        self._rearm()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no more emits are to come and all have their outcomes; False if that took too long."""
        return bool(self._done.wait(timeout))

    def end(self) -> None:
        """The user, its connection or the run has ended: what waits to be sent never will be."""
        now = perf_counter()
        self._finish(now)
        waiting, self._waiting = self._waiting, deque()
        for entry, _ in waiting:
            entry.end("not_sent", "the user stopped before it could be sent", now)
        self._rearm()

    def _finish(self, now: float) -> None:
        """No more emits begin; those that were due by now, but for a busy event loop, were left out."""
        while not self._over and self._slot <= now and self._slot < self._until:
            self._number += 1
            self._skip()
        self._over = True

    def _skip(self) -> None:
        self.skipped += 1
        self._row.skipped += 1

    def flush(self) -> None:
        """In the hub: send what waits, if that is possible now."""
        while self._waiting and self._sender.ready(self.namespace):
            entry, data = self._waiting.popleft()
            self._send(entry, data)

    def ended(self) -> None:
        """One of its emits has its outcome."""
        self.outstanding -= 1
        self._settle()

    def _settle(self) -> None:
        if self._over and not self.outstanding:
            self._done.set()
            self._sender.forget_schedule(self)

    def _tick(self, now: float) -> None:
        self._timer = None
        if self._sender.over:
            self.end()
            return
        self.flush()
        while not self._over and (slot := self._slot) <= now:
            if slot >= self._until:
                self._over = True
                break
            self._number += 1
            self._begin(slot, now)
        while self._waiting and self._waiting[0][0].deadline <= now:
            self._waiting.popleft()[0].end("not_sent", "no connection in time", now)
        self._rearm()

    @property
    def _slot(self) -> float:
        """When the next emit is meant to go out."""
        return self._origin + self._number * self._interval

    def _rearm(self) -> None:
        """Come back at the next slot, or when what waits longest has waited too long."""
        deadlines = self._sender.fleet.deadlines
        deadlines.cancel(self._timer)
        self._timer = None
        when = math.inf if self._over else self._slot
        if self._waiting:
            when = min(when, self._waiting[0][0].deadline)
        if when < math.inf:
            self._timer = deadlines.at(when, self._tick)
        self._settle()

    def _begin(self, slot: float, now: float) -> None:
        if self.outstanding >= self._most:
            self._skip()
            return
        ledger, deadline = self._sender.fleet.recorder.ledger, now + self._ack_timeout
        entry = _Scheduled(ledger, None, self._row, self.namespace, self._event, slot, now, True, deadline,
                           owner=self._sender.owner())  # fmt: skip
        entry.schedule = self
        self.started += 1
        self.outstanding += 1
        data = self._data
        if callable(data):
            try:
                data = data()
            except Exception as error:  # noqa: BLE001 - the script's fault is a failure of its row
                entry.end("not_sent", f"data raised {in_words(error)}", now)
                return
        if self._waiting or not self._sender.ready(self.namespace):
            self._waiting.append((entry, data))
        else:
            self._send(entry, data)

    def _send(self, entry: _Scheduled, data: Json) -> None:
        # What ends an emit at once is in its row and in the ledger; the next one has its own chance.
        with contextlib.suppress(EmitError):
            self._sender.transmit(entry, data)
