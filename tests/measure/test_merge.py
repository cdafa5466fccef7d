from __future__ import annotations

import random
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure.histogram import Histogram
from sioload.measure.names import OTHER
from sioload.measure.recorder import MAX_NAMES, Recorder
from sioload.measure.rows import Totals
from sioload.report.figures import Figures
from sioload.report.merge import Swarm


def sent(recorder: Recorder, seq: int) -> dict[str, Any]:
    """A snapshot as the master gets it."""
    snapshot: dict[str, Any] = msgpack.unpackb(msgpack.packb(recorder.snapshot(seq)))
    return snapshot


def plain(figures: Figures) -> dict[str, Any]:
    """All figures in comparable form."""
    return {
        "rows": [{**row.encode(), "times": _times(row.times),
                  "failed": {kind: _times(times) for kind, times in sorted(row.failed.items())}}
                 for row in figures.rows],
        "ledger": figures.ledger.encode(),
        "connections": figures.connections.encode(),
        "delivery": {name: counts.encode() for name, counts in sorted(figures.delivery.items())},
        "bytes": (figures.bytes_sent, figures.bytes_received),
    }  # fmt: skip


def _times(times: Histogram) -> tuple[dict[int, int], int]:
    return dict(sorted(times.counts.items())), times.sum_ticks


samples = st.tuples(st.sampled_from(["echo", "message"]), st.floats(0, 700), st.booleans())
runs = st.lists(st.lists(st.lists(samples, max_size=8), min_size=1, max_size=5), min_size=1, max_size=4)


def record(recorder: Recorder, batch: list[tuple[str, float, bool]]) -> None:
    receiver = recorder.delivery.receiver()
    for name, seconds, ok in batch:
        row = recorder.row("CALL", name)
        recorder.ledger.emits += 1
        if ok:
            row.add(seconds)
            recorder.ledger.end("acked")
        else:
            row.fail("no", seconds)
            recorder.ledger.end("timeout")
        receiver.seen(name, "s", int(seconds))
        recorder.bytes_sent += 10
    recorder.connections.open("websocket")


@settings(deadline=None, database=None)
@given(runs, st.randoms(use_true_random=False))
def test_dropped_repeated_and_reordered_snapshots_change_nothing(
    workers: list[list[list[tuple[str, float, bool]]]], rng: random.Random
) -> None:
    clean, messy = Swarm(), Swarm()
    arrivals = []
    whole: dict[str, Histogram] = {}
    for number, batches in enumerate(workers):
        recorder = Recorder(f"epoch {number}")
        for seq, batch in enumerate(batches, 1):
            record(recorder, batch)
            for name, seconds, _ in batch:
                whole.setdefault(name, Histogram()).add(seconds)
            snapshot = sent(recorder, seq)
            assert clean.take(f"w{number}", snapshot)
            if rng.random() < 0.5:
                clean.figures()  # each snapshot adds to what is merged by then
            last = seq == len(batches)
            copies = rng.choice([1, 2, 3]) if last else rng.choice([0, 1, 2])
            arrivals += [(f"w{number}", snapshot)] * copies
    rng.shuffle(arrivals)
    for worker, snapshot in arrivals:
        messy.take(worker, snapshot)
        if rng.random() < 0.5:
            messy.figures()
    assert plain(messy.figures()) == plain(clean.figures())
    merged = {row.name: row.times for row in messy.figures().rows}
    assert merged == whole, "merged workers equal one histogram of all samples, count for count"
    assert {n: h.percentiles() for n, h in merged.items()} == {n: h.percentiles() for n, h in whole.items()}


def test_a_repeated_snapshot_is_not_new() -> None:
    swarm, recorder = Swarm(), Recorder("w")
    old, new = sent(recorder, 1), sent(recorder, 2)
    assert swarm.take("w", new)
    assert not swarm.take("w", new)
    assert not swarm.take("w", old)


def test_a_restarted_worker_adds_to_what_it_had_reported_before() -> None:
    swarm = Swarm()
    first = Recorder("pid 1")
    first.row("CALL", "echo").add(0.1)
    first.connections.open("websocket")
    assert swarm.take("w", sent(first, 7))
    swarm.lost("w", now=1.0)
    second = Recorder("pid 2")
    second.row("CALL", "echo").add(0.3)
    assert swarm.take("w", sent(second, 1))
    assert not swarm.take("w", sent(first, 7))
    figures = swarm.figures()
    assert [row.count for row in figures.rows] == [2]
    assert figures.connections.current == {}, "the first process's connections died with it"
    assert [loss.worker for loss in figures.lost] == ["w"], "a restart doesn't undo the loss"


