"""The driver of one Engine.IO session: feeds the pure session and performs what it returns.

All methods run in the hub, except `send` and `close`, which a user's greenlet may call. Nothing blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, Protocol

from mypy_extensions import mypyc_attr

from sioload.engineio.packet import Handshake, Packet, PacketType
from sioload.engineio.session import Do, Input, Session, State
from sioload.engineio.urls import Request
from sioload.errors import ConnectError, End, OptionError, ProtocolError, Reason, Stage
from sioload.net.http import HTTPConnection
from sioload.net.websocket import Receiver, WebSocket
from sioload.session.diagnosis import diagnose
from sioload.session.ends import refused
from sioload.session.opening import Finding, Opening, Report
from sioload.session.opening import Listener as OpeningListener
from sioload.session.polling import QUIET, Polling
from sioload.session.polling import Listener as PollingListener
from sioload.session.requests import Requests
from sioload.session.transport import Receipt, Transport
from sioload.session.upgrade import Listener as UpgradeListener
from sioload.session.upgrade import Upgrade
from sioload.session.websocket import WebSocketTransport
from sioload.socketio.generations import Generation

INFINITY = float("inf")

#: We have left, in order.
LEFT: Final = End("client", "")

_INPUTS = {
    PacketType.MESSAGE: Input.MESSAGE,
    PacketType.PING: Input.PING,
    PacketType.PONG: Input.PONG,
    PacketType.NOOP: Input.NOOP,
    PacketType.CLOSE: Input.CLOSE_PACKET,
}


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Protocol):
    """The Socket.IO layer above a connection. Called in the hub."""

    __slots__ = ()

    def on_open(self) -> None:
        """The session is open; messages may be sent."""

    def on_closed(self, end: End) -> None:
        """The session ended or could not be opened. Called once."""

    def on_drained(self) -> None:
        """The write buffer is empty again."""

    def speak(self, generation: Generation) -> None:
        """Before `on_open`: the server's answers show that this is what it speaks.

        Raises:
            OptionError: the user's options don't fit it.
        """

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        """Let the user change a handshake's request, then call `then` in the hub."""


