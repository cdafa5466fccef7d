"""Streams of slow users (option `read_rate`): what they haven't taken yet waits in the server's buffers."""

from __future__ import annotations

import _socket
import ssl
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sioload.net.stream import CHUNK, CLOSED, Owner, Stream, os_end
from sioload.net.tls import TLSStream
from sioload.net.wire import read

if TYPE_CHECKING:
    from sioload.measure.recorder import Recorder
    from sioload.net.deadlines import Deadlines, Timer

#: Bytes that the kernel is asked to keep at most for such a user (it takes twice as many, and no less than
#: 2,304). More would hide the user's slowness from the server for as long as it takes to fill.
BUFFER: Final = 2048
#: Seconds of its rate that a user takes at a time.
SHARE: Final = 0.1


def narrow(sock: _socket.socket) -> None:
    """Give a socket that isn't connected yet a small receive buffer."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, BUFFER)


class _Slow:
    """What a slow stream does when there is something to read: it takes its share, and rests for that."""

    _deadlines: Deadlines
    _rate: float
    _timer: Timer | None = None

    def pace(self, deadlines: Deadlines, rate: float) -> None:
        """Take so many bytes a second."""
        self._deadlines = deadlines
        self._rate = rate

    def __call__(self: Any) -> None:
        """The socket is readable."""
        owner = self.owner
        try:
            try:
                data = read(self._handle, max(1, int(min(CHUNK, self._rate * SHARE))))
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(os_end(error))
                return
            if not data:
                self._fail(CLOSED)
                return
            self._meter.bytes_received += len(data)
            self._reader.stop()
            self._timer = self._deadlines.at(perf_counter() + len(data) / self._rate, self._go_on)
            self._received(data)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            owner.on_crash(error)

    def _go_on(self: Any, now: float) -> None:
        self._timer = None
        if not self.closed:
            self._reader.start(self)

    def release(self: Any) -> _socket.socket:
        """See `Stream.release`."""
        self._deadlines.cancel(self._timer)
        return Stream.release(self)


class SlowStream(_Slow, Stream):
    """A TCP socket of which so much is taken and no more."""

    def __init__(
        self, sock: _socket.socket, owner: Owner, meter: Recorder, deadlines: Deadlines, rate: float
    ) -> None:
        self.pace(deadlines, rate)
        super().__init__(sock, owner, meter)


class SlowTLSStream(_Slow, TLSStream):
    """The same, with TLS; it is the encrypted bytes that count."""

    def __init__(
        self,
        sock: _socket.socket,
        owner: Owner,
        meter: Recorder,
        deadlines: Deadlines,
        rate: float,
        context: ssl.SSLContext,
        server_hostname: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.pace(deadlines, rate)
        super().__init__(sock, owner, meter, context, server_hostname, session)
