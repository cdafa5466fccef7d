"""Connections opened, upgraded and closed."""

from __future__ import annotations

from typing import Final

from sioload.measure.names import OTHER
from sioload.plain import Json

#: Distinct reasons kept. They are of a closed set; this bounds what a fault could make of it.
_MAX_REASONS: Final = 50


class Connections:
    """Counts of the Engine.IO connections of one process or, merged, of the swarm.

    Attributes:
        opened: sessions whose open packet came.
        upgraded: sessions that changed from polling to websocket.
        current: transport to sessions open now.
        opening: connections that are being made, for the first time or again; written by the caller.
        closed: reason to sessions closed for it.
    """

    __slots__ = ("closed", "current", "opened", "opening", "upgraded")

    def __init__(self) -> None:
        self.opened = 0
        self.opening = 0
        self.upgraded = 0
        self.current: dict[str, int] = {}
        self.closed: dict[str, int] = {}

    def open(self, transport: str) -> None:
        """A session opened on a transport."""
        self.opened += 1
        self.current[transport] = self.current.get(transport, 0) + 1

    def upgrade(self, old: str, new: str) -> None:
        """A session moved from one transport to another."""
        self.upgraded += 1
        self.current[old] = self.current.get(old, 0) - 1
        self.current[new] = self.current.get(new, 0) + 1

    def close(self, transport: str, reason: str) -> None:
        """A session that was open on a transport ended."""
        self.current[transport] = self.current.get(transport, 0) - 1
        if reason not in self.closed and len(self.closed) >= _MAX_REASONS:
            reason = OTHER
        self.closed[reason] = self.closed.get(reason, 0) + 1

    def reset(self) -> None:
        """Forget what was counted, in place; the sessions that are open stay counted as open."""
        self.opened = self.upgraded = 0
        self.closed.clear()

    def merge(self, other: Connections) -> None:
        """Add all that another process counted."""
        self.opened += other.opened
        self.opening += other.opening
        self.upgraded += other.upgraded
        for mine, theirs in ((self.current, other.current), (self.closed, other.closed)):
            for key, n in theirs.items():
                mine[key] = mine.get(key, 0) + n

    def since(self, earlier: Connections) -> Connections:
        """What was counted after `earlier`, a former state of these; those open and opening are as now."""
        fresh = Connections()
        fresh.opened, fresh.upgraded = self.opened - earlier.opened, self.upgraded - earlier.upgraded
        fresh.opening, fresh.current = self.opening, dict(self.current)
        for reason, n in self.closed.items():
            if more := n - earlier.closed.get(reason, 0):
                fresh.closed[reason] = more
        return fresh

    def encode(self) -> dict[str, Json]:
        """Plain values, for msgpack and reports."""
        current = {transport: n for transport, n in self.current.items() if n}
        return {
            "opened": self.opened,
            "opening": self.opening,
            "upgraded": self.upgraded,
            "current": current,
            "closed": dict(self.closed),
        }

    @classmethod
    def decode(cls, data: dict[str, Json]) -> Connections:
        """The counts that `encode` was called on."""
        connections = cls()
        connections.opened, connections.upgraded = data["opened"], data["upgraded"]
        connections.opening = data["opening"]
        connections.current, connections.closed = dict(data["current"]), dict(data["closed"])
        return connections
