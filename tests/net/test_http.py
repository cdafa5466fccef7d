"""HTTP answers on a kept-alive line: whole, byte by byte, cut anywhere, and with something behind them."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from net.wire import Tape, bytewise, cuts

from sioload.errors import End
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import CLOSED
from sioload.options import Limits

OK = b"HTTP/1.1 200 OK\r\n"
SMALL = Limits(headers=2000, payload=5000)


class ResponseHandler:
    """Hears how exchanges end."""

    def __init__(self) -> None:
        self.ends: list[Response | End] = []

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        self.ends.append(response)

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        self.ends.append(end)

    def on_crash(self, error: BaseException) -> None:
        raise error


def exchange(
    pieces: list[bytes], eof: bool = False, limits: Limits = SMALL
) -> tuple[HTTPConnection, list[Response | End]]:
    """One request whose answer comes in these pieces."""
    handler = ResponseHandler()
    line = HTTPConnection(Tape(), handler, limits)  # type: ignore[arg-type]
    line.request(b"GET / HTTP/1.1\r\n\r\n")
    for piece in pieces:
        if not line.stream.closed:
            line.on_data(piece)
    if eof and not line.stream.closed:
        line.on_lost(CLOSED)
    return line, handler.ends


def every_way(data: bytes, eof: bool = False) -> tuple[bool, Response | End]:
    """The end of an exchange, which must not depend on how its bytes were cut."""
    rand = random.Random(data)
    ways = [[data], [data], bytewise(data)]  # the second time its head may be known
    ways += [cuts(data, [rand.randrange(len(data) + 1) for _ in range(4)]) for _ in range(5)]
    found = set()
    for pieces in ways:
        line, ends = exchange(pieces, eof)
        assert len(ends) == 1
        end = ends[0]
        found.add((line.alive, end if isinstance(end, End) else (end.status, tuple(end.headers), end.body)))
        assert not line.alive or not line.stream.closed
        assert line.alive or line.stream.closed
    assert len(found) == 1, found
    return line.alive, end


def length(body: bytes, *more: bytes) -> bytes:
    return OK + b"".join(h + b"\r\n" for h in more) + b"Content-Length: %d\r\n\r\n" % len(body) + body


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "a length": (length(b"hello"), True, b"hello"),
    "no body": (length(b""), True, b""),
    "chunks": (CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", True, b"hello"),
    "chunks and trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", True, b"hello"),
    "to be closed": (length(b"hello", b"Connection: close"), False, b"hello"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False, b"ok"),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: x\r\n\r\n" + length(b"hi"), True, b"hi"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", True, b""),
    "gzip": (length(gzip.compress(b"hello"), b"Content-Encoding: gzip"), True, b"hello"),
    "deflate": (length(zlib.compress(b"hello"), b"content-encoding: Deflate"), True, b"hello"),
    "identity": (length(b"hello", b"Content-Encoding: identity"), True, b"hello"),
    "an empty compressed body": (length(b"", b"Content-Encoding: gzip"), True, b""),
    "as much as the limit allows": (length(b"x" * 5000), True, b"x" * 5000),
    "a large body in small chunks": (CHUNKED + b"1\r\nx\r\n" * 4000 + b"0\r\n\r\n", True, b"x" * 4000),
}  # fmt: skip


@pytest.mark.parametrize("what", GOOD)
def test_an_answer_is_read_alike_in_any_pieces(what: str) -> None:
    data, alive, body = GOOD[what]
    still, end = every_way(data)
    assert isinstance(end, Response)
    assert (still, end.body) == (alive, body)


@pytest.mark.parametrize("what", GOOD)
def test_what_stands_behind_an_answer_costs_the_line_at_most(what: str) -> None:
    """In the same read it costs the line its life, at most; what was asked for counts."""
    data, _, body = GOOD[what]
    for behind in (b"\r\n", b"x", data):
        line, ends = exchange([data + behind])
        assert ends == [End("protocol error", "response that nobody asked for")] or (
            isinstance(ends[0], Response) and ends[0].body == body
        )
        assert len(ends) == 1
        line, ends = exchange([data, behind])
        assert len(ends) == 1 and isinstance(ends[0], Response)
        assert not line.alive


def test_an_answer_without_a_length_is_whole_when_its_connection_ends() -> None:
    alive, end = every_way(OK + b"\r\nhello", eof=True)
    assert isinstance(end, Response) and end.body == b"hello" and not alive


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [b"", OK, OK + b"X: y\r\n", OK + b"Content-Length: 5\r\n\r\nhell", CHUNKED + b"5\r\nhel", INTERIM,
     INTERIM + OK, INTERIM + OK + b"X: y\r\n", INTERIM * 2 + b"HTTP/1.1 2"],
)  # fmt: skip
def test_an_answer_that_breaks_off(data: bytes) -> None:
    assert every_way(data, eof=True) == (False, CLOSED)


BAD = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length and chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a length that is no number": OK + "Content-Length: ²\r\n\r\n".encode(),
    "a length above the limit": OK + b"Content-Length: 5001\r\n\r\n",
    "a length of 400 digits": OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "a body above the limit": CHUNKED + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 5,
    "a bad chunk": CHUNKED + b"x\r\n",
    "a chunk that is too long": CHUNKED + b"1\r\nxx\r\n",
    "long headers": OK + b"X: " + b"y" * 80_000,
    "many headers": OK + b"X: y\r\n" * 12_000,
    "many trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 12_000,
    "a long chunk extension": CHUNKED + b"1;" + b"x" * 80_000,
    "many interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
    "broken gzip": length(b"hello", b"Content-Encoding: gzip"),
    "half of a gzip": length(gzip.compress(bytes(range(256)))[:-20], b"Content-Encoding: gzip"),
    "a gzip bomb": length(gzip.compress(b"x" * 5001), b"Content-Encoding: gzip"),
    "a deflate bomb": length(zlib.compress(b"x" * 4_000_000), b"Content-Encoding: deflate"),
    "a coding nobody asked for": length(b"x", b"Content-Encoding: br"),
    "an upgrade": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a header with a NUL": OK + b"X: \0\r\n\r\n",
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_good_answer_fails_the_exchange_once_in_any_pieces(what: str) -> None:
    data = BAD[what]
    ways = [[data], cuts(data, range(0, len(data), 1448))] + ([bytewise(data)] if len(data) < 9000 else [])
    for pieces in ways:
        line, ends = exchange(pieces)
        assert len(ends) == 1 and isinstance(ends[0], End), ends
        assert ends[0].kind in ("protocol error", "limit") and len(ends[0].detail) <= 100
        assert not line.alive and line.stream.closed


def test_two_exchanges_on_one_line() -> None:
    handler = ResponseHandler()
    line = HTTPConnection(Tape(), handler, SMALL)  # type: ignore[arg-type]
    for body in (b"one", b"two"):
        line.request(b"GET / HTTP/1.1\r\n\r\n")
        assert line.busy
        line.on_data(length(body))
        assert not line.busy
    assert [end.body for end in handler.ends if isinstance(end, Response)] == [b"one", b"two"]


def test_a_head_that_came_before_changes_nothing_of_what_is_read() -> None:
    for body in (b"first", b"other", b"cut"):
        line, ends = exchange([length(body)])
        assert isinstance(ends[0], Response) and ends[0].body == body and line.alive
    head, _, body = length(b"first").partition(b"\r\n\r\n")
    for empty in ([length(b"")], [length(b"")[:-4], b"\r\n\r\n"], [length(b"")[:-1], b"\n"]):
        for piece_by_piece in (empty, empty[:1]):
            line, ends = exchange(piece_by_piece)
            assert len(ends) == (piece_by_piece == empty)
    line, ends = exchange([head + b"\r\n\r\n" + body[:2]])
    assert ends == [] and line.busy
    line.on_data(body[2:])
    assert isinstance(ends[0], Response) and ends[0].body == body
    line, ends = exchange([length(b"first") + b"behind"])
    assert isinstance(ends[0], End) and not line.alive
    big = length(b"x" * 500)
    for limits, kind in ((SMALL, Response), (Limits(headers=2000, payload=400), End)):
        assert isinstance(exchange([big], limits=limits)[1][0], kind)


def test_cookies_are_those_of_each_answer() -> None:
    for value in (b"a", b"b", b"a"):
        _, ends = exchange([length(b"hello", b"Set-Cookie: io=" + value)])
        assert isinstance(ends[0], Response) and ends[0].header("set-cookie") == "io=" + value.decode()


def test_the_next_request_may_be_made_while_the_answer_is_told() -> None:
    class Eager(ResponseHandler):
        def on_response(self, line: HTTPConnection, response: Response) -> None:
            super().on_response(line, response)
            if len(self.ends) == 1:
                line.request(b"GET / HTTP/1.1\r\n\r\n")

    handler = Eager()
    line = HTTPConnection(Tape(), handler, SMALL)  # type: ignore[arg-type]
    line.request(b"GET / HTTP/1.1\r\n\r\n")
    line.on_data(length(b"one"))
    assert line.busy
    line.on_data(length(b"two"))
    assert [end.body for end in handler.ends if isinstance(end, Response)] == [b"one", b"two"]


def test_what_a_handler_raises_is_not_taken_for_the_peers_fault() -> None:
    class Faulty(ResponseHandler):
        def on_response(self, line: HTTPConnection, response: Response) -> None:
            raise ZeroDivisionError

    line = HTTPConnection(Tape(), Faulty(), SMALL)  # type: ignore[arg-type]
    line.request(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ZeroDivisionError):
        line.on_data(length(b"one"))


def test_memory_is_bounded_by_the_limits() -> None:
    for data in (BAD["a deflate bomb"], BAD["long headers"], BAD["many trailers"], length(b"x" * 5000)):
        tracemalloc.start()
        exchange(cuts(data, range(0, len(data), 1448)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 5 * len(data) + 200_000
