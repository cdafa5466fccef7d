"""The matrix of the last test run, as Markdown.

python matrix.py [--readme]

With --readme it replaces what stands between `<!-- matrix -->` and `<!-- /matrix -->` in README.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT))

from conformance import behaviours  # noqa: E402
from conformance.table import BEHAVIOURS, SERVERS, TRANSPORTS, Server  # noqa: E402

assert behaviours  # importing it fills the table

RESULTS = ROOT / ".pytest_cache" / "v" / "sioload" / "conformance"
Results = dict[str, dict[str, bool]]


def cell(results: Results, server: Server, transport: str) -> str:
    """Passed and total of one server and transport.

    Raises:
        SystemExit: the last run left some of it out.
    """
    wanted = [name for name, (row, _) in BEHAVIOURS.items() if row.applies(server, transport)]
    column = results.get(f"{server.name}|{transport}", {})
    if set(wanted) != set(column):
        raise SystemExit(f"{server.name}, {transport}: no results; run the whole of tests/conformance first")
    return f"{sum(column[name] for name in wanted)}/{len(wanted)}"


def matrix(results: Results) -> str:
    """The table, and below it what it leaves out."""
    lines = [
        f"| server | option `version` | {' | '.join(TRANSPORTS)} |",
        "|---" * (2 + len(TRANSPORTS)) + "|",
    ]
    for server in SERVERS.values():
        cells = " | ".join(cell(results, server, transport) for transport in TRANSPORTS)
        lines.append(f"| {server.name} | {server.version} | {cells} |")
    left_out: dict[str, list[str]] = {}
    for server in SERVERS.values():
        for row, _ in BEHAVIOURS.values():
            if any(row.is_cell(server, t) and not row.applies(server, t) for t in TRANSPORTS):
                left_out.setdefault(f"{server.name} ({row.cannot})", []).append(row.name)
    notes = [f"- {where}: {'; '.join(names)}" for where, names in left_out.items()]
    return "\n".join(
        [
            "Behaviours that passed, of those tried, on real servers (`pytest tests/conformance` and",
            "`python tests/conformance/matrix.py --readme` write this):",
            "",
            *lines,
            "",
            "Not applicable:",
            *notes,
        ]
    )


def main() -> None:
    """Print it, or put it into README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    if not RESULTS.exists():
        raise SystemExit("no results: run pytest tests/conformance first")
    text = matrix(json.loads(RESULTS.read_text()))
    if not given.readme:
        print(text)
        return
    readme = ROOT / "README.md"
    new, found = re.subn(
        "(<!-- matrix -->\n).*?(<!-- /matrix -->)",
        lambda marks: f"{marks[1]}{text}\n{marks[2]}",
        readme.read_text(),
        flags=re.DOTALL,
    )
    if found != 1:
        raise SystemExit(f"{readme}: no place between <!-- matrix --> and <!-- /matrix -->")
    readme.write_text(new)


if __name__ == "__main__":
    main()
