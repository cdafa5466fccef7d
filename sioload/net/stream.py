"""Non-blocking byte streams, driven by one watcher of gevent's hub each (`net.tls`: those over TLS).

No greenlet is involved: bytes that arrive are handed to the owner inside the hub, bytes to send are handed to
the kernel at once, and only what it doesn't take waits in a buffer for a second watcher.
"""

from __future__ import annotations

import _socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from gevent.hub import get_hub
from mypy_extensions import mypyc_attr

from sioload.errors import End
from sioload.net.guard import guarded
from sioload.net.wire import handle, read, send, send_text, stale, text_frame

if TYPE_CHECKING:
    from sioload.measure.recorder import Recorder
    from sioload.measure.rooms import Member
    from sioload.net.pushes import BroadcastKey, Hearer

READ: Final = 1
WRITE: Final = 2
#: Bytes of one read: of a stream whose reads bring one small message each, and of one that brought more.
SMALL: Final = 448
CHUNK: Final = 16384
#: Writes that may wait for the kernel. Emits are held back long before; pongs and acks aren't.
PIECES: Final = 20_000


class Owner(Protocol):
    """Who gets a stream's bytes. All methods run in the hub and may not block."""

    __slots__ = ()

    def on_data(self, data: bytes) -> None:
        """Bytes arrived."""

    def on_lost(self, end: End) -> None:
        """The stream ended by the peer or by an error; called once, never after `close`."""

    def on_drained(self) -> None:
        """The write buffer has been handed to the kernel."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised: a defect of this program."""


class Nobody(Owner):
    """Whose a closed stream is: it and its last owner would hold each other until the collector comes."""

    __slots__ = ()

    def on_data(self, data: bytes) -> None:
        pass

    def on_lost(self, end: End) -> None:
        pass

    def on_drained(self) -> None:
        pass

    def on_crash(self, error: BaseException) -> None:
        pass


NOBODY: Final = Nobody()
#: The peer has closed its side in order.
CLOSED: Final = End("transport closed", "closed by the peer")


def os_end(error: OSError) -> End:
    """An error of the system, in short and without addresses."""
    return End("transport error", (error.strerror or type(error).__name__).lower())


def close(sock: _socket.socket) -> None:
    """Close a socket. Its descriptor is free even if that reports an error, which nobody can act on."""
    try:
        sock.close()
    except OSError:
        pass


