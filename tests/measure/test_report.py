from __future__ import annotations

import json
import math
from typing import Any

import pytest

from sioload import CheckError, Report
from sioload.measure.health import HealthTotals, Windows
from sioload.measure.recorder import Recorder
from sioload.report.checks import parse
from sioload.report.document import exit_code, report, untrusted
from sioload.report.evaluation import CheckResult, evaluate
from sioload.report.figures import Figures
from sioload.report.heard import AudienceFigures, Heard
from sioload.report.merge import Swarm
from sioload.report.reading import check_result, totals_of
from sioload.report.reason import because, failures
from sioload.report.summary import summary_text


def recorded() -> Recorder:
    recorder = Recorder()
    row = recorder.row("CALL", "echo")
    for n in range(1000):
        row.add((n + 1) / 100_000)
        recorder.ledger.emits += 1
        recorder.ledger.end("acked")
    row.fail("no answer within 10 s", 10.0)
    recorder.ledger.emits += 1
    recorder.ledger.end("timeout")
    recorder.row("CALL", "paced").add(3.0)
    recorder.row("CALL", "paced").service(0.001)
    recorder.row("CALL", "paced").skipped += 2
    recorder.row("EMIT", "message").tick(5)
    recorder.row("PUSH", "news").add(0.002)
    recorder.row("RECV", "日本語" * 20).tick()
    recorder.connections.open("polling")
    recorder.connections.upgrade("polling", "websocket")
    recorder.connections.close("websocket", "client")
    receiver = recorder.delivery.receiver()
    for number in (1, 2, 4):
        receiver.seen("news", "s", number)
    recorder.bytes_sent, recorder.bytes_received = 123, 456
    return recorder


def figures_of(recorder: Recorder) -> Figures:
    swarm = Swarm()
    swarm.take("local", recorder.snapshot(1))
    return swarm.figures()


def judged(figures: Figures, *texts: str) -> list[CheckResult]:
    return [evaluate(parse(text), figures, duration=10, peak_users=7) for text in texts]


def report_of(figures: Figures, checks: list[CheckResult] | None = None, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "version": "0.1.0", "started": 1_767_225_600.0, "duration": 10.0, "host": "http://127.0.0.1:5000",
        "peak_users": 7, "checks": checks or [],
    }  # fmt: skip
    return report(figures, **{**arguments, **changes})


def test_the_report_has_every_field_of_its_schema() -> None:
    figures = figures_of(recorded())
    document = json.loads(json.dumps(report_of(figures, judged(figures, "CALL: count > 1"), workers=2)))
    assert document["schema"] == 2 and document["final"] is True
    assert document["started"] == "2026-01-01T00:00:00Z"
    assert document["users"] == {"asked": 7, "peak": 7, "ended": 0, "left": 0, "classes": []}
    assert (document["workers"], document["exceptions"]) == ({"expected": 2, "lost": 0}, [])
    assert (document["exit_reason"], document["phases"]) == ("", [])
    events = {(event["type"], event["name"]): event for event in document["events"]}
    call = events["CALL", "echo"]
    assert (call["count"], call["failures"], call["rate"], call["skipped"]) == (1001, 1, 100.1, 0)
    assert list(call["latency_ms"]) == ["min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"]
    assert call["latency_ms"]["min"] == 0.01
    assert call["latency_ms"]["p50"] == pytest.approx(5.01, rel=0.01)
    assert call["latency_ms"]["max"] == 10_000
    assert call["errors"] == {"no answer within 10 s": 1}
    assert call["service_ms"] is None
    paced = events["CALL", "paced"]
    assert paced["service_ms"]["max"] == 1.0 and paced["latency_ms"]["max"] == 3000 and paced["skipped"] == 2
    assert events["EMIT", "message"]["latency_ms"] is None
    assert events["PUSH", "news"]["clock_error_ms"] == 0.0
    assert document["ledger"] == {
        "emits": 1001, "acked": 1000, "sent": 0, "timeout": 1, "error": 0, "indeterminate": 0, "not_sent": 0,
        "open": 0, "late_acks": 0,
    }  # fmt: skip
    (delivery,) = document["delivery"]
    assert delivery["name"] == "news" and (delivery["expected"], delivery["received"], delivery["lost"]) == (
        4,
        3,
        1,
    )
    assert {"duplicated", "reordered", "reconnect_gaps"} <= set(delivery)
    connections = document["connections"]
    assert (connections["opened"], connections["upgraded"], connections["closed"]) == (1, 1, {"client": 1})
    assert document["bytes"] == {"sent": 123, "received": 456}
    assert {"verdict", "cpu_peak", "own_lag_p99_ms", "machine_lag_p99_ms", "reasons"} <= set(
        document["health"]
    )
    (check,) = document["checks"]
    assert (check["check"], check["ok"], check["value"]) == ("CALL: count > 1", True, "1002")
    assert document["exit_code"] == 0


