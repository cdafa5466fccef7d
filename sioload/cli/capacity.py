"""`sioload capacity`: how much a server takes before checks fail, with bench's emits or with a locustfile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from sioload.cli import bench, scripts, values
from sioload.durations import duration_text
from sioload.errors import UsageError
from sioload.report.capacity import VARIABLE, Asked, expectation, judged_by_level
from sioload.report.checks import checks_in, parse

#: The highest load that can be asked for.
MOST = 10_000_000


def span(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """A lowest and a highest load, `A..B`."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,8})\.\.([0-9]{1,8})", value)
    if found is None:
        raise click.BadParameter(f"{value!r}: give the lowest and the highest load, e.g. 100..10000")
    first, last = int(found[1]), int(found[2])
    if not 1 <= first <= last <= MOST:
        hint = f", e.g. {last}..{first}" if 1 <= last < first <= MOST else f", both of 1 to {MOST}"
        raise click.BadParameter(f"{value!r}: the lower number comes first{hint}")
    return first, last


seconds = values.at_least(1.0)


def expected(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """What is to come out."""
    if value is not None:
        try:
            expectation(value)
        except UsageError as error:
            raise click.BadParameter(str(error)) from error
    return value


# fmt: off
SEARCH = (
    click.option("--users", "-u", metavar="A..B", callback=span, help="Simulated users, from A up to B."),
    click.option("--arrivals", metavar="A..B", callback=span, help="Or new sessions per second."),
    click.option("--sio-session-length", metavar="TIME", help="Of a session of --arrivals: 30s, or none."),
    click.option("--sio-check", multiple=True, metavar="CHECK", callback=values.checks,
                 help="A level fails unless this holds, e.g. 'CALL: p99 < 250ms'."),
    *bench.CHECKS[1:],
    click.option("--step", metavar="TIME", default="30s", show_default=True, callback=seconds,
                 help="How long each level is measured."),
    click.option("--settle", metavar="TIME", default="10s", show_default=True, callback=seconds,
                 help="How long it settles before that."),
    click.option("--within", metavar="SHARE", default="5%", show_default=True,
                 callback=values.share(0.1, 50, "5%"),
                 help="How far what holds and what breaks may be apart."),
    click.option("--budget", metavar="TIME", default="30m", show_default=True, callback=seconds,
                 help="How long all of it may take."),
    click.option("--expect", metavar="'>= N'", callback=expected, help="Exit code 3 if it holds less."),
    click.option("--spawn-rate", "-r", type=bench.POSITIVE, metavar="N",
                 help="Users started per second.  [default: all in half of --settle]"),
    click.option("--run-time", "-t", hidden=True, expose_value=False,
                 callback=values.refused("a search ends when it knows the limit: bound it with --budget")),
)
# fmt: on


@click.command()
@bench.taking(*scripts.TARGET, *SEARCH, *scripts.SWARM, *bench.SCENARIO, *bench.OUTPUTS)
@click.pass_context
def capacity(
    ctx: click.Context,
    /,
    target: str,
    more_args: Sequence[str],
    host: str | None,
    users: tuple[int, int] | None,
    arrivals: tuple[int, int] | None,
    step: float,
    settle: float,
    within: float,
    budget: float,
    expect: str | None,
    master: bool,
    **rest: Any,
) -> NoReturn:
    """Find how many users a server takes until a check fails.

    The load doubles from A until a check fails, then the gap is halved until it is --within, and what held is
    confirmed. Users do what bench's options say, or a locustfile.

    Exit codes: 0 fine, 1 no user ever had a session, 2 bad usage, 3 --expect isn't met, 4 the generator was
    the limit.
    """
    asked = users or arrivals
    if asked is None or (users and arrivals):
        raise click.UsageError("give --users A..B or --arrivals A..B, one of them")
    if arrivals and rest["sio_session_length"] is None and "://" in target:
        raise click.UsageError("--arrivals needs --sio-session-length, such as 30s, or none")
    if budget < settle + step:
        level, all_of_it = duration_text(settle + step), duration_text(budget)
        raise click.UsageError(
            f"--budget {all_of_it} is less than one level takes, {level} (--settle and --step): give it more"
        )
    scripts.refuse_load(more_args, "a search for capacity finds the load itself")
    _check(rest["sio_check"], rest["sio_checks_file"])
    search = Asked(*asked, arrivals is not None, step, settle, within, budget, expect or "")
    scripts.become(ctx, target, host, more_args, master, rest, {VARIABLE: search.text()})


def _check(texts: Sequence[str], file: str | None) -> None:
    """All of them must be of levels."""
    if file is not None and Path(file).is_fifo():
        raise click.UsageError(f"{file}: a pipe is read once, and this is read twice: give a file")
    judged_by_level([*map(parse, texts), *([] if file is None else checks_in(file))])
