"""The types of rows, and what holds for all of a type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RowType:
    """What holds for all rows of a type.

    Attributes:
        timed: its samples carry a time. (Heartbeats of Socket.IO 0.9 are the exception: counted only.)
        aggregated: its samples enter Locust's `Aggregated` line.
        fixed: its names are of a small closed set, and are never crowded out by names that a server chose.
    """

    timed: bool = True
    aggregated: bool = True
    fixed: bool = False


#: Every row type, in the order that reports show them.
ROW_TYPES: Final[dict[str, RowType]] = {
    "DIAL": RowType(aggregated=False, fixed=True),
    "OPEN": RowType(fixed=True),
    "UPGRADE": RowType(fixed=True),
    "CONNECT": RowType(),
    "CALL": RowType(),
    "REPLY": RowType(),
    "EMIT": RowType(timed=False),
    "PUSH": RowType(aggregated=False),
    "FANOUT": RowType(aggregated=False),
    "RECV": RowType(timed=False),
    "WAIT": RowType(aggregated=False),
    "HEARTBEAT": RowType(aggregated=False, fixed=True),
    "RECONNECT": RowType(aggregated=False, fixed=True),
    "DISCONNECT": RowType(timed=False, fixed=True),
}
#: Types of requests that Locust's own clients make; whatever else a script fires keeps its type too.
HTTP_TYPES: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_FOREIGN: Final = RowType()


def row_type(type: str) -> RowType:
    """What holds for a type: one of ours, or of another client's requests."""
    return ROW_TYPES.get(type, _FOREIGN)
