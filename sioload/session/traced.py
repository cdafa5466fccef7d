"""The requests and the websocket of a session that is followed: all that passes them is told to a `Trace`.

Every packet of a session passes its `Requests` (`decode`, `unpack`, `post`) or goes out by `WebSocket.send`,
once the short ways past Engine.IO are off. They are, because `decode` is none of the plain functions for
which `WebSocketTransport.shorten` turns them on. So nobody pays for what isn't followed.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

from sioload.engineio.packet import Packet
from sioload.engineio.secrets import HIDDEN
from sioload.engineio.urls import Endpoint, Request
from sioload.errors import ProtocolError
from sioload.measure.trace import Trace
from sioload.net.fleet import Fleet
from sioload.net.stream import Stream
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import WebSocket
from sioload.options import Limits, Options
from sioload.session.requests import Requests
from sioload.socketio.generations import Generation
from sioload.socketio.reading import Reader, Reading

_ID: Final = re.compile(r'(?<="sid":")[^"]+')


class TracedRequests(Requests):
    """See the module."""

    __slots__ = ("_reader", "trace")

    def __init__(
        self,
        fleet: Fleet,
        options: Options,
        generation: Generation,
        endpoint: Endpoint,
        asked: Request,
        owner: object,
        trace: Trace,
    ) -> None:
        self.trace = trace
        super().__init__(fleet, options, generation, endpoint, asked, owner)

    def speak(self, generation: Generation) -> None:
        super().speak(generation)
        self._reader = Reader(generation, self.options.parser, self.options.limits)
        self.decode = self._decoded

    def _decoded(self, frame: str | bytes) -> Packet:
        try:
            packet = self.generation.decode_frame(frame)
        except ProtocolError as error:
            reading = Reading("garbage", f"not understood: {error}")
            self.trace.received("websocket", [(self._veiled(frame), reading)])
            raise
        self.trace.received("websocket", [(self._veiled(frame), self._reader.read(packet, False))])
        return packet

    def unpack(self, body: bytes) -> list[Packet]:
        packets = super().unpack(body)
        self.trace.received("polling", [(self._text(p), self._reader.read(p, False)) for p in packets])
        return packets

    def get(self, generation: Generation | None = None) -> bytes:
        sent = super().get(generation)
        if not self.sid:
            self._asks(sent)
        return sent

    def post(self, packets: list[Packet]) -> bytes:
        for packet in packets:
            self.trace.sent("polling", self._text(packet), self._reader.read(packet, True))
        return super().post(packets)

    def websocket(self, stream: Stream, listener: FrameListener) -> WebSocket:
        target, headers = self._shaking()
        self._asks(f"GET {target}".encode())
        options = self.options
        return TracedWebSocket(
            self._sends, stream, listener, target, headers, options.limits, options.compress
        )

    def refusal(self, status: int, body: bytes, transport: str) -> str:
        said = super().refusal(status, body, transport)
        text = self._veiled(body[:1000].decode("utf-8", "replace"))
        self.trace.received(transport, [(text, Reading("answer", f"HTTP {status}"))])
        return said

    def _asks(self, request: bytes) -> None:
        """A request that is no packet."""
        line = request.partition(b"\r\n")[0].decode("utf-8", "replace").removesuffix(" HTTP/1.1")
        self.trace.sent(
            self.asked.transport if self.asked else "", self._veiled(line), Reading("request", "ask")
        )

    def _sends(self, frame: str | bytes) -> None:
        """A frame goes out."""
        try:
            reading = self._reader.read(self.generation.decode_frame(frame), True)
        except ProtocolError:
            reading = Reading("garbage", "written by hand")
        self.trace.sent("websocket", self._veiled(frame), reading)

    def _text(self, packet: Packet) -> str | bytes:
        return self._veiled(self.generation.encode_frame(packet))

    def _veiled(self, text: str | bytes) -> str | bytes:
        if not self.trace.veiled:
            return text
        if isinstance(text, bytes):  # of another parser, whose texts stand in there as they are
            return self.discreet(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if text[:1] == "b" and (packed := self._veiled_base64(text)) is not None:
            return packed
        if not self.sid and text[:1] == "0":  # the open packet, which tells the session's id
            text = _ID.sub(HIDDEN, text)
        return self.discreet(text)

    def _veiled_base64(self, text: str) -> str | None:
        """A binary message as text; None when it is none."""
        start = 2 if self.generation.eio == "3" else 1
        try:
            data = b64decode(text[start:], validate=True)
        except ValueError:
            return None
        veiled = self._veiled(data)
        assert isinstance(veiled, bytes)
        return text if veiled == data else text[:start] + b64encode(veiled).decode()


class TracedWebSocket(WebSocket):
    """Tells `sends` of each message before it goes out."""

    __slots__ = ("_sends",)

    def __init__(
        self,
        sends: Callable[[str | bytes], None],
        stream: Stream,
        listener: FrameListener,
        target: str,
        headers: list[tuple[str, str]],
        limits: Limits,
        compress: bool,
    ) -> None:
        self._sends = sends
        super().__init__(stream, listener, target, headers, limits, compress)

    def send(self, frames: list[str | bytes]) -> None:
        for frame in frames:
            self._sends(frame)
        super().send(frames)
