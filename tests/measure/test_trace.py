"""Following one user: its packets, the rows that they counted in, and that nobody else notices."""

from __future__ import annotations

import pytest

from sioload.measure import trace as module
from sioload.measure.recorder import Recorder, label_of
from sioload.measure.rows import Row
from sioload.measure.trace import HOLD, Count, Entry, Trace
from sioload.report.transcript import Paint, as_dict, lines, own_text
from sioload.socketio.reading import Reading


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class User:
    label = ""


def event(name: str) -> Reading:
    return Reading("event", f"event {name}", name, "/")


def followed(recorder: Recorder, label: str = "") -> tuple[Trace, User]:
    user, trace = User(), Trace(1, Clock())
    user.label = recorder.follow(label, trace.counted)
    return trace, user


@pytest.mark.parametrize("label, name", [("", "news"), ("moderator", "news @moderator")])
def test_a_followed_user_counts_in_the_rows_of_all(label: str, name: str) -> None:
    recorder, other = Recorder(), User()
    other.label = label
    trace, user = followed(recorder, label)
    for who, times in ((other, 3), (user, 2)):
        row = recorder.row("PUSH", "news" + label_of(who))
        for _ in range(times):
            row.add(0.001)
        row.bytes += 10 * times
        recorder.row_of(who, "EMIT", "say").fail("refused")
    totals = {(t.type, t.name): t for t in recorder.totals()}
    assert list(totals) == [("PUSH", name), ("EMIT", "say" + name.removeprefix("news"))]
    assert totals["PUSH", name].count == 5 and totals["PUSH", name].bytes == 50
    assert [t.errors for t in totals.values()][1] == {"refused": 2}
    assert sum(delta.count for delta in recorder.take(1.0) if delta.type == "PUSH") == 5
    assert [count.type for entry in trace.take(1.0) for count in entry.counts] == ["PUSH", "PUSH", "EMIT"]
    assert recorder.row("PUSH", name).tap is None, "nobody else pays for it"
    recorder.reset()
    assert recorder.totals() == []


def test_who_listens_to_every_sample_hears_those_of_followed_users_too() -> None:
    recorder = Recorder()
    trace, user = followed(recorder)
    heard: list[str] = []
    recorder.listen(lambda row, seconds, failure: heard.append(row.name))
    recorder.row_of(user, "CALL", "echo").add(0.1)
    assert heard == ["echo"]
    assert trace.take(1.0)


def test_samples_find_the_packets_that_they_are_of() -> None:
    trace = Trace(1, clock := Clock())
    trace.sent("polling", '42["say"]', event("say"))
    two = [
        ('42["a",1]', event("a")),
        ('430["x"]', Reading("ack", "ack 0 of say", "say", "/", 0)),
        ("", event("b")),
    ]
    trace.received("polling", two)
    for type, name in (("PUSH", "a"), ("CALL", "say"), ("RECV", "b"), ("EMIT", "say"), ("WAIT", "b")):
        trace.counted(Row(type, name), 0.002, None)
    clock.now = 3.0
    trace.counted(Row("CALL", "late"), 10.0, "no ack in time")
    told = [(entry.reading.event, [f"{c.type} {c.name}" for c in entry.counts]) for entry in trace.take(9.0)]
    assert told == [
        ("say", ["EMIT say"]),
        ("a", ["PUSH a"]),
        ("say", ["CALL say"]),
        ("b", ["RECV b", "WAIT b"]),
        ("", ["CALL late"]),
    ], "and what times out is of no packet"


def asks(name: str) -> Reading:
    return Reading("event", f"event {name}, wants ack 0", name, "/", 0)


@pytest.mark.parametrize(
    "before, name, packet",
    [
        (asks("say"), "say", event("say")),  # a call
        (event("say"), "say", event("say")),  # a call that an event answers
        (asks("say"), "(raw)", event("say")),
        (event("say"), "(raw)", asks("say")),
    ],
)
def test_an_emit_is_of_its_own_packet_and_not_of_a_call_before_it(
    before: Reading, name: str, packet: Reading
) -> None:
    trace = Trace(1, Clock())
    trace.sent("websocket", "before", before)
    trace.sent("websocket", "its own", packet)
    trace.counted(Row("EMIT", name), None, None)
    assert [(entry.text, len(entry.counts)) for entry in trace.take(1.0)] == [("before", 0), ("its own", 1)]


@pytest.mark.parametrize("label", ["", " @moderator"])
def test_a_sample_is_of_the_event_that_its_row_is_called_by(label: str) -> None:
    """Whatever came in the same body, or is part of its name."""
    trace = Trace(1, Clock())
    of_chat = Reading("event", "event say in /chat", "say", "/chat")
    trace.received("polling", [("1", event("a")), ("2", of_chat), ("3", event("say"))])
    trace.counted(Row("RECV", "say" + label), None, None)
    trace.counted(Row("RECV", "/chat say" + label), None, None)
    said = [[count.name for count in entry.counts] for entry in trace.take(1.0)]
    assert said == [[], ["/chat say" + label], ["say" + label]]


