"""The only process of a run without workers: its users and its judge in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from locust.runners import STATE_RUNNING, STATE_SPAWNING

from sioload.net.clock import stamp
from sioload.net.fleet import runner_of
from sioload.plain import Json
from sioload.report.figures import Figures
from sioload.report.merge import Swarm
from sioload.swarm.guard import Guard
from sioload.swarm.judge import Judge
from sioload.swarm.lending import LocalDesk
from sioload.swarm.producer import SLOW_STOP, Producer
from sioload.swarm.tracing import TraceFile

if TYPE_CHECKING:
    from locust.env import Environment


class Local:
    """Runs the users, drains at the end, and judges."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.trace = TraceFile(environment.parsed_options, lambda text: self.judge.internal_error(text))
        self.producer = Producer(environment, cut=self._cut, trace=self.trace.write)
        self.desk = LocalDesk()
        self.judge = Judge(environment, Swarm(), self._gather, self.desk.stock.report, self._mark)
        guard = self.guard = Guard(environment, self.judge.internal_error)
        guard.first("test_start", self.on_test_starting)
        guard.listen("test_start", self.on_test_start)
        guard.first("test_stopping", self.on_test_stopping)
        guard.last("test_stop", self.on_test_stop)
        guard.listen("spawning_complete", self.on_spawning_complete)
        guard.listen("reset_stats", self.on_reset)
        guard.last("quitting", self.on_quitting)
        self.judge.listen(guard)
        if runner_of(environment).state in (STATE_SPAWNING, STATE_RUNNING):  # a program's own
            guard.safe(self.producer.prepare)(late=True)
            guard.safe(self.on_test_start)()

    def on_test_starting(self, **_: object) -> None:
        """Before listeners of the script: the requests that they make count."""
        self.producer.prepare()
        # Locust forgot the test before when what was left of it hadn't come in yet.
        self.environment.stats.clear_all()
        runner_of(self.environment).exceptions = {}
        self.judge.forget()

    def on_test_start(self, **_: object) -> None:
        self.guard.rearrange()
        self.producer.begin()
        self.desk.stock.begin()
        self.judge.begin()
        self.trace.begin()

    def on_test_stopping(self, **_: object) -> None:
        self.guard.rearrange()
        self.producer.stopping()
        self.judge.end()

    def on_test_stop(self, **_: object) -> None:
        self.producer.end()

    def on_spawning_complete(self, **_: object) -> None:
        self.producer.ramped_up()
        if self.environment.reset_stats:
            self.on_reset()

    def on_reset(self, **_: object) -> None:
        self.producer.forget()
        self.judge.forget()

    def on_quitting(self, **_: object) -> None:
        """A signal may have ended the run: Locust stops users after `quitting` only.

        Registered last, it runs first.
        """
        self.guard.claim_quit()
        self.producer.stop(SLOW_STOP)

    @property
    def settled(self) -> bool:
        """No test goes on, and the figures of the last one are final."""
        return not self.judge.running and self.producer.drained

    def hurry(self) -> None:
        self.producer.hurry()

    def _mark(self) -> None:
        course = self.judge.timeline.course
        self.producer.cutter.know(self.judge.swarm.windows.marks, course.ramps, course.fresh)
        self.producer.drill(self.judge.orders)

    def _cut(self, cut: dict[str, Json]) -> None:
        self.producer.cutter.marks.confirmed([cut["mark"]])
        self.judge.swarm.take_cut("local", self.producer.fleet.recorder.epoch, cut)

    def _gather(self) -> Figures:
        self.producer.flush()
        recorder, swarm = self.producer.fleet.recorder, self.judge.swarm
        told = recorder.audience.report(stamp())
        next = swarm.audiences.take("local", recorder.epoch, told, going=self.judge.running)
        recorder.audience.confirmed(next, swarm.audiences.shift)
        return swarm.take_local(recorder)
