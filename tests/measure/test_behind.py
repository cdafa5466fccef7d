"""Receivers that fall silent behind others are counted, the same however they are spread over processes."""

from __future__ import annotations

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure import behind as module
from sioload.measure.behind import COMPARED, Comparison
from sioload.measure.recorder import Recorder
from sioload.report.merge import Swarm

#: Of one receiver: its process, its stream, the second of its first push and that of its last.
RECEIVERS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["a", ("room", 1)]), st.integers(0, 4), st.integers(4, 12)),
    min_size=1, max_size=12,
)  # fmt: skip
END = 12


def measured(plan: list[tuple[int, object, int, int]], processes: int, late: float = 0.0) -> int:
    """A number a second in each stream, as the plan has it; how many are behind in the end."""
    recorders = [Recorder(f"process {n}") for n in range(processes)]
    receivers = [recorders[process % processes].delivery.receiver() for process, *_ in plan]
    for second in range(END + 1):
        for receiver, (_, stream, first, last) in zip(receivers, plan, strict=True):
            if first <= second <= last:
                receiver.seen("news", stream, second)
        for n, recorder in enumerate(recorders):
            for _ in recorder.delivery.survey(second + late * n):
                pass
    swarm = Swarm()
    for n, recorder in enumerate(recorders):
        swarm.take(f"worker {n}", msgpack.unpackb(msgpack.packb(recorder.snapshot(1)), strict_map_key=False))
    return swarm.figures().delivery["news"].behind


def expected(plan: list[tuple[int, object, int, int]]) -> int:
    """Those that got nothing for two seconds, though another had got more before these."""
    found = 0
    for _, stream, _, last in plan:
        others = [min(other[3], END - 2) for other in plan if other[1] == stream]
        found += last <= END - 2 and last < max(others)
    return found


@settings(deadline=None, database=None)
@given(RECEIVERS, st.integers(1, 4))
def test_any_spread_over_processes_counts_the_same(
    plan: list[tuple[int, object, int, int]], processes: int
) -> None:
    assert measured(plan, processes) == measured(plan, 1) == expected(plan)


def test_who_goes_on_getting_pushes_is_not_behind_whatever_their_numbers() -> None:
    recorder = Recorder()
    early, late, again = (recorder.delivery.receiver() for _ in range(3))
    for second in range(10):
        early.seen("news", "s", 1000 + second)
        late.seen("news", "s", second)  # a server that counts for each receiver by itself
        again.seen("news", "s", 2000 if second == 0 else second)  # and one that begins anew after a reconnect
        for _ in recorder.delivery.survey(second):
            pass
    assert recorder.delivery.comparison.behind("news") == 0


def test_who_left_is_not_behind_and_nothing_is_behind_after_a_reset() -> None:
    recorder = Recorder()
    left, silent, other = (recorder.delivery.receiver() for _ in range(3))
    for second in range(10):
        for receiver in (left, silent, other) if second < 2 else (other,):
            receiver.seen("news", "s", second)
        if second == 5:
            left.close()
        for _ in recorder.delivery.survey(second):
            pass
    assert recorder.delivery.comparison.behind("news") == 1
    recorder.reset()
    assert recorder.delivery.comparison.behind("news") == 0 and recorder.snapshot(1)["streams"] == {}


def test_a_survey_that_was_overtaken_changes_nothing() -> None:
    recorder = Recorder()
    receivers = [recorder.delivery.receiver() for _ in range(1200)]
    for receiver in receivers:
        receiver.seen("news", "s", 1)
    old = recorder.delivery.survey(0.0)
    next(old)
    assert len(list(recorder.delivery.survey(0.0))) == 2
    before = recorder.delivery.comparison
    assert list(old) == [] and recorder.delivery.comparison is before


def test_no_more_streams_are_sent_than_compared_and_all_processes_choose_the_same() -> None:
    one, other, both = Comparison(), Comparison(), Comparison()
    for n in range(3 * COMPARED):
        digest = n * 2_654_435_761 % 2**32
        for comparison in (one if n % 2 else other, both):
            comparison.add("news", digest, 10, {n % 20: 1})
    merged = Comparison()
    for part in (other, one):
        data = part.encode()
        assert len(data["news"]) <= COMPARED
        merged.merge(data)
    assert 0 < merged.behind("news") == both.behind("news") < COMPARED


def test_silence_is_two_seconds() -> None:
    """What the manual and `sioload.on` say."""
    assert module.SILENT == 2.0
