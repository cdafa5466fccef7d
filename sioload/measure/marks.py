"""The boundaries of a run as one process sees them: which it has to cut, and which cuts it must keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sioload.plain import Json

#: Cuts that travel in one report, the oldest first: a report must not grow without bound.
AT_ONCE: Final = 8


class Marks:
    """Boundaries to come, and cuts until the master has said that it has them. Times: swarm clock.

    Attributes:
        known: boundaries that this process was told of.
        began: when the run, or this process's part in it, began.
    """

    __slots__ = ("_ahead", "_kept", "began", "known")

    def __init__(self) -> None:
        self.known: set[float] = set()
        self._ahead: list[float] = []
        self._kept: dict[float, dict[str, Json]] = {}
        self.began = 0.0

    def begin(self, now: float) -> None:
        """A run begins, or this process joins it: there is no boundary yet."""
        self.known.clear()
        self._ahead.clear()
        self.forget(now)

    def forget(self, now: float) -> None:
        """All that was counted is forgotten: there is nothing before the boundaries that have passed."""
        self.began = now
        self._kept = {at: _cut(at, at, None) for at in sorted(self.known) if at <= now}

    def know(self, times: Iterable[float]) -> None:
        """Hear of boundaries, maybe again. Nothing was counted before those from before the beginning."""
        for at in sorted(times):
            if at not in self.known:
                self.known.add(at)
                if at <= self.began:
                    self._kept[at] = _cut(at, at, None)
                else:
                    self._ahead.append(at)
        self._ahead.sort()

    def end(self) -> None:
        """The users stop: what comes now belongs to the part of the run that they were stopped in."""
        self._ahead.clear()

    @property
    def next(self) -> float | None:
        """The boundary to come."""
        return self._ahead[0] if self._ahead else None

    def cut(self, now: float, snapshot: dict[str, Json]) -> dict[str, Json]:
        """Cut at the boundary that has come.

        Args:
            now: when this is.
            snapshot: all that was counted, as `Recorder.snapshot` gives it.
        """
        at = self._ahead.pop(0)
        cut = self._kept[at] = _cut(at, now, snapshot)
        return cut

    def unsent(self) -> list[dict[str, Json]]:
        """The cuts that the master may not have, in their order, as far as one report takes them."""
        return [self._kept[at] for at in sorted(self._kept)[:AT_ONCE]]

    def confirmed(self, times: Iterable[float]) -> None:
        """The master has these."""
        for at in times:
            self._kept.pop(at, None)


def _cut(at: float, now: float, snapshot: dict[str, Json] | None) -> dict[str, Json]:
    return {"mark": at, "cut": now, "snapshot": snapshot}
