"""`Phases`: load over time without code, by Locust's own dispatcher and the engine of `Arrivals`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any, ClassVar, Final

import gevent
from locust import LoadTestShape
from locust.env import Environment
from locust.runners import Runner, WorkerRunner

from sioload.durations import seconds_of
from sioload.errors import PhaseError, UsageError
from sioload.load.arrivals import Arrivals, Shape, check_length, lacks_workers
from sioload.load.phases import UNPHASED, USUAL, Plan, parse_phases

#: Seconds that sessions may go on after the last phase.
SESSION_DRAIN: Final = 30.0
#: Seconds after a phase has begun: first its figures are cut, in another greenlet, then come its users.
_AFTER: Final = 0.005
#: Seconds after which Locust asks a shape again.
_ASKED: Final = 1.0
#: Seconds before its end at which a phase is still on.
_MOMENT: Final = 1e-6
#: Options of Locust that say otherwise what phases say, and how each is written.
_TAKEN: Final = {"num_users": "-u", "run_time": "-t", "reset_stats": "--reset-stats"}

#: Options of sessions per second, and how each is written.
_SESSIONS: Final = {
    "sio_session_length": "--sio-session-length",
    "sio_session_drain": "--sio-session-drain",
}


def _nobody(origin: float) -> None:
    """Nobody is told."""


class Phases(Shape):
    """A plan of phases in a locustfile: subclass it and set `phases`.

    Attributes:
        phases: the plan, as `--sio-phases` takes it, or a list of such texts.
        session_length: for sessions per second: seconds that one lasts, or a function without arguments that
            returns them; None until the script ends it (`StopUser`).
    """

    abstract: ClassVar[bool] = True

    phases: str | Sequence[str]
    session_length: float | Callable[[], float] | None = None

    def tick(self) -> tuple[int, float] | None:
        """Not asked: `take_phases` puts the engine of the plan in its place."""
        raise UsageError("phases need a run that sioload is attached to")


class UserPhases(Shape):
    """A number of simulated users that follows a plan, by Locust's own dispatcher.

    Attributes:
        plan: the phases.
        origin: when the first began (`perf_counter`); None before.
        begun: called with that when it begins.
        spawn_rate: users per second by which a `for` is reached; None for at once.
    """

    abstract: ClassVar[bool] = False
    use_common_options: ClassVar[bool] = False  # of the web UI's form, which can't change the plan

    def __init__(self, plan: Plan, spawn_rate: float | None) -> None:
        """
        Args:
            plan: of users.
            spawn_rate: see the class.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.plan = plan
        self.origin: float | None = None
        self.begun: Callable[[float], None] = _nobody
        self.spawn_rate = spawn_rate
        self._users = 0.0
        self._asked = 0.0
        self._pace = 1.0

    def reset_time(self) -> None:
        """A run begins. A master says so once more, after `begin`, in the greenlet that asks this shape."""
        if self.runner is not None and self.runner.shape_greenlet is gevent.getcurrent():
            return
        super().reset_time()  # type: ignore[no-untyped-call]
        self._users = self._asked = 0.0
        self.origin = None

    def begin(self) -> None:
        """All is ready, which may have taken a while: the first phase begins now."""
        self.start_time = self.origin = perf_counter()
        self.begun(self.origin)

    def tick(self) -> tuple[int, float] | None:
        """Locust asks each second how many users it shall keep."""
        if self.runner is not None and lacks_workers(self.runner):
            self.start_time = perf_counter()
        now = perf_counter() - self.start_time
        if self.origin is not None:
            now = self._until_next(now)
        number = self.plan.at(now)
        if number is None:
            return None
        before, goal = self._users, self.plan.load(now)
        if self.spawn_rate is not None and not self.plan.phases[number].ramp:
            most = self.spawn_rate * (now - self._asked) + (self.spawn_rate if before == 0 else 0)
            goal = min(max(goal, before - most), before + most)
        self._users, self._asked = goal, now
        users = round(goal)
        if users != round(before):  # the same answer twice is no change to Locust
            self._pace = float(abs(users - round(before)))
        return users, self._pace

    def _until_next(self, now: float) -> float:
        """Wait for a phase that begins before Locust asks again, if there is nothing to change until then.

        Else it would begin up to a second late: Locust's seconds aren't those of the plan.
        """
        number = self.plan.at(now)
        if number is None:
            return now
        phase, end = self.plan.phases[number], self.plan.starts[number + 1]
        if round(self.plan.load(now)) == round(self._users):
            most = _ASKED
        else:  # a ramp is cut short by what is nearer than the next question; the last has nothing behind it
            most = _ASKED / 2 if phase.ramp and end < self.plan.seconds else 0.0
            if end - now < most and self.plan.phases[number + 1].begin == phase.end:
                return end - _MOMENT  # where it goes on level, it gets there a little early
        if end - now >= most:
            return now
        end += _AFTER
        while now < end:  # a sleep is short by what the loop's clock was behind
            gevent.sleep(end - now)
            now = perf_counter() - self.start_time
        self._asked = max(self._asked, end - _ASKED)  # of what `-r` allows nothing was saved up
        return now


