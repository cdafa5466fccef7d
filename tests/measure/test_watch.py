"""Checks that may abort a run: judged on the last seconds only, in their part of the run. Virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from audiencekit import NAME, Chat, Said

from sioload.measure.marks import Marks
from sioload.measure.recorder import Recorder
from sioload.report.checks import parse
from sioload.report.course import Course, Span
from sioload.report.evaluation import CheckResult
from sioload.report.merge import Swarm
from sioload.report.watch import Watch


class Second:
    """A run of one process, looked at once a second."""

    def __init__(self, *texts: str, phases: tuple[tuple[str, float], ...] = (), steady: float = 0.0) -> None:
        self.recorder, self.swarm, self.marks = Recorder(), Swarm(), Marks()
        self.now = 0.0
        spans, begin = [], 0.0
        for name, seconds in phases:
            spans.append(Span(name, begin, begin + seconds))
            begin += seconds
        checks = [parse(text) for text in texts]
        self.watch, self.course = Watch(checks, steady), Course(0.0, spans)
        self.marks.begin(0.0)
        self.swarm.windows.mark(self.course.boundaries(checks), 0.0)
        self.marks.know(self.swarm.windows.marks)

    def passes(self, *seconds: float, failures: int = 0) -> CheckResult | None:
        """One second with so many samples; the result that aborts."""
        for each in seconds:
            self.recorder.row("CALL", "echo").add(each)
        for _ in range(failures):
            self.recorder.row("CALL", "echo").fail("no")
        self.now += 1.0
        while self.marks.next is not None and self.marks.next <= self.now:
            cut = self.marks.cut(self.now, self.recorder.snapshot(0))
            self.swarm.take_cut("local", self.recorder.epoch, cut)
        figures: Any = self.swarm.take_local(self.recorder)
        return self.watch.feed(figures, self.course, now=self.now, users=37)


def test_an_hour_of_good_samples_does_not_hide_three_bad_seconds() -> None:
    run = Second("CALL: p50 < 100ms abort after 3s")
    assert not any(run.passes(*[0.01] * 100) for _ in range(60))
    assert [run.passes(1.0) for _ in range(2)] == [None] * 2, "most of those samples are good"
    result = run.passes(1.0)
    assert result is not None and not result.ok
    assert "p50 is 999.4 ms, not < 100 ms in the last 3s, at 37 users" in result.reason


def test_bad_seconds_are_forgotten_once_they_are_over() -> None:
    run = Second("CALL: fail_ratio < 50% abort after 3s")
    assert [run.passes(0.01, 0.01, failures=3) for _ in range(2)] == [None] * 2
    for _ in range(20):
        assert run.passes(*[0.01] * 10) is None


@pytest.mark.parametrize("check", ["CALL: failures == 0 abort after 4s", "CALL: count >= 1 abort after 4s"])
def test_no_samples_and_a_run_that_is_too_short_abort_nothing(check: str) -> None:
    run = Second(check)
    assert [run.passes() for _ in range(10)] == [None] * 10
    late = Second(check)
    assert [late.passes(failures=1) for _ in range(3)] == [None] * 3


def test_a_check_on_a_phase_is_watched_in_that_phase_only_and_after_its_beginning() -> None:
    text = "CALL: failures == 0 in peak after 2s abort after 2s"
    run = Second(text, phases=(("warmup", 5), ("peak", 10), ("rest", 5)))
    found = [run.passes(0.01, failures=1 if run.now < 7 else 0) for _ in range(14)]
    assert found == [None] * 14, "failures of the warm-up, and of the first two seconds"
    run = Second(text, phases=(("warmup", 5), ("peak", 10), ("rest", 5)))
    found = [run.passes(0.01, failures=1) for _ in range(20)]
    assert next(i for i, result in enumerate(found, 1) if result is not None) == 9, "2 s after the first 2 s"
    assert found[16:] == [None] * 4, "it is over"


def talking(run: Second) -> Callable[[bool], CheckResult | None]:
    """Three members of a room, and what a second does: a message, which one of them may miss."""
    chat = Chat(1, grace=2.0)
    chat.audiences = run.swarm.audiences
    users = [chat.user(0, f"user {number}") for number in range(3)]
    for user in users:
        chat.join(user, "lobby", 0.0)

    def passes(missed: bool) -> CheckResult | None:
        at = run.now + 0.5
        chat.said[f"{at}"] = Said("lobby", None, at)
        for user in users[missed:]:
            chat.arrive(f"{at}", user, at)
        chat.report(0, run.now + 1.0)
        return run.passes()

    return passes


def test_messages_to_rooms_belong_to_the_phase_in_which_they_were_heard() -> None:
    """They are judged twice the grace later: all that was missed in the warm-up, in the peak."""
    run = Second("FANOUT: missed == 0 in peak abort after 2s", phases=(("warmup", 9), ("peak", 15)))
    passes = talking(run)
    assert [passes(5 <= second < 9) for second in range(16)] == [None] * 16
    assert run.swarm.audiences.figures().names()[NAME].missed == 4
    found = [passes(True) for _ in range(7)]
    assert [result for result in found if result is not None], "those that were missed in the peak"


def test_messages_to_rooms_that_were_missed_long_ago_abort_nothing() -> None:
    passes = talking(Second("FANOUT: missed < 2 abort after 3s"))
    assert [passes(second % 4 == 0) for second in range(24)] == [None] * 24
    assert any(passes(True) for _ in range(9))


@pytest.mark.parametrize("text", ["CALL: rate > 5/s", "CALL: count >= 20 min_samples 0", "ledger: acked > 0"])
def test_rates_are_judged_over_the_time_in_which_every_worker_reports(text: str) -> None:
    run = Second(f"{text} abort after 1s", steady=6.0)

    def passes(samples: int) -> CheckResult | None:
        run.recorder.ledger.emits += samples
        run.recorder.ledger.acked += samples
        return run.passes(*[0.01] * samples)

    assert not any(passes(30 if second % 3 == 0 else 0) for second in range(30))
    if "rate" not in text:  # without samples a rate isn't judged
        assert any(passes(0) for _ in range(7)), "nothing comes any more"


def test_counts_that_are_to_be_low_are_judged_over_the_time_that_was_asked_for() -> None:
    run = Second("CALL: failures < 20 abort after 2s", steady=6.0)
    assert not any(run.passes(failures=9) for _ in range(10))


def test_what_only_the_whole_run_has_is_judged_as_it_is_now() -> None:
    run = Second("run: workers_lost == 0 abort after 3s", "ledger: open < 100 abort after 3s")
    run.swarm.take("w", Recorder("other").snapshot(0))
    for _ in range(5):
        run.recorder.ledger.emits += 15  # less than the limit in three seconds, but no answer ever comes
        assert run.passes() is None
    run.swarm.lost("w")
    lost = run.passes()
    assert lost is not None and lost.reason == "workers_lost is 1, not == 0, at 37 users"
    run = Second("ledger: open < 100 abort after 3s")
    run.recorder.ledger.emits += 30
    found = []
    for _ in range(6):
        run.recorder.ledger.emits += 15
        found.append(run.passes())
    assert found[:4] == [None] * 4 and found[4] is not None
    assert found[4].reason == "open is 105, not < 100, at 37 users"
