from __future__ import annotations

import contextvars
import socket
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.socket import wait_read

from sioload.net.turns import SPELL, Turns, give_way

crashes: list[BaseException] = []


@pytest.fixture
def turns() -> Turns:
    crashes.clear()
    return Turns(lambda: None, crashes.append)


def settle(done: Callable[[], bool]) -> None:
    with gevent.Timeout(5):
        while not done():
            gevent.sleep(0)


def test_calls_are_made_in_order_and_in_one_greenlet_while_none_blocks(turns: Turns) -> None:
    made: list[tuple[int, Any]] = []

    def note(n: int) -> None:
        made.append((n, gevent.getcurrent()))

    for n in range(5):
        turns.take(partial(note, n))
    assert not made
    settle(lambda: len(made) == 5)
    assert [n for n, _ in made] == [*range(5)]
    (greenlet,) = {greenlet for _, greenlet in made}
    assert greenlet is not gevent.getcurrent()
    settle(lambda: greenlet.dead)


def test_a_call_that_blocks_holds_up_nobody_else(turns: Turns) -> None:
    gate = Event()
    made: list[tuple[Any, Any]] = []

    def blocks(n: int) -> None:
        gate.wait()
        made.append((n, gevent.getcurrent()))

    for n in range(3):
        turns.take(partial(blocks, n))
        turns.take(partial(made.append, (f"quick {n}", None)))
    settle(lambda: len(made) == 3)
    assert [name for name, _ in made] == ["quick 0", "quick 1", "quick 2"]
    gate.set()
    settle(lambda: len(made) == 6)
    blocked = made[3:]
    assert [n for n, _ in blocked] == [0, 1, 2]
    assert len({greenlet for _, greenlet in blocked}) == 3
    settle(lambda: all(greenlet.dead for _, greenlet in blocked))


@pytest.mark.parametrize("end", [gevent.GreenletExit, ZeroDivisionError], ids=["exit", "error"])
def test_a_call_that_ends_its_greenlet_ends_no_other_call(
    turns: Turns, end: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []

    def ends() -> None:
        raise end

    for n in range(3):
        turns.take(ends)
        turns.take(partial(made.append, n))
    settle(lambda: len(made) == 3)
    assert made == [0, 1, 2]
    assert ("ZeroDivisionError" in capsys.readouterr().err) == (end is ZeroDivisionError)


def test_a_call_that_comes_while_others_are_made_is_made_too(turns: Turns) -> None:
    made: list[int] = []

    def more(n: int) -> None:
        made.append(n)
        if n < 10:
            turns.take(partial(more, n + 1))

    turns.take(partial(more, 0))
    settle(lambda: len(made) == 11)
    assert made == [*range(11)]


def test_what_a_call_left_in_its_context_is_none_of_the_next_ones(turns: Turns) -> None:
    of_whom: contextvars.ContextVar[int] = contextvars.ContextVar("of_whom", default=-1)
    found: list[int] = []

    def call(n: int) -> None:
        found.append(of_whom.get())
        of_whom.set(n)

    for n in range(3):
        turns.take(partial(call, n))
    settle(lambda: len(found) == 3)
    assert found == [-1, -1, -1]


def test_a_timeout_that_was_forgotten_hits_no_later_call(turns: Turns) -> None:
    made: list[str] = []

    def sleeps() -> None:
        gevent.sleep(0.02)
        made.append("slept")

    turns.take(lambda: gevent.Timeout(0.005).start())
    gevent.sleep(0)
    turns.take(sleeps)
    settle(lambda: bool(made))
    assert not crashes


def test_what_must_be_done_before_the_calls_is_done_before_each_turn_of_them() -> None:
    made: list[str] = []
    turns = Turns(partial(made.append, "before"), crashes.append)
    turns.take(partial(made.append, "call"))
    settle(lambda: len(made) == 2)
    turns.take(partial(made.append, "call"))
    settle(lambda: len(made) == 4)
    assert made == ["before", "call"] * 2


def test_a_defect_ends_with_its_turn() -> None:
    """It is told, and the calls that it kept from being made are made."""
    crashes.clear()
    faults, made = [MemoryError("no")], []

    def before() -> None:
        if faults:
            raise faults.pop()

    turns = Turns(before, crashes.append)
    turns.take(partial(made.append, 1))
    settle(lambda: bool(crashes))
    turns.take(partial(made.append, 2))
    settle(lambda: len(made) == 2)
    assert made == [1, 2] and isinstance(crashes[0], MemoryError)


def test_the_loop_goes_on_between_many_calls_that_compute(turns: Turns) -> None:
    """A timer that is due comes before the last of them, whatever they take together."""
    made: list[float] = []
    at_timer: list[int] = []

    def computes() -> None:
        until = perf_counter() + SPELL
        while perf_counter() < until:
            pass
        made.append(until)

    for _ in range(20):
        turns.take(computes)
    gevent.spawn_later(SPELL, lambda: at_timer.append(len(made)))
    settle(lambda: len(made) == 20)
    assert at_timer and at_timer[0] < 20


def test_who_waits_for_a_socket_goes_on_between_two_parts_of_long_work() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = gevent.spawn(wait_read, ours.fileno(), timeout=5)
        gevent.sleep(0.001)
        theirs.send(b"x")
        parts = 0
        while not reader.ready() and parts < 20:
            give_way()
            parts += 1
    assert reader.successful()
    assert parts < 5
