"""Whether this machine was fast enough to be believed: the health of the load generator itself.

A timer that fires late has one of two causes. Either this process was computing (its *own lag*: its samples
came late by as much), or the machine gave its time to others (*machine lag*, common on shared virtual
machines, and no fault of the run). The CPU time that the process used meanwhile tells them apart:
own lag = min(lateness, CPU time used).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sioload.measure.histogram import Histogram

#: Seconds of a window; windows begin after the ramp-up.
WINDOW: Final = 5.0
#: A window is limited when the process used more than this share of one core...
CPU_LIMIT: Final = 0.90
#: ...or when its own lag at p99 is above this (seconds) and above this share of the window's CALL p50.
LAG_FLOOR: Final = 0.005
LAG_SHARE: Final = 0.10
#: More limited windows than this share make the verdict.
LIMITED_SHARE: Final = 0.20
#: Machine lag at p99 (seconds) from which the machine is called contended.
CONTENDED: Final = 0.010

OK: Final = "ok"
LIMITED: Final = "generator limited"


@dataclass(slots=True)
class HealthTotals:
    """What one process measured of itself.

    Attributes:
        windows, limited: windows after the ramp-up, and how many of them were limited.
        cpu_peak: the busiest window's share of one core.
        own, machine: own and machine lag of all windows.
        worst_own: own lag at p99 of the worst limited window, in seconds.
        cpu, own_p99, machine_p99: of the newest window, in cores and seconds.
        descriptors_left, ports_left: what could still be opened, at its lowest; None if unknown.
    """

    windows: int = 0
    limited: int = 0
    cpu_peak: float = 0.0
    own: Histogram = field(default_factory=Histogram)
    machine: Histogram = field(default_factory=Histogram)
    worst_own: float = 0.0
    cpu: float = 0.0
    own_p99: float = 0.0
    machine_p99: float = 0.0
    descriptors_left: int | None = None
    ports_left: int | None = None

    @property
    def verdict(self) -> str:
        return LIMITED if self.limited > LIMITED_SHARE * self.windows else OK

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is what it is, and what else is worth knowing; empty when all is well."""
        found = []
        if self.verdict == LIMITED:
            found.append(
                f"{self.limited} of {self.windows} windows limited: CPU up to {self.cpu_peak:.0%} of a core, "
                f"own lag p99 up to {self.worst_own * 1000:.1f} ms"
            )
        machine = self.machine.percentile(99)
        if machine > CONTENDED:
            found.append(f"machine contended: timers up to {machine * 1000:.1f} ms late at p99 while idle")
        return found

    def encode(self) -> dict[str, Any]:
        """Plain values, for msgpack."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**data, "own": self.own.encode(), "machine": self.machine.encode()}

    @classmethod
    def decode(cls, data: dict[str, Any]) -> HealthTotals:
        """The totals that `encode` was called on."""
        hists = {"own": Histogram.decode(data["own"]), "machine": Histogram.decode(data["machine"])}
        return cls(**{**data, **hists})


@dataclass(frozen=True, slots=True)
class Window:
    """One closed window; times in seconds, `cpu` in cores."""

    cpu: float
    own_p99: float
    machine_p99: float
    limited: bool


class Health:
    """Measures one process, fed by a timer that fires some fifty times a second.

    Attributes:
        totals: what was measured so far. Callers write `descriptors_left` and `ports_left` through `left`.
    """

    __slots__ = ("_cpu", "_machine", "_own", "_since", "totals")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything and wait for `begin`."""
        self.totals = HealthTotals()
        self._since: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._cpu = 0.0
        self._own: list[float] = []
        self._machine: list[float] = []

    def begin(self, now: float) -> None:
        """The ramp-up is over: count windows from `now` (monotonic seconds) on. Repeatable."""
        if self._since is None:
            self._since = now
            self._clear()

    def tick(self, now: float, lateness: float, cpu: float, own: float | None = None) -> bool:
        """The timer fired.

        Args:
            now: monotonic seconds.
            lateness: seconds by which it fired late.
            cpu: CPU seconds, user and system, that the process used since the previous tick.
            own: seconds of the lateness in which this process was computing, if the caller knows better than
                `cpu`, which holds what was used before the timer was due too.

        Returns:
            Whether a window is full and `close` is due.
        """
        if self._since is None:
            return False
        own = max(0.0, min(lateness, cpu if own is None else own))
        self._own.append(own)
        self._machine.append(max(0.0, lateness - own))
        self._cpu += cpu
        return now - self._since >= WINDOW

    def close(self, now: float, call_p50: float | None) -> Window | None:
        """Judge the window that ends now and begin the next.

        Args:
            now: monotonic seconds.
            call_p50: median of the CALL samples of the window, in seconds; None if there were none.

        Returns:
            The window, for a warning while it happens; None before `begin`.
        """
        if self._since is None or now <= self._since:
            return None
        totals = self.totals
        cpu = self._cpu / (now - self._since)
        # Of the ticks of half a window, one hiccup would be the p99: at least three ticks must be as late.
        few = max(1.0, 300.0 / max(1, len(self._own)))
        owns, machines = _histogram(self._own), _histogram(self._machine)
        own, machine = owns.percentile(100.0 - min(few, 100.0)), machines.percentile(99)
        limited = cpu > CPU_LIMIT or own > max(LAG_FLOOR, LAG_SHARE * (call_p50 or 0.0))
        totals.windows += 1
        totals.cpu, totals.own_p99, totals.machine_p99 = cpu, own, machine
        totals.cpu_peak = max(totals.cpu_peak, cpu)
        totals.own.merge(owns)
        totals.machine.merge(machines)
        if limited:
            totals.limited += 1
            totals.worst_own = max(totals.worst_own, own)
        self._since = now
        self._clear()
        return Window(cpu, own, machine, limited)

    def end(self, now: float, call_p50: float | None) -> Window | None:
        """The load ends: judge a last window of at least half the length, and count no more until `begin`."""
        window = None
        if self._since is not None and now - self._since >= WINDOW / 2:
            window = self.close(now, call_p50)
        self._since = None
        return window

    def left(self, descriptors: int | None, ports: int | None) -> None:
        """Descriptors and local ports that are left; the lowest value seen is kept."""
        totals = self.totals
        totals.descriptors_left = _least(totals.descriptors_left, descriptors)
        totals.ports_left = _least(totals.ports_left, ports)


