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


class Turns:
    """Makes the calls of all connections.

    A greenlet for each would cost several times what most of them do. The one that makes them is kept for as
    long as none has blocked; one that has is left to that call, and the next calls get another.
    """

    __slots__ = ("_calling", "_due", "_idle", "_more", "_over", "_timer")

    def __init__(self, more: Callable[[], bool]) -> None:
        """
        Args:
            more: whether further calls may come.
        """
        self._more = more
        self._due: deque[Callable[[], None]] = deque()
        self._calling: gevent.Greenlet[..., None] | None = None
        self._idle = False
        self._over = 0.0
        self._timer: Any = get_hub().loop.timer(0)

    def take(self, call: Callable[[], None]) -> None:
        """Make a call soon. What it raises ends a greenlet, as gevent reports it, and no other call."""
        self._due.append(call)
        if len(self._due) == 1:
            get_hub().loop.run_callback(self._give)

    def rest(self) -> None:
        """No further calls may come."""
        calling = self._calling
        if calling is not None and self._idle:
            self._calling = None
            get_hub().loop.run_callback(calling.switch)

    def _give(self) -> None:
        """In the hub: until nothing is due, or for a spell."""
        due = self._due
        self._over = perf_counter() + SPELL
        while due and perf_counter() < self._over:
            if self._calling is None:
                self._calling = gevent.Greenlet(self._call)
            self._idle = False
            self._calling.switch()
            if not self._idle:  # it waits for something, or has ended
                self._calling = None
        if due:
            self._timer.start(self._give)  # a callback would come before the sockets

    def _call(self) -> None:
        """In the greenlet."""
        mine, due = gevent.getcurrent(), self._due
        contextual: Any = mine
        while self._calling is mine:
            contextual.gr_context = None  # each call begins without what another left there
            due.popleft()()
            if self._calling is not mine:
                return
            if not due and not self._more():
                return
            if not due or perf_counter() >= self._over:
                self._idle = True
                get_hub().switch()
