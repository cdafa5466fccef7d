"""`--sio-trace`: what the first users of a run say and hear, as JSON lines in one file."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, TextIO

import gevent
from locust.rpc import Message
from locust.runners import MasterRunner

from sioload.measure.trace import HOLD, Trace
from sioload.net import clock
from sioload.net.fleet import Fleet
from sioload.report.transcript import as_dict
from sioload.swarm.guard import Guard
from sioload.swarm.messages import TRACE
from sioload.swarm.outputs import pipe

logger = logging.getLogger(__name__)

#: Seconds between two writes, and entries of one user that each takes at most.
WRITE: Final = 0.5
AT_ONCE: Final = 5_000

Lines = list[dict[str, Any]]


def _followed(options: Any) -> int:
    """How many users a trace follows: one, unless the option says how many."""
    users: int = getattr(options, "sio_trace_users", None) or 1
    return users


class Tracing:
    """Follows the first users that this process makes, from the start of a test on.

    Args:
        fleet: the users'.
        write: takes lines, in a greenlet; where the figures come together that is a `TraceFile`.
    """

    def __init__(self, fleet: Fleet, write: Callable[[Lines], None]) -> None:
        self._fleet = fleet
        self._write = write
        self._left = 0
        self._traces: list[tuple[Trace, str]] = []
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def begin(self, options: Any) -> None:
        """A test starts; nothing is followed unless the option asks for it."""
        self._traces.clear()
        self._fleet.recorder.unfollow()
        self._left = _followed(options) if getattr(options, "sio_trace", None) else 0
        if self._left:
            self._fleet.follow = self._follow

    def _follow(self, user: Any) -> None:
        """A user is made (`Fleet.follow`)."""
        self._left -= 1
        if not self._left:
            self._fleet.follow = None
        trace = Trace(len(self._traces) + 1, perf_counter)
        self._traces.append((trace, type(user).__name__))
        user.sio_trace = trace
        user.label = self._fleet.recorder.follow(user.label, trace.counted)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._go_on)

    def _go_on(self) -> None:
        while True:
            gevent.sleep(WRITE)
            self._take(perf_counter() - HOLD)

    def _take(self, until: float) -> bool:
        """Write what came by then, or a part of it; False if there is nothing any more."""
        lines = [
            {"user": trace.user, "class": name, "time": round(clock.zero + entry.at, 6),
             **as_dict(entry, trace.begun)}
            for trace, name in self._traces
            for entry in trace.take(until, AT_ONCE)
        ]  # fmt: skip
        if lines:
            self._write(lines)
        return bool(lines)

    def finish(self) -> None:
        """The drain is over."""
        until = perf_counter()
        while self._take(until):
            pass
        dropped = sum(trace.dropped for trace, _ in self._traces)
        if dropped:
            logger.warning("sioload: %d packets were more than --sio-trace could keep up with", dropped)


class TraceFile:
    """The file of `--sio-trace`, in the only process of a run or on its master.

    Args:
        options: Locust's.
        failed: hears why it can't be written, at the begin of a test or later.
    """

    def __init__(self, options: Any, failed: Callable[[str], None]) -> None:
        self._options = options
        self._complain = failed
        self._users: list[tuple[str, int]] = []
        self._out: TextIO | None = None
        self._failed = False

    def begin(self) -> None:
        """A test starts: the file is empty."""
        self._users.clear()
        self._failed = False
        self._close()
        if getattr(self._options, "sio_trace", None):
            self._add([])

    def write(self, lines: Lines, worker: str = "") -> None:
        """Add what is of the users that were heard of first, as many as the option says."""
        kept = []
        for line in lines:
            user = worker, line["user"]
            if user not in self._users:
                if len(self._users) >= _followed(self._options):
                    continue
                self._users.append(user)
            kept.append(
                {"user": self._users.index(user) + 1, **{k: v for k, v in line.items() if k != "user"}}
            )
        self._add(kept)

    def _add(self, lines: Lines) -> None:
        if self._failed:
            return
        path = self._options.sio_trace
        try:
            if self._out is None:  # once: who reads a pipe would take each end for that of all
                with pipe(path) as why:
                    if why:
                        raise OSError(errno.ENXIO, why)
                    self._out = open(path, "w", encoding="utf-8")  # noqa: SIM115
            self._out.writelines(json.dumps(line) + "\n" for line in lines)
            self._out.flush()
        except OSError as error:
            self._failed = True  # said once, not with every packet
            self._close()
            logger.warning("sioload: can't write %s: %s; it ends here", path, error.strerror)
            self._complain(f"can't write {path}: {error.strerror}")

    def _close(self) -> None:
        out, self._out = self._out, None
        if out is not None:
            with contextlib.suppress(OSError):
                out.close()


def collect(runner: MasterRunner, guard: Guard, options: Any, failed: Callable[[str], None]) -> TraceFile:
    """Let the master write what its workers' users said and heard; `failed` as in `TraceFile`."""
    file = TraceFile(options, failed)

    def on_trace(environment: Any, msg: Message) -> None:
        file.write(msg.data, msg.node_id)

    runner.register_message(TRACE, guard.safe(on_trace))
    return file
