"""Where user code runs: in greenlets only, one call at a time for each connection, in order of arrival."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import gevent

from sioload.plain import Json

logger = logging.getLogger(__name__)

#: What to call, with what, and how much memory that was found to hold.
Job = tuple[Callable[..., Any], tuple[Json, ...], int]

#: Calls that may wait unweighed. Weighing costs more than waiting does, and few queues get that long.
SHORT = 256

INFINITY = float("inf")


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
        self.empty = _is_empty(function)
        self._named, self._most = _arguments(function, bound)

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


def _nothing(*_: object) -> None: ...


def _is_empty(function: Callable[..., Any] | None) -> bool:
    """Whether a function's body is `...` or `pass`, as of one that is there for its decorator's sake."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_code == _nothing.__code__.co_code and code.co_consts[-1] is None


def _arguments(function: Callable[..., Any] | None, bound: bool) -> tuple[int, float]:
    """How many arguments a function requires whose first is named `event` (0 for all others), and how many it
    takes."""
    if function is None:
        return 0, INFINITY
    try:
        parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    except (TypeError, ValueError):
        return 0, INFINITY
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in places if p.default is p.empty]
    most = INFINITY if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(places)
    return len(required) if required and required[0].name == "event" else 0, most


class Owner(Protocol):
    """Whose jobs a dispatcher runs."""

    def on_job_failed(self, job: Job, error: BaseException) -> None:
        """A job raised."""


class Dispatcher:
    """A bounded queue of calls, and the greenlet that makes them while there are any.

    Between its calls a connection holds no greenlet. While a user's own greenlet serves the queue (inside
    `connect()`), none is spawned.
    """

    __slots__ = ("_jobs", "_limit", "_owner", "_room", "busy")

    def __init__(self, owner: Owner, limit: int, room: int) -> None:
        """
        Args:
            owner: whose calls they are.
            limit: calls that may wait.
            room: bytes that those behind the first `SHORT` may hold together, about.
        """
        self._owner = owner
        self._limit = limit
        self._room = room
        self._jobs: deque[Job] = deque()
        self.busy = False

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, function: Callable[..., Any], *args: Json) -> bool:
        """Queue a call; False when the queue is full."""
        weight, waiting = 0, len(self._jobs)
        if waiting >= self._limit:
            return False
        if waiting >= SHORT:
            weight = weigh(args)
            if weight > self._room:
                return False
            self._room -= weight
        self._jobs.append((function, args, weight))
        if not self.busy:
            self.busy = True
            gevent.spawn(self._run)
        return True

    def _run(self) -> None:
        try:
            self.serve(gevent.Timeout)  # one that a handler set itself and let out
        finally:
            self.hand_back()  # a job may end this greenlet (GreenletExit), but not those behind it

    def serve(self, more: type[BaseException] = Exception) -> None:
        """Make the queued calls in this greenlet.

        Args:
            more: what else than an Exception is a fault of the call, not a message to this greenlet.
        """
        jobs = self._jobs
        while jobs:
            job = jobs.popleft()
            self._room += job[2]
            try:
                job[0](*job[1])
            except (Exception, more) as error:  # noqa: BLE001 - the script's own code
                self._owner.on_job_failed(job, error)

    def hand_back(self) -> None:
        """The greenlet that served the queue by itself goes on with something else."""
        self.busy = False
        if self._jobs:
            self.busy = True
            gevent.spawn(self._run)
