"""Pages of one report, whole: what a job, JUnit, GitHub and the terminal are told of each part of it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from sioload.report.ci import github_lines, junit_xml, markdown
from sioload.report.summary import summary_text

TIMES = {"p50": 1.5, "p99": 12.3, "max": 250.0}


def event(type: str, name: str, count: int, failures: int, **more: Any) -> dict[str, Any]:
    untold = {
        "latency_ms": None,
        "service_ms": None,
        "skipped": 0,
        "unfinished": 0,
        "errors": {},
        "first": {},
    }
    known = {"type": type, "name": name, "count": count, "failures": failures, "rate": count / 10}
    return {**known, **untold, **more}


def phase(name: str, begin: float, users: int, latency: dict[str, float] | None) -> dict[str, Any]:
    calls = {"count": 7, "rate": 1.4, "latency_ms": latency}
    return {"name": name, "start_s": begin, "end_s": begin + 5, "calls": calls, "failures": 2,
            "users": {"start": users, "end": 3, "peak": 3}}  # fmt: skip


def check(text: str, ok: bool, warn: bool) -> dict[str, Any]:
    return {"check": text, "ok": ok, "warn": warn, "value": "5", "reason": "" if ok else "it is 7"}


@pytest.fixture
def report() -> dict[str, Any]:
    """Of a run of which all that can be told is told."""
    errors: dict[str, Any] = {"errors": {"no ack": 1, "refused": 3}, "first": {"refused": "users.py:7"}}
    return {
        "started": "2026-01-01T00:00:00Z", "duration_s": 10.0, "host": "http://h", "final": True,
        "users": {"asked": 5, "peak": 3, "ended": 1, "left": 1}, "ended_by": "SIGTERM",
        "phases": [phase("up", 0.0, 1, TIMES), phase("rest", 5.0, 3, None)],
        "events": [
            event("CALL", "echo", 7, 2, latency_ms=TIMES, service_ms={"p99": 0.5}, skipped=1, unfinished=2,
                  clock_error_ms=0.25, **errors),
            event("EMIT", "say", 4, 0),
        ],
        "exceptions": [{"kind": "KeyError", "message": "'x'", "place": "users.py:9", "count": 2},
                       {"kind": "Odd", "message": "", "place": "users.py:8", "count": 1}],
        "checks": [check("a", True, False), check("b", False, False), check("c", False, True)],
        "untrusted": ["worker w was lost", "the ledger"], "settings": {"tls_verify": False},
        "exit_code": 4, "exit_reason": "the figures can't be trusted: worker w was lost",
        "ledger": {"emits": 9, "acked": 2, "sent": 4, "timeout": 0, "error": 1, "indeterminate": 0,
                   "not_sent": 0, "open": 2, "late_acks": 1},
        "connections": {"opened": 3, "upgraded": 2, "closed": {"client": 2, "server": 1}},
        "delivery": [{"name": "news", "expected": 4, "received": 3, "lost": 1, "duplicated": 0,
                      "reordered": 0, "reconnect_gaps": 2, "behind": 1}],
        "audience": [{"name": "m", "messages": 2, "owed": 5, "reached": 4, "missed": 1, "strays": 1,
                      "duplicates": 2, "late": 3, "unjudged": 6, "spread_ms": {"p99": 4.0}, "share": 0.25,
                      "worst": [{"missed": 1, "of": 5, "id": "7", "room": "lobby"}]}],
        "feeds": [{"name": "a.csv", "rows": 1, "taken": 2, "most_held": 1,
                   "held_twice": [{"rows": 1, "from_s": 1.0, "to_s": 2.5, "worker": "w"}]}],
        "health": {"verdict": "generator limited", "reasons": ["too busy"], "cpu_peak": 0.99,
                   "own_lag_p99_ms": 1.5, "machine_lag_p99_ms": 20.0},
    }  # fmt: skip


JOBS_PAGE = """\
## sioload: the figures can't be trusted (exit code 4)

http://h, 3 users, 10.0 s, ended early by SIGTERM

- **the figures can't be trusted: worker w was lost**
- 5 users asked for, 3 ran; 1 died (an exception, no connection, no row); 1 left by themselves (StopUser)
- **TLS certificates were not verified**
- **the ledger**

| check | | measured |
|---|---|---|
| a | ok | 5 |
| b | **failed** | it is 7 |
| c | warning | it is 7 |

| phase | from s | to s | users | calls | per second | p50 ms | p99 ms | failures |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| up | 0 | 5 | 3 | 7 | 1.4 | 1.50 | 12.3 | 2 |
| rest | 5 | 10 | 3 | 7 | 1.4 |  |  | 2 |

| type | name | count | failures | per second | p50 ms | p99 ms | max ms |
|---|---|--:|--:|--:|--:|--:|--:|
| CALL | echo | 7 | 2 | 0.7 | 1.50 | 12.3 | 250 |
| EMIT | say | 4 | 0 | 0.4 |  |  |  |

