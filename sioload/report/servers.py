"""Figures of the servers beside the client's: what was read of each, over the time of a run.

A source (`--sio-server`, `--sio-admin`) has one metric for each thing that it tells of each node. All its
readings enter minimum, mean and maximum; of its course points are kept that are coarser with age, as in
`report/history.py`.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sioload.durations import seconds_of
from sioload.plain import Json
from sioload.report.words import in_unit, rounded

#: Points of one fineness, of which each is half as fine as the one before: so many that the course is nowhere
#: coarser than the history that it is drawn beside.
KEEP: Final = 300
#: Metrics of one source, at most: hostile ones might make any number up.
MOST: Final = 100
#: Seconds for which a reading holds: a chart has a gap where none was to be had.
HOLDS: Final = 6.0
#: Seconds after which the last state of a counter tells nothing of its rate.
STALE: Final = 15.0
#: What Prometheus' own clients call what every server has: their name to ours, and its unit. A counter is
#: shown as its rate, so seconds of CPU become cores. An event loop that is late now and then may be on time
#: just when it is asked, so of two lags (now; p99 since it was last asked) the longer one counts.
USUAL: Final = {
    "nodejs_eventloop_lag_seconds": ("event_loop_lag", "s"),
    "nodejs_eventloop_lag_p99_seconds": ("event_loop_lag", "s"),
    "process_cpu_seconds_total": ("cpu", "cores"),
    "process_resident_memory_bytes": ("memory", "B"),
    "process_open_fds": ("descriptors", ""),
}
#: What is told of each node by Socket.IO's admin namespace.
ADMIN: Final = {"clients": "", "polling_clients": "", "packets_in": "/s", "packets_out": "/s",
                "bytes_in": "B/s", "bytes_out": "B/s"}  # fmt: skip
_UNITS: Final = {**dict(USUAL.values()), **ADMIN}
STATS: Final = ("min", "mean", "max", "last")
_SIZES: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_VALUE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(.*?)(/s)?", re.DOTALL)
#: What each unit is written as in a check.
_WRITTEN: Final = {
    "s": "a time, such as 200ms",
    "B": "a size, such as 500MiB",
    "B/s": "a size per second, such as 5MB/s",
    "cores": "a number of cores, such as 0.9, or 90%",
    "/s": "a rate, such as 100/s",
    "": "a number",
}


class Metric:
    """One thing that is told of one node.

    Attributes:
        name: of the source.
        node: which of the nodes that it tells of; "" where it tells of one.
        metric: what it is.
        unit: "s", "B", "cores", "/s", "B/s" or "".
        count: readings.
        min, mean, max, last: over all of them.
        total: what a rate came to in all; None where it is none.
    """

    __slots__ = (
        "_levels",
        "count",
        "last",
        "max",
        "mean",
        "metric",
        "min",
        "name",
        "node",
        "total",
        "unit",
    )

    def __init__(self, name: str, node: str, metric: str, unit: str) -> None:
        self.name = name
        self.node = node
        self.metric = metric
        self.unit = unit
        self.count = 0
        self.total: float | None = None
        self.last = self.mean = 0.0
        self.min, self.max = math.inf, -math.inf
        self._levels: list[tuple[array[float], array[float]]] = []  # times and values, the finest first

    def add(self, at: float, value: float, more: float | None = None) -> None:
        """Add a reading.

        Args:
            at: when (seconds of a monotonic clock).
            value: what was read.
            more: for a rate, by how much its counter grew.
        """
        self.count += 1
        self.last = value
        self.mean += (value - self.mean) / self.count
        self.min, self.max = min(self.min, value), max(self.max, value)
        if more is not None:
            self.total = (self.total or 0.0) + more
        self._append(0, at, value)

    def _append(self, level: int, at: float, value: float) -> None:
        """Add a point of a fineness; the two oldest of too many become one of the next."""
        if level == len(self._levels):
            self._levels.append((array("d"), array("d")))
        times, values = self._levels[level]
        times.append(at)
        values.append(value)
        if len(times) > KEEP:
            self._append(level + 1, times[1], (values[0] + values[1]) / 2)
            del times[:2], values[:2]

    def _course(self) -> tuple[array[float], array[float]]:
        """All points, the oldest first: their times and their values."""
        found = array("d"), array("d")
        for times, values in reversed(self._levels):
            found[0].extend(times)
            found[1].extend(values)
        return found

    def copy(self) -> Metric:
        """The same readings, which get no more."""
        twin = Metric(self.name, self.node, self.metric, self.unit)
        twin.count, twin.total, twin.last = self.count, self.total, self.last
        twin.min, twin.mean, twin.max = self.min, self.mean, self.max
        twin._levels = [(times[:], values[:]) for times, values in self._levels]
        return twin

    def holds(self, at: float) -> bool:
        """Whether the newest reading tells how it was then (seconds of the same clock)."""
        newest, _ = self._levels[0]
        return at - newest[-1] <= HOLDS

    @property
    def names(self) -> tuple[str, str]:
        """What a check may call it: with its node, and without."""
        return f"{self.name}/{self.node}/{self.metric}", f"{self.name}/{self.metric}"

    @property
    def label(self) -> str:
        """Whose figure it is, for people."""
        return f"{self.name} {self.node}" if self.node else self.name

    def on(self, spans: Iterable[tuple[float, float]], origin: float) -> list[float | None]:
        """Its course over spans of seconds since `origin`: the mean in each, or the last one before."""
        found: list[float | None] = []
        times, values = self._course()
        for start, end in spans:
            first, last = (bisect_right(times, origin + at) for at in (start, end))
            if last > first:
                found.append(_short(sum(values[first:last]) / (last - first)))
            elif last and origin + end - times[last - 1] <= HOLDS:
                found.append(_short(values[last - 1]))
            else:
                found.append(None)
        return found

    def document(self, origin: float) -> dict[str, Json]:
        """It as reports show it; `series` are pairs of seconds since `origin` and values."""
        series = [[round(at - origin, 2), _short(v)] for at, v in zip(*self._course(), strict=True)]
        shown: dict[str, Json] = {
            "name": self.name,
            "node": self.node,
            "metric": self.metric,
            "unit": self.unit,
            "count": self.count,
            **{stat: _short(getattr(self, stat)) for stat in STATS},
        }
        if self.total is not None:
            shown["total"] = _short(self.total)
        return {**shown, "series": series}


def _short(value: float) -> float:
    """Six digits: more would be noise, and long."""
    return float(f"{value:.6g}")


class Servers:
    """The metrics of a run, by source, node and name."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[str, str, str], Metric] = {}
        self._before: dict[tuple[str, str, str], tuple[float, float]] = {}

    def clear(self) -> None:
        """Forget all readings: a run begins. Counters go on from where they stand."""
        self._metrics.clear()

    def add(
        self, key: tuple[str, str, str], unit: str, at: float, value: float, more: float | None = None
    ) -> bool:
        """Add a reading of (source, node, metric); False, and it isn't added, if the source has too many."""
        metric = self._metrics.get(key)
        if metric is None:
            if sum(known[0] == key[0] for known in self._metrics) >= MOST:
                return False
            metric = self._metrics[key] = Metric(*key, unit)
        metric.add(at, value, more)
        return True

    def more(self, key: tuple[str, str, str], more: float) -> None:
        """A counter that was read in the run grew by so much at its end."""
        metric = self._metrics.get(key)
        if metric is not None:
            metric.total = (metric.total or 0.0) + more

    def count(self, key: tuple[str, str, str], unit: str, at: float, value: float) -> bool:
        """Add a reading of a counter: its rate since the last one, unless it has begun anew."""
        before = self._before.get(key)
        if before is None and len(self._before) >= 10 * MOST:
            return False
        self._before[key] = (at, value)
        if before is None or not 0 < at - before[0] < STALE or value < before[1]:
            return True
        more = value - before[1]
        return self.add(key, unit, at, more / (at - before[0]), more)

    def metrics(self) -> list[Metric]:
        """All that was read, the usual figures first; copies, which a thread may read."""
        place = {metric: number for number, metric in enumerate(_UNITS)}
        ranked = sorted(self._metrics, key=lambda key: (place.get(key[2], len(place)), key[2], key[:2]))
        return [self._metrics[key].copy() for key in ranked]


