"""`paced`: iterations keep their slots, late ones are timed from theirs, others are counted as skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import serverkit

USERS = Path(__file__).with_name("rated.py")
RATE = 20
SECONDS = 3


class Run:
    """A run of one class of users, and what it reported."""

    def __init__(self, folder: Path, url: str, users: str, *more: str, count: int = 2) -> None:
        load = ["-u", str(count), "-r", str(count), "-t", f"{SECONDS}s", "--headless", "--only-summary"]
        args = ["-f", USERS, "--host", url, *load, "--sio-report", folder / "report.json", *more]
        env = {"USERS": users, "SPANS": str(folder / "spans")}
        self.done = serverkit.run_locust(args, 40, env=env)
        self.report: dict[str, Any] = json.loads((folder / "report.json").read_text())
        spans = (folder / "spans").read_text().split()[1::2]
        self.plan = sum(int(float(span) * RATE) + 1 for span in spans)
        assert len(spans) == count

    def row(self, kind: str, name: str) -> dict[str, Any]:
        found = [e for e in self.report["events"] if (e["type"], e["name"]) == (kind, name)]
        assert found, self.done.text
        row: dict[str, Any] = found[0]
        return row


@pytest.fixture
def run(tmp_path: Path, target: serverkit.Server) -> Any:
    return lambda users, *more: Run(tmp_path, target.url, users, *more)


def test_the_first_emit_of_each_iteration_is_timed_from_its_slot(run: Any) -> None:
    ended = run("OnTime")
    assert ended.done.code == 0, ended.done.text
    first, second = ended.row("CALL", "first"), ended.row("CALL", "second")
    assert first["count"] + first["skipped"] == pytest.approx(ended.plan, abs=2)
    assert first["service_ms"]["max"] <= first["latency_ms"]["max"]
    assert second["service_ms"] is None and second["skipped"] == 0


@pytest.mark.parametrize("users, name", [("Late", "slow"), ("Beside", "beside")])
def test_what_is_late_grows_and_what_never_began_is_skipped(run: Any, users: str, name: str) -> None:
    ended = run(users)
    slow = ended.row("CALL", name)
    assert slow["count"] + slow["skipped"] == pytest.approx(ended.plan, abs=2)
    assert slow["skipped"] >= 0.4 * ended.plan
    assert slow["latency_ms"]["max"] > 1000 and slow["service_ms"]["p50"] == pytest.approx(100, rel=0.5)
    assert f"CALL {name}: {slow['skipped']} starts skipped" in ended.done.out


@pytest.mark.parametrize("users", ["Bursts", "Faster"])
def test_a_set_of_tasks_may_have_a_pace_of_its_own(run: Any, users: str) -> None:
    """It begins each time that the set does: in between, nothing of it is owed."""
    ended = run(users)
    burst = ended.row("CALL", "burst")
    assert burst["count"] >= 20, "two users, two bursts of five each"
    assert burst["service_ms"]["p50"] <= burst["latency_ms"]["p50"] < 500, ended.done.text


def test_emits_without_ack_are_paced_and_handlers_are_not(run: Any) -> None:
    ended = run("Silent")
    told, handler = ended.row("EMIT", "told"), ended.row("EMIT", "handler")
    assert told["count"] + told["skipped"] == pytest.approx(ended.plan, abs=2)
    assert told["skipped"] > 0.5 * ended.plan
    assert told["latency_ms"] is None and told["service_ms"] is None
    assert handler["count"] > 100 and handler["skipped"] == 0


@pytest.mark.parametrize("users, name", [("Faulty", "before"), ("Nested", "inner")])
def test_tasks_that_raise_and_task_sets_keep_the_pace(run: Any, users: str, name: str) -> None:
    ended = run(users)
    row = ended.row("CALL", name)
    assert row["count"] + row["skipped"] == pytest.approx(ended.plan, abs=2)
    assert row["skipped"] < 0.2 * ended.plan


def test_a_user_that_never_emits_owes_all_but_its_first_iteration(run: Any) -> None:
    ended = run("Stuck")
    owed = ended.row("CALL", "(no emit)")
    assert owed["count"] == 0 and owed["skipped"] == pytest.approx(ended.plan - 2, abs=2)


def test_the_plan_ends_when_a_user_is_told_to_stop(run: Any) -> None:
    """With a stop timeout, the running iteration may end; none is owed for that time."""
    ended = run("Late", "--stop-timeout", "5")
    slow = ended.row("CALL", "slow")
    assert slow["count"] + slow["skipped"] == pytest.approx(ended.plan, abs=2)


@pytest.mark.parametrize(
    "wait, said",
    [
        ("paced(0)", "not 0"),
        ("paced('fast')", "'fast'"),
        ("paced(float('nan'))", "nan"),
        ("paced(True)", "True"),
    ],
)
def test_a_rate_that_makes_no_sense_ends_the_run_before_it_starts(
    tmp_path: Path, wait: str, said: str
) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(
        "from locust import task\n"
        "from sioload import SocketIOUser, paced\n"
        "class Wrong(SocketIOUser):\n"
        "    host = 'http://127.0.0.1:9'\n"
        f"    wait_time = {wait}\n"
        "    @task\n"
        "    def work(self): pass\n"
    )
    done = serverkit.run_locust(["-f", script, "--headless", "-t", "1s"], cwd=tmp_path)
    assert done.code not in (0, 3, 4), done.text
    assert "paced(): the rate must be a number per second" in done.err and said in done.err
