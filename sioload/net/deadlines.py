"""One sweep over stored deadlines: a single timer of the hub for a whole process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import perf_counter

from gevent.hub import get_hub

logger = logging.getLogger(__name__)

#: `[when, tie-breaker, callback or None once cancelled]`
Entry = list[float | int | Callable[[float], None] | None]


class Deadlines:
    """Callbacks at points of time, run in the hub.

    Owners keep at most a few entries each and move them lazily (an owner whose deadline moved later keeps its
    entry and looks again when it fires), so the heap stays small and cheap.
    """

    __slots__ = ("_armed", "_cancelled", "_heap", "_on_crash", "_serial", "_timer")

    def __init__(self, on_crash: Callable[[BaseException], None]) -> None:
        self._heap: list[Entry] = []
        self._serial = 0
        self._cancelled = 0
        self._armed = float("inf")
        self._timer = get_hub().loop.timer(0)
        self._on_crash = on_crash

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(self, when: float, callback: Callable[[float], None]) -> Entry:
        """Call `callback(now)` in the hub at `when` (seconds of `perf_counter`) or soon after."""
        self._serial += 1
        entry: Entry = [when, self._serial, callback]
        heappush(self._heap, entry)
        if when < self._armed:
            self._arm(when)
        return entry

    def cancel(self, entry: Entry | None) -> None:
        """Forget an entry; harmless when it has run or was cancelled before."""
        if entry is None or entry[2] is None:
            return
        entry[2] = None
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [e for e in self._heap if e[2] is not None]
            heapify(self._heap)
            self._cancelled = 0

    def _arm(self, when: float) -> None:
        self._armed = when
        timer = self._timer
        timer.stop()
        timer.close()
        self._timer = timer = get_hub().loop.timer(max(0.0, when - perf_counter()))
        timer.start(self._sweep)

    def _sweep(self) -> None:
        try:
            now = perf_counter()
            while self._heap and self._heap[0][0] <= now:  # type: ignore[operator]
                entry = heappop(self._heap)
                callback = entry[2]
                if callback is None:
                    self._cancelled -= 1
                    continue
                entry[2] = None
                try:
                    callback(now)  # type: ignore[operator]
                except BaseException as error:  # noqa: BLE001 - a hub callback never raises
                    self._on_crash(error)
        finally:
            self._armed = float("inf")
            if self._heap:
                self._arm(self._heap[0][0])  # type: ignore[arg-type]
