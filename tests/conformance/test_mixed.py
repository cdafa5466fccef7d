"""Three generations in one run and one process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import serverkit
from conformance.table import SERVERS

LABELS = {"0.9": "socket.io 0.9.19", "2.x": "socket.io 2.5.1", "4.x": "socket.io 4.8.4"}


def test_three_generations_in_one_process(servers: Callable[..., serverkit.Server], tmp_path: Path) -> None:
    running = {label: servers(*SERVERS[name].command) for label, name in LABELS.items()}
    for server in running.values():
        server.reset()
    report_file = tmp_path / "report.json"
    done = serverkit.run_locust(
        ["-f", Path(__file__).parent / "mixed_locustfile.py", "--headless", "-u", "12", "-r", "12",
         "-t", "4s", "--sio-report", report_file],
        env={f"SERVER_{label[0]}": server.url for label, server in running.items()},
    )  # fmt: skip
    assert done.code == 0, done.text
    report = json.loads(report_file.read_text())
    rows = {(row["type"], row["name"]): row for row in report["events"]}
    for label, server in running.items():
        counts = server.counts()
        row = rows["CALL", f"{label} echo"]
        assert row["count"] == counts["received"]["/"]["echo"] == counts["acks"]["/"]["echo"] > 50
        assert counts["connects"]["/"] >= 4
    assert report["ledger"]["acked"] == report["ledger"]["emits"] == sum(
        row["count"] for (kind, _), row in rows.items() if kind == "CALL"
    )  # fmt: skip
    assert rows["HEARTBEAT", "ping"]["count"] >= 8
    assert rows["HEARTBEAT", "pong"]["count"] >= 8
    assert {name for kind, name in rows if kind == "OPEN"} == {"polling", "websocket"}
    assert report["connections"]["upgraded"] == 4
