"""`paced`: a `wait_time` that keeps a user to a rate, and tells the truth about what came late."""

from __future__ import annotations

from time import perf_counter
from types import MethodType
from typing import TYPE_CHECKING, Any

from locust import TaskSet

from sioload.client.schedule import Pace, checked_rate
from sioload.errors import UsageError

if TYPE_CHECKING:
    from sioload.client.api import SocketIOClient


def paced(rate: float) -> Any:
    """A `wait_time` for a `SocketIOUser` that begins `rate` iterations per second.

    Iteration k is meant to begin `k / rate` seconds after the user's first one. Its first emit is timed from
    then, so a slow answer shows in all iterations that it held up; the time from when that emit really went
    out is the row's service time, beside. An iteration that comes late begins at once, until the user has
    caught up. Those that didn't begin before the user was stopped are counted as skipped. A set of tasks may
    have a pace of its own, for as long as it lasts.

    Args:
        rate: iterations per second and user.

    Raises:
        UsageError: the rate isn't a number above 0.
    """
    return Paced(checked_rate(rate, "paced()"))


class Paced:
    """What `paced` returns. Locust calls it like a method of the user, or of a task set, after each task."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate

    def __get__(self, owner: object, kind: type | None = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __call__(self, owner: Any) -> float:
        """Seconds to wait before the next iteration."""
        user = owner.user if isinstance(owner, TaskSet) else owner
        client = getattr(user, "sio", None)
        if client is None:
            raise UsageError("paced() is a wait_time of SocketIOUser; other users have constant_throughput()")
        if client.pace is None or client.pace.plan is not self:
            self.begin(user)
        return float(client.pace.next(perf_counter()))

    def begin(self, user: Any) -> None:
        """The first iteration of a `SocketIOUser`, or of a set of its tasks, begins now, in this greenlet."""
        keep_pace(user, Pace(self._interval, perf_counter(), self))


def keep_pace(user: Any, pace: Pace | None) -> None:
    """A user goes by this pace from now on, on all of its connections."""
    for client in user.clients:
        client.pace = pace


def resume_pace(user: Any, pace: Pace | None) -> None:
    """A set of tasks is over, which may have had a pace of its own: the one from before it goes on."""
    if user.sio.pace is not pace:
        end_pace(user.sio)
        keep_pace(user, pace)


def end_pace(client: SocketIOClient) -> None:
    """Its user is stopped: count the iterations owed in the row of its last paced emit. Repeatable."""
    pace = client.pace
    if pace is not None:
        _skip(client, pace, pace.close(perf_counter()))


def renew_pace(client: SocketIOClient) -> None:
    """Its user owes nothing from now on; what it owed is counted as when it is stopped."""
    pace = client.pace
    if pace is not None:
        _skip(client, pace, pace.renew(perf_counter()))


def _skip(client: SocketIOClient, pace: Pace, owed: int) -> None:
    if owed:
        row = pace.row or client.fleet.recorder.row("CALL", "(no emit)" + client.label)
        row.skipped += owed
