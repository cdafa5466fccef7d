"""One user's cookies, by the rules of RFC 6265 that matter to a client of one server and its load balancers.

Pure: `now` is the time of day in seconds, as `Expires` counts it. Ports are ignored, and so is HttpOnly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http.cookiejar import http2time  # type: ignore[attr-defined]
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from sioload.engineio.packet import undouble

INFINITY = float("inf")
#: A year of two digits in a date, as servers write it that go by Netscape's draft.
_YEAR = re.compile(r"(?<=-)(\d\d)(?= )", re.ASCII)
#: Cookies that a user keeps, and the length of each: what RFC 6265, section 6.1, asks of browsers.
COOKIES, LENGTH = 50, 4096


class Cookie(NamedTuple):
    """One cookie.

    Attributes:
        host: where it goes; with `subdomains`, to hosts below that too. "": anywhere, as Requests sends what
            a script put into its jar without a domain.
        expires: time of day in seconds, infinite for one that lasts as long as the user.
    """

    name: str
    value: str
    host: str = ""
    path: str = "/"
    subdomains: bool = False
    secure: bool = False
    expires: float = INFINITY

    @property
    def pair(self) -> str:
        """As a Cookie header has it."""
        return f"{self.name}={self.value}" if self.name else self.value


class Mirror(Protocol):
    """Another holder of the same user's cookies, such as its HTTP client."""

    def pull(self, host: str) -> list[Cookie] | None:
        """All that it holds by now, None if that is what was pulled or pushed last."""

    def push(self, cookies: Sequence[Cookie]) -> None:
        """What it has to hold from now on."""


class Keeper(Protocol):
    """Who has a user's jar."""

    def jar(self, make: bool = False) -> Jar | None:
        """The jar; None while there has been no cookie, unless it is to be made."""


class Jar:
    """The cookies of one user."""

    __slots__ = ("_cookies", "_given", "_headers", "mirror")

    def __init__(self) -> None:
        self._cookies: list[Cookie] = []  # the eldest first
        self._given: dict[tuple[str, str], str] = {}  # by a script: name and host to value
        self._headers: dict[tuple[str, str, bool, bool], tuple[float, str]] = {}
        self.mirror: Mirror | None = None

    def give(self, name: str, value: str, host: str) -> None:
        """A script's own cookie, for the server `host`; nothing happens when the same was given before."""
        if self._given.get((name, host)) == value:
            return
        self._pull(host)
        self._given[name, host] = value
        self._put(Cookie(name, value, host), self._others(name, host))

    def drop(self, name: str, host: str) -> None:
        """A script took it away from what goes to this server."""
        self._pull(host)
        self._put(None, self._others(name, host))

    def take(self, header: str, host: str, path: str, now: float) -> None:
        """A Set-Cookie header of an answer to a request for `path` (RFC 6265, sections 5.2 and 5.3)."""
        cookie = parse(header, host, path, now)
        if cookie is None:
            return
        self._pull(host)
        place = cookie.name, cookie.host, cookie.path
        rest = [c for c in self._cookies if (c.name, c.host, c.path) != place]
        # Of a script's own, one of another path is replaced too.
        rest = [c for c in rest if c.name != cookie.name or not (self._is_given(c) and _reaches(c, host))]
        self._put(cookie if cookie.expires > now else None, rest)

    def join(self, held: list[Cookie], mirror: Mirror) -> None:
        """Share all with another holder from now on; of one name and host, what is `held` is the newer."""
        newer = {(cookie.name, cookie.host) for cookie in held}
        mine = [c for c in self._cookies if newer.isdisjoint(((c.name, c.host), (c.name, "")))]
        self.mirror = mirror
        self._put(None, mine + held)

    def header(self, host: str, path: str, tls: bool, now: float, own: bool = True) -> str:
        """The Cookie header of a request, "" for none; without `own`, only what servers set.

        The text is kept until a cookie changes or expires.
        """
        self._pull(host)
        key = (host, path, tls, own)
        known = self._headers.get(key)
        if known is not None and known[0] > now:
            return known[1]
        sent = self._sent(host, path, tls, now)
        if not own:
            sent = [c for c in sent if not self._is_given(c)]
        sent.sort(key=lambda c: -len(c.path))  # the longest first, then the eldest (section 5.4)
        # What a server set was read byte by byte, as headers are, and goes back as it was, in UTF-8.
        text = "; ".join(c.pair if self._is_given(c) else undouble(c.pair) for c in sent)
        self._headers[key] = (
            min((c.expires for c in self._cookies if c.expires > now), default=INFINITY),
            text,
        )
        return text

    def values(self, host: str, path: str, tls: bool, now: float) -> dict[str, str]:
        """What goes to a server, by name; of one name the one with the longest path."""
        self._pull(host)
        found = self._sent(host, path, tls, now)
        return {c.name: c.value for c in sorted(found, key=lambda c: len(c.path))}

    def _sent(self, host: str, path: str, tls: bool, now: float) -> list[Cookie]:
        """Those that go to a server, the eldest first."""
        return [c for c in self._cookies if c.expires > now and _goes(c, host, path, tls)]

    def _others(self, name: str, host: str) -> list[Cookie]:
        """All but what goes to this host by this name."""
        return [c for c in self._cookies if c.name != name or not _reaches(c, host)]

    def _is_given(self, cookie: Cookie) -> bool:
        """Whether it is a script's own, as that gave it."""
        return not cookie.host or self._given.get((cookie.name, cookie.host)) == cookie.value

    def secrets(self) -> list[str]:
        """Values, for `redact`."""
        return [cookie.value for cookie in self._cookies]

    def _put(self, cookie: Cookie | None, rest: list[Cookie]) -> None:
        """Hold these from now on, and a new one behind them."""
        if cookie is not None:
            rest = [*rest[-COOKIES + 1 :], cookie]
        self._cookies = rest
        self._headers.clear()
        if self.mirror is not None:
            self.mirror.push(rest)

    def _pull(self, host: str) -> None:
        """Take over what another holder has changed."""
        cookies = None if self.mirror is None else self.mirror.pull(host)
        if cookies is not None:
            self._cookies = cookies
            self._headers.clear()


