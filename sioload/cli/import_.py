"""`sioload import`: a script from a browser's recording, or from an Artillery script."""

from __future__ import annotations

from pathlib import Path

import click

from sioload.errors import UsageError
from sioload.importing import entries, har, recorded, script

#: Endings of files that are recordings.
_RECORDINGS = (".har", ".json")


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


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR",
    help="Where the script goes; the current folder without.",
)  # fmt: skip
@click.option(
    "--think", "pace", default="recorded", callback=_pace, metavar="recorded|none|0.5x", show_default=True,
    help="Pauses between a user's steps.",
)  # fmt: skip
def import_(file: Path, folder: Path, pace: float) -> int:
    """Write a locustfile from FILE: a browser's recording (.har), or an Artillery script (.yml, .yaml).

    Nothing is overwritten. Recorded accounts go into accounts.csv, beside the script.
    """
    data = _read(file, entries.LARGEST)
    conversation = recorded.understand(har.read_har(data, file.name), file.name, pace)
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
    click.echo(f"  sioload try {folder / script.NAME}")
    return 0


def _read(file: Path, largest: int) -> bytes:
    try:
        if file.stat().st_size > largest:
            raise UsageError(f"{file.name} has more than {largest >> 20} MiB: give a smaller one")
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror}") from error


def _store(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files, or none."""
    for name in files:
        if (folder / name).exists() or (folder / name).is_symlink():
            raise UsageError(f"{folder / name} is there already; name another directory with -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with open(folder / name, "xb") as file:
                file.write(content)
    except OSError as error:
        raise UsageError(f"can't write to {folder}: {error.strerror}") from error
