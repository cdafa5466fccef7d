"""Greenlets that sleep until something about their connection changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.hub import Waiter

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet


class Sleepers:
    """Those of one client."""

    __slots__ = ("_fleet", "_waiters")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._waiters: list[Waiter[Any]] | None = None

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def sleep(self, until: float | None = None) -> None:
        """Wait for the next thing that may have changed, or for that time; raises what is thrown."""
        waiter: Waiter[Any] = Waiter()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        if until is None:
            waiter.get()
            return
        deadlines = self._fleet.deadlines
        timer = deadlines.at(until, waiter.switch)
        try:
            waiter.get()
        finally:
            deadlines.cancel(timer)
            self._forget(waiter)

    def _forget(self, waiter: Waiter[Any]) -> None:
        if self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)

    def wake(self) -> None:
        """In the hub: resume them all."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.switch(None)
