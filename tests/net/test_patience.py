"""How long an idle connection is used, and which failed request may go out again."""

from __future__ import annotations

from time import perf_counter

import pytest
from net.test_http import SMALL, ResponseHandler, length
from net.wire import Tape

from sioload.net.http import HTTPConnection, Response
from sioload.net.patience import MARGIN, UNKNOWN, Patience
from sioload.net.stream import CLOSED


def said(header: str) -> Response:
    return Response(200, [("keep-alive", header)], b"")


def idle(seconds: float) -> HTTPConnection:
    """A connection whose last exchange ended so long ago."""
    line = HTTPConnection(Tape(), ResponseHandler(), SMALL)  # type: ignore[arg-type]
    line.request(b"GET / HTTP/1.1\r\n\r\n")
    line.on_data(length(b"one"))
    line.idle_since = perf_counter() - seconds
    return line


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("timeout=15", 14.5),
        ("max=5, Timeout=2", 1.5),
        ("timeout=0", 0.0),
        ("timeout=x", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_what_a_server_says_of_its_patience(header: str, seconds: float) -> None:
    patience = Patience()
    patience.hear(said(header))
    assert patience.seconds == seconds


def test_what_is_seen_counts_more_than_what_is_said_and_only_ever_less_is_believed() -> None:
    patience = Patience()
    patience.learn(3.0)
    patience.hear(said("timeout=60"))
    patience.learn(60.0)
    assert patience.seconds == 3.0 - MARGIN
    patience.learn(0.2)
    assert patience.seconds == 0.0


def test_a_request_that_met_the_end_of_an_idle_connection() -> None:
    """Only of one that was used before, while no answer has begun: a first request proves nothing."""
    patience = Patience()
    fresh = HTTPConnection(Tape(), ResponseHandler(), SMALL)  # type: ignore[arg-type]
    fresh.request(b"POST / HTTP/1.1\r\n\r\n")
    fresh.on_lost(CLOSED)
    assert not patience.raced(fresh)
    answered = idle(2.0)
    answered.request(b"POST / HTTP/1.1\r\n\r\n")
    answered.on_data(b"HTTP/1.1 200")
    answered.on_lost(CLOSED)
    assert not patience.raced(answered)
    slow = idle(2.0)
    slow.request(b"POST / HTTP/1.1\r\n\r\n")
    slow.asked_at -= 1.5
    slow.on_lost(CLOSED)
    assert not patience.raced(slow)
    assert patience.seconds == UNKNOWN
    met = idle(2.0)
    met.request(b"POST / HTTP/1.1\r\n\r\n")
    met.on_lost(CLOSED)
    assert patience.raced(met)
    learns(patience, met, 2.0 - MARGIN)
    closed = idle(1.0)
    closed.stream.close()  # as its end is found
    assert not patience.allows(closed)
    learns(patience, closed, 1.0 - MARGIN)


def learns(patience: Patience, met: HTTPConnection, seconds: float) -> None:
    """From the end of a connection, once the server has shown by the next one that it hasn't ended itself."""
    before = patience.seconds
    line = patience.succeed(HTTPConnection(Tape(), ResponseHandler(), SMALL), met)  # type: ignore[arg-type]
    assert patience.seconds == before
    patience.confirm(line)
    assert patience.seconds == pytest.approx(seconds, abs=0.2)
    patience.seconds = UNKNOWN
    patience.confirm(line)
    assert patience.seconds == UNKNOWN, "it is learnt once"
