"""The dashboard and the rules on a live Prometheus that scrapes the distributed run of the compose file."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import serverkit

from sioload.measure.delivery import DeliveryCounts

DASHBOARDS = serverkit.ROOT / "dashboards"
RULES = DASHBOARDS / "prometheus" / "rules.yml"
BOARD = json.loads((DASHBOARDS / "grafana" / "dashboards" / "sioload.json").read_text())
HOW = "install it (Debian: apt-get install prometheus)"
#: Seconds of load: the rate windows must be filled.
LOAD = 15
#: The load of the compose file.
PHASES = "warmup: 0..100 users over 10s; steady: 100 users for 10m"


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        serverkit.missing(name, HOW)
    return path


def commands() -> dict[str, list[str]]:
    """What the services of the compose file run, by service."""
    text = (DASHBOARDS / "compose.yaml").read_text()
    found = re.findall(r"^  (\w+):\n(?:    .*\n)*?    command: \[([^\]]*)\]", text, re.MULTILINE)
    return {name: [part.strip().strip('"') for part in re.split(r",\s+", parts)] for name, parts in found}


def expressions() -> list[str]:
    """Every expression of the dashboard and the rules; an alert's without the limit that it alerts at."""
    found = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
    found += [annotation["expr"] for annotation in BOARD["annotations"]["list"]]
    found += re.findall(r"^ +expr: (.+)$", RULES.read_text(), re.MULTILINE)
    found += re.findall(r"^ +- record: (.+)$", RULES.read_text(), re.MULTILINE)
    return [re.sub(r" (?:>|==) [\d.]+$", "", expression) for expression in found]


def told() -> set[str]:
    """Every metric that the table of README names."""
    return set(re.findall(r"`(sioload_\w+)`", (DASHBOARDS / "README.md").read_text()))


def filled(expression: str) -> str:
    """As Grafana sends it, with everything chosen."""
    return expression.replace("$__rate_interval", "20s").replace("$type", ".*").replace("$name", ".*")


class Prometheus:
    """A Prometheus with the configuration of this repository, on other addresses and faster."""

    def __init__(self, folder: Path, target: str) -> None:
        config = (DASHBOARDS / "prometheus" / "prometheus.yml").read_text()
        assert config.count("master:9646") == 1
        (folder / "prometheus.yml").write_text(config.replace("master:9646", target).replace("5s", "1s"))
        (folder / RULES.name).write_text(RULES.read_text().replace("interval: 5s", "interval: 1s"))
        port = serverkit.free_port()
        self.url = f"http://127.0.0.1:{port}"
        flags = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data",
                 "web.listen-address": f"127.0.0.1:{port}"}  # fmt: skip
        argv = [tool("prometheus"), *(f"--{name}={value}" for name, value in flags.items())]
        self.process = serverkit.Process(argv)

    def query(self, expression: str, *more: str) -> list[dict[str, Any]]:
        """The answer to an instant query, asked with promtool."""
        asked = serverkit.run(
            [tool("promtool"), "query", "instant", "-o", "json", *more, self.url, expression], 20
        )
        assert asked.code == 0, f"{expression}: {asked.text}"
        return list(json.loads(asked.out))

    def values(self, expression: str, *labels: str, more: Sequence[str] = ()) -> dict[tuple[str, ...], float]:
        """The same, as label values to number."""
        return {
            tuple(found["metric"].get(label, "") for label in labels): float(found["value"][1])
            for found in self.query(expression, *more)
        }


@contextlib.contextmanager
def compose(folder: Path, metrics: int) -> Iterator[serverkit.Process]:
    """The compose file's target, master and workers on this machine; gives the master."""
    run = commands()
    users = serverkit.ROOT / "tests" / "web" / "users.py"
    bind, web = str(serverkit.free_port()), str(serverkit.free_port())
    places = {
        "chat.py": str(users),
        "master": "127.0.0.1",
        "0.0.0.0": "127.0.0.1",
        "9646": str(metrics),
        PHASES: f"up: 0..20 users over 2s; on: 20 users for {LOAD - 2}s",
    }

    def start(service: str, *more: str) -> serverkit.Process:
        argv = [places.get(part, part) for part in run[service]]
        return stack.enter_context(serverkit.Process(serverkit.locust([*argv, *more]), env={"RESTLESS": "1"}))

    assert run["target"][0] == "target"
    with (
        serverkit.running("target", "--ping-interval", "2") as server,
        serverkit.running("watched", "--id", "one") as watched,
        contextlib.ExitStack() as stack,
    ):
        places["http://target:5000"] = server.url
        ports = ["--master-bind-host", "127.0.0.1", "--master-bind-port", bind, "--web-port", web]
        end = ["--autoquit", "0", "--sio-grace", "0.3", "--sio-report", str(folder / "report.json")]
        end += ["--sio-server", f"target=pid:{server.process.pid}"]
        end += ["--sio-admin", watched.url.replace("//", "//admin:s3cret%2Fword@")]
        master = start("master", *ports, *end)
        for _ in range(2):
            start("worker", "--master-port", bind)
        yield master