# Checks: `server[api/event_loop_lag]: max < 200ms`.


def limit_of(metric: str, value: str) -> tuple[float, str]:
    """The number that a check compares with, and its unit.

    Raises:
        ValueError: it is no such value, or none of this metric; says what is.
    """
    unit = _UNITS.get(metric)
    wanted = _WRITTEN["" if unit is None else unit]
    seconds = seconds_of(value)
    if seconds is not None:
        found, written = seconds, "s"
    else:
        parts = _VALUE.fullmatch(value)
        if parts is None:
            raise ValueError(f"{value!r} is no number, time or size")
        number, size, rate = float(parts[1]), parts[2], parts[3] or ""
        if size == "%":
            found, written = number / 100, "cores"
        elif size in _SIZES:
            found, written = number * _SIZES[size], "B" + rate
        elif not size:
            found, written = number, rate
        else:
            raise ValueError(f"{value!r} is no number, time or size")
    if unit is not None and not fits(unit, written):
        raise ValueError(f"{metric} is {wanted}, not {value!r}")
    return found, written


def fits(unit: str, written: str) -> bool:
    """Whether a limit written in one unit can be compared with a metric of another."""
    return written == unit or (written == "" and unit in ("cores", "/s"))


def judge(
    metrics: Sequence[Metric],
    stat: str,
    holds: Callable[[float, float], bool],
    op: str,
    limit: float,
    unit: str,
) -> tuple[bool, str, str]:
    """Whether a limit holds, what was measured, and why it doesn't; readings of all nodes count as one's."""
    odd = next((each for each in metrics if not fits(each.unit, unit)), None)
    if odd is not None:
        return False, "not comparable", f"{odd.metric} is {_WRITTEN[odd.unit]}"
    if stat == "mean":
        value = sum(each.mean * each.count for each in metrics) / sum(each.count for each in metrics)
    else:
        value = (min if stat == "min" else max)(getattr(each, stat) for each in metrics)
    unit = metrics[0].unit
    text, most, ok = shown(value, unit), shown(limit, unit), holds(value, limit)
    if text == most and value != limit:
        text, most = (f"{each:.12g} {unit}".rstrip() for each in (value, limit))
    return ok, text, "" if ok else f"{stat} is {text}, not {op} {most}"


