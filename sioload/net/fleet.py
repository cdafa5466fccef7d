"""What all connections of one process share: deadlines, names, TLS contexts, the recorder, the end."""

from __future__ import annotations

import itertools
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import gevent
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet
from mypy_extensions import mypyc_attr

from sioload.errors import in_words
from sioload.measure.recorder import Recorder
from sioload.net.complaints import Complaints
from sioload.net.deadlines import Deadlines
from sioload.net.guard import guarded
from sioload.net.orphans import Orphans
from sioload.net.patience import Patience
from sioload.net.pushes import PUSHES, BroadcastKey, CountedBroadcast, Pushes
from sioload.net.resolve import Resolver
from sioload.net.tls import tls_context
from sioload.net.turns import Turns
from sioload.net.wakeups import Wakeups
from sioload.net.wire import text_of_server
from sioload.options import Options
from sioload.plain import Json
from sioload.socketio.generations import Generation

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import Runner

logger = logging.getLogger(__name__)
#: The longest push that is remembered.
PUSH_SIZE = 4096
#: Changed options that are remembered.
VARIANTS: Final = 1000
#: The fleet of this process's Locust run, if there is one.
_of_run: list[Fleet] = []


class Member(Protocol):
    """A client that the fleet closes at the end of a run."""

    @property
    def pending(self) -> bool:
        """Whether something was begun that the server still owes an answer to."""

    def finish(self, said: str) -> None:
        """Close; what was begun and has no answer is a failure, with the time that has passed. In the hub."""

    def abandon(self) -> None:
        """End every open entry as indeterminate or not sent, and drop the connection."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Fleet:
    """Everything that the simulated users of one process have in common.

    Attributes:
        recorder: where samples go.
        hub: gevent's, of this thread.
        turns: makes the scripts' calls of all connections.
        wakeups: lets scripts go on whose answer has come.
        members: the clients whose connections are open or opening.
        ending: the run comes to its end: connections are closed by the drain, no longer by scripts.
        stopping: no new emit starts.
        enders: greenlets in which listeners of the run's end run; until `stopping` these may emit for users
            that are gone.
        idling: how long servers (TLS, host and port) keep idle connections.
        patience: seconds that what was begun may take once its user is gone.
        over: "" until the drain's limit is over: then what is said of whatever still has no answer.
        pushes: the last events that were only measured.
        complaints: what keeps users from their work.
        orphans: sockets that were left without a word, still open.
        follow: called with each user that is made, while users are to be followed; else None.
        generations, doubts, probes: what is known of servers, of which that may be wrong, and who waits for
            an answer (`session.probe`).
        slashes: servers by whether the path that they know ends with a slash.
        diagnoses, diagnosing: what servers speak for which a version was fixed that doesn't work, and who
            waits for that (`session.diagnosis`).
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.recorder = recorder if recorder is not None else Recorder()
        self.hub = get_hub()
        self.deadlines = Deadlines(self.crashed)
        self.wakeups = Wakeups(self.crashed)
        self.turns = Turns(self.wakeups.wake, self.crashed)
        self.resolver = Resolver()
        self.idling: dict[tuple[bool, str, int], Patience] = {}
        self.members: set[Member] = set()
        self._watched: dict[Member, list[Callable[[], None]]] = {}
        self.ending = False
        self.stopping = False
        self.enders: set[greenlet] = set()
        self.patience = 5.0
        self.over = ""
        self._cut = False
        self._contexts: dict[tuple[Any, ...], ssl.SSLContext] = {}
        self.generations: dict[Any, Generation] = {}
        self.doubts: set[Any] = set()
        self.probes: dict[Any, list[Any]] = {}
        self.slashes: dict[Any, bool] = {}
        self.diagnoses: dict[Any, Generation | None] = {}
        self.diagnosing: dict[Any, list[Callable[[Generation | None], None]]] = {}
        self.pushes = Pushes()
        self._keys: dict[tuple[str, object, int], BroadcastKey] = {}
        self.complaints = Complaints(self.deadlines)
        self.orphans = Orphans(self.deadlines)
        self.follow: Callable[[Any], None] | None = None
        self._born = f"{int(time.time() * 1000):x}."
        self._serial = 0
        self._seats: dict[tuple[str, ...], list[Iterator[str]]] = {}
        self._variants: dict[tuple[int, str], tuple[Options, Options]] = {}

    def tls_context(self, options: Options) -> ssl.SSLContext:
        """The context for these options, made once per process."""
        key = (options.tls_verify, options.ca_file, options.cert_file, options.key_file)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = tls_context(options)
        if not options.tls_verify:
            self.recorder.unverified = True
        return context

    def seated(self, options: Options) -> Options:
        """The options of one more user, which has one local address (of each family) for all it does."""
        if len(options.source_addresses) < 2:
            return options
        seats = self._seats.get(options.source_addresses)
        if seats is None:
            families = [[a for a in options.source_addresses if (":" in a) == six] for six in (False, True)]
            seats = [itertools.cycle(family) for family in families if family]
            self._seats[options.source_addresses] = seats
        return self.variant(options, {"source_addresses": tuple(next(seat) for seat in seats)})

    def variant(self, options: Options, changes: Mapping[str, Json]) -> Options:
        """`options.but(**changes)`, validated and kept once for all who ask for the same: validating takes
        longer than the rest of a connect."""
        key = (id(options), repr(changes))
        known = self._variants.get(key)
        if known is None:
            if len(self._variants) >= VARIANTS:
                self._variants.clear()
            known = self._variants[key] = options, options.but(**changes)  # the first, whose id stands for it
        return known[1]

    def next_timestamp(self) -> str:
        """A value for the cache-busting parameter `t`: unique in this process."""
        self._serial += 1
        return self._born + str(self._serial)

    def remember(self, text: str, namespace: str, codec: object, push: CountedBroadcast) -> None:
        """A server that broadcasts sends one frame to everyone; several may be on their way at a time."""
        if len(text) > PUSH_SIZE:
            return
        alike = (namespace, codec, id(push.handlers))
        push.key = self._keys.get(alike)
        if push.key is None:
            if len(self._keys) >= PUSHES:
                self._keys.clear()
            push.key = self._keys[alike] = BroadcastKey(namespace, codec, push.handlers, self.pushes)
        self.pushes.put(text_of_server(b"4" + text.encode()), push)

    def later(self, callback: Callable[..., None], *args: Any) -> None:
        """Call something in the hub soon."""
        get_hub().loop.run_callback(guarded, self.crashed, callback, *args)

    def left(self, member: Member) -> None:
        """Nothing of a member is open any more."""
        self.members.discard(member)
        if self._watched:
            for then in self._watched.pop(member, ()):
                self.later(then)

    def watch(self, member: Member, then: Callable[[], None]) -> bool:
        """Call `then` in the hub once nothing of a member is open; False, and no call, if nothing is now."""
        if member not in self.members:
            return False
        self._watched.setdefault(member, []).append(then)
        return True

    def await_leaving(self) -> None:
        """Wait until nothing is open, as long as that may take once the only user is gone."""
        until = perf_counter() + self.patience + 1.0
        while self.members and perf_counter() < until:
            gevent.sleep(0.01)
        gevent.sleep(0.01)  # who listens to samples hears of the last

    def crashed(self, error: BaseException) -> None:
        """A callback of the hub raised: a defect of this program; the run ends with exit code 4."""
        logger.error("sioload: internal error", exc_info=error)
        self.recorder.internal_error(in_words(error))

    def end(self) -> None:
        """The users are about to be stopped, and whoever listens is told in this greenlet."""
        self.ending = True
        self.enders.add(getcurrent())

    def drain(self, limit: float = 5.0) -> None:
        """End a run: no new emit starts, open ones get up to `limit` seconds, then everything closes.

        Call it from a greenlet once the users are gone. Idempotent.
        """
        self.ending = self.stopping = True
        self.complaints.tell()
        until = perf_counter() + limit
        while self._awaited() and perf_counter() < until and not self._cut:
            gevent.sleep(0.01)
        self.over = self.over or ("cut short" if self._cut else "no answer by the end of the run")
        for member in list(self.members):
            self.later(member.finish, self.over)
        left, until = len(self.members), perf_counter() + 1.0
        while self.members and perf_counter() < until:
            gevent.sleep(0.01)
            if len(self.members) < left:  # thousands of goodbyes may take more than a second
                left, until = len(self.members), perf_counter() + 1.0
        for member in list(self.members):
            member.abandon()
        self.orphans.close()
        until = perf_counter() + 1.0
        while self.members and perf_counter() < until:  # the loop does it: the figures are due when we return
            gevent.sleep(0.001)

    def _awaited(self) -> bool:
        """Whether the server still owes an answer to anything."""
        if not self.members:
            return False
        return self.recorder.ledger.open > 0 or any(member.pending for member in self.members)

    def cut_short(self) -> None:
        """The drain's limit is over now."""
        self._cut = True

    def reopen(self) -> None:
        """A new run begins."""
        self.over = ""
        self._cut = False
        self.ending = self.stopping = False
        self.enders.clear()
        self.complaints.reset()


