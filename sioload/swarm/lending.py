"""Feeds in a run: the way from users to the process that hands out the rows, and back.

A lease ends when its worker says so, or when that worker has been silent for `SILENCE`. Should it come back
then, its users may use rows that others have by now: they are stopped before anything else, and the report
says for how long that may have been so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import gevent
import orjson
from gevent.event import Event
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from sioload.errors import FeedError
from sioload.load.leases import Holder
from sioload.plain import Json
from sioload.report.words import counted
from sioload.swarm.guard import Guard
from sioload.swarm.messages import EVICT, FEED, STOPPED, UNSENT
from sioload.swarm.stock import Lapse, Stock
from sioload.users.feeds import Answer, Row, Verb, feeds

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds without a sign of life after which the rows of a worker's users are free again.
SILENCE: Final = 10.0
#: Seconds for which questions are gathered before they travel.
GATHER: Final = 0.01
#: Seconds until questions that weren't answered are asked again, and an eviction that wasn't.
AGAIN: Final = 5.0
#: Rows in one message.
MOST: Final = 1000
#: Why a listener of `test_start` or of a message gets no row on a worker: it would wait for itself.
_RECEIVES: Final = "a row can't be asked for in a listener that keeps a worker from hearing its master"


class LocalDesk:
    """The desk of a run in one process."""

    def __init__(self) -> None:
        self.stock = Stock()
        self._waiting: dict[int, Answer] = {}
        feeds.desk = self

    def ask(self, name: str, verb: Verb, number: int, answer: Answer) -> None:
        found = self.stock.ask(name, verb, Holder("", number))
        if found is None:
            self._waiting[number] = answer
        else:
            answer(found)

    def give(self, name: str, number: int) -> None:
        self._waiting.pop(number, None)
        for holder, row in self.stock.release(name, Holder("", number)):
            self._waiting.pop(holder.number)(row)


class MasterDesk:
    """Answers the workers' questions, and watches whether those that hold rows are alive."""

    def __init__(self, runner: MasterRunner, guard: Guard) -> None:
        self.stock = Stock()
        self._runner = runner
        self._heard: dict[str, float] = {}
        self._looked = time.monotonic()
        # Also without feeds: workers whose locustfile has one would wait for an answer.
        runner.register_message(FEED, guard.safe(self._on_questions))
        if not feeds.by_name:
            return
        runner.register_message(EVICT, guard.safe(self._on_evicted))
        # A worker that is back gets users from Locust as soon as its first message is looked at.
        self._handle = runner.handle_message
        self._note = guard.safe(self._on_sign)
        runner.handle_message = self._on_message  # type: ignore[method-assign]
        guard.every(1.0, self._look)

    def _on_message(self, client_id: str, msg: Message) -> None:
        self._note(client_id, msg)
        self._handle(client_id, msg)

    def _on_sign(self, client_id: str, msg: Message) -> None:
        """A worker lives."""
        now = self._heard[client_id] = time.monotonic()
        lapse = self._lapse(client_id)
        if lapse is not None and msg.type != EVICT and (lapse.back is None or now - lapse.back > AGAIN):
            if lapse.back is None:
                logger.warning("sioload: worker %s is back; others have its rows: its users end", client_id)
            lapse.back = now
            self._send(EVICT, None, client_id)
        if msg.type in (STOPPED, "quit"):  # its users are gone, and their connections
            self._serve(self.stock.lose(client_id)[1])

    def _lapse(self, client_id: str) -> Lapse | None:
        """That of a worker whose users aren't known to be gone."""
        for lapse in self.stock.lapses:
            if lapse.worker == client_id and lapse.until is None:
                return lapse
        return None

    def _on_evicted(self, environment: Environment, msg: Message) -> None:
        self._serve(self.stock.lose(msg.node_id)[1])
        lapse = self._lapse(msg.node_id)
        if lapse is not None:
            lapse.until = time.monotonic()

    def _on_questions(self, environment: Environment, msg: Message) -> None:
        worker, data = msg.node_id, msg.data
        if self._lapse(worker) is not None:
            return  # it was asked before it was told that its users end
        for name, number in data["give"]:
            self._serve(self.stock.release(name, Holder(worker, number)))
        rows = []
        for name, verb, number in data["ask"]:
            found = self.stock.ask(name, verb, Holder(worker, number))
            if found is not None:
                rows.append(_encoded(number, found))
        while True:
            some, rows = rows[:MOST], rows[MOST:]
            self._send(FEED, {"rows": some, "done": None if rows else data["batch"]}, worker)
            if not rows:
                return

    def _serve(self, served: list[tuple[Holder, Row]]) -> None:
        for holder, row in served:
            self._send(FEED, {"rows": [_encoded(holder.number, row)], "done": None}, holder.process)

    def _look(self) -> None:
        """Take back the rows of workers that are silent."""
        now = time.monotonic()
        asleep, self._looked = now - self._looked > SILENCE / 2, now
        if asleep:  # this process couldn't listen: whoever spoke meanwhile wasn't heard
            self._heard = dict.fromkeys(self._heard, now)
        for worker, heard in list(self._heard.items()):
            if now - heard <= SILENCE:
                continue
            del self._heard[worker]
            rows, served = self.stock.lose(worker)
            if rows and self._lapse(worker) is None:
                self.stock.lapses.append(Lapse(worker, rows, now))
                held = sum(rows.values())
                logger.warning(
                    "sioload: worker %s has been silent for %.0f s: %s of its users %s free again",
                    worker, now - heard, counted(held, "row"), "is" if held == 1 else "are",
                )  # fmt: skip
            self._serve(served)

    def _send(self, kind: str, data: Json, client_id: str) -> None:
        try:
            self._runner.send_message(kind, data, client_id=client_id)
        except UNSENT as error:
            logger.warning("sioload: rows of a feed didn't reach worker %s: %s", client_id, error)


