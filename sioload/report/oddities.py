"""What was odd in the short life of one user, and what mends it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sioload.measure.names import unlabelled
from sioload.measure.row_types import HTTP_TYPES
from sioload.measure.trace import Entry

#: How alike two names of events must be for one to be the other misspelt.
ALIKE: Final = 0.7
#: Seconds of silence after which a connection may have been cut for that.
IDLE: Final = 0.9
_INTERVAL: Final = re.compile(r'"pingInterval":(\d+)')


class Oddity(NamedTuple):
    """What was odd, and its remedy. `rank`: the higher, the nearer to the cause of others."""

    what: str
    remedy: str
    rank: int = 0


class Oddities:
    """Hears of every entry of a trace, and tells at the end what was odd."""

    def __init__(self) -> None:
        self.failed = False
        self._heard: Counter[tuple[str, str]] = Counter()
        self._awaited: set[tuple[str, str]] = set()
        self._emitted: dict[tuple[str, str], list[str]] = {}  # and what was heard after the first
        self._acked: set[tuple[str, str]] = set()
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self._last = 0.0
        self._every: float | None = None
        self._idle: list[float] = []

    def hear(self, entry: Entry) -> None:
        """One more entry."""
        kind, _, event, namespace, _ = entry.reading
        key = namespace, event
        if kind == "event" and event and entry.way == "received":
            self._heard[key] += 1
            for after in self._emitted.values():
                after.append(event)
            if any(count.type in ("WAIT", "REPLY") for count in entry.counts):
                self._awaited.add(key)
        elif kind == "event" and event:
            self._emitted.setdefault(key, [])
        elif kind == "ack" and entry.way == "received":
            self._acked.add(key)
        elif kind == "open" and (found := _INTERVAL.search(str(entry.text))):
            self._every = int(found[1]) / 1000
        for count in entry.counts:
            if count.failure is not None:
                self.failed = True
                self._failures[count.type, count.name, count.failure] += 1
                if count.type == "DISCONNECT":
                    self._idle.append(entry.at - self._last)
        if entry.way:
            self._last = entry.at

    def found(self, handles: Callable[[str, str], bool], handlers: Iterable[tuple[str, str]]) -> list[Oddity]:
        """What was odd, the nearest to the cause last.

        Args:
            handles: whether the script has a handler for an event of a namespace.
            handlers: the events that it has handlers for.
        """
        known = {event for _, event in (*self._heard, *self._acked, *handlers)}
        found = [*self._unhandled(handles, handlers), *self._unknown(known)]
        for (type, name, failure), times in self._failures.items():
            found.append(self._failure(type, name, failure, times, known))
        return sorted(found, key=lambda oddity: oddity.rank)

    def _unhandled(
        self, handles: Callable[[str, str], bool], handlers: Iterable[tuple[str, str]]
    ) -> Iterable[Oddity]:
        silent = {event for namespace, event in handlers if (namespace, event) not in self._heard}
        for (namespace, event), times in self._heard.items():
            if handles(namespace, event) or (namespace, event) in self._awaited:
                continue
            where = "" if namespace == "/" else f", namespace={namespace!r}"
            near = _nearest(event, silent)
            remedy = f"@on({event!r}{where}) gives it one; without, it is counted as RECV"
            if near:
                remedy = f"the script's handler for {near!r} heard nothing: is it misspelt?"
            what = f"event {event} came {_times(times)} and has no handler"
            yield Oddity(what, remedy, 2 if near else 0)

    def _unknown(self, known: set[str]) -> Iterable[Oddity]:
        """Events that were emitted without an ack, whose names are nearly others'."""
        failed = {self._event_of(unlabelled(name)) for type, name, _ in self._failures if type == "CALL"}
        for _, event in self._emitted:
            near = _nearest(event, known)
            if event not in known and near and event not in failed:
                what = f"emit {event}: nothing tells whether the server knows this event"
                yield Oddity(what, f"it knows {near!r}: is that what was meant?", 2)

    def _failure(self, type: str, name: str, failure: str, times: int, known: set[str]) -> Oddity:
        said = f"{type} {name}: {failure}" + (f" ({_times(times)})" if times > 1 else "")
        name = unlabelled(name)
        if type in ("CALL", "REPLY") and failure.startswith(("no ack", "not received")):
            return Oddity(said, self._unanswered(name, known), 3)
        if type == "DISCONNECT":
            return self._cut(said, name)
        if type in HTTP_TYPES:
            return Oddity(
                said, "if this is the login, what follows lacks its cookie or token: check what it sends", 6
            )
        for pattern, remedy, rank in _REMEDIES:
            if re.search(pattern, f"{type} {name}: {failure}"):
                return Oddity(said, remedy, rank)
        return Oddity(said, "look at the server's log of that time", 1)

    def _event_of(self, name: str) -> str:
        """The event of a row, which may stand behind its namespace: the longest of those that it names."""
        return max((e for _, e in self._emitted if e in name.split(">")[0]), key=len, default=name)

    def _unanswered(self, name: str, known: set[str]) -> str:
        event = self._event_of(name)
        near = _nearest(event, known)
        if near and event not in known:
            return f"does the server know {event!r}? It knows {near!r}"
        after = next((said for (_, e), said in self._emitted.items() if e == event), [])
        remedy = "the server's handler never calls its ack, or there is none for this event"
        if after and ">" not in name:
            return f"{remedy}; if it answers by an event: call(..., reply={after[0]!r})"
        return f"{remedy}: emit() asks for none, call(..., reply=EVENT) waits for an event"

    def _cut(self, said: str, reason: str) -> Oddity:
        idle = max(self._idle, default=0.0)
        if reason.startswith("transport") and idle >= IDLE and (self._every is None or idle < self._every):
            every = (
                "" if self._every is None else f", and the server's heartbeat comes every {self._every:g} s"
            )
            return Oddity(
                f"{said}, after {idle:.1f} s in which nothing was said{every}",
                "a proxy between cuts idle connections: raise its timeout above the heartbeat's interval "
                "(nginx: proxy_read_timeout), or lower the server's pingInterval",
                5,
            )
        return Oddity(said, _ENDS.get(reason, "look at the server's log of that time"), 4)


