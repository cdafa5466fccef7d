"""Python programs that the commands turn into, or start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import click


def module(name: str, args: Iterable[object]) -> list[str]:
    """The command line of a module.

    `-P` keeps files of the current directory, such as a `socketio.py`, from hiding modules.
    """
    return [sys.executable, "-P", "-m", name, *map(str, args)]


def locust(scenario: str, args: Iterable[object]) -> list[str]:
    """Locust's command line for a scenario of this package, or for a path; it tells what matters."""
    path = Path(__file__).parent / scenario
    quiet = ["--only-summary", "--loglevel", "WARNING"]
    if os.path.isabs(scenario):
        return guarded(["--locustfile", path, *quiet, *args])
    # Tags that a project's locust.conf or pyproject.toml chooses are none of our own scenarios.
    return module("locust", ["--locustfile", path, "--tags", "--exclude-tags", *quiet, *args])


def guarded(args: Iterable[object]) -> list[str]:
    """Locust's command line for a locustfile that may not import sioload, which is refused."""
    return [sys.executable, "-P", str(Path(__file__).with_name("guarded.py")), *map(str, args)]


def become(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    """Let that program take this process over: its signals and its exit code are what a caller gets."""
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        os.execve(argv[0], argv, {**os.environ, **env})
    except OSError as error:  # more data than fits into an environment
        raise click.ClickException(f"can't start {argv[0]}: {error.strerror}") from error
