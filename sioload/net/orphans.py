"""Sockets that were left without a word: open until the server gives them up, or the run ends."""

from __future__ import annotations

import _socket
from collections.abc import Callable
from time import perf_counter
from typing import Final

from sioload.net.deadlines import Deadlines
from sioload.net.stream import close

#: Seconds between two looks at them.
LOOK: Final = 0.25
#: States of TCP in which the peer hasn't closed its side (tcp(7), TCP_INFO: the first byte).
_OPEN: Final = (1,)


class Orphans:
    """The sockets of one process that nobody reads any more.

    One that the server has closed is closed here too, lest they become as many as there were drops.

    Attributes:
        noticed: called in the hub with the seconds after which the server closed one; None when nobody asks.
    """

    __slots__ = ("_deadlines", "_left", "_looking", "noticed")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._left: list[tuple[_socket.socket, float]] = []
        self._looking = False
        self.noticed: Callable[[float], None] | None = None

    def __len__(self) -> int:
        return len(self._left)

    def add(self, sock: _socket.socket) -> None:
        """Keep a socket open that nobody reads any more."""
        self._left.append((sock, perf_counter()))
        self._watch()

    def _watch(self) -> None:
        if not self._looking and self._left:
            self._looking = True
            self._deadlines.at(perf_counter() + LOOK, self._look)

    def _look(self, now: float) -> None:
        self._looking = False
        kept = []
        for sock, since in self._left:
            if sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, 1)[0] in _OPEN:
                kept.append((sock, since))
                continue
            close(sock)
            if self.noticed is not None:
                self.noticed(now - since)
        self._left = kept
        self._watch()

    def close(self) -> None:
        """Close all of them."""
        left, self._left = self._left, []
        for sock, _ in left:
            close(sock)
