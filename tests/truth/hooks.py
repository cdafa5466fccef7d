"""For the locustfiles of these tests: each sample as it is recorded, and files with what a process saw."""

from __future__ import annotations

import json
import os
from typing import Any

from locust import events

from sioload.measure.rows import Row

#: Row type and name to its samples so far, in seconds.
samples: dict[tuple[str, str], list[float]] = {}
#: The same for the service times of paced emits.
services: dict[tuple[str, str], list[float]] = {}
#: What else a locustfile wants to tell its test.
told: dict[str, Any] = {}

_add, _service = Row.add, Row.service


def _keep(row: Row, seconds: float) -> None:
    samples.setdefault((row.type, row.name), []).append(seconds)
    _add(row, seconds)


def _keep_service(row: Row, seconds: float) -> None:
    services.setdefault((row.type, row.name), []).append(seconds)
    _service(row, seconds)


Row.add = _keep  # type: ignore[method-assign]
Row.service = _keep_service  # type: ignore[method-assign]


@events.quit.add_listener
def _write(**_: Any) -> None:
    """Each process of the run leaves a file of its own."""
    if "TRUTH" in os.environ:
        with open(f"{os.environ['TRUTH']}.{os.getpid()}", "w") as file:
            named = {f"{kind} {name}": times for (kind, name), times in samples.items()}
            served = {f"{kind} {name}": times for (kind, name), times in services.items()}
            file.write(json.dumps({"samples": named, "services": served, **told}))
