"""A stream whose peer takes nothing."""

from __future__ import annotations

import _socket
import contextlib
from collections.abc import Iterator

import gevent
import pytest

from sioload.errors import End
from sioload.measure.recorder import Recorder
from sioload.net.stream import PIECES, Stream


class Owner:
    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.lost: list[End] = []
        self.drained = 0

    def on_data(self, data: bytes) -> None:
        self.data.append(data)

    def on_lost(self, end: End) -> None:
        self.lost.append(end)

    def on_drained(self) -> None:
        self.drained += 1

    def on_crash(self, error: BaseException) -> None:
        raise error


@pytest.fixture
def pair() -> Iterator[tuple[_socket.socket, Stream, Owner]]:
    ours, theirs = _socket.socketpair()
    for sock in (ours, theirs):
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 4096)
        sock.setblocking(False)
    owner = Owner()
    stream = Stream(ours, owner, Recorder())
    yield theirs, stream, owner
    stream.close()
    theirs.close()


def test_what_waits_is_sent_in_order_once_the_peer_reads(pair: tuple[_socket.socket, Stream, Owner]) -> None:
    theirs, stream, owner = pair
    wanted = b"".join(n.to_bytes(4, "big") for n in range(5000))
    for n in range(5000):
        stream.write(n.to_bytes(4, "big"))
    assert stream.buffered
    got = b""
    while len(got) < len(wanted):
        gevent.sleep(0)
        with contextlib.suppress(BlockingIOError):
            got += theirs.recv(65536)
    assert got == wanted
    gevent.sleep(0)
    assert (stream.buffered, owner.drained, owner.lost) == (0, 1, [])


def test_writes_that_nobody_takes_end_it(pair: tuple[_socket.socket, Stream, Owner]) -> None:
    _, stream, owner = pair
    stream.write(b"x" * 1_000_000)
    for _ in range(PIECES - 1):
        stream.write(b"pong")
    gevent.sleep(0.01)
    assert not stream.closed and owner.lost == []
    stream.write(b"pong")
    stream.write(b"pong")
    gevent.sleep(0.01)
    assert stream.closed and owner.lost == [End("transport error", "the peer takes nothing")]
