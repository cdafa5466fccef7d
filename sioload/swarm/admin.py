"""Figures of each node from Socket.IO's own admin namespace (servers that use `@socket.io/admin-ui`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

import gevent

from sioload.client.api import SocketIOClient
from sioload.engineio.secrets import redact
from sioload.engineio.urls import Endpoint, bare, parse_url
from sioload.errors import ConnectError, OptionError
from sioload.measure.names import clean_name, normalise
from sioload.net.fleet import Fleet
from sioload.plain import Json
from sioload.report.servers import ADMIN, Servers
from sioload.socketio.detect import unknown_namespace

NAME: Final = "admin"
#: Seconds between what a node tells, and what it told before.
EVERY: Final = 2.0
#: Seconds between two attempts to join it.
PAUSE: Final = 5.0
#: Events of `server_stats` that are counted, by our name for them.
_EVENTS: Final = {"packetsIn": "packets_in", "packetsOut": "packets_out", "bytesIn": "bytes_in",
                  "bytesOut": "bytes_out"}  # fmt: skip
_NO_ADMIN: Final = "name the namespace of @socket.io/admin-ui in the URL, if the server uses it"
#: Events of one message, and nodes; the largest number, and the shortest time of a rate (seconds), that are
#: taken. A hostile server might make anything up.
_MOST: Final = 10_000
_LARGEST: Final = 1e15
_SHORTEST: Final = 0.01


def admin_url(text: str) -> tuple[str, str, dict[str, str]]:
    """The URL of the server, the namespace, and the credentials, of `--sio-admin URL[/admin]`.

    Raises:
        OptionError: it is no URL.
    """
    endpoint: Endpoint = parse_url(text)
    if endpoint.query:
        raise OptionError(f"{bare(text)}: a query is of no use there")
    parts = urlsplit(text)
    auth = {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    return (
        endpoint.origin,
        endpoint.path if endpoint.path != "/" else "/admin",
        auth if parts.username else {},
    )


class AdminSource:
    """Joins the admin namespace with a connection of its own, which counts in no row.

    Attributes:
        finishing: the run is over, and what nodes tell of its last packets counts still.
    """

    def __init__(
        self, text: str, servers: Servers, on: Callable[[], bool], complain: Callable[[str], None]
    ) -> None:
        self.url, self.namespace, self._auth = admin_url(text)
        self._servers = servers
        self._on = on
        self._complain = complain
        self.finishing = False
        self._nodes: dict[str, tuple[float, float]] = {}  # uptime, and when it was told

    def tells_since(self, moment: float) -> bool:
        """Whether each node that tells of itself has done so since then (monotonic seconds)."""
        return all(not moment - PAUSE < told < moment for _, told in self._nodes.values())

    def watch(self) -> None:
        """Stay joined, for ever. In a greenlet of its own."""
        client = SocketIOClient(Fleet(), {"auth": self._auth})
        client.on("server_stats", self._on_stats, self.namespace)
        client.on("config", self._on_config, self.namespace)
        while True:
            try:
                client.connect(self.url, namespaces=self.namespace, retry=False)
                gevent.sleep(PAUSE)
                if not self._nodes:
                    self._complain(f"{self.namespace} is joined, but no server_stats come: {_NO_ADMIN}")
                client.wait()
            except ConnectError as error:
                self._complain(normalise(redact(str(error), self._auth)) + _remedy(error))
            gevent.sleep(PAUSE)

    def _on_config(self, config: Json) -> None:
        if isinstance(config, dict) and "ALL_EVENTS" in (config.get("supportedFeatures") or ()):
            self._complain(
                "it tells of each event, which costs the server and this process much: "
                "instrument(io, {mode: 'production'}) leaves that out"
            )

    def _on_stats(self, stats: Json) -> None:
        """Every two seconds from each node."""
        try:
            node, uptime = _node(stats), _number(stats["uptime"])
            levels = {
                "clients": _number(stats["clientsCount"]),
                "polling_clients": _number(stats["pollingClientsCount"]),
            }
            counts = dict.fromkeys(_EVENTS.values(), 0.0)
            for event in stats["aggregatedEvents"][:_MOST]:
                if event["type"] in _EVENTS:
                    counts[_EVENTS[event["type"]]] += _number(event["count"])
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            self._complain(f"its server_stats can't be understood ({normalise(repr(error))})")
            return
        now, seconds = time.monotonic(), uptime - self._nodes.get(node, (uptime - EVERY, 0.0))[0]
        if len(self._nodes) < _MOST:
            self._nodes[node] = uptime, now
        if not self._on():
            if self.finishing:  # the last packets of the run, but no rate of it
                for name, more in counts.items():
                    self._servers.more((NAME, node, name), more)
            return
        known = all(self._servers.add((NAME, node, name), ADMIN[name], now, n) for name, n in levels.items())
        if seconds > _SHORTEST:
            for name, more in counts.items():
                self._servers.add((NAME, node, name), ADMIN[name], now, more / seconds, more)
        if not known:
            self._complain("it has too many nodes: no more are kept")


def _remedy(error: ConnectError) -> str:
    """What to give a server that refuses the namespace."""
    if error.kind != "refused":
        return ""
    unknown = unknown_namespace(error.reason)
    return f": {_NO_ADMIN if unknown else 'give credentials in the URL, as http://user:password@host/admin'}"


def _number(told: Json) -> float:
    """A number of something.

    Raises:
        TypeError, ValueError: it is none, or none that could be.
    """
    number = float(told)
    if not 0 <= number < _LARGEST:
        raise ValueError(f"{told!r} can't be")
    return number


def _node(stats: Json) -> str:
    """What a node is called. Without a `serverId` of its own each calls itself after its machine."""
    name = str(stats["serverId"])
    return clean_name(f"{name}#{stats['pid']}" if name == stats["hostname"] else name)