class Connection(OpeningListener, PollingListener, UpgradeListener):
    """One session from its first request to its end.

    Attributes:
        requests: where its requests go, and with what.
        transport: "polling" or "websocket", what messages are sent on now.
        max_payload: bytes that the server takes in one body or message, infinite when it doesn't say.
    """

    __slots__ = ("_close_by", "_closing", "_fleet", "_listener", "_opening", "_polling", "_receiver",
                 "_session", "_timer", "_upgrade", "_ws", "max_payload", "requests", "transport")  # fmt: skip

    def __init__(
        self, requests: Requests, listener: Listener, receiver: Receiver, finding: Finding | None
    ) -> None:
        self.requests = requests
        self.transport = requests.options.transports[0]
        self.max_payload: float = INFINITY
        self._fleet = requests.fleet
        self._listener = listener
        self._receiver = receiver
        self._session = Session(requests.generation.pinger)
        self._opening: Opening | None = Opening(requests, self, finding)
        self._polling: Polling | None = None
        self._ws: WebSocketTransport | None = None
        self._upgrade: Upgrade | None = None
        self._timer: Any = None
        self._closing: Reason | None = None  # once this side says goodbye
        self._close_by = 0.0

    # For the layer above.

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._session.state in (State.OPEN, State.PROBING, State.PAUSING)

    @property
    def upgrading(self) -> bool:
        """Whether a second transport is being tried."""
        return self._session.state in (State.PROBING, State.PAUSING)

    @property
    def sid(self) -> str:
        """The session's id, "" before it is open."""
        return self.requests.sid

    @property
    def stage(self) -> Stage:
        """Where an attempt stands or failed: "dial", "tls" or "open"."""
        return self._opening.stage if self._opening is not None else "open"

    @property
    def buffered(self) -> int:
        """Bytes that wait to be handed to the kernel."""
        carrier = self._carrier
        return carrier.buffered if carrier is not None else 0

    @property
    def _carrier(self) -> Transport | None:
        return self._ws if self._ws is not None else self._polling

    def speak(self, generation: Generation) -> None:
        """Take and send packets as this generation does from now on."""
        self.requests.speak(generation)
        if self._ws is not None and self._ws.direct:
            self._ws.shorten(self._receiver)

    def forget_shortcuts(self) -> None:
        """Ask the listener for each push from now on whether it may just be counted."""
        if self._ws is not None:
            self._ws.forget_shortcuts()

    def start(self) -> None:
        """Ask for a session."""
        self._perform(Input.START)

    def send(self, messages: list[str | bytes], receipt: Receipt | None = None) -> bool:
        """See `Transport.send`."""
        if self._ws is not None:
            return self._ws.send(messages, receipt)
        if self._polling is not None:
            return self._polling.send(messages, receipt)
        if receipt is not None:
            receipt.settle("not_sent", "not connected")
        return False

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

    def close(self, reason: Reason = "client") -> None:
        """Leave politely: say goodbye, take in what the server still sends, then end with a reason.

        Safe to call from a user's greenlet; `on_closed` follows in the hub.
        """
        if self._closing:
            return
        self._closing = reason
        if self._session.state in (State.IDLE, State.OPENING, State.CLOSED):
            self._later(self._end, Input.CLOSE, LEFT)
        elif self._ws is not None:
            self._ws.ws.start_close()
            self._rearm(perf_counter() + 1.0)
        else:
            self._close_by = perf_counter() + 1.0
            self._rearm(perf_counter() + QUIET)

    def drop(self, reason: Reason, detail: str) -> None:
        """End at once; in the hub only."""
        self._end(Input.LOST, End(reason, detail))

    def _say_goodbye(self, now: float) -> None:
        polling = self._polling
        if polling is None or now >= self._close_by:
            self._end(Input.CLOSE, LEFT)
        else:
            self._rearm(self._close_by if polling.say_goodbye(now) else now + QUIET)

    def _gone(self) -> None:
        """The session ended while we were leaving: what is being posted still gets its answer."""
        if self._polling is not None and self._polling.posting:
            self._polling.pause()
        else:
            self._end(Input.CLOSE, LEFT)

    # The opening's listener.

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        self._listener.prepare(request, then)

    def on_generation(self, generation: Generation) -> None:
        self.requests.speak(generation)
        self._session.pinger = generation.pinger
        try:
            self._listener.speak(generation)
        except OptionError as error:
            self._end(Input.LOST, End("protocol error", str(error)))

    def on_suspicion(self, transport: str, report: Report | None) -> None:
        def told(complaint: str) -> None:
            if self._session.state is State.OPENING:
                if complaint:
                    self.on_lost(End("protocol error", complaint))
                elif report is not None:
                    report()

        diagnose(self.requests, transport, told)

    def on_opened(
        self,
        handshake: Handshake,
        others: list[Packet],
        line: HTTPConnection | None,
        ws: WebSocket | None,
    ) -> None:
        """The open packet came."""
        assert self._opening is not None
        self.transport = self._opening.transport
        if handshake.max_payload is not None:
            self.max_payload = float(handshake.max_payload)
        self._session.start_heartbeat(handshake.ping_interval, handshake.ping_timeout, perf_counter())
        self._fleet.recorder.connections.open(self.transport)
        self._rearm(self._session.next_check())
        generation = self.requests.generation
        if ws is not None:
            self._ws = WebSocketTransport(self.requests, self, ws)
        elif self.transport == "polling":
            self._polling = Polling(self.requests, self, self.max_payload, line)
        if generation.greeting:
            self._later(self._opening.start_websocket if self._polling is None else self._polling.poll)
            return
        upgradable = (
            generation.upgrade
            and self.transport == "polling"
            and "websocket" in self.requests.options.transports
            and "websocket" in handshake.upgrades
        )
        self._perform(Input.OPENED_UPGRADABLE if upgradable else Input.OPENED)
        for packet in others:
            self.on_packet(packet)
        if self._polling is not None:
            self._polling.go_on()

    def on_greeting(self, ws: WebSocket) -> None:
        self._ws = WebSocketTransport(self.requests, self, ws)

    # The listener of opening and transports.

    def on_heard(self) -> None:
        self._session.on_heard(perf_counter())

    def on_refused(self, status: int, body: bytes, transport: str) -> None:
        if self._closing:
            self._gone()
            return
        self.on_lost(refused(status, body, self.requests.refusal(status, body, transport)))

    def on_lost(self, end: End) -> None:
        self._end(Input.LOST, end)

    def on_polling_paused(self) -> None:
        if self._closing:
            self._end(Input.CLOSE, LEFT)
        else:
            self._perform(Input.POLLING_PAUSED)

    def on_goodbye(self) -> None:
        self._later(self._end, Input.CLOSE, LEFT)

    def on_drained(self) -> None:
        self._listener.on_drained()

    def overrun(self, detail: str) -> None:
        self._later(self.on_lost, End("limit", detail))

    def on_crash(self, error: BaseException) -> None:
        """A callback raised: a defect of this program ends this connection and spoils the run, no more."""
        self._fleet.crashed(error)
        self._end(Input.LOST, End("internal error", f"{type(error).__name__}: {error}"))

    # Upgrading.

    def _start_probe(self) -> None:
        asked = self.requests.asked
        assert asked is not None
        asked.transport = "websocket"
        self._upgrade = Upgrade(self.requests, self)
        self._listener.prepare(asked, self._probe_prepared)

    def _probe_prepared(self) -> None:
        if self._session.state is State.PROBING and self._upgrade is not None:
            self._upgrade.begin()

    def on_probe_answered(self) -> None:
        self._perform(Input.PROBE_ANSWERED)

    def on_probe_failed(self, reason: str) -> None:
        if self._upgrade is not None and self._session.state in (State.PROBING, State.PAUSING):
            reason = self.requests.discreet(reason)
            self._upgrade_failed(self._upgrade, reason)
            self._perform(Input.PROBE_FAILED)
            self._listener.on_drained()

    def _upgrade_failed(self, upgrade: Upgrade, reason: str) -> None:
        row = self.requests.row("UPGRADE", "websocket", error=ConnectError("upgrade", reason))
        row.fail(reason, perf_counter() - upgrade.asked)

    def _drop_probe(self) -> None:
        upgrade, self._upgrade = self._upgrade, None
        if upgrade is not None:
            upgrade.drop()

    def _switch(self) -> None:
        """The probe was answered and polling has come to rest: from now on the websocket is the transport."""
        polling, self._polling = self._polling, None
        upgrade, self._upgrade = self._upgrade, None
        assert polling is not None
        assert upgrade is not None
        ws = upgrade.hand_over()
        assert ws is not None
        self._ws = WebSocketTransport(self.requests, self, ws)
        self.transport = "websocket"
        queue = polling.take_queue()
        polling.close("upgraded")
        self._ws.send_packet(Packet(PacketType.UPGRADE, ""))
        for packets, _, receipt in queue:
            self._ws.take_over(packets, receipt)
        self.requests.row("UPGRADE", "websocket").add(perf_counter() - upgrade.asked)
        self._fleet.recorder.connections.upgrade("polling", "websocket")
        self._ws.shorten(self._receiver)
        self.requests.asked = None
        self._listener.on_drained()

    # Packets.

    def on_packet(self, packet: Packet) -> None:
        """One packet on the session's own transport."""
        kind = packet.type
        if kind == PacketType.OPEN:
            self.on_lost(End("protocol error", "a second open packet"))
            return
        given = _INPUTS.get(kind)  # type: ignore[call-overload]
        if given is None:
            self.on_lost(End("protocol error", f"unexpected packet of type {kind}"))
        elif given is Input.MESSAGE:
            self._take_message(packet.data)
        elif given is Input.CLOSE_PACKET:
            if self._closing:
                self._gone()
            else:
                self._end(given, End("server", "closed by the server"))
        else:
            self._perform(given)

    def _take_message(self, data: str | bytes) -> None:
        generation, state = self.requests.generation, self._session.state
        if generation.greeting and str(data).startswith(generation.unknown_session):
            self.on_lost(End("session unknown", "the server doesn't know the session"))
        elif self.is_open:
            self._receiver.on_message(data)
        elif state is State.OPENING and generation.greeting and str(data).startswith(generation.greeting):
            self._perform(Input.OPENED)
            self._receiver.on_message(data)
        elif state is not State.CLOSED:
            self.on_lost(End("protocol error", "a message before the open packet"))

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
                    if self._opening is not None:
                        self._opening.start()
                case Do.ANNOUNCE_OPEN:
                    self._opening = None
                    if self._ws is not None:
                        self._ws.shorten(self._receiver)
                    self._listener.on_open()
                    if self._ws is not None:
                        self.requests.asked = None
                case Do.BEAT:
                    self._beat(given)
                case Do.PROBE:
                    self._start_probe()
                case Do.PAUSE_POLLING:
                    if self._polling is not None:
                        self._polling.pause()
                case Do.SWITCH:
                    self._switch()
                case Do.DROP_PROBE:
                    self._drop_probe()
                case Do.RESUME_POLLING:
                    if self._polling is not None:
                        self._polling.resume()

    # Heartbeats.

    def _beat(self, given: Input) -> None:
        now = perf_counter()
        if given is Input.PONG:
            seconds = self._session.on_pong(now)
            if seconds is not None:
                self.requests.row("HEARTBEAT", "pong").add(seconds)
            self._rearm(self._session.next_check())
            return
        late = self._session.on_ping(now)
        self._send_engine(Packet(PacketType.PONG, ""))
        row = self.requests.row("HEARTBEAT", "ping")
        if self.requests.generation.pinger == "server":
            row.add(late)
        else:
            row.tick()

    def _send_engine(self, packet: Packet) -> None:
        carrier = self._carrier
        if carrier is not None:
            carrier.send_packet(packet)

    def _rearm(self, when: float) -> None:
        if when == INFINITY:
            return
        if self._timer is not None:
            if self._timer[2] is not None and self._timer[0] <= when:
                return  # it fires earlier and looks again
            self._fleet.deadlines.cancel(self._timer)
        self._timer = self._fleet.deadlines.at(when, self._due)

    def _due(self, now: float) -> None:
        self._guarded(self._check, now)

    def _check(self, now: float) -> None:
        self._timer = None
        if self._closing:
            self._say_goodbye(now)
            return
        asked = self._session.check(now)
        if asked == "missed":
            self._end(Input.HEARTBEAT_MISSED, End("ping timeout", "no heartbeat from the server in time"))
            return
        if asked == "ping":
            self._send_engine(Packet(PacketType.PING, ""))
        self._rearm(self._session.next_check())

    # Ending.

    def broken(self, error: ProtocolError) -> None:
        """The server broke the protocol."""
        if self._ws is not None:
            self._ws.ws.close(error.close_code)
        self.on_lost(End(error.kind, str(error)))

    def _end(self, given: Input, end: End) -> None:
        """Every end of a session comes through here, once."""
        before = self._session.state
        if before is State.CLOSED:
            return
        if self._closing and end.kind != "internal error":
            end = End(self._closing, "")  # however the goodbye went
        end = End(end.kind, self.requests.discreet(end.detail)[:200])
        self._session.step(given)
        self._session.state = State.CLOSED
        try:
            self._release(end)
        except BaseException as error:  # noqa: BLE001 - whoever waits for this connection must hear of its end
            self._fleet.crashed(error)
        self._listener.on_closed(end)

    def _release(self, end: End) -> None:
        """Let go of all that the session held, and count its end."""
        self._fleet.deadlines.cancel(self._timer)
        self._timer = None
        if self._upgrade is not None and end.kind != "client":
            self._upgrade_failed(self._upgrade, end.detail or end.kind)
        self._drop_probe()
        if self._opening is not None:
            self._opening.close(None if end.kind == "client" else end)
        polling, self._polling = self._polling, None
        ws, self._ws = self._ws, None
        if polling is not None:
            polling.close(end.kind)
        if ws is not None:
            ws.close(end.kind)
        if self.sid:
            self._fleet.recorder.connections.close(self.transport, end.kind)

    def _later(self, callback: Callable[..., None], *args: Any) -> None:
        self._fleet.later(self._guarded, callback, *args)

    def _guarded(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            callback(*args)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            self.on_crash(error)
