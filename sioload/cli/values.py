"""Values of command line options: each is checked before any load, and refused with its remedy."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from sioload.durations import seconds_of
from sioload.engineio.urls import bare, parse_url
from sioload.errors import UsageError
from sioload.load.phases import parse_phases
from sioload.options import MAX_RATE, TOKEN
from sioload.plain import Json
from sioload.report.changes import parse_change
from sioload.report.checks import Check, parse


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What can't be understood is a value that isn't taken, for the reason that is told."""
    try:
        yield
    except UsageError as error:
        raise click.BadParameter(str(error)) from error


def json_value(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """One JSON value, or a list of them when the option may be given several times."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return [json_value(ctx, param, text) for text in value]
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(
            f"{value!r} is no JSON ({error}); a text needs quotes within: '\"text\"'"
        ) from error


def server_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A server's URL, which has no path: it would go unheeded."""
    path = parse_url(value).path
    if path.rstrip("/") == "/socket.io":
        raise click.BadParameter(f"{bare(value)!r} has a path: leave {path} out, it is asked for by itself")
    if path != "/":
        hint = f"give a namespace as --namespace {path}, the server's own path as --path"
        raise click.BadParameter(f"{bare(value)!r} has a path: {hint}")
    return value


def names(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in value.split(",")]


def rate(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    """Emits per second of each user, None for "max"."""
    if value == "max":
        return None
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate <= MAX_RATE:
        hint = f'give emits per second and user, up to {MAX_RATE:,.0f}, e.g. 0.5, or "max"'
        raise click.BadParameter(f"{value!r} is no rate: {hint}")
    return rate


def phases(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> Sequence[str]:
    """Phases that can be parsed, as they were given."""
    if value:
        with _refusing():
            parse_phases(value)
    return value


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A time span in the whole seconds that Locust takes; a bare number is of seconds."""
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is not None and seconds >= 1e8:
        raise click.BadParameter(f"{value!r} is longer than three years: give e.g. 30s, 5m or 1h30m")
    if not seconds or seconds % 1:  # with none, Locust would run for ever
        whole = " of whole seconds" if seconds else ""
        raise click.BadParameter(f"{value!r} is no time{whole}: give e.g. 30s, 5m or 1h30m")
    return f"{seconds:.0f}s"


def at_least(least: float) -> Callable[[click.Context, click.Parameter, str], float]:
    """Of a time span of so many seconds or more; a bare number is of seconds."""

    def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
        found = _seconds(value)
        if found is None or found < least:
            raise click.BadParameter(f"{value!r} is no time of {least:g} s or more: give e.g. 60s or 1m30s")
        return found

    return seconds


def share(
    least: float, most: float, example: str
) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Of a share in percent, above 0 and within these; it is from 0 to 1."""

    def part(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%", value)
        percent = float(found[1]) if found is not None else 0.0
        if not percent or not least <= percent <= most:
            span = f"from {least:g}% to {most:g}%" if least else f"up to {most:g}%"
            raise click.BadParameter(f"{value!r} is no share {span}: give e.g. {example}")
        return percent / 100

    return part


def refused(why: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    """Of an option of other runs, which can't be given."""

    def refuse(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.BadParameter(why)

    return refuse


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch("[0-9]{1,15}", value) else seconds_of(value)


def headers(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    """Headers of HTTP, by name."""
    headers: dict[str, str] = {}
    for text in value:
        name, colon, content = text.partition(":")
        if not colon or not TOKEN.fullmatch(name):
            raise click.BadParameter(f"{text!r} is no header: give 'Name: value'")
        if any(name.lower() == other.lower() for other in headers):
            raise click.BadParameter(f"{text!r}: {name} stands twice: give it once, e.g. 'Cookie: a=1; b=2'")
        headers[name] = content.strip()
    return headers


def version(ctx: click.Context, param: click.Parameter, value: str) -> int | str:
    """A major of Socket.IO."""
    if value not in ("0", "1", "2", "3", "4", "auto"):
        raise click.BadParameter(f"{value!r} is no Socket.IO major: give 0, 1, 2, 3, 4 or auto")
    return value if value == "auto" else int(value)


def writable(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A path of a file that is written at the end, when it is too late to find out that it can't be."""
    if value is not None:
        path = Path(value + "_stats.csv" * (param.name == "csv")).absolute()  # that one begins others' names
        try:
            place = next(parent for parent in path.parents if parent.exists())
            where = path if path.exists() else place
            good = not path.is_dir() and place.is_dir() and os.access(where, os.W_OK)
        except OSError:  # a folder that may not be looked into, a name that is too long
            good = False
        if not good:
            raise click.BadParameter(f"can't write {value!r}: give another file")
    return value


def checks(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> Sequence[str]:
    """Checks, as they were given; all of them can be parsed."""
    with _refusing():
        for text in value:
            parse(text)
    return value


def changes(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> Sequence[tuple[Check, bool]]:
    """Changes that are too much, parsed."""
    with _refusing():
        return [parse_change(text) for text in value]


def assignments(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> dict[str, Json]:
    """Options of the connection that have no flag: NAME=VALUE, the value as JSON or else as text."""
    given = {}
    for text in value:
        name, equals, content = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r}: give NAME=VALUE, e.g. reconnection=false")
        if name in given:
            raise click.BadParameter(
                f'{text!r}: {name} stands twice: give a list as JSON, e.g. \'["a", "b"]\''
            )
        try:
            given[name] = orjson.loads(content)
        except orjson.JSONDecodeError:
            given[name] = content
    return given
