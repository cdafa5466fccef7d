from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.hub import get_hub

from sioload.client.emits import Emit
from sioload.errors import UnexpectedReply
from sioload.measure.ledger import Ledger
from sioload.measure.rows import Row
from sioload.net.wakeups import Wakeups, Woken

crashes: list[BaseException] = []


@pytest.fixture
def wakeups() -> Wakeups:
    crashes.clear()
    return Wakeups(crashes.append)


def connection(wakeups: Wakeups) -> Woken:
    return Woken(wakeups, lambda: None)


def emit(wakeups: Wakeups) -> Emit:
    return Emit(
        Ledger(), connection(wakeups), Row("CALL", "echo"), "/", "echo", 0.0, 0.0, False, float("inf")
    )


def in_hub(*steps: Any) -> None:
    """Take steps in one turn of the loop, and all that follows of them."""

    def take() -> None:
        for step in steps:
            step()

    get_hub().loop.run_callback(take)
    gevent.sleep(0.02)


def test_scripts_go_on_in_order_once_all_answers_were_read(wakeups: Wakeups) -> None:
    seen: list[Any] = []
    entries = [emit(wakeups) for _ in range(3)]

    def script(entry: Emit) -> None:
        seen.append(entry.wait(get_hub()))

    for entry in entries:
        gevent.spawn(script, entry)
    gevent.sleep(0)

    def read(n: int) -> None:
        entries[n].answer([n], 0.1, 10)
        seen.append(f"read {n}")

    in_hub(lambda: read(2), lambda: read(0), lambda: read(1))
    assert seen == ["read 2", "read 0", "read 1", 2, 0, 1]
    assert not crashes


@pytest.mark.parametrize("end", [gevent.GreenletExit(), gevent.Timeout()], ids=["killed", "timeout"])
def test_who_stopped_waiting_meanwhile_is_left_alone(wakeups: Wakeups, end: BaseException) -> None:
    """Its answer was read; before it could go on, something else ended its wait, and it sleeps elsewhere."""
    seen: list[str] = []
    entry = emit(wakeups)

    def script() -> None:
        try:
            entry.wait(get_hub())
        except (gevent.GreenletExit, gevent.Timeout):
            entry.waiter = None
            gevent.sleep(0.005)
            seen.append("slept to its end")

    greenlet = gevent.spawn(script)
    gevent.sleep(0)
    in_hub(lambda: greenlet.kill(end, block=False), lambda: entry.answer([1], 0.1, 10))
    assert seen == ["slept to its end"]
    assert not crashes


def test_an_answer_before_its_script_waits_and_an_end_after_the_answer(wakeups: Wakeups) -> None:
    entry = emit(wakeups)
    in_hub(lambda: entry.answer([7], 0.1, 10), lambda: entry.end("timeout", "no ack in time", 0.2))
    assert entry.wait(get_hub()) == 7


def test_one_that_cannot_be_resumed_holds_up_nobody(wakeups: Wakeups) -> None:
    seen: list[int] = []

    class Broken:
        def resume(self) -> None:
            raise UnexpectedReply("no")

    class Sound:
        def resume(self) -> None:
            seen.append(1)

    broken, sound = connection(wakeups), connection(wakeups)
    in_hub(lambda: broken.add(Broken()), lambda: sound.add(Sound()))
    assert seen == [1]
    assert [str(error) for error in crashes] == ["no"]


def test_those_of_one_connection_go_on_before_what_comes_next_on_it(wakeups: Wakeups) -> None:
    seen: list[Any] = []
    mine, others = connection(wakeups), connection(wakeups)

    class One:
        def __init__(self, name: str) -> None:
            self.name = name

        def resume(self) -> None:
            seen.append(self.name)

    in_hub(
        lambda: mine.add(One("mine")),
        lambda: others.add(One("other's")),
        lambda: mine.add(One("mine too")),
        mine.go_on,
        lambda: seen.append("next on mine"),
        lambda: mine.add(One("mine again")),
    )
    assert seen == ["mine", "mine too", "next on mine", "mine again", "other's"]
