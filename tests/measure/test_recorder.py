from __future__ import annotations

import msgpack
import pytest

from sioload.measure.names import OTHER
from sioload.measure.recorder import MAX_NAMES, Recorder
from sioload.measure.rows import Totals


def test_a_row_is_made_once_and_survives_a_reset() -> None:
    recorder = Recorder("w")
    row = recorder.row("CALL", "echo")
    assert recorder.row("CALL", "echo") is row
    assert recorder.row("REPLY", "echo") is not row
    row.add(1.0)
    epoch = recorder.epoch
    recorder.reset()
    assert recorder.epoch != epoch
    assert recorder.totals() == []
    row.add(0.5)
    assert recorder.row("CALL", "echo") is row
    assert [totals.count for totals in recorder.totals()] == [1]


def test_an_unknown_row_type_is_refused() -> None:
    recorder = Recorder()
    recorder.row("CALL", "echo")
    with pytest.raises(KeyError):
        recorder.row("CALLS", "echo")


def test_names_are_capped_and_no_sample_is_lost() -> None:
    recorder = Recorder()
    for n in range(1000):
        recorder.row("RECV", f"event {n}").tick()
    for name in ("polling", "websocket"):
        recorder.row("OPEN", name).add(0.1)
    names = {name for _, name in recorder.rows}
    assert len(names) <= MAX_NAMES
    assert {"polling", "websocket", OTHER} <= names, "fixed names are never crowded out"
    assert sum(totals.count for totals in recorder.totals() if totals.type == "RECV") == 1000
    assert recorder.row("RECV", "event 999") is recorder.row("RECV", OTHER)


def test_fixed_names_are_capped_too() -> None:
    recorder = Recorder()
    for n in range(1000):
        recorder.row("DISCONNECT", f"reason {n}").tick()
        recorder.row("CALL", f"event {n}").add(0.1)
    assert len({name for _, name in recorder.rows}) <= MAX_NAMES


def test_names_lose_control_characters_and_excess_length() -> None:
    recorder = Recorder()
    assert recorder.row("RECV", "a\nb\x1b[2J").name == "a b [2J"
    assert len(recorder.row("RECV", "x" * 10_000).name) <= 120


def test_a_snapshot_is_plain_and_cumulative() -> None:
    recorder = Recorder("w")
    recorder.row("CALL", "echo").add(0.1)
    recorder.row("EMIT", "unused")
    first = msgpack.unpackb(msgpack.packb(recorder.snapshot(1)))
    recorder.row("CALL", "echo").take()
    recorder.row("CALL", "echo").add(0.2)
    second = msgpack.unpackb(msgpack.packb(recorder.snapshot(2)))
    assert [row["name"] for row in first["rows"]] == ["echo"], "rows that counted nothing stay away"
    assert Totals.decode(first["rows"][0]).count == 1
    assert Totals.decode(second["rows"][0]).count == 2
    assert (first["seq"], second["seq"], first["epoch"]) == (1, 2, second["epoch"])


def test_open_connections_stay_counted_over_a_reset() -> None:
    recorder = Recorder()
    recorder.connections.open("polling")
    recorder.connections.upgrade("polling", "websocket")
    recorder.connections.close("websocket", "server")
    recorder.connections.open("polling")
    encoded = recorder.connections.encode()
    assert encoded == {
        "opened": 2,
        "opening": 0,
        "upgraded": 1,
        "current": {"polling": 1},
        "closed": {"server": 1},
    }
    recorder.reset()
    assert recorder.connections.encode() == {
        "opened": 0,
        "opening": 0,
        "upgraded": 0,
        "current": {"polling": 1},
        "closed": {},
    }


def test_internal_errors_are_bounded() -> None:
    recorder = Recorder()
    for n in range(100):
        recorder.internal_error(f"fault {n}")
    assert 0 < len(recorder.internal_errors) <= 20


def test_the_median_of_a_window_is_of_its_calls_alone() -> None:
    recorder = Recorder()
    assert recorder.window_p50() is None
    recorder.row("CALL", "slow").add(1.0)
    recorder.row("PUSH", "news").add(9.0)
    assert recorder.window_p50() == pytest.approx(1.0, rel=0.01)
    for _ in range(3):
        recorder.row("CALL", "fast").add(0.002)
    recorder.row("REPLY", "a>b").add(0.002)
    assert recorder.window_p50() == pytest.approx(0.002, rel=0.01)
    assert recorder.window_p50() is None


def test_classes_of_which_nobody_lives_are_none_of_the_next_run() -> None:
    """The web UI's form may choose other classes for it; who lives on counts in both."""
    population = Recorder().population
    gone, stays = population.of("Gone"), population.of("Stays")
    gone.gone(gone.spawned(), began=True)
    stays.spawned()
    population.reset()
    assert {name: counts.peak for name, counts in population.classes.items()} == {"Stays": 1}


@pytest.mark.parametrize("behind", [" @moderator", " (handler)", " (handler) @moderator", ""])
def test_what_stands_behind_a_long_name_stays(behind: str) -> None:
    """Else rows of labelled users would be those of all, and what a handler raises a row of events."""
    recorder, long = Recorder(), "news of " + "a very long name " * 20
    names = {recorder.row("RECV", long + each).name for each in (behind, " @member")}
    assert names == {
        "news of a very long name a very long name a very long name a very long name a very long name "
        "a very long name a very long name "[: 117 - len(each)]
        + "..."
        + each
        for each in (behind, " @member")
    }
    assert {len(name) for name in names} == {120}
    assert recorder.row("RECV", "news" + behind).name == "news" + behind
