"""The sans-I/O protocol of `websockets`, which judges all but ordinary frames: made here, and asked here.

What is looked at inside that library (the versions in pyproject.toml are bounded for it) is in this file.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, CloseCode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from sioload.errors import LimitError
from sioload.net.handshake import Offer

# The library logs whole packets at DEBUG: secrets must not reach the logs.
_quiet = logging.getLogger("sioload.websockets")
_quiet.disabled = True
_quiet.setLevel(logging.CRITICAL)

#: What the protocol wants to know and doesn't use: the request was sent without it.
_NOWHERE: Final = WebSocketURI(False, "localhost", 80, "/", "")


def shaking(key: str, offer: Offer, limit: int) -> ClientProtocol:
    """A protocol whose handshake was sent with this key; its messages may have `limit` bytes."""
    protocol = ClientProtocol(
        _NOWHERE,
        extensions=offer.factories or None,
        subprotocols=[Subprotocol(name) for name in offer.protocols] or None,
        max_size=limit,
        logger=_quiet,
    )
    protocol.key = key
    return protocol


def opened(limit: int) -> Protocol:
    """A protocol behind its handshake: a quarter of the memory of one that has made it."""
    return Protocol(CLIENT, state=OPEN, max_size=limit, logger=_quiet)


def let_go(protocol: Protocol) -> None:
    """It is used no more: what it reads with, or stumbled over, would hold it until the collector comes."""
    protocol.parser.close()
    protocol.parser_exc = None
    if isinstance(protocol, ClientProtocol):
        protocol.handshake_exc = None


def between_frames(protocol: Protocol) -> bool:
    """Whether the protocol waits for a frame to begin: an empty buffer may mean that one's head was read."""
    waiting: object = protocol.parser
    while (inner := getattr(waiting, "gi_yieldfrom", None)) is not None:
        waiting = inner  # behind a handshake, the parser of frames runs within that of the handshake
    return getattr(waiting, "__name__", "") == "at_eof"


def closed_by_server(close: Close) -> str:
    """What a close frame says (RFC 6455, section 7.4); 1005 stands for one that says nothing."""
    said = f"{int(close.code)} {close.reason}".strip()
    return (
        "closed by the server" if close.code == CloseCode.NO_STATUS_RCVD else f"closed by the server ({said})"
    )


def fault_of(protocol: Protocol) -> str:
    """What the peer did wrong, in a line."""
    sent = protocol.close_sent
    code, reason = (1002, "") if sent is None else (sent.code, sent.reason)
    return f"websocket protocol error {int(code)} {reason}".strip()[:100]


def too_big(error: PayloadTooBig, limit: int) -> LimitError:
    """A message is larger than the limit."""
    if error.size is None:  # it is being decompressed, up to the limit
        return LimitError.of_size("message of more than", limit, "message", limit)
    size = error.size + (error.current_size or 0)
    return LimitError.of_size("message of", size, "message", limit)
