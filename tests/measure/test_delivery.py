from __future__ import annotations

import random

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure import delivery as module
from sioload.measure.delivery import MAX_GAPS, Delivery, DeliveryCounts


def counted(numbers: list[int], delivery: Delivery | None = None) -> DeliveryCounts:
    delivery = delivery or Delivery()
    receiver = delivery.receiver()
    for number in numbers:
        receiver.seen("news", "s", number)
    return delivery.of("news")


@pytest.mark.parametrize(
    ("numbers", "expected", "lost", "duplicated", "reordered"),
    [
        ([1, 2, 3], 3, 0, 0, 0),
        ([500, 501], 2, 0, 0, 0),
        ([1, 2, 5], 5, 2, 0, 0),
        ([1, 3, 2], 3, 0, 0, 1),
        ([2, 1, 3], 3, 0, 0, 1),
        ([3, 1, 4], 4, 1, 0, 1),
        ([1, 2, 2, 1], 2, 0, 2, 0),
        ([1, 4, 2, 2, 3], 4, 0, 1, 2),
        ([1, 6, 4, 4, 8], 8, 4, 1, 1),
        ([0], 1, 0, 0, 0),
        ([-3, -1], 3, 1, 0, 0),
        ([5000, 1], 1, 0, 1, 0),
    ],
)
def test_sequences_are_judged(
    numbers: list[int], expected: int, lost: int, duplicated: int, reordered: int
) -> None:
    counts = counted(numbers)
    found = (counts.expected, counts.lost, counts.duplicated, counts.reordered)
    assert found == (expected, lost, duplicated, reordered)
    assert counts.received == counts.expected - counts.lost


@settings(deadline=None, database=None)
@given(
    st.integers(1, 200),
    st.sets(st.integers(2, 199), max_size=30),
    st.lists(st.integers(1, 200), max_size=20),
    st.randoms(use_true_random=False),
)
def test_a_known_plan_of_drops_repeats_and_swaps_is_reported_exactly(
    length: int, dropped: set[int], repeated: list[int], rng: random.Random
) -> None:
    sent = [n for n in range(1, length + 1) if n == length or n not in dropped]
    lost = length - len(sent)
    # Swap some neighbours, keeping the first and the last where they are.
    swaps, i = 0, 1
    while i < len(sent) - 2:
        if rng.random() < 0.2:
            sent[i], sent[i + 1] = sent[i + 1], sent[i]
            swaps += 1
            i += 1
        i += 1
    duplicates = 0
    arrivals = []
    for n in sent:
        arrivals.append(n)
        for _ in range(repeated.count(n)):
            arrivals.append(n)
            duplicates += 1
    counts = counted(arrivals)
    assert counts.encode() == {
        "expected": length, "received": length - lost, "lost": lost, "duplicated": duplicates,
        "reordered": swaps, "reconnect_gaps": 0, "unchecked": 0, "behind": 0,
    }  # fmt: skip


def test_receivers_and_streams_are_apart() -> None:
    delivery = Delivery()
    early, late = delivery.receiver(), delivery.receiver()
    for number in (1, 2, 3):
        early.seen("news", "a", number)
    late.seen("news", "a", 3)
    late.seen("news", "b", 77)
    late.seen("sport", "a", 9)
    late.seen("sport", "a", 11)
    assert delivery.of("news").encode() | {"lost": 0, "expected": 5} == delivery.of("news").encode()
    assert delivery.of("sport").lost == 1


def test_what_an_outage_missed_is_told_apart_from_losses() -> None:
    delivery = Delivery()
    receiver = delivery.receiver()
    for number in (1, 2, 4):
        receiver.seen("news", "s", number)
    receiver.reconnected()
    for number in (10, 12):
        receiver.seen("news", "s", number)
    counts = delivery.of("news")
    assert (counts.lost, counts.reconnect_gaps, counts.expected, counts.received) == (2, 5, 7, 5)


def test_an_outage_that_missed_nothing_leaves_no_excuse_for_later_gaps() -> None:
    delivery = Delivery()
    receiver = delivery.receiver()
    receiver.seen("news", "s", 1)
    receiver.reconnected()
    receiver.seen("news", "s", 2)
    receiver.seen("news", "s", 4)
    assert (delivery.of("news").lost, delivery.of("news").reconnect_gaps) == (1, 0)


