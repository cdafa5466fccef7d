"""`sioload compare`: whether runs are worse than those before, and whether that can be told from noise."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from sioload.cli import values
from sioload.errors import UsageError
from sioload.plain import Json
from sioload.report import compare_text
from sioload.report.checks import Check
from sioload.report.compare import compared
from sioload.report.files import same_file, write_whole
from sioload.report.runs import Run, read_run
from sioload.report.summary import coloured, print_to


class _Sides(click.Command):
    """Takes the files behind `--with` up to the next option: `compare a.json --with b.json c.json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given: list[str] = []
        taking = first = False
        for arg in args:
            if arg.startswith("-") and arg != "-":
                taking, first = arg.partition("=")[0] == "--with", arg == "--with"
                given += [] if first else [arg]
            elif taking:
                given += ["--with", arg]
                first = False
            else:
                given.append(arg)
        if first:
            given.append("--with")  # which lacks its value, and click says so
        return super().parse_args(ctx, given)


@click.command(
    cls=_Sides,
    options_metavar="--with NEW.json... [OPTIONS]",
    short_help="Tell whether runs are worse than those before.",
)
@click.argument("base", nargs=-1, required=True, metavar="BASE.json...")
@click.option(
    "--with",
    "new",
    multiple=True,
    required=True,
    metavar="NEW.json...",
    help="Reports of the runs to compare with them.",
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="CHANGE",
    callback=values.changes,
    help="Fail (exit code 3) on a real change beyond this: 'CALL[message]: p99 +10%', "
    "'CONNECT: p90 +20ms', 'CALL: rate -5%'.",
)
@click.option("--markdown", metavar="FILE", callback=values.writable, help="Write it as a comment.")
@click.option("--json", "as_json", metavar="FILE", callback=values.writable, help="Write all figures (JSON).")
@click.option("--html", metavar="FILE", callback=values.writable, help="Write it with charts (HTML).")
@click.option("--strict", is_flag=True, help="Refuse runs that can't be compared (exit code 2).")  # fmt: skip
def compare(
    base: Sequence[str],
    new: Sequence[str],
    fail_on: Sequence[tuple[Check, bool]],
    markdown: str | None,
    as_json: str | None,
    html: str | None,
    strict: bool,
) -> int:
    """Compare the reports (--sio-report) of runs, several a side if they are repeats.

    Exit codes: 0 fine, 2 a file can't be read (with --strict: nor compared), 3 a change that --fail-on names.
    """
    reports = (("a report", path) for path in (*base, *new))
    if fault := same_file([*reports, ("--markdown", markdown), ("--json", as_json), ("--html", html)]):
        raise UsageError(fault)
    for side in (base, new):
        found_at = [Path(path).resolve() for path in side]
        if again := [path for path, at in zip(side, found_at, strict=True) if found_at.count(at) > 1]:
            raise UsageError(f"{again[-1]} stands twice on a side: each file is a run, repeats are others")
    before, after = ([_read(path) for path in side] for side in (base, new))
    found = compared(before, after, fail_on)
    if strict and not found["comparable"]:
        raise UsageError(f"not comparable: {'; '.join(found['reasons'])}")
    _write(markdown, lambda: compare_text.markdown(found))
    _write(as_json, lambda: json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    _write(html, lambda: _page(found, before, after))
    width = min(max(shutil.get_terminal_size().columns, 80), 120)
    print_to(sys.stdout, compare_text.terminal(found, width, coloured(sys.stdout)))
    code: Json = found["exit_code"]
    return int(code)


def _read(path: str) -> Run:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"can't read {path}: {told}") from error
    return read_run(path, text)


def _page(found: Json, before: Sequence[Run], after: Sequence[Run]) -> str:
    # It loads Jinja, which every other `sioload` command would wait for.
    from sioload.report.compare_html import page

    return page(found, before, after)


def _write(path: str | None, text: Callable[[], str]) -> None:
    if path is not None and (fault := write_whole(path, text())) is not None:
        raise UsageError(fault)
