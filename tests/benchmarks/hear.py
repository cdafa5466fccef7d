"""What `room=` costs a push above `sent_at` alone: on arrival, and until it has been told to the master.

    python tests/benchmarks/hear.py [PUSHES]

One process hears each message 300 times, as a broadcast that is decoded once, and as frames of which no two
are alike; nothing is sent over a network. The limit is 1.5 us a push, compiled.
"""

from __future__ import annotations

import sys
from statistics import median
from time import process_time

from gevent import monkey

monkey.patch_all()

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.client.dispatcher import Handler  # noqa: E402
from sioload.net.clock import stamp  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402

USERS, ROUNDS = 300, 5


def crowd(*, room: bool) -> tuple[Fleet, list[SocketIOClient]]:
    fleet = Fleet()
    where = (lambda m: (m["room"], m["id"])) if room else None
    handler = Handler(None, lambda m: m["sent"], room=where, audience="message" if room else "")
    clients = [
        SocketIOClient(fleet, user=object(), handlers={("/", "message"): handler}) for _ in range(USERS)
    ]
    fleet.recorder.audience.begin(0.01, stamp())
    for client in clients:
        member = client._incoming.member()
        if member is not None:
            member.joined("/", False, stamp() - 1)
            member.add("room", stamp() - 1)
    return fleet, clients


def cost(pushes: int, *, room: bool, decoded: bool) -> float:
    """CPU microseconds of one push."""
    fleet, clients = crowd(room=room)
    audience = fleet.recorder.audience
    began = process_time()
    for number in range(pushes // USERS):
        message = {"room": "room", "id": f"id {number}", "sent": stamp()}
        known = None
        for client in clients:
            if known is None or decoded:
                known = client._incoming.on_event("/", ["message", message], None, False)
            else:
                known.count(client._incoming.member())
        if number % 20 == 0:
            report = audience.report(stamp())
            audience.confirmed(report["batches"][-1]["number"] + 1 if report["batches"] else 0, 0)
    audience.report(stamp() + 1)
    return (process_time() - began) / pushes * 1e6


def main() -> None:
    pushes = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    for decoded, what in ((False, "one frame for all"), (True, "no two alike")):
        found = {
            room: median(cost(pushes, room=room, decoded=decoded) for _ in range(ROUNDS))
            for room in (False, True)
        }
        more = found[True] - found[False]
        print(f"{what}: {found[False]:.2f} us with sent_at, {found[True]:.2f} with room=, {more:+.2f}")


if __name__ == "__main__":
    main()
