"""The benchmark's table as text, as JSON, and as the README's section."""

from __future__ import annotations

import statistics
import textwrap
from pathlib import Path
from typing import Any

from generators import Measured
from rows import BASES, COLUMNS, Limit, Row

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"

#: Rounds of each program of a row.
Figures = dict[str, list[Measured]]


def median(figures: Figures, program: str) -> float | None:
    return statistics.median(m.value for m in figures[program]) if figures.get(program) else None


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def verdicts(row: Row, figures: Figures) -> list[str]:
    """What sioload must reach and where it is, e.g. `<= 1.8x C floor: 1.7x (1.62 to 1.75) ok`."""
    return [f"<= {limit}: {verdict(limit, figures)}" for limit in row.limits]


def verdict(limit: Limit, figures: Figures) -> str:
    """Where sioload is, from the least to the most: of several runs, else of the rounds of the only one."""
    own, others = figures.get("sioload"), figures.get(limit.other)
    if not own or not others:
        return "not measured"
    runs = sorted({round.run for round in own} & {round.run for round in others})
    if len(runs) > 1:
        found = [
            standing(
                limit,
                *(statistics.median(r.value for r in rounds if r.run == run) for rounds in (own, others)),
            )
            for run in runs
        ]
        at = statistics.median(found)
    else:
        found = [standing(limit, one.value, other.value) for one, other in zip(own, others, strict=False)]
        at = standing(limit, *(statistics.median(r.value for r in rounds) for rounds in (own, others)))
    ok = at <= (limit.plus or limit.factor)
    if limit.worst and len(runs) > 1:
        ok = ok and max(found) <= limit.worst
    low, high = min(at, *found), max(at, *found)
    shown = f"+ {at:.1f} ({low:.1f} to {high:.1f})" if limit.plus else f"{at:.3g}x ({low:.3g} to {high:.3g})"
    return f"{shown} {'ok' if ok else 'OVER'}"


def standing(limit: Limit, own: float, other: float) -> float:
    """What the limit is about: how many times the other figure, or how much more."""
    return own - other if limit.plus else own / other


def details(row: Row, figures: Figures) -> list[str]:
    """The lines below a row: its base, how busy the server was, and whether the counts agree."""
    lines = ["must reach " + "; ".join(verdicts(row, figures))]
    if row.base:
        lines.append(f"{row.base}: {number(median(figures, row.base))} ({BASES[row.base]})")
    own = figures.get("sioload")
    if own and own[-1].rate is not None:
        last = own[-1]
        notes = [f"sioload {last.rate:,.0f}/s"]
        if not row.spins:
            notes.append(f"server {100 * (last.server_cpu or 0):.0f} % busy")
        if "reconciled" in last.note:
            notes.append(last.note)
        lines.append("; ".join(notes))
    return lines


def text(row: Row, figures: Figures) -> str:
    """One row of the table for a terminal, at most 100 columns wide."""
    cells = "".join(f"{number(median(figures, program)):>10}" for program in COLUMNS)
    lines = [f"{row.label:<50}{cells}"[:100].rstrip()]
    for line in details(row, figures):
        lines += textwrap.wrap(line, 96, initial_indent="    ", subsequent_indent="      ")
    return "\n".join(lines)


def header() -> str:
    names = "".join(f"{name:>10}" for name in COLUMNS.values())
    return f"{'CPU us per operation, or KiB per user':<50}{names}\n{'-' * 100}"


def as_json(results: list[tuple[Row, Figures]], versions: dict[str, str]) -> dict[str, Any]:
    rows = []
    for row, figures in results:
        programs = {
            name: {
                "median": median(figures, name),
                "values": [m.value for m in rounds],
                "per_second": [m.rate for m in rounds],
                "server_cpu": [m.server_cpu for m in rounds],
                "counts": [m.note for m in rounds],
            }
            for name, rounds in figures.items()
            if rounds
        }
        rows.append(
            {
                "row": row.key,
                "title": row.label,
                "unit": row.unit,
                "programs": programs,
                "limits": verdicts(row, figures),
            }
        )
    return {"versions": versions, "rows": rows}


def markdown(results: list[tuple[Row, Figures]], versions: dict[str, str], command: str) -> str:
    """The README's table."""
    lines = [
        "CPU microseconds (user + system) of the generator for one operation, on one core; medians "
        "(from the least to the most).",
        f"Repeat with `{command}`. A Python built without optimizations, as pyenv does by itself, costs some "
        "8 % more (`make PYTHON=/usr/bin/python3` takes Debian's).",
        "",
        "| work | " + " | ".join(COLUMNS.values()) + " | sioload must reach |",
        "|---|" + "---:|" * len(COLUMNS) + "---|",
    ]
    for row, figures in results:
        unit = ", KiB" if row.unit == "KiB" else ""
        base = f" ({row.base}: {number(median(figures, row.base))})" if row.base else ""
        cells = [number(median(figures, program)) for program in COLUMNS]
        lines.append(
            f"| {row.label}{unit}{base} | "
            + " | ".join(cells)
            + f" | {'<br>'.join(verdicts(row, figures))} |"
        )
    lines += ["", ", ".join(f"{name} {version}" for name, version in versions.items()) + "."]
    return "\n".join(lines)


def write_readme(readme: Path, section: str) -> bool:
    """Replaces what stands between the two markers; False when they aren't there."""
    page = readme.read_text() if readme.is_file() else ""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return False
    readme.write_text(f"{before}{BEGIN}\n{section}\n{END}{after}")
    return True
