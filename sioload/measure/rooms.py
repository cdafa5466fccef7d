"""Who is in which room, as the scripts of one process say, and how many are there without a break.

Of each room the step function is told of how many members are in it from `grace` before to `grace` after each
moment. What it is at a moment is known once the grace after that is over. All times are seconds of the
swarm's clock, and come as arguments.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import takewhile
from typing import Final

import orjson

from sioload.plain import Json

#: Seconds of `--sio-grace` without one.
GRACE: Final = 5.0
#: Longer rooms, identities and senders are refused.
LONGEST: Final = 1000
#: Marks a key that stands for JSON, and the room of everyone who is connected to a namespace.
_JSON: Final = "\x00"
_EVERYONE: Final = "\x01"

#: A step function: name, room, and for those of one `me` that.
StepKey = tuple[str, str, str | None]


def key_of(value: Json) -> str:
    """What stands for a room, an identity or a sender; equal for equal values, in all processes.

    Raises:
        ValueError: it is no JSON-like value, or too long.
    """
    if value.__class__ is str and value[:1] > _EVERYONE:
        key: str = value
    elif value != value:  # JSON has null for it, which is another room
        raise ValueError(f"{value!r} can't be a room, identity or sender: it equals nothing")
    else:
        try:
            key = _JSON + orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except TypeError as error:
            raise ValueError(f"{value!r:.60} can't be a room, identity or sender: {error}") from error
    if not key.isascii():
        key = key.encode("utf-8", "replace").decode()  # what can't travel to the master
    if len(key) > LONGEST:
        raise ValueError(f"{value!r:.60} is longer than {LONGEST} characters")
    return key


def value_of(key: str) -> Json:
    """The value that `key_of` was given; "*" for the room of everyone."""
    if key[:1] == _JSON:
        return orjson.loads(key[1:])
    return "*" if key[:1] == _EVERYONE else key


def everyone(namespace: str) -> str:
    """The room of everyone who is connected to a namespace."""
    return _EVERYONE + namespace


class Stay:
    """One member in one room, from `begin` to `end` (infinity while it is there).

    Attributes:
        names: of the messages that it owes to hear there.
        me: as whom it is counted.
        steady: it counts as one who is there without a break.
    """

    __slots__ = ("begin", "end", "me", "member", "names", "room", "steady")

    def __init__(self, member: Member, room: str, names: tuple[str, ...], begin: float) -> None:
        self.member = member
        self.room = room
        self.names = names
        self.begin = begin
        self.end = math.inf
        self.me = member.me
        self.steady = False


class Member:
    """One connection: the rooms that it is in, as its script says, and the namespaces that it has joined.

    Attributes:
        hears: namespace and name of the messages that its user class can be owed.
        stays: key of a room to its stay there.
    """

    __slots__ = ("_kept", "_me", "_past", "_presence", "_silent", "hears", "namespaces", "stays")

    def __init__(self, presence: Presence, hears: tuple[tuple[str, str], ...]) -> None:
        self._presence = presence
        self.hears = hears
        self.namespaces: set[str] = set()
        self.stays: dict[str, Stay] = {}
        self._past: dict[str, list[Stay]] = {}  # by room; the one that was left last stands last
        self._kept: list[str] = []
        self._me: str | None = None
        self._silent = math.inf  # since when its script says nothing more

    @property
    def rooms(self) -> list[str]:
        """Keys of the rooms that the script has said."""
        return [room for room in self.stays if room[:1] != _EVERYONE]

    @property
    def me(self) -> str | None:
        """Key of whom messages name as their sender if this connection sent them."""
        return self._me

    def call(self, me: str | None, now: float) -> None:
        """It is known by this name from now on.

        Messages that name it as their sender are on their way: to them its stays end, and begin anew.
        """
        if me == self._me:
            return
        self._me = me
        for stay in list(self.stays.values()):
            self.discard(stay.room, now)
            self._enter(stay.room, stay.names, now)

    def add(self, room: str, now: float) -> None:
        """It is in this room from now on; nothing happens if it was already."""
        if room not in self.stays:
            names = tuple(name for namespace, name in self.hears if namespace in self.namespaces)
            self._enter(room, names, now)

    def _enter(self, room: str, names: tuple[str, ...], now: float) -> None:
        stay = self.stays[room] = Stay(self, room, names, now)
        self._presence.entered(stay, now)

    def discard(self, room: str, now: float) -> None:
        """It is in this room no more; nothing happens if it wasn't."""
        stay = self.stays.pop(room, None)
        if stay is not None:
            self._presence.left(stay, now)
            past, recent = self._past, now - self._presence.remembered
            past[room] = [each for each in past.pop(room, ()) if each.end > recent] + [stay]
            over = list(takewhile(lambda room: past[room][-1].end <= recent, past))
            for room in over:
                del past[room]

    def joined(self, namespace: str, recovered: bool, now: float) -> None:
        """A namespace was joined. Its rooms are those from before if the server recovered it, else none."""
        for room in self.rooms:
            self.discard(room, now)
        self.namespaces.add(namespace)
        room, names = everyone(namespace), tuple(name for of, name in self.hears if of == namespace)
        if names and room not in self.stays:
            self._enter(room, names, now)
        if not recovered:
            self._kept = []
        for room in self._kept:
            self.add(room, now)

    def parted(self, namespace: str, now: float) -> None:
        """A namespace was left or closed: it is in no room any more."""
        if namespace in self.namespaces:
            self.namespaces.discard(namespace)
            self._kept = []
            for room in [everyone(namespace), *self.rooms]:
                self.discard(room, now)

    def lost(self, now: float) -> None:
        """The session has ended. The server may recover it."""
        if self.namespaces:
            self._kept = self.rooms
            self.namespaces.clear()
            for room in list(self.stays):
                self.discard(room, now)

    def fell_silent(self, now: float) -> None:
        """Its script was stopped, maybe in the midst of joining or leaving: where it is is unknown."""
        self._silent = min(self._silent, now)
        for room in list(self.stays):
            self.discard(room, now)

    def times(self, room: str, since: float, sender: str | None, at: float) -> list[float]:
        """When it was in a room, and when it left, in turn; stays that ended before `since` are left out.

        As the sender of a message that it got, it was there at that moment only: too short to owe it. So too
        once nobody says any more where it is.
        """
        found: list[float] = []
        if at > self._silent - self._presence.grace or (sender is not None and self._me == sender):
            found += (at, at)
        stay = self.stays.get(room)
        for each in (*self._past.get(room, ()), *(() if stay is None else (stay,))):
            if each.end >= since:
                found += (at, at) if sender is not None and each.me == sender else (each.begin, each.end)
        return found


