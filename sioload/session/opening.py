"""Opening one session: its first request, until the open packet (0.9: until its transport greets)."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from sioload.engineio.packet import Handshake, Packet, PacketType
from sioload.engineio.urls import Request
from sioload.errors import End, ProtocolError, Stage
from sioload.measure.rows import Row
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import Stream
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import WebSocket
from sioload.session.ends import unopened
from sioload.session.requests import Requests
from sioload.socketio.detect import identify, mismatch

if TYPE_CHECKING:
    from sioload.net.dial import Dialler


class Listener(Protocol):
    """Who wants the session. Called in the hub."""

    __slots__ = ()

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        """Let the user change a handshake's request, then call `then` in the hub."""

    def on_opened(
        self,
        handshake: Handshake,
        others: list[Packet],
        line: HTTPConnection | None,
        ws: WebSocket | None,
    ) -> None:
        """The session is open, on the line or websocket given, and other packets came with that (0.9: it has
        its id; its transport follows)."""

    def on_greeting(self, ws: WebSocket) -> None:
        """0.9: the transport is there, and a packet follows."""

    def on_packet(self, packet: Packet) -> None:
        """A packet of the session, or one that doesn't belong here."""

    def on_refused(self, status: int, body: bytes, transport: str) -> None:
        """The server answered with an error."""

    def on_lost(self, end: End) -> None:
        """The session can't be opened, or not be used."""

    def broken(self, error: ProtocolError) -> None:
        """The server broke the protocol."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised."""


class Opening(FrameListener):
    """One attempt to open a session.

    Attributes:
        transport: what is asked for, or what the session opened on.
        stage: "dial", "tls" or "open": where it stands or failed.
    """

    __slots__ = ("_asked", "_dialler", "_line", "_listener", "_over", "_requests", "_ws", "stage",
                 "transport")  # fmt: skip

    def __init__(self, requests: Requests, listener: Listener) -> None:
        self._requests = requests
        self._listener = listener
        self.transport: str = requests.options.transports[0]
        self.stage: Stage = "dial"
        self._asked = 0.0
        self._over = False
        self._dialler: Dialler | None = None
        self._line: HTTPConnection | None = None
        self._ws: WebSocket | None = None

    def start(self) -> None:
        """Ask for a session."""
        asked = self._requests.asked
        assert asked is not None
        asked.transport = self.transport
        self._listener.prepare(asked, self._prepared)

    def close(self, failure: str) -> None:
        """Give it up; `failure` says what became of the request, if one is under way."""
        self._over = True
        if failure and self.stage == "open" and not self._requests.sid:
            self._row().fail(failure, perf_counter() - self._asked)
        if self._dialler is not None:
            self._dialler.cancel()
        if self._line is not None:
            self._line.close()
        if self._ws is not None:
            self._ws.close()

    def _row(self) -> Row:
        requests = self._requests
        return requests.fleet.recorder.row("OPEN", requests.named(self.transport))

    def _prepared(self) -> None:
        if self._over:
            return
        if self._requests.generation.eio is None or self.transport == "polling":
            self._dial(self._dialled)
        else:
            self._dial(self._dialled_websocket)

    def _dial(self, done: Callable[[Stream], None]) -> None:
        self._dialler = self._requests.dial(done, self._not_dialled)

    def _not_dialled(self, stage: Stage, reason: str) -> None:
        self._dialler = None
        self.stage = stage
        self._listener.on_lost(End("transport error", reason))

    def _begin(self) -> None:
        """The request for the session is about to be sent."""
        self._dialler = None
        if not self._requests.sid:
            self.stage = "open"
            self._asked = perf_counter()

    def _opened(self, handshake: Handshake, others: list[Packet]) -> None:
        self._requests.sid = handshake.sid
        self._row().add(perf_counter() - self._asked)
        line, self._line = self._line, None
        ws, self._ws = self._ws, None
        if line is not None and (self._requests.options.handshake_url or self._requests.generation.greeting):
            line.close()  # the session is elsewhere, or on a transport of its own
            line = None
        self._listener.on_opened(handshake, others, line, ws)

    # Over HTTP: the first poll of a session, or the handshake of 0.9.

    def _dialled(self, stream: Stream) -> None:
        self._line = HTTPConnection(stream, self, self._requests.options.limits)
        self._begin()
        self._line.request(self._requests.get())

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        requests = self._requests
        requests.keep_cookies(response.headers)
        generation = requests.generation
        if response.status != 200:
            transport = "open" if generation.eio is None else "polling"
            self._listener.on_refused(response.status, response.body, transport)
            return
        try:
            if generation.eio is None:
                self._take_handshake(response)
            else:
                self._take_body(response)
        except ProtocolError as error:
            self._listener.broken(error)

    def _take_handshake(self, response: Response) -> None:
        """0.9: the answer to the handshake."""
        requests = self._requests
        try:
            handshake = requests.generation.parse_handshake(response.body.decode("utf-8", "replace"))
        except ProtocolError:
            raise self._mismatch(response) from None
        for transport in ("websocket", "polling"):  # there is no upgrade: what the upgrade would lead to
            if transport in requests.options.transports and requests.named(transport) in handshake.upgrades:
                self.transport = transport
                self._opened(handshake, [])
                return
        offered = ", ".join(handshake.upgrades)
        said = f"the server has no other transports than {offered}: change the option transports"
        self._listener.on_lost(End("transport error", said))

    def _take_body(self, response: Response) -> None:
        """The first body must begin with an open packet; others may follow."""
        generation = self._requests.generation
        spoken = identify(response.status, response.body)
        if spoken is None or spoken.eio != generation.eio:
            raise self._mismatch(response)
        opened, *others = generation.decode_payload(response.body, self._requests.options.limits)
        self._opened(generation.parse_handshake(opened.data), others)  # type: ignore[arg-type]

    def _mismatch(self, response: Response) -> ProtocolError:
        requests = self._requests
        return ProtocolError(mismatch(requests.generation, response.status, requests.shown(response.body)))

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        self._listener.on_lost(end)

    # Over a websocket.

    def start_websocket(self) -> None:
        """0.9: the session has its id; now its websocket begins, and is open with the server's greeting."""
        self._dial(self._dialled_websocket)

    def _dialled_websocket(self, stream: Stream) -> None:
        self._begin()
        self._ws = self._requests.websocket(stream, self)

    def on_ws_open(self, ws: WebSocket) -> None:
        self._requests.keep_cookies(ws.response_headers)

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        generation = self._requests.generation
        try:
            packet = generation.decode_frame(frame)
            if generation.greeting:
                self._ws = None
                self._listener.on_greeting(ws)
            elif packet.type == PacketType.OPEN:
                self._opened(generation.parse_handshake(packet.data), [])  # type: ignore[arg-type]
                return
        except ProtocolError as error:
            ws.close(error.close_code)
            self._listener.broken(error)
        else:
            self._listener.on_packet(packet)

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        if status:
            self._listener.on_refused(status, body, "websocket")
        else:
            self._listener.on_lost(unopened(end))

    def on_ws_drained(self, ws: WebSocket) -> None:
        """Nothing but the handshake was written."""

    # Both.

    def on_crash(self, error: BaseException) -> None:
        self._listener.on_crash(error)
