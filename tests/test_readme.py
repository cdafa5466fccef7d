"""README's code runs as it is written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import serverkit

README = (serverkit.ROOT / "README.md").read_text(encoding="utf-8")
TARGET = "http://127.0.0.1:5000"
#: Locust's web UI ends by itself here, and users may take a while to come; a test has less time.
SHORTER = (
    ("-u 100 -r 20 -t 30s", "-u 20 -r 20 -t 4s"),
    ("--users 100 --run-time 10s", "--users 20 --run-time 4s"),
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Each command of the shell blocks, in order, without comments."""
    text = "".join(blocks("sh")).replace("\\\n", " ")
    lines = [shlex.join(shlex.split(line, comments=True)) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("pip ")]


def argv(command: str, url: str) -> list[str]:
    for written, short in (*SHORTER, (TARGET, url)):
        command = command.replace(written, short)
    program, *args = shlex.split(command)
    if program == "locust" and "--headless" not in args:
        args += ["--web-port", str(serverkit.free_port()), "--autostart", "--autoquit", "0", "-t", "4s"]
    return [str(part) for part in {"locust": serverkit.locust, "sioload": serverkit.sioload}[program](args)]


@pytest.mark.parametrize("command", commands())
def test_command_runs(target, tmp_path, command):
    (tmp_path / "locustfile.py").write_text(blocks("python")[0])
    done = serverkit.run(argv(command, target.url), 60, cwd=tmp_path)
    assert done.code == 0, done.text
    received = target.counts()["received"]["/"]
    assert sum(received.values()) > 0, done.text
    if "--sio-report" in command:
        report = json.loads((tmp_path / "report.json").read_text())
        assert len(report["checks"]) == 4
        assert report["ledger"]["acked"] == received["message"]


def test_there_are_commands():
    assert len(commands()) == 5


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?://)([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    assert (serverkit.ROOT / Path(link)).exists()


def test_options_of_a_connection_are_all_named():
    from dataclasses import fields

    from sioload.options import Options

    assert [field.name for field in fields(Options) if f"`{field.name}`" not in README] == []