Audience of m: 4 of 5 reached, 1 missed, 1 stray, 2 duplicates

Ledger: 9 emits, 2 acked, 4 sent, 0 timeout, 1 error, 0 indeterminate, 0 not&#95;sent, 2 open, 1 late&#95;acks

Generator: generator limited
- too busy
"""

TERMINAL = """\
sioload: http://h, 3 users, 10.0 s, ended early by SIGTERM
5 users asked for, 3 ran; 1 died (an exception, no connection, no row); 1 left
by themselves (StopUser)

type  name      count  fails   /s  p50 ms  p99 ms  max ms
---------------------------------------------------------
CALL  echo          7      2  0.7    1.50    12.3     250
EMIT  say           4      0  0.4       -       -       -
CALL echo: service p99 0.50 ms
CALL echo: clocks agree within 0.25 ms
CALL echo: 1 start skipped
CALL echo: 2 unfinished (ended with their user)

phase     from  to s  users  calls   /s  p50 ms  p99 ms  fails
--------------------------------------------------------------
up           0     5   1..3      7  1.4    1.50    12.3      2
rest         5    10      3      7  1.4       -       -      2

failures
       3  CALL echo: refused
          the first at users.py:7
       1  CALL echo: no ack

exceptions
       2  KeyError: 'x' (users.py:9)
       1  Odd (users.py:8)

ledger       9 emits: 2 acked, 4 sent, 0 timeout, 1 error, 0 indeterminate, 0
             not_sent, 1 late ack; 2 open: IT DOESN'T BALANCE
connections  3 opened, 2 upgraded; closed: 2 client, 1 server
delivery     news: 3 of 4 received, 1 lost, 0 duplicated, 0 reordered, 2 missed
             while reconnecting; 1 receiver fell silent behind others
             expected is what lies between a receiver's first and last number;
             that it never got a first one, or none after its last, isn't seen
             but where others of its stream got on, and where room= is given
audience     m: 2 messages, 4 of 5 reached, 1 missed, 1 stray, 2 duplicates, 3
             late, 6 not judged; first to last arrival p99 4.00 ms; of one
             message in 4
             1 of 5 missed 7 in lobby
feed         a.csv: 1 row, taken 2 times, 1 held at a time
             1 row may have been held twice from 1.0 s to 2.5 s: worker w was
             silent and came back
health       generator limited: CPU up to 99% of a core, own lag p99 1.50 ms,
             machine lag p99 20.0 ms
             too busy

checks
ok    a  (5)
FAIL  b  (it is 7)
warn  c  (it is 7)

