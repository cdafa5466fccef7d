"""One client's time with its connection: waiting until it is up, losing it, coming back, letting it go."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import gevent

from sioload.client.attempts import UNCONNECTED, Returns
from sioload.client.emitter import Emitter, let_others_go_on
from sioload.client.incoming import Incoming
from sioload.client.manager import Listener, Manager, Phase
from sioload.client.pending import Pending
from sioload.client.sleepers import Sleepers
from sioload.errors import ConnectError, Loss, in_words
from sioload.net.clock import stamp
from sioload.options import Options
from sioload.plain import Json
from sioload.session.dropping import drop

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet


class Lifecycle(Listener):
    """What `SocketIOClient` consists of, put together, and what becomes of it.

    Attributes:
        manager, pending, sleepers, emitter: the client's, made here.
        dismissed: `disconnect()` was called, after which no attempt follows by itself.
        lost: "given up" when reconnecting came to nothing, "failed" when `connect()` did, else "".
        stopped: the user was stopped in the middle of a call, whose answer may still come (`break_off`).
        returning: the user comes back to what the server closed, or tries to.
    """

    __slots__ = ("_fleet", "_incoming", "_options", "_overtime", "_returns", "_user", "dismissed", "emitter",
                 "lost", "manager", "pending", "returning", "sleepers", "stopped")  # fmt: skip

    def __init__(self, fleet: Fleet, options: Options, user: object, incoming: Incoming) -> None:
        self._fleet = fleet
        self._options = options
        self._user = user
        self._incoming = incoming
        self.lost: Literal["", "given up", "failed"] = ""
        self.stopped = self.dismissed = self.returning = False
        self._overtime: Timer | None = None  # what is open when the user ends may take so long and no longer
        self._returns: Returns | None = None
        self.manager = incoming.manager = Manager(fleet, options, self, incoming, incoming)
        forget = self.manager.packets.forget_shortcuts
        self.pending = incoming.pending = self.manager.packets.woken = Pending(fleet, self._settled, forget)
        self.sleepers = incoming.sleepers = Sleepers(fleet)
        incoming.settled = self._settled
        self.emitter = Emitter(fleet, options, user, self.manager, self.pending, self.sleepers)

    # The manager's listener: in the hub.

    def on_server_error(self, namespace: str, data: Json, reason: str) -> None:
        self._incoming.refused(namespace, data, reason)

    def on_connect_error(self, namespace: str, data: object) -> None:
        self._incoming.tell("connect_error", data, namespace=namespace)

    def on_up(self) -> None:
        pending, incoming = self.pending, self._incoming
        pending.next_id = max(pending.next_id, self.manager.packets.generation.first_id)
        hook = incoming.hook("on_connected")
        if hook is not None:
            incoming.dispatcher().insist(hook)
        recovered = any(n.recovered for n in self.manager.packets.namespaces.values())
        self._fleet.recorder.outages.up(self._key(), stamp(), recovered)
        incoming.tell("connect")
        self.on_writable()

    def _key(self) -> object:
        """Whose sessions these are."""
        return self if self._user is None else self._user

    def on_writable(self) -> None:
        self.emitter.go_on()
        self.sleepers.wake()
        self._settled()

    def on_attempt_failed(self) -> None:
        self.lost = "failed"
        self._ended()
        self.sleepers.wake()
        self._settled()

    def on_down(self, reason: Loss, namespace: str | None) -> None:
        incoming = self._incoming
        # A server that closes the last namespace has sent the user away: its session ends with that.
        over = namespace is None or not any(n.connected for n in self.manager.namespaces.wanted.values())
        if over and reason not in ("client", "given up"):
            self._fleet.recorder.outages.down(self._key(), stamp(), reason)
        if reason == "client":
            text = self._fleet.over or "no answer by the time the client left"
        else:
            text = f"connection lost: {reason}" if namespace is None else f"namespace lost: {reason}"
        final = self.manager.phase is Phase.IDLE
        if final:
            self._ended()
        if reason == "given up":
            self.lost = reason
        self.pending.lose(namespace, text, final, left=reason == "client" or bool(self._fleet.over))
        incoming.interrupted(final)
        if reason not in ("client", "given up"):
            hook = incoming.hook("on_disconnected")
            if hook is not None:
                incoming.dispatcher().insist(hook, reason)
            incoming.tell("disconnect", reason, namespace=namespace)
        self.sleepers.wake()
        if final:
            self.pending.settle()

    def _ended(self) -> None:
        """There is no connection any more, and none is to come by itself."""
        self._fleet.deadlines.cancel(self._overtime)
        self._overtime = None

    # Waiting. Greenlets call these.

    def pause(self, seconds: float) -> None:
        """Wait before an attempt to connect.

        Raises:
            ConnectError: the script has called `disconnect()`.
            GreenletExit: the user is told to stop.
        """
        until = perf_counter() + seconds
        while getattr(self._user, "_state", None) != "stopping":
            if self.dismissed:
                raise ConnectError("connect", UNCONNECTED, kind="client")
            if perf_counter() >= until:
                return
            self.sleepers.sleep(until)
        raise gevent.GreenletExit

    def until_idle(self) -> None:
        """Wait until the goodbye is over."""
        while self.manager.phase is Phase.CLOSING:
            self.sleepers.sleep()

    def serve_until_up(self) -> None:
        """Be this connection's dispatcher until the attempt has succeeded or failed."""
        manager, dispatcher = self.manager, self._incoming.dispatcher()
        mine = not dispatcher.busy
        if mine:
            dispatcher.busy = True
            dispatcher.wake = partial(self._fleet.later, self.sleepers.wake)
        try:
            while manager.phase is Phase.CONNECTING:
                if mine and len(dispatcher):
                    dispatcher.serve()
                else:
                    self.sleepers.sleep()
            if manager.opener.failed is not None:
                raise manager.opener.failed
            if mine:
                dispatcher.serve()
        except BaseException as error:
            if not isinstance(error, ConnectError):
                # An attempt outlives its user; it is given up by whoever gives up waiting for it.
                stopped = isinstance(error, gevent.GreenletExit) and self.is_own()
                if manager.phase is Phase.CONNECTING and not stopped:
                    manager.forsake("gave up waiting")
            elif mine:
                dispatcher.serve()  # its handlers hear of it before it is raised
            raise
        finally:
            if mine:
                dispatcher.hand_back()

    def is_own(self) -> bool:
        """Whether this is the user's own greenlet."""
        return getattr(self._user, "_greenlet", None) is gevent.getcurrent()

    def complain(self, error: ConnectError) -> None:
        """An attempt has failed, which isn't the last one."""
        who = "clients" if self._user is None else f"users of {type(self._user).__name__}"
        where = "the failures table counts it, `sioload try` shows each packet"
        self._fleet.complaints.say(f"{who} can't connect: {error}", where)

    def unconnectable(self, reason: str, names: str | Iterable[str] | None) -> ConnectError:
        """An attempt that can't begin is a failure of each namespace's row, as any other is."""
        error = ConnectError("connect", reason, kind="client")
        namespaces = self.manager.namespaces
        for name in [names] if isinstance(names, str) else names or namespaces.wanted:
            namespaces.row("CONNECT", name, error).fail(str(error), kind=error.kind)
        let_others_go_on()
        return error

    # Coming back to namespaces that the server closed. Greenlets call these.

    def rejoin(self) -> None:
        """See `SocketIOClient.rejoin`."""
        manager, packets = self.manager, self.manager.packets
        names = manager.namespaces.rejoin()
        if not names:
            return
        self.until_idle()
        if manager.phase is Phase.IDLE and manager.opener.endpoint is not None:
            self._ask_url()
            self.lost = ""
            manager.reopen()
            try:
                self.serve_until_up()
            except ConnectError:
                if not self.dismissed:
                    manager.namespaces.dismiss()  # or the next attempt would find nothing to do
                raise
            return
        seconds = manager.opener.options.connect_timeout
        until = perf_counter() + seconds
        while not all(packets.usable(name) for name in names) and perf_counter() < until:
            wanted = packets.namespaces
            if any(wanted[name].kicked for name in names if name in wanted):
                raise ConnectError("connect", f"namespace {', '.join(names)} refused", kind="refused")
            self.sleepers.sleep(until)
        manager.namespaces.give_up_rejoins(f"no answer in {seconds:g} s")

    def _ask_url(self) -> None:
        """Where the server is by now, if the script gave a function for that.

        Raises:
            ConnectError: that raised.
        """
        opener, namespaces = self.manager.opener, self.manager.namespaces
        try:
            if opener.ask_url is not None:
                opener.endpoint = opener.ask_url()
        except Exception as error:
            failed = ConnectError("open", f"url raised {in_words(error)}", kind="client")
            namespaces.count_failed(failed)
            namespaces.dismiss()
            raise failed from error

    def rejoin_patiently(self) -> None:
        """See `SocketIOClient.rejoin_patiently`."""
        self.dismissed = False
        if self._returns is None:
            self._returns = Returns()
        self.returning = True
        try:
            self._returns.make(self.rejoin, self._options, self.pause, self.complain)
        finally:
            self.returning = False

    # Leaving.

    @property
    def ending(self) -> bool:
        """Whether the user or the run comes to its end, so that open emits still get their time."""
        return self.pending.leaving or self.stopped or self._fleet.ending

    def disconnect(self, namespace: str | None) -> None:
        """See `SocketIOClient.disconnect`."""
        if self.ending:
            return
        self.emitter.end_schedules(namespace)
        was_up = self.manager.phase is Phase.UP
        if namespace is not None:
            self.manager.leave(namespace)
        else:
            self.dismissed = True
            self.manager.namespaces.dismiss(False)
            self.manager.shut()
            self._fleet.later(self.sleepers.wake)
        self.until_idle()
        if namespace is None and was_up:
            self._incoming.tell("disconnect", "client disconnect")

    def drop(self, silent: bool) -> None:
        """See `SocketIOClient.drop`."""
        manager = self.manager
        connection = manager.connection
        if connection is None or manager.phase is not Phase.UP:
            return
        self._fleet.later(drop, self._fleet, connection, silent)
        while manager.connection is connection:
            self.sleepers.sleep()

    def close_quietly(self) -> None:
        """See `SocketIOClient.close_quietly`."""
        self.emitter.end_schedules()
        self.manager.shut()
        self.until_idle()
        self.manager.opener.endpoint = None

    def break_off(self) -> None:
        """The user is stopped in the middle of a call."""
        self.stopped = True
        self._incoming.fell_silent()

    def release(self) -> None:
        """The user's greenlet is gone: close as soon as no emit is open any more."""
        self.pending.leaving = True
        self._incoming.fell_silent()
        self.emitter.end_schedules()
        fleet, idle = self._fleet, self.manager.phase is Phase.IDLE
        if not fleet.ending and not idle:
            if not self.pending and not self.manager.pending:
                self.manager.shut()
            elif self._overtime is None:
                self._overtime = fleet.deadlines.at(perf_counter() + fleet.patience, self._overdue)
        if idle:
            self._incoming.end()

    def _overdue(self, now: float) -> None:
        """The user has been gone for so long that nothing more is waited for."""
        self._overtime = None
        if not self._fleet.ending and self.manager.phase is not Phase.IDLE:
            self.manager.finish("no answer before the user's time was over")

    def _settled(self) -> None:
        """Something ended that was waited for: a user that is gone may need its connection no longer."""
        if self.pending.leaving:
            self.release()
