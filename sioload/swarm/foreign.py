"""Requests of other clients (`self.client`, other user classes), as Locust's `request` event tells them.

Locust counts them in its own statistics. Here they get rows beside ours, with a histogram each, so that
reports and checks know them too; those rows are never given to Locust, which would count them twice.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from sioload.measure.recorder import Recorder
from sioload.swarm.guard import Guard

if TYPE_CHECKING:
    from locust.env import Environment


#: Requests of the running test from before this process had its part in it.
_early: Final[deque[tuple[Any, ...]]] = deque(maxlen=10_000)


def keep_early(events: Any) -> None:
    """Keep requests that are made before there is somebody who counts them.

    A worker that joins a running test may begin it while Locust still makes its runner.
    """
    events.request.add_listener(_keep)
    events.test_start.add_listener(lambda **_: _early.clear())


def _keep(
    request_type: str,
    name: str,
    response_time: float | None = None,
    response_length: int | None = None,
    exception: object = None,
    **_: object,
) -> None:
    _early.append((request_type, name, response_time, response_length, exception))


class ForeignRequests:
    """Fills a recorder's rows of other clients for as long as the process lives."""

    def __init__(self, environment: Environment, recorder: Recorder) -> None:
        self._recorder = recorder
        Guard(environment, recorder.internal_error).listen("request", self.on_request)
        request: Any = environment.events.request
        if _keep in request._handlers:
            request.remove_listener(_keep)

    def count_early(self) -> None:
        """The test began before this was made: count what was requested by then."""
        while _early:
            self.on_request(*_early.popleft())

    def on_request(
        self,
        request_type: str,
        name: str,
        response_time: float | None = None,
        response_length: int | None = None,
        exception: object = None,
        **_: object,
    ) -> None:
        """Count one; `response_time` is in milliseconds."""
        row = self._recorder.foreign_row(str(request_type), str(name))
        seconds = None if response_time is None else response_time / 1000
        row.bytes += response_length or 0
        if exception:
            kind = type(exception).__name__ if isinstance(exception, Exception) else "error"
            row.fail(message_of(exception), seconds, kind=kind)
        elif seconds is None:
            row.tick()
        else:
            row.add(seconds)


def message_of(exception: object) -> str:
    """A failed request's message: requests puts the URL behind it, which the row's name tells already."""
    message, _, _ = str(exception).partition(" for url: ")
    return message or type(exception).__name__
