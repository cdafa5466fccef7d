from __future__ import annotations

import math

import pytest

from sioload.errors import CheckError
from sioload.measure.recorder import Recorder
from sioload.report.checks import parse, parse_toml
from sioload.report.evaluation import evaluate
from sioload.report.figures import Figures
from sioload.report.heard import AudienceFigures, Heard
from sioload.report.merge import Swarm


def figures_of(recorder: Recorder) -> Figures:
    swarm = Swarm()
    swarm.take("local", recorder.snapshot(1))
    return swarm.figures()


@pytest.fixture(scope="module")
def figures() -> Figures:
    recorder = Recorder()
    for n in range(100):
        recorder.row("CALL", "/chat message").add((n + 1) / 1000)
        recorder.ledger.emits += 1
        recorder.ledger.end("acked")
    recorder.row("CALL", "echo").fail("timeout", 2.0)
    recorder.ledger.emits += 1
    recorder.ledger.end("timeout")
    recorder.row("CALL", "echo").skipped += 4
    recorder.row("CONNECT", "/").add(0.01)
    recorder.row("OPEN", "(probe)").fail("refused")
    recorder.row("EMIT", "a]: b").tick(7)
    recorder.row("PUSH", "news").add(0.001)
    receiver = recorder.delivery.receiver()
    for number in (1, 2, 4, 3, 3, 6):
        receiver.seen("news", "s", number)
    recorder.connections.open("polling")
    recorder.connections.upgrade("polling", "websocket")
    return figures_of(recorder)


