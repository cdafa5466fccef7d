"""Breaking a session off, as clients do that lose their network (`self.sio.drop()`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioload.net.tls import TLSStream

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet
    from sioload.session.connection import Connection


def drop(fleet: Fleet, connection: Connection, silent: bool) -> None:
    """End a session without a goodbye: by a reset, or so that the server sees nothing. In the hub."""
    websocket = connection.transport == "websocket"
    # A drill tells when the server noticed what it cut. Lines of polling may be closed for being idle.
    told = websocket and fleet.recorder.outages.cutting
    for stream in connection.streams():
        if stream.closed:
            continue
        if silent:
            plain = websocket and not isinstance(stream, TLSStream)
            fleet.orphans.add(stream.release(), told=told, plain=plain)
        else:
            stream.abort()
    connection.drop("dropped", "dropped by the script")
