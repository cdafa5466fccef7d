"""`sioload init`: a commented locustfile to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from shlex import quote

import click

NAME = "locustfile.py"


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(directory: Path) -> int:
    """Write a commented locustfile.py into DIRECTORY (default: here)."""
    path = directory / NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(files("sioload.cli").joinpath("starter_locustfile.py").read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise click.UsageError(f"{path} is there already; name another directory") from error
    except OSError as error:
        raise click.UsageError(f"can't write {path}: {error.strerror}") from error
    click.echo(f"Wrote {path}. Try it against the embedded server:\n")
    click.echo("  sioload target &")
    click.echo(f"  locust -f {quote(str(path))} --headless -u 10 -r 10 -t 10s")
    click.echo(f"  locust -f {quote(str(path))}            # web UI on http://localhost:8089")
    return 0
