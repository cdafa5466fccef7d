"""Where a session is asked for, and with what: URLs, parameters, headers, cookies.

Parameter order is that of engine.io-client: the user's query, EIO, transport, t, b64, sid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, urlsplit

from sioload.errors import OptionError
from sioload.options import check_query, check_strings

#: What JavaScript's encodeURIComponent leaves as it is, beside letters and digits.
_UNRESERVED = "-_.!~*'()"
_encode = lru_cache(maxsize=1024)(partial(quote, safe=_UNRESERVED))
#: Cookies that a session keeps, and the length of each: what RFC 6265, section 6.1, asks of browsers.
COOKIES, COOKIE_LENGTH = 50, 4096


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address and the path of its engine.

    Attributes:
        tls: whether the scheme is https or wss.
        host: without brackets.
        path: with leading and, for engines, trailing slash.
        query: what stood behind "?" in the URL, as written.
    """

    tls: bool
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def authority(self) -> str:
        """The Host header; the port is left out when it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def parse_url(url: object, path: str | None = None) -> Endpoint:
    """The endpoint that a URL names; `path` replaces the URL's own path, which names a namespace elsewhere.

    Raises:
        OptionError: the URL has no scheme that is spoken here, no host, or a port that is no number.
    """
    if not isinstance(url, str) or not url:
        raise OptionError("no URL: set host on the user class, pass --host, or give connect() a URL")
    return _parse(url, path)


@lru_cache(maxsize=256)
def _parse(url: str, path: str | None) -> Endpoint:
    if any(c <= " " for c in url):
        raise OptionError(f"url {url!r} holds a space or a control character")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss"):
        raise OptionError(f"url {_shown(url)!r} must begin with http://, https://, ws:// or wss://")
    if not parts.hostname:
        raise OptionError(f"url {_shown(url)!r} names no host")
    tls = parts.scheme in ("https", "wss")
    try:
        port = parts.port
    except ValueError:
        raise OptionError(f"url {_shown(url)!r}: the port must be a number from 1 to 65535") from None
    return Endpoint(tls, parts.hostname, port or (443 if tls else 80), path or parts.path or "/", parts.query)


def bare(url: str) -> str:
    """A URL without credentials, query and fragment, which may hold secrets."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?[^/]*@", r"\1", re.split("[?#]", url, maxsplit=1)[0])


def _shown(url: str) -> str:
    """A URL fit for a message: without credentials and query."""
    return url.partition("?")[0].rpartition("@")[2] if "@" in url else url.partition("?")[0]


def with_token(query: Mapping[str, Any] | str, token: str) -> Mapping[str, Any] | str:
    """A user's query with the parameter `token` behind it."""
    if isinstance(query, str):
        return f"{query}&token={_encode(token)}" if query else {"token": token}
    return {**query, "token": token}


class Request:
    """What a session's HTTP requests carry. `on_handshake(request)` may change headers, query and cookies.

    Attributes:
        method: "GET" (polls and posts of the session inherit what is added here).
        transport: "polling" or "websocket".
        url: the server's address and path, without parameters.
        headers, query, cookies: dicts of strings, the user's own beside what options gave. `query` is a
            string when it was given as one.
    """

    __slots__ = ("cookies", "encode", "endpoint", "headers", "method", "query", "transport")

    def __init__(
        self,
        endpoint: Endpoint,
        transport: str,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | str,
        cookies: Mapping[str, str],
        encode: bool,
    ) -> None:
        self.method = "GET"
        self.endpoint = endpoint
        self.transport = transport
        self.headers = dict(headers)
        self.query: dict[str, Any] | str = query if isinstance(query, str) else dict(query)
        self.cookies = dict(cookies)
        self.encode = encode

    @property
    def url(self) -> str:
        return self.endpoint.origin + self.endpoint.path

    def check(self) -> None:
        """Whether it can be sent, after a script had it in its hands.

        Raises:
            OptionError: it can't.
        """
        check_strings("headers", self.headers)
        check_strings("cookies", self.cookies)
        check_query(self.query, self.encode)

    def target(self, endpoint: Endpoint, parameters: list[tuple[str, str]]) -> str:
        """The request target: path, the user's query, then the engine's parameters."""
        parts = [p for p in (endpoint.query, self.query_string()) if p]
        parts += [f"{name}={_encode(value)}" for name, value in parameters]
        return endpoint.path + ("?" + "&".join(parts) if parts else "")

    def query_string(self) -> str:
        """The user's query, encoded as encodeURIComponent does, or as written with `encode_query` off."""
        if isinstance(self.query, str):
            return self.query.lstrip("?")
        pairs = ((str(k), "" if v is None else str(v)) for k, v in self.query.items())
        if self.encode:
            return "&".join(f"{_encode(k)}={_encode(v)}" for k, v in pairs)
        return "&".join(f"{k}={v}" for k, v in pairs)

    def header_list(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """Host, the user's headers and the cookies, in the order sent."""
        headers = [("Host", endpoint.authority)]
        for name, value in self.headers.items():
            if name.lower() == "host":
                headers[0] = (name, value)
            else:
                headers.append((name, value))
        if self.cookies and not any(name.lower() == "cookie" for name in self.headers):
            headers.append(("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        return headers

    def keep_cookies(self, headers: list[tuple[str, str]]) -> None:
        """Take over what a response set; attributes (path, expiry) are ignored for a session's length."""
        for name, value in headers:
            if name == "set-cookie":
                pair = value.partition(";")[0]
                key, _, content = pair.partition("=")
                key = key.strip()
                room = key in self.cookies or len(self.cookies) < COOKIES
                if key and room and len(pair) <= COOKIE_LENGTH:
                    self.cookies[key] = content.strip()
