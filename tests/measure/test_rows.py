from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure.histogram import Histogram, round_ms
from sioload.measure.names import clean_name, normalise
from sioload.measure.row_types import ROW_TYPES
from sioload.measure.rows import MAX_ERRORS, OTHER_ERRORS, OTHER_KIND, Row, Totals


def test_counts_include_failures_and_only_timed_ones_have_times() -> None:
    row = Row("CALL", "echo")
    row.add(0.010)
    row.tick(3)
    row.fail("boom")
    row.fail("late", 0.5)
    totals = row.totals()
    assert (totals.count, totals.times.total, totals.untimed, totals.failures) == (6, 2, 4, 2)
    assert totals.errors == {"boom": 1, "late": 1}
    assert totals.times.max == 0.5
    assert totals.fail_ratio == pytest.approx(2 / 6)


def test_times_of_failures_are_told_apart_by_kind_and_kinds_are_bounded() -> None:
    row, other = Row("CALL", "echo"), Row("CALL", "echo")
    row.add(0.010)
    row.fail("boom")  # without a time
    row.fail("no ack in time", 0.5, kind="timeout")
    earlier = row.totals().copy()
    row.fail("no ack in time", 0.7, kind="timeout")
    other.fail("gone", 0.2, kind="indeterminate")
    both = Totals.decode(msgpack.unpackb(msgpack.packb(row.totals().encode())))
    both.merge_encoded(other.totals().encode())
    assert {kind: times.total for kind, times in both.failed.items()} == {"timeout": 2, "indeterminate": 1}
    assert both.times.since(both.failed["timeout"]).total == 2
    assert row.totals().since(earlier).failed["timeout"].total == 1
    for n in range(2 * MAX_ERRORS):
        row.fail("odd", 0.1, kind=f"Error{n}")
    both.merge(row.totals())
    assert len(both.failed) == MAX_ERRORS + 1 and both.failed[OTHER_KIND].total > MAX_ERRORS
    assert sum(times.total for times in both.failed.values()) == 5 + 2 * MAX_ERRORS


@settings(deadline=None, database=None)
@given(st.lists(st.one_of(st.floats(0, 700), st.none(), st.just("take"), st.just("totals")), max_size=80))
def test_what_is_taken_adds_up_to_the_totals(steps: list[float | str | None]) -> None:
    row = Row("CALL", "echo")
    deltas = []
    for step in steps:
        if step == "take":
            deltas.append(row.take())
        elif step == "totals":
            row.totals()
        elif step is None:
            row.fail("boom")
        else:
            row.add(step)  # type: ignore[arg-type]
            row.bytes += 7
    deltas.append(row.take())
    taken = [delta for delta in deltas if delta is not None]
    totals = row.totals()
    times = Histogram()
    for delta in taken:
        times.add_counts(delta.counts, delta.timed, delta.sum_ticks, delta.min_ticks, delta.max_ticks)
    assert times == totals.times
    assert sum(delta.untimed for delta in taken) == totals.untimed
    assert sum(delta.failures for delta in taken) == totals.failures
    assert sum(delta.bytes for delta in taken) == totals.bytes
    direct = Histogram()
    for step in steps:
        if isinstance(step, float):
            direct.add(step)
    assert direct == totals.times


def test_take_gives_what_locust_needs_and_nothing_twice() -> None:
    row = Row("CALL", "echo")
    for seconds in (0.00012, 0.0034, 0.0561, 0.789):
        row.add(seconds)
    row.tick()
    delta = row.take()
    assert delta is not None
    assert (delta.count, delta.timed, delta.untimed) == (5, 4, 1)
    assert delta.sum_ms == pytest.approx(848.62, abs=0.001)
    assert (delta.min_ms, delta.max_ms) == (pytest.approx(0.12, abs=1e-4), pytest.approx(789, abs=1e-3))
    assert delta.locust_times() == {0.1: 1, 3.4: 1, 56: 1, 790: 1}
    assert row.take() is None


def test_times_beyond_ten_minutes_are_no_shorter_in_locusts_table() -> None:
    row = Row("RECONNECT", "ping timeout")
    row.add(0.0034)
    row.add(7200.0)
    delta = row.take()
    assert delta is not None and delta.locust_times() == {3.4: 1, 7_200_000: 1}


def test_a_row_without_times_has_no_minimum() -> None:
    row = Row("EMIT", "message")
    row.tick(2)
    delta = row.take()
    assert delta is not None and delta.min_ms is None and delta.locust_times() == {}


@pytest.mark.parametrize("seconds", [-0.5, 0.0, 1e-7, 2.55e-5, 2.56e-5, 599.9999, 600.0, 1e12])
def test_every_time_is_counted_as_the_histogram_counts_it(seconds: float) -> None:
    row, histogram = Row("PUSH", "news"), Histogram()
    row.add(seconds)
    histogram.add(seconds)
    assert row.totals().times == histogram


