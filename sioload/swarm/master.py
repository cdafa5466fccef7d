"""The master's part: merging what workers report, waiting for the last of it, noticing lost workers."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.rpc import Message
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner

from sioload.errors import in_words
from sioload.net.turns import give_way
from sioload.plain import Json
from sioload.report.figures import Figures
from sioload.report.merge import Swarm
from sioload.swarm import clocks, statistics
from sioload.swarm.guard import Guard
from sioload.swarm.judge import Judge
from sioload.swarm.lending import MasterDesk
from sioload.swarm.messages import CUTS, HEARD, HURRY, MARKS, OURS, RESET, SNAPSHOT, STOP, STOPPED, TEST
from sioload.swarm.options import DRAIN
from sioload.swarm.own import OwnRequests
from sioload.swarm.producer import collect_less
from sioload.swarm.roster import Roster, WorkerState
from sioload.swarm.tracing import collect

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds that the last reports may take beyond what draining may, and in all if someone is in a hurry.
GRACE, HASTE = 10.0, 5.0
#: New objects after which the collector looks: a worker's report is some thousand, all freed with the next.
YOUNG: Final = 50_000
#: Seconds until a worker that hasn't answered is asked again: it may have joined just then.
AGAIN: Final = 1.0


class Master:
    """Merges the workers' figures and ends the run when all of them are in."""

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        self.environment = environment
        self.runner = runner
        self.swarm = Swarm()
        self.own = OwnRequests(environment, self.swarm)
        self.judge = Judge(
            environment, self.swarm, self._gather, lambda since: self.desk.stock.report(since), self._mark
        )
        self.test = 0
        self.roster = Roster(runner)
        self._asked = self._starting = False
        self._stopper: Any = None
        self._deferred: list[tuple[str, Message]] = []
        self._quit = self._hurried = False
        guard = self.guard = Guard(environment, self.judge.internal_error)
        self.desk = MasterDesk(runner, guard)
        statistics.merge_quickly(environment.events, environment.stats)
        guard.first("worker_report", self.on_report)
        guard.listen("heartbeat_sent", self.on_heartbeat)
        guard.first("test_start", self.on_test_starting)
        guard.listen("test_start", self.on_test_start)
        guard.listen("test_stopping", self.on_test_stopping)
        guard.last("test_stop", self.on_test_stop)
        guard.listen("spawning_complete", self.on_spawning_complete)
        guard.listen("reset_stats", self.on_reset)
        guard.last("quitting", self.on_quitting)
        self.judge.listen(guard)
        runner.register_message(STOPPED, guard.safe(self.on_stopped))
        clocks.answer(runner, guard)
        self.trace = collect(runner, guard, environment.parsed_options, self.judge.internal_error)
        guard.every(1.0, self._look)
        if runner.state in (STATE_SPAWNING, STATE_RUNNING):
            guard.safe(self.on_test_starting)()
            guard.safe(self.on_test_start)()

    def on_test_starting(self, **_: object) -> None:
        """Before listeners of the script: the requests that they make count. Waits for the test before."""
        waited = False
        while (self._stopper is not None and not self._stopper.dead) or (waited and self.roster.returning()):
            waited = True
            self._listen(0.02)
        if waited:  # Locust forgot the test before when what was left of it hadn't come in yet
            self.runner.stats.clear_all()
            self.runner.exceptions = {}
        self._starting = True
        self._next_test()
        self.own.forget()
        self.judge.forget()

    def on_test_start(self, **_: object) -> None:
        self._starting = self._hurried = False
        self.guard.rearrange()
        collect_less(YOUNG)
        self.desk.stock.begin()
        self._asked = False
        self.roster.begin()
        self.own.begin()
        self.judge.begin(len(self.roster.peers))
        self.trace.begin()

    def _next_test(self, *, reset: bool = False) -> None:
        """A program's own run has no options by which a number reaches workers: of resets alone they hear."""
        if self.environment.parsed_options is not None:
            self.test += 1
            setattr(self.environment.parsed_options, TEST, self.test)
        elif reset:
            self.test += 1

    def _join(self, client_id: str) -> WorkerState:
        peer = self.roster.peers[client_id] = WorkerState(time.monotonic())
        if self._asked:  # others were asked for their last reports before
            peer.until = peer.heard + self._patience
        self.judge.joined(len(self.roster.peers))
        return peer

    def on_heartbeat(self, client_id: str, **_: object) -> None:
        if client_id in self.roster.peers:
            self.roster.peers[client_id].heard = time.monotonic()
        elif self.judge.running and self.roster.at_work(client_id):
            self._join(client_id)  # its first report is on its way
        give_way()  # while messages wait, who receives them lets nobody else run, pages not either

    def on_report(self, client_id: str, data: dict[str, Json], **_: object) -> None:
        """Runs before Locust's own listener, and decides with it what of a report counts."""
        part, peer = data.get(SNAPSHOT), self.roster.peers.get(client_id)
        data.setdefault("user_classes_count", {})  # of a worker that is told to quit while it starts
        if part is None:
            if peer is not None and not peer.final and data.get("user_count"):
                peer.final = True  # it won't answer
                text = f"worker {client_id} has users and no sioload: its locustfile doesn't import it"
                logger.error("sioload: %s", text)
                self.judge.internal_error(text)
            return
        snapshot = part["snapshot"]
        if peer is None and client_id not in self.runner.clients:
            statistics.discard(data)
            if part["stopping"]:
                _send_away(self.runner, client_id)
            return
        if peer is None and part["test"] == self.test and not part["final"]:
            peer = self._join(client_id)  # it came late, or is back
        if part["test"] != self.test and not part["final"]:
            self._send(RESET, client_id)  # it began, or was back, just when everything was forgotten
        if peer is None or part["test"] != self.test or snapshot["seq"] <= peer.seq:
            statistics.discard(data)
            return
        peer.seq, peer.final, peer.heard = snapshot["seq"], part["final"], time.monotonic()
        if part["stopping"]:
            peer.until = peer.heard + self._patience
        admit = self.judge.names.admit
        for row in snapshot["rows"]:
            row["name"] = admit(row["type"], row["name"])
        statistics.fold(data, admit)
        cuts = part.get("cuts", [])  # of another version there are none
        try:
            for cut in cuts:
                for row in (cut["snapshot"] or {"rows": []})["rows"]:
                    row["name"] = admit(row["type"], row["name"])
                self.swarm.take_cut(client_id, snapshot["epoch"], cut)
            self.swarm.take(client_id, snapshot, peer.heard)
        except (TypeError, LookupError, ValueError) as error:
            statistics.discard(data)
            if not peer.unread:
                peer.unread = True
                text = f"reports of worker {client_id} can't be read ({in_words(error)})"
                text += ": it has another version of sioload than the master. Install the same on both"
                logger.error("sioload: %s", text)  # noqa: TRY400 - no fault of ours
                self.judge.internal_error(text)
            return
        blocks = part.get("blocks")
        if blocks is not None:
            blocks["rows"] = [[type, admit(type, name), text] for type, name, text in blocks["rows"]]
            self.swarm.take_blocks(client_id, snapshot["epoch"], blocks)
        if (told := part.pop("audience", None)) is not None:  # Locust keeps its newest message until the next
            self._hear(client_id, snapshot["epoch"], told)
        if cuts:
            self._send(CUTS, client_id, marks=[cut["mark"] for cut in cuts])
        if part.get("marks", 0) < len(self.swarm.windows.marks) and not part["final"]:
            self._tell_marks(client_id)

    def _hear(self, client_id: str, epoch: str, told: dict[str, Any]) -> None:
        """Take what a worker tells of its audience."""
        audiences = self.swarm.audiences
        next = audiences.take(client_id, epoch, told, going=self.judge.running)
        if told["batches"] or told["shift"] < audiences.shift:
            self._send(HEARD, client_id, epoch=epoch, next=next, shift=audiences.shift)

    def on_stopped(self, environment: Environment, msg: Message) -> None:
        """All that a worker had to report of this test is in."""
        peer = self.roster.peers.get(msg.node_id)
        if peer is None or msg.data["test"] != self.test:
            return
        peer.final = True
        if peer.seq < 0:  # it never got users
            del self.roster.peers[msg.node_id]
            self.judge.joined(len(self.roster.peers))

    def on_reset(self, **_: object) -> None:
        """Reports that are on their way hold what was forgotten: the number of the test tells them apart."""
        self._next_test(reset=True)
        self.own.forget()
        self.judge.forget()
        self.roster.forget()
        for client_id in self.roster.living:
            self._send(RESET, client_id)

    def _send(self, kind: str, client_id: str, **more: Any) -> None:
        self.runner.send_message(kind, {"test": self.test, **more}, client_id=client_id)

    def _mark(self) -> None:
        """There are more boundaries. Workers that join later hear of them after their first report."""
        self.own.know(self.swarm.windows.marks)
        for client_id in self.roster.living:
            self._tell_marks(client_id)

    def _tell_marks(self, client_id: str) -> None:
        course = self.judge.timeline.course
        marks, fresh, orders = self.swarm.windows.marks, list(course.fresh), self.judge.orders
        if orders is not None:
            ids = sorted({*self.roster.living, client_id})
            orders["place"] = (ids.index(client_id) + 0.5) / len(ids)
        self._send(MARKS, client_id, marks=marks, ramps=course.ramps, fresh=fresh, drill=orders)

    def on_spawning_complete(self, **_: object) -> None:
        if self.environment.reset_stats and self.judge.running:
            self.on_reset()

    def on_test_stopping(self, **_: object) -> None:
        """Locust goes on dispatching users while it stops, if it hasn't reached their number yet."""
        self.guard.rearrange()
        dispatcher = self.runner._users_dispatcher
        if dispatcher is not None:
            dispatcher._target_user_count = dispatcher._current_user_count
        self._stopper = gevent.getcurrent()
        self.own.end()
        self.judge.end()

    def on_test_stop(self, **_: object) -> None:
        try:
            self.gather()
        finally:
            self._stopper = None

    def on_quitting(self, **_: object) -> None:
        """A signal ended the run. Registered last, it runs first: Locust still listens to workers."""
        self.guard.claim_quit()
        self.runner.stop(send_stop_to_client=False)
        self.gather()

    @property
    def _patience(self) -> float:
        """Seconds that a worker's drain and last report may take from its last user's end."""
        if self._hurried:
            return HASTE
        return float(getattr(self.environment.parsed_options, "sio_drain", DRAIN)) + GRACE

    @property
    def settled(self) -> bool:
        """No test goes on, and the figures of the last one are final."""
        return not (self._starting or self.judge.running or self.roster.awaited())

    @property
    def reports(self) -> dict[str, int]:
        """Number of the newest report of each worker that takes part and is alive."""
        return self.roster.reports

    def gather(self) -> None:
        """End the test on every worker and wait for all that they measured; bounded, and not for dead ones.

        Locust itself tells workers to quit and stops listening half a second later.
        """
        if not self._asked:
            for client_id in self.roster.living:
                if client_id not in self.roster.peers and self.roster.at_work(client_id):
                    self._join(client_id)  # it has got users, and said nothing since
            self._asked = True
            for peer in self.roster.peers.values():
                peer.until = time.monotonic() + self._patience
        ask = 0.0
        while waiting := self.roster.waited_for():
            if time.monotonic() >= ask:
                ask = time.monotonic() + AGAIN
                for client_id in waiting:
                    self._send(STOP, client_id)
            self._listen(0.02)
        for client_id in self.roster.awaited():
            logger.error("sioload: worker %s didn't report its end in time", client_id)
        while self._deferred:
            self.runner.handle_message(*self._deferred.pop(0))

    def hurry(self) -> None:
        """Have the workers end at once, and wait for the last reports a little only."""
        self._hurried = True
        for client_id in self.roster.awaited():
            self.roster.peers[client_id].until = time.monotonic() + HASTE
            self._send(HURRY, client_id)

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
            if message.type in self.runner.custom_messages and not message.type.startswith(OURS):
                self._deferred.append((client_id, message))
            else:
                self.runner.handle_message(client_id, message)

    def _look(self) -> None:
        """Say at once when a worker is lost, and when it comes back."""
        for client_id, peer in self.roster.peers.items():
            lost = not peer.final and not self.roster.alive(client_id)
            if lost and not peer.lost:
                # It may have worked on for a second after its last heartbeat.
                logger.error("sioload: %s", self.swarm.lost(client_id, peer.heard + 1.0))
            elif peer.lost and not lost:
                logger.warning("sioload: worker %s is back", client_id)
            peer.lost = lost
        headless = getattr(self.environment.parsed_options, "headless", False)
        if headless and self.roster.all_lost and not self.roster.awaited() and not self._quit:
            self._quit = True
            gevent.spawn(self.runner.quit)

    def _gather(self) -> Figures:
        """The merged figures. Once the test is over, whoever hasn't reported its end is lost."""
        self.own.gather(last=self.settled)
        if not self.judge.running:
            waited_for = self.roster.waited_for() if self._asked else self.roster.awaited()
            for client_id, peer in self.roster.peers.items():
                if not peer.final and client_id not in waited_for:
                    self.swarm.lost(client_id, peer.heard + 1.0)
        return self.swarm.figures()


def _send_away(runner: MasterRunner, client_id: str) -> None:
    """A worker has users whom this master didn't ask for: one that was killed did, and had this one's port.

    By itself it ends a minute after it has heard the last of its own.
    """
    logger.warning(
        "sioload: worker %s has users of another run than this master's: they don't count, and it is to quit",
        client_id,
    )
    runner.send_message("quit", client_id=client_id)
