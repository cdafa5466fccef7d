"""What was begun and never answered by the end of a run is in the figures, however the run ends."""

from __future__ import annotations

import json
import signal
import time

import pytest
from mute import muted
from truthkit import Bench, Outcome

POLLING = ["polling"]
BOTH = ["polling", "websocket"]
AT_END = "no answer by the end of the run"


def start(bench: Bench, url: str, transports: list[str], *more: str, wait: str = ""):
    env = {"OPTIONS": json.dumps({"transports": transports}), "WAIT": wait}
    args = () if "--sio-drain" in more else ("--sio-drain", "1")
    return bench.start("pending.py", url, *args, "-u", "2", "-r", "10", *more, env=env)


def failed(outcome: Outcome, kind: str, name: str) -> dict[str, int]:
    """The failures of a row; all of its samples are failures with a time."""
    event = outcome.event(kind, name)
    assert event["count"] == event["failures"] == 2, outcome.text
    return event["errors"]


@pytest.mark.parametrize("processes", [0, pytest.param(2, marks=pytest.mark.verify)])
def test_what_a_server_owes_at_the_end_is_a_failure_with_its_time(bench: Bench, processes: int) -> None:
    with muted("accept") as silent, muted("open") as opening, muted("connect") as joining, \
         muted("vanish") as gone:  # fmt: skip
        runs = [
            bench.start("pending.py", server.url, "-u", "2", "-r", "10", "--sio-drain", "0.5", "-t", "2s",
                        workers=processes, env={"OPTIONS": json.dumps({"transports": transports, **more})})
            for server, transports, more in (
                (silent, POLLING, {}), (opening, POLLING, {}), (joining, BOTH, {}), (gone, POLLING, {})
            )
        ]  # fmt: skip
        mute, open_, upgrade, lost = [finish(60) for finish in runs]
    assert failed(mute, "OPEN", "polling") == {AT_END: 2}
    assert mute.event("OPEN", "polling")["latency_ms"]["min"] > 300
    assert [outcome.code for outcome in (mute, open_, upgrade, lost)] == [1, 1, 1, 1]
    assert "exit code 1: no user ever had a session" in mute.text
    assert failed(mute, "CONNECT", "/") == {f"open: {AT_END}": 2}
    assert mute.event("CONNECT", "/")["latency_ms"] is None, "CONNECT wasn't sent"
    assert failed(open_, "CONNECT", "/") == {f"connect: {AT_END}": 2}
    assert open_.event("CONNECT", "/")["latency_ms"]["min"] > 300
    assert failed(upgrade, "UPGRADE", "websocket") == {AT_END: 2}
    assert upgrade.event("UPGRADE", "websocket")["latency_ms"]["min"] > 300
    if processes:  # which may spawn their users at different times
        return
    back = [event for event in lost.report["events"] if event["type"] == "RECONNECT"]
    assert [(event["failures"], event["errors"]) for event in back] == [(2, {AT_END: 2})], lost.text
    assert back[0]["latency_ms"]["min"] > 300


def test_a_second_signal_cuts_short_what_is_open(bench: Bench) -> None:
    with muted("open") as server:
        finish = start(bench, server.url, POLLING, "--sio-drain", "60")
        bench.newest.wait_for("All users spawned", 30)
        bench.newest.signal(signal.SIGINT)
        time.sleep(1)  # two signals at a time would be one
        bench.newest.signal(signal.SIGINT)
        outcome = finish(30)
    assert failed(outcome, "CONNECT", "/") == {"connect: cut short": 2}


def test_waits_that_end_with_the_run_are_unfinished(bench: Bench, target) -> None:
    check = ("--sio-check", "WAIT: unfinished == 2")
    outcome = start(bench, target.url, POLLING, "-t", "2s", *check, wait="yes")(40)
    event = outcome.event("WAIT", "never")
    assert (event["count"], event["failures"], event["unfinished"]) == (0, 0, 2), outcome.text
    assert "2 unfinished (ended with their user)" in outcome.text
    assert outcome.code == 0, outcome.text
