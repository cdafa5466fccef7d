"""What a client consists of, how it stands, and what its user asks of it while tasks run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gevent
from mypy_extensions import mypyc_attr

from sioload.client.given import namespace_given, namespaces_given, seconds_given
from sioload.client.incoming import Incoming
from sioload.client.lifecycle import Lifecycle
from sioload.client.manager import Phase
from sioload.client.registry import Handlers, Transport
from sioload.client.rooms import Rooms, room_key
from sioload.client.schedule import Pace
from sioload.errors import NotConnected
from sioload.measure.rooms import value_of
from sioload.net.clock import stamp
from sioload.net.fleet import Fleet, say_unowned
from sioload.options import Options, check_strings, options_from
from sioload.plain import Json


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientBase:
    """The part of `SocketIOClient` that is not for tasks."""

    __slots__ = ("_emitter", "_home", "_incoming", "_life", "_manager", "_pending", "_user", "fleet",
                 "options", "url")  # fmt: skip

    def __init__(
        self,
        fleet: Fleet | None = None,
        options: Options | Mapping[str, Json] | None = None,
        *,
        url: str | None = None,
        user: object = None,
        handlers: Handlers | None = None,
    ) -> None:
        if user is None:
            say_unowned(fleet)
        self.fleet = fleet if fleet is not None else Fleet()
        self.options = self.fleet.seated(options_from(options))
        self.url = url
        self._user = user
        self._home = "/"
        self._incoming = Incoming(self.fleet, self.options, user, self, handlers)
        self._life = Lifecycle(self.fleet, self.options, user, self._incoming)
        self._manager = self._life.manager
        self._pending = self._life.pending
        self._emitter = self._life.emitter

    @property
    def connected(self) -> bool:
        """Whether every namespace asked for is connected."""
        return self._manager.phase is Phase.UP

    @property
    def transport(self) -> Transport:
        """ "polling" or "websocket", "" while there is no connection; `transport()` is that too, or None."""
        connection = self._manager.connection
        return Transport(connection.transport if connection is not None else "")

    @property
    def namespaces(self) -> dict[str, str]:
        """The namespaces that are connected, and the socket's id in each."""
        return {name: n.sid for name, n in self._manager.packets.namespaces.items() if n.connected}

    @property
    def rooms(self) -> Rooms:
        """The rooms that this user is in, a set which the script keeps, for `@on(..., room=)`.

        Add a room once the server has put the user into it. It is emptied when the session or a joined
        namespace ends and when one begins, unless the server recovered it.
        """
        return Rooms(self._incoming.known(), self._manager)

    @property
    def me(self) -> Any:
        """Whom messages name as their sender (third in `@on(..., room=)`) when this user sent them; None
        without."""
        member = self._incoming.member()
        return None if member is None or member.me is None else value_of(member.me)

    @me.setter
    def me(self, value: Any) -> None:
        self._incoming.known().call(None if value is None else room_key(value), stamp())

    @property
    def connection_headers(self) -> Mapping[str, str]:
        """The headers that the last `connect()` was made with; others, or a function, may take their place
        for the next sessions."""
        return self._manager.opener.options.headers

    @connection_headers.setter
    def connection_headers(self, headers: Mapping[str, str] | Callable[[], Mapping[str, str]]) -> None:
        opener = self._manager.opener
        own = {} if callable(headers) else headers
        check_strings("headers", own)
        opener.ask_headers = headers if callable(headers) else None
        opener.options = opener.options.but(headers={**self.options.headers, **own})

    @property
    def sid(self) -> str | None:
        """The Engine.IO session's id, None while there is none."""
        connection = self._manager.connection
        return (connection.sid or None) if connection is not None else None

    @property
    def recovered(self) -> bool:
        """Whether the last connect restored the session of a lost connection (connection state recovery)."""
        return any(n.recovered for n in self._manager.packets.namespaces.values())

    def get_sid(self, namespace: str | None = None) -> str | None:
        """The socket's id in a namespace, None while it isn't connected there."""
        found = self._manager.packets.namespaces.get(namespace_given(namespace) or self._home)
        return found.sid or None if found is not None else None

    def pause(self, seconds: float) -> None:
        """Wait before an attempt to connect.

        Raises:
            GreenletExit: the user is told to stop.
        """
        self._life.pause(seconds)

    def wake(self) -> None:
        """Let whoever waits for the connection look again: its user may be told to stop."""
        sleepers = self._life.sleepers
        if sleepers:
            self.fleet.later(sleepers.wake)

    def close_quietly(self) -> None:
        """Close whatever is open and return once it is closed, as if `connect()` had never been called."""
        self._life.close_quietly()

    def release(self) -> None:
        """The user's greenlet is gone: close as soon as no emit is open any more."""
        self._life.release()

    def rejoin(self) -> None:
        """Join the namespaces again that the server closed; `SocketIOUser` calls it before each task.

        Raises:
            ConnectError: that failed.
        """
        self._life.rejoin()

    def rejoin_patiently(self) -> None:
        """`rejoin` after the backoff, until it succeeds or `reconnection_attempts` are used up.

        Raises:
            ConnectError: the last attempt's.
        """
        self._life.rejoin_patiently()

    @property
    def closed(self) -> bool:
        """Whether the script has closed it, by `disconnect()`, and that is over."""
        return self._life.dismissed and self._manager.phase is Phase.IDLE

    @property
    def returning(self) -> bool:
        """Whether the user comes back to what the server closed, or tries to (`rejoin_patiently`)."""
        return self._life.returning

    @property
    def leaving(self) -> bool:
        """Whether the user's greenlet has ended; the connection closes once nothing is open any more."""
        return self._pending.leaving

    @property
    def lost(self) -> str:
        """ "given up" when reconnecting came to nothing, "failed" when `connect()` did, else "" (nothing)."""
        return self._life.lost

    def ended_by(self, error: NotConnected) -> bool:
        """Whether it was here that an emit couldn't be sent, and none can follow."""
        return error.emitter in (None, self._emitter) and (
            self._life.lost != "" or (self.kicked and not self.options.reconnection)
        )

    @property
    def down(self) -> bool:
        """Whether the connection is lost, and an attempt to come back is under way or will be."""
        return self._manager.phase is Phase.DOWN

    @property
    def label(self) -> str:
        """What stands behind the names of its rows."""
        return self._emitter.label

    def when_closed(self, then: Callable[[], None]) -> bool:
        """Call `then` in the hub once the connection is closed; False, and no call, if there is none now."""
        return self.fleet.watch(self._manager, then)

    @property
    def pace(self) -> Pace | None:
        """The slots of a paced user, None without."""
        return self._emitter.pace

    @pace.setter
    def pace(self, pace: Pace | None) -> None:
        self._emitter.pace = pace

    @property
    def used(self) -> bool:
        """Whether `connect()` was ever called."""
        return self._manager.opener.endpoint is not None

    @property
    def kicked(self) -> bool:
        """Whether the server closed a namespace that wasn't joined again yet."""
        for namespace in self._manager.packets.namespaces.values():  # noqa: SIM110 - before each task: no generator
            if namespace.kicked:
                return True
        return False

    def wait(self) -> None:
        """Wait until the connection has ended for good."""
        while self._manager.phase is not Phase.IDLE:
            self._life.sleepers.sleep()

    def sleep(self, seconds: object = 0) -> None:
        """Let others run for some seconds."""
        gevent.sleep(seconds_given(seconds, "sleep(): the time"))

    def _options(
        self,
        headers: Mapping[str, str] | None,
        transports: str | list[str] | tuple[str, ...] | None,
        path: str | None,
        timeout: float | None,
    ) -> Options:
        """The options with what one call changes; the shared object itself when that is nothing."""
        changes: dict[str, Json] = {}
        if transports is not None:
            changes["transports"] = transports
        if path is not None:
            changes["path"] = path
        if timeout is not None:
            changes["connect_timeout"] = timeout
        if headers is not None:
            check_strings("headers", headers)
        options = self.fleet.variant(self.options, changes) if changes else self.options
        return options.but(headers={**options.headers, **headers}) if headers else options

    def disconnect(self, namespace: str | None = None) -> None:
        """Leave one namespace, or all of them and close the connection; returns once that is done.

        Pending emits end as `indeterminate`. At the end of a run, or when Locust has stopped this user,
        nothing happens at once: open emits get their time to be answered first, then the connection closes
        by itself.

        Raises:
            UsageError: what is given is no name of a namespace.
        """
        if namespace is not None:
            namespaces_given([namespace])
        self._life.disconnect(namespace)

    def drop(self, silent: bool = False) -> None:
        """Break the connection off, as a phone does that loses its network; returns once it is lost.

        What follows is what follows any loss: pending emits end as `indeterminate`, `on_disconnected` is
        called with `"dropped"`, and reconnecting begins unless it is off. Without a connection nothing
        happens.

        Args:
            silent: the server isn't told: the socket stays open, and nobody reads from it or writes to it,
                until the server gives it up or the run ends. Without, it is reset.
        """
        self._life.drop(silent)

    def shutdown(self) -> None:
        """End the connection, or the attempts to get one back, as `disconnect()` does."""
        self.disconnect()

    def start_background_task(
        self, target: Callable[..., Any], *args: Json, **kwargs: Any
    ) -> gevent.Greenlet[..., Any]:
        """Call a function in a greenlet of its own, which is returned."""
        return gevent.spawn(target, *args, **kwargs)
