"""The workers of a running test: who takes part, who is alive, and whose last report may still come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from locust.runners import STATE_INIT, STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner

#: Seconds without a sign of life after which a worker's last report isn't waited for.
PATIENCE: Final = 10.0


@dataclass(slots=True)
class WorkerState:
    """What the master knows of one worker in the running test.

    Attributes:
        heard: when its newest sign of life came (monotonic seconds).
        until: when its last report is given up, once it was asked for.
        seq: number of its newest report; -1 before the first.
        final: it stopped, drained, and reported all.
        lost: it is gone without that, and this was said.
        unread: its reports can't be read, and this was said.
    """

    heard: float
    seq: int = -1
    final: bool = False
    lost: bool = False
    unread: bool = False
    until: float = 0.0


class Roster:
    """Who takes part.

    Attributes:
        peers: the workers, by their ids.
    """

    def __init__(self, runner: MasterRunner) -> None:
        self.peers: dict[str, WorkerState] = {}
        self._runner = runner

    def begin(self) -> None:
        """A test starts: those take part that Locust sends users to."""
        now, clients = time.monotonic(), self._runner.clients
        taken = (*clients.ready, *clients.spawning, *clients.running)
        self.peers = {client.id: WorkerState(now) for client in taken}

    def forget(self) -> None:
        """Everything measured is forgotten: what was reported, and those that are gone."""
        self.peers = {id: peer for id, peer in self.peers.items() if self.alive(id) or not peer.final}
        for peer in self.peers.values():
            peer.seq, peer.final = -1, False

    def alive(self, client_id: str) -> bool:
        """Whether a worker lives, as far as Locust knows.

        One that it told to stop it forgets until that is ready again, which is `--stop-timeout` later.
        """
        client = self._runner.clients.get(client_id)
        if client is None:
            peer = self.peers.get(client_id)
            return peer is not None and not peer.final and peer.heard > time.monotonic() - PATIENCE
        return bool(client.state != STATE_MISSING)

    def at_work(self, client_id: str) -> bool:
        """Whether it has users, or is about to."""
        return self._runner.clients[client_id].state in (STATE_SPAWNING, STATE_RUNNING)

    @property
    def living(self) -> list[str]:
        """All workers that are alive, whether they take part or not."""
        return [id for id in self._runner.clients if self.alive(id)]

    def awaited(self) -> list[str]:
        """The workers whose last report may still come.

        Locust takes a worker for missing after three seconds of silence, which a busy machine can cause too.
        """
        since = time.monotonic() - PATIENCE
        return [
            id for id, peer in self.peers.items() if not peer.final and (self.alive(id) or peer.heard > since)
        ]

    def waited_for(self) -> list[str]:
        """Those of them that were not given up yet."""
        now = time.monotonic()
        return [id for id in self.awaited() if now < self.peers[id].until]

    def returning(self) -> bool:
        """Whether a worker that has reported its end isn't ready for another test yet.

        Locust lets it wait for as long as users had to stop.
        """
        clients = self._runner.clients
        since = time.monotonic() - PATIENCE - self._runner.environment.stop_timeout
        return any(
            peer.final and peer.heard > since and (id not in clients or clients[id].state != STATE_INIT)
            for id, peer in self.peers.items()
        )

    @property
    def all_lost(self) -> bool:
        """Whether workers took part, and all are gone."""
        return bool(self.peers) and all(peer.lost for peer in self.peers.values())

    @property
    def reports(self) -> dict[str, int]:
        """Number of the newest report of each worker that takes part and is alive."""
        return {id: peer.seq for id, peer in self.peers.items() if self.alive(id)}
