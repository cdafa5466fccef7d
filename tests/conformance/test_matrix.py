"""The matrix: each behaviour on each server and transport, as the driver saw it."""

from __future__ import annotations

import pytest
from conformance.conftest import Columns, cells
from conformance.table import BEHAVIOURS, SERVERS, TRANSPORTS

#: The only cells that may be "not applicable": what the servers can't do, by kind and behaviour.
CANNOT = {
    ("sio0", "binary"),
    ("sio0", "upgrade"),
    ("pysio4", "query of a namespace"),
    ("pysio4", "heartbeats: the client falls silent"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("server", "transport", "behaviour"), list(cells()))
def test_cell(columns: Columns, server: str, transport: str, behaviour: str) -> None:
    column = columns.running[server, transport].result()
    assert behaviour in column, "the driver said nothing of it"
    assert not column[behaviour]["error"]


def test_nothing_else_is_left_out() -> None:
    left_out = {
        (server.kind, name)
        for server in SERVERS.values()
        for transport in TRANSPORTS
        for name, (row, _) in BEHAVIOURS.items()
        if row.is_cell(server, transport) and not row.applies(server, transport)
    }
    assert {(kind, next((w for k, w in CANNOT if k == kind and name.startswith(w)), name)) for kind, name in left_out} == CANNOT
