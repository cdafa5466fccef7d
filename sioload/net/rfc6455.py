"""The sans-I/O protocol of `websockets`, which judges all but ordinary frames: made here, and asked here.

What is looked at inside that library (the versions in pyproject.toml are bounded for it) is in this file.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets import exceptions
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.extensions import Extension
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from sioload.errors import LimitError, ProtocolError
from sioload.net.handshake import Offer

# The library logs whole packets at DEBUG: secrets must not reach the logs.
_quiet = logging.getLogger("sioload.websockets")
_quiet.disabled = True
_quiet.setLevel(logging.CRITICAL)

#: Those of messages, by their numbers: looking them up in the enumeration takes longer.
OPCODES: Final = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)

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


def opened(limit: int, deflate: Extension | None, begun: bytes) -> Protocol:
    """A protocol behind its handshake: a quarter of the memory of one that has made it.

    `begun` is what has come of a frame so far.
    """
    protocol = Protocol(CLIENT, state=OPEN, max_size=limit, logger=_quiet)
    protocol.extensions = [] if deflate is None else [deflate]
    if begun:
        protocol.receive_data(begun)
    return protocol


def compressed(extension: Extension, opcode: int, message: bytes) -> bytes:
    """The payload of a compressed frame (RFC 7692, section 7.2.1)."""
    return bytes(extension.encode(Frame(OPCODES[opcode], message)).data)


def decompressed(extension: Extension, opcode: int, payload: bytes, limit: int) -> bytes:
    """The message of a whole compressed frame (RFC 7692, section 7.2.2).

    Raises:
        ProtocolError: it has more than `limit` bytes, or can't be decompressed.
    """
    try:
        return bytes(extension.decode(Frame(OPCODES[opcode], payload, True, True), max_size=limit).data)
    except PayloadTooBig as error:
        raise too_big(error, limit) from None
    except exceptions.ProtocolError as error:
        raise ProtocolError(f"websocket protocol error 1002 {error}") from None


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
