"""Audiences in virtual time: whoever should hear a message, and whoever did."""

from __future__ import annotations

import gc
import math
import random
import tracemalloc
from collections import Counter

import pytest
from audiencekit import NAME, Chat, Said

from sioload.measure import audience
from sioload.measure.audience import Audience, sampled
from sioload.measure.rooms import everyone, key_of, value_of
from sioload.report import judged
from sioload.report.audience import INCOMPLETE, Audiences
from sioload.report.heard import shown

GRACE = 1.0


def test_a_message_is_owed_to_those_who_were_there_around_it() -> None:
    chat = Chat(1, GRACE)
    ann, bob, cid, dan, eve, fay = (chat.user(0, me) for me in ("ann", "bob", "cid", "dan", "eve", "fay"))
    for user in (ann, bob, cid, dan):
        chat.join(user, "a", 0.0)
    chat.join(fay, "b", 0.0)
    chat.leave(cid, "a", 9.5)  # within the grace before: owes nothing
    chat.join(eve, "a", 10.5)  # after, and hears it all the same: no stray
    chat.said["1"] = Said("a", "ann", 9.9)
    for at, user in ((10.0, ann), (10.1, bob), (10.2, eve), (10.3, fay), (10.4, bob)):
        chat.arrive("1", user, at)
    chat.arrive("1", dan, 11.5)  # more than the grace after the first
    found = chat.end(20.0)
    assert found.counts() == {"messages": 1, "owed": 2, "reached": 1, "missed": 1, "strays": 1,
                              "duplicates": 1, "late": 1, "unjudged": 0}  # fmt: skip
    assert found.counts() == chat.expected(20.0) | {"unjudged": 0}
    assert found.fanout.errors == {INCOMPLETE: 1}
    assert found.fanout.times.max == pytest.approx(1.1, abs=1e-6)  # from the stamp until that was certain
    assert found.spread.max == pytest.approx(0.1, abs=1e-6)
    assert chat.audiences.figures().document()[0]["worst"] == [{"room": "a", "id": "1", "missed": 1, "of": 2}]


def test_whose_script_was_stopped_owes_nothing_and_strays_nowhere() -> None:
    chat = Chat(1, GRACE)
    ann, bob, cid = (chat.user(0, me) for me in ("ann", "bob", "cid"))
    chat.join(ann, "a", 0.0)
    chat.join(bob, "a", 0.0)  # and is stopped while it leaves, or hears of that too late
    for user in (bob, cid):  # cid while it joins
        user.member.fell_silent(10.0)
    for number, at in enumerate((8.0, 9.5, 10.5, 20.0)):
        chat.said[str(number)] = Said("a", None, at)
        chat.arrive(str(number), ann, at)
        chat.arrive(str(number), cid, at)
    found = chat.end(30.0)
    assert found.owed == 4 + 1 and found.missed == 1, (
        "bob owes what came while its script could say where it was"
    )
    assert found.strays == 1, "and cid strays with that"


def test_the_time_is_until_the_last_of_the_audience_in_any_process() -> None:
    chat = Chat(2, GRACE)
    users = [chat.user(number % 2, f"user {number}") for number in range(4)]
    for user in users:
        chat.join(user, "a", 0.0)
    chat.said["1"], chat.said["2"] = Said("a", None, 4.9), Said("a", None, None)
    for at, user in zip((5.0, 5.1, 5.2, 5.35), users, strict=True):
        chat.arrive("1", user, at)
    for at, user in zip((6.0, 6.01, 6.02, 6.03), users, strict=True):
        chat.arrive("2", user, at)
    found = chat.end(8.0)
    assert (found.owed, found.reached) == (8, 8)
    assert found.fanout.times.max == pytest.approx(0.45, abs=1e-6)
    assert found.fanout.times.min == pytest.approx(0.03, abs=1e-6)
    assert found.spread.max == pytest.approx(0.35, abs=1e-6)
    (delta,) = chat.audiences.deltas()
    assert (delta.type, delta.name, delta.count, delta.failures) == ("FANOUT", NAME, 2, 0)


