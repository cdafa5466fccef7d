"""Workers that join a running test, also at the worst moment, and that leave: all they did is counted."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import serverkit
from swarmkit import USERS, Swarm, play, scene

from sioload.measure.blocks import blocks_of

SCRIPT = Path(__file__).parent / "joiners.py"
#: One join: seconds after the one before, Locust's worst moment or not, and whether a worker leaves before.
Join = tuple[float, bool, bool]


def begin(swarm: Swarm, *more: str, users: int) -> tuple[serverkit.Process, list[str | Path]]:
    """A master, and the arguments of its workers."""
    port = serverkit.swarm_ports()
    args = swarm.args("--master", *port, *more, users=users)
    args[1] = SCRIPT
    return swarm.start(args), ["-f", SCRIPT, "--worker", "--master-host", "127.0.0.1", *port[-2:]]


def joined(swarm: Swarm, joins: Sequence[Join], most: int = 4) -> None:
    """A run with these joins, and its counts."""
    master, args = begin(swarm, "--expect-workers", "1", "--enable-rebalancing", users=8)
    living = [swarm.start(args)]
    master.wait_for(serverkit.SPAWNED, 40)
    for number, (pause, worst, leave) in enumerate(joins):
        time.sleep(pause)
        if len(living) > 1 and (leave or len(living) == most):
            worker = living.pop(0)
            worker.signal(signal.SIGTERM)
            assert worker.wait(30) == 0, str(worker)
        living.append(swarm.start(args, {"PAUSE": "1"} if worst else None))
        master.wait_for(rf"\(index {number + 1}\) reported as ready", 60)
    time.sleep(1)
    master.signal(signal.SIGINT)
    assert master.wait(40) == 0, "\n".join(map(str, swarm.processes))
    swarm.assert_everything_agrees()
    workers = swarm.report["workers"]  # Locust doesn't give users to all of them, if the next comes at once
    assert 1 < workers["expected"] <= 1 + len(joins) and workers["lost"] == 0
    (talkers,) = swarm.report["users"]["classes"]
    assert (talkers["asked"], talkers["ran"]) == (8, 8), "those that moved are counted once"
    for worker in living:
        assert worker.wait(20) == 0, str(worker)


@scene
def test_workers_that_join_and_leave_count_fully(swarm: Swarm) -> None:
    joined(swarm, [(0.5, True, False), (0.5, False, True), (0.5, True, False)])


@pytest.mark.verify
@pytest.mark.parametrize("seed", range(10))
def test_five_joins(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    joins = [(chance.uniform(0, 1.5), chance.random() < 0.5, chance.random() < 0.3) for _ in range(5)]
    play(lambda swarm: joined(swarm, joins), tmp_path)


SEEDING = """
exec(open({script!r}).read())
from locust import events

@events.test_start.add_listener
def seed(environment, **_):
    environment.events.request.fire(request_type="PATCH", name="room", response_time=2.0, response_length=0,
                                    exception=None, context={{}})
"""


@scene
def test_what_listeners_of_test_start_ask_for_counts_on_late_workers_too(swarm: Swarm) -> None:
    """At Locust's worst moment: they are called before anybody counts."""
    master, args = begin(swarm, "--expect-workers", "1", users=4)
    args[1] = swarm.folder / "seeding.py"
    args[1].write_text(SEEDING.format(script=str(SCRIPT)))
    swarm.start(args)
    master.wait_for(serverkit.SPAWNED, 40)
    swarm.start(args, {"PAUSE": "1"})
    master.wait_for(r"\(index 1\) reported as ready", 40)
    time.sleep(1.5)
    master.signal(signal.SIGINT)
    assert master.wait(40) == 0, "\n".join(map(str, swarm.processes))
    swarm.assert_everything_agrees()
    assert swarm.counts()["PATCH", "room"] == (2, 0), "\n".join(map(str, swarm.processes))


@scene
def test_what_a_worker_did_that_joined_just_before_the_end_is_counted(swarm: Swarm) -> None:
    """Before its first sign of life after that, at Locust's worst moment."""
    master, args = begin(swarm, "--expect-workers", "1", "--enable-rebalancing", users=4)
    swarm.start(args)
    master.wait_for(serverkit.SPAWNED, 40)
    swarm.start(args, {"PAUSE": "1", "MUTE": "1"})
    master.wait_for(r"\(index 1\) reported as ready", 40)
    time.sleep(0.4)
    master.signal(signal.SIGINT)
    assert master.wait(40) == 0, "\n".join(map(str, swarm.processes))
    swarm.assert_everything_agrees()
    assert swarm.report["workers"] == {"expected": 2, "lost": 0}, "\n".join(map(str, swarm.processes))


@scene
def test_a_worker_without_users_costs_nothing(swarm: Swarm) -> None:
    """It came when the next users weren't due yet, and the run ended before they were."""
    master, args = begin(swarm, "--expect-workers", "1", "-r", "0.02", users=2)
    swarm.start(args)
    master.wait_for("Sending spawn jobs", 40)
    swarm.start(args)
    master.wait_for(r"\(index 1\) reported as ready", 40)
    while not serverkit.total(swarm.target.counts()["received"], "echo"):
        time.sleep(0.1)
    began = time.monotonic()
    master.signal(signal.SIGTERM)
    assert master.wait(30) == 0, str(master)
    assert time.monotonic() - began < 10, "nobody waited for it"
    swarm.assert_everything_agrees()
    assert swarm.report["workers"] == {"expected": 1, "lost": 0}


@scene
def test_a_late_worker_whose_clock_is_an_hour_ahead_counts_in_the_right_phases(swarm: Swarm) -> None:
    plan = "first: 8 users for 12s; second: 8 users for 2s"
    port, report = serverkit.swarm_ports(), swarm.folder / "report.json"
    args = ["-f", USERS, "--host", swarm.target.url, "--headless", "--sio-phases", plan]
    master = swarm.start([*args, "--sio-report", report, "--master", *port, "--expect-workers", "1"])
    worker = ["-f", USERS, "--worker", "--master-host", "127.0.0.1", *port[-2:]]
    swarm.start(worker)
    master.wait_for(serverkit.SPAWNED, 40)
    swarm.start(worker, {"SKEW": "3600"})
    assert master.wait(60) == 0, "\n".join(map(str, swarm.processes))
    output = "\n".join(map(str, swarm.processes))
    assert swarm.report["workers"] == {"expected": 2, "lost": 0}, output
    begun = [phase["users"]["begun"] for phase in swarm.report["phases"]]
    assert begun == [12, 0], output  # four users moved to the second worker
    for event in swarm.report["events"]:
        blocks = blocks_of(event["blocks"])
        assert sum(block.count for block in blocks.values()) == event["count"], output
        assert all(0 <= number < 20 for number in blocks), output
    assert swarm.report["blocks"]["seconds"] == 1.0, output
