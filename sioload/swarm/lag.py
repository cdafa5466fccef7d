"""The watch on this process's own lateness: a timer that tells how late it fires."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, process_time
from typing import TYPE_CHECKING, Any, Final

from gevent.hub import get_hub

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet

#: Seconds between two ticks.
TICK: Final = 0.02
#: How often the timer fires in each, while the process is busy: uses more than such a share of a core.
STEPS: Final = 4
BUSY: Final = 0.2


class LagWatch:
    """Feeds `Health` of a fleet's recorder from now on.

    The timer is the first that the event loop looks at, so that what piled up while the machine was busy
    elsewhere isn't taken for its cause; and it is short, so that little of the CPU time was used before
    it was due. The worst of a few such steps is one tick. A process that uses little anyway is woken
    once a tick: each time costs it 60 us.
    """

    __slots__ = ("_cpu", "_every", "_fleet", "_full", "_late", "_looked", "_own", "_step", "_steps", "_timer",
                 "_used")  # fmt: skip

    def __init__(self, fleet: Fleet, full: Callable[[float], None]) -> None:
        """
        Args:
            fleet: whose health is watched.
            full: called in the hub when a window is full, with the time in monotonic seconds.
        """
        self._fleet = fleet
        self._full = full
        self._late = self._own = self._used = 0.0
        self._steps = 0
        self._looked, self._cpu = monotonic(), process_time()
        self._timer: Any = None
        self._every, self._step = 1, TICK
        self._start()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        loop: Any = get_hub().loop
        self._timer = loop.timer(self._step, self._step, priority=loop.MAXPRI)
        self._timer.start(self._fired)

    def _fired(self) -> None:
        """In the hub, each step."""
        try:
            now, cpu = monotonic(), process_time()
            late, used = now - self._looked - self._step, cpu - self._cpu
            self._looked, self._cpu = now, cpu
            self._late = max(self._late, late)
            self._own = max(self._own, min(late, used))
            self._used += used
            self._steps += 1
            if self._steps >= self._every:
                full = self._fleet.recorder.health.tick(now, self._late, self._used, self._own)
                wanted = STEPS if self._used > BUSY * TICK else 1
                if wanted != self._every:
                    self._every, self._step = wanted, TICK / wanted
                    self._start()
                self._late = self._own = self._used = 0.0
                self._steps = 0
                if full:
                    self._full(now)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            self._fleet.crashed(error)
