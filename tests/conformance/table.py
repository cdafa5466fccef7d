"""The table: behaviours times servers times transports, and the few cells that can't be.

Pure data for pytest and for the driver; the behaviours themselves stand in `behaviours/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: How a client may get to its transport; "upgrade" begins on polling and moves to websocket.
TRANSPORTS: dict[str, tuple[str, ...]] = {
    "polling": ("polling",),
    "websocket": ("websocket",),
    "upgrade": ("polling", "websocket"),
}

#: Milliseconds. Short, so that heartbeats show within a test, and long enough for a busy machine.
PING_INTERVAL, PING_TIMEOUT = 1000, 2000


@dataclass(frozen=True)
class Server:
    """A row of the matrix.

    Attributes:
        name: as the matrix shows it.
        kind: as `serverkit.command` knows it.
        version: the option `version` that fits it.
        generation: the major version of the protocol spoken to it.
        options: of its command line.
        parser: the option `parser` that fits it.
        also: more values of `version` that fit it.
    """

    name: str
    kind: str
    version: int
    options: tuple[str, ...] = ()
    parser: str = "json"
    also: frozenset[int] = field(default_factory=frozenset)

    @property
    def command(self) -> tuple[str, ...]:
        """Kind and options for `serverkit.start`, heartbeats included."""
        beats = ("--ping-interval", str(PING_INTERVAL), "--ping-timeout", str(PING_TIMEOUT))
        return (self.kind, *beats, *self.options)

    @property
    def is_python(self) -> bool:
        return self.kind.startswith("pysio")

    @property
    def refuses_eio_4(self) -> bool:
        """Whether a request for a session with EIO=4 opens none."""
        return self.kind in ("sio0", "pysio4")

    @property
    def eio(self) -> int | None:
        """The revision of Engine.IO, None for Socket.IO 0.9."""
        return None if self.version == 0 else 3 if self.version < 3 else 4


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Server("socket.io 0.9.19", "sio0", 0),
        Server("socket.io 1.7.4", "sio1", 1),
        Server("socket.io 2.5.1", "sio2", 2),
        Server("socket.io 3.1.2", "sio3", 3, also=frozenset({4})),
        Server("socket.io 4.8.4", "sio4", 4, also=frozenset({3})),
        Server("socket.io 4.8.4 allowEIO3", "sio4", 2, ("--allow-eio3",), also=frozenset({3, 4})),
        Server("socket.io 4.8.4 msgpack", "sio4", 4, ("--msgpack",), "msgpack", frozenset({3})),
        Server("python-socketio 4.6.1", "pysio4", 2),
        Server("python-socketio 5", "pysio5", 4, also=frozenset({3})),
    )
}


@dataclass(frozen=True)
class Behaviour:
    """A line of the table.

    Attributes:
        name: unique.
        transports: on which it can be seen at all.
        alone: it counts what the server counted, so nothing else may happen meanwhile.
        only: the servers that it is about; without, all.
        missing: kinds of these servers that can't do it: "not applicable".
        cannot: why.
    """

    name: str
    transports: tuple[str, ...] = tuple(TRANSPORTS)
    alone: bool = False
    only: Callable[[Server], bool] | None = None
    missing: frozenset[str] = frozenset()
    cannot: str = ""

    def is_cell(self, server: Server, transport: str) -> bool:
        """Whether the table has a cell here, be it "not applicable"."""
        return transport in self.transports and (self.only is None or self.only(server))

    def applies(self, server: Server, transport: str) -> bool:
        """Whether it is to be tried here."""
        return self.is_cell(server, transport) and server.kind not in self.missing


#: Every behaviour by name, in the order of the modules in `behaviours/`, with the function that shows it.
BEHAVIOURS: dict[str, tuple[Behaviour, Callable[[Any], None]]] = {}


def behaviour(
    name: str,
    transports: tuple[str, ...] = tuple(TRANSPORTS),
    *,
    alone: bool = False,
    only: Callable[[Server], bool] | None = None,
    missing: tuple[str, ...] = (),
    cannot: str = "",
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Enter a function into the table; it gets a `Cell` and raises when the behaviour isn't there."""

    def enter(function: Callable[[Any], None]) -> Callable[[Any], None]:
        assert name not in BEHAVIOURS, name
        BEHAVIOURS[name] = Behaviour(name, transports, alone, only, frozenset(missing), cannot), function
        return function

    return enter
