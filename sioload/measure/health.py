"""Whether this machine was fast enough to be believed: the health of the load generator itself.

A timer that fires late has one of two causes. Either this process's event loop was busy or blocked when it
was due (its *own lag*: its samples came late by as much), or the machine gave its time to others (*machine
lag*, common on shared virtual machines, and no fault of the run). `swarm/lag.py` tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

from sioload.measure.histogram import Histogram
from sioload.plain import Json

#: Seconds of a window.
WINDOW: Final = 5.0
#: A window is limited when the process used more than this share of one core...
CPU_LIMIT: Final = 0.90
#: ...or when its own lag at p99 is above this (seconds) and above this share of the window's CALL p50.
LAG_FLOOR: Final = 0.005
LAG_SHARE: Final = 0.10
#: More limited windows than this share make the verdict.
LIMITED_SHARE: Final = 0.20
#: Windows from which a verdict is shown while the run goes on: one alone says little.
FIRM: Final = 3
#: Of a core. A limited process that uses less isn't short of CPU: something blocks it.
BLOCKED: Final = 0.5
#: Machine lag at p99 (seconds) from which the machine is called contended.
CONTENDED: Final = 0.010
#: Seconds at one time from which it is said that a process stood still: no percentile shows what is one tick.
STILL: Final = 1.0

OK: Final = "ok"
LIMITED: Final = "generator limited"
UNJUDGED: Final = "not judged"


@dataclass(slots=True)
class Windows:
    """What the windows of a part of a run showed.

    Attributes:
        count, limited: how many there were, and how many of them were limited.
        cpu_peak: the busiest window's share of one core.
        worst_own, worst_cpu: of limited windows, the worst own lag at p99 (seconds) and the most CPU (cores).
        own, machine: own and machine lag of all of them.
    """

    count: int = 0
    limited: int = 0
    cpu_peak: float = 0.0
    worst_own: float = 0.0
    worst_cpu: float = 0.0
    own: Histogram = field(default_factory=Histogram)
    machine: Histogram = field(default_factory=Histogram)

    @property
    def shown(self) -> str:
        """What the limited ones showed."""
        return (
            f"{self.limited} of {self.count} windows limited: CPU up to {self.cpu_peak:.0%} of a core, "
            f"own lag p99 up to {self.worst_own * 1000:.1f} ms"
        )

    @property
    def reason(self) -> str:
        """That, and what to do about it."""
        return f"{self.shown}. {remedy(self.worst_cpu, self.machine.percentile(99))}"

    def joined(self, other: Windows) -> Windows:
        """Both as one."""
        both = Windows(
            self.count + other.count,
            self.limited + other.limited,
            max(self.cpu_peak, other.cpu_peak),
            max(self.worst_own, other.worst_own),
            max(self.worst_cpu, other.worst_cpu),
        )
        for each in (self, other):
            both.own.merge(each.own)
            both.machine.merge(each.machine)
        return both

    def encode(self) -> dict[str, Json]:
        """Plain values, for msgpack."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**data, "own": self.own.encode(), "machine": self.machine.encode()}

    @classmethod
    def decode(cls, data: dict[str, Json]) -> Windows:
        """The windows that `encode` was called on."""
        hists = {"own": Histogram.decode(data["own"]), "machine": Histogram.decode(data["machine"])}
        return cls(**{**data, **hists})


def too_many(*parts: Windows) -> bool:
    """Whether so many of their windows were limited that the generator was."""
    return sum(part.limited for part in parts) > LIMITED_SHARE * sum(part.count for part in parts)


def remedy(cpu: float, machine: float) -> str:
    """What to do about a limited process: cores that it used, and the machine's lag at p99 in seconds."""
    if cpu >= BLOCKED:
        return "Use more workers (--processes) or fewer users."
    held = (
        "something holds the event loop up (a driver written in C, a file, a lock, a long computation). "
        "Find it, or move it into gevent's threadpool."
    )
    if machine > CONTENDED:
        return f"Others use this machine's cores: run where they are free. If that doesn't help, {held}"
    return f"More workers wouldn't help: {held}"


