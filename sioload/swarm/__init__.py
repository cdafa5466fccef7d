"""What a Locust run needs besides its users: options, the merge of workers, the drain, checks, exit codes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import locust
import locust.stats
from gevent.hub import get_hub
from locust.input_events import UnixKeyPoller
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner
from locust.util.load_locustfile import load_locustfile

from sioload.client.excerpt import place_of_error
from sioload.engineio.urls import host_url, parse_url
from sioload.errors import UsageError
from sioload.load.phases import Plan
from sioload.load.shapes import take_phases
from sioload.net.fleet import on_user, runner_of
from sioload.net.tls import check_files
from sioload.report.course import check_parts, check_sources
from sioload.report.drill import VARIABLE as DRILL
from sioload.swarm.capacity import take_capacity
from sioload.swarm.drill import take_users
from sioload.swarm.foreign import keep_early
from sioload.swarm.interrupts import Interrupts, leave_terminal
from sioload.swarm.local import Local
from sioload.swarm.master import Master
from sioload.swarm.options import add_options, checks_of
from sioload.swarm.outputs import CsvFiles, save_json
from sioload.swarm.processes import forked, refuse
from sioload.swarm.producer import raise_descriptor_limit
from sioload.swarm.single import Single
from sioload.swarm.statistics import replace_rounding
from sioload.swarm.worker import Worker, know_options
from sioload.users.feeds import check_places
from sioload.users.handlers import check_functions, check_label

if TYPE_CHECKING:
    from locust.env import Environment


def install() -> None:
    """Hook into Locust's events, once; `web.install` calls it."""
    replace_rounding()
    know_options()
    locust.stats.StatsCSVFileWriter = CsvFiles  # type: ignore[misc]
    locust.stats.save_stats_json = save_json
    events: Any = locust.events
    keep_early(events)
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser))
    events.init.add_listener(lambda environment, **_: _attach_interruptible(environment))
    on_user.append(_attach_missing)
    sys.excepthook = partial(_refuse_script, sys.excepthook)


