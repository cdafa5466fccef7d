"""`sioload try`: one user, once, with everything shown."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from sioload.cli import bench, scripts
from sioload.measure.trace import Entry
from sioload.report.oddities import Oddities, Oddity
from sioload.report.summary import coloured
from sioload.report.transcript import HEARTBEATS, Paint, as_dict, lines, milliseconds, sentence
from sioload.report.words import counted

#: Oddities that are told of.
MOST = 8
#: Characters of an exception that are shown, and how many of them are its last, which say where it was.
LONG, WHERE = 400, 120


# fmt: off
TRIAL = (
    click.argument("target", metavar="URL|LOCUSTFILE"),
    click.option("--host", metavar="URL", help="The server, with a locustfile."),
    click.option("--user", metavar="CLASS", help="Which user class of the locustfile.  [default: the first]"),
    click.option("--seconds", type=click.FloatRange(0, 3600), default=10, show_default=True,
                 metavar="SECONDS", help="Listen until then; a task that still runs isn't cut."),
    click.option("--json", "as_json", is_flag=True,
                 help="One JSON object a line: what passed, then what was odd."),
    click.option("--full", is_flag=True,
                 help="Don't cut packets' own texts at 200 characters, nor exceptions."),
    click.option("--show-secrets", is_flag=True, help="Show tokens, cookies and session ids, too."),
)
# fmt: on


@click.command("try", short_help="Run one user once, and show every packet and its row.")
@bench.taking(*TRIAL, *bench.SCENARIO)
@click.pass_context
def trying(
    ctx: click.Context,
    /,
    target: str,
    host: str | None,
    user: str | None,
    seconds: float,
    as_json: bool,
    full: bool,
    show_secrets: bool,
    **rest: Any,
) -> int:
    """Run one user once, show every packet with the row that it counted in, and tell what was odd.

    With a URL, what bench's user does; without --emit it only listens. With a locustfile
    its on_start, each of its tasks without waiting times, and its on_stop.

    Exit code 0 when all of it went without a failure, else 1.
    """
    env, path = scripts.script_of(ctx, target, host, rest, emits=False)
    if user is not None and path == bench.SCRIPT:
        raise click.UsageError(f"--user {user}: a class is chosen of a locustfile; with a URL leave it out")
    importlib.import_module("locust")  # its monkey patch comes before anything that opens sockets
    trial: Any = importlib.import_module("sioload.swarm.trial")
    if path == bench.SCRIPT:
        path, host = str(Path(__file__).with_name(path)), target
    os.environ |= env
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    teller = Teller(as_json, full)
    one = trial.Trial(trial.user_class(path, user), path, host, seconds, not show_secrets, teller.tell)
    teller.begin(one)
    try:
        one.run()
    except KeyboardInterrupt:
        teller.end(examine=False)
        return 130
    return teller.end()


class Teller:
    """Prints what it hears of a trial."""

    def __init__(self, as_json: bool, full: bool) -> None:
        self._json = as_json
        self._full = full
        self._paint = Paint(coloured(sys.stdout) and not as_json)
        self._oddities = Oddities()
        self._beats: list[Entry] = []
        self._trial: Any = None

    def begin(self, trial: Any) -> None:
        """It is about to run."""
        self._trial = trial
        if not self._json:
            click.echo(f"{trial.name} on {trial.shown_host}")

    def tell(self, entries: list[Entry]) -> None:
        """More came."""
        for entry in entries:
            self._oddities.hear(entry)
            if self._json:
                click.echo(json.dumps(as_dict(entry, self._trial.begun)))
            elif entry.reading.kind in HEARTBEATS and not any(count.failure for count in entry.counts):
                self._beats.append(entry)
            else:
                for line in lines(entry, self._trial.begun, self._full, self._paint):
                    click.echo(line)

    def end(self, examine: bool = True) -> int:
        """It is over; returns the exit code.

        Args:
            examine: ask the doctor where nothing was joined, which takes seconds.
        """
        trial = self._trial
        found = self._oddities.found(trial.handles, trial.handlers)
        cut = str if self._full or self._json else _cut
        found += [
            Oddity(f"{what}: {cut(why)}", "", 3) for what, why in trial.failures if not _told(why, found)
        ]
        if examine and not trial.joined:
            found += [Oddity(fault.fault, fault.remedy, 9) for fault in trial.examine() if fault.fatal]
        found = sorted(found, key=lambda oddity: oddity.rank)
        well = trial.joined and bool(trial.tasks) and not trial.failures and not self._oddities.failed
        if self._json:
            odd = [{"what": each.what, "remedy": each.remedy} for each in found]
            click.echo(json.dumps({"ok": well, "tasks": trial.tasks, "odd": odd}))
            return 0 if well else 1
        if self._beats:
            click.echo("\n" + self._paint.grey(_heartbeats(self._beats)))
        if found:
            click.echo("\n" + self._paint.bold("What was odd"))
            if len(found) > MOST:
                click.echo(f"({len(found) - MOST} more, of less weight)")
        for oddity in found[-MOST:]:
            click.echo(sentence("- ", oddity.what))
            if oddity.remedy:
                click.echo(self._paint.bold(sentence("  → ", oddity.remedy)))
        click.echo(f"\n{_verdict(trial, well)}")
        return 0 if well else 1


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG - WHERE]} ... {text[-WHERE:]}"


def _told(why: str, found: list[Oddity]) -> bool:
    """Whether a task's failure is one of the oddities, in other words."""
    reason = why.partition(": ")[2] or why
    return any(reason[:40] in oddity.what for oddity in found)


def _verdict(trial: Any, well: bool) -> str:
    if not trial.tasks:
        return "No task ran."
    failed = {what for what, _ in trial.failures}
    good = len([task for task in trial.tasks if task not in failed])
    said = f"{good} of {len(trial.tasks)} tasks ran without a failure"
    return f"{said}." if well or good < len(trial.tasks) else f"{said}, but see above."


def _heartbeats(beats: list[Entry]) -> str:
    times = [count.seconds for beat in beats for count in beat.counts if count.seconds is not None]
    slowest = f", the slowest {milliseconds(max(times))}" if times else ""
    kinds = Counter(beat.reading.words for beat in beats)
    counts = ", ".join(counted(n, words) for words, n in kinds.items())
    return f"heartbeats: {counts}{slowest}"