def parse(header: str, host: str, path: str, now: float) -> Cookie | None:
    """A Set-Cookie header; None if it is to be ignored. An expired one says that a cookie is to go."""
    pair, *attributes = header.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or len(pair) > LENGTH:
        return None
    where = default = path.rpartition("/")[0] or "/"  # section 5.1.4
    domain, secure = "", False
    expires, age = INFINITY, None
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        key, text = key.strip().lower(), text.strip()
        if key == "max-age" and text.removeprefix("-").isdecimal() and text.isascii():
            age = float(text[:18])
        elif key == "expires":
            until = _date(text)
            expires = INFINITY if until is None else until  # 0, the epoch, is what most servers delete with
        elif key == "domain":
            domain = text.removeprefix(".").lower()
        elif key == "path":
            where = text if text.startswith("/") else default
        elif key == "secure":
            secure = True
    if age is not None:  # it comes before Expires (section 5.3)
        expires = now + age if age > 0 else 0.0
    if domain and domain != host and (not _below(host, domain) or "." not in domain):
        return None
    return Cookie(name, value, domain or host, where, bool(domain) and not _is_ip(host), secure, expires)


def unsent(headers: Sequence[str], host: str, path: str, tls: bool, now: float) -> list[str]:
    """The names in Set-Cookie headers of cookies that don't go back to where they came from."""
    found = []
    for header in headers:
        cookie = parse(header, host, path, now)
        if cookie is None or (cookie.expires > now and not _goes(cookie, host, path, tls)):
            found.append(header.partition("=")[0].strip())
    return found


def _date(text: str) -> float | None:
    """A cookie's date; None if it is none, which is ignored (section 5.2.1)."""
    try:
        date: float | None = http2time(_YEAR.sub(_whole_year, text.strip('"')))
    except (ValueError, OverflowError):  # a month in another language, or a year beyond all calendars
        return None
    return date


def _whole_year(year: re.Match[str]) -> str:
    """Section 5.1.1; the standard library takes the year that is nearest, 2070 for 70."""
    return ("19" if year[0] >= "70" else "20") + year[0]


def given(cookies: Mapping[str, str], headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The cookies that a script gives: by themselves, and in a Cookie header."""
    found = list(cookies.items())
    for name, value in headers.items():
        if name.lower() == "cookie":
            found += pairs(value)
    return found


def pairs(header: str) -> list[tuple[str, str]]:
    """The cookies in a Cookie header, as they are written."""
    found = []
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if name or value:
            found.append((name, value) if equals else ("", name))
    return found


def _goes(cookie: Cookie, host: str, path: str, tls: bool) -> bool:
    """Section 5.4."""
    if cookie.secure and not tls:
        return False
    if not _reaches(cookie, host):
        return False
    where = cookie.path
    return path == where or (
        path.startswith(where) and (where.endswith("/") or path[len(where) : len(where) + 1] == "/")
    )


def _reaches(cookie: Cookie, host: str) -> bool:
    """Whether a host is one that it is for."""
    at = cookie.host
    return not at or at == host or (cookie.subdomains and _below(host, at))


def _below(host: str, domain: str) -> bool:
    """Whether a host's name ends with a domain; addresses match exactly or not at all (section 5.1.3)."""
    return host.endswith("." + domain) and not _is_ip(host)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
