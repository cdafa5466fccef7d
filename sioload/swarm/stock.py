"""The rows of feeds in the process that hands them out: who holds which, and what of that a report says."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sioload.errors import FeedError
from sioload.load.leases import Grant, Holder, Leases
from sioload.load.tables import Table
from sioload.plain import Json
from sioload.report.words import counted
from sioload.users.feeds import Row, Verb, feeds

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Shelf:
    """One feed: its rows, who holds them, the verb that is used of it, and how often no row was free."""

    name: str
    table: Table
    leases: Leases
    order: str
    when_empty: str
    verb: Verb | None = None
    shared: int = 0
    unmet: int = 0


@dataclass(slots=True)
class Lapse:
    """Rows of a silent worker that were given to others, though its users may have lived on.

    Attributes:
        worker: its id.
        rows: how many of each feed.
        since, until: monotonic seconds; `until` is when its users were gone for certain, None before.
        back: it has shown a sign of life, and when it was last told to stop its users.
    """

    worker: str
    rows: dict[str, int]
    since: float
    until: float | None = None
    back: float | None = None


class Stock:
    """The rows of all feeds of a run, in the process that hands them out."""

    def __init__(self) -> None:
        """Read them all.

        Raises:
            FeedError: something is wrong with one of them.
        """
        feeds.check()
        made = {id(feed): feed for feed in feeds.by_name.values()}
        shelves = {key: _shelf(feed) for key, feed in made.items()}
        self._shelves = {name: shelves[id(feed)] for name, feed in feeds.by_name.items()}
        self.lapses: list[Lapse] = []

    @property
    def shelves(self) -> list[_Shelf]:
        """Each feed once."""
        return list({id(shelf): shelf for shelf in self._shelves.values()}.values())

    def warn(self, users: int) -> None:
        """Say it when there are fewer rows than users."""
        for shelf in self.shelves:
            if len(shelf.table) < users:
                logger.warning(
                    "sioload: %s has %s, and %d users are asked for: with take(), %s; next() shares them",
                    shelf.name, counted(len(shelf.table), "row"), users,
                    "some wait for one" if shelf.when_empty == "wait" else "those that get none end",
                )  # fmt: skip

    def begin(self) -> None:
        """A test starts."""
        for shelf in self.shelves:
            shelf.leases.begin()
            shelf.shared = shelf.unmet = 0
            shelf.verb = None
        self.lapses = [lapse for lapse in self.lapses if lapse.until is None]

    def ask(self, name: str, verb: Verb, holder: Holder) -> Row | int | FeedError | None:
        """The answer to a question; None when it has to wait."""
        shelf = self._shelves.get(name)
        if shelf is None:
            return FeedError(f"{name}: no such feed where the rows are handed out: the locustfiles differ")
        shelf.verb = shelf.verb or verb
        if shelf.verb != verb:
            return FeedError(f"{name}: one feed uses one of take() and next(), and both are used")
        if verb == "next":
            shelf.shared += 1
            return shelf.table.row(shelf.leases.next())
        again = shelf.leases.awaits(holder)  # a worker asks once more what wasn't answered for long
        number = shelf.leases.take(holder)
        if number is not None:
            return shelf.table.row(number)
        shelf.unmet += not again
        return None if shelf.when_empty == "wait" else shelf.leases.count

    def release(self, name: str, holder: Holder) -> list[tuple[Holder, Row]]:
        """A lease ends, or a question is taken back; who gets which row instead."""
        shelf = self._shelves.get(name)
        return [] if shelf is None else _granted(shelf, shelf.leases.release(holder))

    @property
    def unmet(self) -> dict[str, int]:
        """How often no row was free, for each feed."""
        return {shelf.name: shelf.unmet for shelf in self.shelves}

    def lose(self, process: str) -> tuple[dict[str, int], list[tuple[Holder, Row]]]:
        """All leases of a process end: how many of which feed, and who gets which row instead."""
        rows: dict[str, int] = {}
        served: list[tuple[Holder, Row]] = []
        for shelf in self.shelves:
            count, grants = shelf.leases.lose(process)
            if count:
                rows[shelf.name] = count
            served += _granted(shelf, grants)
        return rows, served

    def report(self, since: float) -> list[dict[str, Json]]:
        """For the report: how each feed was used.

        Args:
            since: when counting began, monotonic seconds.
        """
        return [
            {
                "name": shelf.name,
                "rows": shelf.leases.count,
                "order": shelf.order,
                "when_empty": shelf.when_empty,
                "taken": shelf.shared + shelf.leases.granted,
                "most_held": shelf.leases.most,
                "held_twice": list(self._twice(shelf.name, since)),
            }
            for shelf in self.shelves
        ]

    def _twice(self, name: str, since: float) -> Iterable[dict[str, Json]]:
        for lapse in self.lapses:
            if lapse.back is not None and name in lapse.rows:
                until = time.monotonic() if lapse.until is None else lapse.until
                yield {"worker": lapse.worker, "rows": lapse.rows[name],
                       "from_s": round(lapse.since - since, 3), "to_s": round(until - since, 3)}  # fmt: skip


def _shelf(feed: Any) -> _Shelf:
    table = feed.load()
    leases = Leases(len(table), feed.order, feed.when_empty)
    return _Shelf(feed.name, table, leases, feed.order, feed.when_empty)


def _granted(shelf: _Shelf, grants: Iterable[Grant]) -> list[tuple[Holder, Row]]:
    return [(grant.holder, shelf.table.row(grant.row)) for grant in grants]
