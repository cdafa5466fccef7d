"""`sioload bench`: load on a server without a locustfile."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from sioload.cli import runner, values
from sioload.cli.templates import columns_in
from sioload.errors import FeedError
from sioload.load.phases import UNPHASED
from sioload.load.tables import KINDS, read_table
from sioload.options import check_text, named, options_from
from sioload.plain import Json
from sioload.socketio.codec import RESERVED

#: Options of the connection that have a flag of their own.
FLAGS = {"version", "transports", "namespaces", "auth", "headers", "path", "ack_timeout"}

#: Seconds over which connects are spread, and so all that follows; Locust starts users at once, each second.
#: Sessions begin each at its own time, and would be over before they had connected.
JITTER = 1.0

#: What is done without a word, or a phase, about it.
USUAL = {"users": 10, "spawn_rate": 50, "run_time": "30s"}

#: The script that emits.
SCRIPT = "bench_locustfile.py"

Command = TypeVar("Command", bound=Callable[..., int])
POSITIVE = click.FloatRange(0, min_open=True)


# fmt: off
URL = click.argument("url", callback=values.server_url)
LOAD = (
    click.option("--users", "-u", type=click.IntRange(1), metavar="N",
                 help=f"Simulated users.  [default: {USUAL['users']}]"),
    click.option("--spawn-rate", "-r", type=POSITIVE, metavar="N",
                 help=f"Users started per second.  [default: {USUAL['spawn_rate']}]"),
    click.option("--run-time", "-t", callback=values.duration, metavar="TIME",
                 help=f"e.g. 30s, 5m or 1h30m.  [default: {USUAL['run_time']}]"),
    click.option("--sio-phases", multiple=True, metavar="PHASES", callback=values.phases,
                 help="Load over time in their place: '0..200 users over 1m; 200 users for 5m'."),
    click.option("--sio-session-length", metavar="TIME", help="Of phases in sessions per second."),
    click.option("--sio-session-drain", metavar="TIME",
                 help="How long sessions may go on after the last phase.  [default: 30s]"),
)
#: What users do.
SCENARIO = (
    click.option("--emit", "event", metavar="EVENT", help="The event to emit."),
    click.option("--data", multiple=True, metavar="JSON", callback=values.json_value,
                 help="Its argument; several times gives several arguments."),
    click.option("--feed", metavar="FILE",
                 help="CSV or JSON lines: {{column}} in --data, --auth and --header is a user's own row."),
    click.option("--ack", is_flag=True, help="Ask for an ack and wait for it."),
    click.option("--reply", metavar="EVENT", help="Wait for this event as the answer."),
    click.option("--rate", default="1", show_default=True, metavar="N|max", callback=values.rate,
                 help="Emits per second of each user; max waits for the answer only."),
    click.option("--namespace", default="/", show_default=True, help="The only namespace that is joined."),
    click.option("--version", default="auto", show_default=True, metavar="0-4|auto", callback=values.version,
                 help="The server's Socket.IO major."),
    click.option("--transports", default="polling,websocket", show_default=True, metavar="LIST",
                 callback=values.names, help="websocket connects directly, polling never upgrades."),
    click.option("--auth", metavar="JSON", callback=values.json_value, help="The auth payload, an object."),
    click.option("--header", "-H", "headers", multiple=True, metavar="K:V", callback=values.headers,
                 help="Sent with each request of a session."),
    click.option("--path", default="/socket.io/", show_default=True, help="The server's path."),
    click.option("--timeout", "ack_timeout", type=POSITIVE, default=10, show_default=True,
                 metavar="SECONDS", help="Seconds to wait for an answer."),
    click.option("--option", "more", multiple=True, metavar="NAME=VALUE", callback=values.assignments,
                 help="Any other connection option, e.g. tls_verify=false."),
)
PROCESSES = click.option("--processes", type=click.IntRange(-1), metavar="N",
                         help="Worker processes; -1: one per core.")
CHECKS = (
    click.option("--sio-check", multiple=True, metavar="CHECK", callback=values.checks,
                 help="Fail (exit code 3) unless this holds, e.g. 'CALL: p99 < 250ms'."),
    click.option("--sio-checks-file", metavar="FILE", help="TOML file with such checks."),
)
#: What a run leaves behind, and how it ends.
OUTPUTS = (
    click.option("--sio-report", metavar="FILE", help="Write the report (JSON)."),
    click.option("--sio-junit", metavar="FILE", help="Write the checks' results (JUnit XML)."),
    click.option("--sio-html", metavar="FILE", help="Write the report (HTML)."),
    click.option("--sio-hlog", metavar="DIR", help="Write sioload.hlog: an HdrHistogram for each row."),
    click.option("--sio-metrics-port", type=int, metavar="N", help="Serve Prometheus metrics."),
    click.option("--sio-otlp", metavar="URL", help="Send OpenTelemetry metrics to this collector."),
    click.option("--sio-server", multiple=True, metavar="NAME=URL",
                 help="Read this server's figures beside ours: a Prometheus endpoint, or pid:PID."),
    click.option("--sio-server-metric", multiple=True, metavar="PATTERN", help="Keep these metrics too."),
    click.option("--sio-admin", multiple=True, metavar="URL", help="Join Socket.IO's admin namespace."),
    click.option("--sio-trace", metavar="FILE", help="Write what the first user says and hears (JSONL)."),
    click.option("--sio-trace-users", type=click.IntRange(1), metavar="N", help="Or the first N."),
    click.option("--sio-drain", metavar="TIME",
                 help="How long emits may stay open at the end.  [default: 5s]"),
    click.option("--html", metavar="FILE", callback=values.writable, help="Write Locust's HTML report."),
    click.option("--csv", metavar="PREFIX", callback=values.writable, help="Write Locust's CSV files."),
)
# fmt: on


def taking(*arguments: Any) -> Callable[[Command], Command]:
    """Give a command these arguments; they are shown in their order."""

    def give(function: Command) -> Command:
        for argument in reversed(arguments):
            function = argument(function)
        return function

    return give


@click.command(short_help="Put load on the server at URL: users who emit an event.")
@taking(URL, *LOAD, *SCENARIO, PROCESSES, *CHECKS, *OUTPUTS)
def bench(
    url: str,
    users: int | None,
    spawn_rate: float | None,
    run_time: str | None,
    sio_phases: Sequence[str],
    **rest: Any,
) -> NoReturn:
    """Let users emit an event to the server at URL, and tell how it did.

    Exit codes: 0 fine, 1 failures, 2 bad usage, 3 a check failed, 4 the figures can't be trusted.
    """
    env = scenario(rest)
    load: dict[str, Json] = {"users": users, "spawn_rate": spawn_rate, "run_time": run_time}
    if sio_phases:  # which say it all, whatever a project's locust.conf says
        load |= {"users": users or 0, "run_time": run_time or 0, "sio_phases": sio_phases}
    else:
        load = {name: usual if load[name] is None else load[name] for name, usual in USUAL.items()}
        if rest["sio_session_length"] is None and rest["sio_session_drain"] is None:
            env[UNPHASED] = "1"
    argv = runner.locust(SCRIPT, ["--headless", "--host", url, *flags({**load, **rest})])
    runner.become(argv, env)


def _nothing(**_: object) -> int:
    """A command that is never called: click knows options only as those of one."""
    return 0


def scenario_options() -> list[click.Parameter]:
    """The options of `SCENARIO`, as click knows them."""
    return list(click.command(taking(*SCENARIO)(_nothing)).params)


def scenario(given: dict[str, Json], emits: bool = True) -> dict[str, str]:
    """What users do, as the environment of the script that does it.

    Args:
        given: values of options; those of `SCENARIO` are taken out.
        emits: an event has to be given; without one a user only listens.
    """
    chosen = {each.name: given.pop(each.name) for each in scenario_options()}
    ack, reply = chosen["ack"], chosen["reply"]
    if chosen["event"] is None and emits:
        raise click.UsageError("Missing option '--emit'.")
    for flag, name in (("--emit", chosen["event"]), ("--reply", reply)):
        if name == "":
            raise click.UsageError(f"{flag}: the name of the event is empty")
        check_text(f"{flag} {name!r}", name or "")
    if chosen["event"] is None:
        for flag, given_too in (("--data", chosen["data"]), ("--ack", ack), ("--reply", reply is not None)):
            if given_too:
                raise click.UsageError(f"{flag} is of an event: name it with --emit, or leave {flag} out")
    if chosen["event"] in RESERVED and chosen["version"] in ("auto", 3, 4):
        raise click.UsageError(
            f"--emit {chosen['event']}: the name is reserved: servers of Socket.IO 3 and 4 end the session"
            " of who emits it: give another event (an older server is told by --version 2)"
        )
    if ack and reply is not None:
        raise click.UsageError("--ack and --reply exclude each other: the answer is an ack, or an event")
    asking = {"--data": chosen["data"], "--auth": chosen["auth"], "--header": chosen["headers"]}
    fixed = {"--emit": chosen["event"], "--reply": reply, "--namespace": chosen["namespace"]}
    fixed |= {"--path": chosen["path"], "--option": chosen["more"]}
    connection = {"namespaces": [chosen["namespace"]], **{n: chosen[n] for n in FLAGS & chosen.keys()}}
    connection["connect_jitter"] = 0.0 if given.get("sio_session_length") else JITTER
    does = {
        "event": chosen["event"],
        "args": chosen["data"],
        "ack": ack,
        "reply": reply,
        "rate": chosen["rate"],
        "namespace": chosen["namespace"].partition("?")[0],  # where it is joined, it may have a query
        "options": _options(connection, chosen["more"]),
        "feed": _checked_feed(chosen["feed"], asking, fixed),
    }
    return {"SIOLOAD_BENCH": json.dumps(does, ensure_ascii=False)}


def _options(flags: Mapping[str, Json], more: Mapping[str, Json]) -> dict[str, Json]:
    """The connection's options, all of them known and valid; what means nothing is told of here, once."""
    if doubled := FLAGS & more.keys():
        raise click.UsageError(f"--option {min(doubled)}: there is a flag for that")
    options = {**flags, **more}
    options_from(options)
    return named(options)


