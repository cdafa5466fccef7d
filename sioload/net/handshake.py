"""A client's opening handshake of a websocket (RFC 6455, section 4.1), and the plain yes to it.

What isn't a plain yes is left to `websockets.client.ClientProtocol`, which reads it with the same key.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD = re.compile(rb"HTTP/1\.1 101 [\t -~]*(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*){1,100}")
#: Longer heads are judged by the library, which bounds lines and their number.
LONG = 4096


def new_key() -> str:
    """A value for Sec-WebSocket-Key."""
    return binascii.b2a_base64(os.urandom(16), newline=False).decode()


def headers_of(key: str, compress: bool) -> list[tuple[str, str]]:
    """The request's own headers; with `compress` it offers permessage-deflate (RFC 7692, section 7.1)."""
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    ]
    if compress:
        headers.append(("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))
    return headers


def accepted(head: bytes, key: str) -> list[tuple[str, str]] | None:
    """The headers of an answer that says yes, names in lower case; None if somebody else is to judge it.

    Args:
        head: all before the empty line.
        key: that of the request.
    """
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
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    accept = needed.pop("sec-websocket-accept", "")
    names = {name: value.lower() for name, value in needed.items()}
    if names != {"upgrade": "websocket", "connection": "upgrade"}:
        return None
    return headers if accept == binascii.b2a_base64(digest, newline=False).decode() else None
