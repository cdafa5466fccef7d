"""Connects and disconnects again and again: `python tests/soak/cycles.py URL CYCLES TRANSPORTS`.

Prints what the process held before and after, and its memory each time a twentieth of the cycles was done.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402  (gevent must patch first)
import logging  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))

import census  # noqa: E402
import gevent  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402

AT_A_TIME = 50


class Cycles:
    """Users that share a number of cycles."""

    def __init__(self, url: str, cycles: int, transports: list[str]) -> None:
        self.url = url
        self.options = {"version": 4, "transports": transports}
        self.left = cycles
        self.part = cycles // 20
        self.done = 0
        self.fleet = Fleet()
        self.memory: list[int] = []
        self.faults: list[str] = []

    def user(self, lasting: bool) -> None:
        """Half of the users keep their client, half make a new one for each cycle."""
        sio = self.make()
        while self.left > 0:
            self.left -= 1
            if not lasting:
                sio = self.make()
            try:
                sio.connect()
                sio.call("echo", self.done)
                sio.disconnect()
            except Exception as error:  # noqa: BLE001 - told by the test
                self.faults.append(repr(error))
                sio.close_quietly()
            self.done += 1
            if self.done % self.part == 0:
                self.memory.append(census.rss())

    def make(self) -> SocketIOClient:
        return SocketIOClient(self.fleet, self.options, url=self.url)

    def run(self, users: int) -> None:
        gevent.joinall([gevent.spawn(self.user, n % 2 == 0) for n in range(users)])


def main() -> None:
    logging.disable()
    url, cycles, transports = sys.argv[1:]
    warm = Cycles(url, 200, transports.split(","))
    warm.run(AT_A_TIME)
    warm.fleet.drain()
    gevent.sleep(0.2)
    before = census.count(warm.fleet)
    run = Cycles(url, int(cycles), transports.split(","))
    run.run(AT_A_TIME)
    run.fleet.drain()
    gevent.sleep(0.2)
    print(
        json.dumps(
            {
                "before": before,
                "after": census.count(run.fleet),
                "memory": run.memory,
                "done": run.done,
                "faults": run.faults[:5],
                "ledger": run.fleet.recorder.ledger.encode(),
                "opened": run.fleet.recorder.connections.opened,
                "closed": run.fleet.recorder.connections.closed,
            }
        )
    )


if __name__ == "__main__":
    main()