def test_a_run_without_any_sample_makes_a_report() -> None:
    document = report_of(Figures(), duration=0.0)
    assert document["events"] == [] and document["ledger"]["emits"] == 0
    assert "0 emits" in summary_text(document)


def limited() -> HealthTotals:
    return HealthTotals(steady=Windows(count=4, limited=4, cpu_peak=0.99))


def test_exit_codes_take_the_first_reason_that_applies() -> None:
    figures = figures_of(recorded())
    assert exit_code(figures) == 0
    assert exit_code(figures, locust=1) == 1
    assert exit_code(figures, judged(figures, "CALL: count == 0 warn"), locust=1) == 1
    assert exit_code(figures, judged(figures, "CALL: count == 0"), locust=1) == 3
    figures.ledger.emits += 1
    assert exit_code(figures, judged(figures, "CALL: count == 0"), locust=1) == 4


def test_a_run_whose_users_all_failed_to_connect_ends_with_1() -> None:
    recorder = Recorder()
    assert exit_code(figures_of(recorder), locust=7) == 7, "nobody tried"
    recorder.row("CONNECT", "/").fail("refused")
    recorder.row("CALL", "echo").add(0.1)
    assert exit_code(figures_of(recorder), locust=7) == 1
    recorder.connections.open("websocket")
    assert exit_code(figures_of(recorder), locust=7) == 7
    recorder.connections.close("websocket", "client")
    assert exit_code(figures_of(recorder), locust=7) == 7, "some had a session"
    later = Recorder()
    later.connections.open("websocket")
    figures = figures_of(later)
    figures.connections.opened = 0  # statistics were reset while they were connected
    figures.rows = figures_of(recorder).rows
    assert exit_code(figures, locust=7) == 7
    other = Recorder()
    other.row("CALL", "echo").fail("no")
    other.row("CONNECT", "/").add(0.1)
    assert exit_code(figures_of(other), locust=7) == 7, "what failed was no CONNECT"


def test_the_report_ranks_exceptions_and_sorts_what_has_a_name() -> None:
    recorder = recorded()
    for kind, place, times in (
        ("B", "u.py:2", 2),
        ("A", "u.py:9", 2),
        ("A", "u.py:1", 2),
        ("C", "u.py:3", 5),
    ):
        for _ in range(times):
            recorder.population.raised(kind, place, "why")
    for name in ("Writer", "Reader"):
        recorder.population.of(name).spawned()
    recorder.delivery.receiver().seen("chat", "s", 1)
    document = report_of(figures_of(recorder), asked_users=9, asked_of={"Writer": 4}, ended_by="SIGINT")
    ranked = [(each["kind"], each["place"], each["count"]) for each in document["exceptions"]]
    assert ranked == [("C", "u.py:3", 5), ("A", "u.py:1", 2), ("A", "u.py:9", 2), ("B", "u.py:2", 2)]
    assert [(each["class"], each["asked"], each["ran"]) for each in document["users"]["classes"]] == [
        ("Reader", 1, 1),
        ("Writer", 4, 1),
    ]
    assert [each["name"] for each in document["delivery"]] == ["chat", "news"]
    assert (document["users"]["asked"], document["users"]["peak"]) == (9, 7)
    assert document["ended_by"] == "SIGINT" and "ended_by" not in report_of(figures_of(recorder))


