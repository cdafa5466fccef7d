"""What the watch on the generator's own lag costs a turn of the event loop: prints microseconds of CPU."""

from __future__ import annotations

from statistics import median
from time import process_time

import gevent

from sioload.net.fleet import Fleet
from sioload.swarm.lag import LagWatch

TURNS, ROUNDS = 200_000, 5


def turns() -> float:
    """Seconds of CPU that a turn takes."""
    begun = process_time()
    for _ in range(TURNS):
        gevent.sleep(0)
    return (process_time() - begun) / TURNS


if __name__ == "__main__":
    alone = median(turns() for _ in range(ROUNDS))
    watch = LagWatch(Fleet(), lambda now: None)
    print(f"{1e6 * (median(turns() for _ in range(ROUNDS)) - alone):.2f}")
