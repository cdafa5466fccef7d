"""What a script sees of `SocketIOClient.schedule`, tried in a process of its own.

usage: python schedules.py URL TRANSPORTS
Prints a line of JSON for each scenario: its name, and what went wrong (null when nothing did).
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import locust  # noqa: F401  # patches first

import gevent  # isort: skip

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scenariokit import main, outcomes, raises, scenario

from sioload.client.api import SocketIOClient
from sioload.errors import NotConnected, UsageError

URL, TRANSPORTS = sys.argv[1], sys.argv[2].split(",")


def connected(**options: Any) -> SocketIOClient:
    options = {"transports": TRANSPORTS, "reconnection_delay": 0.1, "reconnection_delay_max": 0.1, **options}
    sio = SocketIOClient(None, options, url=URL)
    sio.connect()
    return sio


@scenario
def emits_go_out_at_their_rate_and_are_all_answered() -> None:
    sio = connected()
    begun = perf_counter()
    schedule = sio.schedule("echo", ("a", 1), rate=100, duration=0.5)
    assert schedule.active and schedule.wait(5) and not schedule.active
    assert perf_counter() - begun >= 0.5
    assert (schedule.started, schedule.skipped, schedule.outstanding) == (50, 0, 0)
    assert outcomes(sio) == {"emits": 50, "acked": 50}
    totals = sio.fleet.recorder.row("CALL", "echo").totals()
    assert totals.count == 50 and totals.service is not None and totals.service.total == 50


@scenario
def answers_are_not_waited_for_and_too_many_are_skipped() -> None:
    sio = connected()
    schedule = sio.schedule("delay", 0.4, rate=100, max_outstanding=10, duration=0.3, name="late")
    assert schedule.wait(5)
    assert schedule.started == 10 and schedule.skipped == 20
    totals = sio.fleet.recorder.row("CALL", "late").totals()
    assert (totals.count, totals.skipped, totals.failures) == (10, 20, 0)
    assert outcomes(sio) == {"emits": 10, "acked": 10}


@scenario
def data_is_made_for_each_emit() -> None:
    sio = connected()
    numbers = iter(range(3))
    schedule = sio.schedule("echo", lambda: {"n": next(numbers)}, rate=50, duration=0.1)
    assert schedule.wait(5)
    totals = sio.fleet.recorder.row("CALL", "echo").totals()
    assert (totals.count, totals.failures) == (5, 2), "the third has data, the last two a StopIteration"
    assert outcomes(sio) == {"emits": 5, "acked": 3, "not_sent": 2}
    assert list(totals.errors) == ["data raised StopIteration"]


@scenario
def data_that_cant_be_sent_is_a_failure_of_each_emit() -> None:
    sio = connected()
    schedule = sio.schedule("echo", object(), rate=50, duration=0.1)
    assert schedule.wait(5)
    assert outcomes(sio) == {"emits": 5, "not_sent": 5}
    assert sio.call("echo", 1) == 1


@scenario
def stopping_lets_open_emits_be_answered() -> None:
    sio = connected()
    schedule = sio.schedule("delay", 0.2, rate=50)
    gevent.sleep(0.1)
    schedule.stop()
    started = schedule.started
    assert schedule.wait(5)
    assert schedule.started == started and 4 <= started <= 6
    assert outcomes(sio) == {"emits": started, "acked": started}


@scenario
def two_at_once_share_a_connection() -> None:
    sio = connected()
    pair = [sio.schedule("echo", i, rate=40, duration=0.25, name=f"s{i}") for i in range(2)]
    assert all(schedule.wait(5) for schedule in pair)
    assert [sio.fleet.recorder.row("CALL", f"s{i}").totals().count for i in range(2)] == [10, 10]


@scenario
def emits_that_fall_into_an_outage_wait_for_its_end() -> None:
    sio = connected()
    schedule = sio.schedule("echo", 1, rate=100, duration=1.0)
    gevent.sleep(0.2)
    sio.emit("cut")
    assert schedule.wait(8)
    counts = outcomes(sio)
    assert schedule.started == 100 and schedule.skipped == 0
    assert counts["emits"] == 101 and "open" not in counts, counts
    # Over polling one may stand behind a POST under way when the connection dies, and never goes out.
    assert counts.get("not_sent", 0) <= 2, counts
    assert counts["acked"] >= 90, counts
    assert sio.fleet.recorder.row("CALL", "echo").totals().times.max > 0.05, "the outage shows"


@scenario
def an_outage_that_lasts_leaves_emits_unsent() -> None:
    sio = connected(ack_timeout=0.2, reconnection_delay=30.0, reconnection_delay_max=30.0)
    schedule = sio.schedule("echo", 1, rate=100, max_outstanding=5, duration=2.0)
    gevent.sleep(0.2)
    sio.emit("cut")
    assert schedule.wait(8)
    counts = outcomes(sio)
    assert schedule.started + schedule.skipped == 200
    assert counts["not_sent"] >= 5 and "open" not in counts
    assert schedule.skipped >= 40
    totals = sio.fleet.recorder.row("CALL", "echo").totals()
    assert totals.errors["no connection in time"] == counts["not_sent"]
    assert totals.untimed == counts["not_sent"], "nothing was asked of the server: no time of its is told"


@scenario
def it_ends_with_the_connection_and_with_the_user() -> None:
    sio = connected()
    first = sio.schedule("echo", 1, rate=50)
    gevent.sleep(0.1)
    sio.disconnect()
    assert first.wait(5) and not first.active
    sio.connect()
    second = sio.schedule("delay", 0.2, rate=50)
    gevent.sleep(0.1)
    sio.release()
    assert second.wait(5)
    counts = outcomes(sio)
    assert "open" not in counts and counts["acked"] >= second.started, "the last ones got answers"
    gevent.sleep(0.2)
    assert not sio.fleet.members and len(sio.fleet.deadlines) == 0


@scenario
def the_end_of_a_run_ends_it() -> None:
    sio = connected()
    schedule = sio.schedule("delay", 0.2, rate=100)
    gevent.sleep(0.1)
    sio.fleet.drain(5.0)
    assert schedule.wait(5)
    assert outcomes(sio) == {"emits": schedule.started, "acked": schedule.started}


@scenario
def bad_usage_is_refused() -> None:
    sio = connected()
    for rate in (0, -1, True, "10", float("nan"), float("inf")):
        raises(UsageError, lambda rate=rate: sio.schedule("echo", rate=rate), "schedule()", "rate")
    raises(UsageError, lambda: sio.schedule("echo", rate=1, max_outstanding=0), "max_outstanding")
    raises(UsageError, lambda: sio.schedule("echo", rate=1, duration=0), "duration")
    raises(NotConnected, lambda: sio.schedule("echo", rate=1, namespace="/nowhere"), "/nowhere")
    sio.disconnect()
    assert outcomes(sio) == {"emits": 1, "not_sent": 1}, "as an emit there"
    raises(NotConnected, lambda: sio.schedule("echo", rate=1), "not connected")
    assert outcomes(sio) == {"emits": 2, "not_sent": 2}


if __name__ == "__main__":
    main()
