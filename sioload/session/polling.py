"""The long-polling transport: one GET always waiting, one POST at a time, on kept-alive connections.

Everything runs in the hub; there is no greenlet behind a poll.
Source: Engine.IO protocol, section "HTTP long-polling".
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from sioload.engineio.packet import MESSAGE, Packet, PacketType
from sioload.errors import End, Outcome, ProtocolError, Refused, Stage
from sioload.net.dial import Dialler
from sioload.net.guard import guarded
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import Stream
from sioload.session.backlog import Backlog
from sioload.session.requests import Requests
from sioload.session.transport import Listener as TransportListener
from sioload.session.transport import Receipt

#: Packets of one POST. python-engineio closes a session that posts more than 16 at once; it answers `OK`, so
#: that another answer to the first POST lifts the limit.
FEW, PACKETS = 16, 10_000
#: Bytes that a packet has beside its data in the framings of Engine.IO 3, which tell its length; 2 in 4's.
LENGTHS = 12
#: Answers to the server (pongs, acks) that may wait while it doesn't take them.
ANSWERS = 10_000
#: Polling is quiet when no GET brought anything for so long, in seconds.
QUIET = 0.05


class Listener(TransportListener, Protocol):
    """The session above this transport. Called in the hub."""

    __slots__ = ()

    def on_heard(self) -> None:
        """A poll was answered."""

    def on_polling_paused(self) -> None:
        """After `Polling.pause`, or after the close packet: nothing is under way any more."""


class Polling:
    """The polling transport of one session.

    Attributes:
        max_payload: bytes that the server takes in one body, infinite when it doesn't say.
        last_heard: when a response came last that brought something.
        pausing: no new GET starts; `on_polling_paused` follows once nothing is under way.
        ending: the session waits to say goodbye; a second GET in a row that brings nothing is the last.
    """

    __slots__ = ("_backlog", "_batch", "_before", "_dialling", "_dials", "_get", "_leaving", "_listener",
                 "_most", "_nothing", "_on_air", "_patience", "_post", "_requests", "closed", "ending",
                 "last_heard", "max_payload", "pausing")  # fmt: skip

    def __init__(
        self, requests: Requests, listener: Listener, max_payload: float, line: HTTPConnection | None
    ) -> None:
        self._requests = requests
        self._patience = requests.patience()
        self._listener = listener
        self.max_payload = max_payload
        self._get = line
        if line is not None:
            line.handler = self
        self._post: HTTPConnection | None = None
        self._before: End | None = None  # why the last GET had to go out again
        self._dialling = False  # a connection for the next GET
        self._dials: list[Dialler] = []
        self._backlog = Backlog()
        self._on_air: list[Receipt] | None = None
        self._batch: list[Packet] = []
        self.last_heard = perf_counter()
        self.pausing = False
        self.ending = False
        self.closed = False
        self._nothing = 0  # GETs in a row that brought a noop and no more
        self._leaving = False  # the close packet was queued: a GET that follows it meets no session
        self._most = FEW

    @property
    def posting(self) -> bool:
        """Whether something waits for its POST or for the POST's answer."""
        return self._on_air is not None or bool(self._backlog)

    @property
    def buffered(self) -> int:
        """Bytes that wait to be posted."""
        return self._backlog.size

    @property
    def owing(self) -> bool:
        """Whether there are receipts that haven't heard yet."""
        return bool(self._on_air) or self._backlog.owing

    @property
    def _polls(self) -> bool:
        """Whether a GET is under way, if only its connection: a second one would take what isn't its own."""
        return self._dialling or (self._get is not None and self._get.busy)

    @property
    def _rests(self) -> bool:
        """Whether no POST is under way, asked anew: compiled code takes what it set to None for None."""
        return self._on_air is None

    # Receiving.

    def go_on(self) -> None:
        """Start the next GET, unless one is under way or was the last; while pausing, report when none is."""
        if self.closed or self._polls:
            return
        line = self._get
        if self.pausing:
            if self._rests:
                self._listener.on_polling_paused()
        elif self._leaving or (self.ending and self._nothing > 1):
            return
        elif line is not None and self._patience.allows(line):
            line.request(self._requests.get())
        else:
            self._dialling = True
            self._dial(self._dialled_get, line)

    def _dialled_get(self, line: HTTPConnection) -> None:
        self._dialling = False
        self._get = line
        line.request(self._requests.get())

    # Sending.

    def send(self, messages: list[str | bytes], receipt: Receipt | None) -> bool:
        """See `Transport.send`."""
        more = 2 if self._requests.generation.eio == "4" else LENGTHS
        sizes = [more + (len(m.encode()) if isinstance(m, str) else len(m) * 4 // 3 + 4) for m in messages]
        self._put([Packet(MESSAGE, m) for m in messages], sizes, receipt)
        return False

    def size_of(self, message: str | bytes) -> int:
        """See `Transport.size_of`."""
        generation, packets = self._requests.generation, [Packet(MESSAGE, message)]
        return len(generation.encode_payload(packets, self._requests.options.base64)[0])

    def send_packet(self, packet: Packet) -> None:
        """See `Transport.send_packet`."""
        self._put([packet], [LENGTHS], None)

    def send_raw(self, frame: str | bytes, receipt: Receipt) -> bool:
        """See `Transport.send_raw`.

        Raises:
            Refused: it begins with no packet type that this generation knows.
        """
        try:
            packet = self._requests.generation.decode_frame(frame)
        except ProtocolError as error:
            raise Refused(f"not a packet of this generation: {error}") from None
        self._put([packet], [len(frame) * 4], receipt)
        return False

    def _put(self, packets: list[Packet], sizes: list[int], receipt: Receipt | None) -> None:
        """Queue the packets of one message; `sizes` are about their lengths in bytes."""
        if receipt is None and len(self._backlog) >= ANSWERS:
            end = End("limit", f"more than {ANSWERS} answers wait for the server to take them")
            listener = self._listener  # which hears of it in the hub: a greenlet may send
            self._requests.fleet.later(guarded, listener.on_crash, listener.on_lost, end)
            return
        self._backlog.put(packets, sizes, receipt)
        self._post_next()

    def _post_next(self) -> None:
        if not self._backlog or self._on_air is not None or self.pausing or self.closed:
            return
        self._on_air = []
        line = self._post
        if line is not None and self._patience.allows(line):
            self._post_on(line)
        else:
            self._dial(self._dialled_post, line)

    def _dialled_post(self, line: HTTPConnection) -> None:
        self._post = line
        self._post_on(line)

    def _post_on(self, line: HTTPConnection) -> None:
        """Send what fits into one body of at most maxPayload bytes, or again what has no answer."""
        if not self._batch:
            self._batch, self._on_air = self._backlog.take(self.max_payload, self._most)
        line.request(self._requests.post(self._batch))

    # Pausing and closing.

    def pause(self) -> None:
        """Let the current GET and POST end, start no more, then report. What is sent now stays queued."""
        self.pausing = True
        self.go_on()

    def resume(self) -> None:
        """Go on polling after a pause that led nowhere."""
        self.pausing = False
        self.go_on()
        self._post_next()

    def say_goodbye(self, now: float) -> bool:
        """Post the close packet once no GET brings anything any more, when it can't overtake what was queued.

        Returns:
            Whether it was: `on_polling_paused` follows.
        """
        if now - self.last_heard < QUIET or self.posting:
            return False
        self._leaving = True
        self._put([Packet(PacketType.CLOSE, "")], [1], _Goodbye(self._listener))
        return True

    def close(self, reason: str) -> None:
        """Close both lines; what wasn't posted was not sent, what was under way is unknown."""
        if self.closed:
            return
        self.closed = True
        for dialler in self._dials:
            dialler.cancel()
        for line in (self._get, self._post):
            if line is not None:
                line.close()
        self._get = self._post = None
        on_air, self._on_air = self._on_air or [], None
        for receipt in on_air:
            receipt.settle("indeterminate", reason)
        for _, waiting in self._backlog.empty():
            if waiting is not None:
                waiting.settle("not_sent", reason)

    def streams(self) -> list[Stream]:
        """Those of its two lines that are there."""
        return [line.stream for line in (self._get, self._post) if line is not None]

    def take_queue(self) -> list[tuple[list[Packet], Receipt | None]]:
        """What still waits to be posted, for the transport that follows."""
        return self._backlog.empty()

    # The handler of both lines.

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        if self.closed:
            return
        if response.status == 200:
            self._patience.confirm(line)
        self._patience.hear(response)
        self._requests.keep_cookies(response.headers)
        if line is self._post:
            self.last_heard = perf_counter()
            self._nothing = 0
            self._posted(response)
        else:
            self._polled(response)
            self.go_on()

    def _polled(self, response: Response) -> None:
        before, self._before = self._before, None
        if response.status != 200 and before is not None:
            self._listener.on_lost(before)  # the server had ended the session with the connection
            return
        if response.status != 200:
            self._listener.on_refused(response.status, response.body, "polling")
            return
        self._listener.on_heard()
        try:
            packets = self._requests.unpack(response.body)
        except ProtocolError as error:
            self._listener.broken(error)
            return
        # python-engineio answers each poll at once while a probe goes on, which only a goodbye ends then.
        self._nothing += 1
        if len(packets) != 1 or packets[0].type != PacketType.NOOP:
            self.last_heard = perf_counter()
            self._nothing = 0
        for packet in packets:
            self._listener.on_packet(packet)

    def _posted(self, response: Response) -> None:
        receipts, self._on_air, self._batch = self._on_air or [], None, []
        if response.status == 200:
            if response.body != b"OK":
                self._most = PACKETS
            for receipt in receipts:
                receipt.settle("sent", "")
        elif response.status == 413:
            rest = self._backlog.forget_rest()
            for receipt in receipts if rest is None else [*receipts, rest]:
                receipt.settle("error", "HTTP 413: payload too large for the server")
        else:
            for receipt in receipts:
                receipt.settle("indeterminate", f"HTTP {response.status}")
            if self._before is not None:
                self._listener.on_lost(self._before)  # as for the poll that went out again
            else:
                self._listener.on_refused(response.status, response.body, "polling")
        if not self.closed:
            self._post_next()
            self.go_on()
            if self._rests:
                self._listener.on_drained()

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        """A GET that met the end of an idle connection goes out again, a POST if nothing of it was sent."""
        if not self.closed and self._patience.raced(line):
            if line is self._get:
                self._before = end
                self._dialling = True
                self._dial(self._dialled_get, line, end)
                return
            if line.unsent:
                self._dial(self._dialled_post, line, end)
                return
        self._listener.on_lost(end)

    def on_crash(self, error: BaseException) -> None:
        self._listener.on_crash(error)

    def _dial(
        self, then: Callable[[HTTPConnection], None], line: HTTPConnection | None, before: End | None = None
    ) -> None:
        """Connect another in the place of a line; failing that, `before` (what ended it) ends the session."""

        def done(stream: Stream) -> None:
            self._dials.remove(dialler)
            new = HTTPConnection(stream, self, self._requests.options.limits)
            then(self._patience.succeed(new, line))

        def failed(stage: Stage, reason: str) -> None:
            self._dials.remove(dialler)
            self._listener.on_lost(before or End("transport error", reason))

        dialler = self._requests.dial(done, failed)
        self._dials.append(dialler)


class _Goodbye:
    """The receipt of a close packet."""

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def settle(self, outcome: Outcome, reason: str) -> None:
        self._listener.on_polling_paused()
