"""Runs read back from their reports (`--sio-report`), and why two of them can't be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sioload.errors import UsageError
from sioload.measure.blocks import Block, blocks_of
from sioload.measure.health import LIMITED
from sioload.measure.histogram import Histogram
from sioload.measure.names import unlabelled
from sioload.plain import Json
from sioload.report.checks import DELIVERY, HEARD
from sioload.report.document import SCHEMA, UNVERIFIED, unverified
from sioload.report.events import times_of

#: Runs whose lengths differ by a larger share aren't compared.
_LENGTH: Final = 0.1


@dataclass(slots=True)
class Row:
    """One row of a run, or several as one.

    Attributes:
        times: None in reports of schema 1, which have no histograms.
        latency: what the report shows of them, in ms by stat.
        blocks: number to block; empty where that isn't known.
    """

    type: str
    name: str
    count: int = 0
    failures: int = 0
    skipped: int = 0
    unfinished: int = 0
    times: Histogram | None = field(default_factory=Histogram)
    latency: Mapping[str, float] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)

    def merge(self, other: Row) -> None:
        """Add what another counted."""
        for name in ("count", "failures", "skipped", "unfinished"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if self.times is not None and other.times is not None:
            self.times.merge(other.times)
        else:
            self.times = None
        for number, block in other.blocks.items():
            self.blocks.setdefault(number, Block()).merge(block)


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as its report has it.

    Attributes:
        path: of the report.
        document: all of it.
        rows: in the report's order.
        judged: it has blocks of time, so what changed can be told from noise.
    """

    path: str
    document: Mapping[str, Json]
    rows: Sequence[Row]

    @property
    def judged(self) -> bool:
        return bool(self.document.get("blocks"))

    @property
    def seconds(self) -> float:
        return float(self.document["duration_s"])


def read_run(path: str, text: str) -> Run:
    """A run from the text of its report.

    Raises:
        UsageError: it is none, or isn't whole.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "is cut off" if text.lstrip().startswith("{") else "is no report of sioload"
        raise UsageError(f"{path} {what}: no JSON ({error})") from error
    if not isinstance(document, dict) or not {"schema", "sioload", "events"} <= document.keys():
        raise UsageError(f"{path} is no report of sioload: `--sio-report FILE` writes one")
    if document["schema"] not in (1, SCHEMA):
        raise UsageError(f"{path} is of schema {document['schema']!r}; this sioload reads 1 and {SCHEMA}")
    try:
        span = document.get("blocks")
        run = Run(path, document, [_row(event, bool(span)) for event in document["events"]])
        _facts(run)
        if span:
            # Numbers, and no texts of them.
            math.fsum(span[name] for name in ("start_s", "seconds", "number"))
        math.fsum((document["duration_s"], document["users"]["peak"]))
        document["health"]["verdict"], unverified(document)
        for counts in (document["ledger"], document["connections"]):
            sum(sum(n.values()) if isinstance(n, dict) else int(n) for n in counts.values())
        for each in (*document["delivery"], *document.get("audience", ())):
            sum(n for name, n in each.items() if name in (*DELIVERY, *HEARD)), str(each["name"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{path} is no whole report of sioload: {type(error).__name__} {error}") from error
    return run


def _row(event: Mapping[str, Json], blocks_told: bool) -> Row:
    latency = event["latency_ms"] or {}
    times = times_of(event) if "histogram" in event else None
    blocks = blocks_of(event.get("blocks") or "") if blocks_told else {}
    count, failures, skipped, unfinished = (
        int(event[name]) for name in ("count", "failures", "skipped", "unfinished")
    )
    type, name = str(event["type"]), str(event["name"])
    if min(count, failures, skipped, unfinished) < 0:
        raise ValueError(f"{type} {name} has less than nothing")
    return Row(type, name, count, failures, skipped, unfinished, times, latency, blocks)


def _facts(run: Run) -> dict[str, Json]:
    """What must be equal in two runs, by what it is called."""
    document = run.document
    phases = [
        (phase["name"], phase.get("load", "").removeprefix(f"{phase['name']}: "))  # as the plan has it
        for phase in document.get("phases", [])
    ]
    sessions = any(load.split(" ")[0].endswith("/s") for _, load in phases)
    users = document["users"]
    classes = {each["class"]: each["asked"] for each in users.get("classes", [])}
    transports = {unlabelled(row.name) for row in run.rows if row.type == "OPEN"} - {"(probe)"}
    upgraded = {"upgrade"} if document["connections"]["upgraded"] else set()
    versions = document.get("versions", {})
    facts: dict[str, Json] = {
        # How many there are at a time of users that arrive depends on how long they take.
        "user numbers": None if sessions else users["asked"],
        "phases": "; ".join(f"{name}: {load}" for name, load in phases) or "none",
        "transports": "+".join(sorted(transports | upgraded)) or "none",
        "user classes": ", ".join(sorted(classes) if sessions else map(str, sorted(classes.items()))),
        "version of sioload": document["sioload"],
        "version of Locust": versions.get("locust", "unknown"),
    }
    return facts


def why_not(base: Run, other: Run) -> Iterator[str]:
    """Why two runs can't be compared, each by its name."""
    if base.document["schema"] == other.document["schema"] == SCHEMA:
        known = set(_facts(base))
    else:  # schema 1 doesn't tell all of it
        known = {"user numbers", "transports", "version of sioload"}
    facts, others = _facts(base), _facts(other)
    for what in facts:
        if what in known and facts[what] != others[what]:
            yield f"{what}: {facts[what]} in {base.path}, {others[what]} in {other.path}"
    length = base.seconds
    if abs(other.seconds - length) > _LENGTH * length:
        yield f"duration: {length:.1f} s in {base.path}, {other.seconds:.1f} s in {other.path}"


def limits(runs: Sequence[Run]) -> Iterator[str]:
    """Which runs can't be compared with any."""
    for run in runs:
        if run.document["health"]["verdict"] == LIMITED:
            yield f"verdict: {LIMITED} in {run.path}"
        if "capacity" in run.document:
            yield f"levels: {run.path} is a search's, whose rows are those of all its levels"


def one_sided(before: Sequence[Run], after: Sequence[Run]) -> Iterator[str]:
    """Whether certificates were verified on one side only."""
    loose = [[run.path for run in side if unverified(run.document)] for side in (before, after)]
    if bool(loose[0]) != bool(loose[1]):
        yield f"certificates: {UNVERIFIED} in {', '.join(loose[0] or loose[1])} only"
