"""The long-polling transport: one GET always waiting, one POST at a time, on kept-alive connections.

Everything runs in the hub; there is no greenlet behind a poll.
Source: Engine.IO protocol, section "HTTP long-polling".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from sioload.engineio.packet import Packet
from sioload.net.dial import Dialler
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import Stream

if TYPE_CHECKING:
    from sioload.session.connection import Connection

#: Node closes a kept-alive connection after 5 s; a POST must never meet that.
POST_IDLE = 4.0


#: Packets of one POST. python-engineio closes a session that posts more than 16 at once; it answers `OK`, so
#: that another answer to the first POST lifts the limit.
FEW, PACKETS = 16, 10_000


#: Answers to the server (pongs, acks) that may wait while it doesn't take them.
ANSWERS = 10_000


class Receipt(Protocol):
    """An emit that wants to know what became of its bytes."""

    def settle(self, outcome: str, reason: str) -> None:
        """Outcome: sent, error, indeterminate or not_sent."""


class Polling:
    """The polling transport of one session.

    Attributes:
        queued: bytes that wait to be posted.
        last_heard: when a response came last.
        pausing: no new GET starts; `on_polling_paused` follows once nothing is under way.
    """

    __slots__ = (
        "_conn",
        "_dials",
        "_get",
        "_most",
        "_on_air",
        "_post",
        "_queue",
        "closed",
        "last_heard",
        "pausing",
        "queued",
    )

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._get: HTTPConnection | None = None
        self._post: HTTPConnection | None = None
        self._dials: list[Dialler] = []
        self._queue: deque[tuple[list[Packet], int, Receipt | None]] = deque()
        self._on_air: list[Receipt] | None = None
        self.queued = 0
        self.last_heard = 0.0
        self.pausing = False
        self.closed = False
        self._most = FEW

    @property
    def _posts(self) -> bool:
        """Whether a POST is under way."""
        return self._on_air is not None

    @property
    def posting(self) -> bool:
        """Whether something waits for its POST or for the POST's answer."""
        return self._posts or bool(self._queue)

    # Receiving.

    def poll(self) -> None:
        """Start the next GET; the first one of a session is its handshake."""
        line = self._get
        if line is not None and line.alive:
            line.request(self._conn.polling_request("GET"))
        else:
            self._dial(self._dialled_get)

    def leave_line(self) -> None:
        """Connect anew for the next GET: the session was opened elsewhere (`handshake_url`)."""
        if self._get is not None:
            self._get.close()
            self._get = None

    def _dialled_get(self, stream: Stream) -> None:
        self._get = HTTPConnection(stream, self, self._conn.options.limits)
        self._get.request(self._conn.polling_request("GET"))

    # Sending.

    def send(self, packets: list[Packet], size: int, token: Receipt | None) -> None:
        """Queue the packets of one message; `size` is about their length in bytes."""
        if token is None and len(self._queue) >= ANSWERS:
            self._conn.overrun(f"more than {ANSWERS} answers wait for the server to take them")
            return
        self._queue.append((packets, size, token))
        self.queued += size
        self._post_next()

    def _post_next(self) -> None:
        if not self._queue or self._posts or self.pausing or self.closed:
            return
        self._on_air = []
        line = self._post
        if line is not None and line.alive and perf_counter() - line.idle_since < POST_IDLE:
            self._post_on(line)
            return
        if line is not None:
            line.close()
            self._post = None
        self._dial(self._dialled_post)

    def _dialled_post(self, stream: Stream) -> None:
        self._post = HTTPConnection(stream, self, self._conn.options.limits)
        self._post_on(self._post)

    def _post_on(self, line: HTTPConnection) -> None:
        """Send what fits into one body of at most maxPayload bytes."""
        room = self._conn.max_payload
        batch: list[Packet] = []
        tokens: list[Receipt] = []
        while self._queue and (
            not batch or (self._queue[0][1] <= room and len(batch) + len(self._queue[0][0]) <= self._most)
        ):
            packets, size, token = self._queue.popleft()
            room -= size
            self.queued -= size
            batch += packets
            if token is not None:
                tokens.append(token)
        self._on_air = tokens
        line.request(self._conn.polling_request("POST", batch))

    # Pausing and closing.

    def pause(self) -> None:
        """Let the current GET and POST end, start no more, then report. What is sent now stays queued."""
        self.pausing = True
        self._check_paused()

    def resume(self) -> None:
        """Go on polling after a pause that led nowhere."""
        self.pausing = False
        if self._get is None or not self._get.busy:
            self.poll()
        self._post_next()

    def _check_paused(self) -> None:
        if self.pausing and not self._posts and not (self._get and self._get.busy):
            self._conn.on_polling_paused()

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
        for token in on_air:
            token.settle("indeterminate", reason)
        queue, self._queue = self._queue, deque()
        for _, _, waiting in queue:
            if waiting is not None:
                waiting.settle("not_sent", reason)

    def take_queue(self) -> list[tuple[list[Packet], int, Receipt | None]]:
        """What still waits to be posted, for the transport that follows."""
        queue, self._queue = list(self._queue), deque()
        self.queued = 0
        return queue

    # The asker of both lines.

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        if self.closed:
            return
        line.idle_since = self.last_heard = perf_counter()
        self._conn.keep_cookies(response.headers)
        if line is self._post:
            self._posted(response)
        else:
            self._conn.on_polled(response)
            self._go_on()

    def _go_on(self) -> None:
        """A poll was answered, and its packets may have ended this transport."""
        if self.closed:
            return
        if self.pausing:
            self._check_paused()
        elif self._get is None or not self._get.busy:
            self.poll()

    def _posted(self, response: Response) -> None:
        tokens, self._on_air = self._on_air or [], None
        if response.status == 200:
            if response.body != b"OK":
                self._most = PACKETS
            for token in tokens:
                token.settle("sent", "")
        elif response.status == 413:
            for token in tokens:
                token.settle("error", "HTTP 413: payload too large for the server")
        else:
            for token in tokens:
                token.settle("indeterminate", f"HTTP {response.status}")
            self._conn.on_post_refused(response)
        if not self.closed:
            self._post_next()
            self._check_paused()
            if not self._posts:
                self._conn.on_drained()

    def on_failure(self, line: HTTPConnection, reason: str) -> None:
        self._conn.on_polling_failed(reason)

    def on_crash(self, error: BaseException) -> None:
        self._conn.on_crash(error)

    def _dial(self, then: Callable[[Stream], None]) -> None:
        def done(stream: Stream) -> None:
            self._dials.remove(dialler)
            then(stream)

        def failed(stage: str, reason: str) -> None:
            self._dials.remove(dialler)
            self._conn.on_dial_failed(stage, reason)

        dialler = self._conn.dial(done, failed, opening=then == self._dialled_get and not self._conn.sid)
        self._dials.append(dialler)
