"""The master's rows in Locust's statistics are what Locust itself would make of the workers' reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("argv", [["1"], ["2"], ["3", "older"]])
def test_rows_are_merged_as_locust_merges_them(argv: list[str]) -> None:
    script = Path(__file__).with_name("merging.py")
    done = subprocess.run([sys.executable, script, *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    theirs, ours = json.loads(done.stdout)
    assert len(theirs["rows"]) == 13 and theirs["errors"] and any(row["cache"] for row in theirs["rows"])
    assert ours == theirs
