"""The option `version` fixed to a wrong value: an error, soon, that says what to change."""

from __future__ import annotations

from conformance.behaviours.sessions import refused
from conformance.cell import Cell, same, true
from conformance.table import Server, behaviour

#: What the error calls the server, by the version that fits it.
SPEAKS = {
    0: "Socket.IO 0.9",
    1: "Socket.IO 1.x (Engine.IO 3)",
    2: "Socket.IO 2.x (Engine.IO 3)",
    3: "Socket.IO 3.x or 4.x (Engine.IO 4)",
    4: "Socket.IO 3.x or 4.x (Engine.IO 4)",
}


def enter(version: int) -> None:
    """One row of the table."""

    def is_wrong(server: Server) -> bool:
        return version != server.version and version not in server.also

    @behaviour(f"version fixed to {version}, which is wrong", only=is_wrong)
    def wrong(cell: Cell) -> None:
        if cell.transport == "websocket" and cell.server.eio == 3 and version in (1, 2):
            sio = cell.connected(version=version)
            same(sio.call("echo", 1), 1)  # on websockets it works: nothing to say
            sio.disconnect()
            return
        if cell.transport == "websocket" and cell.server.eio == 3 and version in (3, 4):
            # `40` makes 1.x and 2.x run their handlers twice, which others of this cell would count:
            # test_wrong_version.py has servers of its own for it.
            return
        if version == 0 and cell.server.parser == "msgpack":
            true("parser" in str(refused(cell, version=version)), "0.9 has no other parser than json")
            return
        error = refused(cell, version=version)
        same(error.stage, "open", "stage")
        spoken = {SPEAKS[fitting] for fitting in (cell.server.version, *cell.server.also)}
        if cell.server.eio == 3:
            spoken.add("Socket.IO 1.x or 2.x (Engine.IO 3)")  # as far as websockets tell
        true(any(text in str(error) for text in spoken), f"it doesn't name what the server speaks: {error}")
        true("option version" in str(error), f"it doesn't name the option: {error}")
        same(cell.row("CONNECT", "/"), (1, 1), "row CONNECT")


for number in range(5):
    enter(number)
