"""A table of Locust's features: the same script with Locust's HTTP user and with ours does the same."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import serverkit
from locust_features.scripts import FEATURES, HEAD, Feature


def start(kind: str, feature: Feature, folder: Path, target: serverkit.Server) -> serverkit.Process:
    folder.mkdir()
    for name, text in {"locustfile.py": HEAD + feature.script, **feature.files}.items():
        (folder / name).write_text(text)
    env = {"KIND": kind, "TARGET": target.url, "NOTED": str(folder / "noted"), **feature.env}
    args = ["-f", "locustfile.py", "--headless", "--only-summary", "--csv", "run", *feature.args]
    return serverkit.Process(serverkit.locust(args), cwd=folder, env=env)


def done(process: serverkit.Process, feature: Feature, folder: Path) -> dict[str, object]:
    """What a run did, that must not depend on the kind of user."""
    code = process.wait(100)
    with open(folder / "run_stats.csv", newline="") as file:
        calls = {
            row["Name"]: (int(row["Request Count"]), int(row["Failure Count"]))
            for row in csv.DictReader(file)
            if row["Type"] in ("GET", "CALL")
        }
    noted = sorted((folder / "noted").read_text().splitlines())
    raised = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception)): ", process.err, re.M)
    return {
        "exit code": code,
        "noted": [json.loads(line) for line in noted],
        "calls": calls if feature.counted else sorted(calls),
        "tracebacks": Counter(raised),
    }


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_the_same_as_with_locusts_own_user(
    name: str, tmp_path: Path, target: serverkit.Server
) -> None:
    feature = FEATURES[name]
    with (
        start("plain", feature, tmp_path / "plain", target) as plain,
        start("sioload", feature, tmp_path / "ours", target) as ours,
    ):
        wanted = done(plain, feature, tmp_path / "plain")
        assert done(ours, feature, tmp_path / "ours") == wanted
    assert wanted["exit code"] == feature.code and wanted["noted"] and wanted["calls"]
