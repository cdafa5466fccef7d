"""What a behaviour gets: clients for its server and transport, a wire between, and what the server saw."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import gevent
from conformance.table import TRANSPORTS, Server
from conformance.wire import Wire

from sioload.client.api import SocketIOClient
from sioload.errors import SioloadError
from sioload.net.fleet import Fleet

PATIENCE = 6.0  # seconds, for what should happen at once


class Hooks:
    """A user whose hooks write down that they were called."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.connects = 0
        self.reasons: list[str] = []
        self.change: Callable[[Any], None] = lambda request: None

    def on_handshake(self, request: Any) -> None:
        self.requests.append((request.method, request.transport, request.url))
        self.change(request)

    def on_connected(self) -> None:
        self.connects += 1

    def on_disconnected(self, reason: str) -> None:
        self.reasons.append(reason)


class Pending:
    """A call under way, which is expected to fail."""

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.error: BaseException | None = None
        self._greenlet = gevent.spawn(self._run, call, args, kwargs)
        gevent.sleep(0.1)

    def _run(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            call(*args, **kwargs)
        except SioloadError as error:
            self.error = error

    def failed_as(self, kind: type[SioloadError]) -> None:
        """It has ended, or will at once, with this error."""
        self._greenlet.join(2)
        true(isinstance(self.error, kind), f"a pending call ended as {self.error!r}, not {kind.__name__}")


class Cell:
    """One behaviour on one server and one transport.

    Attributes:
        server, transport, url: where it is tried.
        version: the option, unless a behaviour says otherwise.
        fleet: of all its clients; rows and ledger are its recorder's.
    """

    def __init__(self, server: Server, transport: str, url: str, version: Any) -> None:
        self.server = server
        self.transport = transport
        self.url = url
        self.version = version
        self.fleet = Fleet()
        self._clients: list[SocketIOClient] = []
        self._wires: list[Wire] = []

    # Clients.

    @property
    def final(self) -> str:
        """The transport that a session comes to rest on."""
        return "polling" if self.transport == "polling" else "websocket"

    def client(self, *, url: str | None = None, user: object = None, **options: Any) -> SocketIOClient:
        """A client that isn't connected yet; without reconnection unless asked for."""
        options = {
            "version": self.version,
            "transports": TRANSPORTS[self.transport],
            "parser": self.server.parser,
            "connect_timeout": 8.0,
            "ack_timeout": PATIENCE,
            "reconnection": False,
            "reconnection_delay": 0.1,
            **options,
        }
        client = SocketIOClient(self.fleet, options, url=url or self.url, user=user)
        self._clients.append(client)
        return client

    def connected(self, *namespaces: str, **options: Any) -> SocketIOClient:
        """A client that is connected and on its final transport."""
        client = self.client(**options)
        client.connect(namespaces=list(namespaces) or ["/"])
        self.settled(client)
        return client

    def settled(self, client: SocketIOClient) -> None:
        """Wait until the upgrade is done."""
        self.until(lambda: client.transport == self.final, f"transport {self.final}")

    def wire(self, **settings: Any) -> Wire:
        """A proxy to the server."""
        wire = Wire(int(self.url.rpartition(":")[2]))
        for name, value in settings.items():
            setattr(wire, name, value)
        self._wires.append(wire)
        return wire

    def close(self) -> None:
        """End what the behaviour left open, and look after what must be true of every run."""
        for client in self._clients:
            client.close_quietly()
        for wire in self._wires:
            wire.close()
        recorder = self.fleet.recorder
        same(recorder.internal_errors, [], "internal errors")
        same(recorder.ledger.open, 0, "open emits at the end")

    @staticmethod
    def pending(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Pending:
        """Begin a call that is expected to fail, in a greenlet of its own."""
        return Pending(call, args, kwargs)

    # Questions.

    def until(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """Wait until something is true."""
        with gevent.Timeout(timeout, AssertionError(f"not in {timeout:g} s: {what}")):
            while not condition():
                gevent.sleep(0.02)

    def alone(self, *namespaces: str) -> dict[str, int]:
        """Wait until all sessions but this one have ended; how many the server saw ending, by namespace."""

        def ended() -> bool:
            now = self.counts()
            return all(
                now["connects"][n] == now["disconnects"][n] + (n in namespaces) for n in now["connects"]
            )

        self.until(ended, "the end of the sessions of other behaviours", 10)
        disconnects: dict[str, int] = self.counts()["disconnects"]
        return disconnects

    def row(self, type: str, name: str) -> tuple[int, int]:
        """Count and failures of a row."""
        row = self.fleet.recorder.rows.get((type, name))
        if row is None:
            return 0, 0
        totals = row.totals()
        return totals.count, totals.failures

    def names(self, type: str) -> list[str]:
        """The names of the rows of one type that counted something."""
        return sorted(name for (kind, name), row in self.fleet.recorder.rows.items()
                      if kind == type and row.totals().count)  # fmt: skip

    def errors(self, type: str, name: str) -> str:
        """The messages of a row's failures."""
        row = self.fleet.recorder.rows.get((type, name))
        return "" if row is None else "; ".join(row.totals().errors)

    def counts(self) -> dict[str, Any]:
        """What the server counted."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def same(found: object, wanted: object, what: str = "value") -> None:
    """Fail unless both are equal."""
    if found != wanted:
        raise AssertionError(f"{what}: {found!r:.300}, not {wanted!r:.300}")


def true(condition: object, what: str) -> None:
    """Fail unless something holds."""
    if not condition:
        raise AssertionError(what)
