"""Locust's group of user greenlets, which also counts how its users end: Locust itself forgets the dead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gevent.pool import Group
from locust import User
from locust.exception import InterruptTaskSet
from locust.user.task import LOCUST_STATE_STOPPING

from sioload.client.api import SocketIOClient
from sioload.client.excerpt import place_of_error
from sioload.measure.names import clean_name, normalise
from sioload.measure.population import Population
from sioload.measure.recorder import Recorder
from sioload.net.fleet import Fleet
from sioload.swarm.guard import Guard
from sioload.users.feeds import feeds
from sioload.users.pacing import renew_pace

if TYPE_CHECKING:
    from locust.env import Environment


@dataclass(slots=True)
class _Life:
    """A user that lives, and its numbers among all users and among those of its class."""

    group: UserGroup
    user: Any
    number: int
    of_class: Population
    number_of_class: int

    def __call__(self, greenlet: Any) -> None:
        self.group.over(self, greenlet)


class UserGroup(Group):
    """The users of a process; takes the place of the group that Locust's runner made."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._killed: set[Any] = set()

    def add(self, greenlet: Any) -> None:
        """A user begins."""
        super().add(greenlet)
        user: Any = greenlet.args[0] if greenlet.args else None
        population = self._fleet.recorder.population
        of_class = population.of(type(user).__name__)
        greenlet.rawlink(_Life(self, user, population.spawned(), of_class, of_class.spawned()))
        if user is not None:
            for one in feeds.by_name.values():
                one.begun(user, greenlet)

    def killone(self, greenlet: Any, *args: Any, **kwargs: Any) -> None:
        """Locust ends a user at once."""
        self._killed.add(greenlet)
        super().killone(greenlet, *args, **kwargs)

    def over(self, life: _Life, greenlet: Any) -> None:
        """A user's greenlet has ended."""
        population = self._fleet.recorder.population
        fate = getattr(life.user, "fate", "")
        told = greenlet in self._killed or getattr(life.user, "_state", None) == LOCUST_STATE_STOPPING
        told = self._fleet.ending or (told and fate != "left")
        self._killed.discard(greenlet)
        # Locust catches those of tasks, and tells of those of `on_start`; `on_stop`, say, may raise too.
        raised = not greenlet.successful()
        fate = "" if told or fate == "left" else fate
        if raised and not fate:
            _note(population, greenlet.exception)
        raised = raised and not told
        for counts, number in ((population, life.number), (life.of_class, life.number_of_class)):
            counts.gone(number, began=fate != "never began")
            if raised or fate:
                counts.ended += 1
            elif not told:
                counts.left += 1


def take_over(runner: Any, fleet: Fleet) -> None:
    """Let a runner have such a group; users that run already, as on a worker that came late, move there."""
    before, now = runner.user_greenlets, UserGroup(fleet)
    for greenlet in list(before):
        before.discard(greenlet)
        now.add(greenlet)
        greenlet.args[0]._group = now
    runner.user_greenlets = now


def begin_anew(greenlets: Iterable[Any]) -> int:
    """No user owes iterations of a pace any more. Returns how many are in.

    That is: got through `on_start`, with a session then, and aren't on the way back to a lost one, or to a
    namespace that the server closed. Users that connect and leave over and over are in at any moment; so are
    those without a connection of ours.
    """
    found = 0
    for greenlet in list(greenlets):
        user: Any = greenlet.args[0] if greenlet.args else None
        sio = getattr(user, "sio", None)
        if not isinstance(sio, SocketIOClient):
            found += 1
            continue
        renew_pace(sio)
        away = sio.lost or sio.down or sio.kicked or sio.returning
        found += sio.used and not (away or getattr(user, "starting", False))
    return found


def count_exceptions(environment: Environment, recorder: Recorder) -> None:
    """Count what tasks and `on_start` raise, by kind and place; of the latter, a user never began."""

    def on_user_error(exception: BaseException, user_instance: object = None, **_: object) -> None:
        _note(recorder.population, exception)
        if isinstance(user_instance, User):  # else it is a set of tasks
            user_instance.fate = "never began"  # type: ignore[attr-defined]

    Guard(environment, recorder.internal_error).listen("user_error", on_user_error)


def _note(population: Population, error: BaseException) -> None:
    message = str(error)
    if isinstance(error.__cause__, InterruptTaskSet):  # the script's own; Locust made another of it
        error, message = error.__cause__, "there is no TaskSet around this task, so its user ended"
    kind, place = clean_name(type(error).__name__, 60), place_of_error(error)
    population.raised(kind, place, normalise(message))
