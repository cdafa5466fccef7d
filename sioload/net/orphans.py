"""Sockets that were left without a word: open until the server gives them up, or the run ends."""

from __future__ import annotations

import _socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from sioload.net.deadlines import Deadlines
from sioload.net.stream import close

#: Seconds between two looks at one of them, and how many are looked at before others run, at least so many
#: seconds apart: thousands may be left at once, in a drill.
LOOK: Final = 0.25
AT_A_TIME: Final = 20
APART: Final = 0.005
#: The first byte of a close frame.
_CLOSE: Final = 0x88
#: How much of what the server went on to say is looked at.
_PEEK: Final = 65536
#: The state of TCP in which the peer hasn't closed its side (tcp(7), TCP_INFO: the first byte).
_ESTABLISHED: Final = 1


@dataclass(slots=True)
class _Orphan:
    """A socket that was left at a time; see `Orphans.add`. Its frames are known up to a byte."""

    sock: _socket.socket
    since: float
    told: bool
    plain: bool
    known: int = 0

    def dismissed(self) -> bool:
        """Whether the server closed a websocket: its socket stays until it is answered (RFC 6455, 7.1.1)."""
        try:
            data = self.sock.recv(_PEEK, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except OSError:
            return False
        at = self.known
        while at + 2 <= len(data):
            if data[at] == _CLOSE:
                return True
            self.known, size = at, data[at + 1]
            at += 2
            if size > 125:
                more = 2 if size == 126 else 8
                size, at = int.from_bytes(data[at : at + more], "big"), at + more
            at += size
        return False


class Orphans:
    """The sockets of one process that nobody reads any more.

    One that the server has closed is closed here too, lest they become as many as there were drops.

    Attributes:
        noticed: called in the hub with the seconds after which the server closed one; None when nobody asks.
    """

    __slots__ = ("_deadlines", "_left", "_looking", "noticed")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._left: deque[_Orphan] = deque()
        self._looking = False
        self.noticed: Callable[[float], None] | None = None

    def __len__(self) -> int:
        return len(self._left)

    def add(self, sock: _socket.socket, *, told: bool, plain: bool) -> None:
        """Keep a socket open that nobody reads any more.

        Args:
            told: `noticed` hears of its end.
            plain: a websocket's frames come on it, and aren't encrypted.
        """
        self._left.append(_Orphan(sock, perf_counter(), told, plain))
        self._watch()

    def _watch(self) -> None:
        if not self._looking and self._left:
            self._looking = True
            parts = -(-len(self._left) // AT_A_TIME)
            self._deadlines.at(perf_counter() + max(LOOK / parts, APART), self._look)

    def _look(self, now: float) -> None:
        self._looking = False
        for _ in range(min(AT_A_TIME, len(self._left))):
            one = self._left.popleft()
            noticed = self.noticed if one.told else None
            closed = one.sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, 1)[0] != _ESTABLISHED
            if not closed and not (noticed is not None and one.plain and one.dismissed()):
                self._left.append(one)
                continue
            close(one.sock)
            if noticed is not None:
                noticed(now - one.since)
        self._watch()

    def close(self) -> None:
        """Close all of them."""
        while self._left:
            close(self._left.popleft().sock)
