"""What the Python generators share: the job they are given, and the window in which they are measured."""

from __future__ import annotations

import gc
import json
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement, as `generators.py` hands it over in the environment variable SIOLOAD_BENCH.

    Attributes:
        client: whose client does the work: sioload, room (sioload with `room=`), handler (sioload with a
            handler that has a body), locust, or empty for a Locust user that never connects.
        mode: ack, push, connect or idle.
        url: the server.
        users: how many connections.
        transports: as in `connect()`.
        seconds: length of the measured window.
        rate: emits per second of all users together; 0 sends the next emit when the ack is in.
        out: the file that the result is written to, as JSON.
        modules: where Node's packages are.
        data: what is emitted, beside a number.
        deflate: frames are compressed.
        ca: a file of the authority that the server's certificate is from, "" without TLS.
    """

    client: str
    mode: str
    url: str
    users: int
    transports: list[str]
    seconds: float
    rate: float
    out: str
    modules: str
    data: dict[str, Any]
    deflate: bool = False
    ca: str = ""

    @classmethod
    def given(cls) -> Job:
        return cls(**json.loads(os.environ["SIOLOAD_BENCH"]))

    def finish(self, result: dict[str, Any]) -> None:
        Path(self.out).write_text(json.dumps(result))


@dataclass(slots=True)
class Tally:
    """Counts of this process; `mark` opens a window and `window` closes it."""

    ops: int = 0
    connected: int = 0
    _ops: int = 0
    _cpu: float = 0.0
    _time: float = 0.0

    def mark(self) -> None:
        self._ops, self._cpu, self._time = self.ops, cpu_seconds(), time.monotonic()

    def window(self) -> dict[str, Any]:
        return {
            "ops": self.ops - self._ops,
            "cpu": cpu_seconds() - self._cpu,
            "seconds": time.monotonic() - self._time,
            "total": self.ops,
        }


def cpu_seconds() -> float:
    """User and system CPU seconds of this process so far."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def used_kib() -> float:
    """Memory that is this process's alone (its USS), in KiB, after a collection."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return float(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")))
