"""The master's part: merging what workers report, waiting for the last of it, noticing lost workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gevent
from locust.rpc import Message
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner

from sioload.net.fleet import fleet_of
from sioload.report.merge import Figures, Swarm
from sioload.swarm import clocks, statistics
from sioload.swarm.guard import Guard
from sioload.swarm.judge import Judge
from sioload.swarm.messages import CLOCK, HOST, RESET, SNAPSHOT, STOP, TEST
from sioload.swarm.options import DRAIN

logger = logging.getLogger(__name__)

#: Seconds without a sign of life after which a worker's last report isn't waited for.
PATIENCE: Final = 10.0
#: Seconds that the last reports may take beyond what stopping and draining may.
GRACE: Final = 10.0


@dataclass(slots=True)
class WorkerState:
    """What the master knows of one worker in the running test.

    Attributes:
        heard: when its newest sign of life came (monotonic seconds).
        seq: number of its newest report; -1 before the first.
        final: it stopped, drained, and reported all.
        lost: it is gone without that, and this was said.
    """

    heard: float
    seq: int = -1
    final: bool = False
    lost: bool = False


class Master:
    """Merges the workers' figures and ends the run when all of them are in."""

    def __init__(self, environment: Any, runner: MasterRunner) -> None:
        self.environment = environment
        self.runner = runner
        self.swarm = Swarm()
        self.judge = Judge(environment, self.swarm, self._gather)
        self.test = 0
        self.peers: dict[str, WorkerState] = {}
        self._until: float | None = None
        self._deferred: list[tuple[str, Message]] = []
        self._quit = False
        guard = Guard(environment, self.judge.internal_error)
        guard.first("worker_report", self.on_report)
        guard.listen("worker_connect", self.on_connect)
        guard.listen("heartbeat_sent", self.on_heartbeat)
        guard.listen("test_start", self.on_test_start)
        guard.listen("test_stopping", self.on_test_stopping)
        guard.listen("test_stop", self.on_test_stop)
        guard.listen("spawning_complete", self.on_spawning_complete)
        guard.listen("reset_stats", self.on_reset)
        guard.listen("quitting", self.on_quitting)
        self.judge.listen(guard)
        clocks.answer(runner, guard)
        gevent.spawn(self._look_after, guard.safe(self._look))

    def on_test_start(self, **_: Any) -> None:
        self._next_test()
        options, shown = self.environment.parsed_options, self.environment.host
        if options is not None:
            setattr(options, HOST, fleet_of(self.environment).hosts.get(shown))
        now = time.monotonic()
        self.peers = {id: WorkerState(now) for id in self.runner.clients if self.alive(id)}
        self.judge.begin(len(self.peers))

    def _next_test(self) -> None:
        self._until = None
        if self.environment.parsed_options is not None:
            self.test += 1
            setattr(self.environment.parsed_options, TEST, self.test)

    def on_connect(self, client_id: str, **_: Any) -> None:
        """A worker that joins a running test gets users at once."""
        if self.runner.state in (STATE_SPAWNING, STATE_RUNNING) and client_id not in self.peers:
            self._join(client_id)

    def _join(self, client_id: str) -> WorkerState:
        peer = self.peers[client_id] = WorkerState(time.monotonic())
        self.judge.joined(len(self.peers))
        return peer

    def on_heartbeat(self, client_id: str, **_: Any) -> None:
        if client_id in self.peers:
            self.peers[client_id].heard = time.monotonic()

    def on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Runs before Locust's own listener, and decides with it what of a report counts."""
        part = data.get(SNAPSHOT)
        if part is None:
            return
        snapshot, peer = part["snapshot"], self.peers.get(client_id)
        if peer is None and part["test"] == self.test and not part["final"]:
            peer = self._join(client_id)  # it was missing when the test started, and is back
        if peer is None or part["test"] != self.test or snapshot["seq"] <= peer.seq:
            statistics.discard(data)
            return
        peer.seq, peer.final, peer.heard = snapshot["seq"], part["final"], time.monotonic()
        admit = self.judge.names.admit
        for row in snapshot["rows"]:
            row["name"] = admit(row["type"], row["name"])
        statistics.fold(data, admit)
        self.swarm.take(client_id, snapshot, peer.heard)

    def on_reset(self, **_: Any) -> None:
        """Reports that are on their way hold what was forgotten: the number of the test tells them apart."""
        self._next_test()
        self.judge.forget()
        for client_id, peer in self.peers.items():
            peer.seq, peer.final = -1, False
            if self.alive(client_id):
                self.runner.send_message(RESET, {"test": self.test}, client_id=client_id)

    def on_spawning_complete(self, **_: Any) -> None:
        if self.environment.reset_stats and self.judge.running:
            self.on_reset()

    def on_test_stopping(self, **_: Any) -> None:
        """Locust goes on dispatching users while it stops, if it hasn't reached their number yet."""
        dispatcher = self.runner._users_dispatcher
        if dispatcher is not None:
            dispatcher._target_user_count = dispatcher._current_user_count
        self.judge.end()

    def on_test_stop(self, **_: Any) -> None:
        self.gather()

    def on_quitting(self, **_: Any) -> None:
        """A signal ended the run. Registered last, it runs first: Locust still listens to workers."""
        self.runner.stop(send_stop_to_client=False)
        self.gather()

    def alive(self, client_id: str) -> bool:
        client = self.runner.clients.get(client_id)
        return client is not None and client.state != STATE_MISSING

    def awaited(self) -> list[str]:
        """The workers whose last report may still come.

        Locust takes a worker for missing after three seconds of silence, which a busy machine can cause too.
        """
        since = time.monotonic() - PATIENCE
        return [
            id
            for id, peer in self.peers.items()
            if not peer.final and (self.alive(id) or (peer.heard > since and id in self.runner.clients))
        ]

    @property
    def settled(self) -> bool:
        """No test goes on, and the figures of the last one are final."""
        return not self.judge.running and not self.awaited()

    @property
    def reports(self) -> dict[str, int]:
        """Number of the newest report of each worker that takes part and is alive."""
        return {id: peer.seq for id, peer in self.peers.items() if self.alive(id)}

    def gather(self) -> None:
        """End the test on every worker and wait for all that they measured; bounded, and not for dead ones.

        Locust itself tells workers to quit and stops listening half a second later.
        """
        if self._until is None:
            drain = getattr(self.environment.parsed_options, "sio_drain", DRAIN)
            self._until = time.monotonic() + self.environment.stop_timeout + drain + GRACE
            for client_id in self.awaited():
                self.runner.send_message(STOP, {"test": self.test}, client_id=client_id)
        while self.awaited() and time.monotonic() < self._until:
            self._listen(0.02)
        for client_id in self.awaited():
            logger.error("sioload: worker %s didn't report its end in time: is an on_stop slow?", client_id)
        while self._deferred:
            self.runner.handle_message(*self._deferred.pop(0))

    def hurry(self) -> None:
        """Wait for the workers no longer."""
        self._until = 0.0

    def _listen(self, seconds: float) -> None:
        """Let messages of workers arrive. Called by the greenlet that receives them, receive them here.

        The script's own messages wait meanwhile: one of them may be what ended the run.
        """
        if getattr(gevent.getcurrent(), "_run", None) != self.runner.client_listener:
            gevent.sleep(seconds)
            return
        server: Any = self.runner.server
        if server.socket.poll(int(seconds * 1000)):
            client_id, message = server.recv_from_client()
            if message.type in self.runner.custom_messages and message.type != CLOCK:
                self._deferred.append((client_id, message))
            else:
                self.runner.handle_message(client_id, message)

    def _look_after(self, look: Callable[[], None]) -> None:
        while True:
            gevent.sleep(1.0)
            look()

    def _look(self) -> None:
        """Say at once when a worker is lost, and when it comes back."""
        for client_id, peer in self.peers.items():
            lost = not peer.final and not self.alive(client_id)
            if lost and not peer.lost:
                # It may have worked on for a second after its last heartbeat.
                logger.error("sioload: %s", self.swarm.lost(client_id, peer.heard + 1.0))
            elif peer.lost and not lost:
                logger.warning("sioload: worker %s is back", client_id)
            peer.lost = lost
        headless = getattr(self.environment.parsed_options, "headless", False)
        lost_all = bool(self.peers) and all(peer.lost for peer in self.peers.values())
        if headless and lost_all and not self.awaited() and not self._quit:
            self._quit = True
            gevent.spawn(self.runner.quit)

    def _gather(self) -> Figures:
        """The merged figures. Once the test is over, whoever hasn't reported its end is lost."""
        if not self.judge.running:
            for client_id, peer in self.peers.items():
                if not peer.final:
                    self.swarm.lost(client_id, peer.heard + 1.0)
        return self.swarm.figures()