def test_what_nobody_takes_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 3)
    trace = Trace(1, clock := Clock())
    for _ in range(5):
        trace.sent("websocket", "2", Reading("ping", "ping"))
    assert trace.dropped == 2
    clock.now = HOLD
    assert len(trace.take(clock.now)) == 3 and trace.take(9.0) == []


def test_what_was_taken_leaves_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM_BYTES", 10)
    clock = Clock()
    trace = Trace(1, clock)
    for _ in range(4):
        trace.sent("websocket", "x" * 11, event("large"))
        trace.sent("websocket", "y", event("small"))
        assert [entry.text for entry in trace.take(0.0)] == ["x" * 11]
    assert trace.dropped == 4
    for clock.now in (1.0, 2.0, 3.0):
        trace.sent("websocket", f"{clock.now:g}", event("small"))
    taken = [
        [entry.text for entry in trace.take(until, most)] for until, most in ((2.5, 1), (2.5, 9), (9.0, 9))
    ]
    assert taken == [["1"], ["2"], ["3"]]


def test_a_packet_is_shown_in_its_own_text_but_for_what_a_terminal_can_not_print() -> None:
    trace = Trace(1, Clock())
    text = '42["say",{"text":"Grüße \\"an\\" 日本\u3000👨\u200d👩\x1b[31m"}]'
    trace.sent("websocket", text, event("say"))
    trace.asked("POST", "/login", 0.01, "a\nb")
    said, asked = trace.take(1.0)
    assert own_text(said, True) == '42["say",{"text":"Grüße \\"an\\" 日本\\u3000👨\\u200d👩\\x1b[31m"}]'
    assert lines(asked, 0.0)[0].endswith("POST /login failed after 10.0 ms: a\\nb")


def heard(text: str | bytes, *counts: Count) -> Entry:
    return Entry(11.5, "received", "websocket", text, event("news"), list(counts))


def test_an_entry_is_told_with_its_rows_and_what_failed_in_red() -> None:
    pushed, failed = Count("PUSH", "news", 0.00124, None), Count("CALL", "say", 1.5, "no ack")
    plain, refused = Count("RECV", "news", None, None), Count("CONNECT", "/", None, "not\nme")
    head, indent = "  1.500 s ← websocket event news", " " * 22
    assert lines(heard("2", pushed), 10.0) == [f"{head:<63}PUSH news 1.24 ms", indent + "2"]
    two = [f"{head:<71}RECV news", indent + "2", f"{indent}CALL say failed after 1,500 ms: no ack"]
    assert lines(heard("2", plain, failed), 10.0) == two
    red = lines(heard("2", plain, failed), 10.0, paint=Paint(True))
    assert red == [
        f"\x1b[31m{two[0]}\x1b[0m",
        f"{indent}\x1b[90m2\x1b[0m",
        indent + f"\x1b[31m{two[2].strip()}\x1b[0m",
    ]
    assert lines(heard("2", plain, failed, pushed), 10.0, paint=Paint(True)) == [
        *red,
        indent + "PUSH news 1.24 ms",
    ]
    assert "\x1b[31m" not in "".join(lines(heard("2", pushed), 10.0, paint=Paint(True)))
    (alone,) = lines(Entry(11.5, counts=[refused]), 10.0)
    assert alone == "  1.500 s             CONNECT / failed: not\\nme"
    step = Entry(11.5, reading=Reading("step", "task say"))
    assert lines(step, 10.0) == ["", "task say"]
    assert lines(step, 10.0, paint=Paint(True)) == ["", "\x1b[1mtask say\x1b[0m"]


def test_what_is_long_is_cut_unless_it_is_to_be_full() -> None:
    assert (
        own_text(heard(b"\1" * 50), False)
        == own_text(heard(b"\1" * 50), True)
        == f"<{' '.join(['01'] * 50)}>"
    )
    assert own_text(heard(b"\1" * 51), False).endswith(" 01> and 1 byte more")
    assert own_text(heard(b"\1" * 1052), False).endswith(" 01> and 1,002 bytes more")
    assert own_text(heard("x" * 200), False) == "x" * 200
    assert own_text(heard("x" * 203), False) == "x" * 200 + "… 3 more"
    assert own_text(heard("x" * 203), True) == "x" * 203


def test_an_entry_is_values_for_json() -> None:
    count = Count("CALL", "say", 0.0015, "no")
    known = {"t": 1.5, "way": "received", "transport": "websocket", "kind": "event", "packet": "event news"}
    rows = [{"type": "CALL", "name": "say", "ms": 1.5, "failure": "no"}]
    assert as_dict(heard("2", count), 10.0) == {**known, "text": "2", "rows": rows}
    assert as_dict(heard(b"\1\2"), 10.0) == {**known, "base64": "AQI="}
    rows = [{"type": "RECV", "name": "news", "ms": None, "failure": None}]
    assert as_dict(Entry(11.5, counts=[Count("RECV", "news", None, None)]), 10.0) == {"t": 1.5, "rows": rows}
