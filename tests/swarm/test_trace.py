"""`--sio-trace`: the first users of a run, followed; nobody else's figures change by that."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import serverkit

SCRIPT = Path(__file__).with_name("followed.py")


def ran(tmp_path: Path, url: str, *more: str) -> tuple[list[dict[str, Any]], dict[str, Any], serverkit.Run]:
    trace, report = tmp_path / "trace.jsonl", tmp_path / "report.json"
    trace.write_text("of an earlier run\n")
    load = ("--headless", "--only-summary", "-u", "4", "-r", "4", "-t", "3s")
    kept = ("--sio-trace", str(trace), "--sio-report", str(report))
    args = ["-f", str(SCRIPT), "--host", url, *load, *kept, *more]
    run = serverkit.run_locust(args)
    assert run.code == 0, run.text
    return [json.loads(line) for line in trace.read_text().splitlines()], json.loads(report.read_text()), run


def emits(lines: list[dict[str, Any]], user: int) -> int:
    return sum(line.get("packet", "").startswith("event message") and line["way"] == "sent"
               for line in lines if line["user"] == user)  # fmt: skip


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one process", "workers"])
def test_the_first_user_is_followed(more: tuple[str, ...], target: serverkit.Server, tmp_path: Path) -> None:
    lines, report, _ = ran(tmp_path, target.url, "--sio-trace-users", "2", *more)
    assert {line["user"] for line in lines} == {1, 2} and {line["class"] for line in lines} == {"Followed"}
    for user in (1, 2):
        told = [line for line in lines if line["user"] == user]
        assert [line["t"] for line in told] == sorted(line["t"] for line in told)
        assert told[-1].get("rows", [{}])[0].get("type") == "DISCONNECT", "to its end"
        calls = [line for line in told if any(row["type"] == "CALL" for row in line.get("rows", ()))]
        assert len(calls) == emits(lines, user) > 2 and all(line["kind"] == "ack" for line in calls)
        heard = [line for line in told if any(row["type"] == "PUSH" for row in line.get("rows", ()))]
        assert len(heard) > 2 and all(line["packet"] == "event message" for line in heard), (
            "its own pushes alone"
        )
    rows = {(row["type"], row["name"]): row["count"] for row in report["events"]}
    assert not [name for _, name in rows if "\x00" in name or "@" in name], rows
    served = target.counts()
    assert rows["CALL", "say"] == serverkit.total(served["received"], "message"), "all are in the rows of all"
    assert rows["PUSH", "message"] == serverkit.total(served["sent"], "message")
    assert [each["name"] for each in report["delivery"]] == ["message"]
    assert report["ledger"]["open"] == 0 and report["ledger"]["emits"] == rows["CALL", "say"]


BUSY = """
import locust
from types import SimpleNamespace
from sioload.net.fleet import Fleet
from sioload.socketio.reading import Reading
from sioload.swarm.tracing import AT_ONCE, Tracing

written = []
fleet, user, count = Fleet(), SimpleNamespace(label=""), AT_ONCE + 1000
tracing = Tracing(fleet, written.append)
tracing.begin(SimpleNamespace(sio_trace="x", sio_trace_users=1))
fleet.follow(user)
for number in range(count):
    user.sio_trace.sent("websocket", f'42["say",{number}]', Reading("event", "event say", "say", "/"))
