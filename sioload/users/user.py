"""`SocketIOUser`: a Locust user with a Socket.IO connection."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User
from locust.clients import HttpSession
from locust.exception import StopUser
from requests import Request
from requests.cookies import get_cookie_header

from sioload.client.api import SocketIOClient
from sioload.client.dispatcher import Handler
from sioload.errors import ConnectError, EmitError, UsageError
from sioload.net.fleet import fleet_of
from sioload.options import Options, options_from
from sioload.users.handlers import handlers_of
from sioload.users.pacing import Paced, end_pace


class SocketIOUser(User):
    """A simulated user that holds one Socket.IO connection, `self.sio`.

    Without a call of `self.sio.connect()` in `on_start`, it connects before its first task. A connect that
    fails is a failed CONNECT row; `on_start` then runs again after the reconnection backoff,
    `reconnection_attempts` times.

    The class may define `on_handshake(self, request)`, called before each HTTP request that opens or
    upgrades a session (it may change `request.headers`, `.query` and `.cookies`), `on_connected(self)`,
    called when the session is usable, after a reconnect too, and `on_disconnected(self, reason)`.

    Attributes:
        options: an `Options`, or a dict of them.
        sio: the connection.
        client: Locust's requests session, made on first use; its cookies go into the handshake.
    """

    abstract = True
    options: ClassVar[Mapping[str, Any] | Options] = {}
    sio: SocketIOClient

    _handlers: ClassVar[dict[tuple[str, str], Handler]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._handlers = handlers_of(cls)
        start: Any = cls.on_start
        if not hasattr(start, "_sioload_persistent"):
            cls.on_start = _persistent(start)  # type: ignore[assignment,method-assign]
        cls.tasks = [_guarded(task) for task in cls.tasks]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        fleet = fleet_of(environment)
        url = fleet.whole(self.host or environment.host)
        self.sio = SocketIOClient(fleet, self.parsed_options(), url=url, user=self, handlers=self._handlers)

    @classmethod
    def parsed_options(cls) -> Options:
        """The options, validated once for each class.

        Raises:
            OptionError: one is unknown or has a value that can't be used.
        """
        parsed: tuple[Any, Options] | None = cls.__dict__.get("_parsed")
        if parsed is None or parsed[0] is not cls.options:
            parsed = (cls.options, options_from(cls.options))
            cls._parsed = parsed  # type: ignore[attr-defined]
        return parsed[1]

    @functools.cached_property
    def client(self) -> HttpSession:
        """Locust's requests session, on the host of this user."""
        return HttpSession(
            base_url=_http(self.sio.url or ""),
            request_event=self.environment.events.request,
            user=self,
        )

    def session_cookies(self, url: str) -> dict[str, str]:
        """Cookies that `self.client` holds for a URL."""
        jar = getattr(self.__dict__.get("client"), "cookies", None)
        if not jar:
            return {}
        give: Any = get_cookie_header
        header = give(jar, Request("GET", url).prepare()) or ""
        return dict(pair.split("=", 1) for pair in header.split("; ") if "=" in pair)

    def start(self, group: Group) -> gevent.Greenlet[..., Any]:
        """Start this user's greenlet; its connection is let go once the greenlet has ended."""
        greenlet: gevent.Greenlet[..., Any] = super().start(group)
        greenlet.rawlink(self._gone)
        return greenlet

    def stop(self, force: bool = False) -> bool:
        """Stop this user, as Locust does it; iterations that it owes by now are counted as skipped."""
        end_pace(self)
        return bool(super().stop(force))

    def _gone(self, _: object) -> None:
        end_pace(self)
        self.sio.release()


def _http(url: str) -> str:
    """The URL for HTTP requests to the server of a ws:// or wss:// URL."""
    return "http" + url[2:] if url.startswith(("ws://", "wss://")) else url


def _persistent(on_start: Callable[[Any], None]) -> Callable[[Any], None]:
    """`on_start`, run again with backoff until it gets its connection; then the connection is open."""

    @functools.wraps(on_start)
    def run(self: SocketIOUser) -> None:
        if getattr(self, "_starting", False):
            on_start(self)  # called by a subclass's
            return
        jitter = self.sio.options.connect_jitter
        if jitter:
            gevent.sleep(random.uniform(0.0, jitter))
        attempt = 0
        self._starting = True  # type: ignore[attr-defined]
        try:
            while True:
                try:
                    on_start(self)
                    if not self.sio.used:
                        self.sio.connect()
                    wait_time: object = type(self).wait_time
                    if isinstance(wait_time, Paced):
                        wait_time.begin(self)
                    return
                except ConnectError as error:
                    options = self.sio.options
                    self.sio.fleet.complain(f"users of {type(self).__name__} can't connect: {error}")
                    if attempt >= options.reconnection_attempts:
                        raise StopUser from error
                    self.sio.close_quietly()
                    gevent.sleep(self.sio.backoff(attempt))
                    attempt += 1
                except UsageError as error:
                    # No attempt will ever succeed; what can be told before the load starts was told then.
                    self.sio.fleet.recorder.row("CONNECT", "/").fail(str(error))
                    self.sio.fleet.complain(f"users of {type(self).__name__} can't start: {error}")
                    raise StopUser from error
        finally:
            del self._starting  # type: ignore[attr-defined]

    run._sioload_persistent = True  # type: ignore[attr-defined]
    return run


def _guarded(task: Any) -> Any:
    """A task before which namespaces that the server closed are joined again.

    An emit that fails ends the task. It is a failure row already, so it is said once and isn't an exception
    to Locust, which would log a traceback for each.
    """
    if isinstance(task, type):  # a TaskSet, whose tasks get it instead of the user
        if isinstance(getattr(task, "tasks", None), list):
            task.tasks = [_guarded(inner) for inner in task.tasks]  # type: ignore[attr-defined]
        return task
    if hasattr(task, "_sioload_guarded"):
        return task

    @functools.wraps(task)
    def run(owner: Any) -> Any:
        sio: SocketIOClient = owner.sio if isinstance(owner, SocketIOUser) else owner.user.sio
        if sio.kicked:
            sio.rejoin_patiently()
        try:
            return task(owner)
        except EmitError as error:
            sio.fleet.complain(f"{task.__name__}: {error}")

    run._sioload_guarded = True  # type: ignore[attr-defined]
    return run
