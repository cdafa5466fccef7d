"""The manual's table of rows and ways to end holds on real servers of three generations."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import serverkit

MANUAL = Path(__file__).parents[2] / "locustfiles" / "README.md"
PROGRAM = Path(__file__).with_name("endings.py")
#: Rows that belong to connecting, which goes well in nearly all of these; only "never sent" is about CONNECT.
CONNECTING = {"DIAL", "OPEN", "CONNECT", "RECONNECT", "DISCONNECT", "RECV"}


def table() -> dict[tuple[str, str], str]:
    """Type and way to end, to what the manual says of it."""
    lines = MANUAL.read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| row | answered"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first:]
             if re.match(r"\|", line)]  # fmt: skip
    ways = cells[0][1:]
    found = {}
    for row in cells[2:]:
        if not row[0].isupper() or len(row) != len(cells[0]):
            break
        found.update({(row[0], way): said for way, said in zip(ways, row[1:], strict=True)})
    return found


def said(count: int, failures: int, timed: int) -> str:
    assert count == 1, "each way is gone once"
    return ", ".join(["failed"] * failures + ["timed"] * timed) or "counted"


@pytest.mark.parametrize("kind, version", [("sio0", 0), ("sio2", 2), ("sio4", 4)])
def test_each_way_to_end_leaves_what_the_manual_says(
    kind: str, version: int, servers: Callable[..., serverkit.Server]
) -> None:
    nowhere = f"http://127.0.0.1:{serverkit.free_port()}"
    done = serverkit.run([sys.executable, PROGRAM, servers(kind).url, str(version), nowhere], timeout=60)
    assert done.code == 0, done.text
    expected = table()
    walked = set()
    for way, ends in json.loads(done.out.splitlines()[-1]).items():
        for rows in ends:
            about = {row for row in rows if row.split()[0] not in CONNECTING} or {"CONNECT /"}
            for row in about:
                key = (row.split()[0], way)
                assert said(*rows[row]) == expected[key], (key, rows)
                walked.add(key)
    assert len(walked) >= 12, walked
