"""One HTTP/1.1 exchange at a time on a kept-alive stream, parsed by llhttp (`httptools`).

Sizes are counted here, because the parser has no limits of its own: all that is no body (head, framing of
chunks, trailers) against `Limits.headers`, the body (also once decompressed) against `Limits.payload`.
"""

from __future__ import annotations

import zlib
from time import perf_counter
from typing import Final, NamedTuple, Protocol

import httptools

from sioload.errors import End, LimitError, ProtocolError
from sioload.net.stream import Stream
from sioload.options import Limits

#: Bytes of framing that a byte of a chunked body may come with: "1\r\nx\r\n" and a little more.
FRAMING = 8
#: What a server of HTTP/2 begins with, behind the length of that frame (RFC 9113, section 3.4).
SETTINGS: Final = b"\4\0\0\0\0\0"


class Response:
    """A whole response; header names are lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str:
        """The first value of a header, "" without one."""
        for key, value in self.headers:
            if key == name:
                return value
        return ""


class _Head(NamedTuple):
    """What a head says whose answer is that and a body of a stated length, on a connection that is kept."""

    status: int
    headers: list[tuple[str, str]]
    length: int


#: The last such heads, as they came: a server sends one and the same to many users, who needn't all parse it.
_heads: Final[dict[bytes, _Head]] = {}
HEADS: Final = 64
#: Longer heads are parsed each time.
LONG: Final = 2048


class ResponseHandler(Protocol):
    """Who started an exchange. Called in the hub."""

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        """The exchange is complete; the line may be used again if `line.alive`."""

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        """The exchange failed; the line is closed."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised."""


