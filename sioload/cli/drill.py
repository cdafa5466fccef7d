"""`sioload drill`: something is done to a server while users are there, and they are watched."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from sioload.cli import bench, scripts, values
from sioload.load.phases import UNPHASED
from sioload.report.drill import VARIABLE, Asked

#: Seconds from when all users have a session until something may be done to them.
EARLIEST = 2.0


seconds = values.at_least(EARLIEST)


def times(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> list[float]:
    """Durations, in their order; no two at once."""
    found = sorted(seconds(ctx, param, one) for one in value)
    if len(set(found)) < len(found):
        raise click.BadParameter("the same time twice")
    return found


def command(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str]:
    """A command, split as a shell does it."""
    if value is None:
        return []
    try:
        found = shlex.split(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from error
    if not found:
        raise click.BadParameter("an empty command: give e.g. 'docker restart chat'")
    if shutil.which(found[0]) is None:
        raise click.BadParameter(f"there is no command {found[0]!r} here that can be run")
    return found


# fmt: off
DRILL = (
    click.option("--at", multiple=True, required=True, metavar="TIME", callback=times,
                 help="When, from when all users have had a session; several times for several drills."),
    click.option("--run", "argv", metavar="COMMAND", callback=command,
                 help="The command that is run then, e.g. 'docker restart chat'."),
    click.option("--cut", metavar="SHARE%", callback=values.share(0, 100, "30%"),
                 help="Or cut so many of the connections: 30%."),
    click.option("--silent", is_flag=True, help="Cut without a word: the old sockets stay open."),
    click.option("--watch", metavar="TIME", default="120s", show_default=True, callback=seconds,
                 help="How long users are watched after each."),
    click.option("--users", "-u", type=click.IntRange(1), required=True, metavar="N",
                 help="Simulated users."),
    click.option("--spawn-rate", "-r", type=bench.POSITIVE, default=50, show_default=True, metavar="N",
                 help="Users started per second."),
    click.option("--run-time", "-t", hidden=True, expose_value=False,
                 callback=values.refused("a drill ends --watch after its last --at")),
)
# fmt: on


@click.command(short_help="Disturb a server while users are there: do all come back?")
@bench.taking(*scripts.TARGET, *DRILL, *bench.CHECKS, *scripts.SWARM, *bench.SCENARIO, *bench.OUTPUTS)
@click.pass_context
def drill(
    ctx: click.Context,
    /,
    target: str,
    more_args: Sequence[str],
    host: str | None,
    at: Sequence[float],
    argv: Sequence[str],
    cut: float | None,
    silent: bool,
    watch: float,
    master: bool,
    **rest: Any,
) -> NoReturn:
    """Run a command, or cut connections, while users are there, and tell who comes back and when.

    Checks: 'drill: back_p99 < 30s', 'drill: not_back == 0'. Failures while users are watched don't count.

    Exit codes: 0 fine, 1 failures before, 2 bad usage, 3 a check failed, 4 the figures can't be trusted.
    """
    if bool(argv) == (cut is not None):
        raise click.UsageError("give --run COMMAND or --cut SHARE%, one of them")
    if silent and cut is None:
        raise click.UsageError("--silent is how --cut cuts")
    asked = Asked(at, watch, argv, cut or 0.0, silent)
    scripts.refuse_load(more_args, "a drill has --users, and ends --watch after its last --at")
    scripts.become(ctx, target, host, more_args, master, rest, {VARIABLE: asked.text(), UNPHASED: "1"})
