"""Listeners that never raise: an exception out of one would change Locust's exit code, or end the process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from greenlet import getcurrent, greenlet

from sioload.errors import in_words

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)


class Guard:
    """Registers listeners whose faults are logged and noted as internal errors (exit code 4).

    Args:
        environment: Locust's, whose events are listened to.
        note: takes a fault's text.

    Attributes:
        quitting: the greenlet that ends the process.
    """

    def __init__(self, environment: Environment, note: Callable[[str], None]) -> None:
        self._events = environment.events
        self._note = note
        self.quitting: greenlet | None = None
        self._last: list[tuple[Any, Callable[..., None]]] = []

    def safe(self, function: Callable[..., None]) -> Callable[..., None]:
        """`function`, with exceptions noted instead of raised. `SystemExit` and the like pass."""

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except Exception as error:
                logger.exception("sioload: internal error in %s", function.__name__)
                self._note(in_words(error))

        return guarded

    def listen(self, event: str, function: Callable[..., None]) -> None:
        """Call `function` at this event, after the listeners that are there."""
        getattr(self._events, event).add_listener(self.safe(function))

    def every(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function` whenever so many seconds have passed, in a greenlet of its own, for ever."""
        gevent.spawn(_go_on, seconds, self.safe(function))

    def claim_quit(self) -> None:
        """The process ends, in this greenlet. Another that does so, one for each SIGTERM, stays here."""
        current = getcurrent()
        if self.quitting is None:
            self.quitting = current
        while self.quitting is not current:
            gevent.sleep(1.0)

    def last(self, event: str, function: Callable[..., None]) -> None:
        """Call `function` at this event after every listener that is there when `rearrange` is called."""
        hook, listener = getattr(self._events, event), self.safe(function)
        hook.add_listener(listener)
        self._last.append((hook, listener))

    def rearrange(self) -> None:
        """A script may have added listeners since: put those that are to be last behind them."""
        for hook, listener in self._last:
            hook.remove_listener(listener)
            hook.add_listener(listener)

    def first(self, event: str, function: Callable[..., None]) -> None:
        """Call `function` at this event before every listener that is there, Locust's own among them."""
        getattr(self._events, event)._handlers.insert(0, self.safe(function))


def _go_on(seconds: float, function: Callable[[], None]) -> None:
    while True:
        gevent.sleep(seconds)
        function()
