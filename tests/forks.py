"""Runs of Python in forks of one process that has imported Locust and sioload; see `forked.py`.

Importing both costs more than a second of CPU, which is more than most of the tests' runs do. Each message on
the socket that standard input is asks for a run, with three descriptors: its output, its errors, and where to
tell the process id, and then the exit code.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import pkgutil
import re
import signal
import socket
import sys
import threading
import types
from collections.abc import Iterable
from os import waitpid  # gevent's waits in its hub
from pathlib import Path
from select import POLLIN, poll
from typing import Any, NoReturn

ASKED = socket.socket(fileno=os.dup(0))

import sioload  # noqa: E402  (before Locust, so that it doesn't hook into it: a locustfile does)

import locust.main  # isort: skip  # noqa: E402  (patches, so it comes before all else)

import locust.contrib.fasthttp  # noqa: E402
import socketio  # noqa: E402, F401
from gevent.os import fork_gevent  # noqa: E402

for found in pkgutil.walk_packages(sioload.__path__, "sioload."):
    # Scenarios are Locust's to import, and what OpenTelemetry reads when imported may be one run's own.
    if not re.search(r"locustfile$|\.otlp$|\.testing\b", found.name):
        importlib.import_module(found.name)

#: What `python -m NAME` runs, and what that calls.
MAINS = {
    "locust": ("locust.__main__", locust.main.main),
    "sioload.cli.main": ("sioload.cli.main", sys.modules["sioload.cli.main"].main),
    "sioload.target": ("sioload.target.__main__", sys.modules["sioload.target.__main__"].main),
}
PR_SET_PDEATHSIG = 1


class Taken(BaseException):
    """The process has made itself another one by `execve`."""


def execve(path: str, argv: list[str], env: dict[str, str]) -> NoReturn:
    """What `sioload bench` and its like end with: only what was imported stays."""
    if argv[1:3] != ["-P", "-m"] or argv[3] not in MAINS:
        real_execve(path, argv, env)
    raise Taken(argv[3:], env)


real_execve, os.execve = os.execve, execve  # type: ignore[assignment]


def main(argv: list[str]) -> int:
    """Do what Python does with these arguments; its exit code."""
    how, *rest = argv
    if how == "-m":
        if rest[0] == "locust":
            hook()
        module, called = MAINS[rest[0]]
        spec = importlib.util.find_spec(module)
        assert spec is not None
        sys.argv[:] = [str(spec.origin), *rest[1:]]
        return int(called() or 0)
    text = rest.pop(0) if how == "-c" else Path(how).read_text()
    if re.search(r"^(import|from) locust\b", text, re.MULTILINE):
        hook()
    sys.argv[:] = [how, *rest]
    sys.modules["__main__"] = script = types.ModuleType("__main__")
    script.__file__ = how
    exec(compile(text, how, "exec"), script.__dict__)  # noqa: S102
    return 0


def hook() -> None:
    """Let sioload be imported anew, which hooks into Locust when that was imported before it."""
    del sys.modules["sioload"]


def become(asked: dict[str, Any], out: int, err: int, used: Iterable[int]) -> NoReturn:
    """Be the process that was asked for, without these descriptors of what forks."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    ASKED.close()
    os.dup2(null := os.open(os.devnull, os.O_RDONLY), 0)
    os.close(null)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for mine in used:
        os.close(mine)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    argv = asked["argv"]
    sys.path[0] = {"-m": asked["cwd"], "-c": ""}.get(argv[0], os.path.dirname(os.path.realpath(argv[0])))
    try:
        code = main(argv)
    except Taken as taken:
        args, env = taken.args
        os.environ.clear()
        os.environ.update(env)
        sys.path.pop(0)
        code = main(["-m", *args])
    sys.exit(code)


def serve() -> None:
    """Fork until the tests have ended, and tell what became of each."""
    running: dict[int, tuple[int, int]] = {}
    events = poll()
    events.register(ASKED, POLLIN)
    while True:
        for ready, _ in events.poll():
            if ready != ASKED.fileno():
                pid, told = running.pop(ready)
                events.unregister(ready)
                os.close(ready)
                tell(told, os.waitstatus_to_exitcode(waitpid(pid, 0)[1]))
                os.close(told)
                continue
            message, given, _, _ = socket.recv_fds(ASKED, 1 << 20, 3)
            if not message:
                return
            out, err, told = given
            if not (pid := fork_gevent()):
                become(
                    json.loads(message), out, err, {*given, *running, *(told for _, told in running.values())}
                )
            os.close(out)
            os.close(err)
            tell(told, pid)
            running[handle := os.pidfd_open(pid)] = pid, told
            events.register(handle, POLLIN)


def tell(told: int, number: int) -> None:
    """Write a number, which perhaps nobody reads any more."""
    try:
        os.write(told, b"%d\n" % number)
    except BrokenPipeError:
        pass


assert threading.active_count() == 1
gc.collect()
gc.freeze()
serve()
