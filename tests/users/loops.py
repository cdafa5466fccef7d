"""Generated users, each run to its end: what they did, as JSON. `loops.py HOST KIND SEED...`

KIND "locust" leaves their tasks to Locust's own loop; what is drawn depends on the seed alone.
"""

from __future__ import annotations

import json
import logging
import random
import sys
from collections.abc import Callable
from typing import Any

import gevent
from gevent.pool import Group
from locust import TaskSet, constant
from locust.env import Environment
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)

from sioload import SocketIOUser, paced
from sioload.users.tasks import Tasks

HOST, KIND = sys.argv[1:3]
if KIND == "locust":
    del Tasks.run
logging.disable()
gevent.get_hub().print_exception = lambda *_: None  # type: ignore[method-assign]


def refuse(user: Any) -> None:
    user.sio.call("echo", 1, ok=lambda reply: False, name="refused")


def raising(error: type[Exception], *args: object) -> Callable[[Any], None]:
    def act(user: Any) -> None:
        raise error(*args)

    return act


#: What a task may do, and how often it is taken.
ACTS: list[tuple[str, int, Callable[[Any], object]]] = [
    ("call", 8, lambda user: user.sio.call("echo", 1, name="call")),
    ("emit", 4, lambda user: user.sio.emit("echo", 1, name="emit")),
    ("nothing", 4, lambda user: None),
    ("sleep", 2, lambda user: gevent.sleep(0.001)),
    ("yield", 2, lambda user: gevent.sleep(0)),
    ("refused", 2, refuse),
    ("error", 2, raising(ValueError, "a script's fault")),
    ("again", 1, raising(RescheduleTask)),
    ("at once", 1, raising(RescheduleTaskImmediately)),
    ("interrupt", 1, raising(InterruptTaskSet, False)),
    ("interrupt, at once", 1, raising(InterruptTaskSet, True)),
    ("stop", 1, raising(StopUser)),
    ("stop the test", 1, raising(StopTest)),
    ("leave", 1, lambda user: user.stop()),
    ("next", 2, lambda user: user._taskset_instance.schedule_task(user.tasks[-1], first=True)),
    ("fewer", 1, lambda user: len(user.tasks) > 1 and user.tasks.pop(0)),
    ("killed", 1, lambda user: user.stop(force=True)),
]

ROWS = [("CALL", "call"), ("CALL", "refused"), ("EMIT", "emit")]


def run(seed: int) -> dict[str, Any]:
    """One user, until it ends or has done enough."""
    chance = random.Random(seed)
    did: list[object] = []
    environment = Environment(catch_exceptions=chance.random() < 0.8, user_classes=[])
    environment.events.user_error.add_listener(
        lambda user_instance, exception, tb, **_: did.append([type(exception).__name__, tb is not None])
    )

    def made(number: int) -> Callable[[Any], None]:
        kind, _, act = chance.choices(ACTS, [often for _, often, _ in ACTS])[0]

        def perform(owner: Any) -> None:
            user = getattr(owner, "user", owner)
            did.append([number, kind, user._state])
            if len(did) > 40:
                raise StopUser
            act(user)

        return perform

    class Inner(TaskSet):
        tasks = [made(100 + number) for number in range(2)]

        def on_stop(self) -> None:
            did.append("inner on_stop")

    class Generated(SocketIOUser):
        host = HOST
        options = {"transports": ["websocket"], "version": 4}
        tasks: list[Any] = [made(number) for number in range(chance.randint(1, 6))]
        wait_time = chance.choice(
            [constant(0), constant(0.001), paced(2000), lambda self: random.random() / 999]
        )

        def on_stop(self) -> None:
            did.append("on_stop")

    Generated.tasks *= chance.randint(1, 3)
    if chance.random() < 0.2:
        Generated.tasks.insert(chance.randrange(len(Generated.tasks)), Inner)
    random.seed(seed)
    user = Generated(environment)
    row = user.sio.fleet.recorder.row
    greenlet = user.start(Group())
    with gevent.Timeout(10, False):
        greenlet.join()
    return {
        "did": did,
        "state": user._state,
        "ended": [greenlet.dead, type(greenlet.exception).__name__, user.fate],
        "rows": [[(totals := row(*key).totals()).count, totals.failures] for key in ROWS],
    }


print(json.dumps({seed: run(int(seed)) for seed in sys.argv[3:]}))
