"""Reading figures of a server: the text of a Prometheus endpoint, or a process of this machine.

Whoever answers is not trusted: an answer has a total deadline and a limit of size, only lines that are wanted
are looked at, and others get their turn after each piece of it. What is wrong is raised, to be said once.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import gevent
import psutil
from prometheus_client.parser import text_string_to_metric_families

from sioload.engineio.urls import Endpoint, in_ascii
from sioload.measure.names import clean_name
from sioload.net.turns import give_way
from sioload.report.servers import USUAL, Servers

#: Seconds that an answer may take in all, and its bytes.
DEADLINE: Final = 5.0
LARGEST: Final = 4 << 20
#: Bytes after which others get their turn: half a millisecond's work.
_PIECE: Final = 1 << 14
#: Lines that are looked at, at most, and the longest one.
_LINES, _LONGEST = 500, 1 << 15
#: What counts is smaller, so that sums and differences of it are numbers too.
_HUGE: Final = 1e300
_TOO_MANY: Final = "it has too many figures: let --sio-server-metric name fewer"
_COUNTERS: Final = ("counter", "histogram", "summary")


class ReadError(Exception):
    """What was read, or that nothing was, is of no use; says why."""


class Source(Protocol):
    """What is read every few seconds."""

    @property
    def name(self) -> str:
        """As the option calls it."""

    def read(self, servers: Servers) -> None:
        """Add a reading of each of its figures.

        Raises:
            ReadError: it can't be read.
        """


@dataclass(frozen=True, slots=True)
class PrometheusSource:
    """A Prometheus endpoint."""

    name: str
    endpoint: Endpoint
    patterns: tuple[str, ...]

    def read(self, servers: Servers) -> None:
        started = time.monotonic()
        try:
            with gevent.Timeout(DEADLINE):
                text = "\n".join(self._lines()) + "\n"
        except gevent.Timeout as error:
            raise ReadError(f"no whole answer within {DEADLINE:g} s") from error
        except http.client.IncompleteRead as error:
            raise ReadError("its answer isn't whole") from error
        except (http.client.BadStatusLine, http.client.UnknownProtocol) as error:
            closed = isinstance(error, http.client.RemoteDisconnected)
            raise ReadError("it closes without an answer" if closed else "it doesn't speak HTTP") from error
        except (OSError, http.client.HTTPException, ValueError) as error:  # of a name, too
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ReadError(reason.lower()) from error
        now = (started + time.monotonic()) / 2
        found = _samples(text)
        if not found:
            raise ReadError(
                "none of the figures that are looked for is in it: --sio-server-metric names others"
            )
        levels: dict[str, tuple[str, float]] = {}
        series = Counter(name for name, *_ in found)
        for name, labels, value, counted in found:
            metric, unit = USUAL.get(name, (name, "/s" if counted else ""))
            if labels and not (name in USUAL and series[name] == 1):  # which all of its metrics have
                metric += "{" + ",".join(f'{key}="{labels[key]}"' for key in sorted(labels)) + "}"
                metric = clean_name(metric)
            if not counted:
                levels[metric] = (unit, max(value, levels[metric][1]) if metric in levels else value)
            elif not servers.count((self.name, "", metric), unit, now, value):
                raise ReadError(_TOO_MANY)
        for metric, (unit, value) in levels.items():
            if not servers.add((self.name, "", metric), unit, now, value):
                raise ReadError(_TOO_MANY)

    def _lines(self) -> Iterator[str]:
        """The lines that are wanted of the answer."""
        wanted = _wanted(self.patterns)
        rest, kept = b"", 0
        for piece in self._body():
            whole, _, rest = (rest + piece).rpartition(b"\n")
            if len(rest) > _LONGEST:
                raise ReadError("it isn't Prometheus' text format: a line has no end")
            for line in wanted.findall(whole):
                kept += 1
                if kept > _LINES:
                    raise ReadError(_TOO_MANY)
                yield line.decode("utf-8", "replace")
        yield from (line.decode("utf-8", "replace") for line in wanted.findall(rest)[:1])

    def _body(self) -> Iterator[bytes]:
        at = self.endpoint
        connection: http.client.HTTPConnection
        if at.tls:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(at.host, at.port, timeout=DEADLINE, context=context)
        else:
            connection = http.client.HTTPConnection(at.host, at.port, timeout=DEADLINE)
        headers = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity", "Connection": "close"}
        if at.authorization:
            headers["Authorization"] = at.authorization
        try:
            target = in_ascii(at.path + ("?" + at.query if at.query else ""))
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise ReadError(f"it answers {answer.status} {answer.reason}"[:80])
            if answer.getheader("Content-Encoding", "identity") != "identity":
                raise ReadError("it answers compressed, which wasn't asked for")
            size, whole = 0, answer.length
            while (whole is None or size < whole) and (piece := answer.read1(_PIECE)):
                size += len(piece)
                if size > LARGEST:
                    raise ReadError(f"its answer is larger than {LARGEST >> 20} MiB")
                yield piece
                give_way()
            if whole is not None and size < whole:
                raise http.client.IncompleteRead(b"", whole - size)
        finally:
            connection.close()


def _wanted(patterns: Iterable[str]) -> re.Pattern[bytes]:
    """Matches each line of a wanted metric, and the one that tells its type."""
    names = [*map(re.escape, USUAL), *(pattern.replace("*", "[a-zA-Z0-9_:]*") for pattern in patterns)]
    name = f"(?:{'|'.join(names)})"
    return re.compile(rf"^(?:{name}[ \t{{][^\n]*|# TYPE {name}[ \t][^\n]*)$".encode("ascii"), re.MULTILINE)


def _samples(text: str) -> list[tuple[str, dict[str, str], float, bool]]:
    """Name, labels, value, and whether it is a counter, of each sample."""
    found = []
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                value = float(sample.value)
                if sample.name.endswith("_bucket") or not abs(value) < _HUGE:  # also NaN
                    continue
                counted = family.type in _COUNTERS and "quantile" not in sample.labels
                # OpenMetrics leaves the end of a counter's name out of the line that tells its type.
                told = family.type != "unknown" and sample.name != "process_cpu_seconds_total"
                counted = counted or (not told and sample.name.endswith("_total"))
                found.append((sample.name, sample.labels, value, counted))
    except Exception as error:  # whatever a parser makes of hostile text
        raise ReadError("it isn't Prometheus' text format") from error
    return found


class ProcessSource:
    """A process of this machine.

    Raises:
        ReadError: there is none of this number.
    """

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self._open = True  # the system lets us count its descriptors, as far as is known
        try:
            self._process = psutil.Process(pid)
        except psutil.Error as error:
            raise ReadError(f"there is no process {pid}") from error

    def read(self, servers: Servers) -> None:
        process = self._process
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                raise ReadError("the process has ended")
            with process.oneshot():
                used, memory = process.cpu_times(), process.memory_info().rss
            now = time.monotonic()
            servers.count((self.name, "", "cpu"), "cores", now, used.user + used.system)
            servers.add((self.name, "", "memory"), "B", now, float(memory))
            if self._open:
                servers.add((self.name, "", "descriptors"), "", now, float(process.num_fds()))
        except psutil.AccessDenied as error:
            self._open = False
            raise ReadError("its descriptors can't be counted, as it is another user's process") from error
        except psutil.Error as error:
            raise ReadError(str(error) or type(error).__name__) from error
