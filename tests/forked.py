"""Python programs of the tests that start at once: forks of a process that has imported what they will.

What forks is `forks.py`, one process for each that runs tests.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
#: Names the folder of the sioload that scripts import in place of this one.
TESTED = "SIOLOAD_TESTED"
MODULES = ("locust", "sioload.cli.main", "sioload.target")
#: Variables that Python and its libraries read when they start.
AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "GEVENT", "LOCUST_SKIP")
#: A script that is patched by gevent, as Locust is.
PATCHED = re.compile(r"^(import|from) (gevent\.monkey|gevent import monkey|locust)\b", re.MULTILINE)


def environment() -> dict[str, str]:
    """What programs of the tests are told, where nothing else is asked for."""
    return {**os.environ, "PYTHONPATH": os.environ.get(TESTED, str(HERE.parent)), "PYTHONUNBUFFERED": "1"}


def can_be(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> bool:
    """Whether a fork does what this command line would.

    It does for Locust, sioload and scripts that gevent patches, unless another sioload or other settings of
    Python are asked for.
    """
    if argv[0] != sys.executable or not hasattr(os, "pidfd_open"):
        return False
    if cwd.resolve() != HERE.parent and (cwd / "sioload").exists():
        return False
    usual = environment()
    names = {name for name in env.keys() | usual.keys() if name.startswith(AT_START)}
    if any(env.get(name) != usual.get(name) for name in names):
        return False
    if argv[1] in ("-m", "-c"):
        return argv[2] in MODULES or PATCHED.search(argv[2]) is not None
    script = cwd / argv[1]
    return script.suffix == ".py" and PATCHED.search(script.read_text()) is not None


class Forked:
    """A process that was forked, with as much of `subprocess.Popen` as the tests need.

    Attributes:
        returncode: as soon as somebody asked after its end.
    """

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
    ) -> None:
        self.returncode: int | None = None
        self._asking = threading.Lock()
        asked = json.dumps({"argv": argv[1:], "cwd": str(cwd), "env": dict(env)}).encode()
        read, write = os.pipe()
        self._told = open(read, "rb", buffering=0)  # noqa: SIM115  (closed at its end)
        socket.send_fds(_forks(), [asked], [out.fileno(), err.fileno(), write])
        os.close(write)
        self.pid = self._number()

    def _number(self) -> int:
        line = self._told.readline()
        if not line:
            raise RuntimeError("forks.py has ended, and all that it forked")
        return int(line)

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code once it has ended, within `timeout` seconds."""
        with self._asking:
            if self.returncode is None:
                ended = select.poll()
                ended.register(self._told, select.POLLIN)
                if not ended.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("a fork", timeout or 0)
                self.returncode = self._number()
                self._told.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _forks() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, HERE / "forks.py"],
            cwd=HERE.parent,
            env=environment(),
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # then it ends
    return ours
