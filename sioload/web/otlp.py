"""`--sio-otlp URL`: the run's merged figures to an OpenTelemetry collector, over HTTP.

The figures are made into OpenTelemetry's own data every ten seconds and at the end; no instrument of its SDK
is on the way of a sample. That, and sending it, is done in a thread of its own: a collector that is slow, or
gone, holds nobody up. Headers, certificates, time limits and temporality come from `OTEL_EXPORTER_OTLP_*`.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import gevent
from gevent.threadpool import ThreadPool

from sioload.engineio.secrets import redact
from sioload.engineio.urls import bare
from sioload.measure.histogram import TICKS, Histogram
from sioload.measure.names import normalise
from sioload.measure.recorder import label_of
from sioload.measure.row_types import ROW_TYPES
from sioload.measure.rows import Totals
from sioload.report.buckets import exponential
from sioload.report.told import Told
from sioload.swarm import describe
from sioload.swarm.guard import Guard
from sioload.web.live import LOOK, Live, Look

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import DataT, ExponentialHistogramDataPoint, Metric, NumberDataPoint

logger = logging.getLogger(__name__)

#: Seconds between two exports, and how long the last one may take.
EVERY: Final = 10.0
LAST: Final = 5.0
#: Buckets to a doubling, as a power of two: each is 4.4 % wide.
SCALE: Final = 4
#: Types whose names stand behind their namespace.
_NAMED: Final = ROW_TYPES.keys() - {"DIAL", "OPEN", "UPGRADE", "HEARTBEAT", "RECONNECT", "DISCONNECT"}
_PACKAGE: Final = "opentelemetry.exporter"


class Export:
    """Sends a run's figures to one collector.

    Args:
        live: the run.
        url: of the collector; without a path, that of OTLP's metrics is meant.
    """

    def __init__(self, live: Live, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.resources import Resource

        self._live = live
        self._url = url
        self._pool = ThreadPool(1)
        parts = urlsplit(url)
        whole = url if parts.path.strip("/") else parts._replace(path="/v1/metrics").geturl()
        self._exporter = OTLPMetricExporter(endpoint=whole)
        name = os.environ.get("OTEL_SERVICE_NAME") or "sioload"
        self._resource = Resource.create({"service.name": name, "sioload.run": _run_id(1)})
        self._runs = 0
        self._going = self._said = False
        self._settled = live.settled_at
        self._heard = _Heard()
        wanted = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().upper()
        self._told = Told(delta=wanted in ("DELTA", "LOWMEMORY"))

    def follow(self) -> None:
        """Send every ten seconds while a test goes on, and once when it is over. In a greenlet of its own."""
        sent = time.monotonic()
        while True:
            gevent.sleep(LOOK)
            settled, now = self._live.settled_at, time.monotonic()
            if settled is None and not self._going:
                self._begin()
            self._going = settled is None
            if (now - sent >= EVERY) if settled is None else (settled != self._settled):
                sent = now
                self._settled = settled or self._settled
                self._send(self._live.look())

    def _begin(self) -> None:
        """A test begins, which may be another one of the web UI."""
        from opentelemetry.sdk.resources import Resource

        self._runs += 1
        if self._runs > 1:
            self._resource = self._resource.merge(Resource({"sioload.run": _run_id(self._runs)}))

    def finish(self) -> None:
        """The process ends: send the final figures."""
        self._live.watch()
        try:
            with gevent.Timeout(LAST):
                self._send(self._live.look())
        except gevent.Timeout:
            self._complain(f"it didn't take the final figures in {LAST:g} s")

    def _send(self, look: Look) -> None:
        if not self._pool.apply(self._export, (look,)):
            self._complain("no answer")

    def _complain(self, otherwise: str) -> None:
        """Say once why the collector can't be sent to: what the exporter said of it, or else that."""
        if not self._said:
            self._said = True
            reason = redact(normalise(self._heard.first or otherwise), urlsplit(self._url).password or "")
            logger.warning("sioload: --sio-otlp: can't send to %s: %s (said once)", bare(self._url), reason)

    def _export(self, look: Look) -> bool:
        """In a thread."""
        from opentelemetry.sdk.metrics.export import (
            MetricExportResult,
            MetricsData,
            ResourceMetrics,
            ScopeMetrics,
        )
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        scope = InstrumentationScope("sioload", describe.versions()["sioload"])
        started = int(self._live.judge.started * 1e9)
        labels = {label_of(each).lstrip() for each in self._live.environment.user_classes}
        now = time.time_ns()
        every = metrics(look, self._told.since(started), now, labels, self._told)
        found = [each for each in every if each.data.data_points]  # without any it would have no kind
        parts = [ResourceMetrics(self._resource, [ScopeMetrics(scope, found, "")], "")]
        if self._exporter.export(MetricsData(parts)) is not MetricExportResult.SUCCESS:
            return False
        self._told.taken(now)
        return True


def _run_id(number: int) -> str:
    """What tells a run from all others: `number` of those of this process."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f"{stamp}-{os.getpid()}" + (f"-{number}" if number > 1 else "")


class _Heard(logging.Handler):
    """Keeps the first of what the exporter logs each time that it fails: the cause. It is said once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ""
        for name in (_PACKAGE, "opentelemetry.sdk"):
            of_package = logging.getLogger(name)
            of_package.addHandler(self)
            of_package.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()


