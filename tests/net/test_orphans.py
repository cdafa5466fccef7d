"""Sockets that were left without a word: what tells that their server has noticed, and what doesn't."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from time import perf_counter

import pytest

from sioload.net.deadlines import Deadlines
from sioload.net.orphans import AT_A_TIME, Orphans


@contextlib.contextmanager
def left(told: bool, plain: bool) -> Iterator[tuple[Orphans, socket.socket, list[float]]]:
    """A socket that was left ten seconds ago, its server's side, and when that noticed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        mine = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    orphans, noticed = Orphans(Deadlines(lambda error: None)), []
    orphans.noticed = noticed.append
    orphans.add(mine, told=told, plain=plain)
    with theirs:
        yield orphans, theirs, noticed
    orphans.close()


def look(orphans: Orphans) -> int:
    """Look at them in ten seconds; how many are open still."""
    orphans._look(perf_counter() + 10)
    return len(orphans)


def arrived(orphans: Orphans) -> None:
    """What the server did last is there."""
    orphans._left[0].sock.recv(1, socket.MSG_PEEK)


def test_a_close_frame_is_a_websockets_end() -> None:
    with left(told=True, plain=True) as (orphans, server, noticed):
        server.sendall(b"\x81\x022a")
        arrived(orphans)
        assert look(orphans) == 1 and noticed == []
        server.sendall(b"\x88\x02\x03\xe8")
        while look(orphans):
            pass
        assert noticed == [pytest.approx(10, abs=5)]


def test_frames_that_come_in_pieces_are_read_on() -> None:
    with left(told=True, plain=True) as (orphans, server, noticed):
        for piece in (b"\x81\x7e\x00\x80" + 100 * b"\x88", 28 * b"\x88" + b"\x81", b"\x03\x88\x88"):
            server.sendall(piece)
            arrived(orphans)
            assert look(orphans) == 1 and noticed == [], "what is in a frame is none"
        server.sendall(b"\x88\x88\x02\x03\xe8")
        while look(orphans):
            pass
        assert len(noticed) == 1


def test_many_are_looked_at_in_parts() -> None:
    """A drill may leave thousands at once, and its users' calls go on."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        orphans, noticed = Orphans(Deadlines(lambda error: None)), []
        orphans.noticed = noticed.append
        for _ in range(AT_A_TIME + 5):
            mine = socket.create_connection(listening.getsockname())
            listening.accept()[0].close()
            assert mine.recv(1) == b"", "its end is there"
            orphans.add(mine, told=True, plain=True)
        assert [look(orphans), len(noticed), look(orphans), len(noticed)] == [5, AT_A_TIME, 0, AT_A_TIME + 5]


def test_encrypted_bytes_that_look_like_one_are_none() -> None:
    with left(told=True, plain=False) as (orphans, server, noticed):
        server.sendall(b"\x17\x03\x03\x00\x04\x88\x02\x03\xe8")
        arrived(orphans)
        assert look(orphans) == 1 and noticed == []
        server.close()
        while look(orphans):
            pass
        assert noticed == [pytest.approx(10, abs=5)]


def test_the_end_of_another_is_not_told() -> None:
    with left(told=False, plain=True) as (orphans, server, noticed):
        server.close()
        arrived(orphans)
        assert look(orphans) == 0 and noticed == [], "it is closed, as is the server's side"
