"""Outages: each user counts once, in the outage that is on; what processes saw adds up."""

from __future__ import annotations

import pytest

from sioload.measure.outage import Outage, Outages


def seen(outages: Outages) -> list[Outage]:
    return [Outage.decode(data) for data in outages.encode()]


def test_each_user_is_lost_once_and_back_at_its_first_return() -> None:
    outages, one, other, third = Outages(), object(), object(), object()
    assert outages.watch(10.0, 20.0) and not outages.watch(10.0, 20.0)
    outages.down(one, 9.0, "transport closed")  # before it
    outages.up(one, 9.5, False)
    outages.down(one, 10.5, "transport closed")
    outages.down(other, 10.6, "ping timeout")
    outages.failed(11.0)
    outages.up(one, 12.0, True)
    outages.down(one, 13.0, "server")  # again
    outages.down(third, 13.5, "dropped")  # a phone, by itself
    outages.up(one, 14.0, False)
    outages.up(other, 21.0, False)  # too late
    outages.failed(21.0)
    (found,) = seen(outages)
    assert (found.lost, found.away, found.recovered, found.refusals) == (2, 1, 1, {1: 1})
    assert found.by_reason == {"transport closed": 1, "ping timeout": 1}
    assert found.back.total == 1 and found.back.max == pytest.approx(1.5)
    assert found.connects == {2: 1, 4: 1}


def test_the_next_outage_ends_the_watch_on_the_one_before() -> None:
    outages, user = Outages(), object()
    outages.watch(10.0, 30.0)
    outages.watch(20.0, 40.0)
    outages.down(user, 12.0, "server")
    outages.up(user, 25.0, False)
    outages.cutting = True
    outages.down(user, 26.0, "dropped")
    outages.cutting = False
    outages.noticed(28.0, 2.0)
    outages.noticed(29.0, 10.0)  # it was cut in the first
    first, second = seen(outages)
    assert (first.lost, first.away, first.until) == (1, 1, 20.0) and not first.back.total
    assert (second.lost, second.away, second.by_reason) == (1, 1, {"cut": 1})
    assert second.noticed.max == pytest.approx(2.0) and second.noticed.total == 1
    first.connects, second.connects = {1: 2}, {1: 1, 5: 3}
    first.merge(second)
    assert first.connects == {1: 3, 5: 3}
    assert (first.lost, first.away, first.by_reason) == (2, 2, {"server": 1, "cut": 1})
    outages.clear()
    assert outages.encode() == []
