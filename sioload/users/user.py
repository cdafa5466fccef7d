"""`SocketIOUser`: a Locust user with a Socket.IO connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import gevent
from gevent.pool import Group
from locust import FastHttpUser, HttpUser, User
from locust.clients import HttpSession

from sioload.client.api import SocketIOClient
from sioload.client.dispatcher import Handler
from sioload.engineio.cookies import Jar, given
from sioload.engineio.urls import parse_url
from sioload.errors import ConnectError, EmitError
from sioload.measure.trace import Trace
from sioload.net.fleet import fleet_of_user
from sioload.options import Options, options_from
from sioload.plain import Json
from sioload.users.feeds import stop_waiting
from sioload.users.handlers import handlers_of
from sioload.users.http import fit, holds, keeps, secure, share
from sioload.users.pacing import end_pace
from sioload.users.tasks import start

if TYPE_CHECKING:
    from locust.env import Environment


def _kept(options: Any) -> Any:
    """Options as they are now: a script may change its dict, or a dict or list in it, once it knows more."""
    if not isinstance(options, dict):
        return options
    return {name: copy(value) if isinstance(value, dict | list) else value for name, value in options.items()}


class SocketIOUser(User):
    """A simulated user that holds one Socket.IO connection, `self.sio`.

    Without a call of `self.sio.connect()` in `on_start`, it connects before its first task. `on_start` runs
    once: inside it `connect()` tries again after the reconnection backoff, `reconnection_attempts` times,
    and each failure is one of the CONNECT row. A user whose attempts are used up ends.

    The class may define `on_handshake(self, request)`, called before each HTTP request that opens or
    upgrades a session (it may change `request.headers`, `.query` and `.cookies`), `on_connected(self)`,
    called when the session is usable, after a reconnect too, and `on_disconnected(self, reason)`.

    Attributes:
        options: an `Options`, or a dict of them.
        label: of a kind of users: " @moderator" stands behind the names of its rows.
        sio: the connection.
        client: Locust's requests session, made on first use; its cookies go into the handshake.
        clients: `sio`, and what `another_client` made and the script hasn't closed.
        starting: `on_start` is running.
        sio_trace: who follows what its connection says (`--sio-trace`); None for all others.
        fate: "" while nothing ended it but StopUser or Locust; "left" once the script called its `stop()`;
            else "never began" or "gave up".
    """

    abstract = True
    options: ClassVar[Mapping[str, Json] | Options] = {}
    label: ClassVar[str] = ""
    on_handshake: Any = None  # of a class that defines none: finding no attribute takes longer than this
    on_connected: Any = None
    on_disconnected: Any = None
    sio: SocketIOClient
    clients: tuple[SocketIOClient, ...]
    starting = False
    sio_trace: Trace | None = None
    fate = ""
    _jar: Jar | None = None
    _http: Any = None  # `client`, once there is one
    _awaits_http = False  # whether `client` is made once this class has made its part

    _handlers: ClassVar[dict[tuple[str, str], Handler]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._handlers = handlers_of(cls)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        fleet = fleet_of_user(environment)
        if fleet.follow is not None:
            fleet.follow(self)
        url = self.host or environment.host
        self.sio = SocketIOClient(fleet, self.parsed_options(), url=url, user=self, handlers=self._handlers)
        self.clients = (self.sio,)
        if self._http is not None:  # of HttpUser or FastHttpUser, behind this class
            self._fit(self._http)
        elif isinstance(self, HttpUser | FastHttpUser):  # before it
            self._awaits_http = True

    @classmethod
    def parsed_options(cls) -> Options:
        """The options, validated once for each class, and again if the script changes them.

        Raises:
            OptionError: one is unknown or has a value that can't be used.
        """
        given = cls.options
        parsed: tuple[Any, Any, Options] | None = cls.__dict__.get("_parsed")
        if parsed is None or parsed[0] is not given or (parsed[1] is not given and parsed[1] != given):
            parsed = (given, _kept(given), options_from(given))
            cls._parsed = parsed  # type: ignore[attr-defined]
        return parsed[2]

    @property
    def client(self) -> HttpSession:
        """Locust's requests session, on the host of this user."""
        if self._http is None:
            self._http = HttpSession(base_url="", request_event=self.environment.events.request, user=self)
            self._http.trust_env = False  # as that of Locust's HttpUser
            self._fit(self._http)
        return cast(HttpSession, self._http)

    @client.setter
    def client(self, client: Any) -> None:
        self._http = client
        if self._awaits_http:
            self._awaits_http = False
            self._fit(client)

    def _fit(self, client: Any) -> None:
        """Make an HTTP client part of this user: its server, its cookies."""
        options = self.sio.options
        if not self.sio.url:
            secure(client, options, "")
            return
        endpoint = parse_url(self.sio.url)
        secure(client, options, endpoint.host)
        fit(client, endpoint, options)
        own = given(options.cookies, options.headers)
        if own or self._jar is not None:
            if self._jar is None:
                self._jar = Jar()
            for name, value in own:
                self._jar.give(name, value, endpoint.host)
            share(self._jar, client, endpoint.host)

    def cookie_jar(self, make: bool = False) -> Jar | None:
        """The cookies of this user, its HTTP client's among them; None while there are none and none asks."""
        client = self._http
        if client is not None and not keeps(client):
            client = None
        if self._jar is None and (make or (client is not None and holds(client))):
            self._jar = Jar()
        if client is not None and self._jar is not None and self._jar.mirror is None:
            share(self._jar, client, parse_url(self.sio.url).host if self.sio.url else "")
        return self._jar

    def another_client(
        self, url: str | None = None, options: Mapping[str, Json] | Options | None = None
    ) -> SocketIOClient:
        """A further connection of this user, which is closed, drained and counted with it.

        The methods that `on` marks, `on_connected` and `on_disconnected` belong to `self.sio` alone: give
        this one its handlers by its own `on()`. `on_handshake` and the cookies of `self.client` serve it too.

        Args:
            url: where it connects to; this user's host without.
            options: a dict or an `Options`; those of this user without.
        """
        client = SocketIOClient(
            self.sio.fleet,
            self.sio.options if options is None else options,
            url=url or self.sio.url,
            user=self,
        )
        client.pace = self.sio.pace
        followed, main = self.sio_trace is not None, self.sio
        kept = [c for c in self.clients if followed or c is main or not c.closed]
        self.clients = (*kept, client)  # a script may make one for each task
        return client

    def _adopt(self, client: SocketIOClient) -> None:
        """One of its connections is opened, maybe again after it was closed, and forgotten by that."""
        if client not in self.clients:
            self.clients += (client,)
            client.pace = self.sio.pace
            if self.sio.leaving:
                client.release()

    def run(self) -> None:  # type: ignore[misc]  # final for scripts
        """The user's greenlet: `on_start`, tasks, `on_stop`."""
        own: Any = self
        own.on_start = partial(self._start, own.on_start)
        try:
            super().run()  # type: ignore[no-untyped-call]
        except (EmitError, ConnectError) as error:  # of `on_stop`, and a failure row already
            self.sio.fleet.complaints.say(f"on_stop: {error}")
        if self.environment.runner is None:  # `run_single_user`: it has no greenlet whose end lets them go
            self._gone(None)
            self.sio.fleet.await_leaving()

    def _start(self, on_start: Callable[[], None]) -> None:
        del cast(Any, self).on_start  # whoever calls it again gets the script's own
        start(self, on_start)

    def start(self, group: Group) -> gevent.Greenlet[..., Any]:
        """Start this user's greenlet; its connections are let go once the greenlet has ended."""
        greenlet: gevent.Greenlet[..., Any] = super().start(group)
        greenlet.rawlink(self._gone)
        return greenlet

    def stop(self, force: bool = False) -> bool:
        """Stop this user, as Locust does it; iterations that it owes by now are counted as skipped."""
        # Locust calls it in a greenlet of its own; whoever else does is the script.
        if not self.fate and getattr(gevent.getcurrent(), "_run", None) != self.stop:
            self.fate = "left"
        end_pace(self.sio)
        stop_waiting(self)
        killed = bool(super().stop(force))
        for client in self.clients:
            client.wake()
        return killed

    def _gone(self, _: object) -> None:
        end_pace(self.sio)
        for client in self.clients:
            client.release()
