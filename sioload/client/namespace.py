"""One namespace of a connection: how it is joined, and what it keeps over a loss.

Source: Socket.IO protocol 5, section "Connection to a namespace"; the query of a namespace and connection
state recovery as in socket.io-client's Socket.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from sioload.errors import UsageError
from sioload.plain import Json
from sioload.socketio.packet import Packet

#: What is said of a namespace's query to servers that don't know any.
NO_QUERY = "servers of 3.x and 4.x take no query of a namespace: use auth, or the option query"


class Namespace:
    """A namespace that is wanted.

    Attributes:
        name: "/" or "/name", without its query.
        query: what stood behind "?" in the name, without it; for servers of 0.9 to 2.x.
        sid: the socket's id in it, "" while not connected.
        recovered: the last CONNECT restored the session (connection state recovery).
        kicked: the server closed it (`41`); joined again before the user's next task.
        pid: what the server knows the session by when it is to be restored, None without recovery.
        offset: what the server is to go on behind then.
        asked: when its CONNECT was sent in this attempt, in seconds of `perf_counter`; None before.
        refused: the server said no in this attempt, which has counted.
        bare: the server is of before 1.5 and takes a query for a part of the name: asked for without one.
        early, early_size: events that overtook the answer to CONNECT, and about how many bytes they are.
    """

    __slots__ = ("asked", "bare", "connected", "early", "early_size", "kicked", "name", "offset", "pid",
                 "query", "recovered", "refused", "sid")  # fmt: skip

    def __init__(self, name: str, query: str = "") -> None:
        self.name = name
        self.query = query
        self.sid = ""
        self.connected = False
        self.kicked = False
        self.recovered = False
        self.pid: str | None = None
        self.offset: str | None = None
        self.asked: float | None = None
        self.refused = False
        self.bare = False
        self.early: list[Packet] | None = None
        self.early_size = 0

    def joined(self, data: dict[str, Json]) -> None:
        """The server's CONNECT came with this data."""
        pid = data.get("pid")
        self.connected = True
        self.kicked = False
        self.sid = data.get("sid", "")
        self.recovered = self.pid is not None and self.pid == pid
        self.pid = pid if isinstance(pid, str) else None

    def takes_offset(self, packet: Packet) -> bool:
        """Whether the last argument of an event is an offset, which is kept then.

        socket.io-client, `Socket.emitEvent`: any text in the last place of an event that asks for no ack, be
        it the event's name; its form is the affair of the server's adapter. Adapters that can't restore a
        session (of Node's cluster, say) put null there.
        """
        args = packet.data
        if self.pid is None or packet.id is not None or not args:
            return False
        last = args[-1]
        if last.__class__ is str:
            self.offset = last
        elif last is not None:
            return False
        return len(args) > 1

    def auth(self, given: Mapping[str, Json] | None) -> Mapping[str, Json] | None:
        """CONNECT's payload for servers of 3.x and 4.x: a session that may be restored, and the script's."""
        if self.pid is None:
            return given
        again = {"pid": self.pid} if self.offset is None else {"pid": self.pid, "offset": self.offset}
        return {**again, **(given or {})}


def namespaces_of(names: list[str]) -> dict[str, Namespace]:
    """Name to namespace, for names that may have a query: "/chat?token=abc"."""
    split = (name.partition("?") for name in names)
    return {name: Namespace(name, query) for name, _, query in split}


def plain(name: object) -> str:
    """A name as text: a member of an Enum of texts stands for its value, as on the wire.

    Raises:
        UsageError: it is none, for which servers would end the session.
    """
    if type(name) is str:
        return name
    if isinstance(name, str):
        return str.__str__(name)
    if isinstance(name, bool) or not isinstance(name, int | float):
        raise UsageError(f"{name!r} is no name of an event, or of a namespace: give a text")
    return str(name)


def row_name(namespace: str, name: str | int) -> str:
    """The row of an event: its name, behind its namespace when that isn't "/"."""
    return plain(name) if namespace == "/" else f"{plain(namespace)} {plain(name)}"


def refusal_of(data: Json) -> str:
    """What a refusal says, be it a text, an object with a message (0.9: a reason), a list or any JSON."""
    said = data.get("message", data.get("reason")) if isinstance(data, dict) else data
    if isinstance(said, list) and said:
        said = said[0]
    if isinstance(said, str):
        return said
    try:
        return orjson.dumps(data, default=repr).decode()
    except TypeError:  # half a pair of UTF-16, as JavaScript may write it, or a key that is no text
        return repr(data)
