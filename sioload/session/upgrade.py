"""The upgrade of one session from polling to websocket, from its dialling to the switch.

Source: Engine.IO protocol, section "Upgrade".
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from sioload.engineio.packet import Packet, PacketType
from sioload.engineio.urls import Request
from sioload.errors import ConnectError, End, ProtocolError, Reason, Stage
from sioload.net.stream import Stream
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import WebSocket
from sioload.session.requests import Requests
from sioload.socketio.detect import upgrade_refusal

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.dial import Dialler


class Listener(Protocol):
    """The session that is upgraded. Called in the hub."""

    __slots__ = ()

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        """Let the user change a handshake's request, then call `then` in the hub."""

    def on_probe_answered(self) -> None:
        """The second transport works."""

    def on_probe_failed(self, reason: str) -> None:
        """The session goes on as it is."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised."""


class Upgrade(FrameListener):
    """The probe on a second transport. It tells its listener of a right answer, or why none came."""

    __slots__ = ("_asked", "_deadline", "_dialler", "_listener", "_over", "_requests", "_ws")

    def __init__(self, requests: Requests, listener: Listener) -> None:
        self._requests = requests
        self._listener = listener
        self._deadline: Timer | None = None
        self._over = False
        self._dialler: Dialler | None = None
        self._ws: WebSocket | None = None
        self._asked = perf_counter()

    def start(self) -> None:
        """Let the user have a look at the request, then dial."""
        asked = self._requests.asked
        assert asked is not None
        asked.transport = "websocket"
        self._listener.prepare(asked, self._prepared)

    def count(self) -> None:
        """The switch is complete."""
        self._requests.row("UPGRADE", "websocket").add(perf_counter() - self._asked)

    def fail(self, reason: str, kind: Reason = "transport error") -> None:
        """It came to nothing."""
        reason = self._requests.discreet(reason)
        error = ConnectError("upgrade", reason, kind=kind)
        self._requests.row("UPGRADE", "websocket", error=error).fail(
            reason, perf_counter() - self._asked, kind=kind
        )

    def _prepared(self) -> None:
        if self._over:
            return
        requests = self._requests
        self._asked = perf_counter()
        until = self._asked + requests.options.connect_timeout
        self._deadline = requests.fleet.deadlines.at(until, self._timed_out)
        self._dialler = requests.dial(self._dialled, self._not_dialled, True)

    def drop(self) -> None:
        """Give it up. The listener hears nothing of it."""
        ws = self.hand_over()
        if ws is not None:
            ws.close()
        dialler, self._dialler = self._dialler, None
        if dialler is not None:
            dialler.cancel()

    def hand_over(self) -> WebSocket | None:
        """The websocket, which isn't this object's any more."""
        self._over = True
        self._requests.fleet.deadlines.cancel(self._deadline)
        self._deadline = None
        ws, self._ws = self._ws, None
        return ws

    def _dialled(self, stream: Stream) -> None:
        self._dialler = None
        self._ws = self._requests.websocket(stream, self)

    def _not_dialled(self, stage: Stage, reason: str) -> None:
        self._dialler = None
        self._listener.on_probe_failed(f"{stage}: {reason}")

    def _timed_out(self, now: float) -> None:
        seconds = self._requests.options.connect_timeout
        self._listener.on_probe_failed(f"no answer to the probe in {seconds:g} s")

    # The websocket's listener.

    def on_ws_open(self, ws: WebSocket) -> None:
        self._requests.keep_cookies(ws.response_headers)
        ws.send([self._requests.encode(Packet(PacketType.PING, "probe"))])

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        try:
            packet = self._requests.decode(frame)
        except ProtocolError as error:
            self._listener.on_probe_failed(str(error))
            return
        if packet.type == PacketType.PONG and packet.data == "probe":
            self._listener.on_probe_answered()
        else:
            self._listener.on_probe_failed("wrong answer to the probe")

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        if ws is self._ws:
            if status:
                self._requests.keep_cookies(ws.response_headers)
            told = self._requests.shown(body)
            self._listener.on_probe_failed(upgrade_refusal(status, told) if status else end.detail)

    def on_ws_drained(self, ws: WebSocket) -> None:
        """Nothing but the probe was written."""

    def on_crash(self, error: BaseException) -> None:
        self._listener.on_crash(error)
