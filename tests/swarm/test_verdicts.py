"""Checks, exit codes and the files that a CI system reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
import serverkit
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from swarmkit import Swarm, scene, web_counts


@scene
def test_checks_that_hold_and_files_for_ci(swarm: Swarm) -> None:
    folder: Path = swarm.folder
    (folder / "checks.toml").write_text('checks = ["OPEN: fail_ratio < 1%", "run: peak_users == 20"]')
    (folder / "locust.conf").write_text("sio-check = CALL[echo]: count > 10\n")
    args = swarm.args(
        "-t", "3s", "--sio-checks-file", "checks.toml", "--sio-junit", "new/j.xml", "--sio-hlog", "logs"
    )
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    assert swarm.run(args, env) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert [check["ok"] for check in swarm.report["checks"]] == [True] * 3
    suite = ElementTree.parse(folder / "new" / "j.xml").getroot()[0]
    assert suite.get("tests") == "3" and suite.get("failures") == "0"
    assert "CALL&#91;echo&#93;" in (folder / "summary.md").read_text()
    assert "::error" not in swarm.processes[0].out

    logged = {}
    reader = HistogramLogReader(str(folder / "logs" / "sioload.hlog"), HdrHistogram(1, 1 << 50, 3))
    while (histogram := reader.get_next_interval_histogram()) is not None:
        logged[histogram.get_tag()] = histogram.total_count
    reader.close()
    assert logged["CALL:echo"] == swarm.counts()["CALL", "echo"][0]


@scene
def test_a_failed_check_fails_the_run(swarm: Swarm) -> None:
    checks = ["CALL[nothing]: p99 < 1s", "run: peak_users > 1000", "CALL: count == 0 warn", "CALL: p50 < 1s"]
    more = [part for check in checks for part in ("--sio-check", check)]
    env = {"GITHUB_ACTIONS": "true"}
    args = swarm.args("-t", "2s", "--sio-junit", "j.xml", *more, "--processes", "2")
    assert swarm.run(args, env) == 3, str(swarm.processes[0])
    assert swarm.report["exit_code"] == 3
    assert [check["ok"] for check in swarm.report["checks"]] == [False, False, False, True]
    suite = ElementTree.parse(swarm.folder / "j.xml").getroot()[0]
    assert suite.get("failures") == "2"
    out = swarm.processes[0].out
    assert out.count("::error title=") == 2 and out.count("::warning title=") == 1
    assert "exit code 3" in out


@scene
def test_a_check_aborts_a_run(swarm: Swarm) -> None:
    aborted(swarm, workers=0)


@scene
def test_a_check_aborts_a_run_with_workers(swarm: Swarm) -> None:
    aborted(swarm, workers=1)


def aborted(swarm: Swarm, *, workers: int) -> None:
    more = ["--processes", str(workers)] if workers else []
    check = "CALL: max < 1us abort after 1s"
    args = swarm.args("-t", "60s", "--sio-check", check, *more)
    assert swarm.run(args, timeout=30) == 3, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert swarm.report["duration_s"] < 20
    assert check in swarm.processes[0].err


@scene
def test_a_report_that_cant_be_written_is_an_error(swarm: Swarm) -> None:
    args = swarm.args("-t", "1s", "--sio-report", "/dev/full", "--sio-junit", "j.xml")
    assert swarm.run(args) == 4, str(swarm.processes[0])
    assert "can't write /dev/full" in swarm.processes[0].out
    suite = ElementTree.parse(swarm.folder / "j.xml").getroot()[0]
    assert "can't write /dev/full" in "".join(suite.itertext())


@scene
def test_a_pipe_waits_for_who_reads_it(swarm: Swarm) -> None:
    """And the process with it, but not as one that no signal ends any more."""
    os.mkfifo(swarm.folder / "pipe")
    process = swarm.start(swarm.args("-t", "1s", "--sio-report", "pipe"))
    process.wait_for("pipe waits for up to 30 s for who reads it", 30)
    reader = serverkit.Process(["cat", "pipe"], cwd=swarm.folder)
    swarm.processes.append(reader)
    assert process.wait(30) == reader.wait(30) == 0, str(process)
    assert json.loads(reader.out)["final"], str(process)


@pytest.mark.verify
@scene
def test_a_pipe_that_nobody_reads_is_an_error(swarm: Swarm) -> None:
    os.mkfifo(swarm.folder / "pipe")
    args = swarm.args("-t", "1s", "--sio-report", "pipe", "--sio-junit", "j.xml", "--sio-trace", "pipe")
    assert swarm.run(args, timeout=120) == 4, str(swarm.processes[0])
    assert "can't write pipe: nobody reads it" in swarm.processes[0].out
    assert "can't write pipe: nobody reads it" in (swarm.folder / "j.xml").read_text()


@scene
def test_locusts_json_that_cant_be_written_is_an_error(swarm: Swarm) -> None:
    """It would have ended the process before the summary."""
    (swarm.folder / "figures.json").symlink_to("/dev/full")
    assert swarm.run(swarm.args("-t", "1s", "--json-file", "figures")) == 4, str(swarm.processes[0])
    assert "exit code 4" in swarm.processes[0].out and "Traceback" not in swarm.processes[0].err
    assert any("can't write figures.json" in doubt for doubt in swarm.report["untrusted"])


@scene
def test_locusts_json_has_the_counts_of_the_report(swarm: Swarm) -> None:
    assert swarm.run(swarm.args("-t", "1s", "--json-file", "figures")) == 0, str(swarm.processes[0])
    assert web_counts(json.loads((swarm.folder / "figures.json").read_text())) == swarm.counts()
    assert swarm.html_counts() == swarm.counts()


@scene
def test_what_is_no_unicode_on_the_command_line_keeps_no_report_from_being_written(swarm: Swarm) -> None:
    """A byte of Latin 1, as an older terminal sends it."""
    checks = ("--sio-check", "CALL[caf\udce9]: count == 0 min_samples 0", "--sio-check", "CALL: max < 1us")
    junit, summary = swarm.folder / "junit.xml", swarm.folder / "summary.md"
    args = swarm.args("-t", "1s", *checks, "--sio-junit", junit, users=2)
    assert swarm.run(args, {"GITHUB_STEP_SUMMARY": str(summary)}) == 3, swarm.processes[0].text
    assert swarm.report["checks"][0]["check"] == "CALL[caf?]: count == 0 min_samples 0"
    assert "ok    CALL[caf?]: count == 0" in swarm.processes[0].out
    assert "caf?" in junit.read_text() and "caf" in summary.read_text()


@scene
def test_the_scripts_own_exit_code_stands_below_ours(swarm: Swarm) -> None:
    script = swarm.folder / "own.py"
    script.write_text(
        f"exec(open({str(swarm.args()[1])!r}).read())\n"
        "@events.quitting.add_listener\n"
        "def judge(environment, **_):\n"
        "    environment.process_exit_code = 7\n"
    )
    args = swarm.args("-t", "1s")
    args[1] = script
    assert swarm.run(args) == 7, str(swarm.processes[0])
    assert swarm.report["exit_code"] == 7
    assert swarm.run([*args, "--sio-check", "run: peak_users > 1000"]) == 3


@scene
def test_reports_hold_no_credentials(swarm: Swarm) -> None:
    args = swarm.args("-t", "1s")
    args[3] = swarm.target.url.replace("//", "//ada:canary@") + "/?token=canary#canary"
    swarm.run(args)
    assert swarm.report["host"] == swarm.target.url + "/"
    assert "canary" not in json.dumps(swarm.report)
    assert "canary" not in swarm.processes[0].out
