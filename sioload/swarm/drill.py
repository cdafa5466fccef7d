"""A drill: something is done to the server while users are there, and what becomes of them is watched."""

from __future__ import annotations

import codecs
import io
import logging
import math
import os
import random
import shlex
import signal
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

import gevent
from locust.runners import WorkerRunner

from sioload.client.manager import Manager, Phase
from sioload.load.phases import UNPHASED
from sioload.net.clock import stamp
from sioload.net.fleet import Fleet
from sioload.plain import Json
from sioload.report.drill import BEFORE, VARIABLE, Asked, Mark
from sioload.session.dropping import drop
from sioload.swarm.timeline import Run, Timeline, goes_on

if TYPE_CHECKING:
    from locust.env import Environment

#: Seconds after the last user was spawned for which those without a session are waited for, and for more.
PATIENCE: Final = 60.0
#: Seconds between two looks at them, and by which marks are announced ahead.
LOOK: Final = 0.25
AHEAD: Final = 1.0
#: Seconds that a command may take to end once it is told to.
GRACE: Final = 2.0
#: What is kept of a command's output, in characters.
OUTPUT: Final = 4000

logger = logging.getLogger("sioload.drill")


class Drill:
    """What is done in a run, and when.

    Attributes:
        asked: what was asked for.
        marks: when it is done; known once all users have had a session.
        given_up: none of them had one, so nothing is done.
    """

    def __init__(self, environment: Environment, asked: Asked) -> None:
        self.asked = asked
        self.marks: list[Mark] = []
        self.given_up = False
        self._environment = environment
        self._commands: list[Command] = []

    def orders(self) -> dict[str, Json]:
        """What the processes that run users must know."""
        marks = [[mark.at, mark.until] for mark in self.marks]
        return {"marks": marks, "cut": self.asked.cut, "silent": self.asked.silent}

    def _boundaries(self) -> list[float]:
        return sorted({at for mark in self.marks for at in mark.boundaries})

    def forget(self, timeline: Timeline) -> None:
        """All that was counted is forgotten, but what is still to be done will be told."""
        if any(mark.at < timeline.course.started for mark in self.marks):
            logger.warning(
                "sioload: drill: statistics were reset: the report tells of what is done from now on"
            )
        if self.marks:
            timeline.mark(self._boundaries())

    def run(self, run: Run) -> None:
        """Do it, and end the run."""
        if not self._all_in(run):
            return
        start = stamp()
        times = sorted(start + at for at in self.asked.at)
        ends = [*times[1:], math.inf]
        self.marks = [
            Mark(max(at - BEFORE, start + AHEAD), at, min(at + self.asked.watch, end))
            for at, end in zip(times, ends, strict=True)
        ]
        run.timeline.mark(self._boundaries())
        for mark in self.marks:
            if not goes_on(run, mark.at):
                return
            self._begin(mark)
        if goes_on(run, self.marks[-1].until + LOOK):
            gevent.spawn(self._environment.runner.quit)  # type: ignore[union-attr]

    def _all_in(self, run: Run) -> bool:
        """Wait until all users that are to have a session, and live, have had one; False if the run ends
        before."""
        runner = self._environment.runner
        kinds = self._environment.user_classes
        others = {kind.__name__ for kind in kinds if not hasattr(kind, "parsed_options")}
        patience = PATIENCE + 1 / (getattr(self._environment.parsed_options, "spawn_rate", None) or 1.0)
        begun, late = -1, math.inf
        while run.running and runner is not None:
            figures, users = run.figures(), runner.target_user_count
            made, living = figures.connections, figures.population
            if max(runner.user_count, living.begun) >= users > 0:  # some may have ended already
                connected = sum(made.current.values())
                beside = [counts for name, counts in living.classes.items() if name in others]
                ours = users - sum(counts.begun for counts in beside)
                now = living.now - sum(counts.now for counts in beside)
                if connected >= ours or made.opened >= ours or connected >= now > 0:
                    return True
            if living.begun > begun:
                begun, late = living.begun, stamp() + patience
            if stamp() > late:
                if not made.opened:
                    logger.error("sioload: drill: no user has had a session: nothing is done to the server")
                    self.given_up = True
                    gevent.spawn(runner.quit)
                    return False
                logger.warning("sioload: not all of the %d users have had a session; drilling anyway", users)
                return True
            gevent.sleep(LOOK)
        return False

    def _begin(self, mark: Mark) -> None:
        if self.asked.command:
            logger.warning("sioload: drill: running %s", shlex.join(self.asked.command))
            self._commands.append(Command(self.asked.command, mark))
        else:
            how = " silently" if self.asked.silent else ""
            logger.warning("sioload: drill: cutting %.0f %% of the connections%s", 100 * self.asked.cut, how)

    def end(self) -> None:
        """The run is over, and so are the commands."""
        for command in self._commands:
            command.end()


