"""A comparison of runs as text: for a terminal, and in Markdown, as a comment on a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sioload.plain import Json
from sioload.report.ci import md
from sioload.report.summary import GREEN, PLAIN, RED, YELLOW, judged, wrapped
from sioload.report.words import counted, rounded, three_digits

#: What the tables show of a row; of failures, only if there are any.
_SHOWN: Final = ("p50", "p90", "p99", "rate", "fail_ratio")
_MARKDOWN_ROWS: Final = 60
Stats = Sequence[Mapping[str, Json]]
#: Said below each table.
LEGEND: Final = (
    "Figures of several runs a side are their mean. With one or two runs a side a change is real if it is "
    "beyond what blocks of time, and a spread of 5 % between runs, explain, and may be above 15 % (30 % from "
    "p95 on). With three or more, the runs themselves show what is noise."
)


def terminal(comparison: Mapping[str, Json], width: int = 80, colour: bool = False) -> str:
    """The comparison for a terminal."""
    lines = []
    for label in ("before", "after"):
        for run in comparison[label]:
            lines += wrapped(f"{label:<8}", _run(run), width)
    lines += [line for reason in comparison["reasons"] for line in wrapped("NOT COMPARABLE  ", reason, width)]
    lines += [line for note in comparison["notes"] for line in wrapped("note    ", note, width)]
    lines += ["", f"{'':16}{'before':>12}{'after':>12}{'change':>10}"]
    for what, stats in (*rows(comparison), *elsewhere(comparison)):
        lines += wrapped("", what, width)
        lines += [_line(stat, colour) for stat in stats]
    lines += ["", *wrapped("", LEGEND, width)]
    if comparison["fail_on"]:
        lines.append("")
    for each in comparison["fail_on"]:
        word = "FAIL" if each["failed"] else "ok"
        lines += judged(word, f"{each['fail_on']}  ({asked(each)})", width, colour)
    return "\n".join([*lines, "", headline(comparison)]) + "\n"


def _run(run: Mapping[str, Json]) -> str:
    return f"{run['file']}: {counted(run['users'], 'user')}, {run['duration_s']:.1f} s, {run['started']}"


def rows(comparison: Mapping[str, Json]) -> list[tuple[str, Stats]]:
    """Each row's type and name, and those of its stats that tables show."""
    return [(f"{row['type']} {row['name']}", list(_worth(row["stats"]))) for row in comparison["rows"]]


def elsewhere(comparison: Mapping[str, Json]) -> list[tuple[str, Stats]]:
    """Ledger and connections, as tables show rows."""
    return [(part, comparison[part]) for part in ("ledger", "connections") if comparison[part]]


def _worth(stats: Stats) -> Iterator[Mapping[str, Json]]:
    for stat in stats:
        if stat["stat"] in _SHOWN and (stat["stat"] != "fail_ratio" or stat["before"] or stat["after"]):
            yield stat


def _line(stat: Mapping[str, Json], colour: bool) -> str:
    verdict = stat["verdict"]
    if colour and stat["real"]:
        paint = RED if "worse" in verdict else GREEN if "better" in verdict else YELLOW
        verdict = paint + verdict + PLAIN
    values = f"{shown(stat, 'before'):>12}{shown(stat, 'after'):>12}{change(stat):>10}"
    return f"  {label(stat):<14}{values}  {verdict}".rstrip()


def label(stat: Mapping[str, Json]) -> str:
    """What a stat is called, with its unit."""
    name = {"rate": "", "fail_ratio": "failures"}.get(stat["stat"], stat["stat"])
    return f"{name} {_unit(stat)}".strip()


def _unit(stat: Mapping[str, Json]) -> str:
    unit: str = stat["unit"]
    return "%" if stat["stat"] == "fail_ratio" else unit


