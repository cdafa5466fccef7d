"""Ctrl+C that ends a run in order.

Python raises KeyboardInterrupt in whatever greenlet runs at that moment: a user's, or a callback of the event
loop, which would lose its connection. Here the loop watches for the signal, and the main greenlet gets the
exception.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import get_hub


class Interrupts:
    """What SIGINT does: first end the run, then hurry its end, then let Python raise wherever it is."""

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        self._main: Any = get_hub().parent
        self._count = 0
        self._watcher: Any = gevent.signal_handler(signal.SIGINT, self._interrupted)

    def _interrupted(self) -> None:
        self._count += 1
        if self._count == 1:
            get_hub().loop.run_callback(self._main.throw, KeyboardInterrupt())
        elif self._count == 2:
            self._hurry()
        else:
            self.restore()
            os.kill(os.getpid(), signal.SIGINT)

    def restore(self) -> None:
        """Leave SIGINT to Python again."""
        self._watcher.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)
