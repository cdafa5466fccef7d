"""Packets in words, for people who want to see what a connection says: `event message, wants ack 3`."""

from __future__ import annotations

from typing import Any, NamedTuple

from sioload.engineio.packet import Packet as EnginePacket
from sioload.engineio.packet import PacketType as EngineType
from sioload.errors import ProtocolError
from sioload.options import Limits
from sioload.socketio.generations import Generation, codec_for
from sioload.socketio.packet import PacketType


class Reading(NamedTuple):
    """What one packet is.

    Attributes:
        kind: open, close, ping, pong, probe, upgrade, noop, connect, refusal, disconnect, event, ack,
            attachment, garbage; or request and answer, of HTTP.
        words: the packet in words.
        event: the name of an event, or of the one that an ack answers; "" else.
        namespace: "" where there is none.
        id: of an event that asks for an ack, or of what an ack answers.
    """

    kind: str
    words: str
    event: str = ""
    namespace: str = ""
    id: int | None = None

    @property
    def row(self) -> str:
        """How the row of the event is called, unless a script calls it otherwise."""
        return self.event if self.namespace == "/" else f"{self.namespace} {self.event}"


_ENGINE = {
    EngineType.CLOSE: "close",
    EngineType.PING: "ping",
    EngineType.PONG: "pong",
    EngineType.UPGRADE: "upgrade",
    EngineType.NOOP: "noop",
}


class Reader:
    """Reads the packets of one session, in both directions and in their order."""

    def __init__(self, generation: Generation, parser: Any, limits: Limits) -> None:
        codec = codec_for(generation, parser)
        self._decoders = {sent: codec.decoder(limits) for sent in (True, False)}
        self._whole = {True: "", False: ""}  # the packet whose attachments come
        self._asked: dict[tuple[bool, str, int], str] = {}

    def read(self, packet: EnginePacket, sent: bool) -> Reading:
        """One packet of the engine."""
        kind, data = packet
        if kind == EngineType.MESSAGE:
            return self._message(data, sent)
        if kind == EngineType.OPEN:
            return Reading("open", "session open")
        name = _ENGINE[EngineType(kind)]
        if data == "probe":
            return Reading("probe", "probe" if kind == EngineType.PING else "probe answered")
        return Reading(name, name)

    def _message(self, data: str | bytes, sent: bool) -> Reading:
        begun = self._whole[sent]
        try:
            fields = self._decoders[sent].feed(data)
        except (ProtocolError, ValueError) as error:
            return Reading("garbage", f"not understood: {error}")
        size = f"{len(data)} byte{'' if len(data) == 1 else 's'}"
        attached = f"attachment of {begun}, {size}" if begun and isinstance(data, bytes) else ""
        if fields is None:
            if not attached:
                self._whole[sent] = _begun(str(data))
            return Reading("attachment", attached) if attached else Reading("event", self._whole[sent])
        self._whole[sent] = ""
        reading = self._packet(fields, sent)
        return reading._replace(words=attached) if attached else reading

    def _packet(self, fields: tuple[Any, ...], sent: bool) -> Reading:
        type, namespace, data, id = fields[:4]
        where = "" if namespace == "/" else f" in {namespace}"
        if type == PacketType.EVENT:
            event = str(data[0]) if data else ""
            if id is None:
                return Reading("event", f"event {event}{where}", event, namespace)
            if len(self._asked) < 10_000:
                self._asked[sent, namespace, id] = event
            return Reading("event", f"event {event}{where}, wants ack {id}", event, namespace, id)
        if type == PacketType.ACK:
            event = self._asked.pop((not sent, namespace, id), "")
            return Reading(
                "ack", f"ack {id}" + (f" of {event}" if event else "") + where, event, namespace, id
            )
        if type == PacketType.CONNECT:
            return Reading("connect", f"{'join' if sent else 'joined'} {namespace}", "", namespace)
        if type == PacketType.CONNECT_ERROR:
            return Reading("refusal", f"refused: {namespace}", "", namespace)
        return Reading("disconnect", f"{'leave' if sent else 'closed:'} {namespace}", "", namespace)


def _begun(text: str) -> str:
    """A packet whose attachments are still to come: its name as far as it can be read."""
    _, quote, rest = text.partition('["')
    return f"event {rest.partition(chr(34))[0]}" if quote and text[:1] == "5" else "ack"