UNTRUSTED    worker w was lost
UNTRUSTED    the ledger
TLS certificates were not verified
report r.json
exit code 4: the figures can't be trusted: worker w was lost
"""


def test_a_jobs_page_tells_all(report: dict[str, Any]) -> None:
    assert markdown(report) == JOBS_PAGE
    told = {0: "passed", 1: "failed", 3: "a check failed"}
    for code, verdict in told.items():
        page = markdown({**report, "exit_code": code, "exit_reason": "", "untrusted": [], "settings": {}})
        assert page.startswith(f"## sioload: {verdict} (exit code {code})\n")
        assert "\n\n- 5 users asked for" in page and "certificates" not in page


def test_a_jobs_page_of_a_run_with_little_to_tell_has_no_empty_parts(report: dict[str, Any]) -> None:
    calm = {"asked": 3, "peak": 3, "ended": 0, "left": 0}
    rows = [event("EMIT", f"{number}", 1, 0) for number in range(32)]
    little = {**report, "users": calm, "phases": [], "checks": [], "audience": [], "events": rows}
    page = markdown(little)
    assert (
        page.count("\n|---") == 1
        and "phase" not in page
        and "Audience" not in page
        and "asked for" not in page
    )
    assert "| EMIT | 29 | 1 |" in page and "| EMIT | 30 |" not in page
    assert "\n\n...and 2 more rows in the report.\n" in page
    assert "more row" not in markdown({**little, "events": rows[:30]})


def test_junit_and_githubs_log_tell_what_is_wrong(report: dict[str, Any]) -> None:
    (suite,) = ElementTree.fromstring(junit_xml(report))
    assert [each.attrib for each in suite.iter("property")] == [
        {"name": "warning", "value": "TLS certificates were not verified"},
        {"name": "time", "value": "ended early by SIGTERM"},
        {"name": "phase up",
         "value": "0 s to 5 s, 3 users at the peak, 7 calls, p50 1.5 ms, p99 12.3 ms, 2 failures"},
        {"name": "phase rest", "value": "5 s to 10 s, 3 users at the peak, 7 calls, 2 failures"},
    ]  # fmt: skip
    assert [case.findtext("system-out") for case in suite.iter("testcase")] == [
        "measured: 5", None, "warning: it is 7"
    ]  # fmt: skip
    assert suite.findtext("testcase/failure") == "b\nit is 7"
    assert github_lines(report).splitlines() == [
        "::error title=sioload figures::worker w was lost",
        "::error title=sioload figures::the ledger",
        "::warning title=sioload::TLS certificates were not verified",
        "::error title=sioload check::b: it is 7",
        "::warning title=sioload check::c: it is 7",
    ]
    quiet = junit_xml({**report, "ended_by": "", "settings": {}, "phases": []})
    assert "<propert" not in quiet


def test_the_terminal_is_told_all(report: dict[str, Any]) -> None:
    assert summary_text(report, files=["report r.json"]) == TERMINAL
    coloured = summary_text(report, colour=True)
    for part in ("\x1b[31mhealth ", "\x1b[32mok\x1b[0m    a ", "\x1b[31mFAIL\x1b[0m  b ",
                 "\x1b[33mwarn\x1b[0m  c ", "\x1b[31mexit code 4"):  # fmt: skip
        assert part in coloured
    assert "\x1b[32mexit code 0\x1b[0m\n" in summary_text(
        {**report, "exit_code": 0, "exit_reason": ""}, colour=True
    )


def test_the_terminal_is_told_ten_kinds_of_failure_and_how_many_more(report: dict[str, Any]) -> None:
    kinds = {f"kind {number}": number for number in range(1, 13)}
    raised = [{"kind": f"Error{n}", "message": "", "place": "u.py:1", "count": 1} for n in range(11)]
    events = [event("CALL", "echo", 99, 78, errors=kinds)]
    text = summary_text({**report, "events": events, "exceptions": raised})
    assert "      12  CALL echo: kind 12\n" in text and "kind 3\n" in text and "kind 2\n" not in text
    assert text.count("  and 2 more kinds, in the report\n") == 1
    assert "Error9 (" in text and "Error10 (" not in text and "  and 1 more kind, in the report\n" in text
    text = summary_text(
        {**report, "events": [event("CALL", "echo", 1, 1, errors={"no": 1})], "exceptions": []}
    )
    assert "more kind" not in text and "exceptions" not in text
    kinds = {f"kind {number}": number for number in range(10)}
    events = [event("CALL", "echo", 99, 45, errors=kinds)]
    assert "more kind" not in summary_text({**report, "events": events, "exceptions": raised[:10]})


def test_the_terminal_is_told_nothing_of_what_there_is_not(report: dict[str, Any]) -> None:
    ledger = {**report["ledger"], "open": 0, "late_acks": 0}
    calm = {**report, "delivery": [], "connections": {"opened": 3, "upgraded": 2, "closed": {}},
            "health": {**report["health"], "verdict": "ok", "reasons": []}, "checks": [], "host": "",
            "final": False, "ledger": ledger, "ended_by": ""}  # fmt: skip
    text = summary_text(calm, colour=True)
    assert text.startswith("sioload: 3 users, 10.0 s\n5 users")
    assert "\nconnections  3 opened, 2 upgraded\naudience " in text, "no delivery"
    assert "not_sent; it balances\n" in text and "\nhealth       ok: CPU" in text and "checks" not in text
    died = {**report["users"], "ended": 0, "left": 0}
    assert "\n5 users asked for, 3 ran\n" in summary_text({**report, "users": died})


def test_a_name_has_the_room_that_the_line_leaves_it(report: dict[str, Any]) -> None:
    for name, width, shown in (
        ("n" * 31, 80, ["n" * 31]),
        ("n" * 32, 80, ["n" * 31, "n"]),
        ("部" * 15, 80, ["部" * 15]),
        ("部" * 16, 80, ["部" * 15, "部"]),
        ("e\u0301" * 31, 80, ["e\u0301" * 31]),
        ("n" * 17, 40, ["n" * 8, "n" * 8, "n"]),
    ):
        text = summary_text({**report, "events": [event("CALL", name, 7, 2, latency_ms=TIMES)]}, width=width)
        table = text.partition("---\n")[2].partition("\n\n")[0].splitlines()
        assert [line.removeprefix("CALL").split()[0] for line in table] == shown, name


def test_the_terminal_is_told_of_rooms_whose_members_nobody_named(report: dict[str, Any]) -> None:
    (heard,) = report["audience"]
    nobody = {**heard, "owed": 0, "reached": 0, "missed": 0, "share": 1.0, "spread_ms": None, "worst": []}
    text = " ".join(summary_text({**report, "audience": [nobody]}).split())
    assert "6 not judged; nobody was known to be in these rooms: scripts say it with" in text
    assert "nobody was known" not in TERMINAL and "of one message" not in text and "arrival" not in text
