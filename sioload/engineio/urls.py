"""Where a session is asked for, and with what: URLs, parameters, headers, cookies.

Parameter order is that of engine.io-client: the user's query, EIO, transport, t, b64, sid.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urljoin, urlsplit

from sioload.engineio.cookies import Jar, Keeper
from sioload.engineio.cookies import given as given_cookies
from sioload.errors import OptionError
from sioload.options import check_query, check_strings, check_text, parameter
from sioload.plain import Json

logger = logging.getLogger(__name__)
#: Schemes that are spoken here, and whether they are over TLS.
_SCHEMES = {"http": False, "https": True, "ws": False, "wss": True}
#: What JavaScript's encodeURIComponent leaves as it is, beside letters and digits.
_UNRESERVED = "-_.!~*'()"
#: What it leaves alone: most values, and each session's id.
_plain = re.compile(rf"[\w{re.escape(_UNRESERVED)}]*", re.ASCII).fullmatch
#: What a request's target may hold as it is.
_ASCII = "".join(map(chr, range(128)))
#: Content codings of answers.
_READABLE = frozenset(("gzip", "deflate", "identity"))
#: What is meant for one server alone.
_CONFIDENTIAL = frozenset(("authorization", "cookie", "proxy-authorization"))
#: Headers that a request manages itself: one that a script copied from a browser would contradict them.
_MANAGED = frozenset(
    ("connection", "content-length", "cookie", "host", "keep-alive", "transfer-encoding", "upgrade")
)
#: Parameters that each request of Engine.IO has of its own.
_ENGINES = frozenset(("EIO", "transport", "sid"))


@lru_cache(maxsize=1024)
def encoded(text: str) -> str:
    """A part of a query, as encodeURIComponent writes it."""
    return text if _plain(text) else quote(text, safe=_UNRESERVED)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address and the path of its engine.

    Attributes:
        tls: whether the scheme is https or wss.
        host: without brackets, in ASCII as DNS and headers have it (xn--...).
        path: with leading and, for engines, trailing slash.
        query: what stood behind "?" in the URL, as written.
        authorization: the header's value for the credentials in the URL, "" without any.
    """

    tls: bool
    host: str
    port: int
    path: str
    query: str = ""
    authorization: str = ""

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
        found = f"url {url!r} is no text" if url else "no URL"
        raise OptionError(f"{found}: set host on the user class, pass --host, or give connect() a URL")
    return _parse(url, path)


@lru_cache(maxsize=256)
def _parse(url: str, path: str | None) -> Endpoint:
    if any(c <= " " for c in url):
        raise OptionError(f"url {url!r} holds a space or a control character")
    check_text("url", url)
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:  # brackets without an address, a name with two dots in a row
        raise OptionError(
            f"url {_shown(url)!r}: the host can't be read: give a name, or an IPv6 address in brackets [::1]"
        ) from None
    tls = _SCHEMES.get(parts.scheme)
    if tls is None:
        raise OptionError(f"url {_shown(url)!r} must begin with http://, https://, ws:// or wss://")
    if not host:
        raise OptionError(f"url {_shown(url)!r} names no host")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:  # nobody listens there, and it isn't the scheme's own
        raise OptionError(f"url {_shown(url)!r}: the port must be a number from 1 to 65535")
    basic = ""
    if parts.username or parts.password:
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        basic = "Basic " + b64encode(credentials.encode()).decode()
    path = path or parts.path or "/"
    return Endpoint(tls, host, port or (443 if tls else 80), path, parts.query, basic)


def in_ascii(target: str) -> str:
    """A request target as browsers write it; servers, Node's among them, refuse the bytes themselves."""
    return target if target.isascii() else quote(target, safe=_ASCII)


def host_url(url: object) -> Endpoint:
    """The endpoint of a host, which has no path: it would go unheeded.

    Raises:
        OptionError: as `parse_url`, or there is a path.
    """
    endpoint = parse_url(url)
    path = endpoint.path
    if path.rstrip("/") == "/socket.io":
        raise OptionError(
            f"host {_shown(str(url))!r} has a path: leave {path} out, it is asked for by itself"
        )
    if path != "/":
        raise OptionError(
            f"host {_shown(str(url))!r} has a path: give a namespace as the option namespaces "
            "(or in a URL for connect()), the server's own path as the option path"
        )
    return endpoint


