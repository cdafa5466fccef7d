"""For the locustfiles of these tests: each sample as it is recorded, and files with what a process saw."""

from __future__ import annotations

import json
import os
from typing import Any

from locust import events

from sioload.measure.rows import Row
from sioload.net.fleet import fleet_of

#: Row type and name to its samples so far, in seconds.
samples: dict[tuple[str, str], list[float]] = {}
#: What else a locustfile wants to tell its test.
told: dict[str, Any] = {}


def _keep(row: Row, seconds: float | None, message: str | None) -> None:
    if seconds is not None:
        samples.setdefault((row.type, row.name), []).append(seconds)


@events.init.add_listener
def _listen(environment: Any, **_: Any) -> None:
    fleet_of(environment).recorder.listen(_keep)


@events.quit.add_listener
def _write(**_: Any) -> None:
    """Each process of the run leaves a file of its own."""
    if "TRUTH" in os.environ:
        with open(f"{os.environ['TRUTH']}.{os.getpid()}", "w") as file:
            named = {f"{kind} {name}": times for (kind, name), times in samples.items()}
            file.write(json.dumps({"samples": named, **told}))
