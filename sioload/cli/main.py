"""The entry point of the `sioload` command, and how it reports bad usage."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

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
from sioload.report.summary import lenient, print_to


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

    Bad usage is one line on standard error, and exit code 2; so is a full disk under standard output.
    """
    lenient(sys.stdout)
    if sys.stdout is None:  # it was closed before
        return _run(args)
    before, out = sys.stdout, _Out(sys.stdout)
    sys.stdout = out
    try:
        code = _run(args)
    finally:
        sys.stdout = before
    return _refuse(f"sioload: can't write to standard output: {out.fault}") if out.fault else code


def _run(args: Sequence[str] | None) -> int:
    try:
        return int(cli.main(args, prog_name="sioload", standalone_mode=False) or 0)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "sioload"
        return _refuse(f"{where}: {error.format_message()}{_elsewhere(error)} (see {where} --help)")
    except (click.ClickException, UsageError) as error:
        return _refuse(f"sioload: {error}")
    except click.Abort:
        return 130


def _elsewhere(error: click.UsageError) -> str:
    """Where an option may belong that a command doesn't know."""
    params = error.ctx.command.params if error.ctx is not None else []
    passes = isinstance(error, click.NoSuchOption) and any(param.name == "more_args" for param in params)
    return " One of Locust's goes behind ' -- ', with a locustfile." if passes else ""


class _Out:
    """Standard output. Once it can't be written, the rest goes nowhere and the command goes on to its exit
    code: who read it has seen enough.

    Attributes:
        fault: why it can't be written, if it isn't that.
    """

    def __init__(self, out: Any) -> None:
        self._out = out
        self.fault = ""

    def write(self, text: str) -> int:
        """See `TextIO`."""
        try:
            return int(self._out.write(text))
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """See `TextIO`."""
        try:
            self._out.flush()
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)

    def _give_up(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.fault = error.strerror or str(error)
        # What it still holds would be tried again, in vain, when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._out.fileno())
        os.close(nowhere)


def _refuse(line: str) -> int:
    print_to(sys.stderr, " ".join(line.split()) + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