def metrics(look: Look, started: int, now: int, labels: Set[str], told: Told) -> Iterator[Metric]:
    """A run's figures as OpenTelemetry's metrics.

    Args:
        look: the run.
        started: since when is told, and `now`, in nanoseconds since the epoch.
        labels: what may stand behind the names of rows, for the kind of users.
        told: what the collector knows.
    """
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        ExponentialHistogram,
        Gauge,
        Metric,
        NumberDataPoint,
        Sum,
    )

    def point(value: float, **attributes: str) -> NumberDataPoint:
        return NumberDataPoint(_named(attributes), started, now, value)

    kind = AggregationTemporality.DELTA if told.delta else AggregationTemporality.CUMULATIVE

    def total(name: str, counts: Iterable[tuple[int, dict[str, str]]]) -> DataT:
        points = [point(told.count(f"{name} {named}", n), **named) for n, named in counts]
        return Sum(points, kind, is_monotonic=True)

    figures = look.figures
    rows = [(row, _of(row, labels)) for row in figures.rows]
    timed = [point for row, named in rows for point in _times(row, _named(named), started, now, told)]
    yield Metric("sioload.event.duration", "Times of events, failures among them", "s",
                 ExponentialHistogram(timed, kind))  # fmt: skip
    counted = total("events", ((row.count, named) for row, named in rows))
    yield Metric("sioload.events", "Events counted, failures among them", "{event}", counted)
    failed = ((n, {**named, "failure": text}) for row, named in rows for text, n in row.errors.items())
    yield Metric("sioload.failures", "Failures, by message", "{event}", total("failures", failed))
    ended = figures.ledger.outcomes()
    outcomes = total("emits", ((n, {"outcome": outcome}) for outcome, n in ended.items()))
    yield Metric("sioload.emits", "Emits that ended, by outcome", "{emit}", outcomes)
    made = figures.connections
    now_open = [point(n, state="open", transport=transport) for transport, n in made.current.items()]
    open_now = Gauge([*now_open, point(made.opening, state="opening")])
    yield Metric("sioload.connections", "Connections now", "{connection}", open_now)
    yield Metric("sioload.users", "Simulated users now", "{user}", Gauge([point(look.users)]))
    lags = [point(totals.own_p99, worker=worker) for worker, totals in figures.living if totals.windows]
    yield Metric("sioload.generator.lag", "Own lag at p99 in the newest window of 5 s", "s", Gauge(lags))


def _of(row: Totals, labels: Set[str]) -> dict[str, str]:
    """A row's attributes. A name may begin like a namespace: `/users`, given by the script."""
    if row.type not in _NAMED:
        return {"type": row.type, "name": row.name}
    first, _, rest = row.name.partition(" ")
    behind = row.type == "CONNECT" or (rest and rest not in labels)
    namespace = first if behind and first.startswith("/") else "/"
    return {"type": row.type, "name": row.name, "namespace": namespace}


def _named(attributes: Mapping[str, str]) -> dict[str, str]:
    return {f"sioload.{key}": text for key, text in attributes.items()}


def _times(
    row: Totals, named: dict[str, str], started: int, now: int, told: Told
) -> Iterator[ExponentialHistogramDataPoint]:
    """A row's times: of successes, and of failures by their kind."""
    failed = Histogram()
    parts = []
    for kind, times in row.failed.items():
        failed.merge(times)
        parts.append((times, {**named, "error.type": kind}))
    for times, attributes in [*parts, (row.times.since(failed), named)]:
        fresh = told.times(f"{attributes}", times)
        if fresh.total:
            yield _distribution(fresh, attributes, started, now)


def _distribution(
    times: Histogram, attributes: dict[str, str], started: int, now: int
) -> ExponentialHistogramDataPoint:
    from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint

    zeros, offset, counts = exponential(times, SCALE)
    return ExponentialHistogramDataPoint(
        attributes,
        start_time_unix_nano=started,
        time_unix_nano=now,
        count=times.total,
        sum=times.sum_ticks / TICKS,
        scale=SCALE,
        zero_count=zeros,
        positive=Buckets(offset, counts),
        negative=Buckets(0, []),
        flags=0,
        min=times.min,
        max=times.max,
    )


def export_if_asked(live: Live, guard: Guard) -> None:
    """Send the figures if `--sio-otlp` was given, and tell `--otel` apart from it.

    Raises:
        SystemExit: the packages of the extra `otlp` aren't there (exit code 2).
    """
    options = live.environment.parsed_options
    if getattr(options, "otel", False):
        logger.info(
            "sioload: --otel sends Locust's own metric: rows without a time are missing, all below 5 s is "
            "one bucket, names carry their type (CALL message). --sio-otlp URL sends histograms of all rows"
        )
    url = getattr(options, "sio_otlp", None)
    if not url:
        return
    if not _installed():
        print("sioload: --sio-otlp needs more packages: pip install 'sioload[otlp]'", file=sys.stderr)
        raise SystemExit(2)
    export = Export(live, url)
    gevent.spawn(export.follow)
    guard.listen("quit", lambda **_: export.finish())


def _installed() -> bool:
    try:
        return importlib.util.find_spec(f"{_PACKAGE}.otlp.proto.http.metric_exporter") is not None
    except ModuleNotFoundError:
        return False
