"""What polling and websocket have in common: what a session asks of its transport, and hears of it."""

from __future__ import annotations

from typing import Protocol

from sioload.engineio.packet import Packet
from sioload.errors import End, Outcome, ProtocolError


class Receipt(Protocol):
    """An emit that wants to know what became of its bytes."""

    def settle(self, outcome: Outcome, reason: str) -> None:
        """Outcome: sent, error, indeterminate or not_sent."""


class Transport(Protocol):
    """Carries the packets of one session."""

    @property
    def buffered(self) -> int:
        """Bytes that wait to be handed to the kernel or posted."""

    @property
    def owing(self) -> bool:
        """Whether there are receipts that haven't heard yet."""

    def send(self, messages: list[str | bytes], receipt: Receipt | None) -> bool:
        """Send one Socket.IO packet: its text, then its attachments.

        Returns:
            True when all of it was handed to the kernel; otherwise `receipt` hears of it later.
        """

    def size_of(self, message: str | bytes) -> int:
        """Bytes of the body or frame that a message takes alone."""

    def send_packet(self, packet: Packet) -> None:
        """Send a packet of the engine's own."""

    def send_raw(self, frame: str | bytes, receipt: Receipt) -> bool:
        """Send one Engine.IO packet as it is written; returns what `send` does.

        Raises:
            Refused: it can't be sent as it is.
        """

    def close(self, reason: str) -> None:
        """Let go of the sockets; whoever waits for what became of his bytes hears that."""


class Listener(Protocol):
    """The session above a transport. Called in the hub."""

    __slots__ = ()

    def on_packet(self, packet: Packet) -> None:
        """A packet came."""

    def on_drained(self) -> None:
        """Nothing waits to be sent any more."""

    def on_refused(self, status: int, body: bytes, transport: str) -> None:
        """A request was answered with an error."""

    def on_lost(self, end: End) -> None:
        """The transport ended."""

    def broken(self, error: ProtocolError) -> None:
        """The server broke the protocol."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised."""
