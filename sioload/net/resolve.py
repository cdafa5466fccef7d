"""Names to addresses, without blocking the hub: in its thread pool, once per process, and refreshed."""

from __future__ import annotations

import _socket
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import gevent
from gevent.hub import get_hub

#: How long a resolved name is used before it is asked for again, in seconds.
REFRESH = 60.0


class Address(NamedTuple):
    """What `getaddrinfo` gives for one TCP address."""

    family: int
    sockaddr: Any


class Resolver:
    """Names resolved once per process; concurrent askers share one look-up."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._asked: dict[tuple[str, int], list[Callable[[list[Address], str | None], None]]] = {}

    def resolve(self, host: str, port: int, done: Callable[[list[Address], str | None], None]) -> None:
        """Call `done(addresses, reason)` in the hub, at once when the name is known."""
        key = (host, port)
        known = self._known.get(key)
        if known and known[0] > perf_counter():
            done(known[1], None)
            return
        waiting = self._asked.get(key)
        if waiting is not None:
            waiting.append(done)
            return
        literal = _look_up(host, port, _socket.AI_NUMERICHOST)
        if not isinstance(literal, str):
            self._known[key] = (perf_counter() + REFRESH, literal)
            done(literal, None)
            return
        self._asked[key] = [done]
        try:
            # From a greenlet, because the pool makes its callers wait while all its threads are busy.
            job: Any = gevent.spawn(get_hub().threadpool.apply, _look_up, key)
        except (MemoryError, OSError, RuntimeError) as error:
            del self._asked[key]
            done([], f"name not resolved ({error})".lower())
            return
        job.rawlink(lambda job: self._answered(key, job.value or f"name not resolved ({job.exception})"))

    def prefer(self, host: str, port: int, good: Address) -> None:
        """Try `good` first from now on: another address of that name didn't answer."""
        known = self._known.get((host, port))
        if known and known[1][0] != good:
            known[1].sort(key=lambda address: address != good)

    def _answered(self, key: tuple[str, int], answer: list[Address] | str) -> None:
        waiting = self._asked.pop(key)
        addresses, reason = ([], answer) if isinstance(answer, str) else (answer, None)
        if reason is None:
            self._known[key] = (perf_counter() + REFRESH, addresses)
        for done in waiting:
            done(addresses, reason)


def _look_up(host: str, port: int, flags: int = 0) -> list[Address] | str:
    """Runs in a thread, but for addresses that need no look-up."""
    try:
        found = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM, 0, flags)
    except (OSError, UnicodeError) as error:
        return f"name not found ({getattr(error, 'strerror', None) or error})".lower()
    return list(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))
