"""Whether a report says the same as the server that was tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sioload.plain import Json


def compare(report: Mapping[str, Json], counts: Mapping[str, Json]) -> tuple[int, list[str]]:
    """Compare a report with the embedded target's `GET /counts`.

    Returns:
        How many figures were compared, and a line for each that differs.
    """
    ours, theirs = Counter(_reported(report)), Counter(_counted(counts))
    keys = sorted(ours.keys() | theirs.keys())
    return len(keys), [
        f"{what}: the report says {ours[what]}, the server {theirs[what]}"
        for what in keys
        if ours[what] != theirs[what]
    ]


def _reported(report: Mapping[str, Json]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in report["events"]:
        kind, name, good = row["type"], row["name"], row["count"] - row["failures"]
        namespace, _, event = name.rpartition(" ")
        label = f"{namespace or '/'} {event}"
        if kind in ("CALL", "EMIT"):
            found[f"emits of {label}"] += row["count"]
        if kind == "CALL":
            found[f"acks of {label}"] += good
        elif kind in ("PUSH", "RECV", "WAIT"):
            found[f"pushes of {label}"] += good
        elif kind == "CONNECT":
            found[f"connects to {name}"] += good
    return found


def _counted(counts: Mapping[str, Json]) -> Counter[str]:
    found: Counter[str] = Counter()
    for table, label in (("received", "emits of"), ("acks", "acks of"), ("sent", "pushes of")):
        for namespace, events in counts[table].items():
            for event, number in events.items():
                found[f"{label} {namespace} {event}"] += number
    for namespace, number in counts["connects"].items():
        found[f"connects to {namespace}"] += number
    return found
