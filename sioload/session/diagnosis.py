"""Why a fixed `version` doesn't work: one request per server and process tells what the server speaks."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from sioload.engineio.packet import Handshake, Packet, PacketType
from sioload.engineio.urls import Request
from sioload.errors import End, ProtocolError
from sioload.net.http import HTTPConnection, Response
from sioload.net.websocket import WebSocket
from sioload.session.asking import Listener, Report
from sioload.session.opening import Opening
from sioload.session.probe import server_key
from sioload.session.requests import Requests
from sioload.socketio.detect import accepts, refuses_version, wrong_version
from sioload.socketio.generations import UNKNOWN_3, V4, Generation

#: Seconds that the request may take.
ANSWER = 4.0


def diagnose(failed: Requests, transport: str, told: Callable[[str], None]) -> None:
    """Call `told(complaint)` once it is known what is wrong with the version, "" if nothing is."""
    fleet, wanted = failed.fleet, failed.generation
    key = server_key(failed.endpoint, failed.options)

    def judge(spoken: Generation | None) -> None:
        told(wrong_version(spoken) if spoken is not None and not accepts(wanted, spoken) else "")

    if key in fleet.diagnoses:
        judge(fleet.diagnoses[key])
    elif key in fleet.diagnosing:
        fleet.diagnosing[key].append(judge)
    else:
        fleet.diagnosing[key] = [judge]
        _Diagnosis(failed, transport, key).start()


def doubtful(requests: Requests, transport: str) -> bool:
    """Whether an open packet doesn't tell that a fixed version is right: 3.0 opens websockets of either
    revision of Engine.IO, and waits for a CONNECT then, as clients of 1.x and 2.x do."""
    fixed = requests.options.version != "auto"
    return fixed and transport == "websocket" and requests.generation.eio == "3"


def works(requests: Requests, opened: str = "") -> None:
    """A session opened on a transport ("": and is used), so a version that is fixed is right: nobody asks any
    more, whatever comes."""
    if requests.options.version != "auto" and not doubtful(requests, opened):
        requests.fleet.diagnoses[server_key(requests.endpoint, requests.options)] = requests.generation


class _Diagnosis(Listener):
    """A request for a session without anything of the script's; it ends as soon as it was answered.

    It is also the `Finding` of its opening.
    """

    def __init__(self, failed: Requests, transport: str, key: object) -> None:
        self.asks = True
        self._key = key
        fleet, at = failed.fleet, failed.endpoint
        options = failed.options.but(transports=(transport,), base64=False)
        self._requests = Requests(fleet, options, V4, at, Request(at, transport, {}, {}, {}, True))
        self._opening = Opening(self._requests, self, self, "(probe)")
        self._spoken: Generation | None = None
        self._over = False
        self._deadline: Any = None

    def start(self) -> None:
        """Ask."""
        self._deadline = self._requests.fleet.deadlines.at(perf_counter() + ANSWER, self._timed_out)
        self._opening.start()

    def _timed_out(self, now: float) -> None:
        self._end(None, End("timeout", "timed out"))

    def _end(self, spoken: Generation | None, end: End | None = None) -> None:
        if self._over:
            return
        self._over = True
        fleet = self._requests.fleet
        fleet.deadlines.cancel(self._deadline)
        self._opening.close(end)
        fleet.diagnoses[self._key] = spoken
        for judge in fleet.diagnosing.pop(self._key):
            fleet.later(judge, spoken)

    # The finding.

    def conclude(self, generation: Generation) -> None:
        self._spoken = generation

    def doubt(self) -> None:
        pass

    def release(self) -> None:
        pass

    # The opening's listener.

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        then()

    def on_generation(self, generation: Generation) -> None:
        self._requests.speak(generation)

    def on_suspicion(self, transport: str, report: Report | None) -> None:
        raise AssertionError("no version is fixed")

    def on_opened(
        self, handshake: Handshake, others: list[Packet], line: HTTPConnection | None, ws: WebSocket | None
    ) -> None:
        if ws is not None:
            ws.close()
        if line is not None and line.alive:  # leave no session behind that the server would have to time out
            line.handler = self
            line.request(self._requests.post([Packet(PacketType.CLOSE, "")]))
            self._end(self._spoken)
            fleet = self._requests.fleet
            self._deadline = fleet.deadlines.at(perf_counter() + ANSWER, lambda now: line.close())
        else:
            self._end(self._spoken)

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        self._requests.fleet.deadlines.cancel(self._deadline)
        line.close()

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        self._requests.fleet.deadlines.cancel(self._deadline)

    def on_greeting(self, ws: WebSocket) -> None:
        raise AssertionError("0.9 isn't asked for")

    def on_packet(self, packet: Packet) -> None:
        pass

    def on_refused(self, status: int, body: bytes, transport: str) -> None:
        end = End("transport error", f"HTTP {status}")
        self._end(UNKNOWN_3 if refuses_version(status, body) else None, end)

    def on_lost(self, end: End) -> None:
        # python-socketio 4 accepts the websocket of another revision, and closes it.
        closed = self._opening.upgraded and end.kind not in ("protocol error", "limit")
        self._end(UNKNOWN_3 if closed else None, end)

    def broken(self, error: ProtocolError) -> None:
        end = None if self._spoken is not None else End("protocol error", str(error))
        self._end(self._spoken, end)

    def on_crash(self, error: BaseException) -> None:
        self._requests.fleet.crashed(error)
        self._end(None, End("internal error", "internal error"))
