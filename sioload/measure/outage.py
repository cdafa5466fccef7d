"""What an outage does to users: who lost the session, who came back and when; swarm clock, seconds."""

from __future__ import annotations

from typing import Final

from sioload.measure.histogram import Histogram
from sioload.plain import Json

#: What sessions end for that are cut on purpose.
CUT: Final = "cut"


class Outage:
    """One outage, from `at` until it isn't watched any more; in one process or the swarm.

    Attributes:
        lost: users whose session ended unexpectedly, each once.
        away: those of them that have none.
        recovered: sessions that the server restored.
        refusals: attempts that failed, by whole seconds since `at`.
        by_reason: why sessions were lost, of `lost`.
        back: from the loss until the first return.
        noticed: from a silent cut until the server closed the old socket.
        connects: sessions that users got, by whole seconds since `at`.
    """

    __slots__ = ("at", "away", "back", "by_reason", "connects", "lost", "noticed", "recovered", "refusals",
                 "until")  # fmt: skip

    def __init__(self, at: float, until: float) -> None:
        self.at = at
        self.until = until
        self.lost = self.away = self.recovered = 0
        self.by_reason: dict[str, int] = {}
        self.back = Histogram()
        self.noticed = Histogram()
        self.connects: dict[int, int] = {}
        self.refusals: dict[int, int] = {}

    def merge(self, other: Outage) -> None:
        """Add what another process saw of it."""
        self.lost += other.lost
        self.away += other.away
        self.recovered += other.recovered
        for reason, n in other.by_reason.items():
            self.by_reason[reason] = self.by_reason.get(reason, 0) + n
        self.back.merge(other.back)
        self.noticed.merge(other.noticed)
        for mine, theirs in ((self.connects, other.connects), (self.refusals, other.refusals)):
            for second, n in theirs.items():
                mine[second] = mine.get(second, 0) + n

    def count(self, counts: dict[int, int], now: float) -> None:
        """One more of `connects` or `refusals`."""
        second = int(now - self.at)
        counts[second] = counts.get(second, 0) + 1

    def encode(self) -> dict[str, Json]:
        """Plain values, for msgpack."""
        return {
            "at": self.at, "until": self.until, "lost": self.lost, "away": self.away,
            "recovered": self.recovered, "by_reason": dict(self.by_reason),
            "back": self.back.encode(), "noticed": self.noticed.encode(),
            "connects": [[second, n] for second, n in self.connects.items()],
            "refusals": [[second, n] for second, n in self.refusals.items()],
        }  # fmt: skip

    @classmethod
    def decode(cls, data: dict[str, Json]) -> Outage:
        """The outage that `encode` was called on."""
        outage = cls(data["at"], data["until"])
        outage.lost, outage.away, outage.recovered = data["lost"], data["away"], data["recovered"]
        outage.by_reason = dict(data["by_reason"])
        outage.back, outage.noticed = Histogram.decode(data["back"]), Histogram.decode(data["noticed"])
        outage.connects = dict(map(tuple, data["connects"]))
        outage.refusals = dict(map(tuple, data["refusals"]))
        return outage


class Outages:
    """The outages of a run, as one process sees them. Called in the hub: for each connection, not message.

    Attributes:
        cutting: sessions that end now are cut on purpose.
    """

    __slots__ = ("_away", "_counted", "_current", "_known", "cutting")

    def __init__(self) -> None:
        self.cutting = False
        self._known: list[Outage] = []
        self._current: Outage | None = None
        self._counted: set[object] = set()
        self._away: dict[object, float | None] = {}  # since when, for the first loss in this outage

    def clear(self) -> None:
        """A run begins, or all that was counted is forgotten."""
        self._known.clear()
        self._enter(0.0)

    def watch(self, at: float, until: float) -> bool:
        """There will be an outage, on which the watch on the one before ends; returns whether that is new."""
        if any(outage.at == at for outage in self._known):
            return False
        for outage in self._known:
            outage.until = min(outage.until, at)
        self._known.append(Outage(at, until))
        return True

    def _enter(self, now: float) -> Outage | None:
        """The outage that is on; who was lost in one counts for no other."""
        found: Outage | None = None
        for outage in self._known:
            if outage.at <= now < outage.until:
                found = outage
        if found is not self._current:
            self._current = found
            self._counted.clear()
            self._away.clear()
        return found

    def down(self, user: object, now: float, reason: str) -> None:
        """A user lost its session. One that drops it by itself isn't meant."""
        outage = self._enter(now)
        if outage is None or user in self._away or (reason == "dropped" and not self.cutting):
            return
        outage.away += 1
        if user in self._counted:
            self._away[user] = None
            return
        self._counted.add(user)
        self._away[user] = now
        outage.lost += 1
        told = CUT if self.cutting else reason
        outage.by_reason[told] = outage.by_reason.get(told, 0) + 1

    def up(self, user: object, now: float, recovered: bool) -> None:
        """A user has a session."""
        outage = self._enter(now)
        if outage is None:
            return
        outage.count(outage.connects, now)
        if user not in self._away:
            return
        since = self._away.pop(user)
        outage.away -= 1
        if recovered:
            outage.recovered += 1
        if since is not None:
            outage.back.add(now - since)

    def failed(self, now: float) -> None:
        """An attempt to get a session failed."""
        outage = self._enter(now)
        if outage is not None:
            outage.count(outage.refusals, now)

    def noticed(self, now: float, seconds: float) -> None:
        """The server closed a socket, so long after it was cut silently: in this outage, or in one before."""
        outage = self._enter(now)
        if outage is not None and now - seconds >= outage.at:
            outage.noticed.add(seconds)

    def encode(self) -> list[dict[str, Json]]:
        """Plain values, for msgpack."""
        return [outage.encode() for outage in self._known]