def test_each_reason_for_distrust_is_named() -> None:
    swarm, recorder = Swarm(), recorded()
    recorder.internal_error("callback raised KeyError")
    recorder.ledger.emits += 3
    swarm.take("w1", recorder.snapshot(1), now=1.0)
    swarm.lost("w1", now=3.0)
    figures = swarm.figures()
    figures.health = [("w1", limited())]
    text = "\n".join(untrusted(figures))
    for part in ("worker w1 was lost with up to 2.0 s", "3 emits", "callback raised KeyError", "generator"):
        assert part in text
    rooms = "messages to rooms count without the users of lost workers"
    assert rooms not in text
    figures.audience = AudienceFigures({-math.inf: {"room": Heard(messages=2, owed=10, reached=9)}})
    assert rooms in "\n".join(untrusted(figures))
    figures.lost, figures.health = [], [("w1", HealthTotals()), ("w2", limited())]
    text = "\n".join(untrusted(figures))
    assert rooms not in text and "generator" in text, "one of them was at its limit"


def test_without_pacing_a_limited_generator_matters_to_checks_of_times_only() -> None:
    figures = figures_of(recorded())
    figures.health = [("local", limited())]
    assert exit_code(figures) == 4
    assert exit_code(figures, paced=False) == 0
    assert exit_code(figures, judged(figures, "CALL: count > 0"), paced=False) == 0
    assert exit_code(figures, judged(figures, "CALL: p99 < 20s"), paced=False) == 4
    assert report_of(figures, paced=False)["health"]["verdict"] == "generator limited"


def test_the_summary_fits_80_columns_and_shows_the_same_counts() -> None:
    figures = figures_of(recorded())
    checks = judged(figures, "CALL: count > 1", "CALL: max < 1ms", "CALL: max < 1ms warn")
    text = summary_text(report_of(figures, checks, exit_code=3))
    assert max(len(line) for line in text.splitlines()) <= 80
    row = next(line.split() for line in text.splitlines() if line.startswith("CALL") and " echo " in line)
    assert row[:4] == ["CALL", "echo", "1001", "1"]
    emit = next(line.split() for line in text.splitlines() if line.startswith("EMIT"))
    assert emit[-3:] == ["-", "-", "-"]
    for part in ("1001 emits", "1000 acked", "it balances", "no answer within 10 s", "2 starts skipped"):
        assert part in text
    for part in (
        "ok    CALL: count > 1",
        "FAIL  CALL: max < 1ms",
        "warn  CALL: max < 1ms warn",
        "exit code 3",
    ):
        assert part in text
    assert "news: 3 of 4 received, 1 lost" in " ".join(text.split())
    assert "\x1b" not in text


def test_the_clock_error_stands_beside_push() -> None:
    figures = figures_of(recorded())
    figures.clock_error = 0.0042
    assert "PUSH news: clocks agree within 4.20 ms" in summary_text(report_of(figures))


def test_colours_come_on_request_only() -> None:
    figures = figures_of(recorded())
    document = report_of(figures, judged(figures, "CALL: max < 1ms"), exit_code=3)
    assert "\x1b[31mFAIL\x1b[0m" in summary_text(document, colour=True)


def test_nothing_is_cut_off_at_80_columns() -> None:
    recorder = recorded()
    name = "a-name-that-takes-more-than-one-line-of-the-table"
    remedy = (
        "a failure whose remedy stands at its end, "
        + "so far to the right that no terminal shows it: do that"
    )
    recorder.row("CALL", name).fail(
        remedy, 0.1, lambda: 'users.py:12, reply {"ok": false, "why": "' + "w" * 90
    )
    figures = figures_of(recorder)
    check = judged(figures, f"CALL[{name}]: fail_ratio < 1% min_samples 1 abort after 10s")
    text = summary_text(report_of(figures, check), width=80)
    assert all(len(line) <= 80 for line in text.splitlines() if line.isascii()), text
    joined = "".join(text.split())
    for whole in (name, remedy, "users.py:12", "w" * 90, check[0].check.text, check[0].reason):
        assert "".join(whole.split()) in joined, text


