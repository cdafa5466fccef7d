"""A stream over TLS: whatever records and segments its bytes come in, they are what was sent."""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import resource
import ssl
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import trustme

from sioload.errors import End
from sioload.measure.recorder import Recorder
from sioload.measure.rows import Row
from sioload.net.pushes import BroadcastKey, CountedBroadcast, Pushes
from sioload.net.tls import TLSStream


class Owner:
    def __init__(self) -> None:
        self.data = b""
        self.lost: list[End] = []
        self.secure = False

    def on_secure(self) -> None:
        self.secure = True

    def on_data(self, data: bytes) -> None:
        self.data += data

    def on_lost(self, end: End) -> None:
        self.lost.append(end)

    def on_drained(self) -> None:
        pass

    def on_crash(self, error: BaseException) -> None:
        raise error


class Server:
    """The other end of a stream.

    Attributes:
        heard: how much of plain text came.
        piece: bytes that it sends at a time; -1 for all.
    """

    def __init__(self, sock: _socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.piece = -1
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self.heard = 0

    def sealed(self, *texts: bytes) -> bytes:
        """Records of these texts."""
        for text in texts:
            self._tls.write(text)
        return self._out.read()

    def turn(self) -> None:
        """Take what has come, and answer what TLS asks for."""
        with contextlib.suppress(BlockingIOError):
            self._in.write(self.sock.recv(65_536))
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                self.heard += len(self._tls.read(65_536))
        while self._out.pending:
            self.sock.send(self._out.read(self.piece))
            gevent.sleep(0.001)
        gevent.sleep(0)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("server.test", *[f"{n}.server.test" for n in range(300)]).configure_cert(server)
    ca.configure_trust(client)
    return server, client


@pytest.fixture
def ends(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[tuple[Server, TLSStream, Owner]]:
    with connected(contexts) as both:
        yield both


@contextlib.contextmanager
def connected(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], piece: int = -1
) -> Iterator[tuple[Server, TLSStream, Owner]]:
    """Both ends after the handshake, of which the server sent so many bytes at a time."""
    ours, theirs = _socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    owner, server = Owner(), Server(theirs, contexts[0])
    server.piece = piece
    stream = TLSStream(ours, owner, Recorder(), contexts[1], "server.test")
    stream.shake()
    while not owner.secure:
        server.turn()
    server.turn()
    yield server, stream, owner
    stream.close()
    theirs.close()


def has(owner: Owner, size: int) -> bytes:
    """What the owner has, once it is so much."""
    with gevent.Timeout(10):
        while len(owner.data) < size:
            gevent.sleep(0.001)
    return owner.data


def test_records_and_segments_of_each_size(ends: tuple[Server, TLSStream, Owner]) -> None:
    server, _, owner = ends
    wanted = b""
    for sizes in ((1,), (3, 1, 2), (426, 427), (447, 448, 449), (10_000, 3), (16_384, 5, 16_384), (2,)):
        texts = [bytes(0x20 + (i + size) % 90 for i in range(size)) for size in sizes]
        wanted += b"".join(texts)
        server.sock.send(server.sealed(*texts))
        assert has(owner, len(wanted)) == wanted
    sealed = server.sealed(b"a" * 1000, b"b" * 16_384, b"c")
    for at in range(0, len(sealed), 448):
        server.sock.send(sealed[at : at + 448])
        gevent.sleep(0)
    wanted += b"a" * 1000 + b"b" * 16_384 + b"c"
    assert has(owner, len(wanted)) == wanted
    for byte in server.sealed(b"bytes", b"alone"):
        server.sock.send(bytes((byte,)))
        gevent.sleep(0)
    wanted += b"bytesalone"
    assert (has(owner, len(wanted)), owner.lost) == (wanted, [])


def test_a_great_message_leaves_no_memory_behind(ends: tuple[Server, TLSStream, Owner]) -> None:
    """A user that sent one, and is idle, holds what others hold."""
    server, stream, _ = ends
    size, before = 8 << 20, resident()
    stream.write(bytes(size))
    assert stream.buffered
    while server.heard < size:
        server.turn()
    assert stream.buffered == 0
    assert resident() - before < size // 4


def test_a_long_certificate_leaves_no_memory_behind(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """An idle user holds no more than one whose server's certificate came in pieces that are never long."""
    held = []
    for piece in (100, 100, -1):  # the first one needs some things once
        before = in_use()
        with connected(contexts, piece):
            held.append(in_use() - before)
    assert held[2] - held[1] < 3000  # the certificate has twice as much


class Heap(ctypes.Structure):
    """What mallinfo2(3) tells."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")]
    _fields_ += [
        (name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def in_use() -> int:
    """Bytes that C has allocated."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Heap
    return int(libc.mallinfo2().uordblks)


def resident() -> int:
    """Bytes of memory that this process needs."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_what_is_only_counted_is_not_handed_over(ends: tuple[Server, TLSStream, Owner]) -> None:
    server, stream, owner = ends
    row = Row("PUSH", "news")
    pushes = Pushes()
    push = CountedBroadcast(None, row, None, 0)
    push.key = stream.counted = BroadcastKey("/", None, None, pushes)
    pushes.put(b"known", push)
    for _ in range(3):
        server.sock.send(server.sealed(b"known"))
        gevent.sleep(0.005)
    server.sock.send(server.sealed(b"unknown"))
    assert (has(owner, len(b"unknown")), row.totals().count) == (b"unknown", 3)
