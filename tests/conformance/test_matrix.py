"""The matrix: each behaviour on each server and transport, as the driver saw it."""

from __future__ import annotations

import pytest
from conformance.conftest import Columns, columns_there_are
from conformance.table import BEHAVIOURS, SERVERS, TRANSPORTS

#: The only cells that may be "not applicable", by the kind of server and how the behaviours' names begin.
CANNOT = {
    "sio0": ("binary", "upgrade"),
    "pysio4": ("query of a namespace", "heartbeats: the client falls silent"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("server", "transport"), list(columns_there_are()))
def test_column(columns: Columns, server: str, transport: str) -> None:
    column = columns.running[server, transport].result()
    tried = [name for name, (row, _) in BEHAVIOURS.items() if row.applies(SERVERS[server], transport)]
    assert set(column) == set(tried), "the driver said nothing of some, or of others"
    assert {name: said["error"] for name, said in column.items() if said["error"]} == {}


def test_nothing_else_is_left_out() -> None:
    for server in SERVERS.values():
        for transport in TRANSPORTS:
            for name, (row, _) in BEHAVIOURS.items():
                if row.is_cell(server, transport) and not row.applies(server, transport):
                    assert name.startswith(CANNOT.get(server.kind, ())), f"{server.name}, {transport}: {name}"
                    assert row.cannot
