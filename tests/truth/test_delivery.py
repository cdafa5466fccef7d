"""A server that leaves out, repeats and swaps pushes on a known plan is reported with these very numbers."""

from __future__ import annotations

from collections import Counter

import pytest
from truthkit import Bench

BREAK = -1


def judged(sent: list[int]) -> Counter[str]:
    """What one receiver must report that got these numbers in this order, with breaks of its connection.

    A number that is missing between the first and the highest counts as missed while reconnecting when the
    next higher one came after a break, else as lost.
    """
    counts: Counter[str] = Counter()
    came: set[int] = set()
    excused: set[int] = set()
    broken, highest = False, None
    for number in sent:
        if number == BREAK:
            broken = highest is not None
            continue
        if number in came:
            counts["duplicated"] += 1
        elif highest is not None and number < highest:
            counts["reordered"] += 1
        came.add(number)
        if highest is None or number > highest:
            if broken and highest is not None:
                excused.update(range(highest + 1, number))
            broken, highest = False, number
    missing = set(range(min(came), max(came))) - came
    counts["received"] = len(came)
    counts["reconnect_gaps"] = len(missing & excused)
    counts["lost"] = len(missing - excused)
    counts["expected"] = counts["received"] + counts["lost"]
    return counts


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.verify), 2])
def test_pushes_that_went_wrong_are_counted_exactly(bench: Bench, workers: int) -> None:
    server = bench.server()
    # The stream runs for 4 s; receivers come in its first three seconds.
    outcome = bench.start("news.py", server.url, "-u", "12", "-r", "4", "-t", "7s", workers=workers)(60)
    assert outcome.sound and outcome.code in (1, 4), outcome.text
    sent: dict[str, list[int]] = server.counts()["sent"]
    assert len(sent) == 12
    expected: Counter[str] = sum(map(judged, sent.values()), Counter())
    assert min(expected[name] for name in ("lost", "duplicated", "reordered", "reconnect_gaps")) > 0
    assert len({numbers[0] // 100 for numbers in sent.values()}) >= 3, "none came late"
    (delivery,) = outcome.report["delivery"]
    for name, count in expected.items():
        assert delivery[name] == count, f"{name}: {delivery} is not {expected}\n{outcome.text}"
    arrivals = sum(number != BREAK for numbers in sent.values() for number in numbers)
    assert outcome.event("RECV", "news")["count"] == arrivals