def _encoded(number: int, found: Row | int | FeedError) -> list[object]:
    """An answer in plain values: JSON's integers may be larger than msgpack's."""
    if isinstance(found, dict):
        return [number, orjson.dumps(found), None]
    return [number, None, found if isinstance(found, int) else str(found)]


class WorkerDesk:
    """Asks the master, for as many users at a time as wait at that moment."""

    def __init__(self, runner: WorkerRunner, guard: Guard) -> None:
        self._runner = runner
        self._asking: dict[int, tuple[str, Verb, Answer]] = {}
        self._unsent: set[int] = set()
        self._giving: dict[int, tuple[str, int]] = {}  # name, and the batch that it was in
        self._batch = 0
        self._flushing: Any = None
        self._work = Event()  # unset while users are being stopped because others have their rows
        self._work.set()
        feeds.desk = self
        if not feeds.by_name:
            return
        runner.register_message(FEED, guard.safe(self._on_rows))
        runner.register_message(EVICT, guard.safe(self._on_evict))
        self._start = runner.start_worker
        runner.start_worker = self._start_worker  # type: ignore[method-assign]
        gevent.spawn(self._insist)
        self._leave = guard.safe(self._leave_all)

    def ask(self, name: str, verb: Verb, number: int, answer: Answer) -> None:
        if getattr(gevent.getcurrent(), "_run", None) == self._runner.worker:
            answer(FeedError(f"{name}: {_RECEIVES}"))
            return
        self._asking[number] = (name, verb, answer)
        self._unsent.add(number)
        self._soon()

    def give(self, name: str, number: int) -> None:
        self._asking.pop(number, None)
        if number in self._unsent:
            self._unsent.discard(number)
        else:
            self._giving[number] = (name, 0)
            self._soon()

    def _soon(self) -> None:
        if self._flushing is None:
            self._flushing = gevent.spawn_later(GATHER, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        unsent, self._unsent = self._unsent, set()
        self._send(unsent, [number for number, (_, batch) in self._giving.items() if not batch])

    def _send(self, asks: Iterable[int], gives: Iterable[int]) -> None:
        self._batch += 1
        give = [(self._giving[number][0], number) for number in gives]
        for name, number in give:
            self._giving[number] = (name, self._batch)
        ask = [(*self._asking[number][:2], number) for number in sorted(asks)]
        try:
            self._runner.send_message(FEED, {"batch": self._batch, "give": give, "ask": ask})
        except UNSENT as error:
            logger.debug("sioload: can't ask for rows of a feed: %s", error)

    def _insist(self) -> None:
        """A connection to the master that is made anew may have lost questions."""
        while True:
            before = set(self._asking) | set(self._giving)
            gevent.sleep(AGAIN)
            asks, gives = before & set(self._asking), before & set(self._giving)
            if asks or gives:
                self._send(asks - self._unsent, gives)

    def _on_rows(self, environment: Environment, msg: Message) -> None:
        done = msg.data["done"]
        if done is not None:
            given = self._giving.items()
            self._giving = {number: of for number, of in given if of[1] != done}
        for number, row, other in msg.data["rows"]:
            asked = self._asking.pop(number, None)
            if asked is None:
                continue  # who asked is gone, and has taken the question back
            if row is not None:
                asked[2](orjson.loads(row))
            else:
                asked[2](other if isinstance(other, int) else FeedError(other))

    def _on_evict(self, environment: Environment, msg: Message) -> None:
        if self._work.is_set():
            self._work.clear()
            gevent.spawn(self._leave)

    def _leave_all(self) -> None:
        """Stop all users, and tell the master once their connections are closed."""
        runner = self._runner
        logger.warning("sioload: this worker was silent for long, and others have its rows: its users end")
        try:
            while runner.user_count or any(feed.held for feed in feeds.by_name.values()):
                if runner.user_count:
                    runner.stop_users(runner.user_classes_count)
                gevent.sleep(0.02)
            self._giving.clear()
            runner.send_message(EVICT, None)
        finally:
            self._work.set()

    def _start_worker(self, user_classes_count: dict[str, int], **kwargs: Any) -> None:
        self._work.wait()
        self._start(user_classes_count, **kwargs)
