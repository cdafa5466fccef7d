"""A server makes way for one of another generation on the same port; a client with version "auto" goes on.

python replaced.py BEFORE AFTER: kinds of servers, tried on each transport; prints a line for each.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import serverkit  # noqa: E402
from conformance.cell import Cell, same  # noqa: E402
from conformance.table import SERVERS, TRANSPORTS  # noqa: E402


def main(before: str, after: str) -> None:
    """Try each transport."""
    for transport in TRANSPORTS:
        replace(before, after, transport)
        print(f"{transport}: ok")


def replace(before: str, after: str, transport: str) -> None:
    """One client that outlives its server."""
    port = str(serverkit.free_port())
    with serverkit.running(before, "--port", port) as server:
        cell = Cell(SERVERS["socket.io 4.8.4"], transport, server.url, "auto")
        sio = cell.client(reconnection=True, reconnection_delay_max=0.2)
        sio.connect()
        same(sio.call("echo", "before"), "before")
    with serverkit.running(after, "--port", port):
        cell.until(lambda: sio.connected, f"connected again: {cell.errors('CONNECT', '/')}", 10)
        same(sio.call("echo", "after €😀é"), "after €😀é")
        cell.close()


main(*sys.argv[1:])
