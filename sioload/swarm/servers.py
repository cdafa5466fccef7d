"""`--sio-server` and `--sio-admin`: figures of the servers, read where the run's figures come together.

Each source is read in a greenlet of its own, and nothing waits for it: neither a user nor the run's end.
"""

from __future__ import annotations

import argparse
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import gevent

from sioload.engineio.urls import bare, parse_url
from sioload.errors import UsageError
from sioload.measure.names import normalise
from sioload.report.servers import Metric, Servers
from sioload.swarm.admin import NAME, AdminSource, admin_url
from sioload.swarm.scrape import ProcessSource, PrometheusSource, ReadError, Source

logger = logging.getLogger(__name__)

#: Seconds between two readings of a source.
EVERY: Final = 2.0
#: Seconds that the last figures of nodes are waited for, and between two looks whether they are there.
LAST: Final = 2.5
LOOK: Final = 0.05
#: Seconds between two attempts to read one that fails, at most.
PATIENCE: Final = 30.0
_SERVER: Final = re.compile(r"([A-Za-z][\w.-]{0,39})=(?:pid:([0-9]{1,9})|(.+))", re.DOTALL)
_PATTERN: Final = re.compile(r"[a-zA-Z_:*][a-zA-Z0-9_:*]{0,99}")


def understood(text: str, read: Callable[[str], object], what: str = "") -> str:
    """A text that `read` takes, as it was given; of another argparse tells why, behind `what`."""
    try:
        read(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{what}{error}") from error
    return text


def server_text(text: str) -> str:
    """`NAME=URL` or `NAME=pid:PID`, as it was given."""
    parts = _SERVER.fullmatch(text)
    if parts is None:
        raise argparse.ArgumentTypeError(
            f"{bare(text)!r}: write NAME=URL, e.g. api=http://127.0.0.1:3000/metrics, or NAME=pid:PID"
        )
    if parts[1] == NAME:
        raise argparse.ArgumentTypeError(
            f"the name {NAME!r} is that of --sio-admin's figures: choose another"
        )
    if parts[3]:
        understood(parts[3], parse_url, f"{parts[1]}: ")
    return text


def pattern_text(text: str) -> str:
    """A pattern of metrics' names, as it was given."""
    if not _PATTERN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a metric; * stands for any part of one")
    return text


def admin_text(text: str) -> str:
    """`URL[/admin]`, as it was given."""
    return understood(text, admin_url)


class Watch:
    """Reads all sources that were asked for, from `start` on.

    Args:
        options: Locust's, with ours.
        on: whether a test goes on, and readings count.

    Attributes:
        servers: what was read in the running test.

    Raises:
        UsageError: two sources have one name, or there is no such process.
    """

    def __init__(self, options: Any, on: Callable[[], bool]) -> None:
        self.servers = Servers()
        self._on = on
        self._said: set[str] = set()
        self._said_idle: set[str] = set()
        self._sources: list[Source] = []
        patterns = tuple(getattr(options, "sio_server_metric", None) or ())
        for text in getattr(options, "sio_server", None) or ():
            self._sources.append(self._source(text, patterns))
        self._admins = [
            AdminSource(url, self.servers, on, partial(self._complain, f"--sio-admin {bare(url)}"))
            for url in getattr(options, "sio_admin", None) or ()
        ]

    def _source(self, text: str, patterns: tuple[str, ...]) -> Source:
        parts = _SERVER.fullmatch(text)
        if parts is None:
            raise UsageError(f"--sio-server {bare(text)!r} is no NAME=URL")
        name, pid, url = parts.groups()
        if any(source.name == name for source in self._sources):
            raise UsageError(f"--sio-server: two servers are called {name!r}")
        if url is not None:
            return PrometheusSource(name, parse_url(url), patterns)
        try:
            return ProcessSource(name, int(pid))
        except ReadError as error:
            raise UsageError(f"--sio-server {text}: {error}") from error

    def start(self) -> None:
        """Begin to read."""
        for number, source in enumerate(self._sources):
            gevent.spawn(self._follow, source, number * EVERY / len(self._sources))
        for admin in self._admins:
            gevent.spawn(admin.watch)

    def begin(self) -> None:
        """A test begins: what was said in the one before may be said again, but not what was said since."""
        self._said, self._said_idle = self._said_idle, set()

    def clear(self) -> None:
        """A test begins, or what it counted is forgotten."""
        self.servers.clear()

    def finish(self) -> None:
        """The run is over: wait for what nodes tell of its last seconds, which they do every two."""
        ended = time.monotonic()
        for admin in self._admins:
            admin.finishing = True
        while not all(admin.tells_since(ended) for admin in self._admins) and time.monotonic() < ended + LAST:
            gevent.sleep(LOOK)

    def metrics(self) -> list[Metric]:
        """What was read."""
        return self.servers.metrics()

    def _follow(self, source: Source, begin: float) -> None:
        """Read a source for ever; one after the other, so that users of this process never wait for all."""
        gevent.sleep(begin)
        due, pause = time.monotonic(), EVERY
        while True:
            try:
                if self._on():
                    source.read(self.servers)
                pause = EVERY
            except ReadError as error:
                self._complain(f"--sio-server {source.name}", normalise(str(error)))
                pause = min(2 * pause, PATIENCE)
            due = max(due + pause, time.monotonic())
            gevent.sleep(due - time.monotonic())

    def _complain(self, option: str, text: str) -> None:
        """Say what a source lacks, once for each in a test. The run goes on without it."""
        if option not in self._said:
            self._said.add(option)
            if not self._on():
                self._said_idle.add(option)
            logger.warning("sioload: %s: %s (said once)", option, text)
