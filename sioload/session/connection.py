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
from sioload.errors import End, OptionError, ProtocolError, Reason, Stage, in_words
from sioload.net.guard import guarded
from sioload.net.http import HTTPConnection
from sioload.net.websocket import MessageHandler, WebSocket
from sioload.session.asking import Finding, Report
from sioload.session.asking import Listener as OpeningListener
from sioload.session.carriers import Carriers
from sioload.session.diagnosis import diagnose, works
from sioload.session.ends import refused
from sioload.session.heartbeat import Heartbeat
from sioload.session.heartbeat import Listener as HeartbeatListener
from sioload.session.opening import Opening
from sioload.session.polling import QUIET, Polling
from sioload.session.polling import Listener as PollingListener
from sioload.session.requests import Requests
from sioload.session.upgrade import Listener as UpgradeListener
from sioload.session.upgrade import Upgrade
from sioload.session.websocket import WebSocketTransport
from sioload.socketio.generations import Generation

INFINITY = float("inf")

#: We have left, in order.
LEFT: Final = End("client", "")

_LIVE: Final = (State.OPEN, State.PROBING, State.PAUSING)
_UPGRADING: Final = (State.PROBING, State.PAUSING)
_INPUTS: Final[dict[int, Input]] = {
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


class Connection(Carriers, OpeningListener, PollingListener, UpgradeListener, HeartbeatListener):
    """One session from its first request to its end.

    Attributes:
        requests: where its requests go, and with what.
        stage: where an attempt failed: "dial", "tls" or "open".
        transport: "polling" or "websocket", what messages are sent on now.
        max_payload: bytes that the server takes in one body or message, infinite when it doesn't say.
    """

    __slots__ = ("_close_by", "_fleet", "_goodbye", "_heartbeat", "_listener", "_opening", "_receiver",
                 "_session", "_upgrade", "max_payload", "requests", "stage", "transport")  # fmt: skip

    def __init__(
        self, requests: Requests, listener: Listener, receiver: MessageHandler, finding: Finding | None
    ) -> None:
        super().__init__()
        self.requests = requests
        self.stage: Stage = "open"
        self.transport = requests.options.transports[0]
        self.max_payload: float = INFINITY
        self._fleet = requests.fleet
        self._listener = listener
        self._receiver = receiver
        self._session = Session(requests.generation.pinger)
        self._opening: Opening | None = Opening(requests, self, finding)
        self._upgrade: Upgrade | None = None
        self._heartbeat = Heartbeat(requests, self._session, self)
        self._goodbye: Reason = "client"
        self._close_by = 0.0

    # For the layer above.

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._session.state in _LIVE

    @property
    def upgrading(self) -> bool:
        """Whether a second transport is being tried."""
        return self._session.state in _UPGRADING

    @property
    def sid(self) -> str:
        """The session's id, "" before it is open."""
        return self.requests.sid

    def speak(self, generation: Generation) -> None:
        """Take and send packets as this generation does from now on."""
        self.requests.speak(generation)
        if self._ws is not None and self._ws.direct:
            self._ws.shorten(self._receiver)

    def start(self) -> None:
        """Ask for a session."""
        self._perform(Input.START)

    def close(self, reason: Reason = "client") -> None:
        """Leave politely: say goodbye, take in what the server still sends, then end with a reason.

        Safe to call from a user's greenlet; `on_closed` follows in the hub.
        """
        if self._session.state not in (State.CLOSING, State.CLOSED):
            self._goodbye = reason
            self._perform(Input.GOODBYE)

    def drop(self, reason: Reason, detail: str) -> None:
        """End at once; in the hub only."""
        self._end(End(reason, detail))

    def say_goodbye(self, now: float) -> None:
        if now >= self._close_by:
            self._end(LEFT)
        else:
            said = self._polling is None or self._polling.say_goodbye(now)
            self._heartbeat.rearm(self._close_by if said else now + QUIET)

    # The opening's listener.

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        self._listener.prepare(request, then)

    def on_generation(self, generation: Generation) -> None:
        self._session.pinger = generation.pinger
        try:
            self.requests.speak(generation)  # which raises too where it is followed
            self._listener.speak(generation)
        except OptionError as error:
            self._end(End("protocol error", str(error)))

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
        works(self.requests, self.transport)
        self._heartbeat.rearm(self._session.next_check())
        generation = self.requests.generation
        if ws is not None:
            self._ws = WebSocketTransport(self.requests, self, ws)
        elif self.transport == "polling":
            self._polling = Polling(self.requests, self, self.max_payload, line)
        if generation.greeting:
            self._later(self._opening.start_websocket if self._polling is None else self._polling.go_on)
            return
        upgradable = self.requests.upgradable(self.transport, handshake)
        self._perform(Input.OPENED_UPGRADABLE if upgradable else Input.OPENED)
        for packet in others:
            self.on_packet(packet)
        if self._polling is not None:
            self._polling.go_on()

    def on_greeting(self, ws: WebSocket) -> None:
        self._ws = WebSocketTransport(self.requests, self, ws)

    # The listener of opening, transports and heartbeat.

    def on_heard(self) -> None:
        self._session.on_heard(perf_counter())

    def on_refused(self, status: int, body: bytes, transport: str) -> None:
        if self._session.state is State.CLOSING:
            self._perform(Input.CLOSE_PACKET)
            return
        self.on_lost(refused(status, body, self.requests.refusal(status, body, transport)))

    def on_lost(self, end: End) -> None:
        self._end(end)

    def on_polling_paused(self) -> None:
        self._perform(Input.POLLING_PAUSED)

    def on_drained(self) -> None:
        self._listener.on_drained()

    def on_crash(self, error: BaseException) -> None:
        """A callback raised: a defect of this program ends this connection and spoils the run, no more."""
        self._fleet.crashed(error)
        self._end(End("internal error", in_words(error)))

    # Upgrading.

    def on_probe_answered(self) -> None:
        self._perform(Input.PROBE_ANSWERED)

    def on_probe_failed(self, reason: str) -> None:
        if self._upgrade is not None and self.upgrading:  # a probe ends with a session that this side leaves
            self._upgrade.fail(reason)
            self._perform(Input.PROBE_FAILED)
            self._listener.on_drained()

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
        for packets, receipt in queue:
            self._ws.take_over(packets, receipt)
        upgrade.count()
        self._fleet.recorder.connections.upgrade("polling", "websocket")
        self._ws.shorten(self._receiver)
        self.requests.let_go()
        self._listener.on_drained()

    # Packets.

    def on_packet(self, packet: Packet) -> None:
        """One packet on the session's own transport."""
        kind = packet.type
        given = _INPUTS.get(kind)
        if given is None:
            what = "a second open packet" if kind == PacketType.OPEN else f"unexpected packet of type {kind}"
            self.on_lost(End("protocol error", what))
        elif given is Input.MESSAGE:
            self._take_message(packet.data)
        elif given is Input.CLOSE_PACKET and self._session.state is not State.CLOSING:
            self._end(End("server", "closed by the server"), given)
        else:
            self._perform(given)

    def _take_message(self, data: str | bytes) -> None:
        generation, state = self.requests.generation, self._session.state
        if generation.greeting and str(data).startswith(generation.unknown_session):
            self.on_lost(End("session unknown", "the server doesn't know the session"))
        elif self.is_open or state is State.CLOSING:
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
                        self.requests.let_go()
                case Do.BEAT:
                    self._heartbeat.beat(given)
                case Do.PROBE:
                    self._upgrade = Upgrade(self.requests, self)
                    self._upgrade.start()
                case Do.PAUSE_POLLING:
                    if self._polling is not None:
                        self._polling.pause()
                case Do.SWITCH:
                    self._switch()
                case Do.DROP_PROBE:
                    upgrade, self._upgrade = self._upgrade, None
                    if upgrade is not None:
                        upgrade.drop()
                case Do.RESUME_POLLING:
                    if self._polling is not None:
                        self._polling.resume()
                case Do.SAY_GOODBYE:
                    self._close_by = perf_counter() + 1.0
                    if self._ws is not None:
                        self._ws.ws.start_close()
                    elif self._polling is not None:
                        self._polling.ending = True
                    self._heartbeat.rearm(self._close_by if self._ws else perf_counter() + QUIET)
                case Do.FINISH:
                    self._later(self._end, LEFT)
                case Do.FINISH_POSTS:
                    # The session is gone at the server: what is being posted still gets its answer.
                    if self._polling is not None and self._polling.posting:
                        self._polling.pause()
                    else:
                        self._end(LEFT)

    # Ending.

    def broken(self, error: ProtocolError) -> None:
        """The server broke the protocol."""
        if self._ws is not None:
            self._ws.ws.close(error.close_code)
        self.on_lost(End(error.kind, str(error)))

    def _end(self, end: End, given: Input = Input.ENDED) -> None:
        """Every end of a session comes through here, once."""
        before = self._session.state
        if before is State.CLOSED:
            return
        if before is State.CLOSING and end.kind != "internal error":
            end = End(self._goodbye, "")  # however the goodbye went
        end = End(end.kind, self.requests.discreet(end.detail)[:200])
        self._session.step(given)
        guarded(self._fleet.crashed, self._release, end)  # whoever waits for this connection hears of its end
        self._listener.on_closed(end)

    def _release(self, end: End) -> None:
        """Let go of all that the session held, so that nothing of it waits for the collector, and count."""
        self._heartbeat.stop()
        upgrade, self._upgrade = self._upgrade, None
        if upgrade is not None:
            if end.kind not in ("client", "dropped") and end.detail:  # a goodbye of our own has no detail
                upgrade.fail(end.detail, end.kind)
            upgrade.drop()
        opening, self._opening = self._opening, None
        if opening is not None:
            self.stage = opening.stage
            opening.close(None if end.kind == "client" else end)
        polling, self._polling = self._polling, None
        ws, self._ws = self._ws, None
        lost = "the client left" if end.kind == "client" else f"connection lost: {end.kind}"
        for carrier in (polling, ws):
            if carrier is not None:
                carrier.close(lost)
        if self.sid:
            self._fleet.recorder.connections.close(self.transport, end.kind)

    def _later(self, callback: Callable[..., None], *args: Any) -> None:
        self._fleet.later(guarded, self.on_crash, callback, *args)
