"""`Arrivals`: a load shape of sessions that arrive at a rate and last for a while, however many are there."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from itertools import count
from numbers import Real
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

import gevent
import locust
from locust import LoadTestShape, User
from locust.dispatch import UsersDispatcher
from locust.runners import (
    STATE_INIT,
    STATE_RUNNING,
    STATE_SPAWNING,
    MasterRunner,
    Runner,
    WorkerRunner,
    locust_exception_handler,
)
from locust.user.task import LOCUST_STATE_STOPPING

from sioload.client.given import span_given
from sioload.client.schedule import checked_rate
from sioload.errors import UsageError
from sioload.measure.names import normalise
from sioload.net.fleet import fleet_of

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: The master tells a worker to begin a session.
ARRIVE: Final = "sioload_arrive"


class Shape(LoadTestShape):
    """A shape of ours: options like `-t` mean something beside it."""

    abstract: ClassVar[bool] = True
    use_common_options: ClassVar[bool] = True


class Arrivals(Shape):
    """An open model of users: sessions begin at fixed times, whether earlier ones got on or not.

    Subclass it in the locustfile and set the attributes. Where Locust's own number of users stays level when
    the server slows down, here the number of sessions grows, as that of people does. A session is one user;
    its class is chosen by `weight`. Once its length is over it ends after the task that is running. With
    workers, the master deals the sessions out in turn.

    Attributes:
        rate: new sessions per second.
        session_length: seconds that a session lasts; or a function without arguments that returns them,
            called for each session (`lambda: random.expovariate(1 / 60)`).
        duration: seconds until the run ends; None for `--run-time`, or else until it is stopped.
    """

    abstract: ClassVar[bool] = True

    rate: float
    session_length: float | Callable[[], float]
    duration: float | None = None

    _arriving: gevent.Greenlet[..., None] | None = None
    _until: float = math.inf

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        name = type(self).__name__
        if not hasattr(self, "rate") or not hasattr(self, "session_length"):
            raise UsageError(f"{name} needs a rate (sessions per second) and a session_length (seconds)")
        checked_rate(self.rate, name)
        check_length(self.length(), f"{name}: session_length")
        if self.duration is not None:
            span_given(self.duration, f"{name}: duration")

    def tick(self) -> tuple[int, float] | None:
        """Locust asks each second how many users it shall keep: none, as they come and go by themselves."""
        runner = self.runner
        assert runner is not None
        lacks_workers(runner)
        if runner.shape_last_tick is None:
            self._begin(runner)
        elif perf_counter() >= self._until:
            return None
        return 0, 1.0

    def _begin(self, runner: Runner) -> None:
        """A run begins."""
        environment = runner.environment
        environment.dispatcher_class = _dispatcher(environment)  # type: ignore[assignment]
        if self._arriving is not None:
            self._arriving.kill(block=False)
        self._until = math.inf
        self._arriving = runner.greenlet.spawn(self._arrive, runner)
        self._arriving.link_exception(locust_exception_handler(environment))

    def duration_of(self, runner: Runner) -> float:
        """Seconds that the run lasts."""
        options = runner.environment.parsed_options
        return self.duration or getattr(options, "run_time", None) or math.inf

    def arrivals_begin(self, origin: float) -> None:
        """Sessions begin, the first of them at this time (`perf_counter`)."""

    def slots(self) -> Iterator[float]:
        """When each session begins, in seconds since the run's start."""
        return (number / self.rate for number in count())

    def length(self) -> float | Callable[[], float]:
        """How long a session lasts; see `session_length`."""
        return type(self).session_length  # through the class: a function there is no method

    def _arrive(self, runner: Runner) -> None:
        """Begin the sessions, each at its time."""
        while not ready(runner):
            gevent.sleep(0.005)
        origin = perf_counter()
        self.arrivals_begin(origin)
        self._until = origin + self.duration_of(runner)
        length = self.length()
        for cls in runner.user_classes:
            if cls.fixed_count:
                what = "there is none of a class of weight 0" if cls.weight <= 0 else "its weight counts"
                logger.warning("sioload: %s.fixed_count means nothing to sessions: %s", cls.__name__, what)
        classes = dealt(weighted(runner.user_classes))
        for offset in self.slots():
            slot = origin + offset
            if slot >= self._until:
                return
            gevent.sleep(max(0.0, slot - perf_counter()))
            if runner.state not in (STATE_RUNNING, STATE_SPAWNING):
                return
            cls, turn = next(classes)
            deal(runner, turn, cls.__name__, length() if callable(length) else length)


