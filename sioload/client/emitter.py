"""The way out of emits, from the script's greenlet to `Packets`: rows, ids, waiting for room, schedules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import gevent

from sioload.client.emits import Emit, Unacked, Verdict
from sioload.client.given import check_function, packet_given, seconds_given
from sioload.client.manager import Manager, Phase
from sioload.client.namespace import plain, row_name
from sioload.client.pending import Pending, Wait
from sioload.client.schedule import Pace, Schedule
from sioload.client.sleepers import Sleepers
from sioload.errors import EmitError, NotConnected, RunEnded
from sioload.measure.recorder import label_of
from sioload.net.fleet import Fleet, in_hub
from sioload.options import Options
from sioload.plain import Json

_clock: Final = perf_counter  # a global that costs no look-up


class Emitter:
    """Emits for one client; to a schedule, its `Sender`.

    Attributes:
        fleet: the client's.
        pace: the slots of a paced user, None without.
        label: what stands behind the names of its rows.
        full: the write buffer was above its high-water mark when something was written last.
    """

    __slots__ = ("_manager", "_options", "_packets", "_pending", "_schedules", "_sleepers", "_user", "fleet",
                 "full", "label", "pace")  # fmt: skip

    def __init__(
        self,
        fleet: Fleet,
        options: Options,
        user: object,
        manager: Manager,
        pending: Pending,
        sleepers: Sleepers,
    ) -> None:
        self.fleet = fleet
        self._options = options
        self._user = user
        self.label = label_of(user)
        self._manager = manager
        self._packets = manager.packets
        self._pending = pending
        self._sleepers = sleepers
        self._schedules: list[Schedule] | None = None
        self.pace: Pace | None = None
        self.full = False

    def check_running(self) -> None:
        """Something begins in a greenlet: it may not, once the user or the run has ended.

        GreenletExit ends tasks and the script's own greenlets, in loops that catch every Exception too. It
        would break off the end of the run in listeners, and what is left of an `on_stop`.
        """
        fleet = self.fleet
        if not (fleet.stopping or self._pending.leaving):
            return
        current = gevent.getcurrent()
        listener = current in fleet.enders
        if listener and not fleet.stopping:
            return
        if listener or (getattr(self._user, "_greenlet", None) is current and sys.exc_info()[0] is not None):
            gevent.sleep(0)
            raise RunEnded("the run has ended: emit before the last listener of test_stop returns")
        raise gevent.GreenletExit

    def entry(
        self,
        kind: str,
        shown: str,
        namespace: str,
        event: str | int,
        timeout: object,
        ok: Verdict | None,
        callback: Callable[..., Any] | None = None,
    ) -> Emit:
        """An emit that wants an answer begins; its time runs."""
        patience = self._options.ack_timeout if timeout is None else seconds_given(timeout, "timeout")
        check_function(callback, "callback")
        now = _clock()
        recorder = self.fleet.recorder
        if self.label:
            shown += self.label
        row = recorder.rows.get((kind, shown)) or recorder.row(kind, shown)
        deadline = now + patience
        slot = None if self.pace is None else self.pace.take(row, now)
        started, paced = (now, False) if slot is None else (slot, True)
        ledger, woken = recorder.ledger, self._pending
        return Emit(
            ledger, woken, row, namespace, event, started, now, paced, deadline, ok, callback, self._user
        )

    def send(
        self,
        namespace: str,
        event: str | int,
        data: Json,
        ack: Emit | None,
        receipt: Emit | Unacked,
        until: float | None = None,
        wait: Wait | None = None,
    ) -> None:
        """Send one event; `ack` wants an ack id, and `wait` waits for its answer, once there is room to send
        it. Whatever goes wrong ends `receipt` and is raised."""
        packets = self._packets
        number = None
        try:
            found = packets.ready.get(namespace)
            if found is None or not found.connected or self.full:
                self._wait_for_room(namespace, until or perf_counter() + self._options.ack_timeout)
            if ack is not None:
                if ack.paced:
                    ack.written = perf_counter()
                number = self._pending.add_ack(ack)
            if wait is not None:
                self._pending.add_wait(wait)
            if not packets.send_event(namespace, event, data, number, receipt):
                assert packets.connection is not None
                self.full = packets.connection.buffered > self._options.limits.write_high_water
            elif ack is None and isinstance(receipt, Unacked):
                receipt.settle("sent", "")
        except EmitError as error:
            if number is not None:
                del self._pending.acks[number]
            _give_up(receipt, error)
            let_others_go_on()
            raise
        except BaseException as error:
            if number is None or number not in self._pending.acks:
                stopped = isinstance(error, gevent.GreenletExit)
                said = "the user was stopped" if stopped else type(error).__name__
                _give_up(receipt, NotConnected(f"{said} before it was sent"))
            raise

    def write(self, raw: object) -> None:
        """Send a packet written by hand."""
        packet = packet_given(raw)
        recorder = self.fleet.recorder
        row = recorder.row("EMIT", "(raw)" + self.label)
        recorder.ledger.emits += 1
        receipt = Unacked(recorder.ledger, row, self._user)
        try:
            self._wait_for_room("", perf_counter() + self._options.ack_timeout)
            handed = self._packets.send_raw(packet, receipt)
        except EmitError as error:
            receipt.settle(error.outcome, str(error), error)
            let_others_go_on()
            raise
        except BaseException as error:
            receipt.settle("not_sent", f"{type(error).__name__} before it was sent")
            raise
        if handed:
            receipt.settle("sent", "")

    def _wait_for_room(self, namespace: str, until: float) -> None:
        """Wait until something can be sent in a namespace ("": in any) and the write buffer has room."""
        manager, packets = self._manager, self._packets
        high = self._options.limits.write_high_water
        while True:
            phase = manager.phase
            if phase is Phase.UP and (not namespace or packets.usable(namespace)):
                if packets.connection is None or packets.connection.buffered <= high:
                    return
            elif phase is Phase.UP or phase is Phase.IDLE or phase is Phase.CLOSING:
                raise self._refusal(self._why_not(namespace))
            if perf_counter() >= until:
                raise self._refusal("no connection in time")
            self._sleepers.sleep(until)

    def check_begun(self) -> None:
        """Refuse to wait for what can't come.

        Raises:
            NotConnected: `connect()` was never called.
        """
        if self._manager.opener.endpoint is None:
            raise self._refusal(self._why_not(""))

    def _refusal(self, reason: str) -> NotConnected:
        error = NotConnected(reason)
        error.emitter = self
        return error

    def _why_not(self, namespace: str) -> str:
        if self._manager.phase is not Phase.UP:
            never = self._manager.opener.endpoint is None
            return "not connected: call connect() first" if never else "not connected"
        name = plain(namespace)
        if namespace not in self._packets.namespaces:
            return f"namespace {name} was not joined (name it in connect() or in the option namespaces)"
        return f"namespace {name} was closed by the server"

    # Schedules.

    def schedule(
        self,
        namespace: str,
        event: str | int,
        data: Json,
        name: str | None,
        rate: object,
        max_outstanding: object,
        duration: object,
    ) -> Schedule:
        """Begin a schedule; see `SocketIOClient.schedule`."""
        phase, shown = self._manager.phase, row_name(namespace, name or event)
        if (phase is not Phase.UP and phase is not Phase.DOWN) or namespace not in self._packets.namespaces:
            error = self._refusal(self._why_not(namespace))
            _give_up(self.entry("CALL", shown, namespace, event, None, None), error)
            let_others_go_on()
            raise error
        row = self.fleet.recorder.row("CALL", shown + self.label)
        timeout = self._options.ack_timeout
        schedule = Schedule(self, row, namespace, event, data, rate, max_outstanding, duration, timeout)
        if self._schedules is None:
            self._schedules = []
        self._schedules.append(schedule)
        return schedule

    def end_schedules(self, namespace: str | None = None) -> None:
        """No more emits begin by themselves (in one namespace)."""
        for schedule in list(self._schedules or ()):
            if namespace is None or schedule.namespace == namespace:
                schedule.end()

    def go_on(self) -> None:
        """There may be room again."""
        self.full = False
        for schedule in list(self._schedules or ()):
            schedule.flush()

    @property
    def over(self) -> bool:
        return self.fleet.stopping or self._pending.leaving

    def owner(self) -> object:
        return self._user

    def ready(self, namespace: str) -> bool:
        connection = self._packets.connection
        if connection is None or not self._packets.usable(namespace):
            return False
        return not self.full or connection.buffered <= self._options.limits.write_high_water

    def transmit(self, entry: Emit, data: Json) -> None:
        self.full = False
        self.send(entry.namespace, entry.event, data, entry, entry)

    def forget_schedule(self, schedule: Schedule) -> None:
        if self._schedules is not None and schedule in self._schedules:
            self._schedules.remove(schedule)


def _give_up(receipt: Emit | Unacked, error: EmitError) -> None:
    """An emit ends before it was written; its exception is raised to the caller."""
    reason = str(error)
    if isinstance(receipt, Emit):
        receipt.end(error.outcome, reason, None, error)
    else:
        receipt.settle(error.outcome, reason, error)


def let_others_go_on() -> None:
    """Before an exception reaches a script: one that goes on at once, in a loop, holds up nobody else."""
    if not in_hub():
        gevent.sleep(0)
