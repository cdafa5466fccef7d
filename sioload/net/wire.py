"""Frames of a websocket's client, and what hands them to the kernel (RFC 6455, section 5).

`read`, `stale`, `send`, `text_frame` and `send_text` are C (_wire.c) where there was a compiler.
"""

from __future__ import annotations

import _socket
import os
from collections.abc import Callable
from typing import Any, Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library is there without its C
    from websockets.utils import apply_mask

_native: Any = None
try:
    from sioload.net import _wire

    _native = _wire
except ImportError:
    pass


def _head(opcode: int, length: int, masked: int) -> bytes:
    if length < 126:
        return bytes((0x80 | opcode, masked | length))
    if length < 65536:
        return bytes((0x80 | opcode, masked | 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode, masked | 127)) + length.to_bytes(8, "big")


#: Masking keys from the system's random source, taken 4 KiB at a time (section 5.3).
_masks: Final[list[bytes]] = []


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """A masked final frame of a client."""
    if not _masks:
        pool = os.urandom(4096)
        _masks.extend([pool[i : i + 4] for i in range(0, 4096, 4)])
    mask = _masks.pop()
    return _head(opcode, len(payload), 0x80) + mask + apply_mask(payload, mask)


def text_of_server(payload: bytes) -> bytes:
    """A text frame as a server sends it: final, and not masked."""
    return _head(1, len(payload), 0) + payload


def joined(head: bytes, number: int | None, data: bytes) -> bytes:
    """The text of a frame in three parts."""
    return head + data if number is None else b"%b%d%b" % (head, number, data)


def _text_frame(head: bytes, number: int | None, data: bytes) -> bytes:
    return encode_frame(1, joined(head, number, data))


def _read(sock: _socket.socket, size: int) -> bytes:
    return sock.recv(size)


def _stale(sock: _socket.socket) -> bool:
    try:
        sock.recv(1, _socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        pass
    return True


def _send(sock: _socket.socket, data: bytes) -> int:
    try:
        return sock.send(data)
    except (BlockingIOError, InterruptedError):
        return 0


def _send_text(sock: _socket.socket, head: bytes, number: int | None, data: bytes) -> int | tuple[int, bytes]:
    frame = _text_frame(head, number, data)
    n = _send(sock, frame)
    return n if n == len(frame) else (n, frame[n:])


def handle(sock: _socket.socket) -> Any:
    """What the functions below take for a non-blocking socket, as long as that is open."""
    return sock if _native is None else sock.fileno()


#: (handle, size up to 16,384) -> what has arrived, b"" at its end.
#: Raises OSError: BlockingIOError when that is nothing yet.
read: Final[Callable[[Any, int], bytes]] = _read if _native is None else _native.read

#: (handle) -> whether something that nobody has read yet, or the end, is there.
stale: Final[Callable[[Any], bool]] = _stale if _native is None else _native.stale

#: (handle, data) -> how much of it the kernel took.
#: Raises OSError: the socket takes nothing any more.
send: Final[Callable[[Any, bytes], int]] = _send if _native is None else _native.send

#: (head, number, data) -> the text frame that `send_text` sends.
text_frame: Final[Callable[[bytes, int | None, bytes], bytes]] = (
    _text_frame if _native is None else _native.text_frame
)

#: (handle, head, number, data) -> length of the frame if the kernel took all of it, else how much it took and
#: the rest. The frame is a masked text: `head`, `number` in decimal digits unless it is None, and `data`.
#: Raises OSError: the socket takes nothing any more.
send_text: Final[Callable[[Any, bytes, int | None, bytes], int | tuple[int, bytes]]] = (
    _send_text if _native is None else _native.send_text
)
