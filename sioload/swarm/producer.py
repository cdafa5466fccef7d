"""What a process that runs users does: batches into Locust, the drain at the end, watching its own health."""

from __future__ import annotations

import gc
import inspect
import logging
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import Greenlet
from locust.runners import STATE_CLEANUP, STATE_SPAWNING, STATE_STOPPED, Runner

from sioload.client import manager
from sioload.measure.health import Windows, remedy
from sioload.measure.rooms import GRACE
from sioload.net.clock import stamp
from sioload.net.fleet import Fleet, fleet_of, runner_of
from sioload.net.turns import give_way
from sioload.plain import Json
from sioload.swarm import statistics
from sioload.swarm.cutter import Cutter
from sioload.swarm.drill import Cuts
from sioload.swarm.foreign import ForeignRequests
from sioload.swarm.lag import LagWatch
from sioload.swarm.options import DRAIN
from sioload.swarm.taps import RequestListeners
from sioload.swarm.tracing import Lines, Tracing
from sioload.swarm.usergroup import begin_anew, count_exceptions, take_over
from sioload.system import local_ports

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds that `on_stop` methods may take when a signal comes while users are being stopped.
SLOW_STOP: Final = 10.0
#: Batches after the last user was spawned until which users may still be connecting.
SETTLE: Final = 5
#: New objects after which Python's collector looks for garbage; by itself it does after 700. A user is some
#: hundred that stay, and what they let go of is freed at once.
YOUNG: Final = 5000
#: By what the users must have grown for those that are there to be kept from the collector once more.
GROWN: Final = 1.25
#: Seconds between two batches into Locust's statistics.
BATCH: Final = 1.0


