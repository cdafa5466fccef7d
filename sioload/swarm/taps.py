"""Samples one by one, for scripts and plugins that listen to Locust's `request` event.

Batches don't pass through that event. When anyone but Locust itself listens to it, each sample is also given
to those listeners, from a greenlet: they may block, and samples arise in the event loop where nothing may.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Final

import gevent
from locust.event import EventHook

from sioload.measure.recorder import Recorder
from sioload.measure.rows import Row
from sioload.swarm import foreign

#: Whose listeners only count.
_COUNTERS: Final = ("locust.runners", foreign.__name__)

logger = logging.getLogger(__name__)

#: Samples that may wait for slow listeners; more are counted as missed, and said.
QUEUE: Final = 100_000


class RequestListeners:
    """Gives each sample to the listeners of the `request` event that aren't Locust's own.

    Attributes:
        missed: samples that the listeners never saw because they were too slow.
    """

    def __init__(self, recorder: Recorder, request: Any) -> None:
        self.missed = 0
        self._recorder = recorder
        self._request = request
        self._listeners: Any = EventHook()  # type: ignore[no-untyped-call]
        self._queue: deque[tuple[str, str, float | None, str | None, float]] = deque()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._on = False

    def look(self) -> None:
        """Start or stop, by whether anyone listens now. Cheap; called once a second."""
        own = [h for h in self._request._handlers if getattr(h, "__module__", "") not in _COUNTERS]
        self._listeners._handlers = own
        if bool(own) != self._on:
            self._on = bool(own)
            self._recorder.listen(self._put if own else None)

    def finish(self, limit: float = 5.0) -> None:
        """Wait until the listeners have seen everything, at most `limit` seconds."""
        until = time.monotonic() + limit
        while self._queue and time.monotonic() < until:
            gevent.sleep(0.02)
        self.missed += len(self._queue)
        self._queue.clear()
        if self.missed:
            logger.warning(
                "sioload: listeners of the request event were too slow and missed %d samples", self.missed
            )

    def _put(self, row: Row, seconds: float | None, message: str | None) -> None:
        if len(self._queue) >= QUEUE:
            self.missed += 1
            return
        self._queue.append((row.type, row.name, seconds, message, time.time()))
        if self._greenlet is None or self._greenlet.dead:
            self._greenlet = gevent.spawn(self._pass_on)

    def _pass_on(self) -> None:
        passed = 0
        while self._queue:
            kind, name, seconds, message, at = self._queue.popleft()
            self._fire(kind, name, seconds, message, at)
            passed += 1
            if passed % 100 == 0:
                gevent.sleep(0)

    def _fire(self, kind: str, name: str, seconds: float | None, message: str | None, at: float) -> None:
        try:
            self._listeners.fire(
                request_type=kind,
                name=name,
                response_time=None if seconds is None else seconds * 1000,
                response_length=0,
                response=None,
                context={},
                exception=None if message is None else Failure(message),
                start_time=at - (seconds or 0.0),
                url=None,
            )
        except Exception as error:  # noqa: BLE001 - Locust lets StopUser and the like through, meant for a user's greenlet
            logger.warning(
                "sioload: a listener of the request event raised %r; no user is stopped by it", error
            )


class Failure(Exception):
    """What listeners of the `request` event get as `exception`: a failed sample's message."""