def test_who_was_connected_is_who_a_broadcast_is_owed_to() -> None:
    process, audiences = Audience(), Audiences()
    process.begin(GRACE, 0.0)
    chat = (("/chat", "/chat message"), ("/", "news"))
    members = [process.presence.member(chat) for _ in range(4)]
    for member in members[:3]:
        member.joined("/chat", recovered=False, now=0.0)
    members[3].joined("/", recovered=False, now=0.0)  # of another namespace
    members[2].parted("/chat", 4.5)
    for member in members[:1]:
        process.heard("/chat message", everyone("/chat"), "1", None, None, member, 5.0)
    process.close(9.0)
    audiences.take("local", "0", process.report(9.0), going=False)
    (found,) = audiences.figures().document()
    assert (found["owed"], found["reached"], found["missed"]) == (2, 1, 1)
    assert found["worst"][0]["room"] == "*"


@pytest.mark.parametrize("recovered", [True, False])
def test_rooms_end_with_the_session_unless_it_was_recovered(recovered: bool) -> None:
    process = Audience()
    member = process.presence.member((("/", NAME),))
    member.joined("/", recovered=False, now=0.0)
    member.add("a", 1.0)
    member.add("b", 2.0)
    member.discard("b", 3.0)
    member.lost(4.0)
    assert member.rooms == []
    member.lost(5.0)  # an attempt that failed
    member.joined("/", recovered=recovered, now=6.0)
    assert member.rooms == (["a"] if recovered else [])
    assert member.times("a", 0.0, None, 6.0)[:2] == [1.0, 4.0]
    member.parted("/", 7.0)
    member.joined("/", recovered=True, now=8.0)
    assert member.rooms == []


def test_stays_in_many_rooms_are_remembered_while_they_matter() -> None:
    process = Audience()
    member = process.presence.member((("/", NAME),))
    member.joined("/", recovered=False, now=0.0)
    for number in range(5000):
        member.add(f"room {number}", 1.0)
    member.lost(2.0)
    member.joined("/", recovered=True, now=3.0)
    assert member.times("room 7", 0.0, None, 3.0) == [1.0, 2.0, 3.0, float("inf")]
    member.discard("room 7", 3.0 + process.presence.remembered)
    assert member.times("room 7", 0.0, None, 99.0) == [3.0, 3.0 + process.presence.remembered]
    assert member.times("room 8", 0.0, None, 99.0) == [3.0, float("inf")]


def simulate(processes: int, seed: int, seconds: int, unreliable: bool) -> tuple[Counter[str], Counter[str]]:
    """Everything goes wrong at random: returns what was found, and what is so by the definition."""
    chance = random.Random(seed)
    chat = Chat(processes, GRACE, seed, unreliable)
    users = [chat.user(chance.randrange(processes), f"user {number}") for number in range(20)]
    rooms = ["a", "b", "c"]
    inside: dict[tuple[int, str], bool] = {}
    events: list[tuple[float, int, str, object]] = []
    for step in range(seconds * 4):
        at = step / 4 + chance.random() / 5
        events.append((at, 0, "move", chance.randrange(len(users))))
        if chance.random() < 0.1:
            events.append((at, 0, "rename", chance.randrange(10)))
        if chance.random() < 0.5:
            sender = chance.choice(users)
            room = chance.choice(rooms)
            sent = chance.choice((None, at - 0.01, at - 0.9, at - 1.5, at - 4.0))
            chat.said[str(step)] = Said(room, sender.me if chance.random() < 0.5 else None, sent)
            far = chance.choice((0.02, 0.09, 0.5, 1.2))
            events.append((at, 1, str(step), users.index(sender)))
            for number in range(len(users)):
                if chance.random() < 0.9:
                    delays = [chance.random() * far for _ in range(chance.choice((1, 1, 1, 2)))]
                    # Those of one process that come together are late together.
                    events += [(at + delay, 1, str(step), number) for delay in delays if not 0.88 < delay < 1]
    due = [chance.random() for _ in range(processes)]
    end = seconds + 0.5
    for at, _, what, number in sorted((e for e in events if e[0] < end), key=lambda event: event[0]):
        for process in range(processes):
            if at >= due[process]:
                chat.report(process, at)
                due[process] = at + chance.random() * 3
        user = users[number]  # type: ignore[call-overload]
        if what == "move":
            room = chance.choice(rooms)
            if inside.pop((number, room), False):  # type: ignore[arg-type]
                chat.leave(user, room, at)
            else:
                inside[number, room] = True  # type: ignore[index]
                chat.join(user, room, at)
        elif what == "rename":
            chat.rename(user, f"user {chance.randrange(len(users))}", at)
        elif inside.get((number, chat.said[what].room)) or (  # type: ignore[arg-type]
            number >= 10 and chance.random() < 0.5  # type: ignore[operator]
        ):
            chat.arrive(what, user, at)
    found = chat.end(end).counts()
    return Counter(found), chat.expected(end)


