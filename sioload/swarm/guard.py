"""Listeners that never raise: an exception out of one would change Locust's exit code, or end the process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class Guard:
    """Registers listeners whose faults are logged and noted as internal errors (exit code 4).

    Args:
        environment: Locust's, whose events are listened to.
        note: takes a fault's text.
    """

    def __init__(self, environment: Any, note: Callable[[str], None]) -> None:
        self._events = environment.events
        self._note = note

    def safe(self, function: Callable[..., None]) -> Callable[..., None]:
        """`function`, with exceptions noted instead of raised. `SystemExit` and the like pass."""

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except Exception as error:
                logger.exception("sioload: internal error in %s", function.__name__)
                self._note(f"{type(error).__name__}: {error}")

        return guarded

    def listen(self, event: str, function: Callable[..., None]) -> None:
        """Call `function` at this event, after the listeners that are there."""
        getattr(self._events, event).add_listener(self.safe(function))

    def first(self, event: str, function: Callable[..., None]) -> None:
        """Call `function` at this event before every listener that is there, Locust's own among them."""
        getattr(self._events, event)._handlers.insert(0, self.safe(function))
