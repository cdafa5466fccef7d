"""A recording's sessions side by side: what is one connection, which event answers which emit, and when."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from sioload.importing.calls import origin
from sioload.importing.conversation import Handler, Path, Value
from sioload.importing.har import Call, Said, Session
from sioload.importing.origins import leaves
from sioload.socketio.packet import Packet
from sioload.socketio.packet import PacketType as Type

#: Seconds within which an event may be the answer to an emit.
_SOON: Final = 2.0


def lanes_of(sessions: list[Session]) -> list[list[Session]]:
    """Sessions that follow each other on one connection; those that go on at one time are several."""
    lanes: list[list[Session]] = []
    for session in sorted(sessions, key=lambda each: each.began):
        same = (
            lane
            for lane in lanes
            if _address(lane[0]) == _address(session) and lane[-1].ended <= session.began + 0.2
        )
        lane = next(same, None)
        if lane is None:
            lanes.append([session])
        else:
            lane.append(session)
    return lanes


def _address(session: Session) -> tuple[object, ...]:
    return (origin(session.url), session.path, tuple(sorted(session.query)))


def accepted_by_server(session: Session) -> bool:
    """Whether it said more than no: a session that it refused is what the page mended with the next one."""
    told = {each.packet.type for each in session.said if not each.sent}
    return bool(session.said) and told != {Type.CONNECT_ERROR}


def joins(session: Session) -> tuple[list[str], dict[str, Value]]:
    """The namespaces of a session, and what was given with each CONNECT."""
    refused: set[str] = set()
    joined: set[str] = set()
    auth: dict[str, Value] = {}
    used: dict[str, None] = {}
    for each in session.said:
        packet = each.packet
        if not each.sent and packet.type == Type.CONNECT_ERROR:
            refused.add(packet.namespace)
        elif not each.sent and packet.type == Type.CONNECT:
            joined.add(packet.namespace)  # maybe asked again; and 2.x says no to single events, too
        elif packet.type == Type.CONNECT:
            used.setdefault(packet.namespace)
            auth[packet.namespace] = packet.data
        elif packet.type in (Type.EVENT, Type.ACK):
            used.setdefault(packet.namespace)
    names = [name for name in used if name not in refused - joined] or ["/"]
    return names, {name: payload for name, payload in auth.items() if name in names}


def left_alone(session: Session) -> int:
    """How often the browser left a namespace, and emitted something else after that."""
    emits = [n for n, each in enumerate(session.said) if each.sent and each.packet.type == Type.EVENT]
    last = emits[-1] if emits else 0
    return sum(each.sent and each.packet.type == Type.DISCONNECT for each in session.said[:last])


def query_of(session: Session, given: Value) -> list[tuple[str, str]]:
    """What a namespace of 1.x and 2.x was joined with, encoded, but for what goes along from the session."""
    text = given if isinstance(given, str) else ""
    pairs = (part.partition("=")[::2] for part in text.split("&")[:200] if part)
    return [(key, value) for key, value in pairs if unquote(key) not in session.query]


def left_by_browser(session: Session, following: Session, calls: list[Call]) -> bool:
    """Whether the browser said goodbye, or went to another page, where the next session began."""
    return any(each.sent and each.packet.type == Type.DISCONNECT for each in session.said) or any(
        call.kind == "document" and session.began < call.at < following.began for call in calls
    )


@dataclass(slots=True)
class Replies:
    """What answered what.

    Attributes:
        of: the event that answers each emit, by the identity of the emit.
        replies: the identity of the emit, by that of the event that answers it.
        acked: (session, namespace, id) of emits that got their ack: ids begin anew with each session.
    """

    of: dict[int, str] = field(default_factory=dict)
    replies: dict[int, int] = field(default_factory=dict)
    acked: set[tuple[int, str, int]] = field(default_factory=set)


def replies_of(lanes: list[list[Session]]) -> Replies:
    """An emit without an ack that is followed by one event, most times and soon, is answered by it."""
    found = Replies()
    for lane in lanes:
        everything = [each for session in lane for each in session.said]
        _pair(everything, found)
        for session in lane:
            for packet in (each.packet for each in session.said if not each.sent):
                if packet.type == Type.ACK and packet.id is not None:
                    found.acked.add((id(session), packet.namespace, packet.id))
    return found


def _pair(everything: list[Said], found: Replies) -> None:
    sent: Counter[tuple[str, str]] = Counter()
    came: Counter[tuple[str, str]] = Counter()
    pairs: dict[tuple[tuple[str, str], tuple[str, str]], list[tuple[Said, Said]]] = {}
    waiting: Said | None = None
    heard: set[tuple[str, str]] = set()
    for each in everything:
        if each.packet.type != Type.EVENT:
            if each.sent and each.packet.type != Type.ACK:
                waiting = None
            continue
        key = _event(each.packet)
        if each.sent:
            sent[key] += 1
            waiting, heard = (each if each.packet.id is None else None), set()
            continue
        came[key] += 1
        if (
            waiting is None
            or key in heard
            or each.packet.id is not None
            or key[0] != waiting.packet.namespace
        ):
            continue
        heard.add(key)
        if each.at - waiting.at <= _SOON:
            pairs.setdefault((_event(waiting.packet), key), []).append((waiting, each))
    taken: set[tuple[str, str]] = set()
    for (emit, reply), together in pairs.items():
        often = len(together)
        if emit in taken or often < 0.6 * sent[emit] or came[reply] - often > 0.25 * often:
            continue
        if often == 1 and not _related(emit[1], reply[1]) and not _echoes(*together[0]):
            continue  # once may be by chance
        taken.add(emit)
        for asked, answer in together:
            found.of[id(asked)] = reply[1]
            found.replies[id(answer)] = id(asked)


def _event(packet: Packet) -> tuple[str, str]:
    return packet.namespace, str(packet.data[0])


def _echoes(asked: Said, answer: Said) -> bool:
    """Whether an event says again what was said in an emit."""
    said, told = ({v for _, v in leaves(each.packet.data[1:]) if len(str(v)) > 2} for each in (asked, answer))
    return bool(said & told)


def _related(first: str, second: str) -> bool:
    """Whether two events have a word in common."""
    words = [
        set(re.findall(r"[a-z]{3,}", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
        for name in (first, second)
    ]
    return bool(words[0] & words[1])


@dataclass(slots=True)
class Heard:
    """One event of the server's, each time that it came."""

    event: str
    namespace: str
    client: int
    came: list[tuple[float, list[Value]]] = field(default_factory=list)
    asks: bool = False
    answer: list[Value] | None = None

    def wanted(self) -> bool:
        """Whether the script has a handler for it."""
        return self.client == 0 or self.answer is not None

    def handler(self) -> Handler:
        """As the script handles it."""
        counts = {len(args) for _, args in self.came}
        arguments = counts.pop() if len(counts) == 1 else -1
        path, divisor = self._stamp()
        return Handler(
            self.event, self.namespace, self.client, len(self.came), arguments, path, divisor, self.answer
        )

    def _stamp(self) -> tuple[Path | None, int]:
        """Where each of them had the time at which it was sent."""
        found: Counter[tuple[Path, int]] = Counter()
        for at, args in self.came:
            for path, value in _numbers(args):
                for divisor in (1000, 1):
                    if abs(value / divisor - at) < 10:
                        found[path, divisor] += 1
        every = [key for key, count in found.items() if count == len(self.came)]
        return every[0] if every else (None, 1)


