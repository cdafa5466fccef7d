"""Attempts to connect: made again, with the pauses of reconnecting, until one succeeds or all are used up."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from sioload.errors import ConnectError
from sioload.options import Options
from sioload.socketio.backoff import backoff

#: Said of an attempt that the script ends.
UNCONNECTED: Final = "disconnected before it was connected"


def repeat(
    attempt: Callable[[], None],
    options: Options,
    pause: Callable[[float], None],
    failed: Callable[[ConnectError], None],
) -> None:
    """Make an attempt, and up to `reconnection_attempts` more while it fails.

    Args:
        attempt: raises `ConnectError` when it fails.
        options: whose backoff and limit hold.
        pause: sleeps so many seconds between two attempts; what it raises ends them.
        failed: told of each failure, at once.

    Raises:
        ConnectError: the last attempt's.
    """
    tried = 0
    while True:
        try:
            attempt()
            return
        except ConnectError as error:
            failed(error)
            if tried >= options.reconnection_attempts:
                raise
        pause(delay(options, tried))
        tried += 1


def delay(options: Options, tried: int) -> float:
    """Seconds to wait before the next attempt, after so many."""
    return backoff(
        tried, options.reconnection_delay, options.reconnection_delay_max, options.randomization_factor
    )


class Returns:
    """A user's returns to a server that closed its namespaces, or the session, on purpose.

    JavaScript's clients don't come back then by themselves; scripts that make them do it at once are sent
    away as often as the server can. Returns that follow each other are one series of attempts, though each
    succeeds; what lasted for longer than the longest delay begins a new one.
    """

    __slots__ = ("_at", "_tried")

    def __init__(self) -> None:
        self._at = -float("inf")
        self._tried = 0

    def make(
        self,
        attempt: Callable[[], None],
        options: Options,
        pause: Callable[[float], None],
        failed: Callable[[ConnectError], None],
    ) -> None:
        """As `repeat`, with a pause before the first attempt too.

        Raises:
            ConnectError: `reconnection_attempts` are used up.
        """
        if perf_counter() - self._at > options.reconnection_delay_max:
            self._tried = 0
        last = ConnectError("connect", "closed by the server, and reconnection_attempts are used up")
        while self._tried < options.reconnection_attempts:
            pause(delay(options, self._tried))
            self._tried += 1
            try:
                attempt()
                return
            except ConnectError as error:
                failed(error)
                last = error
            finally:
                self._at = perf_counter()
        raise last
