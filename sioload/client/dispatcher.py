"""Where user code runs: in greenlets only, one call at a time for each connection, in order of arrival."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import gevent

from sioload.client.signature import arguments, is_empty
from sioload.net.turns import Turns
from sioload.plain import Json

#: What to call, with what, and how much memory that was found to hold.
Job = tuple[Callable[..., Any], tuple[Json, ...], int]

#: Calls that may wait unweighed. Weighing costs more than waiting does, and few queues get that long.
SHORT = 256

#: What a handler set itself and let out is its own fault.
_TIMEOUT: Final = gevent.Timeout


def weigh(value: Json) -> int:
    """About how many bytes of memory the data of a packet takes."""
    kind = value.__class__
    if kind is str or kind is bytes:
        return 64 + len(value)
    if kind is dict:
        return 64 + sum(map(weigh, value)) + sum(map(weigh, value.values()))
    return 64 + sum(map(weigh, value)) if kind is list or kind is tuple else 32


class Handler:
    """A function registered for an event, and what is measured of that event on arrival.

    Attributes:
        function: called as `function(*args)`, or `function(user, *args)` for the methods of a user class;
            None when only measuring is wanted.
        sent_at: gives the server's stamp in a push, in seconds as `stamp()` does.
        delivery: gives `(stream, number)` of a push.
        room: gives `(room, identity)` of a push, and maybe its sender.
        audience: with `room`: the name of its messages.
        bound: whether `function` takes the user first.
        empty: `function` does nothing, so nobody needs to call it.
        name: of the event's row, None for the event's own.
    """

    __slots__ = ("_most", "_named", "audience", "bound", "delivery", "empty", "function", "name", "room",
                 "sent_at")  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any] | None,
        sent_at: Callable[..., float] | None = None,
        delivery: Callable[..., tuple[Any, int]] | None = None,
        bound: bool = False,
        name: str | None = None,
        room: Callable[..., tuple[Any, ...]] | None = None,
        audience: str = "",
    ) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"a handler must be callable, not {type(function).__name__}")
        self.function = function
        self.sent_at = sent_at
        self.delivery = delivery
        self.bound = bound
        self.name = name
        self.room = room
        self.audience = audience
        self.empty = is_empty(function)
        self._named, self._most = arguments(function, bound)

    def call(self, user: object, event: str, args: tuple[Json, ...]) -> Any:
        """Call the function. One that asks for one argument more, named `event`, gets the event too."""
        function = self.function
        if function is None:
            return None
        if self._named == len(args) + 1:
            args = (event, *args)
        return function(user, *args) if self.bound else function(*args)

    def without_last(self, args: tuple[Json, ...]) -> tuple[Json, ...]:
        """Arguments of which the function need not take the last: a recovery offset, why it was disconnected.

        JavaScript's handlers get them all and ignore what they don't take.
        """
        return args[:-1] if len(args) > self._most or len(args) == self._named else args


class Owner(Protocol):
    """Whose jobs a dispatcher runs."""

    def on_job_failed(self, job: Job, error: BaseException) -> None:
        """A job raised."""


class Dispatcher:
    """A bounded queue of calls.

    Between its calls a connection holds no greenlet. While a user's own greenlet serves the queue (inside
    `connect()`), no other does.

    Attributes:
        busy: calls are being made, or will be soon.
        wake: wakes the greenlet inside `connect()` that makes them; None while others do.
    """

    __slots__ = ("_jobs", "_limit", "_owner", "_room", "_turns", "busy", "wake")

    def __init__(self, owner: Owner, turns: Turns, limit: int, room: int) -> None:
        """
        Args:
            owner: whose calls they are.
            turns: makes them.
            limit: calls that may wait.
            room: bytes that those behind the first `SHORT` may hold together, about.
        """
        self._owner = owner
        self._turns = turns
        self._limit = limit
        self._room = room
        self._jobs: list[Job] | None = None  # a list, as most never hold two: a deque takes 600 bytes for one
        self.busy = False
        self.wake: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._jobs or ())

    def add(self, function: Callable[..., Any], *args: Json) -> bool:
        """Queue a call; False when the queue is full."""
        jobs = self._jobs
        if jobs is None:
            jobs = self._jobs = []
        weight, waiting = 0, len(jobs)
        if waiting >= self._limit:
            return False
        if waiting >= SHORT:
            weight = weigh(args)
            if weight > self._room:
                return False
            self._room -= weight
        jobs.append((function, args, weight))
        self._due()
        return True

    def insist(self, function: Callable[..., Any], *args: Json) -> None:
        """Queue a call that tells of the connection: there are few, and none is lost in a full queue."""
        if not self.add(function, *args):
            assert self._jobs is not None
            self._jobs.append((function, args, 0))
            self._due()

    def _due(self) -> None:
        if not self.busy:
            self.busy = True
            self._turns.take(self._run)
        elif self.wake is not None:
            self.wake()

    def _run(self) -> None:
        try:
            self.serve(_TIMEOUT)
        finally:
            self.hand_back()  # a job may end this greenlet (GreenletExit), but not those behind it

    def serve(self, more: type[BaseException] = Exception) -> None:
        """Make the queued calls in this greenlet.

        Args:
            more: what else than an Exception is a fault of the call, not a message to this greenlet.
        """
        jobs = self._jobs
        while jobs:
            job = jobs.pop(0)
            self._room += job[2]
            try:
                job[0](*job[1])
            except (Exception, more) as error:  # noqa: BLE001 - the script's own code
                self._owner.on_job_failed(job, error)
        self._jobs = None

    def hand_back(self) -> None:
        """The greenlet that served the queue by itself goes on with something else."""
        self.busy = False
        self.wake = None
        if self._jobs:
            self.busy = True
            self._turns.take(self._run)
