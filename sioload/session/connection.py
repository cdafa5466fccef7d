"""The driver of one Engine.IO session: feeds the pure session and performs what it returns.

All methods run in the hub, except `send` and `close`, which a user's greenlet may call. Nothing blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from mypy_extensions import mypyc_attr

from sioload.engineio.packet import (
    Handshake,
    Packet,
    PacketType,
    decode_eio3,
    decode_eio4,
    encode_eio3,
    encode_eio4,
)
from sioload.engineio.secrets import redact
from sioload.engineio.session import Do, Input, Session, State
from sioload.engineio.urls import Endpoint, Request, parse_url
from sioload.errors import ProtocolError, Refused
from sioload.net.dial import Dialler
from sioload.net.http import BAD_HTTP, HTTPConnection, Response, request
from sioload.net.stream import Stream
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import Receiver, WebSocket
from sioload.options import Options
from sioload.session.polling import Polling, Receipt
from sioload.session.upgrade import Upgrade
from sioload.socketio.detect import identify, mismatch, refusal, refuses_version
from sioload.socketio.generations import Generation

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet

MESSAGE = PacketType.MESSAGE
INFINITY = float("inf")

#: Why sessions end: the closed set that DISCONNECT rows and reports use.
REASONS = (
    "client",
    "server",
    "transport closed",
    "transport error",
    "ping timeout",
    "protocol error",
    "session unknown",
    "timeout",
    "internal error",
)

#: Why a server may close a websocket without a word.
CAUSES = "refused, or the URL, its port or the option path is wrong"

#: Polling is quiet when no GET brought anything for so long, in seconds.
QUIET = 0.05

#: Codecs in which a text message is "4" and its data: those packets need no codec on a websocket.
_PLAIN = (decode_eio3, decode_eio4, encode_eio3, encode_eio4)

_INPUTS = {
    PacketType.MESSAGE: Input.MESSAGE,
    PacketType.PING: Input.PING,
    PacketType.PONG: Input.PONG,
    PacketType.NOOP: Input.NOOP,
    PacketType.CLOSE: Input.CLOSE_PACKET,
}


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Receiver, Protocol):
    """The Socket.IO layer above a connection. Called in the hub."""

    __slots__ = ()

    def on_open(self) -> None:
        """The session is open; messages may be sent."""

    def on_closed(self, reason: str, detail: str) -> None:
        """The session ended or could not be opened; `reason` is one of `REASONS`. Called once."""

    def on_drained(self) -> None:
        """The write buffer is empty again."""

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        """Let the user change a handshake's request, then call `then` in the hub."""


