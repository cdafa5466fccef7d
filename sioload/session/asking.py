"""Opening one session: which requests are made for it, one after another.

With `version` "auto" an opening speaks whatever generation the answers show. While its server's is unknown
(`Finding.asks`) it also tries the other forms of handshake where an answer shows nothing:

- refused version, garbage or an end after a 101, a websocket's 403 without a word (ASGI servers): the other
  revision of Engine.IO
- closed without a byte, 404, 5xx, a page: the handshake of 0.9
- 3 s of silence: the same, beside the first request
- 404: before that, the path without its slash at the end (a fixed version tries it too), until both forms
  were tried in vain, or a session opened
- other 403s, 401, 407, 429: that user's own refusal; 502, 503, 504: nobody's, the server isn't there
- a websocket's open packet without `maxPayload` may be of 1.x to 3.x: nothing is sent for 1 s, in which old
  servers open "/" by themselves (a CONNECT of ours would run its handler again), and new ones say nothing

What comes of a fixed version that may be wrong, the listener is asked. The answers are read in
`sioload.session.opening`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from sioload.engineio.packet import Handshake, Packet
from sioload.engineio.urls import Request
from sioload.errors import ConnectError, End, ProtocolError, Stage
from sioload.measure.rows import Row
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import Stream
from sioload.net.websocket import WebSocket
from sioload.session.beside import Beside
from sioload.session.requests import Requests
from sioload.socketio.detect import accepts, leads_on, refuses_version, says_nothing
from sioload.socketio.generations import UNKNOWN_3, V0, V2, V4, Generation

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.dial import Dialler

#: Seconds after which a request without an answer may be one that the server doesn't understand.
SILENCE = 3.0

#: Tells the listener what failed.
Report = Callable[[], None]


class Finding(Protocol):
    """What becomes of what is learnt of the server's generation (`sioload.session.probe`)."""

    asks: bool

    def conclude(self, generation: Generation) -> None:
        """The server speaks this one."""

    def doubt(self) -> None:
        """The server may speak something else than what was known."""

    def release(self) -> None:
        """Nothing more will be learnt here."""


class Listener(Protocol):
    """Who wants the session. Called in the hub."""

    __slots__ = ()

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        """Let the user change a handshake's request, then call `then` in the hub."""

    def on_generation(self, generation: Generation) -> None:
        """The server is spoken to as this generation wants it from now on."""

    def on_suspicion(self, transport: str, report: Report | None) -> None:
        """The fixed version may be wrong; if it isn't, `report` tells what failed (None: nothing yet)."""

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


