"""What is wrong with sioload's options is said in one line, with exit code 2, before any load."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
import serverkit

USERS = Path(__file__).parent / "lone_users.py"
#: A port that nothing listens on: these runs must never get as far as connecting.
NOWHERE = ["--host", "http://127.0.0.1:9", "--headless", "-t", "1s"]


def refused(args: list[str | Path], folder: Path, env: dict[str, str] | None = None) -> str:
    """The one line by which a run was refused."""
    done = serverkit.run_locust(["-f", USERS, *NOWHERE, *args], cwd=folder, env=env)
    assert done.code == 2, done.text
    lines = done.err.splitlines()
    assert len(lines) == 1 and not done.out, done.text
    assert not (folder / "report.json").exists()
    return lines[0]


@pytest.mark.parametrize(
    "check, said",
    [
        ("CAL[echo]: p99 < 1s", "'CALL'"),
        ("CALL: p999 < 1s", "'p9"),
        ("CALL: p99 < 250", "unit"),
        ("CALL: p99 is 250ms", "operator"),
        ("nonsense", "SELECTOR: STAT OP VALUE"),
    ],
)
def test_a_check_that_makes_no_sense(check: str, said: str, tmp_path: Path) -> None:
    line = refused(["--sio-check", "CALL: p99 < 1s", "--sio-check", check], tmp_path)
    assert "--sio-check" in line and check in line and said in line


def test_an_unknown_option_is_answered_by_the_nearest(tmp_path: Path) -> None:
    done = serverkit.run_locust(["-f", USERS, *NOWHERE, "--sio-raport", "r.json"], 30, cwd=tmp_path)
    assert done.code == 2 and "--sio-report" in done.err, done.text


@pytest.mark.parametrize(
    "option", ["--sio-report", "--sio-junit", "--sio-html", "--json-file", "--html", "--csv", "--logfile"]
)
def test_a_file_that_cant_be_written(option: str, tmp_path: Path) -> None:
    line = refused([option, "/proc/nowhere/r.json"], tmp_path)
    assert option in line and "/proc/nowhere/r.json" in line


def test_a_file_without_a_name(tmp_path: Path) -> None:
    assert "--sio-report: the file name is empty" in refused(["--sio-report", " "], tmp_path)


def test_a_directory_that_cant_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in refused(["--sio-hlog", "file/logs"], tmp_path)


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "No such file"),
        ("checks = [", "TOML"),
        ('check = ["CALL: p99 < 1s"]', "check"),
        ("checks = [1]", "list"),
        ('checks = ["CALL: p99 < 1s", "CALL: p99"]', "CALL: p99"),
        (b"checks = ['\xff']", "utf-8"),
    ],
)
def test_a_checks_file_that_makes_no_sense(content: str | bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "c.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(["--sio-checks-file", "c.toml"], tmp_path)
    assert "c.toml" in line and said in line


@pytest.mark.parametrize(
    "option, value",
    [
        ("--sio-metrics-port", "70000"),
        ("--sio-metrics-host", "a..b"),
        ("--sio-drain", "-1"),
        ("--sio-drain", "soon"),
        ("--sio-session-drain", "1h1s"),
        ("--sio-grace", "0s"),
        ("--sio-trace-users", "0"),
        ("--sio-trace-users", "101"),
        ("--sio-session-length", "0s"),
        ("--sio-otlp", "ws://127.0.0.1:1"),
    ],
)
def test_a_number_that_makes_no_sense(option: str, value: str, tmp_path: Path) -> None:
    line = refused([option, value], tmp_path)
    assert option in line and value in line


def test_configuration_files_and_the_environment_are_checked_too(tmp_path: Path) -> None:
    assert "p999" in refused([], tmp_path, {"LOCUST_SIO_CHECK": "CALL: p999 < 1s"})
    (tmp_path / "locust.conf").write_text("sio-check = CALL[/chat message]: p9x < 1s\n")
    assert "p9x" in refused([], tmp_path)


def test_the_check_of_a_path_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("kept")
    args = ["--sio-report", "new.json", "--sio-junit", "kept.json", "--sio-check", "nonsense"]
    refused(args, tmp_path)
    assert (tmp_path / "kept.json").read_text() == "kept"
    assert not (tmp_path / "new.json").exists()


def test_two_outputs_to_one_file_are_refused(tmp_path: Path) -> None:
    for args in (
        ["--sio-report", "x", "--html", "./x"],
        ["--sio-junit", "x", "--sio-trace", "x"],
        ["--sio-report", "x.json", "--json-file", "x"],
        ["--sio-report", "x", "--logfile", "x"],
    ):
        line = refused(args, tmp_path)
        assert args[0] in line and args[2] in line and "a file of its own" in line
    assert not list(tmp_path.iterdir())


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    """/dev/stdout is such a link, and leads to a file where a shell says `> report.json`."""
    links = {"report.json": tmp_path / "run.json", "junit.xml": tmp_path / "new.xml"}
    links["report.json"].write_text("before")
    for name, leads_to in links.items():
        (tmp_path / name).symlink_to(leads_to)
    files = ["--sio-report", "report.json", "--sio-junit", "junit.xml"]
    done = serverkit.run_locust(["-f", USERS, *NOWHERE, "-u", "1", *files], 60, cwd=tmp_path)
    assert done.code == 1, done.text
    assert {name: (tmp_path / name).readlink() for name in links} == links
    assert json.loads(links["report.json"].read_text())["final"]
    assert "<testsuites" in links["junit.xml"].read_text()
    assert {path.name for path in tmp_path.iterdir()} == {*links, "run.json", "new.xml"}


def test_what_reads_a_pipe_gets_the_report(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with serverkit.Process(["cat", "pipe"], cwd=tmp_path) as reader:
        args = ["-f", USERS, *NOWHERE, "-u", "1", "--sio-report", "pipe"]
        done = serverkit.run_locust(args, 30, cwd=tmp_path)
        assert done.code == 1 and reader.wait(10) == 0, done.text
        assert json.loads(reader.out)["final"]


def test_checks_may_come_through_a_pipe(tmp_path: Path) -> None:
    """That of a shell's `<(...)`."""
    command = shlex.join(map(str, serverkit.locust(["-f", USERS, *NOWHERE, "-u", "1"])))
    checks = """<(echo 'checks = ["run: peak_users > 7"]')"""
    done = serverkit.run(["bash", "-c", f"{command} --sio-checks-file {checks}"], 30, cwd=tmp_path)
    assert done.code == 3 and "FAIL  run: peak_users > 7" in done.out, done.text


