"""`SocketIOClient`, the object that a script holds as `self.sio`.

Its signatures are those of python-socketio's `Client`. Several arguments of an event are a tuple, as there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, Final

import gevent
from gevent.event import Event
from gevent.hub import Waiter, get_hub
from mypy_extensions import mypyc_attr

from sioload.client.attempts import Returns, repeat
from sioload.client.dispatcher import Dispatcher, Handler, Job
from sioload.client.emits import Emit, Unacked, Verdict
from sioload.client.excerpt import excerpt, place_of_error, place_of_function
from sioload.client.manager import Listener, Manager, Phase
from sioload.client.pending import Expectation, Pending, Wait
from sioload.client.registry import Handlers, Registry, Transport, event_decorator, find
from sioload.client.schedule import Pace, Schedule
from sioload.engineio.cookies import Jar
from sioload.engineio.urls import Endpoint, host_url, parse_url
from sioload.errors import ConnectError, EmitError, Loss, NotConnected, RunEnded, UsageError
from sioload.measure.clock import AHEAD, BACK, misfit
from sioload.measure.delivery import Receiver
from sioload.net import clock
from sioload.net.fleet import Fleet, say_unowned
from sioload.net.pushes import CountedBroadcast
from sioload.options import Options, options_from

#: How many of the largest payloads may wait for handlers: room for 10,000 events of 13 KB.
QUEUED: Final = 8
_clock: Final = perf_counter  # a global that costs no look-up


class _Eio:
    """What code written for python-socketio uses of `client.eio`."""

    __slots__ = ()

    def create_event(self) -> Event:
        """An event to wait on."""
        return Event()


@mypyc_attr(allow_interpreted_subclasses=True)
class SocketIOClient(Listener):
    """A Socket.IO connection of one simulated user.

    Args:
        fleet: what the process's connections share; one of its own without.
        options: an `Options`, or a dict of them.
        url: where `connect()` goes without a URL.
        user: passed to the handlers in `handlers`, and asked for the hooks `on_handshake`, `on_connected` and
            `on_disconnected`.
        handlers: (namespace, event) to handler, of a user class.

    Attributes:
        leaving: the user's greenlet has ended; the connection closes once nothing is open any more.
        lost: "given up" when reconnecting came to nothing, "failed" when `connect()` did, else "".
    """

    __slots__ = ("_blocked", "_dispatcher", "_full", "_handlers", "_home", "_jar", "_manager", "_overtime",
                 "_own", "_pending", "_receiver", "_returns", "_schedules", "_stopped", "_user", "fleet",
                 "leaving", "lost", "options", "pace", "url")  # fmt: skip

    eio: ClassVar[_Eio] = _Eio()

    def __init__(
        self,
        fleet: Fleet | None = None,
        options: Options | Mapping[str, Any] | None = None,
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
        self.pace: Pace | None = None
        self.leaving = False
        self._overtime: Any = None  # what is open when the user ends may take so long and no longer
        self._stopped = False  # it was stopped in the middle of a call, whose answer may still come
        self.lost = ""
        self._returns: Returns | None = None
        self._user = user
        self._jar: Jar | None = None
        self._home = "/"
        self._handlers: Handlers = handlers if handlers is not None else {}
        self._own: Registry | None = None
        self._manager = Manager(self.fleet, self.options, self)
        self._dispatcher: Dispatcher | None = None
        self._pending = Pending(self.fleet, self._expired, self._manager.packets.forget_shortcuts)
        self._receiver: Receiver | None = None
        self._schedules: list[Schedule] | None = None
        self._blocked: list[Waiter[Any]] | None = None
        self._full = False

    # Connection.

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
    def connection_headers(self) -> Mapping[str, str]:
        """The headers that the last `connect()` was made with; others, or a function, may take their place
        for the next sessions."""
        return self._manager.opener.options.headers

    @connection_headers.setter
    def connection_headers(self, headers: Mapping[str, str] | Callable[[], Mapping[str, str]]) -> None:
        link = self._manager.opener
        link.ask_headers = headers if callable(headers) else None
        own = {} if callable(headers) else headers
        link.options = link.options.but(headers={**self.options.headers, **own})

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
        found = self._manager.packets.namespaces.get(namespace or self._home)
        return found.sid or None if found is not None else None

    def connect(
        self,
        url: str | Callable[[], str] | None = None,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        auth: Any = None,
        transports: str | list[str] | tuple[str, ...] | None = None,
        namespaces: str | list[str] | tuple[str, ...] | None = None,
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
                reconnect. A path in it is a namespace, as in the
                JavaScript client: the one that is joined, and meant where a call names none.
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
        self._check_running()
        link = self._manager
        if link.phase is Phase.CLOSING:
            self._until_idle()
        if link.phase is Phase.UP and (self.leaving or self._stopped or self.fleet.ending):
            return  # at the end of a run `disconnect()` before this was put off
        if link.phase is not Phase.IDLE:
            raise ConnectError("connect", "already connected")
        asks = headers if callable(headers) else None
        options = self._options(
            None if callable(headers) else headers, transports, socketio_path, wait_timeout
        )
        asks_url = partial(_asked_url, url, options.path) if callable(url) else None
        if callable(url):
            url = url()
        path = parse_url(url).path if url else host_url(self.url or "").path
        endpoint = parse_url(url or self.url, options.path)
        names = [namespaces] if isinstance(namespaces, str) else list(namespaces or options.namespaces)
        self._home = "/" if path.rstrip("/") in ("", options.path.rstrip("/")) else path
        if self._home != "/":
            names = [*((namespaces and names) or ()), self._home]
        if not names:
            own = self._own.namespaces() if self._own is not None else set()
            names = sorted({ns for ns, _ in self._handlers} | own) or ["/"]
        for name in names:
            if not name.startswith("/"):
                raise UsageError(f"namespace {name!r} must begin with '/'")
        wanted = list(dict.fromkeys(names))
        link.opener.ask_url = None

        def attempt() -> None:
            self.lost = ""
            at = endpoint if link.opener.ask_url is None else link.opener.ask_url()
            link.opener.ask_headers, link.opener.ask_url = asks, asks_url
            link.connect(at, options, wanted, auth)
            if wait:
                self._serve_until_up()

        if retry is None:
            retry = bool(getattr(self._user, "starting", False))
        if retry and wait:
            repeat(attempt, options, self.pause, self._said)
        else:
            attempt()

    def _said(self, error: ConnectError) -> None:
        who = "clients" if self._user is None else f"users of {type(self._user).__name__}"
        self.fleet.complain(f"{who} can't connect: {error}")

    def pause(self, seconds: float) -> None:
        """Wait before an attempt to connect.

        Raises:
            GreenletExit: the user is told to stop.
        """
        until = perf_counter() + seconds
        while getattr(self._user, "_state", None) != "stopping":
            if perf_counter() >= until:
                return
            self._wait_until(until)
        raise gevent.GreenletExit

    def wake(self) -> None:
        """Let whoever waits for the connection look again: its user may be told to stop."""
        if self._blocked is not None:
            self.fleet.later(self._wake)

    def _options(
        self,
        headers: Mapping[str, str] | None,
        transports: str | list[str] | tuple[str, ...] | None,
        path: str | None,
        timeout: float | None,
    ) -> Options:
        """The options with what one call changes; the shared object itself when that is nothing."""
        changes: dict[str, Any] = {}
        if headers:
            changes["headers"] = {**self.options.headers, **headers}
        if transports is not None:
            changes["transports"] = transports
        if path is not None:
            changes["path"] = path
        if timeout is not None:
            changes["connect_timeout"] = timeout
        return self.options.but(**changes) if changes else self.options

    def _serve_until_up(self) -> None:
        """Be this connection's dispatcher until the attempt has succeeded or failed."""
        dispatcher = self._dispatching()
        mine = not dispatcher.busy
        if mine:
            dispatcher.busy = True
        try:
            while self._manager.phase is Phase.CONNECTING:
                if mine and len(dispatcher):
                    dispatcher.serve()
                else:
                    self._sleep()
            if self._manager.opener.failed is not None:
                raise self._manager.opener.failed
            if mine:
                dispatcher.serve()
        except BaseException as error:
            if not isinstance(error, ConnectError):
                # An attempt outlives its user; it is given up by whoever gives up waiting for it.
                stopped = isinstance(error, gevent.GreenletExit) and self._is_own()
                if self._manager.phase is Phase.CONNECTING and not stopped:
                    self._manager.forsake("gave up waiting")
            elif mine:
                dispatcher.serve()  # its handlers hear of it before it is raised
            raise
        finally:
            if mine:
                dispatcher.hand_back()

    def _is_own(self) -> bool:
        """Whether this is the user's own greenlet."""
        return getattr(self._user, "_greenlet", None) is gevent.getcurrent()

    def _sleep(self) -> None:
        """Wait for the next thing that may have changed; raises what is thrown."""
        waiter: Waiter[Any] = Waiter()
        self._block(waiter)
        waiter.get()

    def _block(self, waiter: Waiter[Any]) -> None:
        if self._blocked is None:
            self._blocked = []
        self._blocked.append(waiter)

    def _wake(self, error: BaseException | None = None) -> None:
        """In the hub: resume whoever waits for the connection."""
        blocked, self._blocked = self._blocked, None
        for waiter in blocked or ():
            if error is not None:
                waiter.throw(error)
            else:
                waiter.switch(None)

    def _until_idle(self) -> None:
        while self._manager.phase is Phase.CLOSING:
            self._sleep()

    def disconnect(self, namespace: str | None = None) -> None:
        """Leave one namespace, or all of them and close the connection; returns once that is done.

        Pending emits end as `indeterminate`. At the end of a run, or when Locust has stopped this user,
        nothing happens at once: open emits get their time to be answered first, then the connection closes
        by itself.
        """
        if self.leaving or self._stopped or self.fleet.ending:
            return
        self._end_schedules(namespace)
        if namespace is not None:
            self._manager.leave(namespace)
        else:
            was_up = self.connected
            self._manager.shut("client")
            self._until_idle()
            if was_up:
                self._system_event("disconnect", "client disconnect")
            return
        self._until_idle()

    def shutdown(self) -> None:
        """End the connection, or the attempts to get one back, as `disconnect()` does."""
        self.disconnect()

    def close_quietly(self) -> None:
        """Close whatever is open and return once it is closed, as if `connect()` had never been called."""
        self._end_schedules()
        self._manager.shut("client")
        self._until_idle()
        self._manager.opener.endpoint = None

    def release(self) -> None:
        """The user's greenlet is gone: close as soon as no emit is open any more."""
        self.leaving = True
        self._end_schedules()
        fleet = self.fleet
        if not fleet.ending and self._manager.phase is not Phase.IDLE:
            if not self._pending and not self._manager.pending:
                self._manager.shut("client")
            elif self._overtime is None:
                self._overtime = fleet.deadlines.at(perf_counter() + fleet.patience, self._overdue)
        if self._receiver is not None and self._manager.phase is Phase.IDLE:
            self._receiver.close()

    def _overdue(self, now: float) -> None:
        """The user has been gone for so long that nothing more is waited for."""
        self._overtime = None
        if not self.fleet.ending and self._manager.phase is not Phase.IDLE:
            self._manager.finish("no answer before the user's time was over")

    def rejoin(self) -> None:
        """Join the namespaces again that the server closed; `SocketIOUser` calls it before each task.

        Raises:
            ConnectError: that failed.
        """
        link = self._manager
        names = link.namespaces.rejoin()
        if not names:
            return
        if link.phase is Phase.CLOSING:
            self._until_idle()
        if link.phase is Phase.IDLE and link.opener.endpoint is not None:
            link.reopen()
            self._serve_until_up()
            return
        until = perf_counter() + self.options.connect_timeout
        while not all(link.packets.usable(name) for name in names) and perf_counter() < until:
            if any(link.packets.namespaces[name].kicked for name in names if name in link.packets.namespaces):
                raise ConnectError("connect", f"namespace {', '.join(names)} refused", kind="refused")
            self._wait_until(until)
        link.namespaces.give_up_rejoins(f"no answer in {self.options.connect_timeout:g} s")

    def rejoin_patiently(self) -> None:
        """`rejoin` after the backoff, until it succeeds or `reconnection_attempts` are used up.

        Raises:
            ConnectError: the last attempt's.
        """
        if self._returns is None:
            self._returns = Returns()
        self._returns.make(self.rejoin, self.options, self.pause, self._said)

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
            self._sleep()

    def sleep(self, seconds: float = 0) -> None:
        """Let others run for some seconds."""
        gevent.sleep(seconds)

    # Emitting.

    def emit(
        self,
        event: str | int,
        data: Any = None,
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
            EncodeError: the data can't be serialised; the outcome is `not_sent`.
            Refused: the message is above the server's maxPayload; the outcome is `error`.
            RunEnded: a listener of the run's end called it too late; not counted.
        """
        self._check_running()
        namespace = namespace or self._home
        ledger = self.fleet.recorder.ledger
        if callback is None:
            row = self.fleet.recorder.row("EMIT", self._row_name(namespace, name or event))
            ledger.emits += 1
            if self.pace is not None:
                self.pace.take(row, perf_counter())
            self._transmit(namespace, event, data, None, Unacked(ledger, row, self._user))
            return
        shown = self._row_name(namespace, name or event)
        entry = self._entry("CALL", shown, namespace, event, None, None, callback)
        self._transmit(namespace, event, data, entry, entry)

    def send(
        self, data: Any, namespace: str | None = None, callback: Callable[..., Any] | None = None
    ) -> None:
        """Emit the event `message`."""
        self.emit("message", data, namespace, callback)

    def call(
        self,
        event: str | int,
        data: Any = None,
        namespace: str | None = None,
        timeout: float | None = None,
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
        if self.leaving or self.fleet.stopping:
            self._check_running()
        if namespace is None:
            namespace = self._home
        shown = str(name or event) if namespace == "/" else f"{namespace} {name or event}"
        wait = None
        verdict = None if ok is None else Verdict(ok, self._manager.discreet)
        if reply is None:
            entry = self._entry("CALL", shown, namespace, event, timeout, verdict)
        else:
            entry = self._entry("REPLY", f"{shown}>{reply}", namespace, event, timeout, verdict)
            wait = Wait(entry.row, namespace, str(reply), where, entry.started, entry.deadline, entry)
            self._pending.add_wait(wait)
        try:
            self._transmit(namespace, event, data, entry if wait is None else None, entry, entry.deadline)
            return entry.wait(self.fleet.hub)
        except gevent.Timeout:
            # The script's own patience is over.
            entry.waiter = None
            entry.end("timeout", "gave up waiting", perf_counter())
            raise
        except BaseException as error:
            entry.waiter = None  # a killed user's emit stays open until its answer or its end
            if (
                isinstance(error, gevent.GreenletExit)
                and getattr(self._user, "_greenlet", None) is gevent.getcurrent()
            ):
                self._stopped = True
            raise
        finally:
            if wait is not None and entry.finished:
                self._pending.remove_wait(wait)

    def schedule(
        self,
        event: str | int,
        data: Any = None,
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
            NotConnected: there is no connection, or the namespace wasn't joined.
            UsageError: an argument can't be used.
        """
        self._check_running()
        namespace = namespace or self._home
        if (
            self._manager.phase not in (Phase.UP, Phase.DOWN)
            or namespace not in self._manager.packets.namespaces
        ):
            raise NotConnected(self._why_not(namespace))
        row = self.fleet.recorder.row("CALL", self._row_name(namespace, name or event))
        schedule = Schedule(self, row, namespace, event, data, rate, max_outstanding, duration,
                            self.options.ack_timeout)  # fmt: skip
        if self._schedules is None:
            self._schedules = []
        self._schedules.append(schedule)
        return schedule

    @property
    def over(self) -> bool:
        """Whether the user or the run has ended: no new emit starts."""
        return self.fleet.stopping or self.leaving

    def ready(self, namespace: str) -> bool:
        """Whether an emit would go out without waiting."""
        link = self._manager
        if not link.packets.usable(namespace) or link.connection is None:
            return False
        return not self._full or link.connection.buffered <= self.options.limits.write_high_water

    def transmit(self, entry: Emit, data: Any) -> None:
        """Send an acknowledged emit now, which must be possible; raises the `EmitError` that ended it."""
        self._full = False
        self._transmit(entry.namespace, entry.event, data, entry, entry)

    def forget_schedule(self, schedule: Schedule) -> None:
        """A schedule has come to its end."""
        if self._schedules is not None and schedule in self._schedules:
            self._schedules.remove(schedule)

    def _end_schedules(self, namespace: str | None = None) -> None:
        for schedule in list(self._schedules or ()):
            if namespace is None or schedule.namespace == namespace:
                schedule.end()

    def _flush_schedules(self) -> None:
        for schedule in list(self._schedules or ()):
            schedule.flush()

    def write(self, raw: str | bytes) -> None:
        """Send a Socket.IO packet written by hand, as it is: no ledger's ack, row EMIT `(raw)`.

        The text is that of the server's generation with Engine.IO's type in front where it has one:
        `42["add user","John"]`, in 0.9 `5:::{"name":"add user","args":["John"]}`.
        """
        self._check_running()
        recorder = self.fleet.recorder
        row = recorder.row("EMIT", "(raw)")
        recorder.ledger.emits += 1
        token = Unacked(recorder.ledger, row)
        try:
            self._usable("/", perf_counter() + self.options.ack_timeout, any_namespace=True)
            handed = self._manager.packets.send_raw(raw, token)
        except EmitError as error:
            token.settle(error.outcome, str(error))
            raise
        except BaseException as error:
            token.settle("not_sent", f"{type(error).__name__} before it was sent")
            raise
        if handed:
            token.settle("sent", "")

    def _entry(
        self,
        kind: str,
        shown: str,
        namespace: str,
        event: str | int,
        timeout: float | None,
        ok: Verdict | None,
        callback: Callable[..., Any] | None = None,
    ) -> Emit:
        now = _clock()
        recorder = self.fleet.recorder
        row = recorder.rows.get((kind, shown)) or recorder.row(kind, shown)
        deadline = now + (self.options.ack_timeout if timeout is None else timeout)
        slot = None if self.pace is None else self.pace.take(row, now)
        if slot is None:
            return Emit(
                recorder.ledger, row, namespace, event, now, now, False, deadline, ok, callback, self._user
            )
        return Emit(
            recorder.ledger, row, namespace, event, slot, now, True, deadline, ok, callback, self._user
        )

    @staticmethod
    def _row_name(namespace: str, name: str | int) -> str:
        return str(name) if namespace == "/" else f"{namespace} {name}"

    def _check_running(self) -> None:
        """Something begins in a greenlet: it may not, once the user or the run has ended.

        GreenletExit ends tasks and the script's own greenlets, in loops that catch every Exception too. It
        would break off the end of the run in listeners, and what is left of an `on_stop`.
        """
        fleet = self.fleet
        if not (fleet.stopping or self.leaving):
            return
        current = gevent.getcurrent()
        listener = current in fleet.enders
        if listener and not fleet.stopping:
            return
        if listener or (getattr(self._user, "_greenlet", None) is current and sys.exc_info()[0] is not None):
            raise RunEnded("the run has ended: emit before the last listener of test_stop returns")
        raise gevent.GreenletExit

    def _transmit(
        self,
        namespace: str,
        event: str | int,
        data: Any,
        ack: Emit | None,
        token: Emit | Unacked,
        until: float | None = None,
    ) -> None:
        """Send one event; `ack` wants an ack id. Whatever goes wrong ends `token` and is raised."""
        link = self._manager
        number = None
        try:
            found = link.packets.ready.get(namespace)
            if found is None or not found.connected or self._full:
                self._usable(namespace, until or perf_counter() + self.options.ack_timeout)
            if ack is not None:
                if ack.paced:
                    ack.written = perf_counter()
                number = self._pending.add_ack(ack)
            if not link.packets.send_event(namespace, event, data, number, token):
                assert link.connection is not None
                self._full = link.connection.buffered > self.options.limits.write_high_water
            elif ack is None and isinstance(token, Unacked):
                token.settle("sent", "")
        except EmitError as error:
            if number is not None:
                del self._pending.acks[number]
            self._give_up(token, error)
            raise
        except BaseException:
            if number is None or number not in self._pending.acks:
                self._give_up(token, NotConnected("the user was stopped before it was sent"))
            raise

    def _give_up(self, token: Emit | Unacked, error: EmitError) -> None:
        """An emit ends before it was written; its exception is raised to the caller."""
        reason = str(error)
        if isinstance(token, Emit):
            token.end(error.outcome, reason, None, error)
        else:
            token.settle(error.outcome, reason, error)

    def _usable(self, namespace: str, until: float, any_namespace: bool = False) -> None:
        """Wait until something can be sent in a namespace and the write buffer has room."""
        link = self._manager
        high = self.options.limits.write_high_water
        while True:
            if link.phase is Phase.UP and (any_namespace or link.packets.usable(namespace)):
                if link.connection is None or link.connection.buffered <= high:
                    return
            elif link.phase is Phase.UP or link.phase is Phase.IDLE or link.phase is Phase.CLOSING:
                raise NotConnected(self._why_not(namespace))
            if perf_counter() >= until:
                raise NotConnected("no connection in time")
            self._wait_until(until)

    def _why_not(self, namespace: str) -> str:
        found = self._manager.packets.namespaces.get(namespace)
        if self._manager.phase is not Phase.UP:
            return "not connected"
        if found is None:
            return f"namespace {namespace} was not joined (name it in connect() or in the option namespaces)"
        return f"namespace {namespace} was closed by the server"

    def _wait_until(self, until: float) -> None:
        """`_sleep`, for so long at most."""
        deadlines = self.fleet.deadlines
        waiter: Waiter[Any] = Waiter()
        self._block(waiter)
        timer = deadlines.at(until, waiter.switch)
        try:
            waiter.get()
        finally:
            deadlines.cancel(timer)
            blocked = self._blocked
            if blocked is not None and waiter in blocked:
                blocked.remove(waiter)

    # Waiting for events.

    def wait_for(
        self,
        event: str | int,
        namespace: str | None = None,
        where: Callable[..., Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait from now on until the server sends an event; returns its argument, a tuple when several.

        Args:
            event, namespace: which event.
            where: which of these events, given its arguments; may not block.
            timeout: seconds; `ack_timeout` without.

        Raises:
            AckTimeout: it didn't come in time.
            ConnectionLost: the connection ended for good meanwhile.
        """
        with self.expect(event, namespace, where, timeout) as expected:
            pass
        return expected.args

    def expect(
        self,
        event: str | int,
        namespace: str | None = None,
        where: Callable[..., Any] | None = None,
        timeout: float | None = None,
    ) -> Expectation:
        """Listen for an event before a block of code runs, and wait for it at the block's end.

        `with sio.expect("joined", timeout=5) as joined: ...`, then `joined.args`. The time runs from the
        start of the block.
        """
        namespace = namespace or self._home
        self._check_running()
        row = self.fleet.recorder.row("WAIT", self._row_name(namespace, event))
        now = perf_counter()
        until = now + (self.options.ack_timeout if timeout is None else timeout)
        wait = Wait(row, namespace, str(event), where, now, until, owner=self._user)
        return Expectation(self._pending, wait)

    # Handlers.

    def on(
        self, event: str | int, handler: Callable[..., Any] | None = None, namespace: str | None = None
    ) -> Callable[..., Any]:
        """Register a handler for an event, `"*"` for all others; also as a decorator.

        Its return value answers a server that asks for an ack. `"*"` handlers get the event's name first;
        those of the namespace `"*"`, any that has no handler of its own, its name before the arguments.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._registry().add(namespace or self._home, str(event), Handler(function))
            return function

        return register if handler is None else register(handler)

    def _registry(self) -> Registry:
        if self._own is None:
            self._own = Registry()
        self._manager.packets.forget_shortcuts()
        return self._own

    def event(self, *args: Any, **options: Any) -> Any:
        """Register the decorated function for the event of its name: `@sio.event`."""
        return event_decorator(self.on, args, options)

    def register_namespace(self, namespace_handler: Any) -> None:
        """Register a class-based namespace, a `socketio.ClientNamespace`: `on_message` handles `message`."""
        namespace_handler._set_client(self)
        self._registry().add_class(namespace_handler.namespace, namespace_handler)

    def start_background_task(
        self, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> gevent.Greenlet[..., Any]:
        """Call a function in a greenlet of its own, which is returned."""
        return gevent.spawn(target, *args, **kwargs)

    def on_message(self, event: str, *data: Any) -> None:
        """What handlers written for Locust's own client call to have an event counted; it is counted
        already.
        """

    def _dispatching(self) -> Dispatcher:
        if self._dispatcher is None:
            limits = self.options.limits
            self._dispatcher = Dispatcher(self, limits.handler_queue, QUEUED * limits.payload)
        return self._dispatcher

    def _call_handler(
        self, handler: Handler, event: str, args: tuple[Any, ...], namespace: str, id: int | None
    ) -> None:
        """In a greenlet."""
        result = handler.call(self._user, event, args)
        if id is not None:
            self._manager.packets.send_ack(namespace, id, list(result) if isinstance(result, tuple) else
                                [] if result is None else [result])  # fmt: skip

    def on_job_failed(self, job: Job, error: BaseException) -> None:
        """A handler, callback or hook raised: a failure row, and nothing else stops."""
        function, args, _ = job
        if function == self._call_handler:
            kind, name = "RECV", f"{self._row_name(args[3], args[1])} (handler)"
        elif function == self._call_back:
            kind, name = "RECV", f"{args[0].row.name} (callback)"
        else:
            kind, name = "CONNECT", f"{getattr(function, '__name__', 'hook')} (hook)"
        row = self.fleet.recorder.row(kind, name)
        row.note(self._user, 0, error if isinstance(error, Exception) else None)
        row.fail(f"{type(error).__name__}: {error}", None, partial(place_of_error, error))

    def _call_back(self, entry: Emit, args: list[Any]) -> None:
        assert entry.callback is not None
        entry.callback(*args)

    # The link's listener: in the hub.

    def only_counts(self, handlers: object) -> bool:
        return handlers is self._handlers and self._own is None and not self._pending.waits

    def on_event(
        self, namespace: str, args: list[Any], id: int | None, auto: bool, offset: bool = False
    ) -> CountedBroadcast | None:
        now = perf_counter()
        event = args.pop(0)
        given = args
        if offset and len(args) > 1:
            args = args[:-1]  # what measures and waits gets the event as it was emitted
        recorder = self.fleet.recorder
        size = self._manager.packets.size
        shown = event if namespace == "/" else f"{namespace} {event}"
        before: tuple[str, ...] = ()
        handler = self._handlers.get((namespace, event)) if self._own is None else None
        if handler is None:
            handler, before = find(self._own, namespace, event, self._handlers)
        pending = self._pending
        awaited = bool(pending.waits) and pending.answered(namespace, event, args, now, size)
        measured: CountedBroadcast | None = None
        if handler is not None and handler.sent_at is not None:
            row = recorder.rows.get(("PUSH", shown)) or recorder.row("PUSH", shown)
            row.bytes += size
            row.note(self._user, size)
            try:
                late = clock.zero + now - handler.sent_at(*args)
                if -AHEAD <= late <= BACK:
                    row.add(late)
                    measured = CountedBroadcast(self._handlers, row, now - late, size)
                else:
                    row.fail(misfit(late), None, partial(self._told, handler.sent_at, args))
            except Exception as error:  # noqa: BLE001 - the script's own code
                row.fail(f"sent_at raised {type(error).__name__}: {error}", None,
                         partial(self._told, handler.sent_at, args))  # fmt: skip
        elif not awaited:
            row = recorder.row("RECV", shown)
            row.bytes += size
            row.note(self._user, size)
            row.tick()
            measured = CountedBroadcast(self._handlers, row, None, size)
        if id is not None or self._own is not None or recorder.tap is not None:
            measured = None  # there is more to do, or only this user would do it
        if handler is not None and handler.delivery is not None:
            self._deliver(handler, shown, args)
            measured = None
        if auto:
            self._manager.packets.send_ack(namespace, id or 0, [])
            id = None
        if handler is None or handler.function is None:
            if id is not None:
                recorder.row("RECV", f"{shown} (ack)").fail(
                    "the server asked for an ack and no handler answers it"
                )
            return measured
        if handler.empty and id is None:
            return measured
        passed = (*before, *given)
        if offset:
            passed = handler.without_last(passed)
        if not self._dispatching().add(self._call_handler, handler, event, passed, namespace, id):
            recorder.row("RECV", f"{shown} (handler)").fail("the handler queue is full")
        return None

    def on_server_error(self, namespace: str, data: Any, reason: str) -> None:
        self.fleet.recorder.row("RECV", self._row_name(namespace, "error")).fail(reason)
        if self._pending.waits:
            self._pending.answered(namespace, "error", [data], perf_counter(), self._manager.packets.size)
        self._system_event("error", data, namespace=namespace)

    def _deliver(self, handler: Handler, shown: str, args: list[Any]) -> None:
        assert handler.delivery is not None
        try:
            stream, number = handler.delivery(*args)
            if self._receiver is None:
                self._receiver = self.fleet.recorder.delivery.receiver()
            self._receiver.seen(shown, stream, number)
        except Exception as error:  # noqa: BLE001 - the script's own code
            row = self.fleet.recorder.row("RECV", f"{shown} (delivery)")
            row.fail(f"{type(error).__name__}: {error}", None, partial(self._told, handler.delivery, args))

    def _told(self, function: object, args: Sequence[Any]) -> str:
        """A function of the script, and what it was given."""
        return f"{place_of_function(function)}, given {excerpt(args, self._manager.discreet)}"

    def on_ack(self, id: int, args: list[Any]) -> None:
        entry = self._pending.acks.pop(id, None)
        if entry is None or entry.finished:
            if id < self._pending.next_id:  # else it answers a packet written by hand
                self.fleet.recorder.ledger.late_acks += 1
            return
        if entry.callback is not None and not self._dispatching().add(self._call_back, entry, args):
            self.fleet.recorder.row("RECV", f"{entry.row.name} (callback)").fail("the handler queue is full")
        entry.answer(args, _clock(), self._manager.packets.size)
        if self.leaving:
            self.release()

    def on_up(self, again: bool) -> None:
        self._full = False
        self._pending.next_id = max(self._pending.next_id, self._manager.packets.generation.first_id)
        hook = self.hook("on_connected")
        if hook is not None:
            self.run(hook)
        self._system_event("connect")
        self._flush_schedules()
        self._wake()
        self._expired()

    def _system_event(self, event: str, *args: Any, namespace: str | None = None) -> None:
        """python-socketio's own events, for handlers that were registered for them."""
        for name in self._manager.packets.namespaces if namespace is None else (namespace,):
            handler, before = find(self._own, name, event, self._handlers)
            if handler is not None and handler.function is not None:
                passed = handler.without_last((*before, *args)) if args else before
                self._dispatching().add(self._call_handler, handler, event, passed, name, None)

    def on_connect_error(self, namespace: str, data: object) -> None:
        self._system_event("connect_error", data, namespace=namespace)

    def on_attempt_failed(self, error: ConnectError) -> None:
        self.lost = "failed"
        self._ended()
        self._wake(error)
        self._expired()

    def _ended(self) -> None:
        """There is no connection any more, and none is to come by itself."""
        self.fleet.deadlines.cancel(self._overtime)
        self._overtime = None

    def on_down(self, reason: Loss, namespace: str | None) -> None:
        if reason == "client":
            text = self.fleet.over or "no answer by the time the client left"
        else:
            text = f"connection lost: {reason}" if namespace is None else f"namespace lost: {reason}"
        final = self._manager.phase is Phase.IDLE
        if final:
            self._ended()
        if reason == "given up":
            self.lost = reason
        self._pending.lose(namespace, text, final, left=reason == "client" or bool(self.fleet.over))
        if self._receiver is not None:
            self._receiver.reconnected()
            if final and self.leaving:
                self._receiver.close()
        if reason not in ("client", "given up"):
            hook = self.hook("on_disconnected")
            if hook is not None:
                self.run(hook, reason)
            self._system_event("disconnect", reason)
        self._wake()
        if final:
            self._pending.settle()

    def on_writable(self) -> None:
        self._full = False
        self._flush_schedules()
        self._wake()
        self._expired()

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call user code in a greenlet: the queue's, or one of its own while that is busy."""
        dispatcher = self._dispatching()
        if self._manager.phase is Phase.DOWN and dispatcher.busy:
            gevent.spawn(self._run_alone, function, args)
            return
        dispatcher.add(function, *args)
        if self._blocked is not None and self._manager.phase is Phase.CONNECTING:
            get_hub().loop.run_callback(self._wake)

    def _run_alone(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        except Exception as error:  # noqa: BLE001 - the script's own code
            self.on_job_failed((function, args, 0), error)

    def jar(self, make: bool = False) -> Jar | None:
        """The user's cookies, which its HTTP client and its other connections share."""
        of_user: Callable[[bool], Jar | None] | None = self.hook("cookie_jar")
        if of_user is not None:
            return of_user(make)
        if make and self._jar is None:
            self._jar = Jar()
        return self._jar

    def owner(self) -> object:
        return self._user

    def hook(self, name: str) -> Callable[..., Any] | None:
        if name in ("on_connected", "on_disconnected") and getattr(self._user, "sio", self) is not self:
            return None  # which of the user's clients it is about, they couldn't tell
        return getattr(self._user, name, None)

    def another_client(
        self, url: str | None = None, options: Options | Mapping[str, Any] | None = None
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

    def _expired(self) -> None:
        if self.leaving:
            self.release()


def _asked_url(ask: Callable[[], str], path: str) -> Endpoint:
    return parse_url(ask(), path)