@pytest.mark.parametrize("processes", [1, 4])
def test_it_comes_to_what_the_definition_says(processes: int) -> None:
    total: Counter[str] = Counter()
    for seed in range(12):
        found, expected = simulate(processes, seed, 40, unreliable=processes > 1)
        assert +found == +expected, seed
        total += found
    assert min(total.values()) > 5, total  # each kind was there


def test_what_comes_again_after_it_was_judged_is_late() -> None:
    chat = Chat(2, GRACE)
    ann, bob, new = chat.user(0, "ann"), chat.user(1, "bob"), chat.user(1, "new")
    for user in (ann, bob):
        chat.join(user, "a", 0.0)
    chat.said["1"], chat.said["old"] = Said("a", None, None), Said("a", None, 1.0)
    chat.arrive("1", ann, 5.0)
    chat.arrive("1", bob, 5.0)
    for now in (8.0, 11.0):
        for process in (0, 1):
            chat.report(process, now)
    assert chat.audiences.figures().names()[NAME].messages == 1
    chat.join(new, "a", 12.0)
    chat.arrive("1", new, 12.1)  # history, sent when somebody joins
    chat.arrive("old", new, 12.2)
    found = chat.end(20.0)
    assert (found.messages, found.missed, found.strays, found.late) == (1, 0, 0, 2)


def test_users_of_a_lost_worker_owe_nothing_more() -> None:
    chat = Chat(2, GRACE)
    for number in range(4):
        chat.join(chat.user(number % 2, f"user {number}"), "a", 0.0)
    chat.said["1"], chat.said["2"] = Said("a", None, None), Said("a", None, None)
    for user in chat.users:
        chat.arrive("1", user, 5.0)
    for process in (0, 1):
        chat.report(process, 8.0)
    for user in chat.users[::2]:
        chat.arrive("2", user, 9.0)
    chat.report(0, 13.0)
    assert chat.audiences.figures().names()[NAME].messages == 1  # one waits for the other worker
    chat.audiences.lost("worker 1")
    found = chat.audiences.figures().names()[NAME]
    assert (found.messages, found.owed, found.missed) == (2, 6, 0)


def test_users_of_a_worker_that_stood_still_owe_nothing_of_that_time() -> None:
    """It was given up, and came back: what its users heard late wasn't the server's fault."""
    chat = Chat(2, GRACE)
    for number in range(4):
        chat.join(chat.user(number % 2, f"user {number}"), "a", 0.0)
    for process in (0, 1):
        chat.report(process, 20.0)
    chat.said.update({id: Said("a", None, None) for id in ("judged", "pending", "after")})
    for id, at in (("judged", 26.0), ("pending", 28.5)):
        for user in chat.users[::2]:
            chat.arrive(id, user, at)
    chat.audiences.lost("worker 1")
    chat.report(0, 30.0)
    for id in ("judged", "pending"):
        for user in chat.users[1::2]:
            chat.arrive(id, user, 34.0)
    chat.report(1, 34.0)
    for user in chat.users:
        chat.arrive("after", user, 35.0)
    for process in (0, 1):
        chat.report(process, 45.0)
    found = chat.end(50.0)
    assert (found.messages, found.owed, found.reached) == (3, 2 + 2 + 4, 8)
    assert (found.missed, found.late, found.strays, found.unjudged) == (0, 0, 0, 0)