def redirected(endpoint: Endpoint, sent: str, location: str) -> Endpoint | None:
    """Where an answer sends a request, whose target `sent` was; None if that is no place to go to.

    Parameters that were sent are sent there anew; others that the answer adds stay.
    """
    location = quote(location, safe=_ASCII, encoding="latin-1")  # as which headers are read
    try:
        parts = urlsplit(urljoin(f"{endpoint.origin}{endpoint.path}", location))
        port = parts.port
    except ValueError:
        return None
    tls = _SCHEMES.get(parts.scheme)
    if tls is None or not parts.hostname or any(c <= " " for c in location):
        return None
    port = port or (443 if tls else 80)
    known = set(sent.partition("?")[2].split("&"))
    kept = [endpoint.query] if endpoint.query else []
    kept += [part for part in parts.query.split("&") if part and part not in known]
    same = stays(endpoint, tls, parts.hostname, port)
    authorization = endpoint.authorization if same else ""
    return Endpoint(tls, parts.hostname, port, parts.path or "/", "&".join(kept), authorization)


def stays(endpoint: Endpoint, tls: bool, host: str, port: int) -> bool:
    """Whether that is the same server: of another port only as http's turn to https."""
    return host == endpoint.host and (port == endpoint.port or (tls and not endpoint.tls))


def bare(url: str) -> str:
    """A URL without credentials, query and fragment, which may hold secrets."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?[^/]*@", r"\1", re.split("[?#]", url, maxsplit=1)[0])


def _shown(url: str) -> str:
    """A URL fit for a message: without credentials and query."""
    return url.partition("?")[0].rpartition("@")[2] if "@" in url else url.partition("?")[0]


@lru_cache(maxsize=64)
def readable(accepted: str) -> str:
    """The content codings of an Accept-Encoding header that can be read here; what is left out is said."""
    codings = [part.strip() for part in accepted.split(",") if part.strip()]
    kept = [coding for coding in codings if coding.partition(";")[0].strip().lower() in _READABLE]
    left = [coding for coding in codings if coding not in kept]
    if not left:
        return accepted
    logger.warning(
        "sioload: Accept-Encoding is sent without %s, which can't be decoded here", ", ".join(left)[:80]
    )
    return ", ".join(kept) or "identity"


def without_engines(query: str) -> str:
    """A query without parameters that are the engine's own, as a URL has that was copied from a browser.

    A server that finds one twice takes neither.
    """
    parts = query.split("&")
    return "&".join([part for part in parts if part.partition("=")[0] not in _ENGINES])


def with_token(query: Mapping[str, Json] | str, token: str, encode: bool) -> Mapping[str, Json] | str:
    """A user's query with the parameter `token` behind it, encoded whether the query is (`encode`) or not."""
    if isinstance(query, str) and query:
        return f"{query}&token={encoded(token)}"
    own: Mapping[str, Json] = {} if isinstance(query, str) else query
    return {**own, "token": token if encode else encoded(token)}


