"""Who holds which row: never two users one row, and every row before any row again."""

from __future__ import annotations

import sys

import serverkit
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.load.leases import Holder, Leases

USERS = [Holder(process, number) for process in "abc" for number in range(4)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(USERS)),
        st.tuples(st.just("release"), st.sampled_from(USERS)),
        st.tuples(st.just("lose"), st.sampled_from("abc")),
        st.tuples(st.just("begin"), st.none()),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(1, 8), st.sampled_from(["file", "shuffle"]), st.sampled_from(["stop", "wait"]), STEPS)
def test_any_course_of_events(count, order, when_empty, steps):
    """Against a reference that knows sets only."""
    leases = Leases(count, order, when_empty, seed=1)
    held: dict[Holder, int] = {}
    waiting: list[Holder] = []

    def grant(grants):
        for holder, row in grants:
            assert holder == waiting.pop(0), "they are served in the order in which they came"
            assert row not in held.values(), "a row has one holder"
            held[holder] = row

    for step, who in steps:
        if step == "take":
            row = leases.take(who)
            if who in held:
                assert row == held[who], "asked again, it is the same row"
            elif len(held) < count:
                assert row is not None and 0 <= row < count and row not in held.values()
                held[who] = row
            else:
                assert row is None
                if when_empty == "wait" and who not in waiting:
                    waiting.append(who)
        elif step == "release":
            if who in waiting:
                waiting.remove(who)
            held.pop(who, None)
            grant(leases.release(who))
        elif step == "lose":
            waiting[:] = [user for user in waiting if user.process != who]
            gone = [user for user in held if user.process == who]
            for user in gone:
                del held[user]
            rows, grants = leases.lose(who)
            assert rows == len(gone)
            grant(grants)
        else:
            waiting.clear()
            leases.begin()
        assert {user for process in "abc" for user in leases.holders(process)} == held.keys()
        assert {user: leases.take(user) for user in held} == held
        assert not waiting or len(held) == count, "nobody waits while a row is free"


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(1, 30), st.sampled_from(["file", "shuffle"]), st.lists(st.integers(0, 9), max_size=120))
def test_every_row_is_used_before_any_is_used_again(count, order, ends):
    """Users come one by one; now and then the one that came n-th last ends."""
    leases = Leases(count, order, seed=2)
    used: list[int] = []
    living: list[Holder] = []
    for number, end in enumerate(ends):
        user = Holder("a", number)
        row = leases.take(user)
        if row is not None:
            living.append(user)
            used.append(row)
        if living and (end < 7 or row is None):
            leases.release(living.pop(-1 - end % len(living)))
    assert len(set(used[:count])) == min(count, len(used))
    if order == "file":
        assert used[:count] == list(range(min(count, len(used))))


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(1, 30), st.integers(1, 4), st.sampled_from(["file", "shuffle"]))
def test_rows_in_turn(count, rounds, order):
    leases = Leases(count, order, seed=3)
    for _ in range(rounds):
        turn = [leases.next() for _ in range(count)]
        assert sorted(turn) == list(range(count))
        assert order == "shuffle" or turn == sorted(turn)


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(2, 20), st.sampled_from(["file", "shuffle"]), st.data())
def test_a_new_test_has_all_rows_but_those_still_held(count, order, data):
    leases = Leases(count, order, seed=4)
    users = [Holder("a", number) for number in range(count)]
    rows = [leases.take(user) for user in users]
    kept = data.draw(st.sets(st.sampled_from(range(count))))
    early = data.draw(st.sets(st.sampled_from(sorted(kept)))) if kept else set()
    for number in set(range(count)) - kept:
        leases.release(users[number])
    leases.begin()
    for number in early:
        leases.release(users[number])
    found = []
    while (row := leases.take(Holder("b", len(found)))) is not None:
        found.append(row)
    assert sorted(found) == sorted(rows[number] for number in range(count) if number not in kept - early)
    assert set(found[: count - len(kept)]) == {rows[n] for n in range(count) if n not in kept}


ASKED_AGAIN = """
from sioload.load.leases import Holder
from sioload.swarm.stock import Stock
from sioload.users.feeds import Feed, feeds

feeds.by_name["rows"] = Feed("rows", "file", "wait", [{"a": 1}])
stock = Stock()
for number in (1, 2, 2, 2, 3):
    stock.ask("rows", "take", Holder("worker", number))
print(stock.unmet)
"""


def test_a_question_that_a_worker_asks_again_is_one_user_without_a_row() -> None:
    """`capacity` says how many found none free."""
    done = serverkit.run([sys.executable, "-c", ASKED_AGAIN], 30)
    assert done.out == "{'rows': 2}\n", done.text
