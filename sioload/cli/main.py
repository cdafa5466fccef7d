"""The entry point of the `sioload` command, and how it reports bad usage."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from sioload.cli import runner
from sioload.cli.bench import bench
from sioload.cli.capacity import capacity
from sioload.cli.compare import compare
from sioload.cli.demo import demo
from sioload.cli.doctor import doctor
from sioload.cli.drill import drill
from sioload.cli.import_ import import_
from sioload.cli.init import init
from sioload.cli.trying import trying
from sioload.errors import UsageError
from sioload.report.summary import lenient


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, no_args_is_help=False
)
@click.version_option(package_name="sioload")
def cli() -> None:
    """Load testing for Socket.IO servers.

    Your own scenarios run with plain Locust: `locust -f locustfile.py` (see `sioload init`).
    """


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 takes a free one."
)
@click.option("--ping-interval", type=click.IntRange(1), default=25, show_default=True, help="Whole seconds.")
@click.option("--ping-timeout", type=click.IntRange(1), default=20, show_default=True, help="Whole seconds.")
def target(host: str, port: int, ping_interval: int, ping_timeout: int) -> NoReturn:
    """Run the embedded server alone, until Ctrl+C.

    Its namespaces are / and /chat (auth {"token": "secret"}), its events echo, message, join, leave, delay,
    binary, subscribe and kick. GET /counts tells what it received and sent.
    """
    args = ["--host", host, "--port", port, "--ping-interval", ping_interval, "--ping-timeout", ping_timeout]
    runner.become(runner.module("sioload.target", args), {})


for command in (bench, capacity, compare, demo, doctor, drill, import_, init, trying):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> int:
    """Run `sioload` with these arguments (the process's own without); returns the exit code.

    Bad usage is one line on standard error, and exit code 2.
    """
    lenient(sys.stdout)
    try:
        return int(cli.main(args, prog_name="sioload", standalone_mode=False) or 0)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "sioload"
        return _refuse(f"{where}: {error.format_message()} (see {where} --help)")
    except (click.ClickException, UsageError) as error:
        return _refuse(f"sioload: {error}")
    except click.Abort:
        return 130


def _refuse(line: str) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