class Producer:
    """The users' side of a run, in the only process or in a worker.

    Attributes:
        fleet: what the connections of this process share.
        drained: the users are gone and every emit has its outcome.
        cutter: cuts the figures at the boundaries of the run.
    """

    def __init__(
        self,
        environment: Environment,
        ended: Callable[[], None] = lambda: None,
        cut: Callable[[dict[str, Json]], None] = lambda cut: None,
        trace: Callable[[Lines], None] = lambda lines: None,
    ) -> None:
        """
        Args:
            environment: Locust's.
            ended: called when a test's drain is over, in a greenlet.
            cut: called with what was counted up to a boundary, in a greenlet.
            trace: called with what users that are followed said and heard, in a greenlet.
        """
        self.environment = environment
        self.fleet: Fleet = fleet_of(environment)
        self.drained = True
        self._cut = cut
        self.cutter = Cutter(self.fleet.recorder, self._renew, self._boundary)
        self._cuts = Cuts(self.fleet)
        self._ended = ended
        self._hurried = False
        self._end: _End | None = None
        self._stopper: Any = None
        if not is_compiled():
            logger.info(
                "sioload: running as plain Python: each emit costs half as much again as it does compiled "
                "(install a C compiler, then sioload again)"
            )
        self._foreign = ForeignRequests(environment, self.fleet.recorder)
        count_exceptions(environment, self.fleet.recorder)
        if environment.runner is not None:
            take_over(environment.runner, self.fleet)
        self._tap = RequestListeners(self.fleet, environment.events.request)
        self._tracing = Tracing(self.fleet, trace)
        self._warned = False
        self._settling = 0
        self._frozen = -1
        gevent.spawn(self._batches)
        self._lag = LagWatch(self.fleet, self._judge)

    def prepare(self, *, late: bool = False) -> None:
        """A test is about to start: what the script does by then counts. Waits for the end of the one before.

        Args:
            late: it has started already, and its users count from when they began.
        """
        self._await_last()
        self._thaw()
        if late:
            self._foreign.count_early()
        else:
            self.forget()
            self.fleet.recorder.population.reset()
        self._hurried = self.drained = False
        self._end = self._stopper = None
        self.fleet.reopen()

    def begin(self) -> None:
        """A test starts: its users are to come."""
        # Now: once users run, they would be held up for as long as it takes. Locust asks for its stack when
        # it stops a run, and the first to ask in a process waits until all modules' files are looked up.
        gc.collect()
        inspect.stack()
        collect_less()
        self.cutter.begin()
        grace = getattr(self.environment.parsed_options, "sio_grace", GRACE)
        self.fleet.recorder.audience.begin(grace, stamp())
        self._warned, self._settling = False, 0
        self.fleet.recorder.health.begin()
        self._tap.look()
        self._tracing.begin(self.environment.parsed_options)
        self.fleet.patience = getattr(self.environment.parsed_options, "sio_drain", DRAIN)

    def forget(self) -> None:
        """Forget everything counted; emits that are open now count again, with their outcome to come."""
        self.fleet.recorder.reset()
        self.fleet.recorder.audience.reset(stamp())
        self.cutter.forget()

    def stopping(self) -> None:
        """The users are about to be stopped; how busy stopping them keeps this process doesn't count."""
        self._settling = 0
        self.cutter.end()
        self.fleet.recorder.audience.close(stamp())
        population = self.fleet.recorder.population
        if population.stopped is None:
            population.stopped = population.now
        if not self.fleet.ending:
            for _ in self.fleet.recorder.delivery.survey(time.monotonic()):
                pass  # now, while all users are there
        self.fleet.recorder.health.end(time.monotonic(), self.fleet.recorder.window_p50())
        self.fleet.end()
        runner, current = runner_of(self.environment), gevent.getcurrent()
        self._stopper = current
        # One that is killed by that itself: of a user, or that which spawns them and says that all are there.
        if current in runner.user_greenlets or current is runner.spawning_greenlet:  # type: ignore[operator]
            self._stopper = gevent.spawn(finish_stop, runner, current, _called_by(type(runner).quit))

    def end(self) -> None:
        """Users and listeners are done: begin to drain, so that every emit has its outcome. Repeatable.

        It returns at once: the greenlet that asked for the end may be one that is being killed.
        """
        if self._end is None and not self.drained:
            self._end = _End(self._finish)
            runner_of(self.environment).greenlet.start(self._end)  # Locust waits for these before it goes on

    @property
    def ending(self) -> bool:
        """Users and listeners are done: the drain goes on, or is over."""
        return self._end is not None or self.drained

    def await_end(self) -> None:
        """Wait until the drain that was begun is over."""
        if self._end is not None:
            self._end.join()

    def _await_last(self) -> None:
        """Wait for the end of the test before. Meanwhile a stop must find a test: Locust has none as yet."""
        while self._stops_elsewhere():
            gevent.sleep(0.02)
        if self._end is not None and not self._end.ready():
            runner = runner_of(self.environment)
            before = runner.state
            runner.update_state(STATE_SPAWNING)
            try:
                self.await_end()
            finally:
                runner.update_state(before)

    def stop(self, patience: float) -> None:
        """Stop users, or wait while another greenlet does so; wait for listeners and for the drain.

        Args:
            patience: seconds after which users that are being stopped already are interrupted.
        """
        self.fleet.enders.add(gevent.getcurrent())
        runner, until = runner_of(self.environment), time.monotonic() + patience
        while self._stops_elsewhere() and not self._hurried:
            if time.monotonic() > until:
                until = math.inf
                interrupt_users(runner)
            gevent.sleep(0.02)
        if runner.state != STATE_STOPPED:
            runner.stop()
        self.end()
        self.await_end()

    def _stops_elsewhere(self) -> bool:
        """Whether another greenlet stops the users, or is still with the listeners of `test_stop`."""
        stopper = self._stopper
        return not self.ending and stopper not in (None, gevent.getcurrent()) and not stopper.dead

    def _finish(self) -> None:
        limit = getattr(self.environment.parsed_options, "sio_drain", DRAIN)
        if not self._hurried:  # a user whose task ended the run may be in its `on_stop` still
            runner_of(self.environment).user_greenlets.join(timeout=limit)
        self.fleet.drain(0.0 if self._hurried else limit)
        self._tap.finish()
        self._tracing.finish()
        self.flush()
        self.drained = True
        self._ended()

    def hurry(self) -> None:
        """Cut the end short: interrupt slow `on_stop` methods and close without waiting for acks."""
        self._hurried = True
        interrupt_users(runner_of(self.environment))
        self.fleet.cut_short()
        self.fleet.drain(0.0)

    def flush(self) -> None:
        """Bring Locust's statistics up to date. Never blocks."""
        connections = self.fleet.recorder.connections
        connections.opening = max(0, len(self.fleet.members) - sum(connections.current.values()))
        statistics.log(self.environment.stats, self.fleet.recorder.take(stamp()))

    def ramped_up(self) -> None:
        """All users are spawned, or as many as a shape asked for just now.

        What lives now will live long: a collector that walks it again and again would be the lag it measures.
        So would garbage that waits for it: a shape that changes every second must not add to that each time.
        """
        users = len(runner_of(self.environment).user_greenlets)
        if users > GROWN * self._frozen:
            self._frozen = users
            gc.freeze()
        self._settling = SETTLE

    def _thaw(self) -> None:
        self._frozen = -1
        gc.unfreeze()

    def drill(self, orders: dict[str, Json] | None) -> None:
        """Hear of the marks of a drill, maybe again."""
        if orders is not None:
            self._cuts.know(orders)

    def _renew(self) -> None:
        """A level of a search begins or ends: what is owed is counted in what is cut now."""
        recorder = self.fleet.recorder
        recorder.population.connected = begin_anew(runner_of(self.environment).user_greenlets)
        recorder.health.divide(time.monotonic(), recorder.window_p50())

    def _boundary(self, cut: dict[str, Json]) -> None:
        """What was counted up to a boundary; the number of users may change from there on, or be cut off."""
        self._cuts.at(cut["mark"])
        recorder = self.fleet.recorder
        if cut["mark"] in self.cutter.fresh:
            recorder.health.totals.part = Windows()
            if cut["mark"] not in self.cutter.ramps:  # settled
                self._settling = 0
                recorder.health.ramped(time.monotonic(), recorder.window_p50())
        if cut["mark"] in self.cutter.ramps:
            self._thaw()  # users may leave
            recorder.health.ramp(time.monotonic(), recorder.window_p50())
            self._settling = SETTLE
        self._cut(cut)

    def _batches(self) -> None:
        while True:
            opened = self.fleet.recorder.connections.opened
            # At whole seconds of the swarm's clock, where blocks of time begin in all processes.
            gevent.sleep(1.5 * BATCH - (stamp() + BATCH / 2) % BATCH)
            self._tap.look()
            self.flush()
            recorder = self.fleet.recorder
            for _ in recorder.audience.advance(stamp()):
                give_way()
            if not self.fleet.ending:
                for _ in recorder.delivery.survey(time.monotonic()):
                    give_way()
            recorder.health.left(descriptors_left(), ports_left(len(self.fleet.members)))
            if self._settling and not self.cutter.changing():
                # Users that were spawned still connect. When no more do, the ramp-up is over.
                self._settling -= 1
                if recorder.connections.opened == opened or not self._settling:
                    self._settling = 0
                    recorder.health.ramped(time.monotonic(), recorder.window_p50())

    def _judge(self, now: float) -> None:
        recorder = self.fleet.recorder
        window = recorder.health.close(now, recorder.window_p50())
        searching = recorder.health.totals.part is not None  # each level tells it
        if window is not None and window.limited and not self._warned and not searching:
            self._warned = True
            logger.warning(
                "sioload: this process is the bottleneck now (%.0f %% of a core, own lag p99 %.1f ms): "
                "times measured meanwhile are too long. %s",
                window.cpu * 100, window.own_p99 * 1000, remedy(window.cpu, window.machine_p99),
            )  # fmt: skip


