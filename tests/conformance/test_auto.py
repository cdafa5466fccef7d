"""`sioload bench --version auto` finds out what each server speaks; every emit is acked and counted once.

That each transport finds it out is a row of the matrix too: in the quick tier, each server has one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serverkit
from conformance.table import SERVERS, TRANSPORTS

#: Runs at the same time: a generator that gets too little of the machine says so and fails.
AT_ONCE = 3
CELLS = [(server, transport) for server in SERVERS for transport in TRANSPORTS]
QUICK = {(server, list(TRANSPORTS)[number % len(TRANSPORTS)]) for number, server in enumerate(SERVERS)}

Result = tuple[serverkit.Run, dict[str, Any], dict[str, Any]]


def bench(server: str, transport: str, folder: Path) -> Result:
    """A run against a server of its own, its report, and what the server counted."""
    with serverkit.running(SERVERS[server].kind, *SERVERS[server].options) as running:
        path = folder / f"{server} {transport}.json"
        done = serverkit.run_sioload(
            ["bench", running.url, "--users", "5", "--spawn-rate", "50", "--run-time", "3s", "--emit", "echo",
             "--data", '{"text":"€😀é"}', "--ack", "--rate", "20", "--version", "auto",
             "--transports", ",".join(TRANSPORTS[transport]),
             "--option", f"parser={SERVERS[server].parser}", "--sio-report", path],
            timeout=60,
        )  # fmt: skip
        counts = running.counts()
    assert path.exists(), done.text
    return done, json.loads(path.read_text()), counts


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[Result]]]:
    """All runs that are asked for, a few at a time."""
    folder = tmp_path_factory.mktemp("auto")
    params = [item.callspec.params for item in request.session.items if "runs" in item.fixturenames
              and item.path == request.path]  # fmt: skip
    cells = [(param["server"], param["transport"]) for param in params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {cell: pool.submit(bench, *cell, folder) for cell in cells}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("server", "transport"),
    [pytest.param(*cell, marks=() if cell in QUICK else pytest.mark.verify) for cell in CELLS],
)
def test_every_emit_is_acked_and_counted(
    runs: dict[tuple[str, str], Future[Result]], server: str, transport: str
) -> None:
    done, report, counts = runs[server, transport].result()
    assert done.code == 0, done.text
    ledger, received, acked = (
        report["ledger"],
        *(serverkit.total(counts[t], "echo") for t in ("received", "acks")),
    )
    assert ledger["emits"] == ledger["acked"] == received == acked > 50
    rows = {(row["type"], row["name"]): row for row in report["events"]}
    assert rows["CALL", "echo"]["count"] == ledger["emits"]
    assert (("OPEN", "(probe)") in rows) == SERVERS[server].refuses_eio_4
    assert counts["connects"]["/"] == 5
    assert not any(row["failures"] for row in rows.values())
