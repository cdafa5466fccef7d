"""sioload's client doing the benchmark's work without Locust: one greenlet per connection."""

from __future__ import annotations

from typing import Any

import gevent
from gevent import monkey

monkey.patch_all()

from meter import Job, Tally  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402


def emit_forever(sio: SocketIOClient, tally: Tally, data: dict[str, Any]) -> None:
    """One acknowledged emit after another, each checked."""
    n = 0
    while True:
        n += 1
        reply = sio.call("echo", {**data, "n": n})
        if reply["n"] != n:
            raise AssertionError(f"wrong ack: {reply}")
        tally.ops += 1


def main() -> None:
    job = Job.given()
    tally = Tally()
    fleet = Fleet()
    options = {"version": 4, "transports": job.transports, "compress": job.deflate, "ca_file": job.ca or None}
    clients = [SocketIOClient(fleet, options, url=job.url) for _ in range(job.users)]
    for client in clients:
        client.connect()
    workers = [gevent.spawn(emit_forever, client, tally, job.data) for client in clients]
    gevent.sleep(1)
    tally.mark()
    gevent.sleep(job.seconds)
    result = tally.window()
    gevent.killall(workers, block=True, timeout=10)
    fleet.drain()
    ledger = fleet.recorder.ledger
    job.finish(result | {"total": ledger.acked, "open": ledger.open})


if __name__ == "__main__":
    main()
