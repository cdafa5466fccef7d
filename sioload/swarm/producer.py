"""What a process that runs users does: batches into Locust, the drain at the end, watching its own health."""

from __future__ import annotations

import gc
import logging
import os
import resource
import time
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.lock import RLock
from locust.runners import STATE_CLEANUP, STATE_STOPPED, Runner

from sioload.client import manager
from sioload.measure.health import remedy
from sioload.net.fleet import Fleet, fleet_of
from sioload.swarm import statistics
from sioload.swarm.foreign import ForeignRequests
from sioload.swarm.lag import LagWatch
from sioload.swarm.options import DRAIN
from sioload.swarm.taps import RequestListeners
from sioload.swarm.usergroup import UserGroup, count_exceptions

logger = logging.getLogger(__name__)

#: Seconds that `on_stop` methods may take when a signal comes while users are being stopped.
SLOW_STOP: Final = 10.0
#: Batches after the last user was spawned until which users may still be connecting.
SETTLE: Final = 5
#: Seconds between two batches into Locust's statistics.
BATCH: Final = 1.0


class Producer:
    """The users' side of a run, in the only process or in a worker.

    Attributes:
        fleet: what the connections of this process share.
        drained: the users are gone and every emit has its outcome.
    """

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.fleet: Fleet = fleet_of(environment)
        self.drained = True
        if not is_compiled():
            logger.info(
                "sioload: running as plain Python: each emit costs half as much again as it does compiled "
                "(install a C compiler, then sioload again)"
            )
        ForeignRequests(environment, self.fleet.recorder)
        count_exceptions(environment, self.fleet.recorder)
        environment.runner.user_greenlets = UserGroup(self.fleet)
        self._tap = RequestListeners(self.fleet.recorder, environment.events.request)
        self._ending = RLock()
        self._warned = False
        self._settling = 0
        gevent.spawn(self._batches)
        self._lateness = LagWatch(self.fleet, self._judge)

    def begin(self) -> None:
        """A test starts. Waits for the drain of the one before."""
        with self._ending:
            gc.unfreeze()
            gc.collect()  # now: once users run, it would hold them up for as long as it takes
            self.forget()
            self.fleet.recorder.population.reset()
            self._warned = False
            self._settling = 0
            self.fleet.recorder.health.begin()
            self.drained = False
            self._tap.look()
            self.fleet.reopen()

    def forget(self) -> None:
        """Forget everything counted; emits that are open now count again, with their outcome to come."""
        self.fleet.recorder.reset()

    def stopping(self) -> None:
        """The users are about to be stopped; how busy stopping them keeps this process doesn't count."""
        self._settling = 0
        self.fleet.recorder.health.end(time.monotonic(), self.fleet.recorder.window_p50())
        self.fleet.end(emits=bool(self.environment.stop_timeout))

    def end(self) -> None:
        """The users are gone: drain, so that every emit has its outcome. Idempotent."""
        with self._ending:
            limit = getattr(self.environment.parsed_options, "sio_drain", DRAIN)
            self.fleet.drain(limit)
            self._tap.finish()
            self.flush()
            self.drained = True

    def hurry(self) -> None:
        """Cut the end short: interrupt slow `on_stop` methods and close without waiting for acks."""
        interrupt_users(self.environment.runner)
        self.fleet.drain(0.0)

    def flush(self) -> None:
        """Bring Locust's statistics up to date. Never blocks."""
        connections = self.fleet.recorder.connections
        connections.opening = max(0, len(self.fleet.members) - sum(connections.current.values()))
        deltas = [delta for row in self.fleet.recorder.rows.values() if (delta := row.take()) is not None]
        statistics.log(self.environment.stats, deltas)
        for row in self.fleet.recorder.foreign.values():
            row.take()  # Locust has them

    def ramped_up(self) -> None:
        """All users are spawned.

        What lives now will live long: a collector that walks it again and again would be the lag it measures.
        """
        gc.freeze()
        self._settling = SETTLE

    def _batches(self) -> None:
        while True:
            opened = self.fleet.recorder.connections.opened
            gevent.sleep(BATCH)
            self._tap.look()
            self.flush()
            recorder = self.fleet.recorder
            recorder.health.left(descriptors_left(), ports_left(len(self.fleet.members)))
            if self._settling:
                # Users that were spawned still connect. When no more do, the ramp-up is over.
                self._settling -= 1
                if recorder.connections.opened == opened or not self._settling:
                    self._settling = 0
                    recorder.health.ramped(time.monotonic(), recorder.window_p50())

    def _judge(self, now: float) -> None:
        recorder = self.fleet.recorder
        window = recorder.health.close(now, recorder.window_p50())
        if window is not None and window.limited and not self._warned:
            self._warned = True
            logger.warning(
                "sioload: this process is the bottleneck now (%.0f %% of a core, own lag p99 %.1f ms): "
                "times measured meanwhile are too long. %s",
                window.cpu * 100, window.own_p99 * 1000, remedy(window.cpu),
            )  # fmt: skip


def is_compiled() -> bool:
    """Whether setup.py had a C compiler."""
    return not (manager.__file__ or "").endswith(".py")


def stop_users(runner: Runner) -> None:
    """Stop the users of this process and wait until they are gone, whoever stops them."""
    until = time.monotonic() + SLOW_STOP
    while runner.state == STATE_CLEANUP and time.monotonic() < until:
        gevent.sleep(0.02)
    if runner.state == STATE_CLEANUP:
        interrupt_users(runner)
        runner.user_greenlets.join(timeout=1.0)
    elif runner.state != STATE_STOPPED:
        runner.stop()


def interrupt_users(runner: Runner) -> None:
    """End users that are being stopped, in the middle of their `on_stop`; their group would skip them."""
    for greenlet in list(runner.user_greenlets):
        greenlet.kill(block=False)


def raise_descriptor_limit() -> None:
    """Allow as many open connections as the system lets this process have. Locust stops at 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:
            logger.warning("sioload: the limit of open files stays at %s: %s", soft, error)


def descriptors_left() -> int | None:
    """How many more files and sockets this process may open, about; None when there is no limit."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        # The kernel gives the lowest free number. Listing thousands of open ones takes milliseconds.
        lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    os.close(lowest)
    return max(0, limit - lowest)


def ports_left(used: int) -> int | None:
    """How many more connections one local address can make to one server; None if unknown."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return None
    return max(0, int(high) - int(low) + 1 - used)