class SessionPhases(Arrivals):
    """Sessions that begin at the rates of a plan, by the engine of `Arrivals`.

    Attributes:
        plan, origin, begun: as those of `UserPhases`.
    """

    abstract: ClassVar[bool] = False
    use_common_options: ClassVar[bool] = False

    def __init__(self, plan: Plan, length: float | Callable[[], float] | None, drain: float) -> None:
        """
        Args:
            plan: of sessions per second.
            length: seconds of a session; None until the script ends it.
            drain: seconds that sessions may go on after the last phase.
        """
        LoadTestShape.__init__(self)  # type: ignore[no-untyped-call]  # it has no rate of its own
        self.plan = plan
        self.origin: float | None = None
        self.begun: Callable[[float], None] = _nobody
        self._length = math.inf if length is None else length
        self._drain = drain

    def reset_time(self) -> None:
        """A run begins."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self.origin = None

    def arrivals_begin(self, origin: float) -> None:
        """The first session's time has come."""
        self.origin = origin
        self.begun(origin)

    def slots(self) -> Iterator[float]:
        """The plan's."""
        return self.plan.slots()

    def length(self) -> float | Callable[[], float]:
        """As it was given; infinite until the script ends it."""
        return self._length

    def duration_of(self, runner: Runner) -> float:
        """The plan's."""
        return self.plan.seconds

    def tick(self) -> tuple[int, float] | None:
        """After the last phase the sessions that run may finish."""
        asked = super().tick()
        if asked is None and self.runner is not None and self.runner.user_count:
            return (0, 1.0) if perf_counter() < self._until + self._drain else None
        return asked


def take_phases(environment: Environment) -> None:
    """Put the plan that the command line or the locustfile has in force; called before any load.

    A worker has none: its master follows the plan, and has the options for that.

    Raises:
        UsageError: it can't be understood, or other options say otherwise.
    """
    if isinstance(environment.runner, WorkerRunner):
        return
    options: Any = environment.parsed_options
    usual: dict[str, int] = json.loads(os.environ.pop(USUAL, "{}"))
    if UNPHASED in os.environ:
        options.sio_phases = options.sio_session_length = options.sio_session_drain = None
    given, parts = environment.shape_class, getattr(options, "sio_phases", None)
    shape = given if isinstance(given, Phases) else None
    if getattr(options, "class_picker", False):
        _offer(environment, parts, shape)
    if parts is not None:
        engine = _planned(environment, parts, shape)
        if given is not None:
            print(f"sioload: --sio-phases wins over the shape {type(given).__name__} of the locustfile")
    elif shape is not None:
        engine = _planned(environment, getattr(shape, "phases", None), shape)
    elif flag := _of_sessions(options):
        raise UsageError(f"{flag} is of phases of sessions per second: there are none")
    else:
        for name, value in usual.items():
            if not getattr(options, name, None):
                setattr(options, name, value)
        return
    for name, flag in _TAKEN.items():
        if getattr(options, name, None):
            raise UsageError(f"{flag} and phases exclude each other: phases say how many users and how long")
    environment.shape_class = engine


def _offer(environment: Environment, parts: list[str] | None, given: Phases | None) -> None:
    """Let the form of the web UI (`--class-picker`) choose plans where it chooses shapes."""
    choices: dict[str, LoadTestShape] = environment.available_shape_classes or {}
    for name, shape in choices.items():
        if isinstance(shape, Phases):
            choices[name] = _planned(environment, getattr(shape, "phases", None), shape)
    if parts is not None:
        choices["--sio-phases"] = _planned(environment, parts, given)
        environment.available_shape_classes = choices


def _planned(environment: Environment, given: object, shape: Phases | None) -> Shape:
    """The engine of a plan, of the command line's or of a shape's."""
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise PhaseError(f"{type(shape).__name__} needs phases, a text such as '0..200 users over 1m'")
    engine = _engine(parse_phases(parts), environment.parsed_options, shape)
    engine.runner = environment.runner
    return engine


def _engine(plan: Plan, options: Any, shape: Phases | None) -> UserPhases | SessionPhases:
    length, drain = (getattr(options, name, None) for name in _SESSIONS)
    if not plan.per_second:
        if flag := _of_sessions(options):
            raise UsageError(f"{flag} is of sessions per second, and the phases name users")
        return UserPhases(plan, getattr(options, "spawn_rate", None))
    own = None if length is not None or shape is None else length_of(shape)
    if length is None and own is None:
        raise UsageError("phases of sessions need --sio-session-length, such as 30s, or none")
    chosen = own if length is None else seconds_of(length)
    return SessionPhases(plan, chosen, SESSION_DRAIN if drain is None else drain)


def _of_sessions(options: Any) -> str | None:
    """An option that is given and is of sessions alone; None without."""
    return next((flag for name, flag in _SESSIONS.items() if getattr(options, name, None) is not None), None)


def length_of(shape: Phases) -> float | Callable[[], float] | None:
    """How long the script says that a session lasts, without an end if until the script ends it; None if it
    says nothing.
    """
    own = type(shape).session_length
    if own is not None:
        check_length(own, f"{type(shape).__name__}: session_length")
        return own
    said = any("session_length" in vars(base) for base in type(shape).__mro__ if base is not Phases)
    return math.inf if said else None
