"""Who should hear each message and who did, as one process sees it.

A message is known by the name of its row, its room and its identity. It is owed to those who were in the room
without a break from `grace` before to `grace` after its first arrival, wherever in the swarm that was. A
process doesn't know that moment, so it tells of each room the step function of how many are in it without a
break from t - grace to t + grace, and of each message how many of such members it reached; receivers who came
or went near it are told of one by one, with when they were there. `report/audience.py` brings these together.

What was told is kept until the master has said that it has it, so a report that is lost or repeated harms
nothing. All times are seconds of the swarm's clock, and come as arguments.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Final
from zlib import crc32

from sioload.measure.rooms import Member, Presence
from sioload.plain import Json

#: Receptions that are followed at once, by a process and by the swarm. Beyond, identities are sampled.
FOLLOWED = 1_000_000
#: The highest `shift`: one message in four thousand millions.
NARROWEST: Final = 32
#: Batches that travel in one report, the oldest first.
AT_ONCE: Final = 8
#: Receptions after which others may run.
_AT_A_TIME: Final = 500


def sampled(room: str, id: str, shift: int) -> bool:
    """Whether a message is one of those followed: of one in 2 ** shift, the same ones in all processes."""
    if not shift:
        return True
    return crc32(id.encode(), crc32(room.encode())) & ((1 << shift) - 1) == 0


class Message:
    """A message that has arrived here, and by whom it was heard.

    Attributes:
        first: when it first arrived.
        sent: its stamp, None without.
        members, times: its receptions, in their order.
        open: receptions belong to it; else it was told of, and what comes now is another one.
    """

    __slots__ = ("_audience", "first", "id", "members", "name", "open", "room", "sender", "sent", "times")

    def __init__(
        self, audience: Audience, name: str, room: str, id: str, sender: str | None, sent: float | None,
        first: float,
    ) -> None:  # fmt: skip
        self._audience = audience
        self.name = name
        self.room = room
        self.id = id
        self.sender = sender
        self.sent = sent
        self.first = first
        self.members: list[Member] = []
        self.times: list[float] = []
        self.open = True

    def heard(self, member: Member, now: float) -> Message | None:
        """Somebody got it. Returns what is to be asked when the same comes again."""
        if self.open:
            self.members.append(member)
            self.times.append(now)
            return self
        return self._audience.heard(self.name, self.room, self.id, self.sender, self.sent, member, now)


class Audience:
    """The messages and rooms of one process.

    Attributes:
        presence: who is in which room.
        shift: one message in 2 ** shift is followed; it only grows in a run.
        closed: no run goes on, or its users are being stopped: nothing is followed.
        since: messages that first arrived before may be known here in part only.
    """

    __slots__ = ("_closed_at", "_kept", "_late", "_messages", "_next", "_open", "_queue", "closed",
                 "presence", "shift", "since")  # fmt: skip

    def __init__(self) -> None:
        self.presence = Presence()
        self.shift = 0
        self.closed = True
        self.since = -math.inf
        self._closed_at = 0.0
        self._open: dict[tuple[str, str, str], Message] = {}
        self._queue: deque[Message] = deque()  # the open ones, oldest first
        self._messages: list[list[Json]] = []
        self._late: dict[str, int] = {}
        self._kept: deque[dict[str, Json]] = deque()
        self._next = 0

    # Messages arrive.

    def heard(
        self,
        name: str,
        room: str,
        id: str,
        sender: str | None,
        sent: float | None,
        member: Member,
        now: float,
    ) -> Message | None:
        """A message arrived at one member.

        Args:
            name: of its row.
            room, id, sender: keys.
            sent: its stamp, None without.
            member: who got it.
            now: when.

        Returns:
            What is to be asked when the same comes again, None if it isn't followed.
        """
        if self.closed:
            return None
        key = (name, room, id)
        message = self._open.get(key)
        if message is None:
            if not sampled(room, id, self.shift):
                return None
            message = Message(self, name, room, id, sender, sent, now)
            if sent is not None and now - sent > 2 * self.presence.grace:  # wherever it came first: too late
                self._late[name] = self._late.get(name, 0) + 1
                message.open = False
                return message
            self._open[key] = message
            self._queue.append(message)
        message.members.append(member)
        message.times.append(now)
        return message

    def advance(self, now: float) -> Iterator[None]:
        """Finish what has been open for longer than the grace.

        To be gone through to its end once a second or so; between its steps others may run.
        """
        self.presence.ripen(now)
        done = 0
        while self._queue and self._queue[0].first + self.presence.grace <= now:
            message = self._queue.popleft()
            done += len(message.members)
            self._finish(message)
            if done >= _AT_A_TIME:
                done = 0
                yield
        self._limit()

    def _finish(self, message: Message) -> None:
        """Nothing that comes now can be in time: tell of it.

        Where it first came, maybe earlier, isn't known here. What came here within a tenth of the grace of
        its first arrival is told as one: it is late as a whole or not at all.
        """
        del self._open[message.name, message.room, message.id]
        message.open = False
        room, sender, first = message.room, message.sender, message.first
        grace = self.presence.grace
        in_time, together, before = first + grace, first + grace / 10, first - 2 * grace
        seen: set[Member] = set()
        block = duplicates = late = 0
        last = first
        again: list[float] = []
        others: list[list[float]] = []
        for member, at in zip(message.members, message.times, strict=True):
            if at > in_time:
                late += 1
            elif member in seen:
                if at <= together:
                    duplicates += 1
                else:
                    again.append(at)
            else:
                seen.add(member)
                stay = member.stays.get(room)
                if stay is None or stay.begin > before or at > together:
                    others.append([at, *member.times(room, before, sender, at)])
                elif sender is not None and stay.me == sender:
                    others.append([at, at, at])  # neither owes it nor strays
                else:
                    block += 1
                    last = max(last, at)
        total = len(message.members)
        message.members, message.times = [], []
        self._messages.append([message.name, room, message.id, sender, message.sent, first,
                               total, block, last, duplicates, late, again, others])  # fmt: skip

    def _limit(self) -> None:
        """Follow half of what was followed, as often as it is too much."""
        while self.followed > FOLLOWED and self.shift < NARROWEST:
            self.narrow(self.shift + 1)

    @property
    def _receptions(self) -> int:
        """Those of open messages."""
        return sum(len(message.members) for message in self._queue)

    @property
    def followed(self) -> int:
        """Receptions that are followed now, by what they take here."""
        followed = self._receptions
        for told in (self._messages, *(batch["messages"] for batch in self._kept)):
            followed += sum(record[6] for record in told)
        return followed

    def narrow(self, shift: int) -> None:
        """Follow one message in 2 ** shift from now on, if these aren't more than now."""
        if shift <= self.shift:
            return
        self.shift = shift
        for message in self._queue:
            if not sampled(message.room, message.id, shift):
                del self._open[message.name, message.room, message.id]
                message.open = False
                message.members, message.times = [], []
        self._queue = deque(message for message in self._queue if message.open)
        self._messages = [each for each in self._messages if sampled(each[1], each[2], shift)]
        for batch in self._kept:
            batch["messages"] = [each for each in batch["messages"] if sampled(each[1], each[2], shift)]

    # A run, and its reports.

    def begin(self, grace: float, now: float) -> None:
        """A run begins, or this process joins it."""
        self.presence.grace = grace
        self.shift = 0
        self.closed = False
        self._forget(now)
        self.since = -math.inf

    def reset(self, now: float) -> None:
        """Forget all messages; who is where stays known."""
        self.since = now + self.presence.grace if self._queue else -math.inf
        self._forget(now)

    def _forget(self, now: float) -> None:
        for message in self._queue:
            message.open = False
        self._queue.clear()
        self._open.clear()
        self._messages, self._late = [], {}
        self._kept.clear()
        self._next = 0
        self.presence.tell(now)

    def close(self, now: float) -> None:
        """The users are about to be stopped: what comes from now on, and who goes, counts no more."""
        if self.closed:
            return
        for _ in self.advance(now):
            pass
        while self._queue:
            self._finish(self._queue.popleft())
        self.closed = True
        self.presence.told = False
        self._closed_at = now

    def report(self, now: float) -> dict[str, Json]:
        """What the master may not know yet, in plain values for msgpack.

        Returns:
            `batches`; `to`, until when receptions and stays are known with these; and `complete`: all
            messages that first arrived here by then are among them.
        """
        if not self.closed:
            for _ in self.advance(now):
                pass
        presence = self.presence
        to = self._closed_at if self.closed else now
        complete = math.inf if self.closed else now - presence.grace
        if presence.steps or self._messages or self._late:
            batch = {"number": self._next, "to": to, "complete": complete, "steps": presence.steps,
                     "messages": self._messages, "late": self._late}  # fmt: skip
            self._next += 1
            self._kept.append(batch)
            presence.steps, self._messages, self._late = [], [], {}
        batches = [self._kept[i] for i in range(min(len(self._kept), AT_ONCE))]
        if len(self._kept) > AT_ONCE:
            to, complete = batches[-1]["to"], batches[-1]["complete"]
        return {"batches": batches, "to": to, "complete": complete, "closed": self.closed,
                "since": self.since, "shift": self.shift, "followed": self._receptions,
                "grace": presence.grace}  # fmt: skip

    def confirmed(self, next: int, shift: int) -> None:
        """The master has all batches before this one, and follows one message in 2 ** shift."""
        while self._kept and self._kept[0]["number"] < next:
            self._kept.popleft()
        self.narrow(shift)
