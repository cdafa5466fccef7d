"""Lets the runs of these tests overlap: most of their time is waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import swarmkit

AT_A_TIME = 4
#: These take longest and begin first.
LONG = ("test_two_tests_and_a_reset", "test_two_tests_and_a_reset_on_workers",
        "test_a_killed_worker_is_named_and_fails_the_run")  # fmt: skip


@pytest.fixture(scope="session")
def scenes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], None]]:
    """Starts every scene that was collected, a few at a time; `scenes(name)` waits for one."""
    collected = [item.name for item in request.session.items if item.name in swarmkit.SCENES]
    collected.sort(key=lambda name: name not in LONG)
    pool = ThreadPoolExecutor(AT_A_TIME)
    started = {
        name: pool.submit(swarmkit.play, swarmkit.SCENES[name], tmp_path_factory.mktemp("scene"))
        for name in collected
    }
    yield lambda name: started[name].result()
    pool.shutdown(cancel_futures=True)
