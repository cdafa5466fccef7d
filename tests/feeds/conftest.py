"""What the tests of feeds share: the server of accounts, and runs against it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import feedkit


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[feedkit.Accounts]:
    """A server that takes each account once at a time, and a folder for runs."""
    with feedkit.Accounts(tmp_path) as found:
        yield found
