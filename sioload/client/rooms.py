"""`self.sio.rooms`: the rooms that a user is in, as its script says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from typing import TYPE_CHECKING

from sioload.client.manager import Manager, Phase
from sioload.errors import UsageError
from sioload.measure.rooms import key_of, value_of
from sioload.net.clock import stamp
from sioload.plain import Json

if TYPE_CHECKING:
    from sioload.measure.rooms import Member


class Rooms(MutableSet[Json]):
    """A set of rooms, of JSON's kinds of values: those of one connection.

    It is empty whenever a session or a joined namespace has begun or ended, unless the server recovered the
    session with its rooms. While there is no connection, `add` has no effect.
    """

    __slots__ = ("_manager", "_member")

    def __init__(self, member: Member, manager: Manager) -> None:
        self._member = member
        self._manager = manager

    def add(self, value: Json) -> None:
        """The server has put this user into a room.

        Raises:
            UsageError: it is no value of JSON's.
        """
        key = room_key(value)
        if self._manager.phase is Phase.UP:
            self._member.add(key, stamp())

    def update(self, *values: Iterable[Json]) -> None:
        """Add several."""
        for each in values:
            for value in each:
                self.add(value)

    @classmethod
    def _from_iterable(cls, found: Iterable[Json]) -> set[Json]:
        """What comes of `rooms | {...}` and the like stands for itself."""
        return set(found)

    def discard(self, value: Json) -> None:
        """The user is in that room no more."""
        self._member.discard(room_key(value), stamp())

    def __contains__(self, value: object) -> bool:
        return room_key(value) in self._member.stays

    def __iter__(self) -> Iterator[Json]:
        return iter([value_of(key) for key in self._member.rooms])

    def __len__(self) -> int:
        return len(self._member.rooms)

    def __repr__(self) -> str:
        return f"Rooms({list(self)!r})"


def room_key(value: object) -> str:
    """What stands for a room, or for a user that messages name.

    Raises:
        UsageError: it is no value of JSON's.
    """
    try:
        return key_of(value)
    except ValueError as error:
        raise UsageError(str(error)) from error
