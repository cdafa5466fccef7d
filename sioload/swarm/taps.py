"""Samples one by one, for scripts and plugins that listen to Locust's `request` event.

Batches don't pass through that event. When anyone but Locust itself listens to it, each sample is also given
to those listeners, from a greenlet: they may block, and samples arise in the event loop where nothing may.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import gevent
from locust.event import EventHook

from sioload.measure.rows import Row
from sioload.net.fleet import Fleet
from sioload.net.turns import give_way
from sioload.report.words import counted
from sioload.swarm import foreign

#: Whose listeners only count.
_COUNTERS: Final = ("locust.runners", foreign.__name__, "sioload.swarm.trial")
#: Whose listener exports each request.
_OTEL: Final = "locust.opentelemetry"

logger = logging.getLogger(__name__)

#: Samples that may wait for slow listeners; more are counted as missed, and said.
QUEUE: Final = 100_000


class Sample(NamedTuple):
    """One sample, as listeners are told of it; `at` is when it ended, in seconds since the epoch."""

    type: str
    name: str
    seconds: float | None
    message: str | None
    at: float
    context: Callable[[], Any] | None
    size: int
    error: Exception | None


class RequestListeners:
    """Gives each sample to the listeners of the `request` event that aren't Locust's own.

    Attributes:
        missed: samples that the listeners never saw because they were too slow.
    """

    def __init__(self, fleet: Fleet, request: Any) -> None:
        self.missed = 0
        self._fleet = fleet
        self._request = request
        self._listeners: Any = EventHook()  # type: ignore[no-untyped-call]
        self._queue: deque[Sample] = deque()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._on = False
        # One that is added while users run hears of the very next sample.
        for change in ("add_listener", "remove_listener"):
            setattr(request, change, partial(self._changed, getattr(request, change)))

    def _changed(self, change: Callable[[Any], Any], listener: Any) -> Any:
        result = change(listener)
        self.look()
        return result

    def look(self) -> None:
        """Start or stop, by whether anyone listens now. Cheap; called once a second too."""
        modules = [(h, getattr(h, "__module__", "")) for h in self._request._handlers]
        own = [_typed(h) if module == _OTEL else h for h, module in modules if module not in _COUNTERS]
        self._listeners._handlers = own
        if bool(own) != self._on:
            self._on = bool(own)
            self._fleet.recorder.listen(self._put if own else None)
            self._fleet.pushes.clear()  # those that need not be decoded: now each has its user

    def finish(self, limit: float = 5.0) -> None:
        """Wait until the listeners have seen everything, at most `limit` seconds.

        Unless one of them ends the run, and waits for that: they see the rest after it.
        """
        if self._greenlet in self._fleet.enders:
            return
        until = time.monotonic() + limit
        while self._queue and time.monotonic() < until:
            gevent.sleep(0.02)
        self.missed += len(self._queue)
        self._queue.clear()
        if self.missed:
            logger.warning(
                "sioload: listeners of the request event were too slow and missed %s",
                counted(self.missed, "sample"),
            )

    def _put(self, row: Row, seconds: float | None, message: str | None) -> None:
        context, size, error = row.about or (None, 0, None)
        row.about = None
        if len(self._queue) >= QUEUE:
            self.missed += 1
            return
        self._queue.append(Sample(row.type, row.name, seconds, message, time.time(), context, size, error))
        if self._greenlet is None or self._greenlet.dead:
            self._greenlet = gevent.spawn(self._pass_on)

    def _pass_on(self) -> None:
        passed = 0
        while self._queue:
            self._fire(self._queue.popleft())
            passed += 1
            if passed % 100 == 0:
                give_way()

    def _fire(self, sample: Sample) -> None:
        error = sample.error
        if error is None and sample.message is not None:
            error = Failure(sample.message)
        try:
            self._listeners.fire(
                request_type=sample.type,
                name=sample.name,
                response_time=None if sample.seconds is None else sample.seconds * 1000,
                response_length=sample.size,
                response=None,
                context={} if sample.context is None else sample.context(),
                exception=None if sample.message is None else error,
                start_time=sample.at - (sample.seconds or 0.0),
                url=None,
            )
        except Exception as raised:  # noqa: BLE001 - Locust lets StopUser and the like through, meant for a user's greenlet
            said = f"a listener of the request event raised {raised!r}"
            self._fleet.complaints.say(said, "no user is stopped by it")


def _typed(listener: Callable[..., None]) -> Callable[..., None]:
    """That of `--otel`, which tells requests apart by name alone: CALL and PUSH of one event would be one."""

    def listen(*, request_type: str, name: str, **more: object) -> None:
        listener(request_type=request_type, name=f"{request_type} {name}", **more)

    return listen


class Failure(Exception):
    """What listeners of the `request` event get as `exception` where nothing was raised: a message."""
