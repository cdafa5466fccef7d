"""Runs that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serverkit
from showkit import Shown


@pytest.fixture
def shown(target: serverkit.Server, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """`shown("--autostart", base="/load")`: a run with a web UI on the embedded target."""
    runs: list[Shown] = []

    def start(*more: str, **kwargs: Any) -> Shown:
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        runs.append(Shown(target.url, folder, *more, **kwargs))
        return runs[-1]

    yield start
    for run in runs:
        run.process.close()