def _histogram(times: list[float]) -> Histogram:
    histogram = Histogram()
    for seconds in times:
        histogram.add(seconds)
    return histogram


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def judge(processes: Sequence[tuple[str, HealthTotals]]) -> dict[str, Any]:
    """The report's `health`: limited when any process was; lags over all, and each process by name."""
    own, machine = Histogram(), Histogram()
    reasons: list[str] = []
    listed = []
    for name, totals in processes:
        own.merge(totals.own)
        machine.merge(totals.machine)
        reasons += [f"{name}: {reason}" if len(processes) > 1 else reason for reason in totals.reasons]
        listed.append({
            "name": name, "verdict": totals.verdict, "windows": totals.windows, "limited": totals.limited,
            "cpu_peak": round(totals.cpu_peak, 3), **_lags(totals.own, totals.machine),
            "descriptors_left": totals.descriptors_left, "ports_left": totals.ports_left,
        })  # fmt: skip
    if not any(totals.windows for _, totals in processes):
        reasons.append("the run after its ramp-up was too short to judge the generator")
    limited = any(totals.verdict == LIMITED for _, totals in processes)
    peak = max((totals.cpu_peak for _, totals in processes), default=0.0)
    return {"verdict": LIMITED if limited else OK, "cpu_peak": round(peak, 3), **_lags(own, machine),
            "reasons": reasons, "processes": listed}  # fmt: skip


def _lags(own: Histogram, machine: Histogram) -> dict[str, float]:
    return {
        "own_lag_p99_ms": round(own.percentile(99) * 1000, 3),
        "machine_lag_p99_ms": round(machine.percentile(99) * 1000, 3),
    }
