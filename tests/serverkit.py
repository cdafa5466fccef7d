"""Real servers and real runs for the tests: subprocesses that start with a deadline and always end."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

import forked
import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVERS = ROOT / "tests" / "servers"
READY = re.compile(r"^listening (?:on http://\S+:)?(\d+)\n", re.MULTILINE)
START_DEADLINE = 20.0  # seconds
PR_SET_PDEATHSIG = 1
#: What Locust says once the load is complete; the second where a worker was slow to report.
SPAWNED = "All users spawned|Spawning is complete"

#: The Node servers by the name of their package alias.
NODE_LIBS = ("sio0", "sio1", "sio2", "sio3", "sio4")


def missing(what: str, how: str) -> NoReturn:
    """A tool of the tests isn't there: skip with the line that says how to get it, but fail in CI."""
    reason = f"{what} is missing: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    # On a developer's machine the rest of the tests is worth running without the tool.
    pytest.skip(reason)


def need_compiler() -> str:
    """The path of a C compiler, with which the hot modules were compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing("a C compiler", "install gcc (Debian: apt-get install gcc libc6-dev), then make again")
    return compiler


def need_node(lib: str) -> str:
    """The path of Node, when it and the package are there."""
    node = shutil.which("node")
    if node is None:
        missing("Node", "install Node 18 or newer with npm (Debian: apt-get install nodejs npm)")
    if not (SERVERS / "node_modules" / lib / "package.json").exists():
        missing(f"the npm package {lib}", f"npm ci --prefix {SERVERS.relative_to(ROOT)}")
    return node


def need_flask_socketio() -> None:
    """Skip unless the package is there, of the extra `test`."""
    if importlib.util.find_spec("flask_socketio") is None:
        missing("Flask-SocketIO", "make (it is in the extra `test`)")


@cache
def python_with(kind: str) -> str:
    """The Python of a server's kind: of python-socketio 4 or 5, or of gevent-socketio."""
    if kind == "pysio5":
        return sys.executable
    named = os.environ.get(f"SIOLOAD_{kind.upper()}")
    python = Path(named) if named else SERVERS / ".venv" / kind / "bin" / "python"
    if not python.exists():
        missing(f"the server {kind}", f"make {(SERVERS / '.venv' / kind / '.installed').relative_to(ROOT)}")
    return str(python)


def die_with_parent() -> None:
    """In a child: it is killed when its parent ends. Linux only."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """What programs of tests run with, and these variables."""
    return {**forked.environment(), **(more or {})}


class Process:
    """A subprocess with its children in a group of their own; its output goes to files, so it never blocks.

    Usable as a context manager; leaving it ends the group.

    Args:
        fresh: let Python start and import everything, where a fork would do (see `forked.py`).
    """

    popen: subprocess.Popen[bytes] | forked.Forked

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> None:
        self.argv = [os.fspath(arg) for arg in argv]
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close())
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        variables = environment(env)
        if not fresh and forked.can_be(self.argv, cwd, variables):
            self.popen = forked.Forked(self.argv, cwd, variables, self._out, self._err)
            return
        self.popen = subprocess.Popen(
            self.argv,
            cwd=cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )

    @property
    def pid(self) -> int:
        """The process id, which is its group's too."""
        return self.popen.pid

    @property
    def out(self) -> str:
        """Everything on its standard output so far."""
        return self._read(self._out)

    @property
    def err(self) -> str:
        """Everything on its standard error so far."""
        return self._read(self._err)

    @staticmethod
    def _read(file: IO[bytes]) -> str:
        # The child writes at this file's offset, which must stay where it is.
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode("utf-8", "replace")

    def wait_for(self, pattern: str | re.Pattern[str], timeout: float) -> re.Match[str]:
        """The first match of `pattern` in its output (either stream), within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.popen.poll() is not None
            found = re.search(pattern, self.out) or re.search(pattern, self.err)
            if found:
                return found
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} from {self}")
            time.sleep(0.02)

    def wait(self, timeout: float) -> int:
        """Its exit code, within `timeout` seconds; else it is ended and the test fails with its output."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"still running after {timeout:g} s: {self}") from None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self.popen.send_signal(number)

    def stop(self) -> None:
        """End it and its children: SIGTERM, then SIGKILL to the group."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def close(self) -> None:
        """End it and forget its output."""
        self.stop()
        self._out.close()
        self._err.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}"


@dataclass(frozen=True)
class Run:
    """What a finished run left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams, for assertion messages."""
        return f"exit code {self.code}\n--- stdout\n{self.out[-6000:]}\n--- stderr\n{self.err[-6000:]}"


@dataclass(frozen=True)
class Server:
    """A running server of the tests."""

    kind: str
    port: int
    process: Process
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Its address, without a trailing slash."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def counts(self) -> dict[str, Any]:
        """What it received, acked and sent, per namespace and event."""
        return counts(self.url)

    def requests(self) -> list[dict[str, Any]]:
        """The HTTP requests it got (Node servers only), the tests' own left out."""
        seen: list[dict[str, Any]] = http_json(f"{self.url}/requests")
        return seen

    def reset(self) -> None:
        """Let it count from zero."""
        http_json(f"{self.url}/reset", method="POST")


