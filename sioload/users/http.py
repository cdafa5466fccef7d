"""The HTTP client of a user, of either kind that Locust has, as a part of the same user as its connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http.cookiejar import Cookie as StandardCookie
from http.cookiejar import CookieJar
from typing import Any, cast

from requests import PreparedRequest

from sioload.engineio.cookies import INFINITY, Cookie, Jar
from sioload.engineio.urls import Endpoint
from sioload.net.tls import hush_requests
from sioload.options import Options


def secure(client: Any, options: Options, host: str) -> None:
    """Let requests trust whom the connection trusts, show what it shows, and come from where it comes from.

    Args:
        client: of either kind; FastHttpUser has settings of its own for all of that.
        options: of the connection.
        host: the server's.
    """
    if not hasattr(client, "get_adapter"):
        return
    client.verify = (options.ca_file or True) if options.tls_verify else False
    hush_requests(options)  # reports say it once
    if options.cert_file:
        client.cert = (options.cert_file, options.key_file) if options.key_file else options.cert_file
    source = next((a for a in options.source_addresses if (":" in a) == (":" in host)), None)
    if source is not None and getattr(client.user, "pool_manager", None) is None:  # else users share it
        for scheme in ("http://", "https://"):
            client.get_adapter(scheme).poolmanager.connection_pool_kw["source_address"] = (source, 0)


def fit(client: Any, endpoint: Endpoint, options: Options) -> None:
    """Let requests go where the connection goes, with the URL's credentials and query."""
    client.base_url = endpoint.origin
    if endpoint.authorization and hasattr(client, "auth_header"):  # FastHttpSession
        client.auth_header = endpoint.authorization
    elif endpoint.authorization and client.auth is None:
        client.auth = _authorized(endpoint.authorization)
    if options.proxy and hasattr(client, "proxies"):  # FastHttpUser has proxy_host and proxy_port of its own
        for scheme in ("http", "https"):
            client.proxies.setdefault(scheme, options.proxy)
    if endpoint.query:
        if not hasattr(client, "auth_header"):
            client.request = _named(client)
        client._build_url = _with_query(client._build_url, endpoint.query)


def _authorized(value: str) -> Callable[[Any], Any]:
    def sign(request: Any) -> Any:
        request.headers.setdefault("Authorization", value)
        return request

    return sign


def _with_query(build: Callable[[str], str], query: str) -> Callable[[str], str]:
    def url(path: str) -> str:
        built = build(path)
        if built == path:
            return built  # an absolute one names another server, or says what it wants
        head, mark, fragment = built.partition("#")
        return f"{head}{'&' if '?' in head else '?'}{query}{mark}{fragment}"

    return url


def _named(client: Any) -> Callable[..., Any]:
    """HttpSession's requests, in rows that don't tell the host's query, which may be a secret."""
    ask, build = client.request, client._build_url

    def request(method: str, url: str, name: str | None = None, *args: Any, **more: Any) -> Any:
        name = name or client.request_name
        if not name and build(url) != url:
            prepared = PreparedRequest()
            prepared.prepare_url(build(url), more.get("params"))
            name = prepared.path_url
        return ask(method, url, name, *args, **more)

    return request


class Shared:
    """The jar of an HTTP client, as the mirror of its user's."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._names: dict[str, str] = {}  # of hosts, by how the standard library writes them
        self._seen: list[tuple[Any, ...]] | None = None

    def pull(self, host: str) -> list[Cookie] | None:
        """See `Mirror.pull`."""
        written = _written(host)
        known = written in self._names
        self._names[written] = host
        held = list(self._held())
        seen = [_key(cookie) for cookie in held]
        if seen == self._seen and known:
            return None  # else it may hold some of this host's
        self._seen = seen
        return [_ours(cookie, self._names) for cookie in held]

    def push(self, cookies: Sequence[Cookie]) -> None:
        """See `Mirror.push`."""
        held = self._held()
        wanted = {_key(cookie): cookie for cookie in map(_standard, cookies)}
        for cookie in list(held):
            if wanted.pop(_key(cookie), None) is None:
                held.clear(cookie.domain, cookie.path, cookie.name)
        for cookie in wanted.values():
            held.set_cookie(cookie)
        self._seen = [_key(cookie) for cookie in held]

    def _held(self) -> CookieJar:
        """Asked for each time: a script may have put another in its place."""
        return cast(CookieJar, _jar_of(self._client))


def share(jar: Jar, client: Any, host: str) -> None:
    """Let a user's jar and its HTTP client's be one."""
    mirror = Shared(client)
    held = mirror.pull(host) or []
    jar.join(held, mirror)


def keeps(client: Any) -> bool:
    """Whether a client of a script's own keeps cookies: it may be one of any protocol."""
    return isinstance(_jar_of(client), CookieJar)


def _jar_of(client: Any) -> object:
    return client.cookiejar if hasattr(client, "cookiejar") else getattr(client, "cookies", None)


def holds(client: Any) -> bool:
    """Whether an HTTP client has a cookie."""
    return any(True for _ in Shared(client)._held())


def _key(cookie: StandardCookie) -> tuple[Any, ...]:
    return cookie.name, cookie.value, cookie.domain, cookie.path, cookie.secure, cookie.expires


def _written(host: str) -> str:
    """A host as the standard library's jar has it: one without a dot is local."""
    name = f"[{host}]" if ":" in host else host
    return name if "." in name else f"{name}.local"


def _ours(cookie: StandardCookie, names: dict[str, str]) -> Cookie:
    at = names.get(cookie.domain) or cookie.domain.removeprefix(".")
    expires = INFINITY if cookie.expires is None else float(cookie.expires)
    return Cookie(
        cookie.name, cookie.value or "", at, cookie.path, cookie.domain[:1] == ".", cookie.secure, expires
    )


def _standard(cookie: Cookie) -> StandardCookie:
    host = "." + cookie.host if cookie.subdomains else _written(cookie.host) if cookie.host else ""
    return StandardCookie(
        version=0,
        name=cookie.name,
        value=cookie.value,
        port=None,
        port_specified=False,
        domain=host,
        domain_specified=cookie.subdomains,
        domain_initial_dot=cookie.subdomains,
        path=cookie.path,
        path_specified=True,
        secure=cookie.secure,
        expires=None if cookie.expires == INFINITY else int(cookie.expires),
        discard=cookie.expires == INFINITY,
        comment=None,
        comment_url=None,
        rest={},
    )
