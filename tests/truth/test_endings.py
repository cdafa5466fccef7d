"""The manual's table of rows and ways to end holds on real servers of three generations, pair by pair."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import serverkit

MANUAL = Path(__file__).parents[2] / "locustfiles" / "README.md"
PROGRAM = Path(__file__).with_name("endings.py")
NAME = re.compile(r"([A-Z]+)( \(not in 0\.9\))?")


def table(version: int) -> dict[tuple[str, str], str]:
    """Type and way to end, to what the manual says of it; without what this version doesn't know."""
    lines = MANUAL.read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| row | answered"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in lines[first : lines.index("", first)]]  # fmt: skip
    found = {}
    for name, *cells in rows[2:]:
        known = NAME.fullmatch(name)
        assert known is not None, name
        if version or known[2] is None:
            pairs = zip(rows[0][1:], cells, strict=True)
            found.update({(known[1], way): said for way, said in pairs if said})
    return found


def said(count: int, failures: int, timed: int, unfinished: int) -> str:
    """What became of the samples of a row, which all ended in one way."""
    assert {failures, timed} <= {0, count}, (count, failures, timed)
    words = [word for word, n in (("failed", failures), ("timed", timed), ("unfinished", unfinished)) if n]
    return ", ".join(words) or "counted"


def test_each_way_to_end_leaves_what_the_manual_says(servers: Callable[..., serverkit.Server]) -> None:
    with ExitStack() as stack:
        programs = {
            version: stack.enter_context(
                serverkit.Process([sys.executable, PROGRAM, servers(f"sio{version}").url, str(version)])
            )
            for version in (0, 2, 4)
        }
        for version, program in programs.items():
            assert program.wait(120) == 0, program
            expected, walked = table(version), set()
            for type, way, rows in json.loads(program.out.splitlines()[-1]):
                assert rows, f"{version}: {type}, {way}: no row"
                for name, ended in rows.items():
                    assert said(*ended) == expected.get((type, way)), (version, type, way, name, ended)
                walked.add((type, way))
            assert walked == set(expected), "each pair of the table is walked"