@mypyc_attr(allow_interpreted_subclasses=True)
class Stream:
    """A connected TCP socket.

    Attributes:
        owner: who that is; nobody once it is closed, so that whoever closes it in a callback is asked before.
        counted: pushes with this key need only be counted; the owner needn't see them, and sets this while
            each read begins with a new message. This is the hottest path, and looks at few objects.
        member, hearer: who hears them, and whose handlers are called.
        buffered: bytes taken by `write` and not yet by the kernel.
    """

    __slots__ = ("_handle", "_meter", "_out", "_reader", "_small", "_sock", "_writer", "buffered", "closed",
                 "counted", "hearer", "member", "owner")  # fmt: skip

    def __init__(self, sock: _socket.socket, owner: Owner, meter: Recorder) -> None:
        self._sock = sock
        self._handle = handle(sock)
        self._meter = meter
        self.owner = owner
        self._out: deque[bytes] | None = None
        self._small = True
        self.counted: BroadcastKey | None = None
        self.member: Member | None = None
        self.hearer: Hearer | None = None
        self.buffered = 0
        self.closed = False
        self._writer: Any = None
        self._reader: Any = get_hub().loop.io(sock.fileno(), READ)
        self._reader.start(self)

    def write(self, data: bytes) -> None:
        """Hand `data` to the kernel, or buffer what it doesn't take. Nothing happens on a closed stream."""
        if self.closed:
            return
        if self._out:
            if len(self._out) >= PIECES:
                self._fail_later(data, End("transport error", "the peer takes nothing"))
                return
            self._out.append(data)
            self.buffered += len(data)
            return
        try:
            n = send(self._handle, data)
        except OSError as error:
            self._fail_later(data, os_end(error))
            return
        self._meter.bytes_sent += n
        if n != len(data):
            self._keep(data[n:])

    def write_text(self, head: bytes, number: int | None, data: bytes) -> None:
        """As `write`, a text frame of a websocket's client: `head`, `number` in digits if any, and `data`."""
        if self.closed or self._out:
            self.write(text_frame(head, number, data))
            return
        try:
            sent = send_text(self._handle, head, number, data)
        except OSError as error:
            self._fail_later(data, os_end(error))
            return
        if isinstance(sent, tuple):
            n, rest = sent
            self._meter.bytes_sent += n
            self._keep(rest)
        else:
            self._meter.bytes_sent += sent

    def _keep(self, data: bytes) -> None:
        """The kernel doesn't take `data` yet."""
        self._out = deque((data,))
        self.buffered = len(data)
        try:
            if self._writer is None:
                self._writer = get_hub().loop.io(self._sock.fileno(), WRITE)
            self._writer.start(self._writable)
        except MemoryError:
            get_hub().loop.run_callback(self._failed, End("transport error", "out of memory"))

    def stale(self) -> bool:
        """Whether something that nobody has read yet, or the end, is there."""
        return stale(self._handle)

    def received(self) -> int:
        """Bytes that have come so far, as the system counts them; 0 where it doesn't (tcp(7), TCP_INFO)."""
        info = self._sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, 136)
        return int.from_bytes(info[128:136], sys.byteorder)

    def close(self) -> None:
        """Close now; what is still buffered is dropped. The owner hears nothing of it."""
        if not self.closed:
            close(self.release())

    def release(self) -> _socket.socket:
        """End this stream without closing its socket, for another one on it."""
        self.closed = True
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = None
        self._out = None
        self.owner = NOBODY
        self.hearer = None
        return self._sock

    def abort(self) -> None:
        """Close with a TCP reset."""
        if not self.closed:
            self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            self.close()

    def _fail(self, end: End) -> None:
        if not self.closed:
            owner = self.owner
            self.close()
            owner.on_lost(end)

    def _fail_later(self, data: bytes, end: End) -> None:
        """`data` can't be sent. The caller may be a user's greenlet; the owner hears of it in the hub."""
        if self._out is None:
            self._out = deque()
        self._out.append(data)  # so that nobody takes it for handed over
        self.buffered += len(data)
        get_hub().loop.run_callback(self._failed, end)

    def _failed(self, end: End) -> None:
        guarded(self.owner.on_crash, self._fail, end)

    def __call__(self) -> None:
        """The socket is readable."""
        owner = self.owner
        try:
            try:
                data = read(self._handle, SMALL) if self._small else read(self._handle, CHUNK)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(os_end(error))
                return
            size = len(data)
            if size:
                self._meter.bytes_received += size
                if size == SMALL:
                    self._small = False
                self._received(data)
            else:
                self._fail(CLOSED)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            owner.on_crash(error)

    def _received(self, data: bytes) -> None:
        """Bytes for the owner, which needn't see those that are only to be counted."""
        key = self.counted
        if key is not None:
            push = key.pushes.get(data)
            if push is not None and push.key is key:
                push.count(self.member, self.hearer)
                return
        self.owner.on_data(data)

    def _writable(self) -> None:
        owner = self.owner
        try:
            out = self._out
            while out:
                try:
                    n = send(self._handle, out[0])
                except OSError as error:
                    self._fail(os_end(error))
                    return
                self._meter.bytes_sent += n
                self.buffered -= n
                if n == len(out[0]):
                    out.popleft()
                elif n:
                    out[0] = out[0][n:]
                else:
                    return
            if self.closed:
                return
            self._out = None
            self._writer.stop()
            self._writer.close()
            self._writer = None
            owner.on_drained()
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            owner.on_crash(error)
