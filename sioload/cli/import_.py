"""`sioload import`: a script from a browser's recording, or from an Artillery script."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from shlex import quote

import click

from sioload.errors import UsageError

#: Bytes of a payload file.
_PAYLOAD = 64 << 20
#: What Artillery's scripts may be written in, beside YAML and JSON.
_PROGRAMS = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts")


def _pace(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """By what think times are multiplied."""
    if value in ("recorded", "none"):
        return float(value == "recorded")
    try:
        factor = float(value.removesuffix("x")) if value.endswith("x") else -1.0
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= 1000:
        raise click.BadParameter(f"{value!r} is none: give recorded, none, or a factor such as 0.5x")
    return factor


@click.command("import", short_help="Write a locustfile from a recording or an Artillery script.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR",
    help="Where the script goes; the current folder without.",
)  # fmt: skip
@click.option(
    "--think", "pace", default="recorded", callback=_pace, metavar="recorded|none|0.5x", show_default=True,
    help="Pauses between a user's steps.",
)  # fmt: skip
@click.option(
    "-e", "environment", default="", metavar="NAME", help="One of an Artillery script's environments."
)
def import_(file: Path, folder: Path, pace: float, environment: str) -> int:
    """Write a locustfile from FILE: a browser's recording (.har), or an Artillery script (.yml, .yaml).

    Nothing is overwritten. Recorded accounts go into accounts.csv, beside the script.
    """
    # A quarter of what any `sioload` command would take to start.
    from sioload.importing import artillery, entries, har, recorded, script

    if file.suffix.lower() in _PROGRAMS:
        raise UsageError(
            f"{file.name} is a program, and isn't run: import what it exports, as JSON "
            f"(node -p 'JSON.stringify(require(\"./{file.name}\"))' > {file.stem}.json)"
        )
    data = _read(file, entries.LARGEST)
    if _is_recording(file, data):
        if environment:
            raise click.UsageError(f"-e {environment}: a recording has no environments; leave it out")
        conversation = recorded.understand(har.read_har(data, file.name), file.name, pace)
    else:
        conversation = artillery.read_script(data, file.name, partial(_beside, file), environment, pace)
    files = script.write(conversation)
    _store(folder, files)
    click.echo("Understood:")
    for line in conversation.understood:
        click.echo(f"  {line}")
    if conversation.left_out:
        click.echo("Left out:")
        for line in conversation.left_out:
            click.echo(f"  {line}")
    click.echo(f"Wrote {', '.join(str(folder / name) for name in files)}. Next:\n")
    locustfile = quote(str(folder / script.NAME))
    click.echo(f"  sioload try {locustfile}")
    load = "" if conversation.phases else " -u 10 -r 10 -t 30s"
    checks = f" --sio-checks-file {quote(str(folder / 'checks.toml'))}" if conversation.checks else ""
    click.echo(f"  locust -f {locustfile} --headless{load}{checks}")
    return 0


def _is_recording(file: Path, data: bytes) -> bool:
    from sioload.importing import entries

    if file.suffix.lower() in (".yml", ".yaml"):
        return False
    if file.suffix.lower() == ".har" or re.match(rb'(?:\xef\xbb\xbf)?\s*\{\s*"log"', data) is not None:
        return True
    try:
        return b'"log"' in data and bool(entries.log_of(data, file.name))
    except UsageError:  # nor is it one whose first key is another
        return False


def _beside(script: Path, path: str) -> bytes | str:
    """A payload file of a script, or why it isn't read."""
    try:
        folder = script.resolve().parent
        place = (folder / path).resolve()
        if not place.is_relative_to(folder) or "\0" in path:
            return "its path leaves the script's folder"
        if not place.is_file() or place.stat().st_size > _PAYLOAD:
            return f"no file of at most {_PAYLOAD >> 20} MiB"
        return place.read_bytes()
    except (OSError, ValueError):
        return "it can't be read"


def _read(file: Path, largest: int) -> bytes:
    try:
        if file.stat().st_size > largest:
            raise UsageError(f"{file.name} has more than {largest >> 20} MiB: give a smaller one")
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror}") from error


def _store(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files, or none."""
    written: list[Path] = []
    try:
        for name in files:
            if (folder / name).exists() or (folder / name).is_symlink():
                raise UsageError(f"{folder / name} is there already; name another directory with -o")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with open(folder / name, "xb") as file:
                written.append(folder / name)
                file.write(content)
    except OSError as error:
        for file_of_ours in written:
            file_of_ours.unlink()
        raise UsageError(f"can't write to {folder}: {error.strerror}") from error
