"""Finding out which generation a server speaks: one probe for a process and a server, shared by all users.

A polling GET tells (`sioload.socketio.detect`). Where polling is switched off, a websocket tells: old servers
open "/" by themselves and answer a ping, new ones do neither. With a fixed version the probe looks only
whether it is the right one: some wrong ones would seem to work, and others would get no answer at all. A
probe that finds nothing leaves it to the attempt to name the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sioload.engineio.packet import Packet, PacketType
from sioload.engineio.urls import Endpoint, Request, parse_url
from sioload.errors import End, ProtocolError, Stage
from sioload.net.dial import Dialler
from sioload.net.http import HTTPConnection, Response, request
from sioload.net.stream import Stream
from sioload.net.websocket import WebSocket
from sioload.options import Options
from sioload.socketio.detect import accepts, identify, refuses_transport, refuses_version, wrong_version
from sioload.socketio.generations import UNKNOWN_3, V4, VERSIONS, Generation

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet

#: Called with the generation to speak, and with what is wrong about it ("" if nothing is).
Found = Callable[[Generation, str], None]

#: Seconds that a probe may take.
PATIENCE = 3.0
#: Seconds after which a websocket that was silent for so long will tell nothing.
SILENCE = 1.0


def find_generation(fleet: Fleet, endpoint: Endpoint, options: Options, found: Found) -> None:
    """Call `found(generation, complaint)`, at once when it is known; a complaint ends the attempt."""
    at = _opening(endpoint, options)
    key = _key(at, options)
    known = fleet.generations.get(key)
    if known is not None:
        found(known, "")
    elif key in fleet.probes:
        fleet.probes[key].append(found)
    else:
        fleet.probes[key] = [found]
        try:
            _Probe(fleet, at, options)
        except BaseException:
            del fleet.probes[key]  # or all who come later would wait for it
            raise


def remember_generation(fleet: Fleet, endpoint: Endpoint, options: Options, generation: Generation) -> None:
    """A server turned out to speak this one exactly."""
    fleet.generations[_key(_opening(endpoint, options), options)] = generation


def doubt_generation(fleet: Fleet, endpoint: Endpoint, options: Options) -> None:
    """A session couldn't be opened, perhaps because the server speaks something else now: probe next time."""
    key = _key(_opening(endpoint, options), options)
    known = fleet.generations.pop(key, None)
    if known is not None:
        fleet.former[key] = known


def _opening(endpoint: Endpoint, options: Options) -> Endpoint:
    return parse_url(options.handshake_url) if options.handshake_url else endpoint


def _key(endpoint: Endpoint, options: Options) -> tuple[Any, ...]:
    return endpoint.tls, endpoint.host, endpoint.port, endpoint.path, options.version


