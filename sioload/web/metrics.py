"""Prometheus metrics of a run, served where its figures come together (`--sio-metrics-port`)."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import gevent
from gevent import pywsgi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sioload.measure.health import FIRM, LIMITED
from sioload.measure.histogram import TICKS
from sioload.plain import Json
from sioload.report.buckets import cumulative
from sioload.report.course import to_come
from sioload.report.figures import Figures
from sioload.swarm import describe
from sioload.swarm.guard import Guard
from sioload.web.live import Live, Look

logger = logging.getLogger(__name__)

#: Processes that have series of their own; further ones have none.
MOST_PROCESSES: Final = 200
#: Longest wait at the end of a run until Prometheus has read the final figures, in seconds.
LAST_READ: Final = 60.0


class Collector:
    """A run's figures as metric families; takes the place of a registry."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        """All families."""
        figures = self._look.figures
        yield from _rows(figures)
        yield from _emits(figures)
        yield from _connections(figures)
        yield from _delivery(figures)
        yield from _audience(figures)
        yield from _generator(figures)
        yield from _run(self._look)


def _run(look: Look) -> Iterator[Metric]:
    yield _gauge("sioload_users", "Simulated users now", look.users)
    population = look.figures.population
    ended = CounterMetricFamily(
        "sioload_users_ended", "Users that ended before the run did, by how", labels=["how"]
    )
    ended.add_metric(["died"], population.ended)
    ended.add_metric(["left"], population.left)
    yield ended
    raised = CounterMetricFamily("sioload_exceptions", "Exceptions of tasks, by kind", labels=["kind"])
    kinds: dict[str, int] = {}
    for (kind, _), (count, _) in population.exceptions.items():
        kinds[kind] = kinds.get(kind, 0) + count
    for kind, count in kinds.items():
        raised.add_metric([kind], count)
    yield raised
    yield _gauge("sioload_run_active", "1 while a test goes on", int(look.running))
    yield _gauge("sioload_run_duration_seconds", "Time that rates are over", look.duration)
    phase = GaugeMetricFamily("sioload_phase", "1 for the phase that is on", labels=["phase"])
    if look.phase is not None:
        phase.add_metric([look.phase[0]], 1)
    yield phase
    servers = GaugeMetricFamily(
        "sioload_server", "Newest reading of a server's figure", labels=["name", "node", "metric"]
    )
    for each in look.figures.servers:
        if each.holds(look.origin + look.duration):  # nobody is to take what was long ago for now
            servers.add_metric([each.name, each.node, each.metric], each.last)
    yield servers
    yield _gauge("sioload_workers", "Workers that take part in the test", look.report["workers"]["expected"])
    yield _gauge("sioload_workers_lost", "Workers lost during the test", len(look.figures.lost))
    yield _gauge("sioload_internal_errors", "Faults of sioload itself", len(look.figures.internal_errors))
    # What hasn't begun yet fails no check, and is nothing to be warned of.
    checks = GaugeMetricFamily("sioload_check_ok", "1 if a check holds by now", labels=["check"])
    for check in look.report["checks"]:
        if not to_come(check, look.report):
            checks.add_metric([check["check"]], int(check["ok"]))
    yield checks
    info = GaugeMetricFamily("sioload_build_info", "Version of sioload, the value is 1", labels=["version"])
    info.add_metric([describe.versions()["sioload"]], 1)
    yield info


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _rows(figures: Figures) -> Iterator[Metric]:
    labels = ["type", "name"]
    times = HistogramMetricFamily("sioload_event_duration_seconds", "Times of events, by row", labels=labels)
    events = CounterMetricFamily(
        "sioload_events", "Events counted, failures among them, by row", labels=labels
    )
    failures = CounterMetricFamily("sioload_failures", "Failures, by row", labels=labels)
    skipped = CounterMetricFamily(
        "sioload_skipped_starts", "Starts that a schedule left out, by row", labels=labels
    )
    unfinished = CounterMetricFamily(
        "sioload_unfinished_waits", "Waits that ended with their user, by row", labels=labels
    )
    for row in figures.rows:
        values = [row.type, row.name]
        if row.times.total:
            times.add_metric(values, cumulative(row.times), row.times.sum_ticks / TICKS)
        events.add_metric(values, row.count)
        failures.add_metric(values, row.failures)
        if row.skipped:
            skipped.add_metric(values, row.skipped)
        if row.unfinished:
            unfinished.add_metric(values, row.unfinished)
    yield from (times, events, failures, skipped, unfinished)


def _emits(figures: Figures) -> Iterator[Metric]:
    ledger = figures.ledger
    emits = CounterMetricFamily("sioload_emits", "Emits that ended, by outcome", labels=["outcome"])
    for outcome, n in ledger.outcomes().items():
        emits.add_metric([outcome], n)
    yield emits
    yield _gauge("sioload_emits_open", "Emits without an outcome yet", ledger.open)
    late = CounterMetricFamily("sioload_late_acks", "Acks that came after their emit had ended")
    late.add_metric([], ledger.late_acks)
    yield late


