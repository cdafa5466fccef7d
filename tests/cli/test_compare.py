"""`sioload compare` on reports of real runs."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serverkit

from sioload.cli.main import main
from sioload.measure.blocks import JOINED, blocks_of
from sioload.report.events import unpacked


def run(url: str, folder: Path, name: str, delay: float, seconds: int) -> str:
    """The report of a run whose server answers after a delay."""
    path = folder / f"{name}.json"
    args = ["--users", "20", "--rate", "5", "--emit", "delay", "--data", delay, "--ack", "--transports",
            "websocket", "--run-time", f"{seconds}s", "--sio-report", path]  # fmt: skip
    done = serverkit.run_sioload(["bench", url, *map(str, args)], cwd=folder)
    assert done.code == 0, done.text
    return str(path)


def side(url: str, folder: Path, name: str, delay: float, repeats: int, seconds: int) -> list[str]:
    return [run(url, folder, f"{name}{number}", delay, seconds) for number in range(repeats)]


def compared(before: list[str], after: list[str], folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    path = folder / "compared.json"
    code = main(["compare", *before, "--with", *after, "--json", str(path), *more])
    return code, json.loads(path.read_text())


def test_a_server_slowed_by_half_is_flagged_with_one_run_a_side(servers, tmp_path, capsys):
    url = servers("sio4").url
    with ThreadPoolExecutor() as pool:  # at the same time: so the machine is as busy with both
        before, after = pool.map(lambda delay: side(url, tmp_path, f"of {delay} ", delay, 1, 8), (0.1, 0.15))
    code, found = compared(before, after, tmp_path)
    assert code == 0, "only what --fail-on asks for fails"
    assert "CALL delay" in (shown := capsys.readouterr().out) and "real, worse" in shown
    code, found = compared(before, after, tmp_path, "--fail-on", "CALL[delay]: p50 +10%", "--strict")
    assert code == 3 and found["fail_on"][0]["change"] == pytest.approx(0.5, abs=0.25)
    code, _ = compared(after, before, tmp_path, "--fail-on", "CALL[delay]: p50 +10%")
    assert code == 0
    report = json.loads(Path(before[0]).read_text())
    for event in report["events"]:
        joined = Counter[int]()
        for i, n in unpacked(event["histogram"]).items():
            joined[i >> JOINED] += n
        blocks = blocks_of(event["blocks"])
        assert sum((Counter(block.buckets) for block in blocks.values()), Counter[int]()) == joined
        assert sum(block.count for block in blocks.values()) == event["count"]
    calls = blocks_of(next(event for event in report["events"] if event["type"] == "CALL")["blocks"])
    assert 7 <= len(calls) <= 10 and report["blocks"]["seconds"] == 1.0


def test_what_does_not_fit_takes_the_place_of_nothing(servers, tmp_path):
    """The file of the last comparison stays as it was, and no half of a script is left."""
    url = servers("sio4").url
    before = side(url, tmp_path, "run", 0.01, 1, 3)[0]
    (tmp_path / "compared.json").write_text("the last one")
    (tmp_path / "script.yml").write_text(
        "{config: {target: 'http://a'}, scenarios: [{engine: socketio, flow: [{think: 1}, {emit: [say, "
        + "x" * 5000
        + "]}]}]}"
    )
    for args, told in (
        (
            ["compare", before, "--with", before, "--json", "compared.json"],
            "can't write compared.json: File too large",
        ),
        (["import", "script.yml", "-o", "scripts"], "can't write to scripts: File too large"),
    ):
        command = " ".join(map(shlex.quote, serverkit.sioload(args)))
        done = subprocess.run(
            ["bash", "-c", f"ulimit -f 2; exec {command}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert (tmp_path / "compared.json").read_text() == "the last one"
    assert not list((tmp_path / "scripts").iterdir())
    assert not list(tmp_path.glob(".compared*"))


@pytest.mark.verify
def test_a_server_slowed_by_a_fifth_is_flagged_with_three_runs_a_side(servers, tmp_path):
    url = servers("sio4").url
    with ThreadPoolExecutor() as pool:
        names = [("a", 0.1), ("b", 0.12), ("c", 0.1)]
        before, after, same = pool.map(lambda each: side(url, tmp_path, *each, 3, 12), names)
    code, found = compared(before, after, tmp_path, "--fail-on", "CALL[delay]: p50 +10%", "--strict")
    assert code == 3, found
    code, found = compared(before, same, tmp_path, "--fail-on", "CALL[delay]: p50 +5%")
    assert code == 0, found
    judged = [(row["type"], stat) for row in found["rows"] for stat in row["stats"]]
    flagged = [each for each in judged if each[1]["real"]]
    print(f"of one build: {len(flagged)} of {len(judged)} stats are flagged: {flagged}")
    assert len(flagged) <= len(judged) / 20
