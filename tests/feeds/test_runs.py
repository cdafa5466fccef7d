"""Users share the rows of a feed: none is held twice, in one process and over workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import serverkit
from feedkit import SCRIPT, Accounts, assert_rows_in_order

UP_AND_DOWN = "9 users for 3s; 1 users for 3s; 7 users for 2s"


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_rows_come_back_when_connections_are_closed(accounts: Accounts, workers: list[str]) -> None:
    """Users end in the middle of calls, and their connections live on until these are answered; users that
    end while they wait leave nothing behind.
    """
    accounts.write(rows=7)
    done = accounts.run("--sio-phases", UP_AND_DOWN, *workers)
    log, report = accounts.log, accounts.report
    assert log["logins"][-1][0] - log["logins"][-6][0] < 4.0, "one user lived on, six rows were free"
    assert "user0" not in f"{done.text}{report}", "what stands in rows is nobody else's business"
    assert log["refused"] == [] and log["inside"] == [] and log["most"] == 7
    assert_rows_in_order(log["logins"], 7)
    [feed] = report["feeds"]
    assert feed["name"] == "accounts.csv" and feed["rows"] == feed["most_held"] == 7
    assert feed["taken"] >= len(log["logins"]) >= 12 and feed["held_twice"] == []
    assert report["ledger"]["open"] == report["ledger"]["indeterminate"] == 0
    [member] = report["users"]["classes"]
    assert member == {"class": "Member", "asked": 9, "ran": 9, "died": 0, "left": 0}


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_without_a_free_row_users_end(accounts: Accounts, workers: list[str]) -> None:
    accounts.write(rows=4, when_empty="stop")
    done = accounts.run("-u", "6", "-r", "6", "-t", "3s", *workers)
    assert "accounts.csv has 4 rows, and 6 users are asked for" in done.err
    said = [line for line in done.err.splitlines() if "no row of accounts.csv is free, of 4 in all" in line]
    assert 1 <= len(said) <= 1 + len(workers) / 2 and "Traceback" not in done.err, done.text
    [member] = accounts.report["users"]["classes"]
    assert member == {"class": "Member", "asked": 6, "ran": 4, "died": 2, "left": 0}
    assert accounts.log["most"] == 4 and accounts.log["refused"] == []


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_users_without_a_row_are_in_no_peak(accounts: Accounts, workers: list[str]) -> None:
    """That of the run, those of its phases, and what checks on either say."""
    accounts.write(rows=2, when_empty="stop")
    checks = ["--sio-check", "run: peak_users == 2", "--sio-check", "run: peak_users == 2 in more"]
    done = accounts.run("--sio-phases", "few: 3 users for 2s; more: 5 users for 2s", *checks, *workers)
    assert done.code == 0, done.text
    users = accounts.report["users"]
    assert [users["peak"], *(phase["users"]["peak"] for phase in accounts.report["phases"])] == [2, 2, 2]


def test_rows_in_turn_are_shared(accounts: Accounts) -> None:
    script = """
from locust import constant, task
from sioload import SocketIOUser, feed

words = feed([{{"word": word}} for word in "abc"])
numbers = feed("numbers.jsonl", order="shuffle")

class Speaker(SocketIOUser):
    wait_time = constant(60)
    options = {{"transports": ["websocket"]}}

    def on_start(self):
        self.sio.connect(auth={{"token": f"{{next(words)['word']}}{{numbers.take(self)['n']}}"}})

    @task
    def nothing(self):
        pass
"""
    accounts.write(rows=1, script=script)
    (accounts.folder / "numbers.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(6)))
    accounts.run("-u", "6", "-r", "6", "-t", "3s", "--processes", "2")
    tokens = [account for _, account in accounts.log["logins"]]
    assert sorted(token[0] for token in tokens) == list("aabbcc")
    assert sorted(token[1:] for token in tokens) == list("012345")
    assert {feed["name"]: feed["taken"] for feed in accounts.report["feeds"]} == {
        "list 1": 6, "numbers.jsonl": 6,
    }  # fmt: skip


ABSOLUTE = '__import__("pathlib").Path(__file__).with_name("accounts.csv")'


@pytest.mark.parametrize("place", ['"accounts.csv"', ABSOLUTE], ids=["relative", "absolute"])
def test_workers_that_have_the_script_from_the_master(accounts: Accounts, tmp_path: Path, place: str) -> None:
    """The file of accounts is the master's alone, and the script stands elsewhere on each worker."""
    accounts.write(rows=5, script=SCRIPT.replace('"accounts.csv"', place))
    port = str(serverkit.free_port())
    master = accounts.start(
        *accounts.load("--master", "--expect-workers", "2", "-u", "5", "-r", "5", "-t", "3s"),
        "--master-bind-host", "127.0.0.1", "--master-bind-port", port,
    )  # fmt: skip
    for name in ("one", "other"):
        elsewhere = tmp_path / name
        elsewhere.mkdir()
        accounts.start(
            "--worker", "--master-host", "127.0.0.1", "--master-port", port, file="-", cwd=elsewhere
        )
    assert master.wait(60) == 0, "\n".join(map(str, accounts.processes))
    assert accounts.log["most"] == 5 and accounts.log["refused"] == []