def test_the_last_line_is_the_exit_code_though_a_check_was_written_in_several_lines() -> None:
    figures = figures_of(recorded())
    (check,) = judged(figures, "\nCALL: max < 1ms\n  min_samples 1\n")
    reason = because(3, [], [check])
    text = summary_text(report_of(figures, [check], exit_code=3, exit_reason=reason))
    assert text.splitlines()[-1] == (
        "exit code 3: 1 check failed: CALL: max < 1ms min_samples 1 (max is 10.00 s, not < 1 ms)"
    )


def test_the_reason_of_an_exit_code_names_three_causes_the_worst_first() -> None:
    figures = figures_of(recorded())
    assert because(4, list("abc"), []) == "the figures can't be trusted: a, b, c"
    assert because(4, list("abcde"), []) == "the figures can't be trusted: a, b, c, and 2 more"
    checks = judged(figures, "CALL: count > 1", "CALL: max < 1ms", "CALL: max < 2ms warn")
    assert because(3, [], checks) == "1 check failed: CALL: max < 1ms (max is 10.00 s, not < 1 ms)"
    assert because(1, list("abc"), checks) == ""
    recorder = Recorder()
    recorder.row("CALL", "fine").add(0.1)
    recorder.foreign_row("POST", "/login").fail("401 Client Error: who?", 0.1)
    for text in ("no ack", "refused", "refused"):
        recorder.row("CALL", "echo").fail(text)
    assert failures(figures_of(recorder)) == "4 failures: CALL echo 3 (refused), POST /login 1 (401)"
    for kind, times in (("KeyError", 1), ("Odd", 2)):
        for _ in range(times):
            recorder.population.raised(kind, "u.py:3", "why")
    told = failures(figures_of(recorder))
    assert told.endswith("(401); 3 exceptions: Odd at u.py:3 2, KeyError at u.py:3 1")
    assert failures(figures_of(Recorder())) == ""


def test_wide_names_keep_the_columns_straight() -> None:
    text = summary_text(report_of(figures_of(recorded())))
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("RECV"))
    wide = sum(ord(c) > 0x2E80 for c in row)
    assert len(row) + wide == len(lines[2])


@pytest.mark.parametrize("odd", ["", "a"])
def test_wide_failures_and_long_names_are_wrapped_at_80_columns(odd: str) -> None:
    recorder = recorded()
    row, reason = recorder.row("CALL", "an event " * 12), odd + "部屋は満員です" * 12
    row.fail(reason, 0.1)
    row.skipped = row.unfinished = 3
    text = summary_text(report_of(figures_of(recorder)))
    columns = [len(line) + sum(ord(c) > 0x2E80 for c in line) for line in text.splitlines()]
    assert max(columns) <= 80, text
    told = "".join(text.split())
    assert reason in told and "3startsskipped" in told and "\0" not in text


def test_an_unbalanced_ledger_and_unverified_tls_are_shown() -> None:
    figures = figures_of(recorded())
    figures.ledger.emits += 2
    text = summary_text(report_of(figures, exit_code=4, settings={"tls_verify": False}))
    assert "2 open: IT DOESN'T BALANCE" in " ".join(text.split())
    assert "UNTRUSTED" in text and "TLS certificates were not verified" in text


def test_while_a_run_goes_on_open_emits_are_no_fault_and_a_second_outcome_is() -> None:
    figures = figures_of(recorded())
    figures.going = True
    figures.ledger.emits += 2
    document = report_of(figures)
    assert (document["final"], document["untrusted"], document["ledger"]["open"]) == (False, [], 2)
    assert document["blocks"] is None
    assert exit_code(figures) == 0
    assert "2 open, as the run goes on" in " ".join(summary_text(document).split())
    figures.ledger.emits -= 3
    assert report_of(figures)["untrusted"] and exit_code(figures) == 4


