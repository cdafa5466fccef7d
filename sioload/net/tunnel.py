"""HTTP proxies: what one is asked for, and the tunnel through it (RFC 9110, section 9.3.6, CONNECT)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from sioload.engineio.urls import Endpoint
from sioload.errors import End
from sioload.net.http import request
from sioload.net.stream import Stream

#: Bytes that the head of a proxy's answer may have.
HEAD = 16_384
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)[ \r]")


class Proxy(NamedTuple):
    """A proxy, and what it is asked for.

    Attributes:
        endpoint: its own address and credentials.
        target: host and port of the server, for a tunnel; "" for requests that it passes on one by one.
    """

    endpoint: Endpoint
    target: str

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"proxy {self.endpoint.host}:{self.endpoint.port}"

    def refusal(self, status: int) -> str:
        """What its answer to CONNECT says, with the remedy."""
        if status in (401, 407):  # tinyproxy says 401
            return credentials(status, self.endpoint)
        if status in (403, 405):
            return f"HTTP {status}: it allows no tunnel to {self.target}"
        if status >= 500:
            return f"HTTP {status}: it can't reach {self.target}"
        return f"HTTP {status} to CONNECT {self.target}"


def proxy_for(proxy: Endpoint, server: Endpoint, websocket: bool) -> Proxy:
    """How a server is reached through a proxy: TLS and websockets by a tunnel."""
    if not server.tls and not websocket:
        return Proxy(proxy, "")
    host = f"[{server.host}]" if ":" in server.host else server.host
    return Proxy(proxy, f"{host}:{server.port}")


def credentials(status: int, proxy: Endpoint) -> str:
    """What a proxy means that lets nobody through like this."""
    if proxy.authorization:
        return f"HTTP {status}: it refuses the user and password in the option proxy"
    return f"HTTP {status}: it wants a user and a password (proxy: http://user:password@host:port)"


def by_way_of(proxy: Endpoint | None) -> str:
    """What is added to a fault that may be the proxy's, "" without one."""
    return "" if proxy is None else f" (by way of the {Proxy(proxy, '').name})"


def unused(server: Endpoint) -> str:
    """The hint that the environment names a proxy for a server which can't be reached, "" if it doesn't."""
    scheme = "https" if server.tls else "http"
    if scheme not in getproxies_environment() or proxy_bypass_environment(server.host):
        return ""
    return f" ({scheme}_proxy isn't used: set the option proxy)"


class Tunnel:
    """Asks a proxy for a tunnel on a fresh stream. Calls `done()` or `failed(reason)` in the hub, once."""

    __slots__ = ("_done", "_failed", "_head", "_proxy", "stream")

    def __init__(self, proxy: Proxy, done: Callable[[], None], failed: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._done = done
        self._failed = failed
        self._head = b""
        self.stream: Stream | None = None

    def begin(self, stream: Stream) -> None:
        """Ask."""
        self.stream = stream
        headers = [("Host", self._proxy.target)]
        if self._proxy.endpoint.authorization:
            headers.append(("Proxy-Authorization", self._proxy.endpoint.authorization))
        stream.write(request("CONNECT", self._proxy.target, headers))

    def close(self) -> None:
        """Give it up; nothing is called any more."""
        if self.stream is not None:
            self.stream.close()

    def _refused(self, reason: str) -> None:
        self.close()
        self._failed(reason)

    # The stream's owner.

    def on_data(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        status = _STATUS.match(self._head)
        if end < 0 and len(self._head) < HEAD:
            return
        if end < 0 or status is None:
            self._refused("its answer to CONNECT is no HTTP")
        elif status[1][:1] != b"2":
            self._refused(self._proxy.refusal(int(status[1])))
        elif len(self._head) > end + 4:
            self._refused("data before anything was sent through the tunnel")
        else:
            self._done()

    def on_lost(self, end: End) -> None:
        self._refused(f"{end.detail} before it had answered CONNECT")

    def on_drained(self) -> None:
        """Nothing but the request was written."""

    def on_crash(self, error: BaseException) -> None:
        self.close()
        self._failed("internal error")
        raise error