def test_reset_in_place_forgets_everything() -> None:
    row = Row("CALL", "echo")
    row.add(1.0)
    row.fail("x")
    row.service(1.0)
    row.skipped += 1
    row.bytes += 10
    row.reset()
    assert row.take() is None
    totals = row.totals()
    assert (totals.count, totals.skipped, totals.bytes, totals.errors, totals.service) == (0, 0, 0, {}, None)
    row.add(0.5)
    assert row.totals().count == 1


def test_service_times_stand_beside_and_add_no_samples() -> None:
    row = Row("CALL", "echo")
    row.add(3.0)
    row.service(0.001)
    totals = row.totals()
    assert totals.count == 1 and totals.service is not None
    assert totals.service.max == pytest.approx(0.001)


def test_distinct_errors_are_bounded_and_none_is_lost() -> None:
    row = Row("CALL", "echo")
    for letter in range(200):
        row.fail("reason " + "abcdefghij"[letter // 20] + "klmnopqrstuvwxyzABCD"[letter % 20])
    totals = row.totals()
    assert len(totals.errors) == MAX_ERRORS + 1
    assert totals.failures == 200
    assert totals.errors[OTHER_ERRORS] == 200 - MAX_ERRORS
    other = Totals("CALL", "echo")
    for n in range(60):
        other.errors["other " + "xyzuvw"[n % 6] * (n // 6 + 1)] = 1
    totals.merge(other)
    totals.bound_errors()
    assert len(totals.errors) == MAX_ERRORS + 1
    assert totals.failures == 260


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("connection refused", "connection refused"),
        ("GET http://h/socket.io/?EIO=4&sid=abc failed", "GET http://h/socket.io/?(query) failed"),
        ("unknown sid lv_VI97HAXpY6yYWAAAB", "unknown sid (id)"),
        ("object at 0x7f12ab34cd56", "object at (id)"),
        ("user 123e4567-e89b-12d3-a456-426614174000 gone", "user (id) gone"),
        ("from 127.0.0.1:54321", "from 127.0.0.1:(n)"),
        ("HTTP 502", "HTTP 502"),
        ("bad\x00\n\ttext\x1b[31m", "bad text [31m"),
        ("", "(no message)"),
        ("why?", "why?"),
    ],
)
def test_messages_of_equal_faults_become_equal(message: str, expected: str) -> None:
    assert normalise(message) == expected


@settings(deadline=None, database=None)
@given(st.text(max_size=3000))
def test_a_normalised_message_is_one_short_printable_line(text: str) -> None:
    out = normalise(text)
    assert 0 < len(out) <= 120
    assert all(ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0 for c in out)
    out.encode()


@settings(deadline=None, database=None)
@given(st.text(max_size=3000))
def test_names_are_bounded_and_encodable(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= 120
    name.encode()


def test_no_name_turns_the_text_behind_it_around() -> None:
    """As U+202E does, the right-to-left override: a 12 behind it is shown as 21."""
    assert clean_name("a\u202eb\u2066c \u05e9\u05dc") == "a b c \u05e9\u05dc"
    assert normalise("refused \u202e12") == "refused 12"


def locusts_own_rounding(ms: float) -> int:
    """What Locust's documentation states: whole milliseconds below 100, then two significant digits."""
    digits = 0 if ms < 100 else -1 if ms < 1000 else -2 if ms < 10_000 else -3
    return int(round(ms, digits))


@settings(deadline=None, database=None)
@given(st.floats(10, 10_000_000))
def test_rounding_from_10_ms_on_is_locusts_own(ms: float) -> None:
    assert round_ms(ms) == locusts_own_rounding(ms)


@pytest.mark.parametrize(
    ("ms", "expected"), [(0.04, 0.0), (0.06, 0.1), (0.449, 0.4), (9.94, 9.9), (9.96, 10), (12.4, 12)]
)
def test_rounding_below_10_ms_keeps_tenths(ms: float, expected: float) -> None:
    assert round_ms(ms) == expected


def test_totals_survive_msgpack() -> None:
    row = Row("CALL", "echo")
    row.add(0.25)
    row.fail("boom", 0.5)
    row.service(0.125)
    row.skipped += 3
    row.bytes += 99
    totals = row.totals()
    again = Totals.decode(msgpack.unpackb(msgpack.packb(totals.encode())))
    assert again.encode() == totals.encode()
    assert again.times == totals.times


def test_the_types_that_carry_no_time_or_stay_out_of_the_aggregate() -> None:
    assert {name for name, kind in ROW_TYPES.items() if not kind.timed} == {"EMIT", "RECV", "DISCONNECT"}
    apart = {"DIAL", "FANOUT", "PUSH", "WAIT", "HEARTBEAT", "RECONNECT"}
    assert {name for name, kind in ROW_TYPES.items() if not kind.aggregated} == apart
