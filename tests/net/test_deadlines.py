"""The sweep over stored deadlines, on gevent's own loop."""

from __future__ import annotations

from time import perf_counter

import gevent
import pytest

from sioload.net.deadlines import Deadlines


def turn(seconds: float = 0.02) -> None:
    """Let the loop run."""
    gevent.sleep(seconds)


def test_callbacks_come_in_the_order_of_their_time() -> None:
    seen: list[str] = []
    deadlines = Deadlines(seen.append)  # type: ignore[arg-type]
    now = perf_counter()
    for name, after in (("c", 0.012), ("a", -1.0), ("d", 60.0), ("b", 0.004)):
        deadlines.at(now + after, lambda _, name=name: seen.append(name))  # type: ignore[misc]
    cancelled = deadlines.at(now + 0.006, lambda _: seen.append("cancelled"))
    deadlines.cancel(cancelled)
    deadlines.cancel(cancelled)
    deadlines.cancel(None)
    assert len(deadlines) == 4
    turn()
    assert seen == ["a", "b", "c"]
    assert len(deadlines) == 1


def test_a_callback_that_raises_stops_no_other() -> None:
    faults: list[BaseException] = []
    seen: list[int] = []
    deadlines = Deadlines(faults.append)
    for n in range(3):
        deadlines.at(0.0, lambda _, n=n: seen.append(1 // n))  # type: ignore[misc]
    turn()
    assert seen == [1, 0]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


def test_a_deadline_in_the_past_that_comes_again_leaves_others_their_turn() -> None:
    seen: list[str] = []
    deadlines = Deadlines(pytest.fail)  # type: ignore[arg-type]

    def again(_: float) -> None:
        seen.append("again")
        if len(seen) < 1000:
            deadlines.at(0.0, again)

    deadlines.at(0.0, again)
    deadlines.at(perf_counter(), lambda _: seen.append("other"))
    gevent.spawn(seen.append, "greenlet")
    turn(0.1)
    assert "other" in seen[:5] and "greenlet" in seen[:5]


def test_those_that_were_cancelled_take_no_room() -> None:
    deadlines = Deadlines(pytest.fail)  # type: ignore[arg-type]
    for _ in range(1000):
        deadlines.cancel(deadlines.at(perf_counter() + 60, pytest.fail))  # type: ignore[arg-type]
    assert len(deadlines) == 0
    assert len(deadlines._heap) < 200