class Connection(FrameListener):
    """One session from its first request to its end.

    Attributes:
        sid: the session's id, "" before it is open.
        transport: "polling" or "websocket", what messages are sent on now.
        max_payload: bytes that the server takes in one body or message, infinite when it doesn't say.
        confided: the auth payload.
        stage: "dial", "tls", "open" or "upgrade": where an attempt stands or failed.
    """

    __slots__ = ("_asked", "_close_by", "_closing", "_dialler", "_fast", "_handshake_line", "_listener",
                 "_session", "_timer", "_tokens", "_upgrade", "_ws", "confided", "encode", "endpoint",
                 "fleet", "generation", "max_payload", "options", "polling", "request", "sid", "stage",
                 "transport")  # fmt: skip

    def __init__(
        self,
        fleet: Fleet,
        options: Options,
        generation: Generation,
        endpoint: Endpoint,
        request: Request,
        listener: Listener,
    ) -> None:
        self.fleet = fleet
        self.options = options
        self.endpoint = endpoint
        self.request: Request | None = request
        self._listener = listener
        self._session = Session(generation.pinger)
        self._ws: WebSocket | None = None
        self.speak(generation)
        self.sid = ""
        self.confided: object = None
        self.stage = "dial"
        self.transport = options.transports[0]
        self.max_payload: float = INFINITY
        self.polling: Polling | None = None
        self._upgrade: Upgrade | None = None
        self._dialler: Dialler | None = None
        self._handshake_line: HTTPConnection | None = None
        self._asked = 0.0
        self._timer: Any = None
        self._tokens: list[Receipt] | None = None
        self._closing = ""  # the reason, once this side says goodbye
        self._close_by = 0.0

    # For the layer above.

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._session.state in (State.OPEN, State.PROBING, State.PAUSING)

    @property
    def buffered(self) -> int:
        """Bytes that wait to be handed to the kernel."""
        if self._ws is not None:
            return self._ws.stream.buffered
        return self.polling.queued if self.polling is not None else 0

    def speak(self, generation: Generation) -> None:
        """Take and send packets as this generation does from now on."""
        self.generation = generation
        self.encode = generation.encode_base64 if self.options.base64 else generation.encode_frame
        self._fast = generation.decode_frame in _PLAIN and generation.encode_frame in _PLAIN
        if self._ws is not None and not self._fast:
            self._ws.receiver = None
            self.forget_shortcuts()

    def forget_shortcuts(self) -> None:
        """Ask the listener for each push from now on whether it may just be counted."""
        if self._ws is not None:
            self._ws.stream.kind = None

    def start(self) -> None:
        """Ask for a session."""
        self._perform(Input.START)

    def send(self, messages: list[str | bytes], token: Receipt | None = None) -> bool:
        """Send one Socket.IO packet: its text, then its attachments.

        Returns:
            True when all of it was handed to the kernel; otherwise `token` hears of it later.
        """
        ws = self._ws
        if ws is not None:
            text = messages[0]
            if len(messages) > 1:
                ws.send_many([self.encode(Packet(MESSAGE, m)) for m in messages])
            elif ws.receiver is not None and isinstance(text, str):
                ws.stream.write_text(b"4", None, text.encode())
            else:
                ws.send(self.encode(Packet(MESSAGE, text)))
            return self._written(ws, token)
        if self.polling is None:
            if token is not None:
                token.settle("not_sent", "not connected")
            return False
        size = sum(len(m.encode()) if isinstance(m, str) else len(m) * 4 // 3 + 4 for m in messages)
        self.polling.send([Packet(MESSAGE, m) for m in messages], size + 2 * len(messages), token)
        return False

    @property
    def direct(self) -> bool:
        """Whether a text needs nothing but an Engine.IO type in front of it."""
        return self._ws is not None and self._ws.receiver is not None

    def send_direct(self, head: bytes, number: int | None, data: bytes, token: Receipt | None) -> bool:
        """As `send`, one Engine.IO packet in the parts of `Stream.write_text`, while this is `direct`."""
        ws = self._ws
        assert ws is not None
        ws.stream.write_text(head, number, data)
        return self._written(ws, token)

    def _written(self, ws: WebSocket, token: Receipt | None) -> bool:
        """Whether the kernel has all of it; if not, `token` is kept."""
        if not ws.stream.buffered:
            return True
        if token is not None:
            self._keep(token)
        return False

    def send_raw(self, frame: str | bytes, token: Receipt) -> bool:
        """Send one Engine.IO packet as it is written; returns what `send` does.

        Raises:
            Refused: on polling, it begins with no packet type that this generation knows.
        """
        ws = self._ws
        if ws is None and self.polling is not None:
            try:
                packet = self.generation.decode_frame(frame)
            except ProtocolError as error:
                raise Refused(f"not a packet of this generation: {error}") from None
            self.polling.send([packet], len(frame) * 4, token)
            return False
        if ws is None:
            token.settle("not_sent", "not connected")
            return False
        ws.send(frame)
        return self._written(ws, token)

    def close(self, reason: str = "client") -> None:
        """Leave politely: say goodbye, take in what the server still sends, then end with a reason.

        Safe to call from a user's greenlet; `on_closed` follows in the hub.
        """
        if self._closing:
            return
        self._closing = reason
        if self._session.state in (State.IDLE, State.OPENING, State.CLOSED):
            self._later(self._end, Input.CLOSE, "client", "")
        elif self._ws is not None:
            self._ws.start_close()
            self._rearm(perf_counter() + 1.0)
        else:
            self._close_by = perf_counter() + 1.0
            self._rearm(perf_counter() + QUIET)

    def drop(self, reason: str, detail: str) -> None:
        """End at once; in the hub only."""
        self._end(Input.LOST, reason, detail)

    def discreet(self, text: str) -> str:
        """What a server said, without what it was told in confidence."""
        if not text:
            return text
        given, asked = self.options, self.request
        told = (
            given.headers,
            given.cookies,
            given.query,
            given.auth,
            given.auth_token,
            self.confided,
            self.sid,
            self.endpoint.query,
            self._opening_endpoint().query,
        )
        return redact(text, *told, *(() if asked is None else (asked.headers, asked.cookies, asked.query)))

    def shown(self, body: bytes) -> bytes:
        """What of an error's body may be shown."""
        return self.discreet(body[:10_000].decode("utf-8", "replace")).encode()

    def finish_close(self) -> None:
        """The goodbye was posted."""
        self._later(self._end, Input.CLOSE, "client", "")

    def _say_goodbye(self, now: float) -> None:
        """Polling: once no GET brings anything any more, the close packet can't overtake what was queued."""
        polling = self.polling
        if polling is None or now >= self._close_by:
            self._end(Input.CLOSE, "client", "")
        elif now - polling.last_heard >= QUIET and not polling.posting:
            polling.send([Packet(PacketType.CLOSE, "")], 1, _Goodbye(self))
            self._rearm(self._close_by)
        else:
            self._rearm(now + QUIET)

    def _gone(self) -> None:
        """The session ended while we were leaving: what is being posted still gets its answer."""
        if self.polling is not None and self.polling.posting:
            self.polling.pause()
        else:
            self._end(Input.CLOSE, "client", "")

    # What the polling transport needs.

    def dial(
        self, done: Callable[[Stream], None], failed: Callable[[str, str], None], opening: bool = False
    ) -> Dialler:
        """Begin to connect a stream to the server (to `handshake_url`'s when a session is being opened)."""
        at = self._opening_endpoint() if opening else self.endpoint
        return Dialler(self.fleet, at.host, at.port, self.options, at.tls, done, failed)

    def polling_request(self, method: str, packets: list[Packet] | None = None) -> bytes:
        """The bytes of a poll or of a post."""
        asked = self.request
        assert asked is not None
        at = self.endpoint if self.sid else self._opening_endpoint()
        headers = asked.header_list(at)
        target = asked.target(*self._target(at, "polling"))
        if packets is None:
            if not self.sid:
                self.stage = "open"
                self._asked = perf_counter()
            return request(method, target, headers)
        body, content_type = self.generation.encode_payload(packets, self.options.base64)
        headers.append(("Content-Type", content_type))
        return request(method, target, headers, body)

    def keep_cookies(self, headers: list[tuple[str, str]]) -> None:
        """Cookies of a response go into the session's later requests (sticky sessions)."""
        if self.request is not None:
            self.request.keep_cookies(headers)

    def on_polled(self, response: Response) -> None:
        """A GET was answered."""
        if response.status != 200:
            if self._closing:
                self._gone()
            else:
                self._refused(response.status, response.body, "polling")
            return
        self._session.on_heard(perf_counter())
        try:
            packets = self._packets(response)
        except ProtocolError as error:
            self.broken(error)
            return
        for packet in packets:
            self._take(packet)

    def on_post_refused(self, response: Response) -> None:
        """A POST was answered with neither 200 nor 413."""
        if self._closing:
            self._end(Input.CLOSE, "client", "")
        else:
            self._refused(response.status, response.body, "polling")

    def on_polling_paused(self) -> None:
        if self._closing:
            self._end(Input.CLOSE, "client", "")
        else:
            self._perform(Input.POLLING_PAUSED)

    def on_polling_failed(self, reason: str) -> None:
        """A line broke in the middle of an exchange."""
        if self._closing:
            self._end(Input.CLOSE, "client", "")
        elif reason == "closed by the peer":
            self._lost("transport closed", reason)
        else:
            self._lost("protocol error" if reason.startswith(BAD_HTTP) else "transport error", reason)

    def on_dial_failed(self, stage: str, reason: str) -> None:
        """A stream could not be connected."""
        if self._session.state is State.OPENING:
            self.stage = stage
        self._end(Input.LOST, "transport error", reason)

    def on_drained(self) -> None:
        """A write buffer became empty."""
        tokens, self._tokens = self._tokens, None
        if tokens:
            for token in tokens:
                token.settle("sent", "")
        self._listener.on_drained()

    def overrun(self, detail: str) -> None:
        """The server asks for more than it takes. A greenlet may say so."""
        self._later(self._lost, "protocol error", detail)

    def on_crash(self, error: BaseException) -> None:
        """A callback raised: a defect of this program ends this connection and spoils the run, no more."""
        self.fleet.crashed(error)
        self._end(Input.LOST, "internal error", f"{type(error).__name__}: {error}")

    # The websocket's listener.

    def on_ws_open(self, ws: WebSocket) -> None:
        self.keep_cookies(ws.response_headers)

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        if ws is not self._ws:
            return
        try:
            packet = self.generation.decode_frame(frame)
        except ProtocolError as error:
            self.broken(error)
        else:
            self._take(packet)

    def on_ws_lost(self, ws: WebSocket, reason: str, status: int, body: bytes) -> None:
        if ws is not self._ws:
            return
        if self._closing:
            self._end(Input.CLOSE, "client", "")
        elif status:
            self._refused(status, body, "websocket")
        elif self._session.state is State.OPENING and not reason.startswith("websocket protocol error"):
            self._lost("transport closed", f"{reason} before the session was open: {CAUSES}")
        elif reason in ("closed by the server", "closed by the peer"):
            self._lost("transport closed", reason)
        elif reason.startswith(("websocket protocol error", "text that")):
            self._lost("protocol error", reason)
        else:
            self._lost("transport error", reason)

    def on_ws_drained(self, ws: WebSocket) -> None:
        if ws is self._ws:
            self.on_drained()

    # Opening.

    def _opening_endpoint(self) -> Endpoint:
        return parse_url(self.options.handshake_url) if self.options.handshake_url else self.endpoint

    def _target(self, at: Endpoint, transport: str) -> tuple[Endpoint, list[tuple[str, str]]]:
        """Path and parameters of a request, in the generation's form."""
        generation = self.generation
        stamp = self._timestamp(transport)
        if generation.eio is None:
            where = f"{self._named(transport)}/{quote(self.sid, safe='')}" if self.sid else ""
            path = at.path if at is not self.endpoint else f"{at.path}1/{where}"
            return replace(at, path=path), [("t", stamp)] if stamp else []
        parameters = [("EIO", generation.eio), ("transport", transport)]
        if stamp:
            parameters.append(("t", stamp))
        if self.options.base64:
            parameters.append(("b64", "1"))
        if self.sid:
            parameters.append(("sid", self.sid))
        return at, parameters

    def _named(self, transport: str) -> str:
        """A transport as this generation calls it."""
        return self.generation.polling if transport == "polling" else transport

    def _timestamp(self, transport: str) -> str | None:
        wanted = self.options.timestamp
        if wanted is None:
            wanted = transport != "websocket" and self.generation.timestamp
        return self.fleet.next_timestamp() if wanted else None

    def _request_session(self) -> None:
        asked = self.request
        assert asked is not None
        asked.transport = self.transport
        self._listener.prepare(asked, self._prepared)

    def _prepared(self) -> None:
        if self._session.state is not State.OPENING:
            return
        if self.generation.eio is None:
            self._dialler = self.dial(self._dialled_handshake, self.on_dial_failed, opening=True)
        elif self.transport == "polling":
            self.polling = Polling(self)
            self.polling.poll()
        else:
            self._dialler = self.dial(self._dialled_websocket, self.on_dial_failed, opening=True)

    def _dialled_handshake(self, stream: Stream) -> None:
        """0.9: the session's id comes from a request of its own."""
        self._dialler = None
        line = self._handshake_line = HTTPConnection(stream, _HandshakeHandler(self), self.options.limits)
        asked = self.request
        assert asked is not None
        self.stage = "open"
        self._asked = perf_counter()
        at = self._opening_endpoint()
        line.request(request("GET", asked.target(*self._target(at, "")), asked.header_list(at)))

    def on_handshake_v0(self, response: Response) -> None:
        """0.9: the answer to the handshake."""
        line, self._handshake_line = self._handshake_line, None
        if line is not None:
            line.close()
        self.keep_cookies(response.headers)
        if response.status != 200:
            self._refused(response.status, response.body, "open")
            return
        try:
            handshake = self.generation.parse_handshake(response.body.decode("utf-8", "replace"))
        except ProtocolError:
            self.broken(ProtocolError(mismatch(self.generation, response.status, self.shown(response.body))))
            return
        for transport in ("websocket", "polling"):  # there is no upgrade: what the upgrade would lead to
            if transport in self.options.transports and self._named(transport) in handshake.upgrades:
                self.transport = transport
                self._opened(handshake)
                return
        offered = ", ".join(handshake.upgrades)
        self._lost(
            "transport error",
            f"the server has no other transports than {offered}: change the option transports",
        )

    def _dialled_websocket(self, stream: Stream) -> None:
        self._dialler = None
        if not self.sid:
            self._asked = perf_counter()
            self.stage = "open"
        at = self._opening_endpoint() if not self.sid else self.endpoint
        self._ws = self.websocket(stream, at, self)

    def websocket(self, stream: Stream, at: Endpoint, listener: Connection | Upgrade) -> WebSocket:
        """Begin the handshake of a websocket for this session."""
        asked = self.request
        assert asked is not None
        target = asked.target(*self._target(at, "websocket"))
        headers = asked.header_list(at)
        return WebSocket(stream, listener, target, headers, self.options.limits, self.options.compress)

    def _opened(self, handshake: Handshake) -> None:
        """The open packet came."""
        now = perf_counter()
        self.sid = handshake.sid
        if self.polling is not None and self.options.handshake_url:
            self.polling.leave_line()
        if handshake.max_payload is not None:
            self.max_payload = float(handshake.max_payload)
        self._session.start_heartbeat(handshake.ping_interval, handshake.ping_timeout, now)
        self.fleet.recorder.row("OPEN", self._named(self.transport)).add(now - self._asked)
        self.fleet.recorder.connections.open(self.transport)
        self._rearm(self._session.next_check())
        upgradable = (
            self.generation.upgrade
            and self.transport == "polling"
            and "websocket" in self.options.transports
            and "websocket" in handshake.upgrades
        )
        if self.generation.greeting:
            self._start_transport()
        else:
            self._perform(Input.OPENED_UPGRADABLE if upgradable else Input.OPENED)

    def _start_transport(self) -> None:
        """0.9: the session has its id; now its transport begins, and is open with the server's greeting."""
        if self.transport == "polling":
            self.polling = Polling(self)
            self._later(self.polling.poll)
        else:
            self._dialler = self.dial(self._dialled_websocket, self.on_dial_failed)

    # Upgrading.

    def _start_probe(self) -> None:
        asked = self.request
        assert asked is not None
        asked.transport = "websocket"
        self._upgrade = Upgrade(self)
        self._listener.prepare(asked, self._probe_prepared)

    def _probe_prepared(self) -> None:
        if self._session.state is State.PROBING and self._upgrade is not None:
            self._upgrade.begin()

    def on_probe_answered(self) -> None:
        self._perform(Input.PROBE_ANSWERED)

    def on_probe_failed(self, reason: str) -> None:
        """The session goes on as it is."""
        if self._upgrade is not None and self._session.state in (State.PROBING, State.PAUSING):
            reason = self.discreet(reason)
            row = self.fleet.recorder.row("UPGRADE", "websocket")
            row.fail(reason, perf_counter() - self._upgrade.asked)
            self._perform(Input.PROBE_FAILED)

    def _drop_probe(self) -> None:
        upgrade, self._upgrade = self._upgrade, None
        if upgrade is not None:
            upgrade.drop()

    def _switch(self) -> None:
        """The probe was answered and polling has come to rest: from now on the websocket is the transport."""
        polling, self.polling = self.polling, None
        upgrade, self._upgrade = self._upgrade, None
        assert polling is not None
        assert upgrade is not None
        ws = upgrade.hand_over()
        assert ws is not None
        self._ws = ws
        ws.listener = self
        self.transport = "websocket"
        queue = polling.take_queue()
        polling.close("upgraded")
        ws.send(self.encode(Packet(PacketType.UPGRADE, "")))
        for packets, _, token in queue:
            ws.send_many([self.encode(p) for p in packets])
            if token is not None:
                self._handed_over(token)
        self.fleet.recorder.row("UPGRADE", "websocket").add(perf_counter() - upgrade.asked)
        self.fleet.recorder.connections.upgrade("polling", "websocket")
        self._shorten()
        self.request = None
        self._listener.on_drained()

    def _keep(self, token: Receipt) -> None:
        """Its bytes wait in the write buffer."""
        if self._tokens is None:
            self._tokens = []
        self._tokens.append(token)

    def _handed_over(self, token: Receipt) -> None:
        """Its bytes were written to the websocket: to the kernel, or to the buffer in front of it."""
        if self._ws is not None and self._ws.stream.buffered:
            self._keep(token)
        else:
            token.settle("sent", "")

    def _shorten(self) -> None:
        """Let messages pass from the websocket straight to the listener where no codec is needed."""
        if self._fast and self._ws is not None and not self._ws.compresses:
            self._ws.receiver, self._ws.pushes = self._listener, self.fleet.pushes

    # Packets.

    def _packets(self, response: Response) -> list[Packet]:
        """The packets of a polling body; the first body must hold an open packet."""
        if self._session.state is State.OPENING and self.generation.eio is not None:
            spoken = identify(response.status, response.body)
            if spoken is None or spoken.eio != self.generation.eio:
                raise ProtocolError(mismatch(self.generation, response.status, self.shown(response.body)))
        return self.generation.decode_payload(response.body, self.options.limits)

    def _take(self, packet: Packet) -> None:
        """One packet on the session's own transport."""
        kind = packet.type
        if kind == PacketType.OPEN:
            self._take_open(packet)
            return
        given = _INPUTS.get(kind)  # type: ignore[call-overload]
        if given is None:
            self._lost("protocol error", f"unexpected packet of type {kind}")
        elif given is Input.MESSAGE:
            self._take_message(packet.data)
        elif given is Input.CLOSE_PACKET:
            if self._closing:
                self._gone()
            else:
                self._end(given, "server", "closed by the server")
        else:
            self._perform(given)

    def _take_message(self, data: str | bytes) -> None:
        generation, state = self.generation, self._session.state
        if generation.greeting and str(data).startswith(generation.unknown_session):
            self._lost("session unknown", "the server doesn't know the session")
        elif self.is_open:
            self._listener.on_message(data)
        elif state is State.OPENING and generation.greeting and str(data).startswith(generation.greeting):
            self._perform(Input.OPENED)
            self._listener.on_message(data)
        elif state is not State.CLOSED:
            self._lost("protocol error", "a message before the open packet")

    def _take_open(self, packet: Packet) -> None:
        if self._session.state is not State.OPENING:
            self._lost("protocol error", "a second open packet")
            return
        try:
            self._opened(self.generation.parse_handshake(packet.data))  # type: ignore[arg-type]
        except ProtocolError as error:
            self.broken(error)

    def _perform(self, given: Input) -> None:
        """Step the session and do what it asks for."""
        try:
            actions = self._session.step(given)
        except ProtocolError as error:
            self.broken(error)
            return
        for action in actions:
            match action:
                case Do.REQUEST_SESSION:
                    self._request_session()
                case Do.ANNOUNCE_OPEN:
                    self._shorten()
                    self._listener.on_open()
                    if self._ws is not None:
                        self.request = None
                case Do.BEAT:
                    self._beat(given)
                case Do.PROBE:
                    self._start_probe()
                case Do.PAUSE_POLLING:
                    if self.polling is not None:
                        self.polling.pause()
                case Do.SWITCH:
                    self._switch()
                case Do.DROP_PROBE:
                    self._drop_probe()
                case Do.RESUME_POLLING:
                    if self.polling is not None:
                        self.polling.resume()

    # Heartbeats.

    def _beat(self, given: Input) -> None:
        now = perf_counter()
        if given is Input.PONG:
            seconds = self._session.on_pong(now)
            if seconds is not None:
                self.fleet.recorder.row("HEARTBEAT", "pong").add(seconds)
            self._rearm(self._session.next_check())
            return
        late = self._session.on_ping(now)
        self._send_engine(Packet(PacketType.PONG, ""))
        row = self.fleet.recorder.row("HEARTBEAT", "ping")
        if self.generation.pinger == "server":
            row.add(late)
        else:
            row.tick()

    def _send_engine(self, packet: Packet) -> None:
        if self._ws is not None:
            self._ws.send(self.encode(packet))
        elif self.polling is not None:
            self.polling.send([packet], 1, None)

    def _rearm(self, when: float) -> None:
        if when == INFINITY:
            return
        if self._timer is not None:
            if self._timer[2] is not None and self._timer[0] <= when:
                return  # it fires earlier and looks again
            self.fleet.deadlines.cancel(self._timer)
        self._timer = self.fleet.deadlines.at(when, self._due)

    def _due(self, now: float) -> None:
        self._guarded(self._check, now)

    def _check(self, now: float) -> None:
        self._timer = None
        if self._closing:
            self._say_goodbye(now)
            return
        asked = self._session.check(now)
        if asked == "missed":
            self._end(Input.HEARTBEAT_MISSED, "ping timeout", "no heartbeat from the server in time")
            return
        if asked == "ping":
            self._send_engine(Packet(PacketType.PING, ""))
        self._rearm(self._session.next_check())

    # Ending.

    def _refused(self, status: int, body: bytes, transport: str) -> None:
        reason = refusal(status, self.shown(body))
        if "Session ID unknown" in reason or "Invalid session" in reason:
            self._lost("session unknown", reason)
        else:
            self._lost("protocol error" if refuses_version(status, body) else "transport error", reason)

    def broken(self, error: ProtocolError) -> None:
        """The server broke the protocol."""
        if self._ws is not None and self._ws.is_open:
            self._ws.close(error.close_code)
        self._lost("protocol error", str(error))

    def _lost(self, reason: str, detail: str) -> None:
        self._end(Input.LOST, reason, detail)

    def _end(self, given: Input, reason: str, detail: str) -> None:
        """Every end of a session comes through here, once."""
        before = self._session.state
        if before is State.CLOSED:
            return
        if self._closing and reason != "internal error":
            reason, detail = self._closing, ""  # however the goodbye went
        detail = self.discreet(detail)[:200]
        self._session.step(given)
        self._session.state = State.CLOSED
        try:
            self._release(before, reason, detail)
        except BaseException as error:  # noqa: BLE001 - whoever waits for this connection must hear of its end
            self.fleet.crashed(error)
        self._listener.on_closed(reason, detail)

    def _release(self, before: State, reason: str, detail: str) -> None:
        """Let go of all that the session held, and count its end."""
        self.fleet.deadlines.cancel(self._timer)
        self._timer = None
        self._drop_probe()
        if self._dialler is not None:
            self._dialler.cancel()
            self._dialler = None
        if before is State.OPENING and self.stage == "open" and not self.sid and reason != "client":
            row = self.fleet.recorder.row("OPEN", self._named(self.transport))
            row.fail(detail or reason, perf_counter() - self._asked)
        if self._handshake_line is not None:
            self._handshake_line.close()
        if self.polling is not None:
            self.polling.close(reason)
            self.polling = None
        ws, self._ws = self._ws, None
        if ws is not None:
            ws.close()
        tokens, self._tokens = self._tokens, None
        for token in tokens or ():
            token.settle("indeterminate", reason)
        if self.sid:
            self.fleet.recorder.connections.close(self.transport, reason)

    def _later(self, callback: Callable[..., None], *args: Any) -> None:
        self.fleet.later(self._guarded, callback, *args)

    def _guarded(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            callback(*args)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            self.on_crash(error)


class _Goodbye:
    """The token of a close packet on polling."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def settle(self, outcome: str, reason: str) -> None:
        self._connection.finish_close()


class _HandshakeHandler:
    """Starts the 0.9 handshake's exchange."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        self._connection.on_handshake_v0(response)

    def on_failure(self, line: HTTPConnection, reason: str) -> None:
        self._connection.on_polling_failed(reason)

    def on_crash(self, error: BaseException) -> None:
        self._connection.on_crash(error)