def _connections(figures: Figures) -> Iterator[Metric]:
    made = figures.connections
    now = GaugeMetricFamily(
        "sioload_connections", "Connections now, by state and transport", labels=["state", "transport"]
    )
    for transport, n in made.current.items():
        now.add_metric(["open", transport], n)
    now.add_metric(["opening", ""], made.opening)
    yield now
    for name, text, n in (
        ("opened", "Sessions opened", made.opened),
        ("upgraded", "Sessions upgraded to websocket", made.upgraded),
    ):
        family = CounterMetricFamily(f"sioload_connections_{name}", text)
        family.add_metric([], n)
        yield family
    closed = CounterMetricFamily(
        "sioload_connections_closed", "Sessions closed, by reason", labels=["reason"]
    )
    for reason, n in made.closed.items():
        closed.add_metric([reason], n)
    yield closed
    moved = CounterMetricFamily("sioload_transferred_bytes", "Bytes sent and received", labels=["direction"])
    moved.add_metric(["sent"], figures.bytes_sent)
    moved.add_metric(["received"], figures.bytes_received)
    yield moved


def _delivery(figures: Figures) -> Iterator[Metric]:
    # No counter: what comes late is lost no more.
    pushes = GaugeMetricFamily(
        "sioload_delivery_pushes", "Numbered pushes by what became of them", labels=["name", "result"]
    )
    for name, counts in figures.delivery.items():
        for result, n in counts.encode().items():
            pushes.add_metric([name, result], n)
    yield pushes


def _audience(figures: Figures) -> Iterator[Metric]:
    labels = ["name", "result"]
    members = CounterMetricFamily(
        "sioload_audience", "Messages to rooms by name, and members by what became of theirs", labels=labels
    )
    spread = HistogramMetricFamily(
        "sioload_audience_spread_seconds", "From a message's first arrival to its last", labels=["name"]
    )
    for name, heard in figures.audience.names().items():
        for result, n in heard.counts().items():
            members.add_metric([name, result], n)
        if heard.spread.total:
            spread.add_metric([name], cumulative(heard.spread), heard.spread.sum_ticks / TICKS)
    yield from (members, spread)
    yield _gauge(
        "sioload_audience_share", "Share of messages to rooms that is followed", figures.audience.share
    )


def _generator(figures: Figures) -> Iterator[Metric]:
    labels = ["worker"]
    own = GaugeMetricFamily(
        "sioload_generator_lag_seconds", "Own lag at p99 in the newest window of 5 s", labels=labels
    )
    machine = GaugeMetricFamily(
        "sioload_machine_lag_seconds", "Lag at p99 that the machine caused, in that window", labels=labels
    )
    cpu = GaugeMetricFamily("sioload_generator_cpu_cores", "CPU used in that window, in cores", labels=labels)
    limited = GaugeMetricFamily(
        "sioload_generator_limited", "1 if the process limits the load, so far", labels=labels
    )
    for worker, totals in figures.living[:MOST_PROCESSES]:
        if not totals.windows:
            continue  # there is no newest one yet
        own.add_metric([worker], totals.own_p99)
        machine.add_metric([worker], totals.machine_p99)
        cpu.add_metric([worker], totals.cpu)
    for worker, totals in figures.health[:MOST_PROCESSES]:
        limited.add_metric([worker], int(totals.verdict == LIMITED and totals.windows >= FIRM))
    yield from (own, machine, cpu, limited)


class Endpoint:
    """A small web server: `/metrics`, and nothing else.

    Attributes:
        port: what it listens on.
    """

    def __init__(self, live: Live, host: str, port: int) -> None:
        """
        Raises:
            OSError: it can't listen there.
        """
        self._live = live
        self._reads: list[float] = []
        self._server = pywsgi.WSGIServer((host, port), self._answer, log=None, error_log=logger)
        self._server.start()
        self.port = int(self._server.server_port or port)

    def _answer(self, environ: dict[str, Json], start: Callable[..., Any]) -> list[bytes]:
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] == "/metrics" and method in ("GET", "HEAD"):
            self._reads = [*self._reads[-1:], time.monotonic()]
            body = self._live.aside(generate_latest, Collector(self._live.look()))
            status, kind = "200 OK", CONTENT_TYPE_LATEST
        else:
            body = b"The metrics are at /metrics\n"
            status, kind = "404 Not Found", "text/plain; charset=utf-8"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body] if method != "HEAD" else []

    def finish(self) -> None:
        """The run's process ends: wait until whoever reads has read the final figures, if anyone does.

        Someone reads if there were two reads, and the next is due. Ctrl+C ends the wait.
        """
        self._live.watch()
        if len(self._reads) < 2:
            return
        settled = time.monotonic()
        interval = self._reads[-1] - self._reads[-2]
        until = min(self._reads[-1] + 1.5 * interval + 1.0, settled + LAST_READ)
        if until > settled:
            logger.info("sioload: waiting up to %.0f s for the last read of the metrics", until - settled)
        try:
            while self._reads[-1] < settled and time.monotonic() < until:
                gevent.sleep(0.05)
            gevent.sleep(0.1)  # the answer leaves
        except KeyboardInterrupt:
            logger.info("sioload: the metrics' last read was cut short")


def serve_if_asked(live: Live, guard: Guard) -> None:
    """Serve the metrics if `--sio-metrics-port` was given.

    Raises:
        SystemExit: the port can't be listened on (exit code 2).
    """
    options: Any = live.environment.parsed_options
    port = getattr(options, "sio_metrics_port", None)
    if port is None:
        return
    host = options.sio_metrics_host or "127.0.0.1"
    try:
        endpoint = Endpoint(live, host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        what = f"can't serve metrics on {host}:{port}: {reason}"
        print(f"sioload: {what}: give another --sio-metrics-port or --sio-metrics-host", file=sys.stderr)
        raise SystemExit(2) from error
    shown = f"[{host}]" if ":" in host else host
    logger.info("sioload: metrics on http://%s:%s/metrics", shown, endpoint.port)
    guard.listen("quit", lambda **_: endpoint.finish())
