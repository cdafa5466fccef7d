"""Opening one session: what the answers to its first requests are, until the open packet.

In 0.9 until its transport greets. Which requests these are is told in `session.asking`.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

from sioload.engineio.packet import Handshake, PacketType
from sioload.errors import End, ProtocolError
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import Stream
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import WebSocket
from sioload.session.asking import Asking, form_of, other_revision
from sioload.session.ends import unopened
from sioload.socketio.detect import accepts, identify, mismatch
from sioload.socketio.generations import UNKNOWN_3, V0, V1, V4, Generation

#: Seconds after which an open websocket on which the server says nothing is no old server's.
GREETED = 1.0


class Opening(Asking, FrameListener):
    """One attempt to open a session; see `Asking`."""

    __slots__ = ()

    # Over HTTP: the first poll of a session, or the handshake of 0.9.

    def _dialled(self, stream: Stream) -> None:
        self._line = HTTPConnection(stream, self, self._requests.options.limits)
        self._begin()
        self._line.request(self._requests.get())

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        requests = self._requests
        requests.keep_cookies(response.headers)
        if self._moved(response.status, response.headers):
            return
        if response.status != 200:
            self._refused(response.status, response.body, "polling")
            return
        spoken = identify(response.status, response.body, requests.options.base64)
        if spoken is None and self._finding is None and requests.generation.eio is None:
            spoken = V0  # an id may hold anything; who only looks what is there asks for more likeness
        mismatched = partial(self._mismatched, response)
        try:
            if spoken is None and self._finding is not None:
                self._failed(mismatched, "4" if requests.generation.eio is None else "0")
            elif spoken is None or (self._finding is None and not self._fits(spoken)):
                mismatched()
            elif requests.generation.eio is None:
                self._take_handshake(response)
            elif spoken is V0:
                if self._finding is not None:
                    self._finding.conclude(V0)
                if not self._over:
                    self._failed(mismatched, "0", sure=True)
            else:
                self._learn(spoken)
                if not self._over:
                    self._take_body(response)
        except ProtocolError as error:
            self._listener.broken(error)

    def _take_handshake(self, response: Response) -> None:
        """0.9: the answer to the handshake."""
        requests = self._requests
        try:
            handshake = requests.generation.parse_handshake(response.body.decode("utf-8", "replace"))
        except ProtocolError:
            self._mismatched(response)
            return
        self._learn(requests.generation)
        for transport in ("websocket", "polling"):  # there is no upgrade: what the upgrade would lead to
            if transport in requests.options.transports and requests.named(transport) in handshake.upgrades:
                self.transport = transport
                self._opened(handshake, [], len(response.body))
                return
        offered = ", ".join(handshake.upgrades)
        said = f"the server has no other transports than {offered}: change the option transports"
        self._listener.on_lost(End("transport error", said))

    def _take_body(self, response: Response) -> None:
        """The first body begins with an open packet; others may follow."""
        generation = self._requests.generation
        opened, *others = self._requests.unpack(response.body)
        handshake = generation.parse_handshake(opened.data)  # type: ignore[arg-type]
        self._opened(handshake, others, len(response.body))

    def _fits(self, spoken: Generation) -> bool:
        """Whether an answer is one of the version that was given; in base64, 1.x and 2.x may look alike."""
        requests = self._requests
        return accepts(requests.generation, spoken) or (
            requests.options.base64 and spoken is V1 and requests.generation.eio == V1.eio
        )

    def _mismatched(self, response: Response) -> None:
        requests = self._requests
        shown = requests.shown(response.body)
        self._listener.broken(ProtocolError(mismatch(response.status, response.body, shown)))

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        report = partial(self._listener.on_lost, end)
        if end.kind in ("protocol error", "limit"):
            report()
        else:
            self._failed(report, "4" if self._requests.generation.eio is None else "0")

    # Over a websocket.

    def start_websocket(self) -> None:
        """0.9: the session has its id; now its websocket begins, and is open with the server's greeting."""
        if not self._over:
            self._dial(self._dialled_websocket, True)

    def _dialled_websocket(self, stream: Stream) -> None:
        self._begin()
        self._ws = self._requests.websocket(stream, self)

    def on_ws_open(self, ws: WebSocket) -> None:
        self.upgraded = True
        self._requests.keep_cookies(ws.response_headers)

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        generation = self._requests.generation
        if self._held is not None:
            self._hold(frame)
            return
        try:
            packet = self._requests.decode(frame)
            if generation.greeting:
                self._ws = None
                self._listener.on_greeting(ws)
            elif packet.type == PacketType.OPEN:
                self._open_on_websocket(str(frame), generation.parse_handshake(str(packet.data)))
                return
        except ProtocolError as error:
            ws.close(error.close_code)
            self._listener.broken(error)
        else:
            self._listener.on_packet(packet)

    def _open_on_websocket(self, frame: str, handshake: Handshake) -> None:
        finding, generation = self._finding, self._requests.generation
        if finding is None or not finding.asks:
            self._opened(handshake, [], len(frame))
        elif generation.eio == "4" and '"maxPayload"' not in frame:
            self._held = handshake, [frame], perf_counter()
            self._wait(GREETED, self._not_greeted)
        else:
            self._learn(generation)
            self._opened(handshake, [], len(frame))

    def _hold(self, frame: str | bytes) -> None:
        """Something comes of a server that may be of 1.x to 3.x; new ones have no message for us yet."""
        assert self._held is not None
        _, frames, _ = self._held
        frames.append(frame)
        if isinstance(frame, bytes) or frame[:1] == "4":
            self._decide(UNKNOWN_3)
        elif frame[:1] == "2":
            self._decide(V4)

    def _not_greeted(self, now: float) -> None:
        self._decide(V4)

    def _decide(self, generation: Generation) -> None:
        assert self._held is not None
        (handshake, (opened, *frames), came), self._held = self._held, None
        self._asked += perf_counter() - came  # what was waited for since then is no time of the server's
        self._learn(generation)
        try:
            others = [self._requests.decode(frame) for frame in frames]
        except ProtocolError as error:
            self._listener.broken(error)
        else:
            self._opened(handshake, others, len(opened))

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        if status:
            self._requests.keep_cookies(ws.response_headers)
            if not self._moved(status, ws.response_headers):
                self._refused(status, body, "websocket")
            return
        lost = partial(self._listener.on_lost, unopened(end))
        garbage = end.kind == "protocol error"
        final = end.kind == "limit" or (garbage and not self.upgraded)
        if self._held is not None or self._requests.sid or final:
            lost()
        elif self.upgraded:
            self._failed(lost, other_revision(form_of(self._requests.generation)), sure=garbage)
        else:
            self._failed(lost, "0")

    def on_ws_drained(self, ws: WebSocket) -> None:
        """Nothing but the handshake was written."""

    # Both.

    def on_crash(self, error: BaseException) -> None:
        self._listener.on_crash(error)