class Asking(ABC):
    """One request for a session after another, until one is answered; `Opening` reads the answers.

    Attributes:
        transport: what is asked for, or what the session opened on.
        stage: "dial", "tls" or "open": where it stands or failed.
        upgraded: the server accepted the websocket.
    """

    __slots__ = ("_asked", "_began", "_beside", "_dialler", "_finding", "_first", "_forms", "_held", "_line",
                 "_listener", "_name", "_over", "_requests", "_timer", "_ws", "stage", "transport",
                 "upgraded")  # fmt: skip

    def __init__(
        self, requests: Requests, listener: Listener, finding: Finding | None, name: str = ""
    ) -> None:
        """`name` replaces the row's; such a one tries no other forms."""
        self._requests = requests
        self._listener = listener
        self._finding = finding
        self._name = name
        self._forms = {"4", "3", "0"} if not name else set()
        self._first: Report | None = None
        self._began = requests.generation
        self.transport: str = requests.options.transports[0]
        self.stage: Stage = "dial"
        self._asked = 0.0
        self._over = False
        self.upgraded = False
        self._held: tuple[Handshake, list[str | bytes], float] | None = None  # and when it came
        self._timer: Timer | None = None
        self._dialler: Dialler | None = None
        self._line: HTTPConnection | None = None
        self._ws: WebSocket | None = None
        self._beside: Beside | None = None

    def start(self) -> None:
        """Ask for a session."""
        asked = self._requests.asked
        assert asked is not None
        asked.transport = self.transport
        self._listener.prepare(asked, self._prepared)

    def close(self, end: End | None) -> None:
        """Give it up; `end` is what became of the request, if one is under way and that counts."""
        self._over = True
        failure = "" if end is None else end.detail or end.kind
        if end is not None and self.stage == "open" and not self._requests.sid:
            row = self._row(error=ConnectError("open", failure, kind=end.kind))
            row.fail(failure, perf_counter() - self._asked, kind=end.kind)
        self._drop(failure)
        if self._finding is not None:
            self._finding.release()

    def _drop(self, failure: str = "") -> None:
        """Let go of the sockets; `failure` says what became of one that is still dialled."""
        self._requests.fleet.deadlines.cancel(self._timer)
        for held in (self._line, self._ws, self._beside):
            if held is not None:
                held.close()
        self._line = self._ws = self._beside = None
        if self._dialler is not None:
            self._dialler.cancel(failure)
            self._dialler = None

    def _row(self, size: int = 0, error: Exception | None = None) -> Row:
        requests = self._requests
        return requests.row("OPEN", self._name or requests.named(self.transport), size, error)

    def _prepared(self) -> None:
        if self._over:
            return
        form = form_of(self._requests.generation)
        self._forms.discard(form)
        if form == "0" or self.transport == "polling":
            self._dial(self._dialled)
        else:
            self._dial(self._dialled_websocket, True)

    def _dial(self, done: Callable[[Stream], None], websocket: bool = False) -> None:
        self._dialler = self._requests.dial(done, self._not_dialled, websocket)

    def _not_dialled(self, stage: Stage, reason: str) -> None:
        self._dialler = None
        self.stage = stage
        self._listener.on_lost(End("transport error", reason))

    def _begin(self) -> None:
        """The request for the session is about to be sent."""
        self._dialler = None
        self.upgraded = False
        if not self._requests.sid:
            self.stage = "open"
            self._asked = perf_counter()
            if self._wonders:
                self._wait(SILENCE, self._silent)

    def _wait(self, seconds: float, then: Callable[[float], None]) -> None:
        deadlines = self._requests.fleet.deadlines
        deadlines.cancel(self._timer)
        self._timer = deadlines.at(perf_counter() + seconds, then)

    # What `Opening` does: it reads what these lead to.

    @abstractmethod
    def _dialled(self, stream: Stream) -> None:
        """Ask over HTTP."""

    @abstractmethod
    def _dialled_websocket(self, stream: Stream) -> None:
        """Ask for a websocket."""

    @abstractmethod
    def on_response(self, line: HTTPConnection, response: Response) -> None:
        """An answer over HTTP came."""

    # What answers show.

    def _speak(self, generation: Generation) -> None:
        if generation is not self._requests.generation:
            self._listener.on_generation(generation)

    def _learn(self, spoken: Generation) -> None:
        """The server showed what it speaks; who knows the version (no finding) wasn't asking."""
        if self._finding is None:
            return
        if not accepts(self._requests.generation, spoken) or spoken.eio is None:
            self._speak(spoken)
        self._finding.conclude(self._requests.generation)

    def _failed(self, report: Report, form: str, sure: bool = False) -> None:
        """Nothing was opened, and `form` may be what the server wants; `sure`: the answer says so."""
        if self._requests.sid:  # 0.9 has given the session: only its transport isn't to be had
            report()
            return
        finding = self._finding
        if finding is None:
            # Python's servers accept, and close, websockets of another revision, and switched off ones; those
            # of Engine.IO 3 poll in any case.
            polls = form == "0" or (form == "3" and not sure)
            self._listener.on_suspicion("polling" if polls else self.transport, report)
            return
        if self._first is None:
            self._first, self._began = report, self._requests.generation
        fits = form != "0" or self._requests.options.parser == "json"  # 0.9 has no other
        if form in self._forms and (sure or (finding.asks and fits)):
            self._ask(form)
        else:
            finding.doubt()
            self._speak(self._began)
            self._first()

    def _ask(self, form: str) -> None:
        """Try another form."""
        self._count()
        if form == "3":
            self._speak(V2 if self.transport == "polling" else UNKNOWN_3)
        else:
            self._speak(V4 if form == "4" else V0)
        self._again()

    def _again(self) -> None:
        """The same request goes out as it has to be now, on another connection."""
        self._drop()
        self.stage = "dial"
        self._prepared()

    def _count(self) -> None:
        """The request served to find the generation."""
        row = self._requests.row("OPEN", "(probe)")
        row.add(perf_counter() - self._asked)

    @property
    def _wonders(self) -> bool:
        """Whether it isn't known, but at most thought, what the server speaks."""
        return self._finding is None or self._finding.asks

    def _moved(self, status: int, headers: list[tuple[str, str]]) -> bool:
        """Whether the answer sends us elsewhere, and we go."""
        if self._over or self._requests.sid or not self._requests.follow(status, headers):
            return False
        self._again()
        return True

    def _refused(self, status: int, body: bytes, transport: str) -> None:
        if status == 404 and not self._requests.sid and self._requests.try_without_slash():
            self._count()
            self._again()
            return
        report = partial(self._listener.on_refused, status, body, transport)
        form = form_of(self._requests.generation)
        if refuses_version(status, body) and form != "0":
            self._failed(report, other_revision(form), sure=True)
        elif transport == "websocket" and says_nothing(status, body) and self._wonders and form != "0":
            self._failed(report, other_revision(form))
        elif leads_on(status, body) and self._finding is not None:
            self._failed(report, "4" if form == "0" else "0")
        elif form == "0" and status == 400:  # some Engine.IO answers
            self._failed(report, "4")
        else:
            report()

    def _silent(self, now: float) -> None:
        """No answer so far."""
        asks = self._finding is not None and self._finding.asks
        form = form_of(self._requests.generation)
        if self.upgraded:
            if self._finding is None:
                self._listener.on_suspicion("websocket" if form == "3" else "polling", None)
            elif asks and form == "3":
                lost = partial(self._listener.on_lost, End("timeout", f"no open packet in {SILENCE:g} s"))
                self._failed(lost, "4")
        elif asks and form != "0" and "0" in self._forms:
            self._forms.discard("0")
            self._beside = Beside(self._requests, self._answered_beside)

    def _answered_beside(self, line: HTTPConnection, response: Response, asked: float) -> None:
        """0.9's handshake was answered while the first request is not: the session is open by that."""
        self._count()
        self._beside = None
        self._drop()
        self._speak(V0)
        self._asked = asked
        self._line = line
        self.on_response(line, response)

    def _opened(self, handshake: Handshake, others: list[Packet], size: int) -> None:
        if self._over:
            return
        requests = self._requests
        requests.fleet.deadlines.cancel(self._timer)
        requests.sid = handshake.sid
        requests.found()
        self._row(size).add(perf_counter() - self._asked)
        if self._beside is not None:
            self._beside.close()
            self._beside = None
        line, self._line = self._line, None
        ws, self._ws = self._ws, None
        if line is not None and (requests.options.handshake_url or requests.generation.greeting):
            line.close()  # the session is elsewhere, or on a transport of its own
            line = None
        self._listener.on_opened(handshake, others, line, ws)


def form_of(generation: Generation) -> str:
    """Which handshake it is that asks for a session."""
    return generation.eio or "0"


def other_revision(form: str) -> str:
    """The handshake in the other revision of Engine.IO than that of `form`."""
    return "4" if form == "3" else "3"
