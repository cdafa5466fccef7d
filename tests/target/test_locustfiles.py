"""Every scenario of `locustfiles/` runs as it stands against the target, which counts what reports count."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from serverkit import ROOT, Process, Server, locust

SCENARIOS = sorted((ROOT / "locustfiles").glob("*.py"))


def test_every_scenario_runs_as_it_stands(target: Server, tmp_path: Path) -> None:
    """All at once, to save time; the only change is the port in their URLs."""
    assert len(SCENARIOS) >= 7
    emits = 0
    with contextlib.ExitStack() as stack:
        runs = {}
        shutil.copy(ROOT / "locustfiles" / "accounts.csv", tmp_path)
        for scenario in SCENARIOS:
            copy = tmp_path / scenario.name
            copy.write_text(scenario.read_text().replace("127.0.0.1:5000", f"127.0.0.1:{target.port}"))
            load = [] if "(Phases)" in scenario.read_text() else ["-u", "3", "-r", "3", "-t", "6s"]
            args: list[str | Path] = [
                "-f",
                copy,
                "--headless",
                *load,
                "--sio-report",
                copy.with_suffix(".json"),
            ]
            runs[copy] = stack.enter_context(Process(locust(args)))
        for copy, process in runs.items():
            code = process.wait(60)
            assert copy.with_suffix(".json").exists(), str(process)
            report = json.loads(copy.with_suffix(".json").read_text())
            assert code == (0 if report["health"]["verdict"] != "generator limited" else 4), str(process)
            assert [row for row in report["events"] if row["failures"]] == [], str(process)
            assert report["ledger"]["open"] == 0 and report["ledger"]["emits"] > 0, str(process)
            assert "Traceback" not in process.err, str(process)
            emits += report["ledger"]["emits"]
    assert emits == sum(sum(events.values()) for events in target.counts()["received"].values())
