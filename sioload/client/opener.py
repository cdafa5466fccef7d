"""Sessions for one client, one after another: from finding the server's generation to the session's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from mypy_extensions import mypyc_attr

from sioload.client.namespaces import Namespaces
from sioload.client.script import Script, ask
from sioload.engineio.secrets import redact
from sioload.engineio.urls import Endpoint, Request, parse_url, with_token
from sioload.errors import ConnectError, End, Failure, OptionError, ProtocolError
from sioload.net.deadlines import due
from sioload.net.guard import guarded
from sioload.net.tls import Tickets
from sioload.net.tunnel import by_way_of, unused
from sioload.options import Options, check_strings
from sioload.session.asking import SILENCE
from sioload.session.connection import Connection
from sioload.session.connection import Listener as SessionListener
from sioload.session.diagnosis import diagnose, doubtful, works
from sioload.session.probe import Finding, find_generation, remember_generation
from sioload.session.requests import Requests
from sioload.session.traced import TracedRequests
from sioload.socketio.detect import wrong_version
from sioload.socketio.generations import UNKNOWN_3, Generation

if TYPE_CHECKING:
    from sioload.measure.trace import Trace
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(Protocol):
    """Who wants the sessions. Called in the hub."""

    __slots__ = ()

    @property
    def trying(self) -> bool:
        """Whether an attempt is still wanted."""

    def on_session(self) -> None:
        """A session is open."""

    def on_session_end(self, end: End, connection: Connection | None) -> None:
        """A session has ended, or couldn't be opened."""

    def on_failed(self, error: ConnectError) -> None:
        """An attempt has failed."""

    def on_again(self) -> None:
        """The same attempt begins anew, as an older generation."""

    def on_drained(self) -> None:
        """The write buffer is empty again."""


