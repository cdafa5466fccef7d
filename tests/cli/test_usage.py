"""Bad usage: one line that names the offender and the remedy, exit code 2, and no load."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import serverkit

from sioload.cli import runner
from sioload.cli.main import main

URL = "http://127.0.0.1:9"  # nothing may ever be sent there
EMIT = ("--emit", "echo")
DRILL = ("--users", "3", "--at", "9s")
CHECK = ("--sio-check", "CALL: p99 < 100ms")
RECORDING = str(serverkit.ROOT / "tests" / "importing" / "recordings" / "polls-ws.har")
SEARCH = (*EMIT, "--users", "1..9", *CHECK)

BAD = [
    ((), "missing command"),
    (("benhc",), "Did you mean 'bench'"),
    (("bench", URL, *EMIT, "--userz", "3"), "--users"),
    (("demo", "--headles"), "--headless"),
    (("init", "--force"), "--force"),
    (("target", "--prot", "1"), "--port"),
    (("bench", URL), "--emit"),
    (("bench", *EMIT), "URL"),
    (("bench", "127.0.0.1:5000", *EMIT), "must begin with http://"),
    (("bench", "htp://x", *EMIT), "'htp://x' must begin with http://"),
    (("bench", "http://", *EMIT), "names no host"),
    (("bench", "http://x:70000", *EMIT), "port must be a number"),
    (("bench", "http://[::1", *EMIT), "'http://[::1': the host can't be read"),
    (("bench", f"{URL}/chat", *EMIT), "--namespace /chat"),
    (("bench", f"{URL}/socket.io/", *EMIT), "leave /socket.io/ out"),
    (("bench", "http://ann:secret@a/chat?token=b", *EMIT), ": 'http://a/chat' has a path: give a namespace"),
    (("bench", URL, *EMIT, "--data", "{a:1}"), "'{a:1}' is no JSON"),
    (("bench", URL, *EMIT, "--data", "1", "--data", "text"), "'text' is no JSON"),
    (("bench", URL, *EMIT, "--data", "NaN"), "'NaN' is no JSON"),
    (("bench", URL, *EMIT, "--data", '"\\ud800"'), "is no JSON"),
    (("bench", URL, *EMIT, "--auth", "{"), "'{' is no JSON"),
    (("bench", URL, *EMIT, "--auth", "[1]"), "auth must be a dict"),
    (("bench", URL, *EMIT, "--header", "X-Run"), "'X-Run' is no header: give 'Name: value'"),
    (("bench", URL, *EMIT, "--header", "X Run: 1"), "is no header"),
    (("bench", URL, *EMIT, "--header", "X: a\r\nY: b"), "line break"),
    (
        ("bench", URL, *EMIT, "-H", "Cookie: a=1", "-H", "cookie: b=2"),
        "'cookie: b=2': cookie stands twice: give it once, e.g. 'Cookie: a=1; b=2'",
    ),
    (
        ("bench", URL, *EMIT, "--option", "query=a=1", "--option", "query=b=2"),
        "'query=b=2': query stands twice",
    ),
    (("bench", URL, *EMIT, "--version", "5"), "'5' is no Socket.IO major: give 0, 1, 2, 3, 4 or auto"),
    (("bench", URL, *EMIT, "--rate", "0"), "'0' is no rate"),
    (
        ("bench", URL, *EMIT, "--rate", "200000"),
        "'200000' is no rate: give emits per second and user, up to ",
    ),
    (("bench", URL, *EMIT, "--rate", "fast"), '"max"'),
    (("bench", URL, *EMIT, "--run-time", "soon"), "'soon' is no time: give e.g. 30s"),
    (("bench", URL, *EMIT, "--run-time", ""), "is no time"),
    (("bench", URL, *EMIT, "--run-time", "0"), "'0' is no time: give e.g. 30s"),
    (("bench", URL, *EMIT, "--run-time", "0s"), "'0s' is no time: give e.g. 30s"),
    (("bench", URL, *EMIT, "--run-time", "9" * 400 + "s"), "is no time"),
    (("bench", URL, *EMIT, "--run-time", "1s500ms"), "is no time of whole seconds"),
    (("bench", URL, *EMIT, "--run-time", "99999999h"), "'99999999h' is longer than three years"),
    (("bench", URL, *EMIT, "--run-time", "9" * 12), "is longer than three years"),
    (("bench", URL, *EMIT, "--processes", "-5"), "--processes"),
    (("bench", URL, "--emit", ""), "--emit: the name of the event is empty"),
    (("bench", URL, "--emit", "connect"), "--emit connect: the name is reserved"),
    (("bench", URL, "--emit", "newListener", "--version", "4"), "--emit newListener: the name is reserved"),
    (("bench", URL, *EMIT, "--reply", ""), "--reply: the name of the event is empty"),
    (("bench", URL, *EMIT, "--users", "0"), "--users"),
    (("bench", URL, *EMIT, "--spawn-rate", "0"), "--spawn-rate"),
    (("bench", URL, *EMIT, "--transports", "websocket,poling"), "nearest: 'polling'"),
    (("bench", URL, *EMIT, "--namespace", "chat"), "'chat' must begin with '/'"),
    (("bench", URL, *EMIT, "--option", "reconection=false"), "nearest: 'reconnection'"),
    (("bench", URL, *EMIT, "--option", "compress=maybe"), "compress must be True or False"),
    (("bench", URL, *EMIT, "--option", "compress"), "give NAME=VALUE"),
    (("bench", URL, *EMIT, "--option", "path=/x"), "there is a flag"),
    (("bench", URL, *EMIT, "--ack", "--reply", "echo"), "exclude each other"),
    (("bench", URL, *EMIT, "--sio-check", "CALL: p999 < 1ms"), "nearest: 'p99.9'"),
    (("bench", URL, *EMIT, "--sio-check", "CALL: p99 < 1"), "unit"),
    (("bench", URL, *EMIT, "--html", "/dev/null/x.html"), "can't write '/dev/null/x.html'"),
    (("bench", URL, *EMIT, "--csv", "x" * 300), "give another file"),
    (("import", RECORDING, "-o", "x" * 300), "File name too long"),
    (("import", RECORDING, "-e", "prod"), "-e prod: a recording has no environments"),
    (("capacity", URL, *EMIT, *CHECK), "give --users A..B or --arrivals A..B"),
    (("capacity", URL, *EMIT, *CHECK, "--users", "1..9", "--arrivals", "1..9"), "one of them"),
    (("capacity", URL, *EMIT, "--users", "1..9"), "needs a check that tells what holds: --sio-check"),
    (("capacity", URL, *CHECK, "--users", "1..9"), "--emit"),
    (
        ("capacity", URL, *SEARCH, "--users", "500..100"),
        "'500..100': the lower number comes first, e.g. 100..500",
    ),
    (("capacity", URL, *SEARCH, "--users", "100"), "give the lowest and the highest load, e.g. 100..10000"),
    (
        ("capacity", URL, *SEARCH, "--users", "0..5"),
        "'0..5': the lower number comes first, both of 1 to 10000000",
    ),
    (("capacity", URL, *SEARCH, "--users", "1..10000001"), "both of 1 to 10000000"),
    (("capacity", URL, *SEARCH, "--step", "30ms"), "'30ms' is no time of 1 s or more"),
    (("capacity", URL, *SEARCH, "--settle", "soon"), "'soon' is no time"),
    (("capacity", URL, *SEARCH, "--within", "60%"), "'60%' is no share from 0.1% to 50%"),
    (("capacity", URL, *SEARCH, "--within", "0.05"), "give e.g. 5%"),
    (("capacity", URL, *SEARCH, "--budget", "0s"), "'0s' is no time"),
    (("capacity", URL, *SEARCH, "--budget", "9s"), "--budget 9s is less than one level takes, 40s (--settle"),
    (
        ("capacity", URL, *SEARCH, "--expect", "4000"),
        "'4000' is nothing that can be expected: give e.g. '>= 4000'",
    ),
    (("capacity", URL, *SEARCH, "--expect", "<= 4000"), "give e.g. '>= 4000'"),
    (("capacity", URL, *SEARCH, "--run-time", "30s"), "bound it with --budget"),
    (("capacity", __file__, *CHECK, "--users", "1..9", "--", "-u", "3"), "-u: a search for capacity finds"),
    (("drill", __file__, *DRILL, "--cut", "9%", "--", "--run-time=9s"), "--run-time: a drill has --users"),
    (
        ("drill", __file__, *DRILL, "--cut", "9%", "--", "--sio-session-drain", "9s"),
        "--sio-session-drain: a drill has --users",
    ),
    (("drill", __file__, *DRILL, "--cut", "9%", "--", "--worker"), "--worker: this command is the master"),
    (("capacity", URL, *SEARCH, "--expect-workers", "3"), "--expect-workers 3 is of workers elsewhere: give"),
    (("capacity", URL, *SEARCH, "--master-bind-port", "7"), "--master-bind-port 7 is of workers elsewhere"),
    (("capacity", URL, *SEARCH, "--host", "http://x"), "the URL names the server already"),
    (("capacity", URL, *SEARCH, "--master"), "--master is for a locustfile"),
    (("capacity", URL, *SEARCH, "--spawn-rat", "3"), "--spawn-rate"),
    (("capacity", __file__, *SEARCH, "--sio-grace", "1s"), "'--sio-grace'. (Did you mean one of: "),
    (("capacity", __file__, *SEARCH, "--sio-grace", "1s"), "One of Locust's goes behind ' -- ', with a loc"),
    (("drill", __file__, *DRILL, "--tags", "a"), "One of Locust's goes behind ' -- ', with a locustfile"),
    (("capacity", URL, *SEARCH, "more.py"), "more.py"),
    (("capacity", f"{URL}/chat", *SEARCH), "--namespace /chat"),
    (("capacity", "nofile.py", *CHECK, "--users", "1..9"), "'nofile.py' is no locustfile that is there"),
    (("capacity", "127.0.0.1:5000", *CHECK, "--users", "1..9"), "no URL (http://...)"),
    (("capacity", __file__, *SEARCH), "--emit says what users do, which the locustfile says already"),
    (("capacity", __file__, *CHECK, "--users", "1..9", "--host", "x"), "'x' must begin with http://"),
    (
        ("capacity", __file__, *CHECK, "--users", "1..9", "--host", f"{URL}/chat"),
        f"host '{URL}/chat' has a path: give a namespace as the option namespaces",
    ),
    (("capacity", URL, *EMIT, *CHECK, "--arrivals", "1..9"), "--arrivals needs --sio-session-length"),
    (("capacity", URL, *SEARCH, "--sio-check", "CAL: p99 < 1ms"), "nearest: 'CALL'"),
    (("capacity", URL, *SEARCH, "--sio-check", "CALL: p99 < 1ms in peak"), "leave 'in' out"),
    (("capacity", URL, *SEARCH, "--sio-check", "CALL: p99 < 1ms abort after 5s"), "leave 'abort after' out"),
    (("capacity", URL, *SEARCH, "--sio-check", "ledger: open == 0"), "is of the whole run, not of a level"),
    (("capacity", URL, *SEARCH, "--sio-checks-file", "none.toml"), "can't read none.toml"),
    (("capacity", URL, *SEARCH, "--sio-checks-file", sys.executable), f"{sys.executable}: 'utf-8' codec"),
    (("capacity", URL, *SEARCH, "--sio-checks-file", __file__), f"{__file__}: the checks file isn't valid"),
    (("drill", URL, *EMIT, "--at", "9s", "--run", "true"), "--users"),
    (("drill", URL, *EMIT, *DRILL, "--run", "true", "--cut", "30%"), "one of them"),
    (("drill", URL, *EMIT, *DRILL), "give --run COMMAND or --cut SHARE%"),
    (("drill", URL, *EMIT, *DRILL, "--run", "'"), "No closing quotation"),
    (("drill", URL, *EMIT, *DRILL, "--run", ""), "an empty command"),
    (("drill", URL, *EMIT, *DRILL, "--run", "dokcer restart chat"), "there is no command 'dokcer' here"),
    (("drill", URL, *EMIT, *DRILL, "--cut", "130%"), "'130%' is no share up to 100%"),
    (("drill", URL, *EMIT, *DRILL, "--cut", "30"), "give e.g. 30%"),
    (("drill", URL, *EMIT, *DRILL, "--run", "true", "--silent"), "--silent is how --cut cuts"),
    (("drill", URL, *EMIT, *DRILL, "--at", "9s", "--run", "true"), "the same time twice"),
    (
        ("drill", URL, *EMIT, "--users", "3", "--at", "soon", "--run", "true"),
        "'soon' is no time of 2 s",
    ),
    (("drill", URL, *EMIT, *DRILL, "--run", "true", "--watch", "0"), "'0' is no time of 2 s or more"),
    (("drill", URL, *EMIT, *DRILL, "--run", "true", "-t", "5m"), "a drill ends --watch after its last --at"),
    (("drill", URL, *DRILL, "--run", "true"), "--emit"),
    (("drill", "nowhere.py", *DRILL, "--run", "true"), "'nowhere.py' is no locustfile"),
    (("drill", URL, *EMIT, *DRILL, "--run", "true", "--sio-check", "drill: los == 0"), "nearest: 'lost'"),
    (("try", URL, "--ack"), "--ack is of an event: name it with --emit"),
    (("try", URL, "--data", "1"), "--data is of an event: name it with --emit"),
    (("try", URL, "--reply", "a"), "--reply is of an event: name it with --emit"),
    (("drill", URL, *EMIT, *DRILL, "--cut", "0%"), "'0%' is no share up to 100%"),
    (("drill", URL, *EMIT, *DRILL, "--cut", "100.1%"), "'100.1%' is no share up to 100%"),
    (("import", RECORDING, "--think", "1"), "'1' is none: give recorded, none, or a factor such as 0.5x"),
    (("import", RECORDING, "--think", "-1x"), "'-1x' is none"),
    (("import", RECORDING, "--think", "nanx"), "'nanx' is none"),
    (("compare", sys.executable, "--with", __file__), f"can't read {sys.executable}: it is no text"),
    (("compare", "none.json", "--with", __file__), "can't read none.json: No such file"),
    (("compare", __file__, "--with"), "--with"),
    (("try", URL, "--user", "Chat"), "--user Chat: a class is chosen of a locustfile"),
    (("demo", "--run-time", "1 minute"), "'1 minute' is no time"),
    (("demo", "--web-port", "0"), "--web-port"),
    (("demo", "--headless", "--out", "/dev/null/out"), "choose another --out"),
    (("init", "/dev/null/x"), "can't write"),
]


@pytest.fixture
def no_load(monkeypatch):
    """A command that gets as far as starting something would replace the tests' own process."""

    def started(argv: list[str], env: object) -> None:
        raise AssertionError(f"started {argv}")

    monkeypatch.setattr(runner, "become", started)


