"""The workers' clocks against the master's, so that a push stamped in one process can be timed in another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import gevent
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from sioload.measure.clock import ClockOffset
from sioload.measure.recorder import Recorder
from sioload.net.clock import shift, unshifted
from sioload.swarm.guard import Guard
from sioload.swarm.messages import CLOCK, UNSENT

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds between questions: a few at once, since the fastest of them bounds the error, then now and then.
PAUSES = (0.05,) * 10 + (1.0,) * 10
PAUSE = 5.0


def answer(runner: MasterRunner, guard: Guard) -> None:
    """Answer every worker that asks for the time."""

    def on_question(environment: Environment, msg: Message) -> None:
        asked = unshifted()
        times = {"t0": msg.data["t0"], "t1": asked, "t2": unshifted()}
        runner.send_message(CLOCK, times, client_id=msg.node_id)

    runner.register_message(CLOCK, guard.safe(on_question))


class Clock:
    """Asks the master for its time as long as this worker lives, and sets this process's clock by it."""

    def __init__(self, runner: WorkerRunner, recorder: Recorder, guard: Guard) -> None:
        self._runner = runner
        self._recorder = recorder
        self._offset = ClockOffset()
        runner.register_message(CLOCK, guard.safe(self._on_answer))
        self._ask()  # now: the answer comes before what the master says to this worker's first report
        gevent.spawn(self._go_on)

    def update(self) -> None:
        """Bring offset and error bound up to now; the bound grows while no answer comes."""
        estimate = self._offset.estimate(unshifted())
        if estimate is not None:
            offset, self._recorder.clock_error = estimate
            shift(offset)

    def _on_answer(self, environment: Environment, msg: Message) -> None:
        times = msg.data
        self._offset.feed(times["t0"], times["t1"], times["t2"], unshifted())
        self.update()

    def _ask(self) -> None:
        try:
            self._runner.send_message(CLOCK, {"t0": unshifted()})
        except UNSENT as error:
            logger.debug("sioload: can't ask the master for its time: %s", error)

    def _go_on(self) -> None:
        pauses = iter(PAUSES)
        while True:
            gevent.sleep(next(pauses, PAUSE))
            self._ask()
