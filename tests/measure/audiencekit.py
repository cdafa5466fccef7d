"""A chat in virtual time: who is where, what arrives, and by the plain definition what should come of it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgpack

from sioload.measure.audience import Audience
from sioload.measure.rooms import Member, key_of
from sioload.report.audience import Audiences
from sioload.report.heard import Heard

NAME = "message"


@dataclass
class User:
    """Somebody, and when it was in which room, as whom."""

    process: int
    member: Member
    me: str
    stays: dict[str, list[tuple[float, float, str]]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Said:
    """A message, and each arrival of it: when, and at whom."""

    room: str
    sender: str | None
    sent: float | None
    arrivals: list[tuple[float, User]] = field(default_factory=list)


class Chat:
    """Users in some processes, a master, and reports that may get lost or come twice."""

    def __init__(self, processes: int, grace: float, seed: int = 0, unreliable: bool = False) -> None:
        self.grace = grace
        self.audiences = Audiences()
        self.processes = [Audience() for _ in range(processes)]
        self.users: list[User] = []
        self.said: dict[str, Said] = {}
        self.random = random.Random(seed)
        self.unreliable = False
        for number, process in enumerate(self.processes):
            process.begin(grace, 0.0)
            self.report(number, 0.0)  # as workers do
        self.unreliable = unreliable

    def user(self, process: int, me: str, now: float = 0.0) -> User:
        member = self.processes[process].presence.member((("/", NAME),))
        member.joined("/", recovered=False, now=now)
        member.call(me, now)
        user = User(process, member, me)
        self.users.append(user)
        return user

    def join(self, user: User, room: str, now: float) -> None:
        user.member.add(key_of(room), now)
        user.stays[room].append((now, float("inf"), user.me))

    def leave(self, user: User, room: str, now: float) -> None:
        user.member.discard(key_of(room), now)
        user.stays[room][-1] = (user.stays[room][-1][0], now, user.me)

    def rename(self, user: User, me: str, now: float) -> None:
        user.member.call(me, now)
        for stays in user.stays.values():
            if stays[-1][1] == float("inf") and me != user.me:
                stays[-1] = (stays[-1][0], now, user.me)
                stays.append((now, float("inf"), me))
        user.me = me

    def arrive(self, id: str, user: User, now: float) -> None:
        said = self.said[id]
        said.arrivals.append((now, user))
        self.processes[user.process].heard(
            NAME, key_of(said.room), key_of(id), said.sender, said.sent, user.member, now
        )

    def report(self, process: int, now: float, going: bool = True) -> None:
        """What a process reports, as it travels: maybe never, maybe twice."""
        told: dict[str, Any] = msgpack.unpackb(msgpack.packb(self.processes[process].report(now)))
        if self.unreliable and going and self.random.random() < 0.3:
            return
        for _ in range(2 if self.unreliable and self.random.random() < 0.3 else 1):
            next = self.audiences.take(f"worker {process}", "0", told, going=going)
        if not (self.unreliable and going and self.random.random() < 0.3):
            self.processes[process].confirmed(next, self.audiences.shift)

    def end(self, now: float) -> Heard:
        for process in self.processes:
            process.close(now)
        for number, process in enumerate(self.processes):
            while True:
                self.report(number, now, going=False)
                if not process.report(now)["batches"]:
                    break
        return self.audiences.figures().names().get(NAME, Heard())

    def expected(self, end: float) -> Counter[str]:
        """By the definition, user by user."""
        found: Counter[str] = Counter()
        for said in self.said.values():
            if said.arrivals:
                self._judge(said, end, found)
        return found

    def _judge(self, said: Said, end: float, found: Counter[str]) -> None:
        g, arrivals = self.grace, sorted(said.arrivals, key=lambda arrival: arrival[0])
        first = arrivals[0][0]
        if said.sent is not None and first - said.sent > g:
            found["late"] += len(arrivals)
            return
        if first + g > end:
            found["unjudged"] += 1
            return
        found["late"] += sum(at > first + g for at, _ in arrivals)
        in_time = [user for at, user in arrivals if at <= first + g]
        found["duplicates"] += len(in_time) - len({id(user) for user in in_time})
        owed = {
            id(user)
            for user in self.users
            if any(a + g <= first < b - g and me != said.sender for a, b, me in user.stays[said.room])
        }
        there = {
            id(user)
            for user in self.users
            if user.me == said.sender
            or any(a <= first + g and b >= first - g for a, b, _ in user.stays[said.room])
        }
        got = {id(user) for user in in_time}
        found["strays"] += len(got - there)
        if owed:
            found["messages"] += 1
            found["owed"] += len(owed)
            found["reached"] += len(owed & got)
            found["missed"] += len(owed - got)
