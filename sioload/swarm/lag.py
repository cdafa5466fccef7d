"""The watch on this process's own lag: a timer that tells how late it fires, and why.

While the event loop waits in its poll, nothing of this process runs. So of a timer that was due at `due`, the
poll was entered at `entered` and left at `left`, and that fired at `fired`,

    own lag = max(0, entered - due) + (fired - left)

is what the loop was busy or blocked with instead, whatever that did with the CPU. What the kernel made the
thread wait for a core meanwhile (run delay), and what the hypervisor took of it (steal), is the machine's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from time import monotonic, process_time
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, cast

from gevent.hub import get_hub

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet

#: Seconds between two ticks.
TICK: Final = 0.02
#: How often the timer fires in each while there is something to be seen: within the last so many seconds, the
#: process used more than such a share of a core, or its own lag was above so many seconds.
STEPS: Final = 4
BUSY: Final = 0.2
NOTABLE: Final = 0.001
ALERT: Final = 5.0
#: Seconds after a stop (SIGSTOP, Ctrl+Z) in which the process catches up and its lag says nothing.
RECOVERY: Final = 1.0

#: How often this process went on after it had been stopped.
_continued: int = 0


def _goes_on(number: int, frame: FrameType | None) -> None:
    global _continued
    _continued += 1


class LagWatch:
    """Feeds `Health` of a fleet's recorder from now on.

    The timer is the first that the event loop looks at when it leaves its poll. The worst of a few short
    steps is one tick. A process that has little to show is woken once a tick: each time costs it 60 us.
    """

    __slots__ = ("_alert", "_cpu", "_due", "_entered", "_every", "_fleet", "_full", "_late", "_loop",
                 "_machine", "_own", "_prepare", "_seen", "_silent", "_step", "_steps", "_timer",
                 "_used")  # fmt: skip

    def __init__(self, fleet: Fleet, full: Callable[[float], None]) -> None:
        """
        Args:
            fleet: whose health is watched.
            full: called in the hub when a window is full, with the time in monotonic seconds.
        """
        self._fleet = fleet
        self._full = full
        self._machine = _Machine()
        self._late = self._own = self._used = 0.0
        self._steps = 0
        self._alert = self._silent = 0.0
        self._cpu = process_time()
        self._seen = _watch_stops()
        self._loop = cast("Any", get_hub().loop)
        self._entered = monotonic()
        # Lowest priority: greenlets run in gevent's own watcher of this kind, which must have been before it.
        self._prepare: Any = self._loop.prepare(ref=False, priority=self._loop.MINPRI)
        self._prepare.start(self._poll)
        self._timer: Any = None
        self._every, self._step = 1, TICK
        self._due = 0.0
        self._start()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer = self._loop.timer(self._step, self._step, priority=self._loop.MAXPRI)
        self._timer.start(self._fired)
        self._due = monotonic() + self._step

    def _poll(self) -> None:
        """In the hub, each time before the loop waits."""
        self._entered = monotonic()

    def _fired(self) -> None:
        """In the hub, each step."""
        try:
            now, cpu = monotonic(), process_time()
            late, used = now - self._due, cpu - self._cpu
            # When the loop left the poll, by the wall clock: if that was set meanwhile, this is
            # the whole lag at most.
            left = max(0.0, time.time() - self._loop.now())
            own = min(late, max(0.0, self._entered - self._due) + left)
            own = min(own, used) if self._machine.silent else own - self._machine.took(own > NOTABLE)
            self._cpu = cpu
            if self._seen != _continued:
                self._seen = _continued
                self._silent = now + RECOVERY
                self._fleet.recorder.health.stood(late)
            elif not self._machine.silent:
                self._fleet.recorder.health.stood(late - own)
            if now >= self._silent:
                self._late = max(self._late, late)
                self._own = max(self._own, own)
            self._used += used
            self._steps += 1
            full = self._steps >= self._every and self._tick(now)
            self._timer.again(self._fired)
            self._due = now + self._step
            if full:
                self._full(now)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            self._fleet.crashed(error)

    def _tick(self, now: float) -> bool:
        """A few steps make a tick; returns whether a window is full."""
        health = self._fleet.recorder.health
        health.totals.estimated = self._machine.silent
        full = health.tick(now, self._late, self._used, self._own)
        if self._used > BUSY * TICK or self._own > NOTABLE:
            self._alert = now + ALERT
        wanted = STEPS if now < self._alert else 1
        if wanted != self._every:
            self._every, self._step = wanted, TICK / wanted
            self._start()
        self._late = self._own = self._used = 0.0
        self._steps = 0
        return full


class _Machine:
    """What the machine took of this thread's time.

    Attributes:
        silent: the kernel doesn't tell.
    """

    __slots__ = ("_calls", "_delay", "_hertz", "_schedstat", "_stat", "_stolen", "_tid", "silent")

    def __init__(self) -> None:
        # Opened here, they are this thread's, which runs the event loop.
        self._schedstat = _opened("/proc/thread-self/schedstat")
        self._tid = _opened("/proc/thread-self/stat")
        self._stat = _opened("/proc/stat")
        self._hertz = float(os.sysconf("SC_CLK_TCK"))
        self._calls = 0
        self._delay = 0.0
        self._stolen: dict[bytes, float] = {}
        self.silent = self._schedstat < 0
        if not self.silent:
            self.took(True)

    def took(self, closely: bool) -> float:
        """Seconds for which the thread waited for a core, or its core was stolen, since this was last asked.

        Args:
            closely: look at what was stolen too, which takes longer; else only now and then.
        """
        try:
            delay = int(os.pread(self._schedstat, 64, 0).split()[1]) / 1e9
            waited, self._delay = delay - self._delay, delay
            self._calls += 1
            if self._tid < 0 or self._stat < 0 or not (closely or self._calls % 50 == 0):
                return waited
            core = b"cpu" + os.pread(self._tid, 1024, 0).rpartition(b")")[2].split()[36]
            stolen: dict[bytes, float] = {}
            for line in os.pread(self._stat, 65536, 0).splitlines():
                if not line.startswith(b"cpu"):
                    break
                fields = line.split()
                stolen[fields[0]] = int(fields[8]) / self._hertz
        except (OSError, ValueError, IndexError):
            self.silent = True
            return 0.0
        now = stolen.get(core, 0.0)
        taken, self._stolen = now - self._stolen.get(core, now), stolen
        return waited + taken


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _watch_stops() -> int:
    """Count SIGCONT from now on, unless a script has its own use for it; returns the count so far."""
    try:
        if signal.getsignal(signal.SIGCONT) == signal.SIG_DFL:
            signal.signal(signal.SIGCONT, _goes_on)
    except ValueError:
        pass  # only the main thread may; elsewhere, stops aren't told from blocking
    return _continued