def lacks_workers(runner: Runner) -> bool:
    """Whether a master had no workers when Locust told it to start, and so did nothing: it is told again."""
    waits = isinstance(runner, MasterRunner) and runner.state == STATE_INIT
    if lacks := waits and runner._users_dispatcher is None:
        runner.shape_last_tick = None
    return lacks


def check_length(value: object, what: str) -> None:
    """Refuse what is neither seconds above 0 nor a function that returns seconds."""
    if not callable(value):
        span_given(value, what)
        return
    try:
        first = value()
    except TypeError as error:
        raise UsageError(f"{what} is a function without arguments: {error}") from error
    if isinstance(first, bool) or not isinstance(first, Real):
        raise UsageError(f"{what} must return seconds, not {first!r}")


class _Dispatcher(UsersDispatcher):
    """Locust's own, but its messages to workers name no user, so that no session is stopped or doubled."""

    def _dispatcher(self) -> Iterator[dict[str, dict[str, int]]]:  # type: ignore[override]
        self._rebalance = False
        yield {node.id: {} for node in self._worker_nodes}


def _dispatcher(environment: Environment) -> Callable[..., UsersDispatcher]:
    """A maker of dispatchers: another shape may be chosen in the web UI before the next run."""
    usual = getattr(environment.dispatcher_class, "usual", environment.dispatcher_class)

    def make(worker_nodes: list[Any], user_classes: list[type[User]]) -> UsersDispatcher:
        kind = _Dispatcher if isinstance(environment.shape_class, Arrivals) else usual
        return kind(worker_nodes=worker_nodes, user_classes=user_classes)

    make.usual = usual  # type: ignore[attr-defined]
    return make


def weighted(classes: list[type[User]]) -> Iterator[type[User]]:
    """The classes over and over, each as often as its `weight` says, evenly mixed."""
    heavy = [cls for cls in classes if cls.weight > 0] or classes
    done = dict.fromkeys(heavy, 0)
    while True:
        chosen = min(heavy, key=lambda cls: (done[cls] + 1) / (cls.weight or 1))
        done[chosen] += 1
        yield chosen


def dealt(classes: Iterator[type[User]]) -> Iterator[tuple[type[User], int]]:
    """The classes, and whose turn each is.

    With one turn for all of them, weights and workers would go in step: of four workers one would get all
    sessions of a class that is every fourth.
    """
    turns: dict[type[User], int] = {}
    for cls in classes:
        turn = turns.get(cls, len(turns))
        turns[cls] = turn + 1
        yield cls, turn


def ready(runner: Any) -> bool:
    """Whether sessions can begin: the test runs, and each worker has heard of it."""
    waiting = runner.clients.ready + runner.clients.spawning if isinstance(runner, MasterRunner) else []
    return runner.state == STATE_RUNNING and not waiting


def deal(runner: Any, turn: int, name: str, length: float) -> None:
    """Begin a session in this process, or in the worker whose turn it is."""
    if not isinstance(runner, MasterRunner):
        begin(runner, name, length)
        return
    workers = sorted(worker.id for worker in runner.clients.running)
    if workers:
        data = {"name": name, "length": length}
        runner.send_message(ARRIVE, data, client_id=workers[turn % len(workers)])


def lacks_class(runner: Runner, name: str) -> bool:
    """Whether the locustfile here has no such class of users, unlike the master's: a fault, noted once."""
    if name in runner.user_classes_by_name:
        return False
    recorder = fleet_of(runner.environment).recorder
    text = normalise(
        f"the locustfile here has no user class {name}, which the master's has: none of those began"
    )
    if text not in recorder.internal_errors:
        logger.error("sioload: %s", text)
        recorder.internal_error(text)
    return True


def begin(runner: Any, name: str, length: float) -> None:
    """Begin a session of so many seconds in this process."""
    if runner.state not in (STATE_RUNNING, STATE_SPAWNING):
        return
    if lacks_class(runner, name):
        return
    user = runner.user_classes_by_name[name](runner.environment)
    user.start(runner.user_greenlets)

    def over(now: float) -> None:
        if user._state != LOCUST_STATE_STOPPING and not user.greenlet.dead:
            gevent.spawn(user.stop)

    if length < math.inf:
        deadlines = fleet_of(runner.environment).deadlines
        planned = deadlines.at(perf_counter() + length, over)
        user.greenlet.rawlink(lambda _: deadlines.cancel(planned))  # a user that left early is kept no longer


def _listen(environment: Environment, **_: object) -> None:
    """In a worker: begin the sessions that the master deals out."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        # In a greenlet of its own: a user that is made may ask the master for a row of a feed.
        runner.register_message(
            ARRIVE,
            lambda environment, msg: begin(runner, msg.data["name"], msg.data["length"]),
            concurrent=True,
        )


_events: Any = locust.events
_events.init.add_listener(_listen)
