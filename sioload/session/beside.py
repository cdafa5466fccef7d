"""0.9's handshake beside another request: a server that keeps silent may be waiting for this one."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from sioload.errors import End
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import Stream
from sioload.session.requests import Requests
from sioload.socketio.detect import identify
from sioload.socketio.generations import V0

if TYPE_CHECKING:
    from sioload.net.dial import Dialler


class Beside:
    """0.9's handshake, while another request is without an answer."""

    def __init__(
        self, requests: Requests, answered: Callable[[HTTPConnection, Response, float], None]
    ) -> None:
        self._requests = requests
        self._answered = answered
        self._asked = perf_counter()
        self._line: HTTPConnection | None = None
        self._dialler: Dialler | None = requests.dial(self._dialled, self._not_dialled)

    def close(self) -> None:
        """Ask no more."""
        if self._dialler is not None:
            self._dialler.cancel()
        if self._line is not None:
            self._line.close()

    def _dialled(self, stream: Stream) -> None:
        self._dialler = None
        self._line = HTTPConnection(stream, self, self._requests.options.limits)
        self._line.request(self._requests.get(V0))

    def _not_dialled(self, stage: str, reason: str) -> None:
        self._dialler = None

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        self._line = None
        if identify(response.status, response.body) is V0:
            self._answered(line, response, self._asked)
        else:
            line.close()

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        self._line = None

    def on_crash(self, error: BaseException) -> None:
        self._requests.fleet.crashed(error)
