"""The fixture of these tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from truthkit import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Runs, servers and programs that end with the test."""
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)
