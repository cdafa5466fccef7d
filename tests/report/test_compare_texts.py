"""What `sioload compare` says of a comparison that has all there is to say, whole."""

from __future__ import annotations

from typing import Any

import pytest

from sioload.report.ci import md
from sioload.report.compare_text import LEGEND, headline, markdown, terminal
from sioload.report.summary import wrapped


def stat(
    name: str,
    before: float | None,
    after: float | None,
    change: float | None,
    real: bool | None,
    verdict: str,
) -> dict[str, Any]:
    unit = {"fail_ratio": "", "rate": "/s", "sent": "/s", "open": "/s"}.get(name, "ms")
    return {"stat": name, "unit": unit, "before": before, "after": after, "change": change, "real": real,
            "verdict": verdict}  # fmt: skip


@pytest.fixture
def comparison() -> dict[str, Any]:
    side = {"started": "2026-01-01T00:00:00Z", "host": "", "sioload": "1", "duration_s": 30.0}
    worse = stat("p99", 100.0, 150.0, 0.5, True, "real, worse")
    return {
        "before": [{**side, "file": "a.json", "users": 1}, {**side, "file": "b.json", "users": 20}],
        "after": [{**side, "file": "c.json", "users": 20}],
        "comparable": False, "reasons": ["user numbers: 1 in a.json, 20 in b.json"],
        "notes": ["a.json has no blocks of time"],
        "rows": [
            {"type": "CALL", "name": "echo", "stats": [
                stat("p50", 9.0, 8.1, -0.1, True, "real, better"),
                stat("p95", 1.0, 2.0, 1.0, True, "real, worse"), worse,
                stat("rate", 2000.0, 2050.0, 0.025, True, "real"),
                stat("fail_ratio", 0.0, 0.0123, None, False, "noise")]},
            {"type": "EMIT", "name": "say", "stats": [
                stat("p50", None, 0.01234, None, None, "not judged"), stat("rate", 0.0, 0.0, 0.0, False, ""),
                stat("fail_ratio", 0.0, 0.0, 0.0, False, "")]},
        ],
        "ledger": [stat("sent", 50.0, 25.0, -0.5, True, "real")],
        "connections": [],
        "fail_on": [
            {"fail_on": "CALL: p99 +10%", **worse, "failed": True, "reason": "real, worse"},
            {"fail_on": "CALL: rate -5%", **stat("rate", 2000.0, 2050.0, 0.025, True, "real"),
             "failed": False, "reason": "within"},
        ],
        "exit_code": 3,
    }  # fmt: skip


TERMINAL = """\
before  a.json: 1 user, 30.0 s, 2026-01-01T00:00:00Z
before  b.json: 20 users, 30.0 s, 2026-01-01T00:00:00Z
after   c.json: 20 users, 30.0 s, 2026-01-01T00:00:00Z
NOT COMPARABLE  user numbers: 1 in a.json, 20 in b.json
note    a.json has no blocks of time

                      before       after    change
CALL echo
  p50 ms                9.00        8.10     -10 %  real, better
  p99 ms                 100         150     +50 %  real, worse
  /s                   2,000       2,050    +2.5 %  real
  failures %            0.00        1.23    from 0  noise
EMIT say
  p50 ms                   -       0.012         -  not judged
  /s                    0.00        0.00    +0.0 %
ledger
  sent /s               50.0        25.0     -50 %  real

LEGEND

FAIL  CALL: p99 +10%  (100 to 150 ms, +50 %: real, worse)
ok    CALL: rate -5%  (2,000 to 2,050 /s, +2.5 %: within)

HEADLINE
"""

