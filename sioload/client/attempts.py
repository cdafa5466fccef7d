"""Attempts to connect: made again, with the pauses of reconnecting, until one succeeds or all are used up."""

from __future__ import annotations

from collections.abc import Callable

from sioload.errors import ConnectError
from sioload.options import Options
from sioload.socketio.backoff import backoff


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
        pause(
            backoff(
                tried,
                options.reconnection_delay,
                options.reconnection_delay_max,
                options.randomization_factor,
            )
        )
        tried += 1