def test_a_worker_is_waited_for_whose_clock_was_ahead_at_first() -> None:
    chat = Chat(2, GRACE)
    for number in range(2):
        chat.join(chat.user(number, f"user {number}"), "a", 0.0)
    chat.processes.append(Audience())
    chat.processes[2].begin(GRACE, 3600.0)
    chat.report(2, 3600.0)  # it joined a moment ago
    chat.report(2, 1.0)
    chat.said["1"] = Said("a", None, None)
    chat.arrive("1", chat.users[0], 5.0)
    for process in (0, 1):
        chat.report(process, 8.0)
    assert chat.audiences.figures().names() == {}
    chat.report(2, 8.0)
    assert chat.audiences.figures().names()[NAME].missed == 1


def test_parts_of_a_run_have_what_was_last_heard_in_them() -> None:
    chat = Chat(1, GRACE)
    marks: list[float] = [10.0]
    chat.audiences.clear(marks)
    for number in range(2):
        chat.join(chat.user(0, f"user {number}"), "a", 0.0)
    for id, at in (("1", 9.0), ("2", 9.95), ("3", 10.5), ("4", 15.0)):
        chat.said[id] = Said("a", None, None)
        for delay, user in zip((0.0, 0.1), chat.users, strict=True):
            chat.arrive(id, user, at + delay)
    chat.report(0, 12.6)
    marks.append(14.0)
    chat.end(20.0)
    figures = chat.audiences.figures()
    inf = float("inf")
    assert [figures.between(*part).names()[NAME].messages for part in
            ((-inf, 10.0), (10.0, 14.0), (14.0, inf), (10.0, inf))] == [1, 2, 1, 3]  # fmt: skip
    assert [row.count for row in figures.rows()] == [4]


def test_what_was_forgotten_in_part_is_forgotten_whole() -> None:
    chat = Chat(2, GRACE)
    for number in range(2):
        chat.join(chat.user(number, f"user {number}"), "a", 0.0)
    for id, at in (("1", 10.0), ("2", 12.0)):
        chat.said[id] = Said("a", None, None)
        chat.arrive(id, chat.users[0], at)
        if id == "1":
            chat.processes[0].reset(10.05)
            chat.processes[1].reset(10.02)
        chat.arrive(id, chat.users[1], at + 0.1)
    chat.report(0, 13.5)
    chat.report(1, 13.5)
    chat.arrive("1", chat.users[1], 13.6)  # what is known no more is late, and missed by nobody
    found = chat.end(20.0)
    assert (found.messages, found.owed, found.reached) == (1, 2, 2)  # who is where was not forgotten
    assert found.late == 1


def test_beyond_its_bound_it_follows_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "FOLLOWED", 2000)
    chat = Chat(2, GRACE)
    for number in range(10):
        chat.join(chat.user(number % 2, f"user {number}"), "a", 0.0)
    for number in range(3000):
        chat.said[str(number)] = Said("a", None, None)
        for user in chat.users:
            chat.arrive(str(number), user, 10.0 + number / 1000)
        if number % 500 == 0:
            for process in (0, 1):
                chat.report(process, 10.0 + number / 1000)
    found = chat.end(20.0)
    share = chat.audiences.figures().share
    assert share in (1 / 4, 1 / 8, 1 / 16)
    assert found.missed == found.strays == 0
    assert found.messages == sum(sampled("a", str(number), chat.audiences.shift) for number in range(3000))
    assert found.messages == pytest.approx(3000 * share, rel=0.3)


