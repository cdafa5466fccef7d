"""A user that runs each of its tasks once, one after another and without waiting: for `sioload try`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from gevent import GreenletExit, Timeout
from locust import TaskSet
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

from sioload.client.excerpt import place_of_error
from sioload.errors import ConnectError, EmitError, in_words
from sioload.users.tasks import name_of, reach_again
from sioload.users.user import SocketIOUser


class Watcher(Protocol):
    """Who wants to know how it went."""

    def begins(self, what: str) -> None:
        """A task begins, or a nested set's start or end."""

    def failed(self, what: str, why: str) -> None:
        """It raised."""

    def rest(self, user: SocketIOUser) -> None:
        """All tasks have run; this greenlet may listen a little longer."""


def once(kind: type[SocketIOUser], watcher: Watcher) -> type[SocketIOUser]:
    """A user class like `kind` whose instances end when each of their tasks has run.

    `connect()` in `on_start` is tried once: who looks for a fault wants to see the first.
    """

    def all_tasks(user: SocketIOUser) -> None:
        _each(user, user, kind.tasks, watcher)
        watcher.rest(user)
        raise StopUser

    def on_stop(user: SocketIOUser) -> None:
        _watched("on_stop", partial(kind.on_stop, user), watcher)

    starting = property(lambda self: False, lambda self, starting: None)
    options = kind.parsed_options().but(connect_jitter=0.0)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "starting": starting,
             "options": options, "on_stop": on_stop, "weight": 1, "fixed_count": 0}  # fmt: skip
    meta: Any = type(kind)
    made: type[SocketIOUser] = meta(kind.__name__, (kind,), names)
    made.tasks = [all_tasks]
    return made


def _each(user: Any, holder: Any, tasks: list[Any], watcher: Watcher) -> None:
    """The tasks of a user, or of one of its sets: the leaves of nested sets too."""
    for task in dict.fromkeys(tasks):
        if isinstance(task, type) and issubclass(task, TaskSet):
            nested: Any = task(holder)
            _run(user, f"{task.__name__}.on_start", nested.on_start, watcher, known=TaskSet.on_start)
            _each(user, nested, nested.tasks, watcher)
            _run(user, f"{task.__name__}.on_stop", nested.on_stop, watcher, known=TaskSet.on_stop)
        else:
            _run(user, f"task {name_of(task)}", partial(task, holder), watcher)


def _run(user: Any, what: str, function: Callable[[], Any], watcher: Watcher, known: object = None) -> None:
    if known is not None and getattr(function, "__func__", None) is known:
        return
    for sio in user.clients:
        reach_again(user, sio)
    watcher.begins(what)
    try:
        _watched(what, function, watcher)
    except StopUser:
        if known is not None:
            raise
        # A task that ends its session; the others are to be seen too.


def _watched(what: str, function: Callable[[], Any], watcher: Watcher) -> None:
    """Call a function of the script's; what it raises is told."""
    try:
        function()
    except (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately):
        pass  # whatever it would go on with comes anyway
    except (StopUser, StopTest, GreenletExit):
        raise
    except (EmitError, ConnectError) as error:
        watcher.failed(what, str(error))
    except (Exception, Timeout) as error:  # noqa: BLE001 - the script's own code
        watcher.failed(what, f"{in_words(error)} ({place_of_error(error)})")