#: What is wrong, and what is said of it.
REFUSED = (
    ("a = feed('none.csv')", "feed none.csv: can't read"),
    ("a = feed('many.csv')", "feed many.csv, line 3: 3 fields"),
    ("a = feed('empty.csv')", "feed empty.csv, line 1: the header is empty"),
    ("a = feed('bad.jsonl')", "feed bad.jsonl, line 2: this is no JSON"),
    ("a = feed('many.txt')", "must end in .csv or .jsonl"),
    ("a = feed('many.csv', order='suffle')", "(nearest: 'shuffle')"),
    ("a = feed('many.csv', when_empty='end')", "must be 'stop' or 'wait', not 'end'"),
    ("a = feed('many.csv')\nb = feed('./many.csv', order='shuffle')", "one file is one feed"),
    ("a = feed([1])", "row 1: a row is a dict, not int"),
    ("a = feed(7)", "not int"),
    ("def make():\n    return feed('many.csv')\na = make()", "feed() was called in make"),
    ("class Of:\n    a = feed('many.csv')", "feed() was called in Of"),
    ("class Of(SocketIOUser):\n    def on_start(self):\n        feed('many.csv')", "Of.on_start"),
    ("import sioload\nclass Of(SocketIOUser):\n    def on_start(self):\n        sioload.feed('many.csv')",
     "Of.on_start"),
    ("a = feed([{'a': 1}])\nclass Of(SocketIOUser):\n    def on_start(self):\n        a.take(self)\n"
     "    def on_stop(self):\n        return [next(a)['a'] for _ in '1']", "one of take() and next()"),
    ("class Of(SocketIOUser):\n    label = 'a\\nb'", "label must be a text"),
    ("a = feed([{'a': 1}])\nb = feed([{'a': 2}], order='shuffle', when_empty='wait')\n"
     "class Of(SocketIOUser):\n    def on_start(self):\n        a.take(self)\n        next(b)", ""),
    ("from pathlib import Path\na = feed(Path('many.csv'), order='suffle')", "feed('many.csv'): order must"),
    ("a = feed(7, order='suffle')", "feed(7): order must"),
    ("a = feed([{'a': 1}])\na.take(7)", "take(self), in a task set take(self.user)"),
)  # fmt: skip


def test_what_makes_no_sense_is_told_before_any_load(tmp_path: Path) -> None:
    driver = Path(__file__).with_name("refusals.py")
    scripts = json.dumps([script for script, _ in REFUSED])
    done = subprocess.run(
        [sys.executable, driver], input=scripts, capture_output=True, text=True, timeout=100, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(serverkit.ROOT)},
    )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(REFUSED), done.stderr
    for (script, said), line in zip(REFUSED, told, strict=True):
        assert said in line and bool(said) == bool(line) and "\n" not in line, (script, line)


@pytest.mark.parametrize("number, more", [(0, []), (1, ["--processes", "2"]), (12, [])])
def test_a_refused_script_is_one_line_and_exit_code_2(tmp_path: Path, number: int, more: list[str]) -> None:
    script, said = REFUSED[number]
    (tmp_path / "many.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "locustfile.py").write_text(
        f"from sioload import SocketIOUser, feed\n{script}\n\n"
        "class Member(SocketIOUser):\n    host = 'http://127.0.0.1:9'\n"
    )
    args = ["-f", "locustfile.py", "--headless", "-t", "1s", *more]
    done = serverkit.run_locust(args, 60, cwd=tmp_path)
    lines = [line for line in done.err.splitlines() if line.startswith("sioload:")]
    assert done.code == 2 and said in lines[0] and "Traceback" not in done.err, done.text
    assert len(lines) == 1, done.text


def test_bench_takes_a_row_for_each_user(accounts: Accounts, tmp_path: Path) -> None:
    accounts.write(rows=3)
    emit = ["--emit", "quick", "--data", '{"from": "{{name}}", "n": 1}', "--ack", "--transports", "websocket"]
    args = ["bench", accounts.url, "--feed", "accounts.csv", "--users", "4", "--run-time", "3s", *emit]
    for way in (["--auth", '{"token": "{{token}}"}'], ["--header", "X-User: {{ token }}"]):
        accounts.forget()
        done = serverkit.run_sioload([*args, *way], 60, cwd=tmp_path)
        assert done.code == 0 and "accounts.csv is free, of 3 in all" in done.err, done.text
        assert sorted(account for _, account in accounts.log["logins"]) == ["t0", "t1", "t2"]