def http_json(url: str, *, method: str = "GET", timeout: float = 10.0) -> Any:
    """One plain HTTP request, answered by JSON."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=timeout) as answer:
        return json.load(answer)


def counts(url: str) -> dict[str, Any]:
    """`GET /counts` of any server of the tests."""
    got: dict[str, Any] = http_json(f"{url}/counts")
    return got


def total(table: Mapping[str, Mapping[str, int]], event: str) -> int:
    """How often `event` stands in one table of the counts, over all namespaces."""
    return sum(events.get(event, 0) for events in table.values())


def free_port() -> int:
    """A port of loopback that was free a moment ago.

    It is below those that the kernel hands out, and drawn anew each time: tests run side by side, and it must
    stay free until the program listens that it is for.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def command(kind: str, *options: str) -> list[str]:
    """The command line of a server.

    Args:
        kind: "target", "sio0" ... "sio4" (npm), "pysio4" or "pysio5" (python-socketio),
            "gsio" (gevent-socketio 0.3.6), "nest" (NestJS), "flask" (Flask-SocketIO), "watched" (npm,
            with prom-client and admin-ui).
        *options: more options of that server.
    """
    if kind == "target":
        return [sys.executable, "-m", "sioload.target", "--port", "0", *options]
    if kind in NODE_LIBS:
        return [need_node(kind), "--no-deprecation", str(SERVERS / "server.js"), "--lib", kind, *options]
    if kind in ("recorded_chat", "recorder"):
        return [need_node("sio4"), str(SERVERS / f"{kind}.js")]
    if kind == "nest":
        return [need_node("@nestjs/core"), str(SERVERS / "nest.js"), *options]
    if kind == "watched":
        need_node("@socket.io/admin-ui")
        return [need_node("prom-client"), str(SERVERS / "watched.js"), *options]
    if kind == "flask":
        need_flask_socketio()
        return [sys.executable, str(SERVERS / "flask_app.py"), *options]
    if kind == "gsio":
        return [python_with(kind), str(SERVERS / "gsio.py"), *options]
    if kind.startswith("pysio"):
        return [python_with(kind), str(SERVERS / "pysio.py"), *options]
    raise ValueError(f"no server {kind!r}")


def start(kind: str, *options: str) -> Server:
    """Start a server and wait until it listens; the caller ends it (`server.process.close()`)."""
    process = Process(command(kind, *options))
    try:
        port = int(process.wait_for(READY, START_DEADLINE).group(1))
    except BaseException:
        process.close()
        raise
    return Server(kind, port, process, "https" if "--cert" in options else "http")


@contextlib.contextmanager
def running(kind: str, *options: str) -> Iterator[Server]:
    """A server of the test's own, ended when the block is left."""
    server = start(kind, *options)
    try:
        yield server
    finally:
        server.process.close()


def run(
    argv: Sequence[str | os.PathLike[str]],
    timeout: float,
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Run:
    """Run a command to its end, within `timeout` seconds."""
    with Process(argv, cwd=cwd, env=env, fresh=fresh) as process:
        code = process.wait(timeout)
        return Run(code, process.out, process.err)


@contextlib.contextmanager
def nginx(*nodes: int, location: str = "", upstream: str = "") -> Iterator[str]:
    """nginx before servers on these ports: its URL.

    Args:
        location: directives of its location, e.g. those that pass an Upgrade on.
        upstream: directives of its upstream, e.g. `ip_hash;`.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        missing("nginx", "install it (Debian: apt-get install nginx-light)")
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="sioload-nginx-"))
    places = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    servers = " ".join(f"server 127.0.0.1:{node};" for node in nodes)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; daemon off; events {{ }}\n"
        f"http {{ access_log off; {places} upstream nodes {{ {upstream} {servers} }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://nodes; {location} }} }} }}\n"
    )
    try:
        with Process([program, "-c", folder / "nginx.conf", "-e", folder / "error.log"]) as process:
            deadline = time.monotonic() + START_DEADLINE
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.popen.poll() is None, f"{process}"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def plain() -> Path:
    """A folder with sioload as plain Python, where defects can be put into it and frames be seen.

    For `PYTHONPATH`, and as the working directory of `python -c`.
    """
    folder = Path(tempfile.mkdtemp(prefix="sioload-plain-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(ROOT / "sioload", folder / "sioload", ignore=shutil.ignore_patterns("*.so"))
    return folder


def locust(args: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """The command line of Locust in this Python.

    A swarm made by `--processes` gets a port of its own: on Locust's default one, workers of two runs on the
    same machine join the same master.
    """
    ports = swarm_ports() if "--processes" in args and "--master-bind-port" not in args else []
    return [sys.executable, "-m", "locust", *args, *ports]


def swarm_ports() -> list[str]:
    """The options that tell master and workers of one swarm a free port of loopback."""
    port = str(free_port())
    return ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]


def sioload(args: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """The command line of sioload in this Python."""
    return [sys.executable, "-m", "sioload.cli.main", *args]


def run_locust(
    args: Sequence[str | os.PathLike[str]],
    timeout: float = 60.0,
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Run:
    """Run `locust` with these arguments."""
    return run(locust(args), timeout, cwd=cwd, env=env, fresh=fresh)


def run_sioload(
    args: Sequence[str | os.PathLike[str]],
    timeout: float = 60.0,
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Run:
    """Run `sioload` with these arguments."""
    return run(sioload(args), timeout, cwd=cwd, env=env, fresh=fresh)


class Oracle:
    """An official JavaScript client, run from a script (see `tests/servers/client.js`)."""

    def __init__(self, lib: str) -> None:
        self.lib = lib
        self.node = need_node(lib)

    def run(self, url: str, script: Sequence[Any], *options: str, timeout: float = 20.0) -> list[list[Any]]:
        """Run the steps; `[step, args]` for each step that answers."""
        argv = [self.node, "--no-deprecation", str(SERVERS / "client.js"), "--lib", self.lib, "--url", url]
        done = run([*argv, *options, "--script", json.dumps(script)], timeout)
        assert done.code == 0 and not done.err, done.text
        return [[line["step"], line["args"]] for line in map(json.loads, done.out.splitlines())]