@pytest.mark.parametrize(
    ("text", "ok", "value"),
    [
        ("CALL[/chat message]: p99 < 250ms", True, "99 ms"),
        ("CALL[/chat message]: p99 < 50ms", False, "99 ms"),
        ("CALL[/chat message]:p50<=51ms", True, "50.05 ms"),
        ("CALL[/chat*]: max == 100ms", True, "100 ms"),
        ("CALL[*message]: min >= 1000us", True, "1 ms"),
        ("CALL: max < 1 s", False, "2000 ms"),
        ("CALL: p99.9 > 1.9s", True, "2000 ms"),
        ("CALL: mean < 80ms", True, "69.8 ms"),
        ("CALL: p90 < 95ms", True, "90.88 ms"),
        ("CALL: p95 != 0ms", True, "96.06 ms"),
        ("CALL: count == 101", True, "101"),
        ("CALL: rate >= 10/s", True, "10.10/s"),
        ("CALL: rate < 10", False, "10.10/s"),
        ("CALL: failures <= 1", True, "1"),
        ("CALL: fail_ratio < 1%", True, "0.9901%"),
        ("CALL: fail_ratio < 0.005", False, "0.9901%"),
        ("CALL: skipped == 4", True, "4"),
        ("CALL: skipped == 4 min_samples 105", True, "4"),
        ("CALL: skipped == 4 min_samples 106", False, "105 samples"),
        ("CONNECT: fail_ratio < 1%", True, "0%"),
        ("EMIT[a]: b]: count == 7", True, "7"),
        ("PUSH[news*]: lost == 0", False, "1"),
        ("PUSH: lost == 1", True, "1"),
        ("PUSH[news]: duplicated == 1", True, "1"),
        ("PUSH[news]: reordered == 1", True, "1"),
        ("ledger: timeout == 0", False, "1"),
        ("ledger: acked == 100", True, "100"),
        ("ledger: open == 0 min_samples 101", True, "0"),
        ("ledger: open == 0 min_samples 102", False, "101 emits"),
        ("run: peak_users >= 500", False, "20"),
        ("run: duration >= 9.5s", True, "10.0 s"),
        ("run: workers_lost == 0", True, "0"),
        ("connections: upgraded == 1", True, "1"),
        ("connections: opened > 1", False, "1"),
        # Too few samples, or nothing that matches.
        ("CALL[nothing]: p99 < 1s", False, "no samples"),
        ("CALL[nothing]: failures == 0", False, "no samples"),
        ("CALL[nothing]: failures == 0 min_samples 0", True, "0"),
        ("CALL[nothing]: p99 < 1s min_samples 0", True, "no samples"),
        ("CALL: p99 < 5s min_samples 101", True, "99.97 ms"),
        ("CALL: p99 < 5s min_samples 102", False, "101 samples"),
        ("PUSH[other]: lost == 0", False, "no samples"),
        ("OPEN: failures == 0 min_samples 0", True, "0"),
        ("OPEN[(probe)]: failures == 1", True, "1"),
        ("OPEN[*]: failures == 1", True, "1"),
    ],
)
def test_checks_judge_the_figures(figures: Figures, text: str, ok: bool, value: str) -> None:
    result = evaluate(parse(text), figures, duration=10.0, peak_users=20)
    assert result.ok is ok
    if " ms" in value:
        # Percentiles are known to half a percent.
        assert result.value.endswith(" ms")
        assert float(result.value[:-3]) == pytest.approx(float(value[:-3]), rel=0.005)
    else:
        assert result.value == value
    assert result.failed is not ok
    assert bool(result.reason) is not ok


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CALLS: p99 < 1s", "unknown row type 'CALLS' (nearest: 'CALL')"),
        ("call: p99 < 1s", "unknown row type 'call' (nearest: 'CALL')"),
        ("ledgr: open == 0", "(nearest: 'ledger')"),
        ("CALL: p999 < 1s", "unknown stat 'p999' (nearest: 'p9"),
        ("CALL: median < 1s", "unknown stat 'median' (nearest: 'p50')"),
        ("CALL: P99 < 1s", "unknown stat 'P99' (nearest: 'p99')"),
        ("CALL: acked == 1", "unknown stat 'acked'"),
        ("CALL: p100 < 1s", "unknown stat 'p100' (nearest: 'max')"),
        ("CALL: avg < 1s", "unknown stat 'avg' (nearest: 'mean')"),
        ("FANOUT: reech > 99%", "unknown stat 'reech' (nearest: 'reach')"),
        ("FANOUT: spread_p9999 < 1s", "unknown stat 'spread_p9999'"),
        ("PUSH: missed == 0", "'missed' is of messages to rooms: use it with FANOUT"),
        ("CALL: spread_p99 < 1s", "'spread_p99' is of messages to rooms"),
        ("FANOUT: reach >= 101%", "a ratio is from 0 to 1"),
        ("FANOUT: spread_p99 < 5", "needs a unit"),
        ("FANOUT: spread_back_p99 < 5s", "unknown stat 'spread_back_p99'"),
        ("FANOUT: spread_spread_p99 < 5s", "unknown stat 'spread_spread_p99' (nearest: 'spread_p99')"),
        ("FANOUT: lost == 0", "'lost' is of pushes"),
        ("ledger: p99 < 1s", "unknown stat of ledger 'p99'"),
        ("run: peak_user > 1", "(nearest: 'peak_users')"),
        ("CALL: p99 = 1s", "unknown operator '=' (nearest: '==')"),
        ("CALL: p99 =< 1s", "unknown operator '=<' (nearest: '<=')"),
        ("CALL: p99 below 1s", "unknown operator 'below'"),
        ("CALL: p99 < 250", "'250' needs a unit: us, ms, s, m or h"),
        ("CALL: p99 < 250msec", "unknown unit 'msec' (nearest: 'ms')"),
        ("CALL: p99 < 4d", "unknown unit 'd'"),
        ("CALL: p99 < fast", "'fast' is no time"),
        ("CALL: p99 < -5ms", "'-5ms' is no time"),
        ("CALL: count > many", "'many' is no number"),
        ("CALL: count > 5ms", "number without a unit"),
        ("CALL: count > 5%", "number without a unit"),
        ("CALL: count > 5/s", "number without a unit"),
        ("CALL: fail_ratio < 1x", "unknown unit of a ratio 'x' (nearest: '%')"),
        ("CALL: fail_ratio < 5", "a ratio is from 0 to 1"),
        ("CALL: fail_ratio < 101%", "a ratio is from 0 to 1"),
        ("EMIT: p99 < 1s", "EMIT rows carry no time"),
        ("CALL: lost == 0", "'lost' is of pushes"),
        ("ledger[x]: open == 0", "takes no name"),
        ("CALL: p99 < 1s wran", "unknown word 'wran' (nearest: 'warn')"),
        ("CALL: p99 < 1s warn warn", "'warn' stands twice"),
        ("CALL: p99 < 1s abort", "abort after DURATION"),
        ("CALL: p99 < 1s abort after", "abort after DURATION"),
        ("CALL: p99 < 1s abort after 10", "'10' needs a unit"),
        ("CALL: p99 < 1s abort after 10s abort after 10s", "'abort' stands twice"),
        ("CALL: p99 < 1s min_samples", "min_samples takes a whole number"),
        ("CALL: p99 < 1s min_samples -1", "min_samples takes a whole number"),
        ("CALL: p99 < 1s min_samples 1.5", "min_samples takes a whole number"),
        ("run: peak_users > 1 min_samples 3", "has no samples"),
        ("ledger: open == 0 after 5s", "'open' is of the whole run"),
        ("run: workers_lost == 0 in peak", "'workers_lost' is of the whole run"),
        ("drill: back_p99 < 30s min_samples 0", "'drill' has no samples, so min_samples means nothing"),
        ("CALL p99 < 1s", "SELECTOR: STAT OP VALUE"),
        ("CALL: ", "STAT OP VALUE"),
        ("CALL: p99", "STAT OP VALUE"),
        ("CALL: p99 <", "STAT OP VALUE"),
        ("", "SELECTOR: STAT OP VALUE"),
    ],
)
def test_a_wrong_check_names_the_offender_and_what_is_near(text: str, said: str) -> None:
    with pytest.raises(CheckError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ("", (None, False, None)),
        ("warn", (None, True, None)),
        ("abort after 500ms", (0.5, False, None)),
        ("abort after 1m30s", (90.0, False, None)),
        ("abort after 10s warn min_samples 50", (10.0, True, 50)),
        ("min_samples 50 warn abort after 10s", (10.0, True, 50)),
    ],
)
def test_clauses_come_in_any_order(clauses: str, expected: tuple[float | None, bool, int | None]) -> None:
    check = parse(f"CALL: p99 < 250ms {clauses}")
    assert (check.abort_after, check.warn, check.min_samples) == expected
    assert check.limit == 0.25


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("CALL[message]: p99 < 1s", "; the nearest row is CALL[/chat message]"),
        ("CALL[ecko]: p99 < 1s", "; the nearest row is CALL[echo]"),
        ("RECV[news]: count > 0", "; the nearest row is PUSH[news]"),
        ("POST[/login]: p95 < 1s", "; there is no row of type POST"),
        ("PUSH[news]: p99 < 1s min_samples 5", None),
        ("CALL: count > 1000", None),
    ],
)
def test_a_name_that_matched_nothing_is_answered_by_the_nearest_row(
    figures: Figures, text: str, near: str | None
) -> None:
    result = evaluate(parse(text), figures, duration=10, peak_users=7)
    assert not result.ok
    assert result.reason.endswith(near) if near else "row" not in result.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PUSH: lost == 0", "no samples, where 1 is needed; give their handler @on(..., delivery="),
        ("RECV[news]: behind == 0", "delivery="),
        ("PUSH[other]: lost == 0", "the nearest row is PUSH[news]"),
        ("PUSH[news]: count == 9 min_samples 9", "1 sample, where 9 are needed"),
    ],
)
def test_a_check_on_delivery_that_nothing_counts_names_the_remedy(text: str, reason: str) -> None:
    recorder = Recorder()
    recorder.row("PUSH", "news").add(0.001)
    recorder.row("RECV", "news").tick()
    result = evaluate(parse(text), figures_of(recorder), duration=10, peak_users=7)
    assert not result.ok and not result.enough
    assert reason in result.reason
    assert ("delivery=" in result.reason) == ("delivery=" in reason)


