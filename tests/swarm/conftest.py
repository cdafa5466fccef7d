"""Lets the runs of these tests overlap: most of their time is waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import swarmkit
import turns

AT_A_TIME = 4
#: These take longest and begin first.
LONG = ("test_two_tests_and_a_reset", "test_two_tests_and_a_reset_on_workers",
        "test_a_killed_worker_is_named_and_fails_the_run")  # fmt: skip


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Where scenes run; what hasn't begun when the session ends never does."""
    running = ThreadPoolExecutor(AT_A_TIME)
    yield running
    running.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def started() -> dict[str, Future[None]]:
    """The scenes that have begun, or will."""
    return {}


@pytest.fixture
def scenes(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    pool: ThreadPoolExecutor,
    started: dict[str, Future[None]],
) -> Callable[[str], None]:
    """Starts every scene of this unit that was collected, a few at a time; `scenes(name)` waits for one.

    Other processes (pytest-xdist) collect the same tests, but run other units.
    """
    unit = turns.unit(request.node.nodeid)
    collected = [item.name for item in request.session.items if turns.unit(item.nodeid) == unit]
    for name in sorted(collected, key=lambda name: name not in LONG):
        if name in swarmkit.SCENES and name not in started:
            body, folder = swarmkit.SCENES[name], tmp_path_factory.mktemp("scene")
            started[name] = pool.submit(swarmkit.play, body, folder)
    return lambda name: started[name].result()
