"""Parts of a run against a reference that keeps all samples, on several processes; virtual time."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure.histogram import Histogram, index
from sioload.measure.marks import AT_ONCE, Marks
from sioload.measure.population import MAX_KINDS
from sioload.measure.recorder import Recorder
from sioload.measure.rows import MAX_ERRORS, OTHER_ERRORS
from sioload.report.checks import parse
from sioload.report.course import Course, Span, unreached
from sioload.report.events import packed, unpacked
from sioload.report.figures import Figures, between
from sioload.report.merge import Swarm
from sioload.report.windows import UNPACKED, WAITING

BOUNDARIES = [10.0, 20.0, 25.0]


class Worker:
    """One process: a recorder, its marks, and a reference that keeps each sample with its time."""

    def __init__(self, name: str, now: float = 0.0, marks: list[float] | None = None) -> None:
        self.name, self.seq = name, 0
        self.recorder, self.marks = Recorder(f"epoch of {name}"), Marks()
        self.marks.begin(now)
        self.marks.know(BOUNDARIES if marks is None else marks)
        self.samples: list[tuple[float, str, float]] = []
        self.emits: list[tuple[float, str]] = []

    def until(self, now: float) -> None:
        """Time passes: cut at each boundary."""
        while self.marks.next is not None and self.marks.next <= now:
            snapshot = self.recorder.snapshot(0)
            self.recorder.population.cut()
            self.marks.cut(self.marks.next, msgpack.unpackb(msgpack.packb(snapshot), strict_map_key=False))

    def sample(self, now: float, name: str, seconds: float | None) -> None:
        self.until(now)
        row = self.recorder.row("CALL", name)
        self.recorder.ledger.emits += 1
        self.emits.append((now, "emits"))
        if seconds is None:
            row.fail("no answer", 1.0)
            seconds = 1.0
        else:
            row.add(seconds)
        self.recorder.ledger.end("acked")
        self.emits.append((now, "acked"))
        self.samples.append((now, name, seconds))

    def report(self, swarm: Swarm, now: float, *, confirmed: bool = True) -> None:
        self.until(now)
        self.seq += 1
        cuts = self.marks.unsent()
        for cut in cuts:
            swarm.take_cut(self.name, self.recorder.epoch, cut)
        snapshot = msgpack.packb(self.recorder.snapshot(self.seq))
        swarm.take(self.name, msgpack.unpackb(snapshot, strict_map_key=False), now)
        if confirmed:
            self.marks.confirmed([cut["mark"] for cut in cuts])


def counts(figures: Figures | None) -> dict[str, Counter[int]]:
    assert figures is not None
    return {row.name: Counter(row.times.counts) for row in figures.rows}


def reference(workers: list[Worker], begin: float, end: float) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {}
    for worker in workers:
        for now, name, seconds in worker.samples:
            if begin <= now < end:
                found.setdefault(name, Counter())[index(seconds)] += 1
    return found


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # the worker
        st.floats(0, 30, allow_nan=False).map(lambda t: round(t, 3)),
        st.sampled_from(["echo", "join", "message"]),
        st.one_of(st.none(), st.floats(1e-6, 700)),
        st.sampled_from(["", "", "report", "lost report"]),
    ),
    max_size=60,
)


@given(EVENTS, st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_windows_are_exactly_what_was_counted_between_their_boundaries(events: list, processes: int) -> None:
    swarm = Swarm()
    swarm.windows.mark(BOUNDARIES, 0.0)
    workers = [Worker(f"w{number}") for number in range(processes)]
    for number, now, name, seconds, then in sorted(events, key=lambda event: event[1]):
        worker = workers[number % processes]
        worker.sample(now, name, seconds)
        if then:
            worker.report(swarm, now, confirmed=then == "report")
    for worker in workers:
        worker.report(swarm, 30.0)
    figures = swarm.figures()
    edges = [-math.inf, *BOUNDARIES, math.inf]
    total: dict[str, Counter[int]] = {}
    for begin, end in pairwise(edges):
        part = between(figures, begin, end)
        assert part is not None
        assert counts(part) == reference(workers, begin, end)
        for row in part.rows:
            total.setdefault(row.name, Counter()).update(row.times.counts)
            assert row.failures <= row.count == sum(reference(workers, begin, end)[row.name].values())
        begun = [now for worker in workers for now, what in worker.emits if what == "emits"]
        assert part.ledger.emits == sum(begin <= now < end for now in begun)
    assert total == counts(figures)
    middle = between(figures, 10.0, 25.0)
    assert counts(middle) == reference(workers, 10.0, 25.0), "windows that follow each other are one part"


def test_a_lost_worker_counts_up_to_its_last_report_and_one_that_is_back_with_all() -> None:
    swarm = Swarm()
    swarm.windows.mark(BOUNDARIES, 0.0)
    well, lost = Worker("well"), Worker("lost")
    for worker in (well, lost):
        worker.sample(5, "echo", 0.01)
        worker.report(swarm, 6)
    lost.sample(8, "echo", 0.01)
    well.sample(12, "echo", 0.01)
    well.report(swarm, 13)
    swarm.lost("lost", 13)

    def parts() -> list[int]:
        edges = [-math.inf, *BOUNDARIES, math.inf]
        found = [between(swarm.figures(), *edge) for edge in pairwise(edges)]
        return [sum(row.count for row in part.rows) for part in found if part is not None]

    assert parts() == [2, 1], "what it hadn't reported is missing"
    well.report(swarm, 21)
    assert parts() == [2, 1, 0]
    lost.sample(22, "echo", 0.01)
    lost.report(swarm, 22)
    assert parts() == [3, 1, 1], "it is back, and tells what it had counted at each boundary"


def test_a_worker_that_joins_late_had_counted_nothing_before() -> None:
    swarm = Swarm()
    swarm.windows.mark(BOUNDARIES, 0.0)
    first, late = Worker("first"), Worker("late", 15.0)
    first.sample(5, "echo", 0.01)
    first.report(swarm, 16)
    late.sample(16, "echo", 0.02)
    late.report(swarm, 17)
    for worker in (first, late):
        worker.report(swarm, 26)
    figures = swarm.figures()
    assert [window.final for window in figures.windows] == [True] * 3
    assert counts(between(figures, 10.0, 20.0)) == reference([late], 10, 20)


def test_boundaries_may_be_set_while_the_run_goes_on_and_a_reset_forgets_those_that_are_over() -> None:
    swarm, worker = Swarm(), Worker("w", marks=[])
    worker.sample(1, "echo", 0.01)
    worker.report(swarm, 2)
    swarm.windows.mark([5.0], 0.0)
    worker.marks.know(swarm.windows.marks)
    worker.sample(6, "echo", 0.01)
    worker.report(swarm, 7)
    assert [sum(row.count for row in w.figures().rows) for w in swarm.figures().windows] == [1]
    swarm.reset()
    worker.recorder.reset()
    worker.marks.forget(8.0)
    swarm.windows.mark([5.0, 10.0], 8.0)
    worker.marks.know([5.0, 10.0])
    worker.sample(9, "echo", 0.01)
    worker.sample(11, "echo", 0.01)
    worker.report(swarm, 12)
    figures = swarm.figures()
    assert [(w.end, sum(row.count for row in w.figures().rows)) for w in figures.windows] == [(5, 0), (10, 1)]
    assert counts(between(figures, 10.0)) == reference([worker], 10, 99)


def test_hundreds_of_boundaries_are_packed_and_a_dead_worker_does_not_keep_them_open() -> None:
    marks = [float(second) for second in range(1, 201)]
    swarm = Swarm()
    swarm.windows.mark(marks, 0.0)
    alive, dead = Worker("alive", marks=marks), Worker("dead", marks=marks)
    dead.sample(0.5, "echo", 0.01)
    dead.report(swarm, 0.6)
    for second in range(200):
        alive.sample(second + 0.5, "echo", 0.001 * (second + 1))
        alive.report(swarm, second + 0.9)
    alive.until(201.0)
    while alive.marks.unsent():
        assert len(alive.marks.unsent()) <= AT_ONCE
        alive.report(swarm, 201.0)
    figures = swarm.figures()
    assert len(figures.windows) == 200
    assert sum(not window.final for window in figures.windows) == WAITING
    assert sum(window._figures is None for window in figures.windows) == 200 - WAITING - UNPACKED
    for number, window in enumerate(figures.windows):
        expected = Counter([index(0.001 * (number + 1))] + ([index(0.01)] if number == 0 else []))
        assert counts(window.figures()) == {"echo": expected}


@given(st.dictionaries(st.integers(0, 3700), st.integers(1, 2**40), max_size=50))
def test_a_histogram_as_text_is_read_back(buckets: dict[int, int]) -> None:
    times = Histogram()
    times.counts = buckets
    assert unpacked(packed(times)) == buckets
    for wrong in ("x", "eJwDAAAAAAE=!"):
        with pytest.raises(ValueError, match="no histogram"):
            unpacked(wrong)


def test_a_course_tells_phases_parts_and_what_was_never_reached() -> None:
    course = Course(
        100.0, [Span("warmup", 100, 105, 5), Span("peak", 105, 115, 9), Span("rest", 115, 120, 2)]
    )
    check = parse("CALL: p99 < 1s in peak after 2s")
    assert course.boundaries([check, parse("CALL: count > 1 after 3s")]) == [103, 105, 107, 115]
    assert course.part("peak", 2.0, 110.0) is not None
    name = [None if span is None else span.name for span in map(course.at, (100, 105, 119, 120))]
    assert name == ["warmup", "peak", "rest", None]
    swarm, worker = Swarm(), Worker("w", marks=[105.0, 115.0])
    swarm.windows.mark([105.0, 115.0], 100.0)
    worker.marks.begin(100.0)
    worker.marks.know([105.0, 115.0])
    worker.sample(104, "echo", 0.01)
    worker.recorder.ledger.emits += 1  # answered in the next phase
    worker.until(106)
    worker.recorder.ledger.end("acked")
    worker.sample(107, "echo", 0.02)
    worker.report(swarm, 110)
    phases: list[dict[str, Any]] = course.document(swarm.figures(), 110.0)
    assert [(phase["name"], phase["start_s"], phase["end_s"]) for phase in phases] == [
        ("warmup", 0.0, 5.0),
        ("peak", 5.0, 10.0),
    ]
    ledgers = [phase["ledger"] for phase in phases]
    assert [
        (each["emits"], each["acked"], each["open_at_start"], each["open_at_end"]) for each in ledgers
    ] == [
        (2, 1, 0, 1),
        (1, 2, 1, 0),
    ]
    assert [phase["events"][0]["count"] for phase in phases] == [1, 1]
    assert unpacked(phases[0]["events"][0]["histogram"]) == {index(0.01): 1}
    never = unreached(parse("CALL: p99 < 1s in rest"), ended=True)
    assert not never.ok and never.reason == "the run never reached the phase 'rest'"
    early = unreached(parse("CALL: p99 < 1s in rest after 2s"), ended=True)
    assert early.reason == "the run ended before 2s of the phase 'rest' had passed"


def test_rates_of_the_last_phase_are_over_all_the_time_that_is_counted_in_it() -> None:
    """Users go on until they are stopped: up to a second later, sessions until they are over."""
    course = Course(100.0, [Span("warmup", 100, 102, 5), Span("peak", 102, 104, 5)])
    swarm, worker = Swarm(), Worker("w", marks=[102.0])
    swarm.windows.mark([102.0], 100.0)
    worker.marks.begin(100.0)
    worker.marks.know([102.0])
    for number in range(1, 50):
        worker.sample(100 + number / 10, "echo", 0.01)
    worker.report(swarm, 105)
    warmup, peak = course.document(swarm.figures(), 105.0)
    assert (warmup["start_s"], warmup["end_s"], peak["end_s"]) == (0.0, 2.0, 4.0), "as the plan says"
    assert (warmup["seconds"], peak["seconds"]) == (2.0, 3.0)
    assert warmup["calls"]["count"] + peak["calls"]["count"] == 49
    for phase in (warmup, peak):
        assert phase["calls"]["rate"] == phase["events"][0]["rate"] == pytest.approx(10, abs=0.51)
    part = course.part("peak", 1.0, 105.0)
    assert part is not None and (part.since, part.until) == (103.0, 105.0)
    part = course.part("peak", 0.0, 103.0)
    assert part is not None and part.until == 103.0


def test_failures_of_more_kinds_than_are_told_apart_count_in_their_own_part() -> None:
    swarm = Swarm()
    swarm.windows.mark([10.0], 0.0)
    workers = [Worker(name, marks=[10.0]) for name in ("one", "other")]
    for worker in workers:
        for number in range(MAX_ERRORS):
            worker.recorder.row("CALL", "echo").fail(f"user {number} of {worker.name} is unknown")
        worker.until(10.0)
    workers[0].recorder.row("CALL", "echo").fail("user 7 of one is unknown")
    for worker in workers:
        worker.report(swarm, 12.0)
    figures = swarm.figures()
    assert figures.rows[0].errors[OTHER_ERRORS] == MAX_ERRORS
    parts = [between(figures, end=10.0), between(figures, begin=10.0)]
    assert [part and [(row.count, row.failures) for row in part.rows] for part in parts] == [
        [(2 * MAX_ERRORS, 2 * MAX_ERRORS)], [(1, 1)],
    ]  # fmt: skip


def test_exceptions_of_more_kinds_than_are_told_apart_count_in_their_own_part() -> None:
    swarm = Swarm()
    swarm.windows.mark([10.0], 0.0)
    workers = [Worker(name, marks=[10.0]) for name in ("one", "other")]
    for worker in workers:
        worker.report(swarm, 1.0)
        for number in range(MAX_KINDS - 10):
            worker.recorder.population.raised("ValueError", f"{worker.name}.py:{number}", "")
        worker.until(10.0)
    workers[0].recorder.population.raised("ValueError", "one.py:7", "")
    for worker in reversed(workers):
        worker.report(swarm, 12.0)
    parts = [between(swarm.figures(), end=10.0), between(swarm.figures(), begin=10.0)]
    raised = [sum(n for n, _ in part.population.exceptions.values()) for part in parts if part is not None]
    assert raised == [2 * (MAX_KINDS - 10), 1]


def test_receivers_behind_are_those_at_the_end_of_a_part() -> None:
    swarm, worker = Swarm(), Worker("w", marks=[10.0, 20.0])
    swarm.windows.mark([10.0, 20.0], 0.0)
    steady, broken = (worker.recorder.delivery.receiver() for _ in range(2))
    for second in range(30):
        worker.until(second)
        steady.seen("news", "s", second)
        if not 3 <= second < 13 and second < 23:
            broken.seen("news", "s", second)
        for _ in worker.recorder.delivery.survey(second):
            pass
        worker.report(swarm, second)

    def behind(begin: float, end: float) -> int:
        part = between(swarm.figures(), begin, end)
        assert part is not None
        return part.delivery["news"].behind

    edges = [-math.inf, 10.0, 20.0, math.inf]
    assert [behind(*edge) for edge in pairwise(edges)] == [1, 0, 1]
    assert [behind(-math.inf, 20.0), behind(10.0, math.inf), behind(-math.inf, math.inf)] == [0, 1, 1]


def test_bytes_connections_pushes_and_skipped_starts_belong_to_their_part() -> None:
    swarm, workers = Swarm(), [Worker("a"), Worker("b")]
    swarm.windows.mark(BOUNDARIES, 0.0)
    receivers = [worker.recorder.delivery.receiver() for worker in workers]
    for at, number in ((5.0, 1), (15.0, 10), (22.0, 100), (30.0, 1000)):
        for worker, receiver in zip(workers, receivers, strict=True):
            worker.until(at)
            recorder = worker.recorder
            recorder.bytes_sent += number
            recorder.bytes_received += 2 * number
            recorder.row("CALL", "paced").skipped += number
            recorder.connections.open("websocket")
            receiver.seen("news", "s", int(at))
    for worker in workers:
        worker.report(swarm, 31.0)
    figures = swarm.figures()
    for begin, end, sent, pushes in (
        (-math.inf, 10.0, 1, 1), (10.0, 20.0, 10, 1), (20.0, 25.0, 100, 1), (10.0, 25.0, 110, 2),
        (-math.inf, 25.0, 111, 3), (25.0, math.inf, 1000, 1), (-math.inf, math.inf, 1111, 4),
    ):  # fmt: skip
        part = between(figures, begin, end)
        assert part is not None
        assert (part.bytes_sent, part.bytes_received) == (2 * sent, 4 * sent)
        assert [row.skipped for row in part.rows] == [2 * sent]
        assert part.connections.opened == part.delivery["news"].received == 2 * pushes