def _refuse_script(
    otherwise: Any, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """What ends the process: of a locustfile's mistake that Locust's import of it met, one line is told.

    So is an interrupt of that import, and of whatever else Locust does before the run has its part here.
    """
    if _of_main(kind, traceback):
        print("sioload: interrupted before the run began", file=sys.stderr)
        return
    step = traceback
    while step is not None and step.tb_frame.f_code is not load_locustfile.__code__:
        step = step.tb_next
    if step is None or not isinstance(error, UsageError):
        otherwise(kind, error, traceback)
        return
    place = place_of_error(error.with_traceback(step), anywhere=False)
    print(f"sioload: {place}: {error}" if place else f"sioload: {error}", file=sys.stderr)
    raise SystemExit(2)


def _of_main(kind: type[BaseException], traceback: TracebackType | None) -> bool:
    """Whether that is an interrupt of Locust's command line."""
    step = traceback
    while step is not None and step.tb_frame.f_globals.get("__name__") != "locust.main":
        step = step.tb_next
    return step is not None and issubclass(kind, KeyboardInterrupt)


def _interrupted(
    part: Local | Worker | Master,
    otherwise: Any,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    """What ends the process: an interrupt while Locust can't end in order yet, as when it waits for workers.

    Those that have come are to quit too, or they would wait for a minute.
    """
    if not _of_main(kind, traceback):
        otherwise(kind, error, traceback)
        return
    begun = part.guard.quitting is not None
    print(f"sioload: interrupted{'' if begun else ' before the run began'}", file=sys.stderr)
    if isinstance(part, Master) and not begun:
        part.runner.quit()


def attach(environment: Environment) -> Local | Worker | Master | Single:
    """Make this process's part of a run, unless that was done; `environment` must have its runner by now.

    Locust's command line does so by itself, and the first user of a program that makes its own `Environment`.
    """
    part: Local | Worker | Master | Single | None = getattr(environment, "sioload_part", None)
    if part is not None:
        return part
    raise_descriptor_limit()
    runner = environment.runner
    if runner is None:
        part = Single(environment)
    elif isinstance(runner, WorkerRunner):
        part = Worker(environment, runner)
    elif isinstance(runner, MasterRunner):
        part = Master(environment, runner)
    else:
        part = Local(environment)
    environment.sioload_part = part  # type: ignore[attr-defined]
    return part


def _attach_missing(environment: Environment) -> None:
    if environment.runner is not None:  # else Locust still makes it, and tells of that
        attach(environment)


def _check_users(environment: Environment) -> None:
    """Refuse user classes whose options or host can't be used: one line and exit code 2, before any load."""
    for user_class in environment.user_classes:
        if not hasattr(user_class, "parsed_options"):
            continue
        with _refusing(f"{user_class.__name__}: "):
            check_label(user_class)
            check_places(user_class)
            check_functions(user_class)
            options = user_class.parsed_options()
            host: object = environment.host or user_class.host
            if host and not isinstance(host, property):  # which each user is asked for
                host_url(host)
            if options.handshake_url:
                parse_url(options.handshake_url)
            if not isinstance(environment.runner, MasterRunner):
                check_files(options)


@contextlib.contextmanager
def _refusing(what: str = "") -> Iterator[None]:
    """A mistake of who wrote the script or gave the options ends the process: one line, and exit code 2."""
    try:
        yield
    except UsageError as error:
        refuse(f"{what}{error}")


def _take_load(environment: Environment) -> None:
    search = take_capacity(environment)
    if search is not None:
        environment.sioload_capacity = search  # type: ignore[attr-defined]
        return
    take_users(environment)
    take_phases(environment)
    if not isinstance(environment.runner, WorkerRunner):
        plan = getattr(environment.shape_class, "plan", None)
        phases = plan.phases if isinstance(plan, Plan) else ()
        options = environment.parsed_options
        checks = checks_of(options)
        check_parts(checks, {each.name: each.seconds for each in phases})
        read = any(getattr(options, name, None) for name in ("sio_server", "sio_admin"))
        check_sources(checks, servers=read, drilled=DRILL in os.environ)


def _most_users(environment: Environment) -> int:
    """How many users the command line asks for, at most."""
    plan = getattr(environment.shape_class, "plan", None)
    if plan is not None and not plan.per_second:
        most: int = max(round(max(phase.begin, phase.end)) for phase in plan.phases)
        return most
    users: int | None = getattr(environment.parsed_options, "num_users", None)
    return users or 0


def _quits(part: Local | Worker | Master | Single) -> bool:
    return part.guard.quitting is not None


def _ends(part: Local | Worker | Master | Single) -> bool:
    """Whether a run is being ended; of others than where it is judged nobody needs to know."""
    return not isinstance(part, Local | Master) or not (part.judge.running or part.settled)


def _note_end(part: Local | Worker | Master | Single, number: signal.Signals) -> None:
    """A signal ends a run before its time, if that has one: the report tells."""
    if not isinstance(part, Local | Master):
        return
    judge, environment = part.judge, part.environment
    timed = environment.shape_class is not None or getattr(environment.parsed_options, "run_time", None)
    ends = timed or judge.orders is not None  # a drill ends by itself
    if ends and runner_of(environment).state in (STATE_SPAWNING, STATE_RUNNING):
        judge.ended_by = number.name


def _attach_interruptible(environment: Environment) -> None:
    # The event loop hasn't run since the imports began. Locust's timer of `--run-time`, set by the loop's own
    # idea of now, would end the run that much too early.
    get_hub().loop.update_now()
    forked()
    if sys.stdin is None:  # it was closed before: Locust, which listens for keys, would end with exit code 2
        sys.stdin = io.StringIO()
    _check_users(environment)
    with _refusing():
        _take_load(environment)
        part = attach(environment)
    get_hub().loop.update_now()  # the rows of feeds were read, maybe a million
    if isinstance(part, Local | Master):
        part.desk.stock.warn(_most_users(environment))
    signals = [signal.SIGINT] if isinstance(part, Single) else [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL and not isinstance(part, Single):  # else under nohup
        signals.append(signal.SIGHUP)
        UnixKeyPoller.cleanup = leave_terminal  # type: ignore[method-assign]
    note = partial(_note_end, part)
    interrupts = Interrupts(signals, note, part.hurry, partial(_quits, part), partial(_ends, part))
    if not isinstance(part, Single):
        sys.excepthook = partial(_interrupted, part, sys.excepthook)
    quitted: Any = environment.events.quit
    quitted.add_listener(lambda **_: interrupts.restore())
