"""A table of Locust's features: the same script with Locust's HTTP user and with ours does the same."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import serverkit
from locust_features.scripts import FEATURES, HEAD, RUNNER, SINGLE, Feature

KINDS = ("plain", "sioload")


def start(kind: str, feature: Feature, folder: Path, target: serverkit.Server) -> serverkit.Process:
    folder.mkdir()
    for name, text in {feature.name: feature.head + feature.script, **feature.files}.items():
        (folder / name).write_text(text)
    env = {"KIND": kind, "TARGET": target.url, "NOTED": str(folder / "noted"), **feature.env}
    if feature.calls:
        env["CALLS"] = str(feature.calls)
    args = ["-f", feature.name, "--headless", "--only-summary", *feature.args]
    return serverkit.Process(serverkit.locust(args), cwd=folder, env=env)


def noted(folder: Path) -> list[object]:
    """What users and listeners noted, by process."""
    file = folder / "noted"
    return [json.loads(line) for line in sorted(file.read_text().splitlines())] if file.exists() else []


def calls(folder: Path) -> dict[str, list[int]]:
    """Counts and failures in Locust's table."""
    found: dict[str, list[int]] = json.loads((folder / "noted.calls").read_text())
    return found


def tracebacks(text: str) -> Counter[str]:
    """How often each kind of exception was printed."""
    return Counter(re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception)): ", text, re.M))


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_the_same_as_with_locusts_own_user(
    name: str, tmp_path: Path, target: serverkit.Server
) -> None:
    feature = FEATURES[name]
    found = []
    with (
        start("plain", feature, tmp_path / "plain", target) as plain,
        start("sioload", feature, tmp_path / "sioload", target) as ours,
    ):
        for process, kind in ((plain, "plain"), (ours, "sioload")):
            code, folder = process.wait(60), tmp_path / kind
            found.append([code, noted(folder), calls(folder), tracebacks(process.err)])
            assert code == feature.code, str(process)
    wanted, got = found
    assert got == wanted
    assert wanted[2] and (wanted[1] or feature.head != HEAD)


@pytest.mark.parametrize("program", [RUNNER, SINGLE], ids=["library", "run_single_user"])
def test_a_program_of_its_own_is_the_same_as_with_locusts_own_user(
    program: str, tmp_path: Path, target: serverkit.Server
) -> None:
    found = []
    (tmp_path / "program.py").write_text(program)
    runs = []
    for kind in KINDS:
        env = {"KIND": kind, "TARGET": target.url, "NOTED": str(tmp_path / kind)}
        runs.append(serverkit.Process([sys.executable, "program.py"], cwd=tmp_path, env=env))
    for kind, process in zip(KINDS, runs, strict=True):
        with process:
            code, table = process.wait(60), tmp_path / f"{kind}.calls"
            # `run_single_user` prints a line for each sample, which begins with its type.
            lines = [line.split() for line in process.out.splitlines()]
            said = [line[1:3] for line in lines if line[:1] == ["-"]]
            said += [[line[1]] for line in lines if line[:1] in (["GET"], ["CALL"])]
            counted = json.loads(table.read_text()) if table.exists() else {}
            found.append([code, said, counted, tracebacks(process.err)])
            assert code == 0 and said, str(process)
    assert found[0] == found[1]