def _numbers(value: Value, path: Path = (), depth: int = 0) -> Iterator[tuple[Path, float]]:
    if isinstance(value, list) and not depth:
        for place, inner in enumerate(value):
            yield from _numbers(inner, (*path, place), depth + 1)
    elif isinstance(value, dict) and depth < 4:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _numbers(inner, (*path, key), depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


@dataclass(slots=True)
class Happening:
    """Something at a time: of a call or of a session."""

    at: float
    order: int
    call: Call | None = None
    session: Session | None = None
    said: Said | None = None
    answer: bool = False


def happenings_of(lanes: list[list[Session]], calls: list[Call]) -> list[Happening]:
    """All that happened, in the order of time."""
    found: list[Happening] = []
    for call in calls:
        found.append(Happening(call.at, 0, call=call))
        found.append(Happening(max(call.until, call.at), 1, call=call, answer=True))
    for lane in lanes:
        for session in lane:
            joined = [s.at for s in session.said if s.sent and s.packet.type == Type.CONNECT]
            first = min((s.at for s in session.said), default=session.began)
            found.append(
                Happening(
                    min([*joined, first]) if session.generation.eio == "4" else session.began,
                    0,
                    session=session,
                )
            )
            found += [Happening(each.at, 2, session=session, said=each) for each in session.said]
    found.sort(key=lambda happening: (happening.at, happening.order))
    return found
