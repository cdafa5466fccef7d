"""Finding out which generation a server speaks: one probe for a process and a server, shared by all users.

A polling GET with EIO=4 tells (`sioload.socketio.detect`). A probe that fails tells nothing and isn't
remembered: the attempt itself, made as for Socket.IO 4, then names the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sioload.engineio.urls import Endpoint, Request
from sioload.net.dial import Dialler
from sioload.net.http import Line, Response, request
from sioload.net.stream import Stream
from sioload.options import Options
from sioload.socketio.detect import identify
from sioload.socketio.generations import V4, VERSIONS, Generation

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet

Found = Callable[[Generation], None]


def find_generation(fleet: Fleet, endpoint: Endpoint, options: Options, found: Found) -> None:
    """Call `found(generation)`, at once when it is known."""
    if options.version != "auto":
        found(VERSIONS[options.version])
        return
    key = _key(endpoint)
    known = fleet.generations.get(key)
    if known is not None:
        found(known)
    elif key in fleet.probes:
        fleet.probes[key].append(found)
    else:
        fleet.probes[key] = [found]
        try:
            _Probe(fleet, endpoint, options)
        except BaseException:
            del fleet.probes[key]  # or all who come later would wait for it
            raise


def forget_generation(fleet: Fleet, endpoint: Endpoint) -> None:
    """A server turned out to speak something else: probe again next time."""
    fleet.generations.pop(_key(endpoint), None)


def _key(endpoint: Endpoint) -> tuple[Any, ...]:
    return endpoint.tls, endpoint.host, endpoint.port, endpoint.path


class _Probe:
    """One probe under way."""

    def __init__(self, fleet: Fleet, endpoint: Endpoint, options: Options) -> None:
        self._fleet = fleet
        self._endpoint = endpoint
        self._options = options
        self._asked = perf_counter()
        self._line: Line | None = None
        self._deadline = fleet.deadlines.at(self._asked + options.connect_timeout / 2, self._timed_out)
        self._dialler: Dialler | None = Dialler(
            fleet, endpoint.host, endpoint.port, options, endpoint.tls, self._dialled, self._not_dialled
        )

    def _dialled(self, stream: Stream) -> None:
        self._dialler = None
        self._line = Line(stream, self, self._options.limits)
        self._line.request(self._request("GET", [("EIO", "4"), ("transport", "polling")]))

    def _request(self, method: str, parameters: list[tuple[str, str]], body: bytes | None = None) -> bytes:
        options, endpoint = self._options, self._endpoint
        asked = Request(
            endpoint, "polling", options.headers, options.query, options.cookies, options.encode_query
        )
        return request(method, asked.target(endpoint, parameters), asked.header_list(endpoint), body)

    def on_response(self, line: Line, response: Response) -> None:
        generation = identify(response.status, response.body)
        if generation is not None:
            self._fleet.recorder.row("OPEN", "(probe)").add(perf_counter() - self._asked)
            self._fleet.generations[_key(self._endpoint)] = generation
        line.close()
        self._done(generation or V4)

    def on_failure(self, line: Line, reason: str) -> None:
        self._done(V4)

    def on_crash(self, error: BaseException) -> None:
        self._fleet.crashed(error)
        self._done(V4)

    def _not_dialled(self, stage: str, reason: str) -> None:
        self._done(V4)

    def _timed_out(self, now: float) -> None:
        if self._dialler is not None:
            self._dialler.cancel()
        if self._line is not None:
            self._line.close()
        self._done(V4)

    def _done(self, generation: Generation) -> None:
        self._fleet.deadlines.cancel(self._deadline)
        for found in self._fleet.probes.pop(_key(self._endpoint), []):
            try:
                found(generation)
            except BaseException as error:  # noqa: BLE001 - one user's fault must not reach the others
                self._fleet.crashed(error)
