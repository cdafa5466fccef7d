"""Simulated workers of one Locust master: `python scale_workers.py PORT WORKERS ROWS REPORTS PACED`.

They speak Locust's protocol and send what a real worker sends, made by the same code: Locust's statistics,
and a snapshot of a recorder in which each of ROWS rows counts 10 samples a second. Each worker sends REPORTS
reports, one for every three seconds of a simulated run. The first and the last PACED of them are sent as the
simulated time passes, the others as fast as the master takes them.

On standard output: one line of JSON at the start of each phase, and one at the end.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import locust  # noqa: E402
from gevent.event import Event  # noqa: E402
from locust.event import Events  # noqa: E402
from locust.rpc import Message  # noqa: E402
from locust.rpc.zmqrpc import Client  # noqa: E402
from locust.runners import HEARTBEAT_INTERVAL, WORKER_REPORT_INTERVAL  # noqa: E402
from locust.stats import RequestStats, setup_distributed_stats_event_listeners  # noqa: E402

from sioload.measure.recorder import Recorder  # noqa: E402
from sioload.measure.row_types import ROW_TYPES  # noqa: E402
from sioload.swarm import statistics  # noqa: E402
from sioload.swarm.clocks import PAUSE  # noqa: E402
from sioload.swarm.messages import CLOCK, SNAPSHOT, STOP, TEST  # noqa: E402

PATIENCE = 120.0  # seconds
SAMPLES = 10  # of each row in a second
RAMP = 5  # seconds until the users are there
FIXED = (("DIAL", "tcp"), ("OPEN", "websocket"), ("HEARTBEAT", "ping"), ("CONNECT", "/"), ("DISCONNECT", "x"))
TYPES = ("CALL", "PUSH", "CALL", "EMIT", "PUSH", "CALL", "WAIT", "RECV")
#: Times in seconds around 1: what one row's samples look like, when multiplied by its own median.
SHAPE = [random.lognormvariate(0.0, 0.5) for _ in range(9973)]

real_time = time.time
simulated = real_time()
time.time = lambda: simulated  # Locust's statistics count by the second; nothing else here asks


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Worker:
    """One worker: answers the master and makes reports."""

    def __init__(self, number: int, port: int, rows: int) -> None:
        self.id = f"worker-{number}"
        self.client = Client("127.0.0.1", port, self.id)
        self.recorder = Recorder(self.id)
        self.recorder.health.begin()
        self.stats = RequestStats()
        self.events = Events()
        setup_distributed_stats_event_listeners(self.events, self.stats)
        statistics.replace_rounding()
        names = [*FIXED, *((TYPES[n % len(TYPES)], f"event {n}") for n in range(rows))][:rows]
        self.rows = [self.recorder.row(*name) for name in names]
        self.medians = [0.002 * 1.08**n for n in range(rows)]
        self.born = simulated + number % 3
        self.state, self.users, self.test = "ready", {}, -1
        self.made = self.beats = self.due = 0
        self.beaten, self.started, self.over = Event(), Event(), Event()
        self.turn = number * 101 % len(SHAPE)
        self.beaten_at = 0.0

    def send(self, type: str, data: Any = None) -> None:
        self.client.send(Message(type, data, self.id))

    def listen(self) -> None:
        while True:
            message = self.client.recv()
            if message.type == "heartbeat":
                self.beats += 1
                if self.beats >= self.due:
                    self.beaten.set()
            elif message.type == "spawn":
                self.send("spawning")
                self.users = message.data["user_classes_count"]
                self.test = message.data["parsed_options"][TEST]
                self.state = "running"
                self.send("spawning_complete", self._population())
                self.started.set()
            elif message.type == STOP:
                self.report(final=True)
            elif message.type == "stop":
                self.send("client_stopped")
            elif message.type == "quit":
                self.over.set()
                return

    def beat(self, times: int = 1) -> None:
        usage = {"state": self.state, "current_cpu_usage": 50.0, "current_memory_usage": 10**8}
        self.beaten_at = time.monotonic()
        for _ in range(times):
            self.due += 1
            self.send("heartbeat", usage)

    def beat_on(self) -> None:
        while True:
            if time.monotonic() - self.beaten_at >= 0.9 * HEARTBEAT_INTERVAL:
                self.beat()
            gevent.sleep(HEARTBEAT_INTERVAL)

    def _population(self) -> dict[str, Any]:
        return {"user_classes_count": self.users, "user_count": sum(self.users.values())}

    def work(self) -> None:
        """Three seconds of samples, handed to Locust's statistics each second as the real worker does."""
        global simulated
        health = self.recorder.health
        for second in range(int(WORKER_REPORT_INTERVAL)):
            passed = self.made * WORKER_REPORT_INTERVAL + second
            simulated = self.born + passed
            if passed % PAUSE == 0:
                self.send(CLOCK, {"t0": 0.0})
            for row, median in zip(self.rows, self.medians, strict=True):
                self.turn = (self.turn + SAMPLES) % (len(SHAPE) - SAMPLES)
                if ROW_TYPES[row.type].timed:
                    for shape in SHAPE[self.turn : self.turn + SAMPLES]:
                        row.add(shape * median)
                else:
                    row.tick(SAMPLES)
            for tick in range(50):
                late = 1e-4 * SHAPE[self.turn + tick % SAMPLES]
                if health.tick(simulated, late, 0.01, late):
                    health.close(simulated, 0.01)
            if passed == RAMP:
                health.ramped(simulated, 0.01)
            deltas = [delta for row in self.rows if (delta := row.take()) is not None]
            statistics.log(self.stats, deltas)
        self.rows[5].fail("no ack within 30 s", 30.0)
        self.recorder.ledger.emits += 1
        self.recorder.ledger.acked += 1

    def report(self, final: bool = False) -> int:
        """Returns its length in bytes."""
        data: dict[str, Any] = {}
        self.made += 1
        snapshot = self.recorder.snapshot(self.made)
        data[SNAPSHOT] = {"test": self.test, "final": final, "stopping": final, "snapshot": snapshot}
        self.events.report_to_master.fire(client_id=self.id, data=data)
        message = Message("stats", {**data, **self._population()}, self.id)
        self.client.send(message)
        return len(message.serialize()) if self.made % 50 == 0 else 0

    def paced(self, reports: int, phase: float, waits: list[float]) -> None:
        """Reports as time passes; `waits` gets the seconds from each to the master's answer behind it."""
        begin = time.monotonic() + phase
        for n in range(reports):
            gevent.sleep(max(0.0, begin + n * WORKER_REPORT_INTERVAL - time.monotonic()))
            self.work()
            self.report()
            sent = time.monotonic()
            self.answered()
            waits.append(time.monotonic() - sent)

    def answered(self, beats: int = 1) -> None:
        """Wait until the master has handled everything sent so far: it answers in turn."""
        self.beaten.clear()
        self.beat(beats)
        if not self.beaten.wait(PATIENCE):
            raise SystemExit(f"the master didn't answer {self.id} for {PATIENCE} s")

    def fast(self, reports: int, sizes: list[int]) -> None:
        for _ in range(reports):
            self.work()
            if size := self.report():
                sizes.append(size)
            self.answered(3)


