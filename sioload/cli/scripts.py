"""What users do, in commands that take a URL and bench's options, or a locustfile."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from sioload.cli import bench, runner, values
from sioload.engineio.urls import host_url

# fmt: off
TARGET = (
    click.argument("target", metavar="URL|LOCUSTFILE"),
    click.argument("more_args", nargs=-1, metavar="[-- LOCUST'S OPTIONS]"),
    click.option("--host", metavar="URL", help="The server, with a locustfile."),
)
SWARM = (
    bench.PROCESSES,
    click.option("--master", is_flag=True, help="Let workers elsewhere run the users, with a locustfile."),
    click.option("--expect-workers", type=click.IntRange(1), metavar="N", help="How many to wait for."),
    click.option("--master-bind-host", metavar="ADDRESS", help="Where they find this one."),
    click.option("--master-bind-port", type=click.IntRange(1, 65535), metavar="PORT", help="The same."),
)
# fmt: on

#: Locust's options that say how much load there is, and for how long.
_LOAD = re.compile(
    r"(-u|-t|--users|--run-time|--reset-stats|--sio-phases|--sio-session-drain)(=.*|[0-9].*)?", re.DOTALL
)


def refuse_load(more: Sequence[str], why: str) -> None:
    """Refuse those of Locust's options that a command takes the place of."""
    for arg in more:
        if found := _LOAD.fullmatch(arg):
            raise click.UsageError(f"{found[1]}: {why}")
        if arg == "--worker":
            raise click.UsageError(
                "--worker: this command is the master (--master): start workers with locust -f FILE --worker"
            )


def become(
    ctx: click.Context,
    target: str,
    host: str | None,
    more: Sequence[str],
    master: bool,
    rest: dict[str, Any],
    env: Mapping[str, str],
) -> NoReturn:
    """Let Locust take this process over.

    Args:
        target, host, more, master: values of `TARGET` and `SWARM`.
        rest: values of the other options: Locust's, or those of `bench.SCENARIO`.
        env: what the run must find in its environment.
    """
    does, script = script_of(ctx, target, host, rest, more, master)
    if not (master or "--master" in more):
        _refuse_swarm(rest)
    server = target if script == bench.SCRIPT else host
    args = ["--headless", *bench.flags({"host": server, **rest}), *["--master"] * master, *more]
    runner.become(runner.locust(script, args), {**does, **env})


def _refuse_swarm(given: Mapping[str, Any]) -> None:
    """Refuse what is said of workers where none will be looked for."""
    for name in ("expect_workers", "master_bind_host", "master_bind_port"):
        if given[name] is not None and (name == "expect_workers" or given["processes"] is None):
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(
                f"{flag} {given[name]} is of workers elsewhere: give --master too, or leave it out"
            )


def script_of(
    ctx: click.Context,
    target: str,
    host: str | None,
    rest: dict[str, Any],
    more: Sequence[str] = (),
    master: bool = False,
    emits: bool = True,
) -> tuple[dict[str, str], str]:
    """What the script needs in its environment, and the script: bench's own for a URL.

    Args:
        rest: values of options; those of `bench.SCENARIO` are taken out.
        emits: bench's user has to have an event.
    """
    if "://" in target:
        values.server_url(ctx, ctx.command.params[0], target)
        if host is not None:
            raise click.UsageError("--host is for a locustfile: the URL names the server already")
        if master:
            raise click.UsageError("--master is for a locustfile, which workers run too: give --processes")
        if more:
            raise click.UsageError(f"Got unexpected extra argument ({more[0]})")
        return bench.scenario(rest, emits), bench.SCRIPT
    for option in bench.scenario_options():
        rest.pop(option.name)
        if ctx.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option.opts[0]} says what users do, which the locustfile says already")
    if not os.path.isfile(target):
        raise click.UsageError(f"{target!r} is no locustfile that is there, and no URL (http://...)")
    if host is not None:
        host_url(host)
    return {}, os.path.abspath(target)