MARKDOWN = """\
### HEADLINE

- before: a.json: 1 user, 30.0 s, 2026-01-01T00:00:00Z
- before: b.json: 20 users, 30.0 s, 2026-01-01T00:00:00Z
- after: c.json: 20 users, 30.0 s, 2026-01-01T00:00:00Z
- **not comparable**: user numbers: 1 in a.json, 20 in b.json
- a.json has no blocks of time
- **failed**: CALL: p99 +10% (100 to 150 ms, +50 %: real, worse)
- ok: CALL: rate -5% (2,000 to 2,050 /s, +2.5 %: within)

| row | | before | after | change | |
|---|---|--:|--:|--:|---|
| CALL echo | p50 ms | 9.00 | 8.10 | -10 % | **real, better** |
| CALL echo | p99 ms | 100 | 150 | +50 % | **real, worse** |
| CALL echo | /s | 2,000 | 2,050 | +2.5 % | **real** |
| ledger | sent /s | 50.0 | 25.0 | -50 % | **real** |

<details><summary>2 rows, ledger and connections</summary>

| row | | before | after | change | |
|---|---|--:|--:|--:|---|
| CALL echo | p50 ms | 9.00 | 8.10 | -10 % | **real, better** |
| CALL echo | p99 ms | 100 | 150 | +50 % | **real, worse** |
| CALL echo | /s | 2,000 | 2,050 | +2.5 % | **real** |
| CALL echo | failures % | 0.00 | 1.23 | from 0 | noise |
| EMIT say | p50 ms | - | 0.012 | - | not judged |
| EMIT say | /s | 0.00 | 0.00 | +0.0 % |  |
| ledger | sent /s | 50.0 | 25.0 | -50 % | **real** |

LEGEND

</details>
"""


def test_the_headline_tells_what_came_out(comparison: dict[str, Any]) -> None:
    assert headline(comparison) == (
        "sioload compare: 1 worse, 1 better, 2 rates changed; the runs are not comparable; "
        "1 of 2 --fail-on failed; exit code 3"
    )
    calm = {**comparison, "comparable": True, "fail_on": [], "exit_code": 0, "ledger": []}
    quiet = {**calm, "rows": comparison["rows"][1:]}
    assert headline(quiet) == "sioload compare: no change that is told from noise; exit code 0"
    (row,) = quiet["rows"]
    unjudged = {**quiet, "rows": [{**row, "stats": row["stats"][:1]}]}
    assert headline(unjudged) == "sioload compare: nothing could be told from noise; exit code 0"


def test_the_terminal_is_told_all(comparison: dict[str, Any]) -> None:
    shown, legend = terminal(comparison), "\n".join(wrapped("", LEGEND, 80))
    assert shown == TERMINAL.replace("LEGEND", legend).replace("HEADLINE", headline(comparison))
    coloured = terminal(comparison, colour=True)
    for part in ("\x1b[32mreal, better\x1b[0m\n", "\x1b[31mreal, worse\x1b[0m\n", "  \x1b[33mreal\x1b[0m\n",
                 "\n\x1b[31mFAIL\x1b[0m  CALL", "\n\x1b[32mok\x1b[0m    CALL"):  # fmt: skip
        assert part in coloured
    calm = {**comparison, "rows": comparison["rows"][1:], "ledger": [], "fail_on": []}
    assert "\x1b" not in terminal(calm, 80, colour=True)


def test_a_comment_is_told_all_and_at_a_glance_what_is_real(comparison: dict[str, Any]) -> None:
    told = MARKDOWN.replace("LEGEND", md(LEGEND)).replace("HEADLINE", headline(comparison))
    assert markdown(comparison) == told
    # What the headline counts is there though no row has changed.
    (row,) = comparison["rows"][1:]
    text = markdown({**comparison, "rows": [row]})
    assert "| ledger | sent /s | 50.0 | 25.0 | -50 % | **real** |" in text.partition("<details>")[0]
    assert "| row |" not in markdown({**comparison, "rows": [row], "ledger": []}).partition("<details>")[0]
    many = [{**row, "name": f"say {number}"} for number in range(61)]
    assert "\n...and 1 more row.\n" in markdown({**comparison, "rows": many})
    assert "more row" not in markdown({**comparison, "rows": many[:60]})
