"""Runs the columns of the table, a few at a time, and keeps what came of them for the matrix."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serverkit
from conformance import behaviours
from conformance.table import BEHAVIOURS, SERVERS

#: Columns that run at the same time; each is a server, a driver and much waiting.
AT_ONCE = 4
DEADLINE = 150.0  # seconds for one column
#: Where the last run's results are, beneath pytest's cache directory.
RESULTS = "sioload/conformance"

assert behaviours  # importing it fills the table

Column = dict[str, dict[str, Any]]


def run_driver(server: str, transport: str, url: str, *more: str) -> Column:
    """What the driver says of each behaviour."""
    driver = Path(__file__).resolve().parent / "driver.py"
    argv = [sys.executable, driver, "--server", server, "--transport", transport, "--url", url, *more]
    done = serverkit.run(argv, DEADLINE)
    assert done.code == 0 and not done.err, done.text
    return {line["behaviour"]: line for line in map(json.loads, done.out.splitlines())}


def run_column(server: str, transport: str) -> Column:
    """Start a server and try everything on it."""
    with serverkit.running(*SERVERS[server].command) as running:
        found = run_driver(server, transport, running.url)
        assert running.process.popen.poll() is None, f"the server ended: {running.process}"
    return found


class Columns:
    """The results by server and transport."""

    def __init__(self, wanted: list[tuple[str, str]]) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self.running: dict[tuple[str, str], Future[Column]] = {
            column: self._pool.submit(run_column, *column) for column in wanted
        }

    def close(self) -> None:
        """Start no more."""
        self._pool.shutdown(cancel_futures=True)

    def summary(self) -> dict[str, dict[str, bool]]:
        """`server|transport` to behaviour to success, of the columns that ran."""
        done = {
            name: future for name, future in self.running.items() if future.done() and not future.cancelled()
        }
        return {
            "|".join(name): {behaviour: line["ok"] for behaviour, line in future.result().items()}
            for name, future in done.items()
            if future.exception() is None
        }


@pytest.fixture(scope="session")
def columns(request: pytest.FixtureRequest) -> Iterator[Columns]:
    """All columns that collected tests ask for, begun at once."""
    asked = [
        getattr(item, "callspec", None) for item in request.session.items if "columns" in item.fixturenames
    ]
    wanted = [(spec.params["server"], spec.params["transport"]) for spec in asked if spec is not None]
    running = Columns(list(dict.fromkeys(wanted)))
    yield running
    running.close()
    request.config.cache.set(RESULTS, running.summary())


def columns_there_are() -> Iterator[tuple[str, str]]:
    """Server and transport of all that have a behaviour to try."""
    for server in SERVERS.values():
        for transport in ("polling", "websocket", "upgrade"):
            if any(row.applies(server, transport) for row, _ in BEHAVIOURS.values()):
                yield server.name, transport