#: Each of a kind that a report, read back, must tell as the run did.
CHECKS = (
    "CALL: p99 < 250ms", "CALL: p99.9 <= 10s", "CALL[echo]: mean < 1ms", "CALL[ec*]: fail_ratio < 0.01%",
    "CALL: max == 10s", "CALL[paced]: skipped == 2", "EMIT: count == 5", "EMIT: rate > 1",
    "PUSH[news]: lost == 0", "PUSH: p50 < 3ms min_samples 2", "CALL[nothing]: count > 0",
    "ledger: timeout == 0", "ledger: emits == 1001", "run: peak_users >= 7", "run: duration < 9s",
    "connections: upgraded == 1", "connections: current == 1", "FANOUT[room]: reach >= 90%",
    "FANOUT: missed == 1", "FANOUT: strays == 0 min_samples 0", "drill: back_p99 < 2s",
    "drill: not_back == 0",
)  # fmt: skip


def test_a_check_on_the_report_is_that_on_the_run() -> None:
    figures = figures_of(recorded())
    figures.audience = AudienceFigures({-math.inf: {"room": Heard(messages=2, owed=10, reached=9)}})
    figures.drill = [{"lost": 3, "not_back": 1, "back_ms": {"p99": 1500.0}}]
    written = json.loads(json.dumps(report_of(figures)))
    for text, of_the_run in zip(CHECKS, judged(figures, *CHECKS), strict=True):
        assert check_result(written, text) == of_the_run, text
    for row, event in zip(figures.rows, written["events"], strict=True):
        times = totals_of(event).times
        assert (times.counts, times.min, times.max) == (row.times.counts, row.times.min, row.times.max)


def test_a_check_on_a_phase_of_the_report_is_on_that_phase() -> None:
    written = report_of(figures_of(recorded()))
    rest, peak = ({**written, "name": name, "start_s": 0.0, "end_s": 5.0} for name in ("rest", "peak"))
    written["phases"] = [{**rest, "events": [], "users": {"peak": 3}}, peak]
    for text, value in (
        ("CALL: count == 1002 in peak", "1002"),
        ("CALL: count == 0 in rest min_samples 0", "0"),
        ("CALL[echo]: rate > 200 in peak", "200.20/s"),
        ("CALL[echo]: rate < 200", "100.10/s"),
        ("run: peak_users == 3 in rest", "3"),
        ("FANOUT: reach < 1 min_samples 0", "no samples"),
        ("EMIT: rate > 0.9 in peak", "1.00/s"),
    ):
        result = check_result(written, text)
        assert (result.ok, result.value) == (True, value), text
    with pytest.raises(CheckError, match="give it to the run"):
        check_result(written, "FANOUT: spread_p99 < 1s")


def test_rows_are_asked_by_name_and_checks_raise() -> None:
    report = Report(report_of(figures_of(recorded())))
    echo = report["CALL echo"]
    assert (echo.count, echo.failures, echo.max) == (1001, 1, 10.0)
    assert echo.p99 == pytest.approx(0.0099, rel=0.02) and echo.percentile(50) == echo.p50
    assert report["EMIT message"].p50 is report["EMIT message"].percentile(50) is None
    assert "CALL echo" in report and list(report)[:2] == ["CALL echo", "CALL paced"]
    with pytest.raises(KeyError, match="nearest is 'CALL echo'"):
        report["CALL ecco"]
    assert report.check("CALL[echo]: p99 < 250ms").endswith(" ms")
    with pytest.raises(AssertionError) as failed:
        report.check("CALL[paced]: p99 < 250ms")
    assert str(failed.value) == "CALL[paced]: p99 < 250ms: p99 is 3000 ms, not < 250 ms"
    report.check("CALL[paced]: p99 < 250ms warn")
    with pytest.raises(CheckError, match="nearest"):
        report.check("CALLS: p99 < 250ms")
    with pytest.raises(CheckError, match="give it to the run"):
        report.check("CALL: p99 < 250ms after 20s")
    with pytest.raises(AssertionError, match="never reached the phase 'peak'"):
        report.check("CALL: p99 < 250ms in peak")
