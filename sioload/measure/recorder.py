"""All that one process measures, and its snapshots for the master."""

from __future__ import annotations

import re
from typing import Final

from sioload.measure.audience import Audience
from sioload.measure.blocks import Blocks
from sioload.measure.connections import Connections
from sioload.measure.delivery import Delivery
from sioload.measure.health import Health
from sioload.measure.histogram import Histogram
from sioload.measure.ledger import Ledger
from sioload.measure.names import LABEL, OTHER, bounded, clean_name, normalise
from sioload.measure.outage import Outages
from sioload.measure.population import Population
from sioload.measure.row_types import ROW_TYPES, row_type
from sioload.measure.rows import Delta, Row, SampleListener, Totals
from sioload.plain import Json

#: Version of the snapshots' form; master and workers must agree.
SNAPSHOT: Final = 5
#: Distinct names of rows, `OTHER` among them.
MAX_NAMES: Final = 200
#: How many of them are kept for the names of fixed types (transports, reasons of disconnects...).
FIXED_NAMES: Final = 20
#: What stands behind the label of a user that is followed (`Recorder.follow`), before its number.
FOLLOWED: Final = "\0"
#: How many of the others may be names of requests that other clients make, and how many types those have.
FOREIGN_NAMES: Final = 100
FOREIGN_TYPES: Final = 20
_MAX_INTERNAL_ERRORS: Final = 20
#: Seconds that calls of `Recorder.take` are apart at most, as long as nothing holds the process up.
_APART: Final = 3.0


def is_fixed(type: str, name: str) -> bool:
    """Whether a row's name is of a small closed set; those of labelled users are the script's too."""
    return row_type(type).fixed and LABEL not in name


class Names:
    """At most `MAX_NAMES` distinct names of rows; those that come too late become `(other)`."""

    __slots__ = ("_fixed", "_free")

    def __init__(self) -> None:
        self._fixed: set[str] = set()
        self._free: set[str] = set()

    def admit(self, type: str, name: str) -> str:
        """The name itself, or `(other)` when there is no more room for it."""
        if name in self._fixed or name in self._free:
            return name
        fixed = is_fixed(type, name)
        names, room = (self._fixed, FIXED_NAMES) if fixed else (self._free, MAX_NAMES - FIXED_NAMES - 1)
        if name == OTHER or len(names) >= room:
            return OTHER
        names.add(name)
        return name


def label_of(user: object) -> str:
    """What stands behind the names of a user's rows."""
    label: object = "" if user is None else getattr(user, "label", "")
    return LABEL + label if isinstance(label, str) and label else ""


_NUMBER: Final = re.compile(FOLLOWED + r"\d+")


def shown_name(name: str) -> str:
    """A name in which the label of a user that is followed may stand, as others are to see it."""
    before, mark, after = name.partition(FOLLOWED)
    return before.removesuffix(LABEL) + after.lstrip("0123456789") if mark else name


