"""Servers that misbehave by plan towards the members of rooms are reported with exactly that."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import serverkit
from truthkit import Bench, Outcome, quantile

from sioload.measure.blocks import blocks_of

HERE = Path(__file__).parent
USERS, PART = 16, 10
HALF, MESSAGES = (USERS - 4) // 2, 2 * 3 * PART
#: What differs from: everyone in both rooms gets every message, once.
PLANNED: dict[str, Counter[str]] = {
    "tenth": Counter(missed=3),
    "unjoined": Counter(missed=3 * PART),
    "wrong": Counter(missed=HALF, strays=HALF),
    "twice": Counter(duplicates=1),
    "last": Counter(missed=1),
    "without": Counter(owed=-MESSAGES),
    "echoed": Counter(owed=-MESSAGES),
    "leave": Counter(owed=-2 * PART),  # owed to one member less during and after the change
    "history": Counter(owed=PART, late=5),  # one more after it
    "cut": Counter(owed=2 * PART),  # one more, but for the change
    "back": Counter(owed=2 * PART),
    "replay": Counter(owed=2 * PART, late=PART),
}
PLANS = ("sound", *PLANNED)
LOSSY = {plan for plan, differs in PLANNED.items() if differs["missed"]}


def expected(plan: str) -> dict[str, int]:
    found = Counter(messages=MESSAGES, owed=HALF * MESSAGES) + Counter()
    found.update(PLANNED.get(plan, {}))
    found["reached"] = found["owed"] - found["missed"]
    names = ("messages", "owed", "reached", "missed", "strays", "duplicates", "late", "unjudged")
    return {name: found[name] for name in names}


def play(bench: Bench, plans: tuple[str, ...], workers: int) -> Outcome:
    """Let the server do what these plans say, and judge each."""
    lib = serverkit.ROOT / "tests" / "servers" / "node_modules" / "sio4"
    process = bench.process([serverkit.need_node("sio4"), HERE / "rooms.js", lib, "0", str(USERS), *plans])
    port = int(process.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1))
    args = ["-u", str(USERS), "-r", str(USERS), "-t", "13s", "--sio-grace", "600ms"]
    for plan in plans:
        args += ["--sio-check", f"FANOUT[{plan}]: missed == 0"]
    args += ["--csv", str(bench.folder / "run")]
    outcome = bench.start("rooms.py", f"http://127.0.0.1:{port}", *args, workers=workers)(60)
    assert outcome.sound, outcome.text
    found = {each["name"]: each for each in outcome.report["audience"]}
    assert found.keys() == set(plans)
    with (bench.folder / "run_stats.csv").open(newline="") as file:
        of_locust = {row["Name"]: row for row in csv.DictReader(file) if row["Type"] == "FANOUT"}
    for plan, check in zip(plans, outcome.report["checks"], strict=True):
        counted = {name: found[plan][name] for name in expected(plan)}
        assert counted == expected(plan), f"{plan}: {outcome.text}"
        assert found[plan]["share"] == 1
        event, row = outcome.event("FANOUT", plan), of_locust[plan]
        assert event["count"] == int(row["Request Count"]) == MESSAGES
        assert event["failures"] == int(row["Failure Count"])
        blocks = blocks_of(event["blocks"]).values()  # by which runs are compared
        assert sum(block.count for block in blocks) == MESSAGES and len(blocks) > 1
        assert check["ok"] == (plan not in LOSSY)
    return outcome


@pytest.mark.parametrize("workers", [2, pytest.param(0, marks=pytest.mark.verify),
                                     pytest.param(4, marks=pytest.mark.verify)])  # fmt: skip
def test_what_servers_do_wrong_is_found_and_nothing_else(bench: Bench, workers: int) -> None:
    outcome = play(bench, PLANS, workers)
    found = {each["name"]: each for each in outcome.report["audience"]}
    assert outcome.event("FANOUT", "tenth")["errors"] == {"not all of its audience got it": 3}
    tenth = [{"room": "tenth-0", "id": f"tenth-0-{n}", "missed": 1, "of": HALF} for n in (10, 20, 30)]
    assert found["tenth"]["worst"] == tenth
    assert found["wrong"]["worst"] == [{"room": "wrong-0", "id": "wrong-0-5", "missed": HALF, "of": HALF}]
    assert found["last"]["worst"] == [{"room": "last-0", "id": "last-0-30", "missed": 1, "of": HALF}]
    assert outcome.code in (3, 4), outcome.text


@pytest.mark.parametrize("workers", [0, pytest.param(4, marks=pytest.mark.verify)])
def test_where_nobody_missed_anything_the_run_is_fine(bench: Bench, workers: int) -> None:
    outcome = play(bench, ("sound", "without", "echoed", "leave", "history"), workers)
    assert outcome.code in (0, 4), outcome.text


@pytest.mark.verify
@pytest.mark.parametrize("plan", sorted(LOSSY))
def test_each_loss_fails_the_run_by_itself(bench: Bench, plan: str) -> None:
    outcome = play(bench, (plan,), 0)
    assert outcome.code == (4 if outcome.report["untrusted"] else 3), outcome.text


def chat(bench: Bench, nodes: int, adapter: str) -> tuple[str, serverkit.Process]:
    """A sound server; its URL, and what prints what it did."""
    modules = serverkit.ROOT / "tests" / "servers" / "node_modules"
    node = serverkit.need_node("@socket.io/cluster-adapter" if adapter == "cluster" else "sio4")
    process = bench.process([node, HERE / "chat.js", modules, str(nodes), adapter])
    port = int(process.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1))
    return f"http://127.0.0.1:{port}", process


def logged(process: serverkit.Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.out.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("adapter", ["cluster", "none"])
def test_two_nodes_reach_all_with_an_adapter_and_their_own_without(bench: Bench, adapter: str) -> None:
    url, server = chat(bench, 2, adapter)
    users = ["-u", "8", "-r", "8", "-t", "8s", "--sio-grace", "0.8", "--sio-check", "FANOUT: reach >= 99.9%"]
    outcome = bench.start("chatters.py", url, *users, env={"CHATTERS": "sitting"})(60)
    told = logged(server)
    joined = Counter((each["node"], each["joined"]) for each in told if "joined" in each)
    said = [(each["node"], each["said"]) for each in told if "said" in each]
    nodes, rooms = ({place[i] for place in joined} for i in (0, 1))
    assert len(said) == 80 and (len(nodes), len(rooms)) == (2, 2)
    owed = sum(joined[node, room] for _, room in said for node in nodes)
    own = sum(joined[place] for place in said)
    (found,) = outcome.report["audience"]
    assert (found["messages"], found["owed"]) == (80, owed), outcome.text
    assert found["reached"] == (owed if adapter == "cluster" else own)
    assert found["strays"] == found["duplicates"] == found["late"] == found["unjudged"] == 0
    (check,) = outcome.report["checks"]
    assert check["ok"] == (adapter == "cluster")
    assert outcome.code in ((0, 4) if adapter == "cluster" else (3, 4)) and outcome.sound, outcome.text
    if adapter == "none":
        lost = [worst["missed"] for worst in found["worst"]]
        assert lost == [max(owed_there(joined, place, nodes) for place in said)] * 10


@pytest.mark.verify
def test_users_of_a_worker_that_is_killed_owe_nothing_more(bench: Bench) -> None:
    """Eight talk in one room, and half of them are gone at once."""
    url, server = chat(bench, 1, "none")
    port = serverkit.swarm_ports()
    run = ["--master", "--expect-workers", "2", "-u", "8", "-r", "8", "-t", "12s", "--sio-grace", "500ms",
           "--sio-check", "FANOUT: missed == 0", *port]  # fmt: skip
    finish = bench.start("chatters.py", url, *run, env={"CHATTERS": "talking"})
    _, doomed = (bench.worker("chatters.py", port, {"CHATTERS": "talking"}) for _ in range(2))
    bench.newest.wait_for(serverkit.SPAWNED, 30)
    time.sleep(6)  # workers report every three seconds
    doomed.signal(signal.SIGKILL)
    outcome = finish(60)
    report, said = outcome.report, sum("said" in each for each in logged(server))
    (found,) = report["audience"]
    before, rest = divmod(found["owed"] - 4 * found["messages"], 4)
    assert rest == 0 and 0 < before < found["messages"], outcome.text
    assert found["missed"] == found["strays"] == found["duplicates"] == found["late"] == 0, outcome.text
    assert said - 8 <= found["messages"] + found["unjudged"] <= said, outcome.text
    (check,) = report["checks"]
    assert check["ok"] and outcome.code == 4 and report["workers"]["lost"] == 1, outcome.text
    told = "messages to rooms count without the users of lost workers"
    assert any(told in reason for reason in report["untrusted"]) and told in outcome.text


def owed_there(joined: Counter[tuple[int, str]], place: tuple[int, str], nodes: set[int]) -> int:
    """Members of a room on other nodes."""
    return sum(joined[node, place[1]] for node in nodes if node != place[0])


@pytest.mark.timeout(660)
@pytest.mark.parametrize(
    ("deliveries", "users"), [pytest.param(1_000_000, 500, marks=pytest.mark.verify), (10_000, 120)]
)
def test_a_sound_server_is_found_sound_while_all_come_and_go(
    bench: Bench, deliveries: int, users: int
) -> None:
    url, _ = chat(bench, 1, "none")
    env = {"CHATTERS": "moving", "DELIVERIES": str(deliveries)}
    args = ["-u", str(users), "--sio-check", "FANOUT: missed == 0"]
    outcome = bench.start("chatters.py", url, *args, workers=2, env=env)(600)
    (found,) = outcome.report["audience"]
    assert outcome.event("PUSH", "message")["count"] >= deliveries
    assert found["missed"] == found["strays"] == found["duplicates"] == 0, outcome.text
    assert found["late"] == 0 and found["reached"] > deliveries * 0.1, found
    (check,) = outcome.report["checks"]
    assert check["ok"] and outcome.sound, outcome.text


def test_who_is_stopped_while_it_joins_does_not_stray(bench: Bench) -> None:
    url, _ = chat(bench, 1, "none")
    users = ["-u", "12", "-r", "12", "-t", "6s", "--sio-grace", "500ms"]
    outcome = bench.start("chatters.py", url, *users, env={"CHATTERS": "stopped"})(60)
    (found,) = outcome.report["audience"]
    heard = outcome.event("PUSH", "message")["count"]
    assert heard > found["reached"] + 50, "those who were stopped heard what was said meanwhile"
    assert found["missed"] == found["strays"] == 0, outcome.text


def test_the_time_is_that_of_the_last_copy(bench: Bench) -> None:
    """A busy machine may be late by itself: one round of three has to be right."""
    told = ""
    for _ in range(3):
        url, server = chat(bench, 1, "none")
        users = ["-u", "10", "-r", "10", "-t", "10s", "--sio-grace", "1s"]
        outcome = bench.start("chatters.py", url, *users, env={"CHATTERS": "slow"})(60)
        last = [each["written"][-1] * 1000 for each in logged(server) if "said" in each]
        event = outcome.event("FANOUT", "message")
        assert event["count"] > 20 and event["failures"] == 0, outcome.text
        assert min(last) > 175
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            true, shown = quantile(last, share), event["latency_ms"][name]
            if abs(shown - true) > max(1.0, true / 100):
                told += f"{name}: {shown:.2f} ms, the server wrote at {true:.2f} ms\n"
                break
        else:
            return
    pytest.fail(told)


FAULTY = """
from locust import constant, task
from sioload import SocketIOUser, on, stamp

class Member(SocketIOUser):
    wait_time = constant(0.2)

    @task
    def say(self):
        self.sio.call("message", {"sent": stamp()})

    @on("message", room=lambda m: (m["room"], m["id"]))
    def heard(self, m): ...
"""


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_a_room_that_raises_is_a_failure_of_each_receiver(
    target: serverkit.Server, tmp_path: Path, workers: list[str]
) -> None:
    (tmp_path / "locustfile.py").write_text(FAULTY)
    args = ["-f", "locustfile.py", "--host", target.url, "--headless", "-u", "6", "-r", "6", "-t", "3s"]
    done = serverkit.run_locust([*args, "--sio-report", "r.json", *workers], 60, cwd=tmp_path)
    report = json.loads((tmp_path / "r.json").read_text())
    rows = {event["name"]: event for event in report["events"] if event["type"] == "RECV"}
    assert done.code == 1 and rows["message"]["count"] > 100, done.text
    assert rows["message (room)"]["errors"] == {"KeyError: 'room'": rows["message"]["count"]}