class _Probe:
    """One probe: over polling, if need be with the other revision of Engine.IO, then over a websocket."""

    def __init__(self, fleet: Fleet, endpoint: Endpoint, options: Options) -> None:
        self._fleet = fleet
        self._endpoint = endpoint
        self._options = options
        self._wanted = None if options.version == "auto" else VERSIONS[options.version]
        self._eio: str = self._wanted.eio if self._wanted is not None and self._wanted.eio else "4"
        self._turned = self._opened = self._answered = False
        self._silence: Any = None
        self._asked = perf_counter()
        self._line: HTTPConnection | None = None
        self._ws: WebSocket | None = None
        patience = min(PATIENCE, options.connect_timeout / 2)
        self._deadline = fleet.deadlines.at(self._asked + patience, self._timed_out)
        self._dialler: Dialler | None = None
        self._dial(self._dialled)

    def _dial(self, done: Callable[[Stream], None]) -> None:
        at = self._endpoint
        dialler = Dialler(self._fleet, at.host, at.port, self._options, at.tls, done, self._not_dialled)
        self._dialler = dialler

    def _request(self, transport: str) -> tuple[str, list[tuple[str, str]]]:
        """Target and headers of a request for a session."""
        options, at = self._options, self._endpoint
        asked = Request(at, transport, options.headers, options.query, options.cookies, options.encode_query)
        return asked.target(at, [("EIO", self._eio), ("transport", transport)]), asked.header_list(at)

    # Over polling.

    def _dialled(self, stream: Stream) -> None:
        self._dialler = None
        self._line = HTTPConnection(stream, self, self._options.limits)
        self._line.request(request("GET", *self._request("polling")))

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        if self._answered:  # the session of the probe is closed
            self._stop()
            return
        status, body = response.status, response.body
        generation = identify(status, body)
        if generation is not None:
            self._close_session(line, generation, body)
            self._done(generation)
        elif refuses_version(status, body) and self._turn():
            line.close()
            self._dial(self._dialled)
        elif refuses_transport(status, body) and "websocket" in self._options.transports:
            line.close()
            self._dial(self._dialled_websocket)
        else:
            self._done(None)

    def _turn(self) -> bool:
        """Ask with the other revision of Engine.IO next, once."""
        if self._turned:
            return False
        self._turned = True
        self._eio = "3" if self._eio == "4" else "4"
        return True

    def _close_session(self, line: HTTPConnection, generation: Generation, body: bytes) -> None:
        """Leave no session behind that the server would have to time out."""
        if generation.eio is None or not line.alive:
            return
        try:
            opened = generation.decode_payload(body, self._options.limits)[0]
            sid = generation.parse_handshake(str(opened.data)).sid
        except ProtocolError:
            return
        payload, content_type = generation.encode_payload([Packet(PacketType.CLOSE, "")], False)
        target, headers = self._request("polling")
        headers.append(("Content-Type", content_type))
        line.request(request("POST", f"{target}&sid={quote(sid, safe='')}", headers, payload))

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        self._failed()

    # Over websocket.

    def _dialled_websocket(self, stream: Stream) -> None:
        self._dialler = None
        self._ws = WebSocket(stream, self, *self._request("websocket"), self._options.limits)
        self._silence = self._fleet.deadlines.at(perf_counter() + SILENCE, self._silent)

    def on_ws_open(self, ws: WebSocket) -> None:
        pass

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        if frame in ("40", "3"):
            self._done(UNKNOWN_3)
        elif isinstance(frame, str) and frame.startswith("0{"):
            self._opened = True
            if self._eio == "4" and '"maxPayload"' in frame:
                self._done(V4)
            else:
                ws.send("2")  # only servers of Engine.IO 3 answer a ping; others ignore it or end the session

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        self._silent(0.0)

    def _silent(self, now: float) -> None:
        """The websocket told nothing, or no more."""
        self._fleet.deadlines.cancel(self._silence)
        if self._ws is not None:
            self._ws.close()
        if self._opened:
            self._done(V4)
        elif self._turn():
            self._dial(self._dialled_websocket)
        else:
            self._failed()

    def on_ws_drained(self, ws: WebSocket) -> None:
        pass

    # Ending.

    def on_crash(self, error: BaseException) -> None:
        self._fleet.crashed(error)
        self._failed()

    def _not_dialled(self, stage: Stage, reason: str) -> None:
        self._dialler = None
        self._failed(reached=False)

    def _timed_out(self, now: float) -> None:
        self._failed()

    def _failed(self, reached: bool = True) -> None:
        """Nothing was learnt. A fixed version is then taken at its word, by the users who come later too."""
        if self._wanted is not None and reached:
            self._fleet.generations[_key(self._endpoint, self._options)] = self._wanted
        self._answer(self._default(), "")
        self._stop()

    def _default(self) -> Generation:
        """What to speak when the probe found nothing."""
        return self._wanted or self._fleet.former.get(self._key()) or V4

    def _key(self) -> tuple[Any, ...]:
        return _key(self._endpoint, self._options)

    def _done(self, generation: Generation | None) -> None:
        """The server gave an answer."""
        wanted = self._wanted
        if generation is not None:
            self._fleet.recorder.row("OPEN", "(probe)").add(perf_counter() - self._asked)
        complaint = ""
        if wanted is not None and generation is not None and not accepts(wanted, generation):
            complaint = wrong_version(generation)
        elif wanted is not None or generation is not None:
            self._fleet.generations[self._key()] = wanted or generation or V4
        self._answer(wanted or generation or self._default(), complaint)
        if self._line is None or not self._line.busy:
            self._stop()

    def _answer(self, generation: Generation, complaint: str) -> None:
        if self._answered:
            return
        self._answered = True
        for found in self._fleet.probes.pop(self._key(), []):
            try:
                found(generation, complaint)
            except BaseException as error:  # noqa: BLE001 - one user's fault must not reach the others
                self._fleet.crashed(error)

    def _stop(self) -> None:
        self._fleet.deadlines.cancel(self._deadline)
        self._fleet.deadlines.cancel(self._silence)
        if self._dialler is not None:
            self._dialler.cancel()
        for connection in (self._line, self._ws):
            if connection is not None:
                connection.close()