@pytest.mark.parametrize(
    "args, says", BAD, ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else ""
)
def test_bad_usage_is_one_line(no_load, capsys, tmp_path, monkeypatch, args, says):
    monkeypatch.chdir(tmp_path)
    code = main(args)
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert says.lower() in printed.err.lower()
    assert printed.err.count("\n") == 1


#: Of a search: one level fits.
LEAST = ["--step", "1s", "--settle", "1s", "--budget", "2s"]


@pytest.mark.parametrize(
    "args",
    [
        ("bench", URL, *EMIT, "--rate", "max", "--run-time", "99999999", "--version", "auto"),
        ("bench", URL, *EMIT, "--rate", "100000", "--version", "0", "--header", "X-Run:"),
        ("capacity", URL, *SEARCH, *LEAST, "--within", "50%", "--users", "5..5"),
        ("capacity", URL, *SEARCH, "--within", "0.1%", "--expect", ">= 1", "--users", "1..10000000"),
        ("drill", URL, *EMIT, *DRILL, "--cut", "100%", "--watch", "2s"),
        ("drill", URL, *EMIT, "--users", "1", "--at", "2s", "--cut", "0.1%", "--silent"),
    ],
    ids=lambda args: " ".join(args)[:60],
)
def test_what_is_as_much_as_can_be_is_taken(no_load, args):
    with pytest.raises(AssertionError, match="started "):
        main(list(args))