#: What may have ended a session, and what to do.
_ENDS: Final = {
    "server": "the server sent the user away: look for what it checks after the connect",
    "ping timeout": "the server, or the way to it, was silent for longer than its heartbeat allows",
    "session unknown": "turn on sticky sessions at the load balancer, or use transports=['websocket']",
    "protocol error": "check the option version, and what stands between here and the server",
    "limit": "raise the option limits if so large a message is meant",
}
#: Row and failure, the remedy, and how near it is to the cause of others.
_REMEDIES: Final = (
    ("maxPayload|payload too large", "send less, or raise maxHttpBufferSize on the server", 4),
    (
        r"can't be sent|is reserved|^(?:EMIT|CALL|REPLY) .*: the parser",
        "the server was never told: mend what the script sends",
        4,
    ),
    (r"asked for an ack", "return the answer from an @on handler of that event", 3),
    (r"\(handler\)|\(hook\)|\(callback\)", "the script's own code raised: mend it there", 3),
    (r"unexpected reply", "the answer isn't what `ok` wants: look at it above", 3),
    (
        r"not connected: call",
        "nothing is connected yet in on_start: self.sio.connect() goes before it, or it into on_connected",
        4,
    ),
    (r"was not joined", "name it in connect(namespaces=[...]) or in the option namespaces", 3),
    (r"Transport unknown|Invalid transport", "name the one that the server has in the option transports", 5),
    ("no Socket.IO server", "check the URL and the option path", 4),
    ("no URL: ", "nobody was asked: say where the server is", 5),
    (r"^CONNECT \S+: (dial|tls): ", "nobody was asked: what failed before it is the cause", 3),
    (r"^CONNECT .*[Ii]nvalid namespace", "the server has no such namespace: check its name", 5),
    (
        r"^CONNECT .*(closed by the server|no answer for namespace|msgpack|that no packet announced)",
        "see what the server asks for: auth, query, headers, cookies of a login, or another parser "
        "(option parser='msgpack')",
        5,
    ),
    (r"^CONNECT", "see what the server asks for: auth, query, headers, cookies of a login", 5),
    (r"^(DIAL|OPEN)", "see `sioload doctor URL`", 4),
    (r"^UPGRADE", "let proxies pass upgrades, or use transports=['polling']", 2),
)


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [other for other in names if other != name], n=1, cutoff=ALIKE)
    return near[0] if near else ""


def _times(n: int) -> str:
    return "once" if n == 1 else "twice" if n == 2 else f"{n} times"
