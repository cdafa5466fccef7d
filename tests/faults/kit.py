"""What the tests of faults share: the driver's process, and how a scenario's end is judged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from typing import IO, Any, NoReturn

import serverkit

DRIVER = serverkit.ROOT / "tests" / "faults" / "driver.py"
#: Backoff of the tests' users, in seconds: a recovery may take twice the longest.
BACKOFF = {"reconnection_delay": 0.2, "reconnection_delay_max": 0.4}
QUICK: dict[str, Any] = {"version": 4, "connect_timeout": 5.0, "ack_timeout": 5.0, **BACKOFF}
WEBSOCKET: dict[str, Any] = {**QUICK, "transports": ["websocket"]}
POLLING: dict[str, Any] = {**QUICK, "transports": ["polling"]}
UPGRADE: dict[str, Any] = {**QUICK, "transports": ["polling", "websocket"]}
TRANSPORTS = {"websocket": WEBSOCKET, "polling": POLLING, "upgrade": UPGRADE}
STAGES = {"dial", "tls", "open", "upgrade", "connect"}


class Driver:
    """The process of `driver.py`. Its commands are methods here.

    Attributes:
        reasons: the closed set that sessions may end with.
        others: where the users of a sound server are.
    """

    others: str

    def __init__(
        self, *, env: dict[str, str] | None = None, before: Callable[[], None] | None = None
    ) -> None:
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close())

        def prepare() -> None:
            serverkit.die_with_parent()
            if before is not None:
                before()

        self.popen = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._err,
            env=serverkit.environment(env),
            cwd=serverkit.ROOT,
            start_new_session=True,
            preexec_fn=prepare,
        )
        self.reasons = set(self._answer()["reasons"])

    def _died(self) -> NoReturn:
        self.popen.wait(5)
        raise AssertionError(f"the driver died with {self.popen.returncode}\n{self.err[-6000:]}")

    @property
    def err(self) -> str:
        self._err.seek(0)
        return self._err.read().decode("utf-8", "replace")

    def _answer(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            self._died()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _do(self, command: str, **asked: Any) -> dict[str, Any]:
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(json.dumps({"do": command, **asked}).encode() + b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            self._died()
        return self._answer()

    def open(self, group: str, url: str, options: dict[str, Any], **more: Any) -> None:
        """Start users of a group; see `driver.Group`."""
        self._do("open", group=group, url=url, options=options, **more)

    def wait(self, group: str, what: str, n: int = 1, timeout: float = 10.0) -> dict[str, Any]:
        """Wait until a group has seen `what` (ups, downs, lost, refused, done, connected) `n` times."""
        seen = self._do("wait", group=group, what=what, n=n, timeout=timeout)
        assert seen["ok"], f"{group} did not see {n} {what} in {timeout:g} s: {seen}\n{self.err[-4000:]}"
        return seen

    def sleep(self, seconds: float) -> None:
        self._do("sleep", seconds=seconds)

    def status(self) -> dict[str, Any]:
        return self._do("status")

    def clock(self) -> float:
        """The wall clock as that process sees it."""
        seconds: float = self._do("clock")["time"]
        return seconds

    def rss(self) -> int:
        """Its memory now, in KiB; the peak that `end` tells of counts from here."""
        kib: int = self._do("rss")["kib"]
        return kib

    def end(self, drain: float = 1.0) -> dict[str, Any]:
        """Stop the scenario; its figures, not judged."""
        return self._do("end", drain=drain)

    def judged(self, drain: float = 1.0) -> dict[str, Any]:
        """Stop the scenario and hold the invariant against its figures."""
        figures = self.end(drain)
        left = {key: figures[key] for key in ("members", "deadlines", "probes", "census", "baseline")}
        text = json.dumps(left | figures, indent=1, ensure_ascii=False)[:6000] + self.err[-3000:]
        assert figures["ledger"]["open"] == 0, text
        assert not figures["internal"], text
        assert set(figures["closed"]) <= self.reasons, text
        named = {row["name"] for row in figures["rows"] if row["type"] in ("DISCONNECT", "RECONNECT")}
        assert named <= {*self.reasons, "namespace closed", "given up"}, text
        assert {stage for g in figures["groups"].values() for stage, _ in g["refused"]} <= STAGES, text
        assert not any(figures["current"].values()), text
        assert (figures["members"], figures["deadlines"], figures["probes"]) == (0, 0, 0), text
        assert figures["census"]["fds"] <= figures["baseline"]["fds"], text
        assert figures["census"]["greenlets"] <= figures["baseline"]["greenlets"], text
        others = figures["groups"].get("others")
        if others is not None:
            assert others["done"] > 0, text
            assert (others["raised"], others["refused"], others["lost"]) == ({}, [], []), text
        return figures

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self._err):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def isolates() -> bool:
    """Whether processes may get mounts and networks of their own: as root, where no container forbids it."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "--mount", "--net", "true"], stderr=subprocess.DEVNULL).returncode == 0
    )


def failures(figures: dict[str, Any], kind: str, name: str | None = None) -> dict[str, int]:
    """The failure messages of a row, counted."""
    found: dict[str, int] = {}
    for row in figures["rows"]:
        if row["type"] == kind and name in (None, row["name"]):
            for text, n in row["errors"].items():
                found[text] = found.get(text, 0) + n
    return found