class _End(Greenlet):  # type: ignore[type-arg]
    """The end of a test. It belongs to Locust's runner, which kills what it has, and waits for it."""

    def kill(self, *args: Any, **kwargs: Any) -> None:
        """It is bounded, and nothing is lost by waiting for it."""


def _called_by(function: Any) -> bool:
    """Whether a call of `function` is under way in this greenlet."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame.f_code is function.__code__


def finish_stop(runner: Runner, greenlet: Any, quits: bool) -> None:
    """A user's task, or a listener in the greenlet that spawns users, stops the run. Locust ends that too,
    which may break its stop off: go on with it.

    Args:
        runner: Locust's.
        greenlet: the user's, or that.
        quits: it called `quit()`, not `stop()`.
    """
    greenlet.join()
    if runner.state == STATE_CLEANUP:
        runner.stop()
    if quits and len(runner.greenlet):
        runner.quit()


def collect_less(after: int = YOUNG) -> None:
    """Let the collector look less often, unless the script wants even less of it, or no collector at all.

    Args:
        after: so many new objects.
    """
    young, *older = gc.get_threshold()
    if 0 < young < after:
        gc.set_threshold(after, *older)


def is_compiled() -> bool:
    """Whether setup.py had a C compiler."""
    return not (manager.__file__ or "").endswith(".py")


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
    ports = local_ports()
    return None if ports is None else max(0, ports - used)