def test_each_expression_returns_data_and_counts_equal_the_report(tmp_path: Path) -> None:
    tool("promtool")
    metrics = serverkit.free_port()
    prometheus = Prometheus(tmp_path, f"127.0.0.1:{metrics}")
    try:
        with compose(tmp_path, metrics) as master:
            master.wait_for(serverkit.SPAWNED, 30)
            time.sleep(LOAD - 5)
            at = f"--time={time.time()}"
            empty = [e for e in map(filled, expressions()) if not prometheus.query(e, at)]
            assert empty == []
            names = prometheus.values('count by (__name__) ({__name__=~"sioload_.+"})', "__name__", more=[at])
            served = {re.sub("_(bucket|sum|count)$", "", name) for (name,) in names}
            at_the_end = {"sioload_skipped_starts_total", "sioload_unfinished_waits_total"}
            assert told() - served == at_the_end, "no schedule, and no wait has ended with its user yet"
            assert served <= told()
            groups = serverkit.http_json(f"{prometheus.url}/api/v1/rules")["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
            firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
            assert not firing & {"SioloadWorkerLost", "SioloadInternalError", "SioloadGone"}
            calls = 'sum by (name, le) (sioload_event_duration_seconds_bucket{type="CALL"})'
            estimated = prometheus.values(f"histogram_quantile(0.5, {calls})", "name", more=[at])
            master.wait(40)
        report = json.loads((tmp_path / "report.json").read_text())
        seen = prometheus.values("last_over_time(sioload_events_total[5m])", "type", "name")
        assert seen == {(e["type"], e["name"]): e["count"] for e in report["events"]}
        failed = prometheus.values("last_over_time(sioload_failures_total[5m])", "type", "name")
        assert failed == {(e["type"], e["name"]): e["failures"] for e in report["events"]}
        outcomes = prometheus.values("last_over_time(sioload_emits_total[5m])", "outcome")
        others = ("emits", "open", "late_acks")
        assert outcomes == {(name,): n for name, n in report["ledger"].items() if name not in others}
        closed = prometheus.values("last_over_time(sioload_connections_closed_total[5m])", "reason")
        assert closed == {(reason,): n for reason, n in report["connections"]["closed"].items()}
        kinds = prometheus.values("last_over_time(sioload_exceptions_total[5m])", "kind")
        assert set(kinds) == {("LookupError",)}
        assert kinds == {(raised["kind"],): raised["count"] for raised in report["exceptions"]}
        for event in report["events"]:
            if event["type"] == "CALL" and event["name"] == "echo":
                assert estimated["echo",] * 1000 == pytest.approx(event["latency_ms"]["p50"], rel=0.35)
    finally:
        prometheus.process.close()


def test_every_metric_is_told_of_and_shown_or_watched() -> None:
    used = set(re.findall(r"\bsioload_\w+?(?=_bucket|\b)", " ".join(expressions())))
    assert told() - used == {"sioload_run_duration_seconds", "sioload_workers", "sioload_build_info"}
    assert used <= told()


def test_alerts_fire_when_they_should_and_only_then() -> None:
    folder = DASHBOARDS / "prometheus"
    for check in (["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]):
        done = serverkit.run([tool("promtool"), *check], 20, cwd=folder)
        assert done.code == 0, done.text


def test_the_dashboard_is_one_that_grafana_can_provision() -> None:
    source = (DASHBOARDS / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    uid = re.search(r"uid: (\S+)", source)
    assert uid is not None and BOARD["uid"] == "sioload"
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for target in panel.get("targets", []):
            assert panel["datasource"]["uid"] == target["datasource"]["uid"] == uid[1]
    cells = [(x, y) for p in panels for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
             for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])]  # fmt: skip
    assert len(cells) == len(set(cells)), "panels overlap"
    windows = re.findall(r"\[(\w+|\$\w+)\]", json.dumps(panels) + RULES.read_text())
    assert set(windows) <= {"$__rate_interval", "1m", "15s"}, "shorter windows see the steps of reports"


def test_the_panel_of_pushes_that_went_wrong_leaves_no_way_out() -> None:
    (panel,) = (panel for panel in BOARD["panels"] if panel["title"] == "Pushes that went wrong")
    (target,) = panel["targets"]
    shown = re.search(r'result=~"([^"]+)"', target["expr"])
    assert shown is not None
    assert set(shown[1].split("|")) == DeliveryCounts().encode().keys() - {
        "expected",
        "received",
        "unchecked",
    }