class Request:
    """What a session's HTTP requests carry. `on_handshake(request)` may change headers, query and cookies.

    Attributes:
        method: "GET" (polls and posts of the session inherit what is added here).
        transport: "polling" or "websocket".
        url: the server's address and path, without parameters.
        headers, query: dicts of strings, the user's own beside what options gave. `query` is a string when it
            was given as one.
        cookies: a dict of what would be sent now; changes to it go into the user's jar.
        edits: how often any of these may have changed.
    """

    __slots__ = ("_cookie_header", "_cookies", "_elsewhere", "_jar", "_keeper", "_left", "_options_headers",
                 "_own", "edits", "encode", "endpoint", "headers", "method", "query",
                 "transport")  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        transport: str,
        headers: Mapping[str, str],
        query: Mapping[str, Json] | str,
        cookies: Mapping[str, str],
        encode: bool,
        keeper: Keeper | None = None,
        elsewhere: str = "",
    ) -> None:
        """`elsewhere`: the host of `handshake_url`, which gets the same cookies."""
        self.method = "GET"
        self.endpoint = endpoint
        self.transport = transport
        self.headers = dict(headers)
        self.query: dict[str, Json] | str = query if isinstance(query, str) else dict(query)
        self.encode = encode
        self.edits = 0
        self._options_headers = headers
        self._left = False
        self._elsewhere = elsewhere
        self._keeper = keeper
        self._jar: Jar | None = None
        self._cookies: tuple[dict[str, str], dict[str, str]] | None = None  # before and after the hook
        self._cookie_header: list[tuple[str, str]] = []
        self._own: tuple[Endpoint, int, str] | None = None  # where, after which edit, and what goes there
        if cookies or headers:
            self._give(cookies)

    def _give(self, cookies: Mapping[str, str]) -> None:
        """A script's own cookies go into the jar; those in a header only when that has changed."""
        header = given_cookies({}, self.headers)
        own = list(cookies.items())
        if header != self._cookie_header:
            self._cookie_header = header
            own = header + own
        for name, value in own:
            for host in (self.endpoint.host, self._elsewhere):
                if host:
                    self._make_jar().give(name, value, host)

    @property
    def url(self) -> str:
        return self.endpoint.origin + self.endpoint.path

    @property
    def jar(self) -> Jar | None:
        """The user's cookies, None while there are none."""
        return self._jar if self._keeper is None else self._keeper.jar()

    def _make_jar(self) -> Jar:
        jar = self._jar if self._keeper is None else self._keeper.jar(make=True)
        if jar is None:
            jar = self._jar = Jar()
        return jar

    @property
    def cookies(self) -> dict[str, str]:
        if self._cookies is None:
            jar, at = self.jar, self.endpoint
            before = {} if jar is None else jar.values(at.host, at.path, at.tls, 0.0)
            self._cookies = before, dict(before)
        return self._cookies[1]

    @cookies.setter
    def cookies(self, value: dict[str, str]) -> None:
        self._cookies = {**self.cookies}, value

    def check(self) -> None:
        """Take over what a script has changed, after it had this in its hands.

        Raises:
            OptionError: it can't be sent.
        """
        self.edits += 1
        check_strings("headers", self.headers)
        check_query(self.query, self.encode)
        before, after = self._cookies if self._cookies is not None else ({}, {})
        check_strings("cookies", after)
        self._cookies = None
        for name in before.keys() - after.keys():
            self._make_jar().drop(name, self.endpoint.host)
        self._give({name: value for name, value in after.items() if before.get(name) != value})
        if self._left:
            self.leave(self.endpoint)

    def leave(self, endpoint: Endpoint) -> None:
        """Go on at another server's: nothing follows there that was meant for this one alone."""
        self.edits += 1
        kept = {k: v for k, v in self._options_headers.items() if k.lower() not in _CONFIDENTIAL}
        self.headers = kept
        self.endpoint = endpoint
        self._left = True

    def target(self, endpoint: Endpoint, engines: str) -> str:
        """The request target, in ASCII: path, the user's query, then the engine's parameters, encoded."""
        own = self._own
        if own is None or own[0] is not endpoint or own[1] != self.edits or not engines:
            given = [query for query in (endpoint.query, self.query_string()) if query]
            if engines:
                given = [query for query in map(without_engines, given) if query]
            text = in_ascii(endpoint.path + ("?" + "&".join(given) if given else ""))
            if not engines:
                return text
            own = self._own = endpoint, self.edits, text
        text = own[2]
        return f"{text}&{engines}" if "?" in text else f"{text}?{engines}"

    def query_string(self) -> str:
        """The user's query, encoded as encodeURIComponent does, or as written with `encode_query` off."""
        if isinstance(self.query, str):
            return self.query.lstrip("?")
        pairs = ((str(k), parameter(k, v)) for k, v in self.query.items())
        if self.encode:
            return "&".join(f"{encoded(k)}={encoded(v)}" for k, v in pairs)
        return "&".join(f"{k}={v}" for k, v in pairs)

    def header_list(
        self, endpoint: Endpoint, websocket: bool = False, now: float = 0.0
    ) -> list[tuple[str, str]]:
        """Host, the user's headers and the cookies, in the order sent, each name once.

        Args:
            endpoint: where the request goes.
            websocket: it is a handshake, which manages more headers of these itself.
            now: time of day in seconds.
        """
        found = {"host": ("Host", endpoint.authority)}
        for name, value in self.headers.items():
            low = name.lower()
            if low not in _MANAGED and (websocket or not low.startswith("sec-websocket-")):
                found[low] = (name, readable(value) if low == "accept-encoding" else value)
        if endpoint.authorization:
            found.setdefault("authorization", ("Authorization", endpoint.authorization))
        text = self.cookie(endpoint, now)
        if text:
            found["cookie"] = ("Cookie", text)
        return list(found.values())

    def cookie(self, endpoint: Endpoint, now: float = 0.0) -> str:
        """The Cookie header of a request there, "" without one."""
        jar = self.jar
        if jar is None:
            return ""
        return jar.header(endpoint.host, endpoint.path, endpoint.tls, now, not self._left)

    def keep_cookie(self, header: str, endpoint: Endpoint, now: float = 0.0) -> None:
        """Take over what a response set: one Set-Cookie header."""
        self._make_jar().take(header, endpoint.host, endpoint.path, now)

    def secrets(self) -> list[object]:
        """What may not be seen in reports and logs."""
        jar = self.jar
        return [
            self.headers,
            self.query,
            self.endpoint.authorization,
            *(() if jar is None else jar.secrets()),
        ]