#: Called with the environment of a user that is made, by floors above: the run may be a program's own.
on_user: list[Callable[[Environment], None]] = []


def fleet_of_user(environment: Environment) -> Fleet:
    """`fleet_of`, for a user: what a run needs besides is made ready if nobody has done so."""
    for prepare in on_user:
        prepare(environment)
    return fleet_of(environment)


def fleet_of(environment: Environment) -> Fleet:
    """The fleet of a Locust environment, made on first use."""
    fleet: Fleet | None = getattr(environment, "sioload", None)
    if fleet is None:
        fleet = environment.sioload = Fleet()  # type: ignore[attr-defined]
        _of_run[:] = [fleet]
    return fleet


def runner_of(environment: Environment) -> Runner:
    """Its runner, where there must be one."""
    runner = environment.runner
    assert runner is not None
    return runner


def say_unowned(fleet: Fleet | None) -> None:
    """A client without a user was made; nothing is wrong with that outside a Locust run."""
    for run in _of_run:
        lacks = (
            "is closed with none and counts nowhere" if fleet is None else "is closed at the run's end only"
        )
        if fleet is None or fleet is run:
            run.complaints.say(f"a SocketIOClient without a user {lacks}", "use self.another_client()")


def in_hub() -> bool:
    """Whether the caller runs in the hub, where nothing may block."""
    return gevent.getcurrent() is get_hub()