@pytest.mark.parametrize(
    "lines",
    [
        ("sio-check = CALL: p99 < 1us", "sio-check: ledger: timeout == 0"),
        ("  --sio-report a.json", "users = 3", "--sio-report b.json"),
    ],
)
def test_an_option_that_stands_twice_in_a_configuration_file(lines: tuple[str, ...], tmp_path: Path) -> None:
    """The last would take the place of the others, and a check that fails be none."""
    (tmp_path / "locust.conf").write_text("# sio-check = once\n" + "\n".join(lines) + "\n")
    name = lines[0].split()[0].lstrip("-")
    line = refused([], tmp_path)
    assert f"{name} stands twice" in line and "locust.conf" in line and "[ONE, OTHER]" in line


@pytest.mark.parametrize(
    "name, text",
    [
        ("locust.conf", "sio-chek = CALL: p99 < 1s"),
        ("pyproject.toml", "[tool.locust]\nsio-chek = ['CALL: p99 < 1s']"),
    ],
)
def test_an_option_that_a_configuration_file_misspells(name: str, text: str, tmp_path: Path) -> None:
    """With a space in its value it is the name of a user class to Locust."""
    (tmp_path / name).write_text(text + "\n")
    assert "'sio-chek' is unknown (nearest: 'sio-check')" in refused([], tmp_path)


def test_a_configuration_file_may_have_a_list_of_checks(tmp_path: Path) -> None:
    checks = "CALL[a]: p99 < 1s, CALL: p99 < 1"
    (tmp_path / "locust.conf").write_text(f"# sio-check = CALL: count > 1\nsio-check = [{checks}]\n")
    assert "check 'CALL: p99 < 1': '1' needs a unit" in refused([], tmp_path)


@pytest.mark.parametrize(
    "given, said",
    [
        (["--sio-trace-users", "3"], "--sio-trace-users 3 does nothing without --sio-trace: give that too"),
        (["--sio-server-metric", "http_*"], "--sio-server-metric http_* does nothing without --sio-server:"),
        (
            ["--sio-metrics-host=0.0.0.0"],
            "--sio-metrics-host 0.0.0.0 does nothing without --sio-metrics-port",
        ),
        (["--sio-session-drain", "9s"], "--sio-session-drain is of phases of sessions per second: there are"),
        (
            ["--sio-phases", "2 users for 1s", "--sio-session-drain", "9s"],
            "--sio-session-drain is of sessions per second, and the phases name users",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(given: list[str], said: str, tmp_path: Path) -> None:
    assert said in refused(["--loglevel", "ERROR", *given], tmp_path)


@pytest.mark.parametrize(
    "check, said",
    [
        ("server[api/event_loop_lag]: max < 1s", "no server's figures are read: give --sio-server NAME=URL"),
        ("drill: not_back == 0", "this run is no drill: `sioload drill` makes one"),
    ],
)
def test_a_check_on_what_the_run_wont_have_is_refused(check: str, said: str, tmp_path: Path) -> None:
    line = refused(["--loglevel", "ERROR", "--sio-check", check], tmp_path)
    assert line.startswith(f"sioload: check {check!r}: {said}")


def test_a_configuration_may_have_what_some_runs_alone_need(tmp_path: Path) -> None:
    (tmp_path / "locust.conf").write_text("sio-trace-users = 3\n")
    env = {"LOCUST_SIO_METRICS_HOST": "127.0.0.1"}
    done = serverkit.run_locust(["-f", USERS, *NOWHERE, "-u", "1"], 60, cwd=tmp_path, env=env)
    assert done.code == 1 and "no user ever had a session" in done.text, done.text