def test_bench_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,token\nann,1\n")
    (tmp_path / "b.jsonl").write_text('{"name": "ann", "token": 1}\n{"name": "ben"}\n')
    os.mkfifo(tmp_path / "pipe.csv")
    bench = ["bench", "http://127.0.0.1:9", "--emit", "x"]
    for more, said in (
        (["--feed", "pipe.csv"], "pipe.csv: a pipe is read once"),
        (["--feed", "a.csv", "--data", '"{{nam}}"'], "{{nam}} is no column of a.csv (nearest: name)"),
        (["--feed", "b.jsonl", "--auth", '{"t": ["{{token}}"]}'], "{{token}} is no column of b.jsonl"),
        (["--feed", "a.csv", "--header", "X: {{x}}"], "--header: {{x}} is no column"),
        (["--data", '"{{name}}"'], "name its file with --feed"),
        (["--feed", "none.csv"], "can't read"),
        (["--feed", "a.csv", "--data", '"{name}"'], "a.csv: nothing of it is used: put {{name}} into --data"),
        (["--feed", "a.csv", "--namespace", "/{{name}}"], "--namespace: {{name}} is the same for all users"),
        (["--feed", "a.csv", "--option", 'query={"t": "{{ token }}"}'], "--option: {{token}} is the same"),
        (["--feed", "a.txt"], "must end in .csv or .jsonl"),
    ):
        done = serverkit.run_sioload([*bench, *more], 30, cwd=tmp_path)
        assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1, done.text


MADE_WITH_A_ROW = """
from locust import constant, task
from sioload import Arrivals, SocketIOUser, feed

accounts = feed("accounts.csv", when_empty="{when_empty}")

class Member(SocketIOUser):
    wait_time = constant(0.1)
    options = {{"transports": ["websocket"]}}

    def __init__(self, environment):
        super().__init__(environment)
        self.me = accounts.take(self)

    def on_start(self):
        self.sio.connect(auth={{"token": self.me["token"]}})

    @task
    def rest(self):
        pass

class Crowd(Arrivals):
    rate = 5
    session_length = 0.4
"""


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_a_row_that_a_user_takes_as_it_is_made_comes_back(accounts: Accounts, workers: list[str]) -> None:
    accounts.write(rows=8, script=MADE_WITH_A_ROW)
    accounts.run("-t", "6s", *workers)
    log, report = accounts.log, accounts.report
    assert len(log["logins"]) == report["feeds"][0]["taken"] > 16
    assert log["refused"] == [] and report["untrusted"] == []


def test_a_user_that_is_made_without_a_free_row_is_told_where_to_take_one(accounts: Accounts) -> None:
    accounts.write(rows=2, script=MADE_WITH_A_ROW.replace("0.4", "60"), when_empty="stop")
    done = accounts.run("-t", "2s", code=2)
    assert "no row is free, and who is being made can't end: take() in on_start" in done.err, done.text


LISTENER = """
from locust import constant, events, task
from sioload import SocketIOUser, UsageError, feed

words = feed([{{"word": "a"}}])

@events.test_start.add_listener
def prepare(**_):
    try:
        print("word", next(words)["word"])
    except UsageError as error:
        print(error)

class Speaker(SocketIOUser):
    wait_time = constant(0.5)
    options = {{"transports": ["websocket"], "auth": {{"token": "t0"}}}}

    @task
    def speak(self):
        next(words)
"""


def test_a_workers_listener_of_test_start_is_told_that_it_would_wait_for_itself(accounts: Accounts) -> None:
    accounts.write(rows=1, script=LISTENER)
    assert "word a" in accounts.run("-u", "1", "-t", "2s").out
    done = accounts.run("-u", "1", "-t", "2s", "--processes", "1")
    assert "a row can't be asked for in a listener" in done.out, done.text
    assert accounts.report["feeds"][0]["taken"] > 1


LATE = """
from locust import User, constant, task
from sioload import feed

accounts = feed("pipe.csv")

class Taker(User):
    wait_time = constant(0.1)

    @task
    def take(self):
        accounts.take(self)
"""


def test_rows_that_take_long_to_read_cut_nothing_off_the_run(tmp_path: Path) -> None:
    """The loop's clock stood meanwhile."""
    (tmp_path / "locustfile.py").write_text(LATE)
    os.mkfifo(tmp_path / "pipe.csv")
    writer = "sleep 1.5; printf 'name\\nann\\n'; sleep 1.5"
    with serverkit.Process(["sh", "-c", f"({writer}) > pipe.csv"], cwd=tmp_path) as rows:
        args = ["-f", "locustfile.py", "--headless", "-t", "2s", "--sio-report", "r.json"]
        done = serverkit.run_locust(args, 60, cwd=tmp_path)
        assert done.code == 0 and rows.wait(10) == 0, done.text
    assert json.loads((tmp_path / "r.json").read_text())["duration_s"] > 1.5, "not at once: it read for 3 s"