class Recorder:
    """What one process measures. The event loop writes into it; nothing here blocks.

    Attributes:
        epoch: names this process and the time since its last reset; no two may be equal in a swarm.
        rows: type and name to row, in the order of first use.
        foreign: the same for requests of other clients, which Locust counts by itself.
        tap: who hears of each sample; see `Row`. `listen` sets it.
        ledger, connections, delivery, audience, health, population, blocks, outages: see their modules. What
            the audience has to tell travels beside the snapshots.
        bytes_sent, bytes_received: of all connections.
        clock_error: bound of this process's clock offset to the swarm's clock in seconds; None if not
            estimated.
        internal_errors: faults of sioload itself, each of which makes the figures untrustworthy; bounded.
        unverified: TLS was spoken with whatever certificate a server showed.
    """

    def __init__(self, epoch: str = "local") -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.foreign: dict[tuple[str, str], Row] = {}
        self.tap: SampleListener | None = None
        self._followed: dict[tuple[str, str], Row] = {}
        self._followers: dict[str, SampleListener] = {}
        self._names = Names()
        self.ledger = Ledger()
        self.connections = Connections()
        self.delivery = Delivery()
        self.audience = Audience()
        self.health = Health()
        self.population = Population()
        self.blocks = Blocks()
        self.outages = Outages()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.clock_error: float | None = None
        self.internal_errors: list[str] = []
        self.unverified = False
        self._base = epoch
        self._resets = 0
        self._calls = Histogram()
        self._taken: float | None = None

    @property
    def epoch(self) -> str:
        return f"{self._base}/{self._resets}"

    def row(self, type: str, name: str) -> Row:
        """The row of a type and name, made on first use; it stays valid, over resets too.

        Raises:
            KeyError: there is no such row type.
        """
        row = self.rows.get((type, name))
        return row if row is not None else self._new_row(type, name)

    def row_of(self, user: object, type: str, name: str) -> Row:
        """The row of a type and name for what this user does: a labelled class has rows of its own."""
        return self.row(type, name + label_of(user))

    def _new_row(self, type: str, name: str) -> Row:
        if type not in ROW_TYPES:
            raise KeyError(type)
        followed = _NUMBER.search(name) if self._followers else None
        if followed is not None and followed[0] in self._followers:  # a server's own name may look like one
            return self._followed_row(type, name, self._followers[followed[0]])
        name = self._names.admit(type, bounded(name))
        row = self.rows.get((type, name))
        if row is None:
            row = self.rows[type, name] = Row(type, name, self.tap)
        return row

    def follow(self, label: str, listener: SampleListener) -> str:
        """Let `listener` hear of each sample of one user.

        Its rows are rows beside those of the others, so that nobody else pays for it; in every figure they
        are one.

        Returns:
            The label that the user has to have instead of `label`.
        """
        number = f"{FOLLOWED}{len(self._followers)}"
        self._followers[number] = listener
        return label + number

    def unfollow(self) -> None:
        """Nobody is followed any more: those that were are gone, and what they counted is forgotten."""
        self._followed.clear()
        self._followers.clear()

    def _followed_row(self, type: str, name: str, listener: SampleListener) -> Row:
        row = self._followed.get((type, name))
        if row is None:
            shown = self._names.admit(type, bounded(shown_name(name)))

            def hear(row: Row, seconds: float | None, failure: str | None) -> None:
                listener(row, seconds, failure)
                if self.tap is not None:
                    self.tap(row, seconds, failure)

            row = self._followed[type, name] = Row(type, shown, hear)
        return row

    def foreign_row(self, type: str, name: str) -> Row:
        """The row of another client's requests, whatever type it gives them."""
        row = self.foreign.get((type, name))
        if row is not None:
            return row
        type, name = clean_name(type, 20), clean_name(name)
        types = {known for known, _ in self.foreign}
        if type not in types and len(types) >= FOREIGN_TYPES:
            type = OTHER
        names = {known for _, known in self.foreign}
        if name not in names:
            name = OTHER if len(names) >= FOREIGN_NAMES else self._names.admit(type, name)
        row = self.foreign.get((type, name))
        if row is None:
            row = self.foreign[type, name] = Row(type, name)
        return row

    def listen(self, tap: SampleListener | None) -> None:
        """Tell `tap` of each sample from now on; None to stop."""
        self.tap = tap
        for row in self.rows.values():
            row.tap = tap

    def internal_error(self, text: str) -> None:
        """Note a fault of sioload itself, once."""
        text = normalise(text)
        if text not in self.internal_errors and len(self.internal_errors) < _MAX_INTERNAL_ERRORS:
            self.internal_errors.append(text)

    def window_p50(self) -> float | None:
        """Median in seconds of the CALL and REPLY samples since it was last called; None if none came."""
        calls = Histogram()
        for row in self.rows.values():
            if row.type in ("CALL", "REPLY"):
                calls.merge(row.totals().times)
        fresh = calls.since(self._calls)
        self._calls = calls
        return fresh.percentile(50) if fresh.total else None

    def take(self, now: float) -> list[Delta]:
        """What rows counted since the last call; all of it enters the blocks, that of `foreign` only them.

        Args:
            now: swarm clock.
        """
        before = self._taken
        if before is None or not 0.0 <= now - before <= _APART:  # the first, or a worker's clock was set
            before = now
        at = (before + now) / 2  # it lies in the right block, though this may be called early or late
        self._taken = now
        found = []
        for rows in (self.rows, self._followed, self.foreign):
            for row in rows.values():
                delta = row.take()
                if delta is None:
                    continue
                self.blocks.add(at, row.type, row.name, count=delta.count, failures=delta.failures,
                                counts=delta.counts)  # fmt: skip
                if rows is not self.foreign:
                    found.append(delta)
        return found

    def totals(self) -> list[Totals]:
        """The totals of all rows that counted something."""
        found = [row.totals() for rows in (self.rows, self.foreign) for row in rows.values()]
        if self._followed:
            found = self._with_followed(found)
        return [totals for totals in found if totals.count or totals.skipped or totals.unfinished]

    def _with_followed(self, found: list[Totals]) -> list[Totals]:
        """Rows of users that are followed are no rows of their own to anybody else."""
        merged = {(totals.type, totals.name): totals for totals in found}
        copied = set()
        for row in self._followed.values():
            key = row.type, row.name
            if key not in copied:
                copied.add(key)
                merged[key] = merged[key].copy() if key in merged else Totals(*key)
            merged[key].merge(row.totals())
        return list(merged.values())

    def reset(self) -> None:
        """Forget everything counted and begin a new epoch. Rows and open connections stay valid, and what
        became of users stays counted until their next run begins.

        The master must forget too (`Swarm.reset`), and before: it takes a new epoch from a worker that it
        knows for that worker's restart and keeps both.
        """
        for rows in (self.rows, self.foreign, self._followed):
            for row in rows.values():
                row.reset()
        self.ledger.reset()
        self.connections.reset()
        self.delivery.reset()
        self.health.reset()
        self.blocks.clear()
        self.outages.clear()
        self._taken = None
        self.bytes_sent = self.bytes_received = 0
        self.internal_errors.clear()
        self._calls = Histogram()
        self._resets += 1

    def snapshot(self, seq: int) -> dict[str, Json]:
        """All counts since the last reset in plain values, for msgpack.

        Args:
            seq: grows with each snapshot of this process; the master keeps the highest only.
        """
        return {"schema": SNAPSHOT, **self.state(seq), "rows": [totals.encode() for totals in self.totals()]}

    def state(self, seq: int) -> dict[str, Json]:
        """A snapshot without its rows, which are most of it."""
        return {
            "epoch": self.epoch,
            "seq": seq,
            "ledger": self.ledger.encode(),
            "connections": self.connections.encode(),
            "bytes": [self.bytes_sent, self.bytes_received],
            "delivery": {name: counts.encode() for name, counts in self.delivery.counts.items()},
            "streams": self.delivery.comparison.encode(),
            "health": self.health.totals.encode(),
            "population": self.population.encode(),
            "clock_error": self.clock_error,
            "outages": self.outages.encode(),
            "internal_errors": list(self.internal_errors),
            "unverified": self.unverified,
        }
