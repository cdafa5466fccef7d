"""The live line of headless runs, in a terminal and in a log."""

from __future__ import annotations

import re
from pathlib import Path

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