def shown(value: float, unit: str) -> str:
    """A value for people: `98.2 ms`, `61.4 MiB`, `0.97 cores`."""
    if unit == "s":
        return f"{digits(value * 1000)} ms" if value < 10 else f"{value:.2f} s"
    if unit.startswith("B"):
        number, size = in_unit(value)
        return f"{digits(number)} {size}{unit[1:]}"
    return f"{digits(value)}{unit and (unit if unit == '/s' else ' ' + unit)}"


def shown_total(value: float, unit: str) -> str:
    """What a rate of this unit came to in all, for people: cores are seconds of CPU, each second."""
    return shown(value, "s" if unit == "cores" else unit.removesuffix("/s"))


def digits(value: float) -> str:
    """A number to four digits; what is larger is shown whole, not as a power of ten."""
    return rounded(value, 4) if abs(value) < 1000 else f"{value:.0f}"


def titled(metric: str) -> str:
    """A metric's name for people; those that weren't named here stay as they are."""
    return metric.replace("_", " ") if metric in _UNITS else metric


def summary(servers: Iterable[dict[str, Json]]) -> list[str]:
    """A line for each node, from the report: the mean and the maximum of each figure."""
    lines: dict[str, list[str]] = {}
    for each in servers:
        label = f"{each['name']} {each['node']}".strip()
        mean, most = (shown(each[stat], each["unit"]) for stat in ("mean", "max"))
        lines.setdefault(label, []).append(f"{titled(each['metric'])} {mean} (max {most})")
    return [f"{label}: {', '.join(parts)}" for label, parts in lines.items()]