@dataclass(slots=True)
class HealthTotals:
    """What one process measured of itself.

    Attributes:
        ramp, steady: the windows of the ramp-up and those after it.
        part: those since the last boundary of a search for capacity; None without.
        cpu, own_p99, machine_p99: of the newest window, in cores and seconds.
        still: seconds for which it didn't run, being stopped or without a core, in pieces of `STILL` or more.
        estimated: the kernel doesn't tell how long it made the process wait, so own lag is the least of
            lag and CPU time, and what blocks without CPU isn't seen.
        descriptors_left, ports_left: what could still be opened, at its lowest; None if unknown.
    """

    ramp: Windows = field(default_factory=Windows)
    steady: Windows = field(default_factory=Windows)
    part: Windows | None = None
    cpu: float = 0.0
    own_p99: float = 0.0
    machine_p99: float = 0.0
    still: float = 0.0
    estimated: bool = False
    descriptors_left: int | None = None
    ports_left: int | None = None

    @property
    def windows(self) -> int:
        """How many there were in all."""
        return self.ramp.count + self.steady.count

    @property
    def _judged(self) -> tuple[Windows, ...]:
        """The windows that make the verdict: those of the ramp-up too if they are more than half of all."""
        return (self.steady,) if self.ramp.count <= self.steady.count else (self.ramp, self.steady)

    @property
    def counted(self) -> Windows:
        """They, as one; joining them takes long."""
        return self.ramp.joined(self.steady) if len(self._judged) > 1 else self.steady

    @property
    def verdict(self) -> str:
        if not self.windows:
            return UNJUDGED
        return LIMITED if too_many(self.steady) or too_many(*self._judged) else OK

    def reasons(self, counted: Windows, machine: float) -> list[str]:
        """Why the verdict is what it is, and what else is worth knowing; empty when all is well.

        Given is what was `counted`, with its machine lag at p99 in seconds.
        """
        found = []
        if not self.windows:
            least = f"{WINDOW / 2:g} s of ramp-up, or after it"
            return [f"the run was too short to judge the generator: that takes {least}"]
        if too_many(counted):
            found.append(counted.reason)
        elif too_many(self.steady):
            found.append(f"after the ramp-up, {self.steady.reason}")
        elif too_many(self.ramp):
            found.append(f"during the ramp-up, which isn't judged, {self.ramp.shown}")
        if machine > CONTENDED:
            found.append(f"machine contended: timers up to {machine * 1000:.1f} ms late at p99 while idle")
        if self.still:
            meanwhile = "it made no load then, and what came meanwhile was timed when it went on"
            why = "stopped, or the machine gave it no time"
            found.append(f"stood still for {self.still:.1f} s ({why}): {meanwhile}")
        if self.estimated:
            found.append("own lag is estimated from CPU time: /proc/thread-self/schedstat can't be read")
        return found

    def encode(self) -> dict[str, Json]:
        """Plain values, for msgpack."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        part = None if self.part is None else self.part.encode()
        return {**data, "ramp": self.ramp.encode(), "steady": self.steady.encode(), "part": part}

    @classmethod
    def decode(cls, data: dict[str, Json]) -> HealthTotals:
        """The totals that `encode` was called on."""
        parts = {"ramp": Windows.decode(data["ramp"]), "steady": Windows.decode(data["steady"])}
        part = None if data["part"] is None else Windows.decode(data["part"])
        return cls(**{**data, **parts, "part": part})


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

    __slots__ = ("_cpu", "_machine", "_on", "_own", "_ramp", "_since", "totals")

    def __init__(self) -> None:
        self._on = self._ramp = False
        self.reset()

    def reset(self) -> None:
        """Forget everything. Under load, a window begins anew."""
        self.totals = HealthTotals()
        self._since: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._cpu = 0.0
        self._own: list[float] = []
        self._machine: list[float] = []

    def begin(self) -> None:
        """Load begins, with its ramp-up: a window begins with the next tick."""
        self._on = self._ramp = True
        self._since = None

    def ramped(self, now: float, call_p50: float | None) -> Window | None:
        """The ramp-up is over: judge its last window of at least half the length. Repeatable. See `close`."""
        return self._turn(now, call_p50, ramp=False) if self._ramp else None

    def ramp(self, now: float, call_p50: float | None) -> Window | None:
        """The load changes: judge the level part's last window, of half the length at least. Repeatable."""
        return self._turn(now, call_p50, ramp=True) if self._on and not self._ramp else None

    def divide(self, now: float, call_p50: float | None) -> Window | None:
        """A boundary of a search for capacity: judge the last window, of half the length at least."""
        return self._turn(now, call_p50, ramp=self._ramp) if self._on else None

    def _turn(self, now: float, call_p50: float | None, *, ramp: bool) -> Window | None:
        window = self._last(now, call_p50)
        self._ramp = ramp
        self._since = now
        self._clear()
        return window

    def tick(self, now: float, lag: float, cpu: float, own: float) -> bool:
        """The timer fired.

        Args:
            now: monotonic seconds.
            lag: seconds by which it fired late.
            cpu: CPU seconds, user and system, that the process used since the previous tick.
            own: seconds of the lag in which this process's loop was busy or blocked.

        Returns:
            Whether a window is full and `close` is due.
        """
        if not self._on:
            return False
        if self._since is None:
            self._since = now
            self._clear()
            return False
        own = max(0.0, min(lag, own))
        self._own.append(own)
        self._machine.append(max(0.0, lag - own))
        self._cpu += cpu
        return now - self._since >= WINDOW

    def stood(self, seconds: float) -> None:
        """The process didn't run for so long, at one time, and not because it was busy or blocked."""
        if self._on and seconds >= STILL:
            self.totals.still += seconds

    def close(self, now: float, call_p50: float | None) -> Window | None:
        """Judge the window that ends now and begin the next.

        Args:
            now: monotonic seconds.
            call_p50: median of the CALL samples of the window, in seconds; None if there were none.

        Returns:
            The window, for a warning while it happens; None without load.
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
        totals.cpu, totals.own_p99, totals.machine_p99 = cpu, own, machine
        for part in (totals.ramp if self._ramp else totals.steady, totals.part):
            if part is None:
                continue
            part.count += 1
            part.cpu_peak = max(part.cpu_peak, cpu)
            part.own.merge(owns)
            part.machine.merge(machines)
            if limited:
                part.limited += 1
                part.worst_own = max(part.worst_own, own)
                part.worst_cpu = max(part.worst_cpu, cpu)
        self._since = now
        self._clear()
        return Window(cpu, own, machine, limited)

    def end(self, now: float, call_p50: float | None) -> Window | None:
        """The load ends: judge a last window of at least half the length, and count no more until `begin`."""
        window = self._last(now, call_p50) if self._on else None
        self._on = False
        self._since = None
        return window

    def _last(self, now: float, call_p50: float | None) -> Window | None:
        if self._since is None or now - self._since < WINDOW / 2:
            return None
        return self.close(now, call_p50)

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


def judge(processes: Sequence[tuple[str, HealthTotals]]) -> dict[str, Json]:
    """The report's `health`: limited when any process was; lags over all, and each process by name."""
    own, machine = Histogram(), Histogram()
    reasons: list[str] = []
    listed = []
    verdicts = {totals.verdict for _, totals in processes}
    verdict = next((each for each in (LIMITED, OK) if each in verdicts), UNJUDGED)
    peak = 0.0
    for name, totals in processes:
        counted = totals.counted
        own.merge(counted.own)
        machine.merge(counted.machine)
        peak = max(peak, counted.cpu_peak)
        own_p99, machine_p99 = counted.own.percentile(99), counted.machine.percentile(99)
        if verdict != UNJUDGED:
            told = totals.reasons(counted, machine_p99)
            reasons += [f"{name}: {reason}" if len(processes) > 1 else reason for reason in told]
        listed.append({
            "name": name, "verdict": totals.verdict, "windows": counted.count, "limited": counted.limited,
            "ramp_windows": totals.ramp.count, "ramp_limited": totals.ramp.limited,
            "cpu_peak": round(counted.cpu_peak, 3), **_lags(own_p99, machine_p99),
            "descriptors_left": totals.descriptors_left, "ports_left": totals.ports_left,
        })  # fmt: skip
    if verdict == UNJUDGED:
        reasons += HealthTotals().reasons(Windows(), 0.0)
    lags = _lags(own.percentile(99), machine.percentile(99))
    return {"verdict": verdict, "cpu_peak": round(peak, 3), **lags, "reasons": reasons, "processes": listed}


def shown_verdict(judged: Mapping[str, Json], *, final: bool) -> str:
    """The verdict of a process, or of the report's `health`, for whoever watches the run.

    Args:
        judged: what `judge` made of a process, or of all.
        final: the run is over. Before that, fewer windows than `FIRM` make no verdict.
    """
    verdict: str = judged["verdict"]
    measured = judged.get("processes", [judged])
    firm = any(each["verdict"] == verdict and each["windows"] >= FIRM for each in measured)
    return verdict if final or firm else f"{UNJUDGED} yet"


def _lags(own: float, machine: float) -> dict[str, float]:
    return {"own_lag_p99_ms": round(own * 1000, 3), "machine_lag_p99_ms": round(machine * 1000, 3)}
