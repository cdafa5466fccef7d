"""What connection state recovery adds to packets: a run sees to it (`client/namespace.py`), and no script."""

from __future__ import annotations

from collections.abc import Sequence

from sioload.importing.fields import mapping, text_of
from sioload.socketio.packet import Packet, PacketType


def without_recovery(said: Sequence[tuple[bool, Packet]]) -> list[Packet]:
    """The packets of one session, and whether the browser sent each, without the lost session's ids in
    CONNECT and the offsets behind the arguments of events."""
    recovering = {
        packet.namespace
        for sent, packet in said
        if not sent and packet.type == PacketType.CONNECT and text_of(mapping(packet.data).get("pid"))
    }
    return [_own(sent, packet) if packet.namespace in recovering else packet for sent, packet in said]


def _own(sent: bool, packet: Packet) -> Packet:
    data = packet.data
    if sent and packet.type == PacketType.CONNECT and "pid" in mapping(data):
        own = {name: value for name, value in data.items() if name not in ("pid", "offset")}
        return packet._replace(data=own or None)
    offset = not sent and packet.type == PacketType.EVENT and packet.id is None and len(data) > 1
    if offset and (data[-1] is None or isinstance(data[-1], str)):
        return packet._replace(data=data[:-1])
    return packet
