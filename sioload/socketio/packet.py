"""Socket.IO packets as the client sees them, whatever the generation and the parser."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from sioload.plain import Json


class PacketType(IntEnum):
    """Socket.IO protocol, section "Packet types"."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


#: The fields of a `Packet`, as decoders give them: naming them takes half as long as reading their JSON.
Fields = tuple[Json, ...]


class Packet(NamedTuple):
    """One Socket.IO packet, its binary attachments in place.

    Attributes:
        type: a `PacketType`; BINARY_EVENT and BINARY_ACK arrive as EVENT and ACK.
        namespace: "/" or "/name".
        data: EVENT: `[event, *arguments]`; ACK: the list of arguments; CONNECT: a dict, a query string or
            None; CONNECT_ERROR: what the server said, any JSON value; DISCONNECT: None.
        id: the id of an EVENT that asks for an ack, or of the emit that an ACK answers.
        auto: an ack without arguments is due at once (0.9: an id without `+`).
    """

    type: int
    namespace: str
    data: Json = None
    id: int | None = None
    auto: bool = False
