"""A client's opening handshake of a websocket (RFC 6455, section 4.1), and the plain yes to it.

What isn't a plain yes is left to `websockets.client.ClientProtocol`, which reads it with the same key.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD = re.compile(rb"HTTP/1\.1 101 [\t -~]*(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*){1,100}")
#: Longer heads are judged by the library, which bounds lines and their number.
LONG = 4096


def new_key() -> str:
    """A value for Sec-WebSocket-Key."""
    return binascii.b2a_base64(os.urandom(16), newline=False).decode()


class Offer(NamedTuple):
    """What a request offers that its answer may take up.

    Attributes:
        protocols: subprotocols, in order of preference (RFC 6455, section 4.1).
        extensions: the header's text, "" without one.
        factories: for each permessage-deflate in it, what reads the answer to it.
    """

    protocols: tuple[str, ...]
    extensions: str
    factories: tuple[ClientPerMessageDeflateFactory, ...]


_NOTHING = Offer((), "", ())
#: What the option `compress` offers (RFC 7692, section 7.1).
COMPRESS = "permessage-deflate; client_max_window_bits"
#: Of zlib. A browser's are 6 and 8: 2 to 9 % fewer bytes, for up to three times the CPU and twice the memory.
_CHEAP: Final = {"level": 3, "memLevel": 5}
_PARAMETER = re.compile(
    r"(server_no_context_takeover|client_no_context_takeover|client_max_window_bits)|"
    r"(server_max_window_bits|client_max_window_bits(?!=\"?8))=\"?([89]|1[0-5])\"?"  # zlib takes no 8
)


def offer_of(headers: Sequence[tuple[str, str]], compress: bool) -> Offer:
    """What is offered: by a script's own headers, and for the option `compress`."""
    protocols = extensions = ""
    for name, value in headers:
        if name[:14].lower() == "sec-websocket-":
            if name.lower() == "sec-websocket-protocol":
                protocols = value
            elif name.lower() == "sec-websocket-extensions":
                extensions = value
    if not protocols and not extensions:
        return _offer("", COMPRESS) if compress else _NOTHING
    return _offer(protocols, extensions or (COMPRESS if compress else ""))


@lru_cache(maxsize=256)
def _offer(protocols: str, extensions: str) -> Offer:
    """Extensions that aren't known here aren't offered: an answer that takes one up couldn't be read."""
    texts, factories = [], []
    for text in extensions.split(","):
        name, *parameters = (part.strip() for part in text.split(";"))
        found = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
        if name == "permessage-deflate" and None not in found:
            bits = {m[2]: int(m[3]) for m in found if m is not None and m[2]}
            bare = {m[1] for m in found if m is not None}
            own: Any = bits.get("client_max_window_bits")
            if own is None and "client_max_window_bits" in bare:
                own = True  # boxed: the library tells it from the number 1
            factory = ClientPerMessageDeflateFactory(
                server_no_context_takeover="server_no_context_takeover" in bare,
                client_no_context_takeover="client_no_context_takeover" in bare,
                server_max_window_bits=bits.get("server_max_window_bits"),
                client_max_window_bits=own,
                compress_settings=_CHEAP,
            )
            texts.append(text.strip())
            factories.append(factory)
    names = tuple(name.strip() for name in protocols.split(",") if name.strip())
    return Offer(names, ", ".join(texts), tuple(factories))


#: What a script's headers don't decide, since the handshake does (RFC 6455, section 4.1).
_OURS = frozenset(
    ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
     "sec-websocket-extensions", "sec-websocket-accept", "content-length", "transfer-encoding")
)  # fmt: skip


class Head(NamedTuple):
    """A request for a websocket behind its target (RFC 6455, section 4.1).

    Attributes:
        before, after: what stands around the key.
        offer: what it offers.
    """

    before: str
    after: str
    offer: Offer


@lru_cache(maxsize=256)
def head_of(headers: tuple[tuple[str, str], ...], compress: bool) -> Head:
    """The head with a script's headers, but for those that the handshake manages. Most users have one."""
    offer = offer_of(headers, compress)
    own = [f"{name}: {value}" for name, value in headers if name.lower() not in _OURS]
    before = [" HTTP/1.1", *own, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: "]
    after = ["", "Sec-WebSocket-Version: 13"]
    if offer.protocols:
        after.append(f"Sec-WebSocket-Protocol: {', '.join(offer.protocols)}")
    if offer.extensions:
        after.append(f"Sec-WebSocket-Extensions: {offer.extensions}")
    return Head("\r\n".join(before), "\r\n".join([*after, "", ""]), offer)


#: The last answers that said yes, as they are before and behind the proof that they had the key, and what
#: was offered to them; with the headers that were read. All users get one from a server.
_yes: Final[dict[tuple[bytes, bytes, tuple[str, ...]], list[tuple[str, str]]]] = {}
YES: Final = 32


def accepted(head: bytes, key: str, protocols: tuple[str, ...] = ()) -> list[tuple[str, str]] | None:
    """The headers of an answer that says yes, names in lower case; None if somebody else is to judge it.

    Of an answer that differs from one before in nothing but the proof, that one's are returned.

    Args:
        head: all before the empty line.
        key: that of the request.
        protocols: subprotocols that it offered, of which the answer may name one.
    """
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    proof = binascii.b2a_base64(digest, newline=False)
    before, found, behind = head.partition(proof)
    if not found:
        return None
    known = _yes.get((before, behind, protocols))
    if known is None:
        known = _read(head, proof.decode(), protocols)
        if known is not None:
            if len(_yes) >= YES:
                _yes.clear()
            _yes[before, behind, protocols] = known
    return known


def _read(head: bytes, proof: str, protocols: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """The headers of an answer that wasn't there before, None if it isn't a whole and plain yes."""
    if len(head) > LONG or _HEAD.fullmatch(head) is None:
        return None
    headers = []
    needed = {}
    for line in head.decode("ascii").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip("\t ")
        headers.append((name, value))
        if name == "upgrade" or name == "connection" or name.startswith("sec-websocket-"):
            if name in needed:
                return None
            needed[name] = value
    accept = needed.pop("sec-websocket-accept", "")
    if protocols and needed.get("sec-websocket-protocol", protocols[0]) in protocols:
        needed.pop("sec-websocket-protocol", None)
    names = {name: value.lower() for name, value in needed.items()}
    if names != {"upgrade": "websocket", "connection": "upgrade"}:
        return None
    return headers if accept == proof else None
