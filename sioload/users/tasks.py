"""How a user starts, and the loop of its tasks.

All of it is hung on the instances that run, never on `tasks` or on classes: those may be others' too.
"""

from __future__ import annotations

import logging
import random
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

from gevent import GreenletExit
from gevent.hub import get_hub
from locust import TaskSet, User
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError, EmitError, NotConnected, UsageError
from sioload.users.pacing import Paced, resume_pace

#: Where Locust tells what tasks raise.
_locusts_log = logging.getLogger("locust.user.task")
#: Methods that Locust's loop calls and the one here doesn't.
_LEFT_OUT: Final = ("run", "schedule_task", "get_next_task", "execute_next_task", "execute_task", "wait")


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
        GreenletExit: the user gives up, leaves, or was told to stop.
    """
    user._taskset_instance = Tasks(cast(User, user))
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
        user.sio.fleet.complaints.say(f"users of {type(user).__name__} can't start: {error}")
        give_up(user, str(error))
        raise GreenletExit from error
    except StopUser as error:  # Locust would log a traceback
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


class _Queue(list[Any]):
    """What `schedule_task` was given, in a tenth of the memory of Locust's deque: seldom is there any."""

    __slots__ = ()

    def appendleft(self, task: object) -> None:
        self.insert(0, task)

    def popleft(self) -> Any:
        return self.pop(0)


class Tasks(DefaultTaskSet):
    """The tasks of a `SocketIOUser`, in the loop that Locust's users have (`TaskSet.run`), in fewer steps.

    It goes on as Locust's own once a task is a TaskSet, and is that from the first if a plugin has put its
    own in the place of Locust's methods. The one difference is a wait of no time: Locust lets every other
    greenlet run then; here not if they did while the task waited for something.
    """

    _user: Any

    def __init__(self, user: User) -> None:
        super().__init__(user)
        self._task_queue: Any = _Queue()

    def run(self) -> None:  # type: ignore[misc]  # final for scripts
        user, queue, loop = self._user, self._task_queue, get_hub().loop
        base: Any = DefaultTaskSet  # no object of `super()` for each user that sleeps
        choice = random.choice
        ours = not _patched()
        while ours:
            turn = loop.iteration
            try:
                tasks = user.tasks
                task = queue.popleft() if queue else choice(tasks) if tasks else base.get_next_task(self)
                if isinstance(task, type):
                    queue.appendleft(task)
                    break
                if user._state == LOCUST_STATE_STOPPING:
                    raise StopUser
                for sio in user.clients:
                    if sio.kicked or sio.lost:
                        reach_again(user, sio)
                try:
                    task(user)
                except (EmitError, ConnectError) as error:
                    _note(user, task, error)
                except RescheduleTaskImmediately:
                    continue
                except RescheduleTask:
                    pass
                if user._state == LOCUST_STATE_STOPPING:
                    raise StopUser
                user._state = LOCUST_STATE_WAITING
                wait_time = user.wait_time
                seconds = wait_time() if wait_time else base.wait_time(self)
                if seconds > 0 or loop.iteration == turn:
                    base._sleep(self, seconds)
                if user._state == LOCUST_STATE_STOPPING:
                    raise StopUser
                user._state = LOCUST_STATE_RUNNING
            except InterruptTaskSet as error:
                kind = RescheduleTaskImmediately if error.reschedule else RescheduleTask
                raise kind(error.reschedule) from error
            except (StopUser, StopTest, GreenletExit):
                raise
            except Exception as error:
                environment = user.environment
                environment.events.user_error.fire(
                    user_instance=self, exception=error, tb=error.__traceback__
                )
                if not environment.catch_exceptions:
                    raise
                _locusts_log.error("%s\n%s", error, traceback.format_exc())
                base.wait(self)
        base.run(self)

    def execute_task(self, task: Any) -> None:
        """What Locust's loop calls."""
        _execute(self._user, super().execute_task, task)


def _patched() -> bool:
    """Whether a plugin has its own in the place of what is left out, such as a limit of iterations."""
    locusts = vars(sys.modules[TaskSet.__module__])
    found = (getattr(DefaultTaskSet, name) for name in _LEFT_OUT)
    return any(getattr(method, "__globals__", None) is not locusts for method in found)


#: Listeners of `user_error` are given it, and show it by its name.
Tasks.__name__ = DefaultTaskSet.__name__


def _guard(user: Connected, tasks: Any) -> None:
    """Surround the tasks of a nested TaskSet, and of those that it runs itself."""
    tasks.execute_task = partial(_execute, user, tasks.execute_task)


def _execute(user: Connected, execute: Callable[[Any], None], task: Any) -> None:
    """Run a task.

    Before it, namespaces that the server closed are joined again. An emit that fails ends its task. It is a
    failure row already, so it is said once and isn't an exception to Locust, which would log a traceback for
    each.
    """
    for sio in user.clients:
        reach_again(user, sio)
    nested = isinstance(task, type) and issubclass(task, TaskSet)
    try:
        execute(_guarded(user, task) if nested else task)
    except (EmitError, ConnectError) as error:
        _note(user, task, error)


def reach_again(user: Connected, sio: SocketIOClient) -> None:
    """Join what the server closed, as far as the options ask for it."""
    if sio.kicked and sio.options.reconnection:
        try:
            sio.rejoin_patiently()
        except ConnectError as error:
            give_up(user, str(error))
            raise StopUser from error
    elif sio.lost == "given up" and sio.options.reconnection:
        give_up(user, "reconnecting failed")
        raise StopUser


def _note(user: Connected, task: Any, error: EmitError | ConnectError) -> None:
    """A task ended by what is a failure row already: it is said, and ends the user if nothing can follow."""
    user.sio.fleet.complaints.say(f"{name_of(task)}: {error}")
    if isinstance(error, NotConnected) and any(sio.ended_by(error) for sio in user.clients):
        give_up(user, str(error))
        raise StopUser from error


def name_of(task: Any) -> str:
    """What a task is called: a function, or one with some of its arguments (`functools.partial`)."""
    return str(getattr(task, "__name__", "") or getattr(getattr(task, "func", None), "__name__", "task"))


def _guarded(user: Connected, kind: type[TaskSet]) -> Callable[[Any], None]:
    """A nested TaskSet as a function that runs it: Locust calls either with the same parent."""

    def run(parent: Any) -> None:
        tasks: Any = kind(parent)
        _guard(user, tasks)
        pace = user.sio.pace
        try:
            tasks.run()
        finally:
            resume_pace(user, pace)
            del tasks.execute_task  # which holds the set itself

    run.__name__, run.__qualname__, run.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return run
