"""A fork of `forks.py` does what Python does when it starts with the same arguments."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import serverkit

SCRIPT = """
from gevent import monkey
monkey.patch_all()
import os, random, signal, sys, threading
from sioload import SocketIOClient
print(__name__, sys.argv, sys.path[:2], os.getcwd(), os.environ["GIVEN"], os.getpid() == os.getpgrp())
print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD))
print([t.name for t in threading.enumerate()])
print(sorted(map(int, os.listdir("/proc/self/fd")))[:3], sys.stdin.read(), sys.stdout.write_through)
"""
ENDS = {
    "": 0,
    "sys.exit(7)": 7,
    "sys.exit('said')": 1,
    "1 / 0": 1,
    "os.kill(os.getpid(), signal.SIGTERM)": -15,
}
#: Not hooked by sioload, and hooked by it.
USERS = "from locust import User\nclass Idle(User):\n    pass\n"
OURS = "from sioload import SocketIOUser\nclass Idle(SocketIOUser):\n    pass\n"


def alike(argv: Sequence[str | os.PathLike[str]], folder: Path) -> serverkit.Run:
    runs = [serverkit.run(argv, 60, cwd=folder, env={"GIVEN": "€"}, fresh=fresh) for fresh in (True, False)]
    assert runs[0].out == runs[1].out
    assert runs[0].code == runs[1].code
    # Frames of what forks stand above those of a script.
    assert runs[0].err.splitlines()[-1:] == runs[1].err.splitlines()[-1:]
    return runs[1]


@pytest.mark.parametrize("how", ["script.py", "-c"])
def test_scripts(how: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    what = ["-c", SCRIPT] if how == "-c" else ["script.py"]
    done = alike([sys.executable, *what, "a", "€"], tmp_path)
    assert done.code == 0 and "€" in done.out, done.text


@pytest.mark.parametrize("end", ENDS)
def test_exit_codes(end: str) -> None:
    done = serverkit.run([sys.executable, "-c", "import locust, os, signal, sys\n" + end], 20)
    assert done.code == ENDS[end] and ("Traceback" in done.err) == (end == "1 / 0"), done.text


@pytest.mark.parametrize("text", [USERS, OURS], ids=["Locust's", "ours"])
def test_locustfiles(text: str, tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(text)
    done = alike(serverkit.locust(["--headless", "--sio-check", "nonsense"]), tmp_path)
    assert ("SELECTOR" in done.err) == (text == OURS), done.text


def test_what_a_command_becomes(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{serverkit.free_port()}"
    args = ["bench", url, "--emit", "echo", "--sio-report", "/proc/no/r.json"]
    done = alike(serverkit.sioload(args), tmp_path)
    assert done.code == 2 and "/proc/no" in done.err, done.text


def test_it_can_be_ended(tmp_path: Path) -> None:
    # gevent's hub sees a signal that comes just before it waits once it wakes. In the background of a shell
    # it is ignored, unless somebody asks for it.
    code = "from gevent import monkey\nmonkey.patch_all()\nimport signal, time\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\nprint('up')\n"
    code += "for _ in range(600):\n    time.sleep(0.1)"
    with serverkit.Process([sys.executable, "-c", code]) as process:
        process.wait_for("up", 20)
        process.signal(signal.SIGINT)
        assert process.wait(20) in (1, -signal.SIGINT)
        assert "KeyboardInterrupt" in process.err
    with serverkit.Process([sys.executable, "-c", code]) as process:
        process.wait_for("up", 20)
    assert process.popen.poll() == -signal.SIGTERM