def test_a_last_report_of_the_process_before_a_restart_counts_though_it_comes_late() -> None:
    swarm, first, second = Swarm(), Recorder("pid 1"), Recorder("pid 2")
    swarm.take("w", sent(first, 1))
    second.connections.open("websocket")
    swarm.take("w", sent(second, 1))
    first.row("CALL", "echo").add(0.1)
    first.connections.open("polling")
    assert swarm.take("w", sent(first, 2))
    figures = swarm.figures()
    assert [row.count for row in figures.rows] == [1]
    assert figures.connections.current == {"websocket": 1}


def test_a_lost_worker_is_named_with_what_is_unreported() -> None:
    swarm, recorder = Swarm(), Recorder("pid 1")
    recorder.connections.open("websocket")
    swarm.take("alpha", sent(recorder, 1), now=10.0)
    loss = swarm.lost("alpha", now=12.5)
    assert str(loss) == "worker alpha was lost with up to 2.5 s of its samples unreported"
    assert swarm.figures().connections.current == {}
    assert "never reported" in str(swarm.lost("beta", now=12.5))
    assert [loss.worker for loss in swarm.figures().lost] == ["alpha", "beta"]


def test_a_worker_that_comes_back_with_all_its_counts_is_lost_no_more() -> None:
    swarm, recorder = Swarm(), Recorder("pid 1")
    swarm.take("w", sent(recorder, 1))
    swarm.lost("w", now=5.0)
    assert len(swarm.figures().lost) == 1
    recorder.row("CALL", "echo").add(0.1)
    assert swarm.take("w", sent(recorder, 2))
    assert swarm.figures().lost == []
    assert swarm.figures().rows[0].count == 1


def test_snapshots_from_before_a_reset_are_stale() -> None:
    swarm, recorder = Swarm(), Recorder("w")
    recorder.row("CALL", "echo").add(0.1)
    swarm.take("w", sent(recorder, 1))
    swarm.reset()
    assert swarm.figures().rows == []
    assert not swarm.take("w", sent(recorder, 2))
    recorder.reset()
    recorder.row("CALL", "echo").add(0.2)
    assert swarm.take("w", sent(recorder, 3))
    assert swarm.figures().rows[0].times.max == pytest.approx(0.2)


def test_the_swarm_has_no_more_names_than_one_process_and_loses_no_sample() -> None:
    snapshots = []
    for w in range(3):
        recorder = Recorder(f"w{w}")
        for seq, counted in enumerate((range(0, 150, 7), range(150)), 1):
            for n in counted:
                recorder.row("RECV", f"event {w} {n}").tick(n + 1)
            recorder.row("DISCONNECT", "transport close").tick()
            snapshots.append((f"w{w}", sent(recorder, seq)))
    results = []
    for order in (snapshots, snapshots[::-1]):
        swarm = Swarm()
        for worker, snapshot in order:
            swarm.take(worker, snapshot)
            swarm.figures()
        results.append(swarm.figures())
    for figures in results:
        names = {row.name for row in figures.rows}
        assert len(names) <= MAX_NAMES
        assert {"transport close", OTHER, "event 0 149", "event 2 149"} <= names
        assert sum(row.count for row in figures.rows if row.type == "RECV") == 3 * (
            sum(range(1, 151)) + sum(range(1, 151, 7))
        )
    assert [(r.name, r.count) for r in results[0].rows] == [(r.name, r.count) for r in results[1].rows]


def test_rows_of_labelled_users_are_named_for_any_number_of_labels() -> None:
    """Names that a closed set bounds without a label are as many times more with it."""
    recorder = Recorder()
    for label in "abcdefgh":
        fixed = {"DIAL": "tcp", "OPEN": "polling", "UPGRADE": "websocket", "HEARTBEAT": "pong"}
        for type, name in fixed.items():
            recorder.row(type, f"{name} @{label}").add(0.01)
        recorder.row("DISCONNECT", f"client @{label}").tick()
    for worker in (True, False):
        swarm = Swarm()
        if worker:
            swarm.take("w", sent(recorder, 1))
        else:
            swarm.take_local(recorder)
        assert {(row.type, row.name) for row in swarm.figures().rows} == recorder.rows.keys()


