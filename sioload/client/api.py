"""`SocketIOClient`, the object that a script holds as `self.sio`.

Its signatures are those of python-socketio's `Client`. Several arguments of an event are a tuple, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from mypy_extensions import mypyc_attr

from sioload.client.attempts import repeat
from sioload.client.base import ClientBase
from sioload.client.dispatcher import Handler
from sioload.client.emits import Unacked, Verdict
from sioload.client.given import check_function, namespace_given, namespaces_given, seconds_given, url_of
from sioload.client.manager import Phase
from sioload.client.namespace import plain, row_name
from sioload.client.pending import Expectation, Wait
from sioload.client.registry import event_decorator
from sioload.client.schedule import Schedule
from sioload.engineio.urls import Endpoint, host_url, parse_url
from sioload.errors import UsageError
from sioload.options import Options
from sioload.plain import Json


class _Eio:
    """What code written for python-socketio uses of `client.eio`."""

    __slots__ = ()

    def create_event(self) -> Event:
        """An event to wait on."""
        return Event()


@mypyc_attr(allow_interpreted_subclasses=True)
class SocketIOClient(ClientBase):
    """A Socket.IO connection of one simulated user.

    Args:
        fleet: what the process's connections share; one of its own without.
        options: an `Options`, or a dict of them.
        url: where `connect()` goes without a URL.
        user: passed to the handlers in `handlers`, and asked for the hooks `on_handshake`, `on_connected` and
            `on_disconnected`.
        handlers: (namespace, event) to handler, of a user class.

    What it does is done by `client.emitter` (out), `client.incoming` (in) and `client.lifecycle` (the rest).

    Attributes:
        fleet, options, url: see above.
    """

    __slots__ = ()

    eio: ClassVar[_Eio] = _Eio()

    # Connection.

    def connect(
        self,
        url: str | Callable[[], str] | None = None,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        auth: Json = None,
        transports: str | list[str] | tuple[str, ...] | None = None,
        namespaces: str | Iterable[str] | None = None,
        socketio_path: str | None = None,
        wait: bool = True,
        wait_timeout: float | None = None,
        retry: bool | None = None,
    ) -> None:
        """Open a session and join namespaces: one attempt, or with `retry` as many as reconnecting would
        make, with the same pauses.

        Handlers and hooks that are due meanwhile run in the caller's greenlet.

        Args:
            url: http, https, ws or wss; the user's host without. As a function, asked again before each
                reconnect. A path in it is a namespace, as in the JavaScript client: the one that is joined,
                and meant where a call names none.
            headers: added to `options["headers"]`; as a function, asked for each session anew.
            auth: dict or callable; the CONNECT payload, in place of `options["auth"]`.
            transports: in place of `options["transports"]`.
            namespaces: what to join; without, `options["namespaces"]`, else those that have handlers, else
                "/".
            socketio_path: in place of `options["path"]`.
            wait: return once every namespace has connected; False: return at once.
            wait_timeout: seconds for each attempt, in place of `options["connect_timeout"]`.
            retry: try again after a failure, up to `options["reconnection_attempts"]` times. Without, that is
                done in `on_start`, and nowhere else. With `wait=False` there is one attempt in any case.

        Raises:
            ConnectError: the last attempt failed; each has counted as a failure of each namespace's CONNECT
                row.
            GreenletExit: the user was told to stop between two attempts.
            RunEnded: a listener of the run's end called it too late.
            OptionError: an argument can't be used.
        """
        adopt = None if self._user is None else getattr(self._user, "_adopt", None)
        if adopt is not None:
            adopt(self)
        self._emitter.check_running()
        life, manager, opener = self._life, self._manager, self._manager.opener
        life.until_idle()
        if manager.phase is Phase.UP and life.ending:
            return  # at the end of a run `disconnect()` before this was put off
        if manager.phase is not Phase.IDLE:
            said = "already reconnecting" if self.down else "already connected"
            raise life.unconnectable(said, namespaces)
        asks = headers if callable(headers) else None
        options = self._options(
            None if callable(headers) else headers, transports, socketio_path, wait_timeout
        )
        given: Any = url
        asks_url = partial(_asked_url, given, options.path) if callable(given) else None
        given = given if asks_url is None else url_of(given)
        path = parse_url(given).path if given else host_url(self.url or "").path
        endpoint = parse_url(given or self.url, options.path)
        listed: Any = [namespaces] if isinstance(namespaces, str) else namespaces or options.namespaces
        if not isinstance(listed, Iterable):
            raise UsageError(f"namespaces must be a list of names such as '/chat', not {listed!r}")
        names: list[Any] = list(listed)
        before, self._home = self._home, "/" if path.rstrip("/") in ("", options.path.rstrip("/")) else path
        if self._home != before and self._incoming.own is not None:
            self._incoming.registry().move(before, self._home)
        if self._home != "/":
            names = [*((namespaces and names) or ()), self._home]
        wanted = namespaces_given(names or sorted(self._incoming.namespaces()) or ["/"])
        opener.ask_url = None
        life.dismissed = False

        def attempt() -> None:
            life.lost = ""
            at = endpoint if opener.ask_url is None else opener.ask_url()
            life.until_idle()
            opener.ask_headers, opener.ask_url = asks, asks_url
            manager.connect(at, options, wanted, auth)
            if wait:
                life.serve_until_up()

        if retry is None:
            retry = self._user is not None and bool(getattr(self._user, "starting", False))
        if retry and wait:
            repeat(attempt, options, life.pause, life.complain)
        else:
            attempt()

    # Emitting.

    def emit(
        self,
        event: str | int,
        data: Json = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Emit an event, with `callback` as an acknowledged one, which isn't waited for.

        Blocks only while the connection's write buffer is above its high-water mark, or while a lost
        connection is being restored (up to `ack_timeout`).

        Args:
            event: the event's name; a number goes out as one.
            data: None for no argument, a tuple for several; bytes may be anywhere inside.
            namespace: "/" without.
            callback: called with the ack's arguments, in a greenlet.
            name: the row's name in place of the event's.

        Raises:
            NotConnected: there was no connection in time; the outcome is `not_sent`.
            EncodeError: the data can't be serialised, or the name is reserved; the outcome is `not_sent`.
            Refused: the message is above the server's maxPayload; the outcome is `error`.
            RunEnded: a listener of the run's end called it too late; not counted.
        """
        emitter = self._emitter
        emitter.check_running()
        namespace = namespace or self._home
        shown = row_name(namespace, name or event)
        if callback is None:
            recorder = self.fleet.recorder
            row = recorder.row("EMIT", shown + emitter.label)
            recorder.ledger.emits += 1
            if emitter.pace is not None:
                emitter.pace.take(row, perf_counter())
            emitter.send(namespace, event, data, None, Unacked(recorder.ledger, row, self._user))
            return
        entry = emitter.entry("CALL", shown, namespace, event, None, None, callback)
        emitter.send(namespace, event, data, entry, entry)

    def send(self, data: Json, namespace: str | None = None, callback: Callable[..., Any] | None = None,
             name: str | None = None) -> None:  # fmt: skip
        """Emit the event `message`; arguments as in Locust's own client, `name` as for `emit`."""
        self.emit("message", data, namespace, callback, name=name)

    def call(
        self,
        event: str | int,
        data: Json = None,
        namespace: str | None = None,
        timeout: object = None,
        *,
        reply: str | int | None = None,
        where: Callable[..., Any] | None = None,
        ok: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ) -> Any:
        """Emit an event and wait for its answer.

        Args:
            event, data, namespace, name: as for `emit`.
            timeout: seconds; `ack_timeout` without.
            reply: the answer is this event instead of an ack.
            where: which of these events, given its arguments; may not block.
            ok: judges the value; false, or an exception, makes the row a failure. May not block.

        Returns:
            The answer's argument, a tuple when several, None when none.

        Raises:
            AckTimeout, ConnectionLost, UnexpectedReply, and what `emit` raises.
        """
        emitter = self._emitter
        if self._pending.leaving or self.fleet.stopping:
            emitter.check_running()
        namespace = namespace or self._home
        shown = row_name(namespace, name or event)
        wait = None
        verdict = None if ok is None else Verdict(ok, self._manager.discreet)
        if reply is None:
            entry = emitter.entry("CALL", shown, namespace, event, timeout, verdict)
        else:
            check_function(where, "where")
            entry = emitter.entry("REPLY", f"{shown}>{plain(reply)}", namespace, event, timeout, verdict)
            begun, until = entry.started, entry.deadline
            wait = Wait(self._pending, entry.row, namespace, plain(reply), where, begun, until, entry)
        try:
            emitter.send(namespace, event, data, entry if wait is None else None, entry, entry.deadline, wait)
            return entry.wait(self.fleet.hub)
        except gevent.Timeout:
            # The script's own patience is over.
            entry.waiter = None
            entry.end("timeout", "gave up waiting", perf_counter())
            raise
        except BaseException as error:
            entry.waiter = None  # a killed user's emit stays open until its answer or its end
            if isinstance(error, gevent.GreenletExit) and self._life.is_own():
                self._life.break_off()
            raise
        finally:
            if wait is not None and entry.finished:
                self._pending.remove_wait(wait)

    def schedule(
        self,
        event: str | int,
        data: Json = None,
        *,
        rate: object,
        max_outstanding: object = 1000,
        namespace: str | None = None,
        duration: object = None,
        name: str | None = None,
    ) -> Schedule:
        """Emit an event at a constant rate from now on, without waiting for earlier acks. Returns at once.

        The emits are acknowledged ones. Each has a time that counts from when it was meant to go out, and a
        service time that counts from when it did. It goes on over reconnects, and ends with the user, its
        `disconnect()` or the run. `schedule(...).wait()` waits for its end.

        Args:
            event, namespace, name: as for `emit`.
            data: as for `emit`; or a function without arguments that returns it, called for each emit in
                the event loop, where it may not block.
            rate: emits per second.
            max_outstanding: emits that may be open; while they are, the next ones are left out, and counted
                as skipped.
            duration: seconds; without, until `stop()` of what this returns.

        Raises:
            NotConnected: there is no connection, or the namespace wasn't joined; it counts as one `not_sent`.
            UsageError: an argument can't be used.
        """
        self._emitter.check_running()
        namespace = namespace or self._home
        return self._emitter.schedule(namespace, event, data, name, rate, max_outstanding, duration)

    def write(self, raw: object) -> None:
        """Send a Socket.IO packet written by hand, as it is: no ledger's ack, row EMIT `(raw)`.

        The text is that of the server's generation with Engine.IO's type in front where it has one:
        `42["add user","John"]`, in 0.9 `5:::{"name":"add user","args":["John"]}`.
        """
        self._emitter.check_running()
        self._emitter.write(raw)

    # Waiting for events.

    def wait_for(
        self,
        event: str | int,
        namespace: str | None = None,
        where: Callable[..., Any] | None = None,
        timeout: object = None,
    ) -> Any:
        """Wait from now on until the server sends an event; returns its argument, a tuple when several.

        Args:
            event, namespace: which event.
            where: which of these events, given its arguments; may not block.
            timeout: seconds; `ack_timeout` without.

        Raises:
            AckTimeout: it didn't come in time. NotConnected: `connect()` wasn't called yet.
            ConnectionLost: the connection ended for good meanwhile.
        """
        with self.expect(event, namespace, where, timeout) as expected:
            self._emitter.check_begun()
        return expected.args

    def expect(
        self,
        event: str | int,
        namespace: str | None = None,
        where: Callable[..., Any] | None = None,
        timeout: object = None,
    ) -> Expectation:
        """Listen for an event before a block of code runs, and wait for it at the block's end.

        `with sio.expect("joined", timeout=5) as joined: ...`, then `joined.args`. The time runs from the
        start of the block.
        """
        namespace = namespace_given(namespace) or self._home
        self._emitter.check_running()
        row = self.fleet.recorder.row_of(self._user, "WAIT", row_name(namespace, event))
        now = perf_counter()
        until = now + (self.options.ack_timeout if timeout is None else seconds_given(timeout, "timeout"))
        wait = Wait(self._pending, row, namespace, plain(event), where, now, until, owner=self._user)
        return Expectation(self._pending, wait)

    # Handlers.

    def on(
        self, event: str | int, handler: Callable[..., Any] | None = None, namespace: str | None = None
    ) -> Callable[..., Any]:
        """Register a handler for an event, `"*"` for all others; also as a decorator.

        Its return value answers a server that asks for an ack. `"*"` handlers get the event's name first;
        those of the namespace `"*"`, any that has no handler of its own, its name before the arguments.
        """
        shown = plain(event)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            named = namespace or self._home
            self._incoming.registry().add(named, shown, Handler(function), named == namespace)
            return function

        return register if handler is None else register(handler)

    def event(self, *args: Json, **options: Any) -> Any:
        """Register the decorated function for the event of its name: `@sio.event`."""
        return event_decorator(self.on, args, options)

    def register_namespace(self, namespace_handler: Any) -> None:
        """Register a class-based namespace, a `socketio.ClientNamespace`: `on_message` handles `message`."""
        self._incoming.registry().add_class(namespace_handler, self)

    def on_message(self, event: str, *data: Json) -> None:
        """What handlers written for Locust's own client call to have an event counted; it is counted
        already.
        """

    def another_client(
        self, url: str | None = None, options: Options | Mapping[str, Json] | None = None
    ) -> SocketIOClient:
        """A further connection of the same user, which is closed, drained and counted with it.

        Args:
            url: where it connects to; without, where this one does.
            options: an `Options`, or a dict of them; this one's without.
        """
        make = getattr(self._user, "another_client", None)
        options = self.options if options is None else options
        if make is None:
            return SocketIOClient(self.fleet, options, url=url or self.url)
        client: SocketIOClient = make(url or self.url, options)
        return client


def _asked_url(ask: Callable[[], str], path: str) -> Endpoint:
    return parse_url(url_of(ask), path)