def test_the_share_shrinks_no_further_than_it_has_to() -> None:
    """Workers go on telling of all that they follow until they have heard of it."""
    audiences = Audiences()
    told = {"batches": [], "to": 1.0, "complete": 0.0, "closed": False, "since": 0.0, "shift": 0,
            "followed": 30_000, "grace": GRACE}  # fmt: skip
    for _ in range(3):
        for number in range(50):
            audiences.take(f"worker {number}", "0", told, going=True)
    assert audiences.shift == 1  # 1,500,000 were followed
    for number in range(50):
        audiences.take(f"worker {number}", "0", {**told, "shift": 1, "followed": 21_000}, going=True)
    assert audiences.shift == 2


def size(chat: Chat) -> int:
    """Objects that are held."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("seconds", [pytest.param(120, marks=pytest.mark.verify), 45])
def test_memory_stays_level(seconds: int) -> None:
    """2,000 messages a second with identities of their own, joins and leaves all the time."""
    per_second = 2000 if seconds > 60 else 200
    chat = Chat(2, GRACE)
    users = [chat.user(number % 2, f"user {number}") for number in range(100)]
    for number, user in enumerate(users):
        user.member.add(f"room {number % 20}", 0.0)
    early = 0
    count = 0
    for second in range(seconds):
        for _ in range(per_second):
            count += 1
            now, group = second + count % per_second / per_second, count % 20
            for user in users[group : group + 40 : 20]:
                process = chat.processes[user.process]
                process.heard(NAME, f"room {group}", f"id {count}", None, now, user.member, now)
        moving = users[second % 100].member
        moving.discard(f"room {second % 20}", second + 1)
        moving.add(f"room {second % 20}", second + 1)
        if second % 3 == 2:
            for process in (0, 1):
                chat.report(process, second + 1)
        if second == seconds - 31:  # reports come, and judged messages are forgotten, in cycles of 3 and 10 s
            early = size(chat)
    assert size(chat) < early * 1.02
    assert chat.audiences.figures().names()[NAME].messages > per_second * (seconds - 20)
    assert chat.audiences.figures().share == 1.0


def test_what_was_judged_is_remembered_in_constant_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "REMEMBERED", 2000)
    memory, sizes = judged.Judged(), []
    tracemalloc.start()
    try:
        for number in range(3401):
            memory.add((NAME, "a", f"id {number}"), float(number), 1e9)
            if number in (2200, 3400):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert abs(sizes[1] - sizes[0]) < 1000
    known = [number for number in range(3401) if memory.first((NAME, "a", f"id {number}")) == number]
    assert known == list(range(2000, 3401))  # by halves
    assert memory.first((NAME, "b", "id 3400")) == -math.inf


def test_what_was_judged_is_forgotten_in_time() -> None:
    memory = judged.Judged()
    for number in range(40):
        memory.add((NAME, "a", str(number)), float(number), GRACE)
    known = [number for number in range(40) if memory.first((NAME, "a", str(number))) == number]
    assert known == list(range(22, 40))


@pytest.mark.parametrize(
    "value",
    ["a", "", "\x00a", "\x01/", 1, 1.5, None, True, [1, "a"], {"b": 1, "a": [None]}, "日本", "a" * 999],
)
def test_a_key_stands_for_its_value(value: object) -> None:
    assert value_of(key_of(value)) == value


def test_keys_are_equal_for_equal_values_only() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of((1, 2)) == key_of([1, 2])
    assert len({key_of(value) for value in ("1", 1, True, [1], None, "null", "[1]")}) == 7
    for wrong in (object(), "a" * 1001, b"bytes"):
        with pytest.raises(ValueError, match=r"can't be|longer"):
            key_of(wrong)


def test_what_is_shown_of_rooms_and_identities_is_one_line() -> None:
    assert shown(key_of("<script>\n\x1b[31m" + "x" * 200)).startswith("<script> [31mxxx")
    assert len(shown(key_of("x" * 999))) == 120
    assert shown(key_of([1, "\u2028"])) == '[1," "]'