def test_what_did_not_end_is_told_beside_the_times_of_its_own_rows() -> None:
    recorder = Recorder()
    for name, unfinished in (("joined", 2), ("left", 0)):
        row = recorder.row("WAIT", name)
        row.add(0.5)
        row.unfinished = unfinished
    figures = figures_of(recorder)
    for text, value in (
        ("WAIT[joined]: max < 1s", "500 ms (2 unfinished)"),
        ("WAIT[left]: max < 1s", "500 ms"),
        ("WAIT: max < 1s", "500 ms (2 unfinished)"),
        ("WAIT: unfinished == 2 min_samples 4", "2"),
        ("WAIT: rate == 0", "0.00/s"),
    ):
        assert evaluate(parse(text), figures, duration=0, peak_users=1).value == value, text
        assert evaluate(parse(text), figures, duration=0, peak_users=1).ok, text


def test_messages_that_nobody_had_the_time_to_judge_are_told_of() -> None:
    figures = Figures(audience=AudienceFigures({-math.inf: {"say": Heard(unjudged=9)}}))
    for text in ("FANOUT: reach >= 99%", "FANOUT[say]: p99 < 1s"):
        result = evaluate(parse(text), figures, duration=1, peak_users=1)
        told = "no samples, where 1 is needed; of 9 messages none was judged: the run has to go on"
        assert not result.ok and result.reason.startswith(told), result.reason


