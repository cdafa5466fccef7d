"""How a user starts, and what surrounds each of its tasks.

All of it is hung on the instances that run, never on `tasks` or on classes: those may be others' too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from gevent import GreenletExit
from locust import TaskSet
from locust.exception import StopUser

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError, EmitError, NotConnected, UsageError
from sioload.users.pacing import Paced


class Connected(Protocol):
    """What is asked of a `SocketIOUser` here."""

    sio: SocketIOClient
    clients: tuple[SocketIOClient, ...]
    starting: bool
    fate: str
    _taskset_instance: Any


def start(user: Connected, on_start: Callable[[], None]) -> None:
    """Run a user's `on_start`, in which connecting is tried again; then its connection is open.

    What the user fails by is a failure row already: it ends without a traceback, which thousands would print.

    Raises:
        GreenletExit: the user gives up, or was told to stop.
    """
    tasks: Any = user._taskset_instance
    guard(user, tasks)
    user.starting = True
    try:
        if user.sio.options.connect_jitter:
            user.sio.pause(random.uniform(0.0, user.sio.options.connect_jitter))
        on_start()
        if not user.sio.used:
            user.sio.connect()
    except (ConnectError, EmitError) as error:
        give_up(user, str(error))
        raise GreenletExit from error
    except UsageError as error:
        # No attempt will ever succeed; what can be told before the load starts was told then.
        user.sio.fleet.recorder.row_of(user, "CONNECT", "/").fail(str(error))
        user.sio.fleet.complain(f"users of {type(user).__name__} can't start: {error}")
        give_up(user, str(error))
        raise GreenletExit from error
    finally:
        user.starting = False
    wait_time: object = getattr(type(user), "wait_time", None)
    if isinstance(wait_time, Paced):
        wait_time.begin(user)


def give_up(user: Connected, reason: str) -> None:
    """Note that a user ends before the run does."""
    user.fate = "never began" if user.starting else "gave up"
    user.sio.fleet.complaints.gave_up(f"of {type(user).__name__} gave up: {reason}")


def guard(user: Connected, tasks: Any) -> None:
    """Surround the tasks of a running TaskSet, and of those that it runs itself.

    Before a task, namespaces that the server closed are joined again. An emit that fails ends its task. It is
    a failure row already, so it is said once and isn't an exception to Locust, which would log a traceback
    for each.
    """
    tasks.execute_task = partial(_execute, user, tasks.execute_task)


def _execute(user: Connected, execute: Callable[[Any], None], task: Any) -> None:
    for sio in user.clients:
        if sio.kicked and sio.options.reconnection:
            _or_give_up(user, sio.rejoin_patiently)
        elif sio.lost == "given up" and sio.options.reconnection:
            give_up(user, "reconnecting failed")
            raise StopUser
    nested = isinstance(task, type) and issubclass(task, TaskSet)
    try:
        execute(_guarded(user, task) if nested else task)
    except (EmitError, ConnectError) as error:
        name = getattr(task, "__name__", None) or getattr(getattr(task, "func", None), "__name__", "task")
        user.sio.fleet.complain(f"{name}: {error}")
        if isinstance(error, NotConnected) and any(
            sio.lost or (sio.kicked and not sio.options.reconnection) for sio in user.clients
        ):
            give_up(user, str(error))
            raise StopUser from error


def _or_give_up(user: Connected, attempt: Callable[[], None]) -> None:
    try:
        attempt()
    except ConnectError as error:
        give_up(user, str(error))
        raise StopUser from error


def _guarded(user: Connected, kind: type[TaskSet]) -> Callable[[Any], None]:
    """A nested TaskSet as a function that runs it: Locust calls either with the same parent."""

    def run(parent: Any) -> None:
        tasks: Any = kind(parent)
        guard(user, tasks)
        try:
            tasks.run()
        finally:
            del tasks.execute_task  # which holds the set itself

    run.__name__, run.__qualname__, run.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return run