class HTTPConnection:
    """A connection that carries one exchange after the other.

    Attributes:
        handler: who hears of the answers.
        alive: whether another request may be sent on it.
        asked_at: when the last request was sent.
        idle_since: when the last exchange ended, 0 before the first did.
        ended: when the peer closed it while it was idle, 0 if it didn't.
        kept: for how long the one before was idle when the peer closed that, until it is learnt from.
    """

    __slots__ = ("_body", "_body_size", "_encoding", "_ended", "_framed", "_headers", "_length", "_limits",
                 "_parser", "_size", "_taken", "_unframed", "alive", "asked_at", "busy", "ended", "handler",
                 "idle_since", "kept", "stream")  # fmt: skip

    def __init__(self, stream: Stream, handler: ResponseHandler, limits: Limits) -> None:
        self.stream = stream
        stream.owner = self
        self.handler = handler
        self._limits = limits
        self._parser: httptools.HttpResponseParser | None = None
        self.alive = True
        self.busy = False
        self.asked_at = self.idle_since = self.ended = 0.0
        self.kept: float | None = None
        self._size = 0
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_size = 0
        self._taken = 0
        self._length = self._encoding = ""
        self._framed = self._unframed = self._ended = False

    def request(self, message: bytes) -> None:
        """Send a whole request (head and body)."""
        self.busy = True
        self._size = len(message)
        self.asked_at = perf_counter()
        self.stream.write(message)

    @property
    def untouched(self) -> bool:
        """Nothing of an answer has come."""
        return not self._taken

    @property
    def unsent(self) -> bool:
        """Nothing of the request was handed to the kernel (of TLS: no whole record)."""
        return self.stream.buffered >= self._size

    def close(self) -> None:
        """Close; the handler hears nothing of it."""
        self.alive = self.busy = False
        self._parser = None
        self.stream.close()

    # The stream's owner.

    def on_data(self, data: bytes) -> None:
        if not self.busy:
            self._fail("data that nobody asked for")
            return
        if not self._taken and self._known(data):
            return
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        self._taken += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server switched protocols unasked")
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            if isinstance(cause, ProtocolError):
                self._refuse(cause)
            elif cause is not None:
                raise
            elif self._ended:  # something behind a response that is whole
                self.alive = False
                self._complete()
            else:
                http2 = data[3:9] == SETTINGS
                self._fail("the port speaks HTTP/2 alone" if http2 else f"not HTTP: {error}"[:80])
        else:
            if self._ended:
                if self._taken == len(data):
                    self._learn(data)
                self._complete()
            # Counted in whole reads, so at most one read too much is taken.
            elif self._taken > self._limits.headers + FRAMING * self._body_size:
                self._refuse(self._too_long(self._taken - self._body_size))

    def _known(self, data: bytes) -> bool:
        """Whether this is a whole answer whose head came before; then it is taken."""
        head, end, body = data.partition(b"\r\n\r\n")
        known = _heads.get(head) if end else None
        if known is None or known.length != len(body) or known.length > self._limits.payload:
            return False
        self._tell(Response(known.status, known.headers, body))
        return True

    def _learn(self, data: bytes) -> None:
        """Keep the head of a whole answer that came in one piece."""
        parser = self._parser
        head, _, body = data.partition(b"\r\n\r\n")
        if (
            parser is None
            or not self.alive
            or self._encoding
            or self._length != str(len(body))
            or len(head) > LONG
        ):
            return
        if any(name == "set-cookie" for name, _ in self._headers):
            return  # one user's own
        if len(_heads) >= HEADS:
            _heads.clear()
        _heads[head] = _Head(parser.get_status_code(), self._headers, len(body))

    def on_lost(self, end: End) -> None:
        parser = self._parser
        if parser is not None and self._unframed and end.kind == "transport closed":
            self.alive = False
            self._complete()
            return
        was_busy = self.busy
        self.close()
        if was_busy:
            self.handler.on_failure(self, end)
        else:
            self.ended = perf_counter()

    def on_drained(self) -> None:
        pass

    def on_crash(self, error: BaseException) -> None:
        self.handler.on_crash(error)

    # llhttp's callbacks.

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = _name(name), value.decode("latin-1")
        self._headers.append((key, text))
        if key == "content-length":
            self._framed = True
            self._length = self._length or text
        elif key == "transfer-encoding":
            self._framed = True
        elif key == "content-encoding":
            self._encoding = self._encoding or text.strip().lower()

    def on_message_begin(self) -> None:
        if self._ended:
            raise ProtocolError("response that nobody asked for")

    def on_headers_complete(self) -> None:
        if self._taken > self._limits.headers + 65536:
            raise self._too_long(self._taken)
        self._unframed = not self._framed
        if self._length.isdigit() and int(self._length) > self._limits.payload:
            raise self._too_big(int(self._length))

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size > self._limits.payload:
            raise self._too_big(self._body_size)
        self._body.append(data)

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        if 100 <= parser.get_status_code() < 200:
            self._headers.clear()
            self._length = self._encoding = ""
            self._framed = self._unframed = False  # the answer is still to come
            return
        self.alive = parser.should_keep_alive()
        self._ended = True

    def _complete(self) -> None:
        """Outside of the parser, whose callbacks may not start the next exchange."""
        parser = self._parser
        assert parser is not None
        status, headers, encoding = parser.get_status_code(), self._headers, self._encoding
        try:
            body = _decompress(b"".join(self._body), encoding, self._limits.payload)
        except ProtocolError as error:
            self._refuse(error)
            return
        except zlib.error:
            self._fail(f"content-encoding {encoding} of a body that can't be decompressed")
            return
        self._reset()
        if not self.alive:
            self._parser = None
            self.stream.close()
        self._tell(Response(status, headers, body))

    def _tell(self, response: Response) -> None:
        """The exchange is complete."""
        self.busy = False
        self.idle_since = perf_counter()
        self.handler.on_response(self, response)

    def _fail(self, detail: str) -> None:
        """The peer broke HTTP."""
        self._refuse(ProtocolError(detail))

    def _too_long(self, size: int) -> LimitError:
        return LimitError.of_size("response headers of", size, "headers", self._limits.headers)

    def _too_big(self, size: int) -> LimitError:
        return LimitError.of_size("response body of", size, "payload", self._limits.payload)

    def _refuse(self, error: ProtocolError) -> None:
        """A response isn't taken."""
        was_busy = self.busy
        self.close()
        if was_busy:
            self.handler.on_failure(self, End(error.kind, str(error)))


#: Names of headers in lower case, by how servers write them; of short ones, and no more than so many.
_names: Final[dict[bytes, str]] = {}
NAMES: Final = 256


def _name(written: bytes) -> str:
    name = _names.get(written)
    if name is None:
        name = written.decode("latin-1").lower()
        if len(_names) < NAMES and len(written) <= 64:
            _names[written] = name
    return name


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a content coding, stopping at `limit` bytes."""
    if not body or not encoding or encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise ProtocolError(f"content-encoding {encoding[:20]} that was not asked for")
    inflater = zlib.decompressobj(wbits=47)
    plain = inflater.decompress(body, limit + 1)
    if len(plain) > limit:
        raise LimitError.of_size("decompressed response body of", len(plain), "payload", limit)
    if not inflater.eof:
        raise ProtocolError("response body whose compressed data is incomplete")
    return plain


def request(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    """The bytes of a request; names and values were validated by `Options`."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
