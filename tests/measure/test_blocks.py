"""Blocks of time against a reference that keeps each sample, on several processes; virtual time."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter

import pytest

from sioload.measure import packing
from sioload.measure.blocks import JOINED, MOST, Blocks, blocks_of
from sioload.measure.histogram import index
from sioload.measure.names import OTHER
from sioload.measure.recorder import Recorder
from sioload.report.document import report
from sioload.report.events import unpacked
from sioload.report.figures import Figures
from sioload.report.merge import Swarm

START = 1_800_000_000.3


Samples = list[tuple[float, str, float]]


def run(processes: int, seconds: int, chance: random.Random) -> tuple[list[Recorder], Samples]:
    """Processes that take what their rows counted about once a second, and all samples with their times."""
    recorders = [Recorder(f"epoch {number}") for number in range(processes)]
    samples: Samples = []
    for second in range(int(START), int(START) + seconds):
        for recorder in recorders:
            for _ in range(chance.randrange(4)):
                at, name = second + chance.random(), chance.choice(["echo", "join"])
                if at < START:
                    continue
                took = chance.expovariate(20)
                samples.append((at, name, took))
                row = recorder.row("CALL", name)
                if chance.random() < 0.1:
                    row.fail("no answer", took)
                else:
                    row.add(took)
            recorder.take(second + 1 + chance.uniform(-0.02, 0.02))
    return recorders, samples


@pytest.mark.parametrize(("processes", "seconds"), [(1, 15), (4, 90), (3, 3700)])
def test_blocks_add_up_over_processes_and_pairs_are_joined(processes: int, seconds: int) -> None:
    recorders, samples = run(processes, seconds, random.Random(seconds))
    swarm = Swarm()
    for number, recorder in enumerate(recorders):
        swarm.take(f"w{number}", recorder.snapshot(1))
        for _ in range(2):  # a report that is repeated changes nothing
            blocks = json.loads(json.dumps(recorder.blocks.encode()))
            swarm.take_blocks(f"w{number}", recorder.epoch, blocks)
    document = report(
        swarm.figures(), version="1", started=START, duration=seconds, host="http://x", peak_users=1
    )
    length = document["blocks"]["seconds"]
    number = document["blocks"]["number"]
    assert min(seconds, MOST // 2) - 3 <= number <= MOST
    assert (number - 1) * length <= seconds + 1 and seconds - 3 <= number * length
    begin = START + document["blocks"]["start_s"]
    for event in document["events"]:
        blocks = blocks_of(event["blocks"])
        wanted: dict[int, Counter[int]] = {}
        for at, name, took in samples:
            if name == event["name"]:
                found = wanted.setdefault(int((at - begin + 1e-6) // length), Counter())
                found[index(took) >> JOINED] += 1
        assert {number: Counter(block.buckets) for number, block in blocks.items()} == wanted
        assert sum(block.count for block in blocks.values()) == event["count"]
        assert sum(block.failures for block in blocks.values()) == event["failures"]
        joined: Counter[int] = Counter()
        for i, n in unpacked(event["histogram"]).items():
            joined[i >> JOINED] += n
        assert joined == sum((Counter(block.buckets) for block in blocks.values()), Counter())


def test_an_hour_with_fifty_rows_stays_small() -> None:
    chance, blocks = random.Random(1), Blocks()
    spread = Counter(index(chance.lognormvariate(-4, 1)) for _ in range(2000))
    for at in range(0, 3600, 90):
        for number in range(50):
            counts = {i: n + chance.randrange(9) for i, n in spread.items()}
            blocks.add(START + at, "CALL", f"event {number}", count=9, failures=0, counts=counts)
    assert sum(len(blocks.text(type, name)) for type, name in blocks.rows) < 2 << 20


def _figures(recorder: Recorder) -> Figures:
    swarm = Swarm()
    return swarm.take_local(recorder)


def test_a_reset_forgets_blocks_and_rows_that_share_a_name_have_none() -> None:
    recorder = Recorder()
    recorder.row("CALL", "echo").add(0.1)
    recorder.take(START)
    recorder.reset()
    recorder.foreign_row("GET", "/login").add(0.2)
    for number in range(300):
        recorder.row("RECV", f"event {number}").tick()
    assert all(delta.type == "RECV" for delta in recorder.take(START + 1))
    document = report(
        _figures(recorder), version="1", started=START, duration=1, host="http://x", peak_users=1
    )
    events = {(event["type"], event["name"]): event["blocks"] for event in document["events"]}
    assert ("CALL", "echo") not in events
    assert events["RECV", OTHER] == "" and events["GET", "/login"]
    assert [block.count for block in blocks_of(events["RECV", "event 0"]).values()] == [1]


@pytest.mark.parametrize("wrong", [3600.0, -3600.0])
def test_samples_lie_in_the_block_in_which_they_came_though_the_clock_was_set_just_before(
    wrong: float,
) -> None:
    """Of a worker that joins late, and learns the swarm's clock after its first report."""
    recorder = Recorder()
    recorder.take(START + wrong)
    recorder.row("CALL", "echo").add(0.1)
    recorder.take(START)
    recorder.row("CALL", "echo").add(0.1)
    recorder.take(START + 1)
    assert (recorder.blocks.begin, recorder.blocks.seconds) == (int(START), 1.0)


def test_what_is_no_blocks_is_refused() -> None:
    blocks = Blocks()
    blocks.add(10.0, "CALL", "echo", count=2, failures=1, counts={300: 2})
    text = blocks.text("CALL", "echo")
    assert blocks_of(text)[0].buckets == {300 >> JOINED: 2}
    for wrong in ("x", text[:-8], packing.packed([0, 1, 1]), packing.packed([0, 1, 1, 2, 5, 1])):
        with pytest.raises(ValueError):
            blocks_of(wrong)


def test_blocks_that_are_over_take_little_memory() -> None:
    """A long run would not be level otherwise: it takes an hour until all blocks have their buckets."""
    blocks = Blocks()
    tracemalloc.start()
    try:
        for second in range(MOST):
            blocks.add(
                START + second,
                "CALL",
                "echo",
                count=200,
                failures=0,
                counts={4 * i: 1 for i in range(1000, 1200)},
            )
        assert tracemalloc.get_traced_memory()[0] < MOST * 4000
    finally:
        tracemalloc.stop()
    assert sum(block.count for block in blocks.rows["CALL", "echo"].values()) == MOST * 200
