"""Who finds out which generation a server speaks, and what this process knows of it.

With `version` "auto" the first user's own handshake asks (`sioload.session.asking`): no other session is
opened. The next users wait for its answer or its end, at most `PATIENCE`; a refusal of that user leaves the
question to the next. A fixed version asks nothing while it works.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from sioload.engineio.urls import Endpoint, parse_url
from sioload.options import Options
from sioload.socketio.generations import V4, VERSIONS, Generation

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet

#: Seconds that a user waits for another one's answer.
PATIENCE = 5.0

#: Called with the generation to begin with, and with what to tell of the server's; None for a fixed version.
Found = Callable[[Generation, "Finding | None"], None]


class Finding:
    """What one attempt with `version` "auto" learns of its server's generation, for all.

    Attributes:
        asks: whether the attempt tries each form of handshake until one is answered.
    """

    __slots__ = ("_fleet", "_key", "_waiting", "asks")

    def __init__(self, fleet: Fleet, key: object, asks: bool, waiting: list[Waiter] | None) -> None:
        """`waiting`: those who wait for this very attempt, if it is the one that asks for all."""
        self._fleet = fleet
        self._key = key
        self._waiting = waiting
        self.asks = asks

    def conclude(self, generation: Generation) -> None:
        """The server speaks this one: those who wait go on."""
        fleet, key = self._fleet, self._key
        fleet.generations[key] = generation
        fleet.doubts.discard(key)
        for waiter in fleet.probes.pop(key, ()):
            waiter.begin(generation, Finding(fleet, key, False, None))

    def doubt(self) -> None:
        """The server may speak something else than what was known: the next attempt asks."""
        if self._key in self._fleet.generations:
            self._fleet.doubts.add(self._key)

    def release(self) -> None:
        """This attempt asks no more. The first of those who wait does."""
        fleet, key, waiting = self._fleet, self._key, self._waiting
        self._waiting = None
        if waiting is None or fleet.probes.get(key) is not waiting:
            return
        known = fleet.generations.get(key)
        if waiting:
            waiting.pop(0).begin(known or V4, Finding(fleet, key, True, waiting))
        else:
            del fleet.probes[key]


class Waiter:
    """An attempt that waits for another user's answer."""

    __slots__ = ("_deadline", "_fleet", "_found", "_key")

    def __init__(self, fleet: Fleet, key: object, found: Found) -> None:
        self._fleet = fleet
        self._key = key
        self._found = found
        self._deadline: Timer | None = fleet.deadlines.at(perf_counter() + PATIENCE, self._expired)

    def begin(self, generation: Generation, finding: Finding) -> None:
        """Go on, soon."""
        self._fleet.deadlines.cancel(self._deadline)
        self._fleet.later(self._begin, generation, finding)

    def _begin(self, generation: Generation, finding: Finding) -> None:
        try:
            self._found(generation, finding)
        except BaseException:
            finding.release()  # or all who wait would wait for nothing
            raise

    def _expired(self, now: float) -> None:
        self._fleet.probes[self._key].remove(self)
        self.begin(V4, Finding(self._fleet, self._key, True, None))


def find_generation(fleet: Fleet, endpoint: Endpoint, options: Options, found: Found) -> None:
    """Call `found(generation, finding)`, at once unless another user is finding it out."""
    if options.version != "auto":
        found(VERSIONS[options.version], None)
        return
    key = server_key(endpoint, options)
    known = fleet.generations.get(key)
    if known is not None and (key not in fleet.doubts or key in fleet.probes):
        found(known, Finding(fleet, key, False, None))
    elif key in fleet.probes:
        fleet.probes[key].append(Waiter(fleet, key, found))
    else:
        waiting: list[Waiter] = []
        fleet.probes[key] = waiting
        finding = Finding(fleet, key, True, waiting)
        try:
            found(known or V4, finding)
        except BaseException:
            finding.release()
            raise


def remember_generation(fleet: Fleet, endpoint: Endpoint, options: Options, generation: Generation) -> None:
    """A server turned out to speak this one exactly."""
    fleet.generations[server_key(endpoint, options)] = generation


def server_key(endpoint: Endpoint, options: Options) -> tuple[bool, str, int, str]:
    """What tells servers apart: where sessions are asked for."""
    at = parse_url(options.handshake_url) if options.handshake_url else endpoint
    return at.tls, at.host, at.port, at.path