tracing.finish()
lines = [line for part in written for line in part]
print(len(lines) == count, lines[-1]["text"], max(map(len, written)) == AT_ONCE)
"""


def test_the_end_of_a_busy_user_is_written_however_much_it_is() -> None:
    """In parts: a message to the master stays small."""
    run = serverkit.run([serverkit.sys.executable, "-c", BUSY], timeout=20)
    assert run.out.split() == ["True", '42["say",5999]', "True"], run.text


def test_bad_values_are_refused(tmp_path: Path) -> None:
    for option, said in (
        ("--sio-trace-users=0", "no number of users"),
        ("--sio-trace=/proc/x/y", "can't write"),
    ):
        run = serverkit.run_locust(["-f", str(SCRIPT), "--headless", option])
        assert run.code == 2 and said in run.err, run.text


def test_the_warning_about_a_logger_names_it(tmp_path: Path) -> None:
    script = "import warnings; from sioload.options import options_from\noptions_from({'logger': True})"
    run = serverkit.run([serverkit.sys.executable, "-W", "always", "-c", script], timeout=20)
    assert "--sio-trace" in run.err, run.text


FULL = """
import logging, sys
import locust
from types import SimpleNamespace
from sioload.swarm.tracing import TraceFile

logging.basicConfig(format="%(message)s")
options = SimpleNamespace(sio_trace_users=1)
file = TraceFile(options, lambda text: print("told:", text))
for options.sio_trace in "/dev/full", sys.argv[1]:
    file.begin()
    for number in range(3):
        file.write([{"user": 1, "t": number}])
"""


def test_a_file_that_can_no_longer_be_written_is_told_of_once(tmp_path: Path) -> None:
    """Not twice a second; of the next run it may have all."""
    run = serverkit.run([serverkit.sys.executable, "-c", FULL, tmp_path / "trace.jsonl"], timeout=20)
    assert run.err == "sioload: can't write /dev/full: No space left on device; it ends here\n", run.text
    assert run.out == "told: can't write /dev/full: No space left on device\n", run.text
    assert len((tmp_path / "trace.jsonl").read_text().splitlines()) == 3


def test_what_reads_a_pipe_gets_all(target: serverkit.Server, tmp_path: Path) -> None:
    """And when it has enough, users go on."""
    os.mkfifo(tmp_path / "pipe")
    args = ["-f", SCRIPT, "--host", target.url, "--headless", "-u", "1", "-t", "3s", "--sio-trace", "pipe"]
    for command, code in ((["cat", "pipe"], 0), (["head", "-n", "2", "pipe"], 4)):
        with serverkit.Process(command, cwd=tmp_path) as reader:
            run = serverkit.run_locust(args, 30, cwd=tmp_path)
            assert run.code == code and reader.wait(10) == 0, run.text
            lines = [json.loads(line) for line in reader.out.splitlines()]
        assert len(lines) == 2 if code else emits(lines, 1) > 2, run.text


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one process", "workers"])
def test_a_file_that_cant_be_written_is_told_by_the_exit_code(
    more: tuple[str, ...], target: serverkit.Server, tmp_path: Path
) -> None:
    """As of any other that was asked for; and no file is named in the end that isn't there."""
    folder, report = tmp_path / "there", tmp_path / "report.json"
    script = tmp_path / "moved.py"
    script.write_text(
        SCRIPT.read_text()
        + "import os\nfrom locust import events\n"
        + "@events.init.add_listener\ndef move(environment, **_):\n"
        + "    if os.path.isdir('there'): os.rename('there', 'gone')\n    open('there', 'w').close()\n"
    )
    folder.mkdir()
    files = ["--sio-trace", folder / "trace", "--sio-junit", folder / "junit.xml", "--sio-hlog",
             folder / "hlog", "--sio-report", report]  # fmt: skip
    load = ["--headless", "--only-summary", "-u", "2", "-r", "2", "-t", "2s"]
    args = ["-f", script, "--host", target.url, *load, *files, *more]
    run = serverkit.run_locust(args, cwd=tmp_path)
    assert run.code == 4, run.text
    told = json.loads(report.read_text())["untrusted"]
    for path in ("trace", "junit.xml", "hlog/sioload.hlog"):
        assert any(f"can't write {folder / path}: " in line for line in told), run.text
    last = run.out.splitlines()[-6:]
    assert f"report: {report}" in last
    assert not [line for line in last if line.startswith(("junit:", "hlog:"))], run.text