class Opener(SessionListener):
    """Opens a session when it is told to.

    Attributes:
        endpoint: where; None before the first attempt.
        options: of the current connection.
        connection: the current one, None without.
        failed: the last attempt's failure; its connection may not have ended yet.
        ask_headers, ask_url: functions of the script that are asked before each attempt.
    """

    __slots__ = ("_again", "_deadline", "_fleet", "_hooked", "_listener", "_namespaces", "_packets",
                 "_script", "_tickets", "ask_headers", "ask_url", "connection", "endpoint", "failed",
                 "options")  # fmt: skip

    def __init__(
        self, fleet: Fleet, options: Options, namespaces: Namespaces, script: Script, listener: Listener
    ) -> None:
        self._fleet = fleet
        self._namespaces = namespaces
        self._packets = namespaces.packets
        self._script = script
        self._listener = listener
        self.options = options
        self.endpoint: Endpoint | None = None
        self.connection: Connection | None = None
        self.failed: ConnectError | None = None
        self.ask_headers: Callable[[], Mapping[str, str]] | None = None
        self.ask_url: Callable[[], Endpoint] | None = None
        self._again = False
        self._hooked: object = None
        self._deadline: Timer | None = None
        self._tickets: Tickets | None = None

    def attempt(self) -> None:
        """Begin an attempt. A greenlet may call it."""
        assert self.endpoint is not None
        self.failed = None
        self._again = False
        self._begin(partial(find_generation, self._fleet, self.endpoint, self.options, self._found))

    def settle(self) -> None:
        """The attempt has succeeded."""
        self.rest()
        connection = self.connection
        if connection is not None and doubtful(connection.requests, connection.transport):
            works(connection.requests)

    def rest(self) -> None:
        """The attempt is over."""
        self._fleet.deadlines.cancel(self._deadline)
        self._deadline = None

    def _begin(self, step: Callable[[], None]) -> None:
        """A step of an attempt that has no connection yet; the attempt fails if it raises."""
        try:
            step()
        except OptionError as error:
            self._fleet.later(self.give_up, str(error))
        except Exception as error:  # noqa: BLE001 - one user's fault must not leave it connecting for ever
            self._fleet.crashed(error)
            self._fleet.later(self.give_up, "internal error")

    def give_up(self, reason: str) -> None:
        """The attempt can't be made."""
        if self.connection is not None:
            self.connection.drop("internal error", reason)
        elif self._listener.trying:
            self._listener.on_failed(ConnectError("open", reason, kind="internal error"))

    def _found(self, generation: Generation, finding: Finding | None) -> None:
        """It is known how to begin; the time of the attempt begins too."""
        if self._listener.trying and self.connection is None:
            self._begin(partial(self._open, generation, finding))
        # Else it was given up meanwhile, or an earlier attempt's answer served already.
        if finding is not None and self.connection is None:
            finding.release()

    def _open(self, generation: Generation, finding: Finding | None) -> None:
        options, endpoint = self.options, self.endpoint
        assert endpoint is not None
        self.rest()
        self._deadline = self._fleet.deadlines.at(perf_counter() + options.connect_timeout, self._timed_out)
        self.speak(generation)
        query = options.query
        asks = finding is not None and finding.asks
        if options.auth_token is not None and (generation.token == "query" or asks):
            query = with_token(query, options.auth_token, options.encode_query)
        request = Request(
            endpoint,
            options.transports[0],
            options.headers,
            query,
            options.cookies,
            options.encode_query,
            self._script,
            parse_url(options.handshake_url).host if options.handshake_url else "",
        )
        owner = self._script.owner()
        trace: Trace | None = None if owner is None else getattr(owner, "sio_trace", None)
        requests = (
            Requests(self._fleet, options, generation, endpoint, request, owner)
            if trace is None
            else TracedRequests(self._fleet, options, generation, endpoint, request, owner, trace)
        )
        if endpoint.tls:
            self._tickets = requests.tickets = self._tickets or Tickets()
        self.connection = self._packets.connection = Connection(requests, self, self._packets, finding)
        self.connection.start()

    def _timed_out(self, now: float) -> None:
        self._deadline = None
        seconds = f"{self.options.connect_timeout:g} s"
        connection = self.connection
        if connection is not None and connection.is_open:
            self.refuse(f"no answer for {self._namespaces.missing} in {seconds}", "timeout")
        elif connection is not None:
            connection.drop("timeout", f"no answer in {seconds}{by_way_of(connection.requests.proxy)}")
        else:
            self._listener.on_failed(ConnectError("open", f"no answer in {seconds}", kind="timeout"))

    def refuse(self, reason: str, kind: Failure = "client", data: object = None) -> None:
        """This attempt failed after its session was open: give the session up."""
        self.failed = ConnectError("connect", reason, data, kind)
        if self.connection is not None:
            self.connection.close()

    def is_older(self) -> None:
        """The server is of 1.x or 2.x, as websockets may show so late as by a CONNECT without a sid."""
        connection = self.connection
        if connection is None:
            return
        if self.options.version == "auto" and self._listener.trying and self.endpoint is not None:
            remember_generation(self._fleet, self.endpoint, self.options, UNKNOWN_3)
            self._again = True
            connection.close()
        else:
            connection.broken(ProtocolError(wrong_version(UNKNOWN_3)))

    def unopened(self, end: End, connection: Connection | None) -> None:
        """An attempt's connection ended: tell what comes of the attempt."""
        if self._again:
            self._again = False
            self._listener.on_again()
        elif self.failed is not None:
            self._listener.on_failed(self.failed)
        else:
            said = end.detail or end.kind
            stage = connection.stage if connection is not None else "open"
            if stage == "dial" and self.endpoint is not None and self.options.proxy is None:
                said += unused(self.endpoint)
            self._listener.on_failed(ConnectError(stage, said, kind=end.kind))

    def discreet(self, text: str) -> str:
        """What a server said, without what any of this connection's requests may have told it."""
        if self.connection is not None:
            text = self.connection.requests.discreet(text)
        jar = self._script.jar()
        return redact(text, self._namespaces.auth, self._hooked, () if jar is None else jar.secrets())

    # The connection's listener.

    def speak(self, generation: Generation) -> None:
        self._packets.speak(generation, self.options)

    def prepare(self, request: Request, then: Callable[[], None]) -> None:
        hook = self._script.hook("on_handshake")
        asks = self.ask_headers if self.connection is None or not self.connection.requests.sid else None
        if asks is None and hook is None:
            then()
            return
        prepared = partial(self._prepared, request, then)
        failed = partial(self._not_prepared, self.connection)
        asked = "on_handshake" if asks is None else "headers" if hook is None else "headers or on_handshake"
        ask(
            self._script,
            self._fleet,
            asked,
            partial(_prepare, asks, hook, request),
            prepared,
            failed,
        )

    def _prepared(self, request: Request, then: Callable[[], None], _: None) -> None:
        connection = self.connection
        self._hooked = (request.headers, request.query)
        guarded(self._fleet.crashed if connection is None else connection.on_crash, then)

    def _not_prepared(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            connection.drop("client", reason)

    def on_open(self) -> None:
        connection, limit, soon = self.connection, due(self._deadline), perf_counter() + SILENCE
        if connection is not None and soon < limit and doubtful(connection.requests, connection.transport):
            self.rest()
            self._deadline = self._fleet.deadlines.at(soon, partial(self._unanswered, connection, limit))
        self._listener.on_session()

    def _unanswered(self, connection: Connection, limit: float, now: float) -> None:
        def told(complaint: str) -> None:
            if complaint and connection is self.connection and self._listener.trying:
                connection.broken(ProtocolError(complaint))

        self._deadline = self._fleet.deadlines.at(limit, self._timed_out)
        diagnose(connection.requests, "polling", told)

    def on_closed(self, end: End) -> None:
        connection, self.connection = self.connection, None
        self._packets.end()
        self._listener.on_session_end(end, connection)

    def on_drained(self) -> None:
        self._listener.on_drained()


def _prepare(
    headers: Callable[[], Mapping[str, str]] | None, hook: Callable[..., Any] | None, request: Request
) -> None:
    """In a greenlet."""
    if headers is not None:
        given = headers()
        check_strings("headers", given)
        request.headers.update(given)
    if hook is not None:
        hook(request)
    request.check()
