"""What keeps users from their work, said once each: thousands may meet the same fault."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Final

from sioload.measure.names import normalise
from sioload.net.deadlines import Deadlines, Timer

logger = logging.getLogger(__name__)

#: Distinct faults that are logged in one run.
COMPLAINTS: Final = 50
#: Characters of one: its remedy stands at the end.
WHOLE: Final = 400
#: Seconds in which users that give up are counted before they are told of, at first and at most.
SOON, LATER = 1.0, 60.0


class Complaints:
    """The faults of one run."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._said: set[str] = set()
        self._gave_up: dict[str, int] = {}
        self._pause = SOON
        self._timer: Timer | None = None

    def reset(self) -> None:
        """A new run begins."""
        self._said.clear()
        self._gave_up.clear()
        self._pause = SOON

    def say(self, text: str, where: str = "the failures table counts it") -> None:
        """Log a fault, unless it was logged in this run; `where` more is to be seen of it."""
        text = normalise(text, WHOLE)
        if text not in self._said and len(self._said) < COMPLAINTS:
            self._said.add(text)
            logger.error("sioload: %s (said once; %s)", text, where)

    def gave_up(self, text: str) -> None:
        """A user ended before the run did; how many did so is logged soon.

        Args:
            text: of which class it was, and why: "of Chat gave up: dial: connection refused".
        """
        text = normalise(text, WHOLE)
        if not self._gave_up:
            self._timer = self._deadlines.at(perf_counter() + self._pause, self._tell)
            self._pause = min(2 * self._pause, LATER)
        if text in self._gave_up or len(self._gave_up) < COMPLAINTS:
            self._gave_up[text] = self._gave_up.get(text, 0) + 1

    def _tell(self, now: float) -> None:
        self.tell()

    def tell(self) -> None:
        """Log now how many users gave up since it was last told."""
        self._deadlines.cancel(self._timer)
        given_up, self._gave_up = self._gave_up, {}
        for text, count in given_up.items():
            logger.error("sioload: %d user%s %s", count, "" if count == 1 else "s", text)
