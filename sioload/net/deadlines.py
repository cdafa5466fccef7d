"""One sweep over stored deadlines: a single timer of the hub for a whole process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import perf_counter

from gevent.hub import get_hub
from mypy_extensions import mypyc_attr

logger = logging.getLogger(__name__)

#: `[when, tie-breaker, callback or None once cancelled]`: a list, because the heap compares those fastest.
Timer = list[float | int | Callable[[float], None] | None]


def due(timer: Timer | None) -> float:
    """When a timer comes; infinite without one that is still to come."""
    return float("inf") if timer is None or timer[2] is None else timer[0]  # type: ignore[return-value]


@mypyc_attr(allow_interpreted_subclasses=True)
class Deadlines:
    """Callbacks at points of time, run in the hub.

    Owners keep at most a few entries each and move them lazily (an owner whose deadline moved later keeps its
    entry and looks again when it fires), so the heap stays small and cheap.
    """

    __slots__ = ("_armed", "_cancelled", "_heap", "_on_crash", "_serial", "_timer")

    def __init__(self, on_crash: Callable[[BaseException], None]) -> None:
        self._heap: list[Timer] = []
        self._serial = 0
        self._cancelled = 0
        self._armed = float("inf")
        self._timer = get_hub().loop.timer(0)
        self._on_crash = on_crash

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(self, when: float, callback: Callable[[float], None]) -> Timer:
        """Call `callback(now)` in the hub at `when` (seconds of `perf_counter`) or soon after."""
        self._serial += 1
        entry: Timer = [when, self._serial, callback]
        heappush(self._heap, entry)
        if when < self._armed:
            self._arm(when)
        return entry

    def cancel(self, entry: Timer | None) -> None:
        """Forget an entry; harmless when it has run or was cancelled before."""
        if entry is None or entry[2] is None:
            return
        entry[2] = None
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 3 > len(self._heap):
            rest = [e for e in self._heap if e[2] is not None]
            self._cancelled -= len(self._heap) - len(rest)  # others may be due in this very sweep
            self._heap = rest
            heapify(rest)

    def _arm(self, when: float) -> None:
        loop = get_hub().loop
        try:
            timer = loop.timer(max(0.0, when - perf_counter()))
            timer.start(self._sweep)
        except (MemoryError, OSError) as error:
            self._on_crash(error)
            loop.run_callback(self._sweep)  # no memory for a timer: deadlines that never come would be worse
            return
        self._timer.stop()
        self._timer.close()
        self._timer = timer
        self._armed = when

    def _sweep(self) -> None:
        try:
            now = perf_counter()
            due: list[Timer] = []
            while self._heap and self._heap[0][0] <= now:  # type: ignore[operator]
                due.append(heappop(self._heap))
            for entry in due:  # what a callback adds waits for the next sweep, or this one might never end
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
