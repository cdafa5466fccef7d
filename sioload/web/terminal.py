"""One live line in the terminal while a headless run goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any, Final, TextIO

import locust.stats

from sioload.report import words
from sioload.report.history import OPENING, SPREAD, Cell, Point
from sioload.report.summary import PLAIN, RED, coloured, columns_of, pieces
from sioload.swarm.capacity import table
from sioload.swarm.guard import Guard
from sioload.web.live import Live

#: Seconds between two lines: on a terminal, where a line replaces the one before, and elsewhere.
LIVE, LOGGED = 1.0, 5.0
#: Longest line.
WIDTH: Final = 79
_CLEAR: Final = "\r\x1b[K"


class Screen:
    """Where the line is written: over and over in one place on a terminal, else line after line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.live = out.isatty()
        self._colour = coloured(out)
        self._shown = False

    @property
    def width(self) -> int:
        """Columns that a line may take. One that wraps would stay when the next takes its place."""
        columns = 0
        if self.live:
            with contextlib.suppress(OSError, ValueError):
                columns = os.get_terminal_size(self._out.fileno()).columns  # 0 where it isn't known
        return min(WIDTH, columns - 1) if columns > 1 else WIDTH

    def show(self, text: str, *, bad: bool) -> None:
        """Show the newest line; `bad` marks it in red, on a terminal."""
        if not self.live:
            self._write(text + "\n")
            return
        text = pieces(text, self.width)[0]
        self._write(_CLEAR + (f"{RED}{text}{PLAIN}" if bad and self._colour else text))
        self._shown = True

    def clear(self) -> None:
        """Make room for something else."""
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        """Write, as long as there is somebody to read it: a pipe that was closed is no fault of the run."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text)
            self._out.flush()


class Broom(logging.Handler):
    """Comes before the handlers that print, and clears the line out of their way."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """A record is about to be printed."""
        self._screen.clear()


def show_if_headless(live: Live, guard: Guard) -> None:
    """Show the line in this process, if it has no web UI."""
    if live.environment.web_ui is not None or not getattr(live.environment.parsed_options, "headless", False):
        return
    if sys.stderr is None:  # it was closed before the process began
        return
    screen = Screen(sys.stderr)
    if screen.live:
        for log in (logging.getLogger(), logging.getLogger("locust"), locust.stats.console_logger, table):
            log.handlers.insert(0, Broom(screen))
    guard.listen("quitting", lambda **_: screen.clear())
    guard.every(LIVE if screen.live else LOGGED, lambda: _update(live, screen))


def _update(live: Live, screen: Screen) -> None:
    point = live.history.newest
    if point is None:
        return
    if live.judge.running:
        figures: Any = live.judge.figures()
        failures = sum(row.failures for row in figures.rows)
        text = line(point, live.history.rows, failures, live.judge.phase(), screen.width)
        screen.show(text, bad=failures > 0)
    elif live.settled_at is None:
        screen.show("waiting for the last acks and reports", bad=False)


def line(
    point: Point,
    rows: list[tuple[str, str]],
    failures: int,
    phase: tuple[str, float] | None = None,
    width: int = WIDTH,
) -> str:
    """How the run stands, in so many columns: what has no room is left out.

    Args:
        point: what happened last.
        rows: the history's rows.
        failures: of the whole run.
        phase: the one that is on, and the seconds that it goes on for.
        width: columns that there are.
    """
    opening = point.connections.get(OPENING, 0)
    is_open = sum(point.connections.values()) - opening
    on = [] if phase is None else [f"{phase[0][:20]}, {_clock(phase[1])} left"]
    parts = [_clock(point.end), *on, words.counted(point.users, "user", ",.0f"), f"{is_open:,.0f} open"]
    if opening:
        parts.append(f"{opening:,.0f} opening")
    counted = sum(cell.count for row, cell in point.cells.items() if rows[row][0] != SPREAD)
    rate = counted / point.seconds
    parts.append(f"{words.counted(rate, 'event', ',.0f')}/s")
    answered: Cell | None = None
    for row, cell in point.cells.items():
        if rows[row][0] in ("CALL", "REPLY"):
            answered = cell if answered is None else answered.joined(cell)
    if answered is not None and answered.times:
        p50, _, p99, *_ = answered.times
        parts.append(f"p50 {_ms(p50)} ms  p99 {_ms(p99)} ms")
    parts.append(f"{failures:,} failed")
    if point.processes:
        parts.append(f"CPU {max(cpu for cpu, *_ in point.processes.values()):.0%}")
    while len(parts) > 1 and columns_of("  ".join(parts)) > width:
        parts.pop()
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
