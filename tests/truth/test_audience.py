"""Servers that misbehave by plan towards the members of rooms are reported with exactly that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import serverkit
from truthkit import Bench

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


def expected(plan: str) -> dict[str, int]:
    found = Counter(messages=MESSAGES, owed=HALF * MESSAGES) + Counter()
    found.update(PLANNED.get(plan, {}))
    found["reached"] = found["owed"] - found["missed"]
    names = ("messages", "owed", "reached", "missed", "strays", "duplicates", "late", "unjudged")
    return {name: found[name] for name in names}


def play(bench: Bench, plans: tuple[str, ...], workers: int):
    lib = serverkit.ROOT / "tests" / "servers" / "node_modules" / "sio4"
    process = bench.process([serverkit.need_node("sio4"), HERE / "rooms.js", lib, "0", str(USERS), *plans])
    port = int(process.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1))
    checks = ["--sio-check", "FANOUT: missed == 0", "--sio-check", "FANOUT: reach >= 99.99%"]
    users = ["-u", str(USERS), "-r", str(USERS), "-t", "13s", "--sio-grace", "600ms"]
    return bench.start("rooms.py", f"http://127.0.0.1:{port}", *users, *checks, workers=workers)(60)


@pytest.mark.parametrize("workers", [0, 2, pytest.param(4, marks=pytest.mark.verify)])
def test_what_servers_do_wrong_is_found_and_nothing_else(bench: Bench, workers: int) -> None:
    outcome = play(bench, PLANS, workers)
    found = {each["name"]: each for each in outcome.report["audience"]}
    for plan in PLANS:
        counted = {name: found[plan][name] for name in expected(plan)}
        assert counted == expected(plan), f"{plan}: {outcome.text}"
        assert found[plan]["share"] == 1
        event = outcome.event("FANOUT", plan)
        assert event["count"] == MESSAGES
        assert event["failures"] == sum(event["errors"].values())
    assert outcome.event("FANOUT", "tenth")["failures"] == 3
    tenth = [{"room": "tenth-0", "id": f"tenth-0-{n}", "missed": 1, "of": HALF} for n in (10, 20, 30)]
    assert found["tenth"]["worst"] == tenth
    assert found["wrong"]["worst"] == [{"room": "wrong-0", "id": "wrong-0-5", "missed": HALF, "of": HALF}]
    assert found["sound"]["worst"] == []
    assert outcome.code in (3, 4) and outcome.sound, outcome.text
