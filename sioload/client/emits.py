"""Open emits: what each still owes to the ledger and to its row."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet

from sioload.client.excerpt import excerpt, place_of_error, place_of_function
from sioload.client.given import check_function
from sioload.client.namespace import plain
from sioload.errors import (
    AckTimeout,
    ConnectionLost,
    EmitError,
    NotConnected,
    Outcome,
    Refused,
    UnexpectedReply,
    in_words,
)
from sioload.plain import Json

if TYPE_CHECKING:
    from sioload.measure.ledger import Ledger
    from sioload.measure.rows import Row
    from sioload.net.wakeups import Woken

_current: Final = getcurrent  # a global that costs no look-up

#: The exception of each outcome that is none of success.
ERRORS: dict[Outcome, type[EmitError]] = {
    "timeout": AckTimeout,
    "error": Refused,
    "indeterminate": ConnectionLost,
    "not_sent": NotConnected,
}


def value_of(args: list[Json] | tuple[Json, ...]) -> Any:
    """Arguments as a script gets them: None for none, the value for one, a tuple for several."""
    if len(args) == 1:
        return args[0]
    return tuple(args) if args else None


def arguments_of(data: Json) -> list[Json]:
    """The inverse: None is no argument, a tuple several."""
    if data is None:
        return []
    return list(data) if isinstance(data, tuple) else [data]


class Emit:
    """An emit that waits for its answer.

    Attributes:
        namespace, event: what was emitted.
        row: CALL or REPLY, where its time goes.
        started: when it was meant to go out (its slot, when paced); `written` when it did.
        deadline: when it times out; all three in seconds of `perf_counter`.
        waiter: the greenlet that sleeps until its end; None when nobody does, or does no longer.
        callback: called with the ack's arguments, for `emit(..., callback=)`.
        ok: the script's judgement of the answer, None without one.
        paced: `started` is a slot, so the service time is recorded beside.
        owner: the user, for those who listen to each sample.
    """

    __slots__ = ("_ledger", "_result", "_woken", "callback", "deadline", "event", "finished", "namespace",
                 "ok", "owner", "paced", "row", "started", "waiter", "written")  # fmt: skip

    _result: tuple[Any, EmitError | None]

    def __init__(
        self,
        ledger: Ledger,
        woken: Woken | None,
        row: Row,
        namespace: str,
        event: str | int,
        started: float,
        now: float,
        paced: bool,
        deadline: float,
        ok: Verdict | None = None,
        callback: Callable[..., Any] | None = None,
        owner: object = None,
    ) -> None:
        self._ledger = ledger
        self._woken = woken
        self.owner = owner
        self.row = row
        self.namespace = namespace
        self.event = event
        self.started = started
        self.written = now
        self.deadline = deadline
        self.waiter: greenlet | None = None
        self.callback = callback
        self.ok = ok
        self.paced = paced
        self.finished = False
        ledger.emits += 1

    def wait(self, hub: greenlet) -> Any:
        """Sleep until its end, in gevent's `hub`: the answer's value, or the exception of the outcome."""
        if self.finished:  # before its own caller came to wait
            value, error = self._result
            if error is not None:
                raise error
            return value
        self.waiter = _current()
        return hub.switch()

    def _finish(self, value: Any, error: EmitError | None = None) -> None:
        self._result = (value, error)
        if self.waiter is not None and self._woken is not None:
            self._woken.add(self)

    def resume(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            value, error = self._result
            if error is not None:
                waiter.throw(error)
            else:
                waiter.switch(value)

    def answer(self, args: list[Json], now: float, size: int) -> None:
        """The ack or the answering event came, in so many bytes. In the hub."""
        self.finished = True
        self.row.bytes += size
        self._ledger.acked += 1
        value = value_of(args)
        if self.ok is not None:
            complaint = self.ok.complaint(value)
            if complaint is not None:
                error = UnexpectedReply(f"{plain(self.event)}: {complaint}")
                self.row.note(self.owner, size, error)
                self.row.fail(complaint, now - self.started, self.ok.note, "unexpected reply")
                self._finish(None, error)
                return
        if self.row.tap is not None:
            self.row.note(self.owner, size)
        self.row.add(now - self.started)
        if self.paced:
            self.row.service(now - self.written)
        self._finish(value)

    def end(self, outcome: Outcome, reason: str, now: float | None, error: EmitError | None = None) -> None:
        """It ends without an answer. In the hub, unless nobody waits for it.

        Args:
            outcome, reason: for the ledger and the row.
            now: None when nothing was asked of the server.
            error: what is raised.
        """
        if self.finished:
            return
        self.finished = True
        self._ledger.end(outcome)
        if error is None:
            error = ERRORS[outcome](f"{plain(self.event)}: {reason}")
        self.row.note(self.owner, 0, error)
        seconds = None if now is None or outcome == "not_sent" else now - self.started
        self.row.fail(reason, seconds, kind=outcome)
        self._finish(None, error)

    def settle(self, outcome: Outcome, reason: str) -> None:
        """What became of its bytes (`session.transport.Receipt`); a loss ends it elsewhere."""
        if outcome == "error" or outcome == "not_sent":
            self.end(outcome, reason, perf_counter())


class Unacked:
    """An emit without ack that waits to be handed over (`session.transport.Receipt`)."""

    __slots__ = ("_ledger", "_owner", "_row")

    def __init__(self, ledger: Ledger, row: Row, owner: object = None) -> None:
        self._ledger = ledger
        self._row = row
        self._owner = owner

    def settle(self, outcome: Outcome, reason: str, error: EmitError | None = None) -> None:
        self._ledger.end(outcome)
        if outcome == "sent":
            if self._row.tap is not None:
                self._row.note(self._owner)
            self._row.tick()
        else:
            self._row.note(self._owner, 0, error or ERRORS[outcome](reason))
            self._row.fail(reason)


class Verdict:
    """A script's `ok`, for the answer of one emit.

    Args:
        ok: given the answer's value.
        discreet: takes out of a text what was confided to the server.
    """

    __slots__ = ("_discreet", "_ok", "_place", "_value")

    def __init__(self, ok: Callable[[Any], Any], discreet: Callable[[str], str]) -> None:
        check_function(ok, "ok")
        self._ok = ok
        self._discreet = discreet
        self._place = ""
        self._value: Any = None

    def complaint(self, value: Json) -> str | None:
        """What it holds against the answer; None when it is content."""
        try:
            if self._ok(value):
                return None
        except Exception as error:  # noqa: BLE001 - the script's own code
            self._place = place_of_error(error)
            return f"unexpected reply: ok() raised {in_words(error)}"
        finally:
            self._value = value
        return "unexpected reply: ok() returned false"

    def note(self) -> str:
        """The answer, and where `ok` is or raised."""
        place = self._place or place_of_function(self._ok)
        return f"{place}, reply {excerpt(self._value, self._discreet)}"