def test_a_share_that_equals_its_limit_is_neither_more_nor_less() -> None:
    assert all(parse(f"CALL: fail_ratio < {part / 100:g}%").limit == part / 10_000 for part in range(10_001))
    figures = Figures(audience=AudienceFigures({-math.inf: {"say": Heard(1, owed=1000, reached=999)}}))
    for text, ok in (("reach >= 99.9%", True), ("reach > 99.9%", False), ("reach < 99.91%", True)):
        result = evaluate(parse(f"FANOUT: {text}"), figures, duration=1, peak_users=1)
        assert (result.ok, result.value) == (ok, "99.9%"), text
    figures = Figures(audience=AudienceFigures({-math.inf: {"say": Heard(1, owed=80, reached=41)}}))
    assert evaluate(parse("FANOUT: reach > 1%"), figures, duration=1, peak_users=1).value == "51.25%"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CALL: max <= 10s", "max is 10.0003 s, not <= 10 s"),
        ("CALL: min <= 250ms", "min is 0.25002 s, not <= 0.25 s"),
        ("CALL: min <= 249ms", "min is 250 ms, not <= 249 ms"),
        ("CALL: rate >= 0.004", "rate is 0.00299997/s, not >= 0.004/s"),
        ("CALL: fail_ratio < 33.333%", "fail_ratio is 33.3333333%, not < 33.333%"),
        ("run: duration <= 1000s", "duration is 1000.01 s, not <= 1000 s"),
    ],
)
def test_what_misses_its_limit_narrowly_does_not_read_like_the_limit(text: str, reason: str) -> None:
    recorder = Recorder()
    row = recorder.row("CALL", "echo")
    row.add(0.25002)
    row.add(1.0)
    row.fail("no ack", 10.0003)
    result = evaluate(parse(text), figures_of(recorder), duration=1000.01, peak_users=1)
    assert not result.ok and result.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("HEARTBEAT: p50 > 1us", "p50 is 0.00005 ms, not > 0.001 ms"),
        ("HEARTBEAT: fail_ratio == 0", "fail_ratio is 0.00005%, not == 0%"),
    ],
)
def test_little_is_said_without_powers_of_ten(text: str, reason: str) -> None:
    recorder = Recorder()
    row = recorder.row("HEARTBEAT", "ping")
    row.add(0.0)
    row.add(1.0)
    row.fail("late", 0.0)
    figures = figures_of(recorder)
    figures.rows[0].untimed = 2_000_000 - 3
    assert evaluate(parse(text), figures, duration=1, peak_users=1).reason == reason


def test_a_warning_reports_without_failing(figures: Figures) -> None:
    result = evaluate(parse("CALL: max < 1ms warn"), figures, duration=1, peak_users=1)
    assert not result.ok and not result.failed and result.reason


@pytest.mark.parametrize(
    ("text", "about_time"),
    [
        ("CALL: p99 < 1s", True),
        ("CALL: max < 1s", True),
        ("CALL: count > 1", False),
        ("run: duration < 9s", False),
    ],
)
def test_checks_of_latency_are_known_as_such(text: str, about_time: bool) -> None:
    assert parse(text).about_time is about_time


def test_requests_beyond_a_users_own_are_meant_by_their_name_alone() -> None:
    everything, probes = parse("OPEN: p99 < 1s"), parse("OPEN[(probe)*]: p99 < 1s")
    for name in ("(probe)", "(probe) @moderator"):
        assert not everything.matches(name) and probes.matches(name)
    assert everything.matches("polling @moderator")


def test_a_name_pattern_knows_the_star_alone() -> None:
    check = parse("RECV[a[b]?.*]: count == 1")
    assert check.name == "a[b]?.*"
    assert check.matches("a[b]?.x")
    assert not check.matches("ab?.x")
    assert not parse("RECV[news]: count == 1").matches("news 2")
    assert parse("RECV[*]: count == 1").matches("any\nthing")


def test_toml_holds_a_list_of_checks() -> None:
    checks = parse_toml('checks = [\n  "CALL: p99 < 250ms",  # slow\n  "ledger: timeout == 0",\n]\n')
    assert [check.text for check in checks] == ["CALL: p99 < 250ms", "ledger: timeout == 0"]
    assert parse_toml("checks = []") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("checks = [", "isn't valid TOML"),
        ("check = []", "'check'"),
        ("", "must hold a list"),
        ("checks = 'CALL: p99 < 1s'", "must hold a list"),
        ("checks = [1]", "must hold a list"),
        ("checks = ['CALL: p999 < 1s']", "unknown stat 'p999'"),
    ],
)
def test_a_wrong_checks_file_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(CheckError) as caught:
        parse_toml(text)
    assert said in str(caught.value)