def main() -> None:
    port, count, rows, reports, pace = map(int, sys.argv[1:])
    workers = [Worker(number, port, rows) for number in range(count)]
    for worker in workers:
        gevent.spawn(worker.listen)
        worker.send("client_ready", locust.__version__)
        gevent.spawn(worker.beat_on)
    for worker in workers:
        if not worker.started.wait(PATIENCE):
            raise SystemExit(f"the master gave {worker.id} no work")
    waits: dict[str, list[float]] = {"early": [], "late": []}
    sizes: list[int] = []

    def paced(phase: str) -> None:
        tell(phase=phase, reports=pace * count)
        step = WORKER_REPORT_INTERVAL / count
        gevent.joinall(
            [gevent.spawn(worker.paced, pace, n * step, waits[phase]) for n, worker in enumerate(workers)],
            raise_error=True,
        )

    def fast(phase: str, each: int) -> None:
        tell(phase=phase, reports=each * count)
        gevent.joinall([gevent.spawn(worker.fast, each, sizes) for worker in workers], raise_error=True)

    paced("early")
    between = max(2, reports - 2 * pace)
    fast("first half", between // 2)
    fast("second half", between - between // 2)
    paced("late")
    samples = sum(row.totals().count for worker in workers for row in worker.rows)
    tell(phase="done", samples=samples, waits=waits, sizes=sizes)
    for worker in workers:
        worker.over.wait(PATIENCE)


if __name__ == "__main__":
    main()
