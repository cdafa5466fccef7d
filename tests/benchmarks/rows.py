"""The rows of the benchmark: what is measured, by which programs, and what sioload must reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: The columns, and what is printed above them. A row's `base` is measured too, and shown below the row.
COLUMNS = {
    "floor": "C floor",
    "node": "Node",
    "artillery": "Artillery",
    "locust": "Locust",
    "sioload": "sioload",
}

WEBSOCKET = ("websocket",)
POLLING = ("polling",)
UPGRADE = ("polling", "websocket")


@dataclass(frozen=True, slots=True)
class Limit:
    """What sioload must reach: at most `factor` times the figure of `other`, or `plus` more than it.

    With `worst`, the median of several runs must reach `factor`, and the worst of them that.
    """

    other: str
    factor: float = 1.0
    plus: float = 0.0
    worst: float | None = None

    def __str__(self) -> str:
        name = COLUMNS.get(self.other, self.other)
        worst = f" (worst run <= {self.worst:g}x)" if self.worst else ""
        return f"{name} + {self.plus:g}" if self.plus else f"{self.factor:g}x {name}{worst}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        key: its name for `--rows`.
        title: its name in the table; `{users}` is filled in.
        mode: ack, push, connect or idle; see `meter.py`.
        programs: the columns that are measured.
        limits: what sioload must reach.
        tls: over TLS 1.3, certificates verified.
        deflate: with permessage-deflate, and a KiB of JSON in each emit.
        handler: the script has a handler for what is pushed, which does next to nothing.
        server: responder (canned answers, in C) or npm (socket.io 4).
        alone: sioload's client without Locust.
        base: a second figure of the row that a limit refers to: empty (a Locust user that never connects),
            300 users (sioload itself with 300 users) or sent_at (sioload without `room=`).
        rate: emits, or pushes to one user, per second; 0 emits again as soon as the ack is in.
    """

    key: str
    title: str
    mode: Literal["ack", "push", "connect", "idle"]
    programs: tuple[str, ...]
    limits: tuple[Limit, ...]
    users: int = 300
    quick_users: int = 300
    transports: tuple[str, ...] = WEBSOCKET
    tls: bool = False
    deflate: bool = False
    handler: bool = False
    server: Literal["responder", "npm"] = "responder"
    alone: bool = False
    base: str | None = None
    rate: float = 0.0

    @property
    def unit(self) -> str:
        return "KiB" if self.mode == "idle" else "us"

    @property
    def spins(self) -> bool:
        """Whether the server never sleeps, because its clients send as fast as they can."""
        return self.server == "responder" and self.mode == "ack" and not self.rate

    @property
    def label(self) -> str:
        return self.title.format(users=f"{self.users:,}")

    def quick(self) -> Row:
        return replace(self, users=self.quick_users)


ROWS = (
    Row(
        "alone",
        "emit + ack, {users} users, the client alone",
        "ack",
        ("floor", "node", "artillery", "sioload"),
        (Limit("floor", 1.8),),
        alone=True,
    ),
    Row(
        "locust",
        "emit + ack, {users} users, Locust User and @task",
        "ack",
        ("floor", "artillery", "locust", "sioload"),
        (Limit("floor", 2.3, worst=2.8), Limit("artillery", 0.45, worst=0.5), Limit("locust", 0.1)),
    ),
    Row(
        "tls",
        "emit + ack over TLS, {users} users, the client alone",
        "ack",
        ("floor", "node", "sioload"),
        (Limit("floor", 2.0), Limit("node", 0.5)),
        tls=True,
        alone=True,
    ),
    Row(
        "deflate",
        "emit + ack, deflate, 1 KiB of JSON, {users} users",
        "ack",
        ("node", "sioload"),
        (Limit("node", 0.6),),
        deflate=True,
        server="npm",
        alone=True,
    ),
    Row(
        "push",
        "broadcast received, {users} users, 50/s each",
        "push",
        ("floor", "node", "locust", "sioload"),
        (Limit("floor", 1.5), Limit("node", 0.35)),
        rate=50,
    ),
    Row(
        "handler",
        "broadcast to a handler, {users} users, 50/s each",
        "push",
        ("node", "sioload"),
        (Limit("node", 0.6),),
        handler=True,
        rate=50,
    ),
    Row(
        "room",
        "broadcast to a room, {users} users, 50/s each",
        "push",
        ("sioload",),
        (Limit("sent_at", plus=1.5),),
        base="sent_at",
        rate=50,
    ),
    Row(
        "connect",
        "connect by websocket, {users} users",
        "connect",
        ("floor", "node", "locust", "sioload"),
        (Limit("node", 0.35),),
        users=2000,
        quick_users=500,
        server="npm",
    ),
    Row(
        "tls-connect",
        "connect by websocket over TLS, {users} users",
        "connect",
        ("floor", "node", "sioload"),
        (Limit("floor", 1.5),),
        users=1000,
        quick_users=300,
        tls=True,
        server="npm",
    ),
    Row(
        "upgrade",
        "connect by polling, then upgrade, {users} users",
        "connect",
        ("node", "locust", "sioload"),
        (Limit("node", 0.3),),
        users=1000,
        quick_users=300,
        transports=UPGRADE,
        server="npm",
    ),
    Row(
        "polling",
        "emit + ack by polling only, {users} users",
        "ack",
        ("node", "locust", "sioload"),
        (Limit("node", 0.25),),
        transports=POLLING,
        server="npm",
    ),
    Row(
        "memory",
        "memory of one idle user, {users} users",
        "idle",
        ("node", "locust", "sioload"),
        (Limit("empty", plus=5),),
        users=5000,
        quick_users=1000,
        server="npm",
        base="empty",
    ),
    Row(
        "tls-memory",
        "memory of one idle user over TLS, {users} users",
        "idle",
        ("node", "sioload"),
        (Limit("empty", plus=30),),
        users=5000,
        quick_users=1000,
        tls=True,
        server="npm",
        base="empty",
    ),
    Row(
        "growth",
        "emit + ack, {users} users, 3,000/s in all",
        "ack",
        ("sioload",),
        (Limit("300 users", 1.2),),
        users=10_000,
        quick_users=3000,
        base="300 users",
        rate=3000,
    ),
)

BASES = {
    "empty": "a Locust user that never connects",
    "300 users": "with 300 users at the same total rate",
    "sent_at": "without room=",
}
