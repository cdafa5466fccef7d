"""The transports of one session, of which one carries its messages at a time.

These methods run in the hub, except that a user's greenlet may call those that send.
"""

from __future__ import annotations

from sioload.engineio.packet import Packet
from sioload.net.stream import Stream
from sioload.session.polling import Polling
from sioload.session.transport import Receipt, Transport
from sioload.session.websocket import WebSocketTransport


class Carriers:
    """Polling, then the websocket that it may be upgraded to; or the websocket from the start."""

    __slots__ = ("_polling", "_ws")

    def __init__(self) -> None:
        self._polling: Polling | None = None
        self._ws: WebSocketTransport | None = None

    @property
    def buffered(self) -> int:
        """Bytes that wait to be handed to the kernel."""
        carrier = self._carrier
        return carrier.buffered if carrier is not None else 0

    @property
    def owing(self) -> bool:
        """Whether somebody waits to hear what became of what he sent."""
        carrier = self._carrier
        return carrier is not None and carrier.owing

    @property
    def _carrier(self) -> Transport | None:
        return self._ws if self._ws is not None else self._polling

    def streams(self) -> list[Stream]:
        """What the session goes over now."""
        if self._ws is not None:
            return [self._ws.ws.stream]
        return [] if self._polling is None else self._polling.streams()

    def unread(self) -> bool:
        """Whether something of the server has arrived that nobody has read yet."""
        return any(stream.stale() for stream in self.streams() if not stream.closed)

    def received(self) -> int:
        """Bytes that have come on the websocket; 0 without one."""
        return 0 if self._ws is None else self._ws.ws.stream.received()

    def forget_shortcuts(self) -> None:
        """Ask the listener for each push from now on whether it may just be counted."""
        if self._ws is not None:
            self._ws.forget_shortcuts()

    def send(self, messages: list[str | bytes], receipt: Receipt | None = None) -> bool:
        """See `Transport.send`."""
        if self._ws is not None:
            return self._ws.send(messages, receipt)
        if self._polling is not None:
            return self._polling.send(messages, receipt)
        if receipt is not None:
            receipt.settle("not_sent", "not connected")
        return False

    def size_of(self, message: str | bytes) -> int:
        """See `Transport.size_of`; 0 without one."""
        carrier = self._carrier
        return carrier.size_of(message) if carrier is not None else 0

    @property
    def direct(self) -> bool:
        """Whether a text needs nothing but an Engine.IO type in front of it."""
        return self._ws is not None and self._ws.direct

    def send_direct(self, head: bytes, number: int | None, data: bytes, receipt: Receipt | None) -> bool:
        """See `WebSocketTransport.send_direct`."""
        ws = self._ws
        assert ws is not None
        return ws.send_direct(head, number, data, receipt)

    def send_raw(self, frame: str | bytes, receipt: Receipt) -> bool:
        """See `Transport.send_raw`."""
        carrier = self._carrier
        if carrier is not None:
            return carrier.send_raw(frame, receipt)
        receipt.settle("not_sent", "not connected")
        return False

    def send_packet(self, packet: Packet) -> None:
        """See `Transport.send_packet`."""
        carrier = self._carrier
        if carrier is not None:
            carrier.send_packet(packet)