def test_pushes_recovered_after_an_outage_are_no_gap() -> None:
    delivery = Delivery()
    receiver = delivery.receiver()
    receiver.seen("news", "s", 1)
    receiver.reconnected()
    for number in (4, 2, 3, 5):
        receiver.seen("news", "s", number)
    counts = delivery.of("news")
    assert (counts.reconnect_gaps, counts.lost, counts.expected, counts.received) == (0, 0, 5, 5)
    assert counts.reordered == 2


def test_memory_is_bounded_and_old_gaps_stay_lost() -> None:
    delivery = Delivery()
    receiver = delivery.receiver()
    for number in range(0, 20_000, 2):
        receiver.seen("news", "s", number)
    (track,) = receiver._tracks.values()
    assert len(track.gaps or ()) <= MAX_GAPS
    counts = delivery.of("news")
    assert (counts.lost, counts.expected, counts.received) == (9_999, 19_999, 10_000)
    receiver.seen("news", "s", 10**15)
    assert counts.expected == 10**15 + 1


def test_splitting_gaps_stays_bounded() -> None:
    delivery = Delivery()
    receiver = delivery.receiver()
    receiver.seen("news", "s", 0)
    receiver.seen("news", "s", 1000)
    for number in range(2, 1000, 2):
        receiver.seen("news", "s", number)
        (track,) = receiver._tracks.values()
        assert len(track.gaps or ()) <= MAX_GAPS
    counts = delivery.of("news")
    assert counts.received + counts.lost == counts.expected == 1001


def test_streams_beyond_the_limit_are_counted_as_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TRACKS", 3)
    delivery = Delivery()
    first, second = delivery.receiver(), delivery.receiver()
    for stream in range(3):
        first.seen("news", stream, 1)
    second.seen("news", 0, 1)
    assert delivery.of("news").unchecked == 1
    first.close()
    first.close()
    assert delivery.tracks == 0
    second.seen("news", 0, 2)
    assert delivery.of("news").received == 4


def test_after_a_reset_nothing_from_before_is_owed() -> None:
    delivery = Delivery()
    receiver, closed = delivery.receiver(), delivery.receiver()
    for number in (1, 4):
        receiver.seen("news", "s", number)
        closed.seen("news", "s", number)
    delivery.reset()
    closed.close()
    for number in (9, 10):
        receiver.seen("news", "s", number)
    assert (
        delivery.of("news").encode() | {"expected": 2, "received": 2, "lost": 0}
        == delivery.of("news").encode()
    )
    assert delivery.tracks == 1
    receiver.close()
    assert delivery.tracks == 0


@pytest.mark.parametrize("number", [True, 1.0, "1", None, 1 << 60, -(1 << 60)])
def test_a_number_that_does_not_count_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        Delivery().receiver().seen("news", "s", number)  # type: ignore[arg-type]


def test_a_stream_that_cannot_be_hashed_is_refused() -> None:
    with pytest.raises(TypeError):
        Delivery().receiver().seen("news", ["s"], 1)  # type: ignore[arg-type]


def test_counts_merge_and_encode() -> None:
    one, other = counted([1, 3, 2, 2]), counted([7, 9])
    total = DeliveryCounts()
    total.merge(one)
    total.merge(DeliveryCounts.decode(msgpack.unpackb(msgpack.packb(other.encode()))))
    assert (total.expected, total.received, total.lost, total.duplicated, total.reordered) == (6, 5, 1, 1, 1)


def test_names_that_a_server_chose_are_bounded_and_no_push_is_lost() -> None:
    delivery = Delivery()
    receiver = delivery.receiver()
    for number in (1, 2):
        for event in range(1000):
            receiver.seen(f"event-{event}", "s", number)
    receiver.seen("x" * 100_000 + "\x00", "s", 1)
    assert len(delivery.counts) == 200
    assert sum(counts.received for counts in delivery.counts.values()) == 2001
    assert sum(counts.lost for counts in delivery.counts.values()) == 0
    assert all(len(name) <= 120 for name in delivery.counts)