def test_rows_come_in_the_order_of_their_types() -> None:
    swarm, recorder = Swarm(), Recorder()
    for type, name in (("DISCONNECT", "client"), ("CALL", "b"), ("CALL", "a"), ("OPEN", "polling")):
        recorder.row(type, name).tick()
    swarm.take("local", recorder.snapshot(1))
    found = [(row.type, row.name) for row in swarm.figures().rows]
    assert found == [("OPEN", "polling"), ("CALL", "a"), ("CALL", "b"), ("DISCONNECT", "client")]


def test_a_run_without_workers_gives_the_same_figures_as_one_worker() -> None:
    swarm, local, recorder = Swarm(), Swarm(), Recorder()
    for seq in range(1, 4):
        record(recorder, [("echo", 0.1, True), ("echo", 0.2, False), ("message", 700.0, True)])
        swarm.take("w", sent(recorder, seq))
        assert plain(local.take_local(recorder)) == plain(swarm.figures())
    recorder.reset()
    local.reset()
    record(recorder, [("echo", 0.5, True)])
    assert [row.count for row in local.take_local(recorder).rows] == [1]


def test_merging_leaves_what_processes_reported_as_it_was() -> None:
    swarm = Swarm()
    for worker in ("a", "b"):
        recorder = Recorder(worker)
        record(recorder, [("echo", 0.1, True), ("echo", 0.2, False)])
        swarm.take(worker, sent(recorder, 1))
    first = plain(swarm.figures())
    swarm.take("c", sent(Recorder("c"), 1))
    assert plain(swarm.figures())["rows"] == first["rows"]
    assert [row.count for row in swarm.figures().rows] == [4]


def test_what_workers_sent_adds_up_as_what_they_counted_does() -> None:
    swarm, expected = Swarm(), Totals("CALL", "echo")
    for n, worker in enumerate(("a", "b", "c")):
        recorder = Recorder(worker)
        row = recorder.row("CALL", "echo")
        for times in range(n + 1):
            row.add(0.1 * (times + 1))
            row.fail(f"fault of {worker}")
        row.fail("fault of all", 3.0)
        row.skipped, row.bytes = n, 10 * n
        if n:
            row.service(0.01 * n)
        expected.merge(row.totals())
        swarm.take(worker, sent(recorder, 1))
    (merged,) = swarm.figures().rows
    assert merged.encode() == expected.encode()
    assert merged.service is not None and merged.service.total == 2


def test_rows_that_share_a_name_count_once_whatever_came_between() -> None:
    """The master gives rows for which there is no room one name, and a row may count before an older one."""
    swarm, recorder, whole = Swarm(), Recorder("w"), Histogram()
    early, late = recorder.row("CALL", "early"), recorder.row("CALL", "late")
    for seq, (row, seconds) in enumerate(
        ((late, 3.0), (late, 0.2), (early, 0.1), (late, 0.3), (early, 5.0)), 1
    ):
        row.fail("no", seconds) if seconds > 1 else row.add(seconds)
        whole.add(seconds)
        snapshot = sent(recorder, seq)
        for each in snapshot["rows"]:
            each["name"] = OTHER
        swarm.take("w", snapshot)
        (merged,) = swarm.figures().rows
        assert (merged.times, merged.count) == (whole, seq)
    assert merged.errors == {"no": 2}


def test_figures_are_kept_until_something_changes() -> None:
    swarm, recorder = Swarm(), Recorder()
    swarm.take("local", recorder.snapshot(1))
    assert swarm.figures() is swarm.figures()
    before = swarm.figures()
    swarm.take("local", recorder.snapshot(2))
    assert swarm.figures() is not before


def test_a_worker_of_another_version_is_named_and_nothing_is_guessed() -> None:
    swarm, recorder = Swarm(), Recorder()
    for seq in (1, 2):
        assert not swarm.take("old", {**sent(recorder, seq), "schema": 99})
    assert swarm.figures().internal_errors == [
        "worker old runs another version of sioload; its figures are missing"
    ]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [([None], 0.0), ([0.001, 0.004, 0.002], 0.006), ([0.001, None], None)],
)
def test_the_clock_error_is_that_between_the_two_worst_processes(
    errors: list[float | None], expected: float | None
) -> None:
    swarm = Swarm()
    for n, error in enumerate(errors):
        recorder = Recorder(f"w{n}")
        recorder.clock_error = error
        swarm.take(f"w{n}", sent(recorder, 1))
    assert swarm.figures().clock_error == (None if expected is None else pytest.approx(expected))
