"""Signals that end a run in order.

Python raises KeyboardInterrupt in whatever greenlet runs at that moment: a user's, or a callback of the event
loop, which would lose its connection. Here the loop watches for the signal, and the main greenlet gets the
exception. SIGTERM is Locust's; here it is only counted. SIGHUP, of a terminal that is closed, ends a run too,
and hurries nobody: kernel and shell may send one each.
"""

from __future__ import annotations

import contextlib
import math
import signal
import termios
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Final

import gevent
from gevent.hub import get_hub
from locust.input_events import UnixKeyPoller

#: Seconds after which a SIGTERM that nobody heeded ends the run as SIGINT does.
HEARD: Final = 0.2
#: Seconds after which an interrupt must have begun an end. With `--autostart` Locust lets the first one end a
#: shape alone: its web UI stays, and may start another run.
HEEDED: Final = 1.0


class Interrupts:
    """What signals do: end the run, then hurry its end, then let Python raise wherever it is."""

    def __init__(
        self,
        signals: Iterable[signal.Signals],
        begun: Callable[[signal.Signals], None],
        hurry: Callable[[], None],
        quitting: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> None:
        """
        Args:
            signals: SIGINT, and SIGTERM and SIGHUP if they are to end the run in order.
            begun: told of one that is to end the run, in the hub.
            hurry: called in a greenlet.
            quitting: whether the process is ending already, for whatever reason.
            stopping: whether a run is being ended.
        """
        self._begun = begun
        self._hurry = hurry
        self._quitting = quitting
        self._stopping = stopping
        self._hurried = False
        self._first = -math.inf
        hub = get_hub()
        self._main: Any = hub.parent
        self._watchers: list[Any] = []
        for number in signals:
            watcher: Any = hub.loop.signal(number, ref=False)
            watcher.start(self._signalled, number)
            self._watchers.append(watcher)

    def _signalled(self, number: signal.Signals) -> None:
        """In the hub."""
        if not self._quitting() and not self._heeded():
            self._first, self._hurried = perf_counter(), False
            self._begun(number)
            if number != signal.SIGTERM:
                get_hub().loop.run_callback(self._interrupt)
            else:  # Locust listens to it later than it begins to wait for workers, or for a shape's end
                gevent.spawn_later(HEARD, self._interrupt)
        elif number == signal.SIGHUP:
            return
        elif not self._hurried:
            self._hurried = True
            gevent.spawn(self._hurry)
        else:
            self.restore()
            get_hub().loop.run_callback(self._main.throw, KeyboardInterrupt())

    def _heeded(self) -> bool:
        """Whether an earlier signal began an end that isn't over, or may yet."""
        return self._first > perf_counter() - HEEDED or (self._first > -math.inf and self._stopping())

    def _interrupt(self) -> None:
        if not self._quitting():
            get_hub().loop.run_callback(self._main.throw, KeyboardInterrupt())

    def restore(self) -> None:
        """Leave signals to Python and Locust again."""
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers.clear()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_terminal(poller: UnixKeyPoller, cleanup: Any = UnixKeyPoller.cleanup) -> None:
    """What Locust does to its terminal at the end. If that is gone, it would be an exception of a greenlet:
    exit code 2."""
    with contextlib.suppress(termios.error):
        cleanup(poller)