class Presence:
    """The members and rooms of one process.

    Attributes:
        grace: seconds, of `--sio-grace`.
        told: steps are told of; else they are only counted.
        steps: those that weren't taken yet: name, room, whose, from when on, and how many.
    """

    __slots__ = ("_counts", "_young", "grace", "steps", "told")

    def __init__(self) -> None:
        self.grace = GRACE
        self.told = False
        self.steps: list[list[Json]] = []
        self._young: deque[Stay] = deque()  # stays that aren't steady yet, oldest first
        self._counts: dict[StepKey, int] = {}

    @property
    def remembered(self) -> float:
        """Seconds for which a member's stay matters after its end."""
        return 4 * self.grace + 10.0

    def member(self, hears: tuple[tuple[str, str], ...]) -> Member:
        """A connection, whose user class can be owed messages: of these namespaces and names."""
        return Member(self, hears)

    def entered(self, stay: Stay, now: float) -> None:
        """A member is in a room."""
        self.ripen(now)
        self._young.append(stay)

    def left(self, stay: Stay, now: float) -> None:
        """A member is in a room no more."""
        self.ripen(now)
        stay.end = now
        if stay.steady:
            self._add(stay, -1, now - self.grace)

    def ripen(self, now: float) -> None:
        """Stays that have lasted for twice the grace are without a break from then on; in order of time."""
        young, twice = self._young, 2 * self.grace
        while young and (young[0].begin + twice <= now or young[0].end != math.inf):
            stay = young.popleft()
            if stay.end == math.inf:
                stay.steady = True
                self._add(stay, 1, stay.begin + self.grace)

    def _add(self, stay: Stay, by: int, at: float) -> None:
        for name in stay.names:
            self._count((name, stay.room, None), by, at)
            if stay.me is not None:
                self._count((name, stay.room, stay.me), by, at)

    def _count(self, key: StepKey, by: int, at: float) -> None:
        count = self._counts.get(key, 0) + by
        if count:
            self._counts[key] = count
        else:
            self._counts.pop(key, None)
        if self.told:
            self.steps.append([*key, at, count])

    def tell(self, now: float) -> None:
        """Tell of steps from now on, and anew of what is so by now."""
        self.told = True
        self.steps = [[*key, now - self.grace, count] for key, count in self._counts.items()]
