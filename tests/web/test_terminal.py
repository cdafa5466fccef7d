"""The live line of headless runs, in a terminal and in a log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import serverkit
from showkit import terminal

USERS = Path(__file__).with_name("users.py")
LINE = re.compile(
    r"(\d+:\d\d)  6 users  6 open  (\d+) events/s  p50 [\d.]+ ms  p99 [\d.,]+ ms  (\d+) failed(  CPU \d+%)?"
)


def args(target: serverkit.Server, *more: str) -> list[str]:
    return [
        "-f",
        str(USERS),
        "--host",
        target.url,
        "-u",
        "6",
        "-r",
        "6",
        "--headless",
        "--only-summary",
        *more,
    ]


def test_a_log_gets_a_line_every_few_seconds(target: serverkit.Server) -> None:
    done = serverkit.run_locust(args(target, "-t", "6s", "--sio-metrics-port", "0"))
    lines = [line for line in done.err.splitlines() if LINE.fullmatch(line)]
    assert len(lines) == 1, done.text
    assert int(LINE.fullmatch(lines[0])[2]) > 10  # type: ignore[index]
    assert "\x1b" not in done.err + done.out and "\r" not in done.err + done.out
    assert all(len(line) < 80 for line in lines)
    assert "last read" not in done.err, "nobody reads the metrics: nobody is waited for"


def test_a_terminal_shows_one_line_in_one_place(target: serverkit.Server) -> None:
    shown = terminal(
        [str(part) for part in serverkit.locust(args(target, "-t", "5s", "--loglevel", "DEBUG"))], 40
    )
    written = re.finditer(r"\r\x1b\[K(?:\x1b\[31m)?([^\r\n\x1b]+)", shown)
    updates = [update for update in written if LINE.fullmatch(update[1])]
    assert len(updates) >= 2, shown[-3000:]
    assert "waiting for the last acks" not in shown[: updates[0].start()]
    for update in updates:
        after = shown[update.end() :].removeprefix("\x1b[0m")
        assert after.startswith("\r\x1b[K"), f"written into the line: {after[:80]!r}"
    for line in shown.split("\r\n"):
        for part in re.sub(r"\x1b\[[0-9;]*m", "", line).split("\r\x1b[K"):
            assert LINE.search(part) is None or LINE.fullmatch(part), part
    summary = shown[shown.index("sioload: http") :]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", summary)
    *lines, last, _ = plain.split("\r\n")
    assert max(map(len, lines)) <= 80
    assert last.startswith("exit code 1: ")  # whole, however long: a terminal wraps it by itself
    assert summary != plain, "colours on a terminal"


def test_a_narrow_terminal_shows_one_line_too_and_no_colours_if_none_are_wanted(
    target: serverkit.Server,
) -> None:
    command = [str(part) for part in serverkit.locust(args(target, "-t", "5s"))]
    shown = terminal(command, 40, columns=50, NO_COLOR="1")
    lines = [found for found in re.findall(r"\r\x1b\[K([^\r\n\x1b]+)", shown) if " users " in found]
    assert len(lines) >= 2, shown[-3000:]
    assert max(map(len, lines)) < 50 and all("6 open" in line for line in lines)
    assert "exit code" in shown and not re.search(r"\x1b\[[0-9;]*m", shown)


def test_the_live_line_counts_each_event_once_and_knows_wide_characters() -> None:
    """Times between a message's first and last arrival are of messages that are counted already."""
    script = """
import json
from sioload.report.history import Cell, Point
from sioload.web.terminal import line
rows = [("PUSH", "say"), ("FANOUT", "say"), ("spread", "say")]
cells = {0: Cell(40, 0, {9: 40}, 9), 1: Cell(10, 0, {9: 10}, 9), 2: Cell(10, 0, {9: 10}, 9)}
point = Point(0.0, 1.0, 6, {"websocket": 6}, 0, 0, {}, {}, {}, cells)
print(json.dumps([line(point, rows, 0), line(point, rows, 0, ("p" + "\u8c61" * 19, 60.0), 60)]))
"""
    env = {"PYTHONPATH": str(serverkit.ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, timeout=60, check=True
    )
    plain, wide = json.loads(done.stdout)
    assert plain == "0:01  6 users  6 open  50 events/s  0 failed"
    assert wide == "0:01  p" + "\u8c61" * 19 + ", 1:00 left"


def test_a_reader_that_goes_away_is_no_fault_of_the_run(target: serverkit.Server, tmp_path: Path) -> None:
    """As with `locust ... 2>&1 | head`: the live line, and the summary, have nobody to read them."""
    report, summary = tmp_path / "report.json", tmp_path / "summary.md"
    command = serverkit.locust(["-f", "locustfiles/echo.py", "--host", target.url, "-u", "2", "-r", "2",
                                "--headless", "-t", "6s", "--sio-report", str(report)])  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(serverkit.ROOT), "GITHUB_STEP_SUMMARY": str(summary)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=serverkit.ROOT, env=env, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        process.stdout.close()
        assert process.wait(60) == 0
    assert json.loads(report.read_text())["exit_reason"] == ""
    assert summary.read_text().startswith("## sioload: passed")


@pytest.mark.parametrize("closed", [0, 1, pytest.param(2, marks=pytest.mark.verify)])
def test_a_run_needs_neither_input_nor_output(closed: int, target: serverkit.Server, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = serverkit.locust(["-f", "locustfiles/echo.py", "--host", target.url, "-u", "2", "-r", "2",
                                "--headless", "-t", "2s", "--sio-report", str(report)])  # fmt: skip
    shell = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *command]
    done = serverkit.run(shell, 60)
    assert done.code == 0 and "Traceback" not in done.text, done.text
    assert json.loads(report.read_text())["exit_code"] == 0
