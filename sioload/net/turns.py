"""Calls that may block, made one after the other in one greenlet until one does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import gevent
from gevent.hub import get_hub

#: Seconds that calls may take until the loop looks at its sockets again.
SPELL: Final = 0.005
#: Seconds: over before the loop looks at its timers.
_NEXT: Final = 1e-6


def give_way() -> None:
    """Between the parts of long work: let whoever waits go on, those too that wait for a socket or a timer.

    `gevent.sleep(0)` lets only others go on that are ready. The loop calls up to fifty of its callbacks, new
    ones too, before it looks at sockets and timers again: fifty parts of such work, if nobody else is ready.
    """
    gevent.sleep(_NEXT)


class Turns:
    """Makes the calls of all connections, those of one turn of the loop in one greenlet while none blocks.

    A greenlet for each would cost several times what most of them do. One that blocks keeps the greenlet, and
    those behind it get another.
    """

    __slots__ = ("_before", "_calling", "_due", "_on_crash", "_over", "_scheduled", "_timer")

    def __init__(self, before: Callable[[], None], on_crash: Callable[[BaseException], None]) -> None:
        """
        Args:
            before: called in the hub before the calls of a turn are made.
            on_crash: hears of what isn't a call's own fault.
        """
        self._before = before
        self._on_crash = on_crash
        self._due: deque[Callable[[], None]] = deque()
        self._calling: gevent.Greenlet[..., None] | None = None
        self._over = 0.0
        self._scheduled = False
        self._timer: Any = get_hub().loop.timer(0)

    def take(self, call: Callable[[], None]) -> None:
        """Make a call soon. What it raises ends a greenlet, as gevent reports it, and no other call."""
        self._due.append(call)
        if not self._scheduled:
            self._scheduled = True
            get_hub().loop.run_callback(self._give)

    def _give(self) -> None:
        """In the hub: until nothing is due, or for a spell."""
        try:
            self._before()
            self._over = perf_counter() + SPELL
            while self._due and perf_counter() < self._over:
                self._calling = gevent.Greenlet(self._call)
                self._calling.switch()  # until it is through, or waits for something, or was ended
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            self._on_crash(error)
        self._calling = None
        self._scheduled = bool(self._due)
        if self._scheduled:
            self._timer.start(self._give)  # a callback would come before the sockets

    def _call(self) -> None:
        """In the greenlet."""
        mine, due = gevent.getcurrent(), self._due
        contextual: Any = mine
        while due and self._calling is mine and perf_counter() < self._over:
            contextual.gr_context = None  # each call begins without what another left there
            due.popleft()()
