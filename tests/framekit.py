"""Frames of a websocket as a server writes them, also those that no server should (RFC 6455, section 5.2)."""

from __future__ import annotations

import zlib


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, length: int | None = None,
          mask: bytes = b"", wide: int = 0) -> bytes:  # fmt: skip
    """A frame; `length` lies about its payload's, `wide` writes it in 2 or 8 bytes; `mask` isn't applied."""
    n = len(payload) if length is None else length
    head = bytes((0x80 * fin | rsv << 4 | opcode,))
    masked = 0x80 if mask else 0
    if n < 126 and not wide:
        head += bytes((masked | n,))
    elif n < 65536 and wide != 8:
        head += bytes((masked | 126,)) + n.to_bytes(2, "big")
    else:
        head += bytes((masked | 127,)) + n.to_bytes(8, "big")
    return head + mask + payload


def deflated(payload: bytes) -> bytes:
    """A payload as permessage-deflate compresses it (RFC 7692, section 7.2.1)."""
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (made.compress(payload) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]
