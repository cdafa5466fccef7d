"""A client outside a load test, whose failures raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sioload.client.api import SocketIOClient
from sioload.measure.rows import Row
from sioload.net.fleet import Fleet
from sioload.options import Options
from sioload.plain import Json


@contextmanager
def client(options: Options | Mapping[str, Json]) -> Iterator[SocketIOClient]:
    """Gives a client; it, and those that it made, are closed when the block is left.

    Raises:
        ExceptionGroup: what failed and reached nobody, when the block is left without an exception.
    """
    fleet = Fleet()
    failures = Failures()
    fleet.recorder.listen(failures)
    raised = True
    try:
        yield SocketIOClient(fleet, options)
        raised = False
    finally:
        fleet.drain(0.0 if raised else 5.0)
        if not raised and (unheard := failures.unheard()):
            raise (
                unheard[0] if len(unheard) == 1 else ExceptionGroup("what failed and reached nobody", unheard)
            )


class Failures:
    """Hears of each sample, and keeps the exceptions of those that failed."""

    def __init__(self) -> None:
        self._of_calls: list[Exception] = []
        self._of_handlers: list[Exception] = []

    def __call__(self, row: Row, seconds: float | None, text: str | None) -> None:
        about, row.about = row.about, None
        error = about[2] if about is not None else None
        if error is None:
            return
        if row.name.endswith(("(handler)", "(callback)", "(hook)")):
            self._of_handlers.append(error)
        elif row.type in ("CALL", "REPLY", "EMIT"):
            self._of_calls.append(error)

    def unheard(self) -> list[Exception]:
        """Those that no method raised: of user code, and of emits that nobody waited for."""
        return [*self._of_handlers, *(error for error in self._of_calls if error.__traceback__ is None)]
