"""What one connection still waits for: acks, answering events, and events that a script waits for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit, Timeout
from gevent.hub import Waiter

from sioload.client.emits import ERRORS, Emit, value_of
from sioload.client.excerpt import place_of_function
from sioload.client.given import check_function
from sioload.errors import Outcome, in_words
from sioload.measure.rows import Row
from sioload.net.wakeups import Woken
from sioload.plain import Json

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet

INFINITY = float("inf")


class Wait:
    """A wait for an event from the server.

    Attributes:
        emit: the emit that the event answers (REPLY), None for WAIT.
        args: the event's arguments once it came.
        owner: the user, for those who listen to each sample.
    """

    __slots__ = (
        "_woken",
        "args",
        "deadline",
        "emit",
        "error",
        "event",
        "namespace",
        "owner",
        "row",
        "started",
        "waiter",
        "where",
    )

    def __init__(
        self,
        woken: Woken,
        row: Row,
        namespace: str,
        event: str,
        where: Callable[..., Any] | None,
        started: float,
        deadline: float,
        emit: Emit | None = None,
        owner: object = None,
    ) -> None:
        check_function(where, "where")
        self._woken = woken
        self.row = row
        self.owner = owner
        self.namespace = namespace
        self.event = event
        self.where = where
        self.started = started
        self.deadline = deadline
        self.emit = emit
        self.waiter: Waiter[Any] | None = None
        self.args: Json = None
        self.error: BaseException | None = None

    def matches(self, namespace: str, event: str, args: list[Json]) -> bool | str:
        """Whether an event is the awaited one; a text when `where` raised."""
        if event != self.event or namespace != self.namespace:
            return False
        if self.where is None:
            return True
        try:
            return bool(self.where(*args))
        except Exception as error:  # noqa: BLE001 - the script's own code
            return f"where raised {in_words(error)}"

    def answer(self, args: list[Json], now: float, size: int) -> None:
        """The event came, in so many bytes."""
        self.args = value_of(args)
        if self.emit is not None:
            self.emit.answer(args, now, size)
            return
        self.row.bytes += size
        self.row.note(self.owner, size)
        self.row.add(now - self.started)
        if self.waiter is not None:
            self._woken.add(self)

    def end(self, outcome: Outcome, reason: str, now: float, left: bool = False) -> None:
        """It ends without the event; `left`: because this side has left."""
        if self.emit is not None:
            self.emit.end(outcome, reason, now)
            return
        error = self.error = ERRORS[outcome](f"{self.event}: {reason}")
        if left:
            self.row.unfinished += 1
        else:
            self.row.note(self.owner, 0, error)
            self.row.fail(reason, now - self.started, kind=outcome)
        if self.waiter is not None:
            self._woken.add(self)

    def resume(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.switch(None)


class Pending(Woken):
    """The open emits and waits of one connection, and the one deadline that looks after them.

    Attributes:
        acks: ack id to emit.
        waits: what waits for events.
        next_id: the id of the next emit that asks for an ack.
        leaving: the user's greenlet has ended; the connection closes once nothing is open any more.
    """

    __slots__ = ("_due", "_expired", "_fleet", "_timer", "acks", "leaving", "next_id", "waits")

    def __init__(self, fleet: Fleet, expired: Callable[[], None], listens: Callable[[], None]) -> None:
        """
        Args:
            fleet: whose deadlines are used.
            expired: called in the hub after something ended that nobody else tells of: its time was over, or
                an event answered a user that is gone.
            listens: called when something begins, or may begin, to wait for an event.
        """
        super().__init__(fleet.wakeups, listens)
        self._fleet = fleet
        self._expired = expired
        self.waits: list[Wait] = []
        self._due = INFINITY
        self._timer: Timer | None = None
        self.leaving = False
        self.acks: dict[int, Emit] = {}
        self.next_id = 0

    def __bool__(self) -> bool:
        """Whether anything is waited for; who gave up waiting for an ack leaves its id until that is due."""
        if self.waits:
            return True
        for entry in self.acks.values():  # noqa: SIM110 - at each ack of who leaves: no generator
            if not entry.finished:
                return True
        return False

    def add_ack(self, entry: Emit) -> int:
        """An emit goes out; returns the id that its ack will carry."""
        number = self.next_id
        self.next_id = number + 1
        self.acks[number] = entry
        if entry.deadline < self._due:
            self._rearm(entry.deadline)
        return number

    def add_wait(self, wait: Wait) -> None:
        """Something waits for an event from now on."""
        self.waits.append(wait)
        self._listens()
        if wait.deadline < self._due:
            self._rearm(wait.deadline)

    def remove_wait(self, wait: Wait) -> None:
        """It waits no longer; harmless when it had ended before."""
        if wait in self.waits:
            self.waits.remove(wait)

    def holds(self, wait: Wait) -> bool:
        """Whether it still waits."""
        return wait in self.waits

    def answered(self, namespace: str, event: str, args: list[Json], now: float, size: int) -> bool:
        """Give an event to the emit and to the waits that it answers; whether there were any. In the hub."""
        found: list[Wait] = []
        reply = False
        for wait in self.waits:
            if wait.emit is not None and (reply or wait.emit.finished):
                continue
            verdict = wait.matches(namespace, event, args)
            if isinstance(verdict, str):
                wait.row.fail(verdict, None, partial(place_of_function, wait.where))
            elif verdict:
                found.append(wait)
                reply = reply or wait.emit is not None
        for wait in found:
            self.waits.remove(wait)
        for wait in found:
            wait.answer(args, now, size)
        if found and self.leaving:
            self._fleet.later(self._expired)
        return bool(found)

    def lose(self, namespace: str | None, reason: str, final: bool, left: bool = False) -> None:
        """The connection is lost, or one namespace of it: no ack will come any more. In the hub.

        Args:
            namespace: which one; None for the connection.
            reason: for the rows.
            final: it won't be restored, so waits for events end too.
            left: this side has left.
        """
        now = perf_counter()
        lost = {n: e for n, e in self.acks.items() if namespace is None or e.namespace == namespace}
        self.acks = {n: e for n, e in self.acks.items() if n not in lost}
        ended = [
            wait
            for wait in self.waits
            if (namespace is None or wait.namespace == namespace) and (wait.emit is not None or final)
        ]
        self.waits = [wait for wait in self.waits if wait not in ended]
        if not self:
            self._rearm(INFINITY)
        for wait in ended:
            wait.end("indeterminate", reason, now, left)
        for entry in lost.values():
            entry.end("indeterminate", reason, now)

    def settle(self) -> None:
        """Forget the deadline when nothing is waited for any more."""
        if not self:
            self._rearm(INFINITY)

    def _rearm(self, when: float) -> None:
        self._fleet.deadlines.cancel(self._timer)
        self._due = when
        self._timer = self._fleet.deadlines.at(when, self._expire) if when < INFINITY else None

    def _expire(self, now: float) -> None:
        """End what is overdue and look when the next one will be."""
        self._timer = None
        self._due = INFINITY
        overdue = [number for number, entry in self.acks.items() if entry.deadline <= now or entry.finished]
        ended = [self.acks.pop(number) for number in overdue]
        late = [wait for wait in self.waits if wait.deadline <= now]
        self.waits = [wait for wait in self.waits if wait.deadline > now]
        rest = [entry.deadline for entry in self.acks.values()] + [wait.deadline for wait in self.waits]
        if rest:
            self._rearm(min(rest))
        for entry in ended:
            entry.end("timeout", "no ack in time", now)
        for wait in late:
            wait.end("timeout", "not received in time", now)
        self._expired()


class Expectation:
    """What `SocketIOClient.expect` returns.

    Attributes:
        args: after the block: the event's argument, a tuple when several, None when none.
    """

    __slots__ = ("_pending", "_wait", "args")

    def __init__(self, pending: Pending, wait: Wait) -> None:
        self._pending = pending
        self._wait = wait
        self.args: Json = None

    def __enter__(self) -> Expectation:
        self._pending.add_wait(self._wait)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        wait = self._wait
        try:
            if error is None and self._pending.holds(wait):
                wait.waiter = Waiter()
                wait.waiter.get()
        except BaseException as stopped:
            self._broken_off(stopped)
            raise
        finally:
            if error is not None:
                self._broken_off(error)
            wait.waiter = None
            self._pending.remove_wait(wait)
        if error is None and wait.error is not None:
            raise wait.error
        self.args = wait.args

    def _broken_off(self, error: BaseException) -> None:
        """Whoever waits does so no longer: stopped with its user, or out of the script's own patience."""
        wait = self._wait
        if not self._pending.holds(wait):
            return
        if isinstance(error, GreenletExit):
            wait.row.unfinished += 1
        elif isinstance(error, Timeout):
            wait.row.fail("gave up waiting", perf_counter() - wait.started, kind="timeout")