def shown(stat: Mapping[str, Json], side: str) -> str:
    """A value to three digits or so; a dash for none."""
    value = stat[side]
    if value is None:
        return "-"
    if stat["stat"] == "fail_ratio":
        value *= 100
    if 0 < value < 0.1:
        return rounded(value, 2)  # one timeout in an hour is more than none
    return three_digits(value)


def change(stat: Mapping[str, Json]) -> str:
    """A change in percent; `from 0` where there was nothing."""
    if stat["change"] is None:
        return "from 0" if stat["before"] == 0 and stat["after"] else "-"
    percent = 100 * stat["change"]
    return f"{percent:+.1f} %" if abs(percent) < 9.95 else f"{percent:+.0f} %"


def asked(each: Mapping[str, Json]) -> str:
    """What became of a change that was asked for."""
    values = f"{shown(each, 'before')} to {shown(each, 'after')} {_unit(each)}".rstrip()
    return f"{values}, {change(each)}: {each['reason']}"


def headline(comparison: Mapping[str, Json]) -> str:
    """What came out, in one line."""
    stats = [stat for _, stats in (*rows(comparison), *elsewhere(comparison)) for stat in stats]
    real = [stat["verdict"] for stat in stats if stat["real"]]
    worse, better = (sum(word in verdict for verdict in real) for word in ("worse", "better"))
    rates = len(real) - worse - better  # of which nobody knows whether more is better
    told = [f"{worse} worse, {better} better"] if worse or better else []
    told += [f"{counted(rates, 'rate')} changed"] if rates else []
    failed = [each for each in comparison["fail_on"] if each["failed"]]
    judged = any(stat["real"] is not None for stat in stats)
    none = "no change that is told from noise" if judged else "nothing could be told from noise"
    parts = [", ".join(told) or none]
    if not comparison["comparable"]:
        parts.append("the runs are not comparable")
    if failed:
        parts.append(f"{len(failed)} of {len(comparison['fail_on'])} --fail-on failed")
    return f"sioload compare: {'; '.join(parts)}; exit code {comparison['exit_code']}"


def markdown(comparison: Mapping[str, Json]) -> str:
    """The comparison in Markdown: what is real at a glance, and the whole table folded away."""
    lines = [f"### {md(headline(comparison))}", ""]
    lines += [f"- {side}: {md(_run(run))}" for side in ("before", "after") for run in comparison[side]]
    lines += [f"- **not comparable**: {md(reason)}" for reason in comparison["reasons"]]
    lines += [f"- {md(note)}" for note in comparison["notes"]]
    for each in comparison["fail_on"]:
        word = "**failed**" if each["failed"] else "ok"
        lines.append(f"- {word}: {md(each['fail_on'])} ({md(asked(each))})")
    every = rows(comparison)
    whole = (*every, *elsewhere(comparison))
    real = [(what, [stat for stat in stats if stat["real"]]) for what, stats in whole]
    if any(stats for _, stats in real):
        lines += ["", *_md_table(real)]
    lines += ["", f"<details><summary>{counted(len(every), 'row')}, ledger and connections</summary>", ""]
    lines += [*_md_table([*every[:_MARKDOWN_ROWS], *elsewhere(comparison)]), ""]
    if len(every) > _MARKDOWN_ROWS:
        lines += [f"...and {counted(len(every) - _MARKDOWN_ROWS, 'more row')}.", ""]
    return "\n".join([*lines, md(LEGEND), "", "</details>"]) + "\n"


def _md_table(parts: Sequence[tuple[str, Stats]]) -> list[str]:
    lines = ["| row | | before | after | change | |", "|---|---|--:|--:|--:|---|"]
    for what, stats in parts:
        for stat in stats:
            verdict = f"**{stat['verdict']}**" if stat["real"] else stat["verdict"]
            cells = (shown(stat, "before"), shown(stat, "after"), change(stat), verdict)
            lines.append(f"| {md(what)} | {label(stat)} | {' | '.join(cells)} |")
    return lines
