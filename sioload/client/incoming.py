"""The way in of events and acks, from `Packets` to rows, waits and the script's handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

import gevent

from sioload.client.dispatcher import Dispatcher, Handler, Job
from sioload.client.emits import Emit
from sioload.client.excerpt import excerpt, place_of_error, place_of_function
from sioload.client.manager import Manager, Phase
from sioload.client.namespace import row_name
from sioload.client.packets import Listener
from sioload.client.pending import Pending
from sioload.client.registry import RESERVED, Handlers, Registry, find
from sioload.client.script import Script, answer
from sioload.client.sleepers import Sleepers
from sioload.engineio.cookies import Jar
from sioload.errors import in_words
from sioload.measure.clock import AHEAD, BACK, misfit
from sioload.measure.delivery import Receiver
from sioload.measure.recorder import label_of, shown_name
from sioload.measure.rooms import Member, everyone, key_of
from sioload.net import clock
from sioload.net.pushes import CountedBroadcast, HandlerCall
from sioload.options import Options
from sioload.plain import Json
from sioload.socketio.jsontext import loads

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet

#: How many of the largest payloads may wait for handlers: room for 10,000 events of 13 KB.
QUEUED: Final = 8
_clock: Final = perf_counter  # a global that costs no look-up


class Incoming(Listener, Script):
    """What one client does with what comes, and the queue of its script's calls.

    Attributes:
        handlers: those of the user class.
        own: those that were registered on the client, None without any.
        manager, pending, sleepers: the client's.
        settled: called when an emit of a user that is gone was answered.
    """

    __slots__ = ("_client", "_dispatcher", "_fleet", "_jar", "_label", "_member", "_options", "_receiver",
                 "_user", "handlers", "manager", "own", "pending", "settled", "sleepers")  # fmt: skip

    manager: Manager
    pending: Pending
    sleepers: Sleepers
    settled: Callable[[], None]

    def __init__(
        self, fleet: Fleet, options: Options, user: object, client: object, handlers: Handlers | None
    ) -> None:
        self._fleet = fleet
        self._options = options
        self._user = user
        self._label = label_of(user)
        self._client = client
        self.handlers: Handlers = handlers if handlers is not None else {}
        # With a registry no broadcast is counted for many at once: so too for who is followed.
        followed = user is not None and getattr(user, "sio_trace", None) is not None
        self.own: Registry | None = Registry() if followed else None
        self._dispatcher: Dispatcher | None = None
        self._receiver: Receiver | None = None
        self._member: Member | None = None
        if any(handler.audience for handler in self.handlers.values()):
            self.known()
        self._jar: Jar | None = None

    def registry(self) -> Registry:
        """Where handlers are registered; what is done with events changes by that."""
        if self.own is None:
            self.own = Registry()
        self.manager.packets.forget_shortcuts()
        return self.own

    def namespaces(self) -> set[str]:
        """Those that something was registered for."""
        own = self.own.namespaces() if self.own is not None else set()
        return {namespace for namespace, _ in self.handlers} | own

    def known(self) -> Member:
        """The user as a member of rooms."""
        if self._member is None:
            handlers = self.handlers.items()
            hears = tuple((of, handler.audience) for (of, _), handler in handlers if handler.audience)
            self._member = self._fleet.recorder.audience.presence.member(hears)
        return self._member

    def member(self) -> Member | None:
        return self._member

    def fell_silent(self) -> None:
        """The script was stopped: it says no more in which rooms the user is."""
        if self._member is not None:
            self._member.fell_silent(clock.stamp())

    # Events and acks: in the hub.

    def only_counts(self, handlers: object) -> bool:
        return handlers is self.handlers and self.own is None and not self.pending.waits

    def on_event(
        self, namespace: str, args: list[Json], id: int | None, auto: bool, offset: bool = False
    ) -> CountedBroadcast | None:
        now = perf_counter()
        event = args.pop(0)
        given = args
        if offset and len(args) > 1:
            args = args[:-1]  # what measures and waits gets the event as it was emitted
        recorder = self._fleet.recorder
        size = self.manager.packets.size
        shown = event if namespace == "/" else f"{namespace} {event}"
        before: tuple[str, ...] = ()
        handler = self.handlers.get((namespace, event)) if self.own is None else None
        if handler is None:
            handler, before = find(self.own, namespace, event, self.handlers)
        if handler is not None and handler.name is not None:
            shown = row_name(namespace, handler.name)
        plain = shown
        if self._label:
            shown += self._label
        pending = self.pending
        awaited = bool(pending.waits) and pending.answered(namespace, event, args, now, size)
        # Else there is more to do, or only this user would do it.
        counts = id is None and self.own is None and recorder.tap is None
        measured: CountedBroadcast | None = None
        sent: float | None = None
        if handler is not None and handler.sent_at is not None:
            row = recorder.rows.get(("PUSH", shown)) or recorder.row("PUSH", shown)
            row.bytes += size
            row.note(self._user, size)
            try:
                late = clock.zero + now - handler.sent_at(*args)
                if -AHEAD <= late <= BACK:
                    row.add(late)
                    sent = clock.zero + now - late
                    if counts:
                        measured = CountedBroadcast(self.handlers, row, now - late, size)
                else:
                    row.fail(misfit(late), None, partial(_told, self.manager, handler.sent_at, args))
            except Exception as error:  # noqa: BLE001 - the script's own code
                row.fail(f"sent_at raised {in_words(error)}", None,
                         partial(_told, self.manager, handler.sent_at, args))  # fmt: skip
        elif not awaited:
            row = recorder.row("RECV", shown)
            row.bytes += size
            row.note(self._user, size)
            row.tick()
            if counts:
                measured = CountedBroadcast(self.handlers, row, None, size)
        if self._member is not None:
            of_class = self.handlers.get((namespace, event))
            if of_class is not None and of_class.room is not None:
                measured = self._hear(self._member, of_class, namespace, args, sent, now, measured)
        if handler is not None and handler.delivery is not None:
            self._deliver(handler, plain, args)
            measured = None
        if auto:
            self.manager.packets.send_ack(namespace, id or 0, [])
            id = None
        if handler is None or handler.function is None:
            if id is not None:
                recorder.row_of(self._user, "RECV", f"{plain} (ack)").fail(
                    "the server asked for an ack and no handler answers it"
                )
            return measured
        if handler.empty and id is None:
            return measured
        passed = (*before, *given) if before else tuple(given)
        if offset:
            passed = handler.without_last(passed)
        self._queue(handler, event, passed, namespace, id)
        if measured is not None:
            measured.call = HandlerCall(handler, event, namespace, before)
        return measured

    def handle(self, call: HandlerCall) -> None:
        args = loads(call.text, len(call.text))  # how deep it is was judged for the first
        args[:1] = call.before
        self._queue(cast(Handler, call.handler), call.event, tuple(args), call.namespace, None)

    def _queue(
        self, handler: Handler, event: str, args: tuple[Json, ...], namespace: str, id: int | None
    ) -> None:
        if not self.dispatcher().add(self._call_handler, handler, event, args, namespace, id):
            row = self._fleet.recorder.row_of(self._user, "RECV", _name_of(handler, event, namespace))
            row.fail("the handler queue is full")

    def _deliver(self, handler: Handler, plain: str, args: list[Json]) -> None:
        assert handler.delivery is not None
        shown = plain + self._label
        if self.own is not None:
            shown = shown_name(shown)
        try:
            stream, number = handler.delivery(*args)
            if self._receiver is None:
                self._receiver = self._fleet.recorder.delivery.receiver()
            self._receiver.seen(shown, stream, number)
        except Exception as error:  # noqa: BLE001 - the script's own code
            row = self._fleet.recorder.row_of(self._user, "RECV", f"{plain} (delivery)")
            row.note(self._user, 0, error)
            row.fail(in_words(error), None, partial(_told, self.manager, handler.delivery, args))

    def _hear(
        self, member: Member, handler: Handler, namespace: str, args: list[Any], sent: float | None,
        now: float, measured: CountedBroadcast | None,
    ) -> CountedBroadcast | None:  # fmt: skip
        """Note who heard a message, also for those who get the same. None if each of them is to be asked."""
        assert handler.room is not None
        try:
            given = handler.room(*args)
            if given.__class__ is not tuple or not 2 <= len(given) <= 3:
                raise ValueError(
                    f"it must be (room, identity) or (room, identity, sender), not {given!r:.60}"
                )
            room = everyone(namespace) if given[0] == "*" else key_of(given[0])
            sender = key_of(given[2]) if len(given) == 3 and given[2] is not None else None
            audience = self._fleet.recorder.audience
            message = audience.heard(
                handler.audience, room, key_of(given[1]), sender, sent, member, clock.zero + now
            )
            if measured is not None:
                measured.message = message
            return measured
        except Exception as error:  # noqa: BLE001 - the script's own code
            row = self._fleet.recorder.row_of(self._user, "RECV", f"{handler.audience} (room)")
            row.note(self._user, 0, error)
            row.fail(in_words(error), None, partial(_told, self.manager, handler.room, args))
            return None

    def on_ack(self, id: int, args: list[Json]) -> None:
        pending = self.pending
        entry = pending.acks.pop(id, None)
        if entry is None or entry.finished:
            if id < pending.next_id:  # else it answers a packet written by hand
                self._fleet.recorder.ledger.late_acks += 1
            return
        if entry.callback is not None and not self.dispatcher().add(self._call_back, entry, args):
            row = self._fleet.recorder.row_of(self._user, "RECV", _name_of_callback(entry, self._label))
            row.fail("the handler queue is full")
        entry.answer(args, _clock(), self.manager.packets.size)
        if pending.leaving:
            self.settled()

    def refused(self, namespace: str, data: Json, reason: str) -> None:
        """The server refused something that it doesn't name."""
        self._fleet.recorder.row_of(self._user, "RECV", row_name(namespace, "error")).fail(reason)
        if self.pending.waits:
            self.pending.answered(namespace, "error", [data], perf_counter(), self.manager.packets.size)
        self.tell("error", data, namespace=namespace)

    def tell(self, event: str, *args: Json, namespace: str | None = None) -> None:
        """See `Script.tell`."""
        for name in self.manager.packets.namespaces if namespace is None else (namespace,):
            handler, before = find(self.own, name, event, self.handlers)
            if handler is not None and handler.function is not None:
                passed = handler.without_last((*before, *args)) if args else before
                dispatcher = self.dispatcher()
                queue = dispatcher.insist if event in RESERVED else dispatcher.add
                queue(self._call_handler, handler, event, passed, name, None)

    def interrupted(self, final: bool) -> None:
        """The connection is lost, and with it what the server sends meanwhile; `final`: for good."""
        if self._receiver is not None:
            self._receiver.reconnected()
            if final and self.pending.leaving:
                self._receiver.close()

    def end(self) -> None:
        """The user is gone, and its connection too."""
        if self._receiver is not None:
            self._receiver.close()

    # The script's code.

    def dispatcher(self) -> Dispatcher:
        """The queue of its calls."""
        if self._dispatcher is None:
            limits = self._options.limits
            room = QUEUED * limits.payload
            self._dispatcher = Dispatcher(self, self._fleet.turns, limits.handler_queue, room)
        return self._dispatcher

    def _call_handler(
        self, handler: Handler, event: str, args: tuple[Json, ...], namespace: str, id: int | None
    ) -> None:
        """In a greenlet."""
        result = handler.call(self._user, event, args)
        if id is not None:
            answer = list(result) if isinstance(result, tuple) else [] if result is None else [result]
            self.manager.packets.send_ack(namespace, id, answer)

    def _call_back(self, entry: Emit, args: list[Json]) -> None:
        assert entry.callback is not None
        entry.callback(*args)

    def on_job_failed(self, job: Job, error: BaseException) -> None:
        """A handler, callback or hook raised: a failure row, and nothing else stops."""
        function, args, _ = job
        if function is answer:
            return  # whoever asked was told
        row_of = self._fleet.recorder.row_of
        if function == self._call_handler:
            row = row_of(self._user, "RECV", _name_of(args[0], args[1], args[3]))
        elif function == self._call_back:
            row = row_of(self._user, "RECV", _name_of_callback(args[0], self._label))
        else:
            row = row_of(self._user, "CONNECT", f"{getattr(function, '__name__', 'hook')} (hook)")
        row.note(self._user, 0, error if isinstance(error, Exception) else None)
        leaves = type(error).__name__ == "StopUser"
        what = "StopUser is for tasks: here self.stop() ends the user" if leaves else in_words(error)
        row.fail(what, None, partial(place_of_error, error))

    def run(self, function: Callable[..., Any], *args: Json) -> None:
        """Call user code in a greenlet: the queue's, or one of its own while that is busy."""
        dispatcher, phase = self.dispatcher(), self.manager.phase
        # A handler that takes its time, or calls connect() itself, would hold the attempt up.
        held = phase is Phase.DOWN or (phase is Phase.CONNECTING and dispatcher.wake is None)
        if held and dispatcher.busy:
            gevent.spawn(_run_alone, self, function, args)
            return
        dispatcher.insist(function, *args)

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
        client, user = self._client, self._user
        if user is None:
            return None
        if name in ("on_connected", "on_disconnected") and getattr(user, "sio", client) is not client:
            return None  # which of the user's clients it is about, they couldn't tell
        return getattr(user, name, None)


def _run_alone(incoming: Incoming, function: Callable[..., Any], args: tuple[Json, ...]) -> None:
    """In a greenlet of its own."""
    try:
        function(*args)
    except (Exception, gevent.Timeout) as error:  # noqa: BLE001 - the script's own code
        incoming.on_job_failed((function, args, 0), error)


def _name_of(handler: Handler, event: str, namespace: str) -> str:
    """The row of a handler's own failures."""
    return f"{row_name(namespace, handler.name or event)} (handler)"


def _name_of_callback(entry: Emit, label: str) -> str:
    """The same of a callback; the label of its emit's row stands at the end of this one too."""
    return f"{entry.row.name.removesuffix(shown_name(label))} (callback)"


def _told(manager: Manager, function: object, args: Sequence[Json]) -> str:
    """A function of the script, and what it was given."""
    return f"{place_of_function(function)}, given {excerpt(args, manager.discreet)}"
