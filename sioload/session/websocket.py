"""The websocket transport of one session."""

from __future__ import annotations

from sioload.engineio.packet import MESSAGE, Packet, decode_eio3, decode_eio4, encode_eio3, encode_eio4
from sioload.errors import End, ProtocolError
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import MessageHandler, WebSocket
from sioload.session.requests import Requests
from sioload.session.transport import Listener, Receipt

#: Codecs in which a text message is "4" and its data: those packets need no codec on a websocket.
_PLAIN = (decode_eio3, decode_eio4, encode_eio3, encode_eio4)


class WebSocketTransport(FrameListener):
    """Carries packets over a websocket whose handshake is complete."""

    __slots__ = ("_listener", "_receipts", "_requests", "ws")
    __deletable__ = ("ws",)

    def __init__(self, requests: Requests, listener: Listener, ws: WebSocket) -> None:
        self._requests = requests
        self._listener = listener
        self._receipts: list[Receipt] | None = None
        self.ws = ws
        ws.listener = self

    @property
    def buffered(self) -> int:
        return self.ws.stream.buffered

    @property
    def owing(self) -> bool:
        """Whether there are receipts that haven't heard yet."""
        return self._receipts is not None

    # The short way of texts.

    def shorten(self, receiver: MessageHandler) -> None:
        """Let messages pass from the websocket straight to `receiver` where no codec is needed."""
        requests, ws = self._requests, self.ws
        if requests.decode in _PLAIN and requests.generation.encode_frame in _PLAIN:
            ws.receiver, ws.pushes = receiver, requests.fleet.pushes
        else:
            ws.receiver = None
            self.forget_shortcuts()

    def forget_shortcuts(self) -> None:
        """Ask the receiver for each push from now on whether it may just be counted."""
        self.ws.stream.counted = None

    @property
    def direct(self) -> bool:
        """Whether a text needs nothing but an Engine.IO type in front of it."""
        return self.ws.receiver is not None

    def send_direct(self, head: bytes, number: int | None, data: bytes, receipt: Receipt | None) -> bool:
        """As `send`, one Engine.IO packet in the parts of `Stream.write_text`, while this is `direct`."""
        self.ws.send_text(head, number, data)
        return self._written(receipt)

    # The transport.

    def send(self, messages: list[str | bytes], receipt: Receipt | None) -> bool:
        """See `Transport.send`."""
        ws = self.ws
        text = messages[0]
        if len(messages) > 1:
            ws.send([self._requests.encode(Packet(MESSAGE, m)) for m in messages])
        elif ws.receiver is not None and isinstance(text, str):
            ws.send_text(b"4", None, text.encode())
        else:
            ws.send([self._requests.encode(Packet(MESSAGE, text))])
        return self._written(receipt)

    def size_of(self, message: str | bytes) -> int:
        """See `Transport.size_of`."""
        frame = self._requests.encode(Packet(MESSAGE, message))
        return len(frame.encode()) if isinstance(frame, str) else len(frame)

    def send_packet(self, packet: Packet) -> None:
        """See `Transport.send_packet`."""
        self.ws.send([self._requests.encode(packet)])

    def send_raw(self, frame: str | bytes, receipt: Receipt) -> bool:
        """See `Transport.send_raw`."""
        self.ws.send([frame])
        return self._written(receipt)

    def take_over(self, packets: list[Packet], receipt: Receipt | None) -> None:
        """Send what waited for the transport before this one."""
        self.ws.send([self._requests.encode(p) for p in packets])
        if receipt is not None and self._written(receipt):
            receipt.settle("sent", "")

    def _written(self, receipt: Receipt | None) -> bool:
        """Whether the kernel has all of it; if not, `receipt` is kept."""
        if not self.ws.stream.buffered:
            return True
        if receipt is not None:
            if self._receipts is None:
                self._receipts = []
            self._receipts.append(receipt)
        return False

    def close(self, reason: str) -> None:
        """See `Transport.close`."""
        self.ws.close()
        del self.ws  # or they would hold each other until the collector comes
        receipts, self._receipts = self._receipts, None
        for receipt in receipts or ():
            receipt.settle("indeterminate", reason)

    # The websocket's listener.

    def on_ws_open(self, ws: WebSocket) -> None:
        """It was open before."""

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        try:
            packet = self._requests.decode(frame)
        except ProtocolError as error:
            self._listener.broken(error)
        else:
            self._listener.on_packet(packet)

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        self._listener.on_lost(end)

    def on_ws_drained(self, ws: WebSocket) -> None:
        receipts, self._receipts = self._receipts, None
        for receipt in receipts or ():
            receipt.settle("sent", "")
        self._listener.on_drained()

    def on_crash(self, error: BaseException) -> None:
        self._listener.on_crash(error)