def test_checks_of_a_search_in_a_pipe_are_refused_by_what_they_are(tmp_path):
    """As `<(...)` gives one: they were said to be none, when they were read once more."""
    command = " ".join(map(shlex.quote, serverkit.sioload(["capacity", URL, *SEARCH, "--sio-checks-file"])))
    pipe = "<(echo 'checks = [\"CALL: p99 < 1s\"]')"
    done = serverkit.run(["bash", "-c", f"exec {command} {pipe}"], 30, cwd=tmp_path)
    assert done.code == 2 and "a pipe is read once, and this is read twice: give a file" in done.err, (
        done.text
    )


@pytest.mark.parametrize(("flag", "given"), [("--emit", "caf\udce9"), ("--namespace", "/caf\udce9")])
def test_a_name_in_another_encoding_is_refused(no_load, capsys, flag, given):
    """As a terminal in Latin-1 gives it: as a namespace, it was an internal error of each user."""
    code = main(["bench", URL, "--emit", "echo", flag, given])
    said = capsys.readouterr().err
    assert code == 2 and f"{given!r} holds a character that can't be sent in UTF-8" in said, said


def test_a_prefix_of_csv_files_may_be_a_folders_name_too(no_load, tmp_path, monkeypatch):
    """What is written is `results_stats.csv` and the like, beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(AssertionError, match=r"started .*'--csv', 'results'"):
        main(["bench", URL, *EMIT, "--csv", "results"])


def test_what_locust_finds_wrong_is_told_by_its_name() -> None:
    """A command starts it as a module, whose file is called `__main__.py`."""
    run = serverkit.run_sioload(["bench", URL, *EMIT, "--sio-drain", "-1"], 30)
    assert run.code == 2, run.text
    assert run.err.splitlines()[-1].startswith("locust: error: argument --sio-drain: '-1'"), run.text
    run = serverkit.run_sioload(["capacity", URL, *SEARCH, "--sio-session-length", "30s"], 30)
    assert run.code == 2 and run.err.endswith(" per second: give --arrivals, not --users\n"), run.text


def test_no_option_that_a_drill_refuses_passes_in_short() -> None:
    """argparse takes any beginning of a name that stands for one alone."""
    echo = ["drill", "locustfiles/echo.py", "--host", URL, "--users", "2", "--at", "2s", "--cut", "50%"]
    for short, whole in (("--use", "--users"), ("--run-ti", "--run-time"), ("--work", "--worker")):
        done = serverkit.run_sioload([*echo, "--", short, "5"], 30)
        assert done.code == 2 and short in done.err and f"'{whole}'" in done.err, done.text


def test_exit_code_reaches_the_shell(tmp_path):
    done = serverkit.run_sioload(
        ["bench", URL, "--emit", "echo", "--data", "{"], 60, cwd=tmp_path, fresh=True
    )
    assert done.code == 2 and done.out == "" and done.err.count("\n") == 1, done.text


def test_help_names_every_command():
    done = serverkit.run_sioload(["--help"], 60, fresh=True)
    assert done.code == 0
    for command in ("bench", "demo", "init", "target"):
        assert f"\n  {command} " in done.out
    assert "..." not in done.out.partition("Commands:")[2], "what a command does isn't cut at 80 columns"


def test_a_file_of_the_current_directory_hides_no_module(tmp_path):
    (tmp_path / "socketio.py").write_text("raise SystemExit('the wrong module')")
    port = serverkit.free_port()
    args = ["bench", f"http://127.0.0.1:{port}", *EMIT, "--run-time", "3s", "--users", "1"]
    done = serverkit.run([sys.executable, "-P", *serverkit.sioload(args)[1:]], 120, cwd=tmp_path)
    assert done.code == 1 and "the wrong module" not in done.err, done.text


def gone() -> int:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    "args", [["--help"], ["init", "new"], ["import", "plan.yml", "-o", "made"]], ids="/".join
)
def test_a_reader_that_is_gone_changes_nothing(args, tmp_path):
    """As that of `sioload ... | head -1`: what was to be done is done, and the exit code says so."""
    (tmp_path / "plan.yml").write_text(
        "config: {target: 'http://a'}\nscenarios: [{engine: socketio, flow: [{emit: {channel: hi}}]}]\n"
    )
    out = gone()
    try:
        done = subprocess.run(
            serverkit.sioload(args), stdout=out, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60
        )
    finally:
        os.close(out)
    assert (done.returncode, done.stderr) == (0, b"")
    for name in args[-1:] if args[0] != "--help" else ():
        assert (tmp_path / name / "locustfile.py").exists()


def test_a_reader_that_is_gone_changes_no_verdict(target):
    """Of the doctor and of a trial: 0 when all is well, not 1."""
    for args in (["doctor", target.url], ["try", target.url, "--emit", "echo", "--ack", "--seconds", "0.5"]):
        out = gone()
        try:
            done = subprocess.run(serverkit.sioload(args), stdout=out, stderr=subprocess.PIPE, timeout=60)
        finally:
            os.close(out)
        assert (done.returncode, done.stderr) == (0, b""), args


def test_a_full_disk_is_told_in_one_line_and_exit_code_2(tmp_path):
    args = " ".join(map(shlex.quote, serverkit.sioload(["--help"])))
    with (tmp_path / "out").open("wb") as out:  # which may have no more than that
        done = subprocess.run(
            ["bash", "-c", f"ulimit -f 0; exec {args}"], stdout=out, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == 2, done.stderr
    assert done.stderr == b"sioload: can't write to standard output: File too large\n"


def test_a_standard_output_that_is_closed_is_none(tmp_path):
    args = " ".join(map(shlex.quote, serverkit.sioload(["bench", "http://127.0.0.1:1", *EMIT, "-t", "1s"])))
    done = subprocess.run(
        ["bash", "-c", f"exec {args} >&-"], stderr=subprocess.PIPE, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["drill", "--users", "1", "--at", "2s", "--watch", "2s", "--run", "true"],
        ["capacity", "--users", "1..2", "--sio-check", "GET: p99 < 1s"],
    ],
)
def test_a_locustfile_without_sioload_is_refused(command: list[str], tmp_path: Path) -> None:
    """A drill would be no drill, and load without an end."""
    script = tmp_path / "plain.py"
    script.write_text("from locust import HttpUser, task\n\nclass Getter(HttpUser):\n    tasks = [print]\n")
    name, *options = command
    argv = [sys.executable, "-m", "sioload.cli.main", name, script, "--host", "http://127.0.0.1:9", *options]
    done = serverkit.run(argv, 30, cwd=tmp_path)
    assert done.code == 2 and not done.out, done.text
    assert done.err.startswith(f"sioload: {script} doesn't import sioload, and so nothing"), done.text
    assert done.err.count("\n") == 1, done.text