def _checked_feed(path: str | None, given: Mapping[str, object], fixed: Mapping[str, object]) -> str | None:
    """The absolute path of a feed that has every column that is asked for.

    Args:
        path: as it was given.
        given: values in which a user's row may stand, by flag.
        fixed: those that are the same for all users.
    """
    asked = [(flag, column) for flag, value in given.items() for column in columns_in(value)]
    if path is None:
        if asked:
            flag, column = asked[0]
            raise click.UsageError(
                f"{flag}: {{{{{column}}}}} is a column of a feed: name its file with --feed"
            )
        return None
    for flag, value in fixed.items():
        for column in columns_in(value):
            told = f"rows of a feed go into {', '.join(given)}"
            raise click.UsageError(f"{flag}: {{{{{column}}}}} is the same for all users there: {told}")
    if not path.endswith(KINDS):
        raise click.UsageError(f"--feed {path}: the name must end in {' or '.join(KINDS)}")
    if Path(path).is_fifo():
        raise click.UsageError(f"--feed {path}: a pipe is read once, and this is read twice: give a file")
    try:
        columns = read_table(os.path.abspath(path)).columns()
    except FeedError as error:
        raise click.UsageError(f"--feed: {error}") from error
    if not asked:
        column = "{{" + min(columns, default="column") + "}}"
        raise click.UsageError(
            f"--feed {path}: nothing of it is used: put {column} into {', '.join(given)}, or leave it out"
        )
    for flag, column in asked:
        if column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            hint = f"nearest: {near[0]}" if near else f"there are {', '.join(sorted(columns))}"
            raise click.UsageError(f"{flag}: {{{{{column}}}}} is no column of {path} ({hint})")
    return os.path.abspath(path)


def flags(given: Mapping[str, Json]) -> list[object]:
    """Locust's arguments for options that have the same name there."""
    args: list[object] = []
    for name, value in given.items():
        for one in value if isinstance(value, tuple) else [value]:
            if one is not None:
                args += ["--" + name.replace("_", "-"), one]
    return args