class Command:
    """A command that runs, with all processes that it starts in its group."""

    def __init__(self, argv: Sequence[str], mark: Mark) -> None:
        self._mark = mark
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None
        ours = (VARIABLE, UNPHASED)  # it may be a load test
        env = {name: text for name, text in os.environ.items() if name not in ours}
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, env=env,
            )  # fmt: skip
        except OSError as error:
            mark.exit_code, mark.output = 127, f"can't run {argv[0]}: {error.strerror}"
            logger.error("sioload: drill: %s", mark.output)  # noqa: TRY400
            return
        gevent.spawn(self._read)
        gevent.spawn(self._wait)

    def _read(self) -> None:
        assert self._process is not None
        out = cast("io.BufferedReader", self._process.stdout)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces
        while data := out.read1(65536):
            self._mark.output = (self._mark.output + decoder.decode(data))[-OUTPUT:]

    def _wait(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        if not self._ended:
            self._mark.exit_code = code
            if code:
                logger.error("sioload: drill: the command ended with exit code %d", code)

    def end(self) -> None:
        """End it, and what it has started and left behind."""
        if self._process is None:
            return
        self._ended = self._process.poll() is None
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return
            except PermissionError as error:  # sudo, say
                logger.warning("sioload: drill: can't end what the command started: %s", error.strerror)
                return
            until = stamp() + GRACE
            while stamp() < until and (self._process.poll() is None or _lives(self._process.pid)):
                gevent.sleep(0.02)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def take_drill(environment: Environment) -> Drill | None:
    """The drill that this run is, if it is one."""
    text = os.environ.get(VARIABLE)
    return None if text is None else Drill(environment, Asked.of(text))


def take_users(environment: Environment) -> None:
    """A drill says how many users there are and when it ends: the locustfile's shape, and the run time of a
    project's locust.conf, make way."""
    given, options = environment.shape_class, environment.parsed_options
    if VARIABLE not in os.environ or options is None or isinstance(environment.runner, WorkerRunner):
        return
    options.run_time = None
    if given is not None:
        print(f"sioload: drill wins over the shape {type(given).__name__} of the locustfile")
        environment.shape_class = None


class Cuts:
    """Cuts this process's share of the connections when the time has come.

    Of many processes with few connections each, some round their share up and others down, by their place
    among all, from 0 to 1: what they cut together is the share of all.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._share = 0.0
        self._place = 0.5
        self._silent = False
        self._times: set[float] = set()

    def know(self, orders: dict[str, Json]) -> None:
        """Hear of the marks of a drill, maybe again."""
        outages = self._fleet.recorder.outages
        for at, until in orders["marks"]:
            if outages.watch(at, until) and orders["cut"]:
                self._times.add(at)
        self._share, self._silent = orders["cut"], orders["silent"]
        self._place = orders.get("place", 0.5)
        if self._silent:
            self._fleet.orphans.noticed = self._noticed

    def _noticed(self, seconds: float) -> None:
        self._fleet.recorder.outages.noticed(stamp(), seconds)

    def at(self, mark: float) -> None:
        """A boundary of the run has come."""
        if mark not in self._times:
            return
        self._times.discard(mark)
        up = [m for m in self._fleet.members if isinstance(m, Manager) and m.phase is Phase.UP]
        chosen = random.sample(up, min(len(up), math.floor(self._share * len(up) + self._place)))
        self._fleet.later(self._cut, chosen)

    def _cut(self, chosen: Sequence[Manager]) -> None:
        """In the hub, at once."""
        outages = self._fleet.recorder.outages
        outages.cutting = True
        try:
            for manager in chosen:
                connection = manager.connection
                if connection is not None:
                    drop(self._fleet, connection, self._silent)
        finally:
            outages.cutting = False
