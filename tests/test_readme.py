"""The code of README and of the manual runs as it is written, in a clean directory, against a real server."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import serverkit

from sioload.options import Options

README = serverkit.ROOT / "README.md"
MANUAL = serverkit.ROOT / "locustfiles" / "README.md"


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[Path]:
    """The files that a page leads to."""
    found = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [page.parent / link for link in found]


#: The server that README's commands name, and how long they take. A test has less time, and no fixed port.
TARGET = "http://127.0.0.1:5000"
SHORTER = (
    ("-u 100 -r 20 -t 30s", "-u 20 -r 20 -t 3s"),
    ("-u 100 -r 20 -t 60s", "-u 20 -r 20 -t 3s"),
    ("-u 10 -r 10 -t 10s", "-u 10 -r 10 -t 3s"),
    ("--users 100 --run-time 10s", "--users 20 --run-time 3s"),
)
#: Not run here: what tests/cli/test_fresh.py runs in a copy of the repository (`make test` is the tests
#: themselves), the server, which runs all the time, and what only the reader knows.
ELSEWHERE = {"make demo", "make test", "pip install .", "pip install ./sioload", "sioload target &",
             "./start-the-service.sh &"}  # fmt: skip


def commands(language: str, text: str) -> list[str]:
    """The commands of a block, in order, without comments."""
    if language == "yaml":
        text = "\n".join(re.findall(r"- run: (.*)", re.sub(r">?\n {10}", " ", text)))
    lines = text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [shlex.join(line).replace("'&'", "&") for line in words if line]


def argv(command: str, url: str) -> list[str]:
    for written, short in (*SHORTER, (TARGET, url)):
        command = command.replace(written, short)
    program, *args = shlex.split(command)
    if program == "locust" and "--host" not in args:
        args += ["--host", url]
    if program == "locust" and "--headless" not in args:
        args += ["--web-port", str(serverkit.free_port()), "--autostart", "--autoquit", "0", "-t", "3s"]
    return [str(part) for part in {"locust": serverkit.locust, "sioload": serverkit.sioload}[program](args)]


@pytest.mark.timeout(300)
def test_all_blocks_run_in_order(target, tmp_path):
    seen = set()
    for language, text in blocks(README):
        if language == "python":
            (tmp_path / "locustfile.py").write_text(text)
            continue
        for command in commands(language, text):
            seen.add(command)
            if command in ELSEWHERE:
                continue
            target.reset()
            done = serverkit.run(argv(command, target.url), 60, cwd=tmp_path, fresh=True)
            assert done.code == 0, done.text
            acks = target.counts()["acks"].get("/", {})
            assert acks or command.startswith(("sioload doctor", "sioload init")), done.text
            if "--sio-report" in command:
                report = json.loads((tmp_path / "report.json").read_text())
                assert report["ledger"]["acked"] == acks["message"]
                assert len(report["checks"]) == command.count("--sio-check")
    assert seen > ELSEWHERE


@pytest.mark.parametrize("text", [text for _, text in blocks(MANUAL) if "SocketIOUser" in text])
def test_recipes_run(target, tmp_path, text):
    (tmp_path / "locustfile.py").write_text(text)
    shutil.copy(MANUAL.with_name("accounts.csv"), tmp_path)
    load = [] if "Phases" in text else ["-u", "2", "-r", "2", "-t", "2s"]
    args = ["-f", "locustfile.py", "--headless", "--host", target.url, *load]
    done = serverkit.run_locust(args, cwd=tmp_path)
    assert done.code == 0, done.text
    assert target.counts()["acks"], done.text


@pytest.mark.parametrize("link", sorted({*links(README), *links(MANUAL)}), ids=str)
def test_links_lead_somewhere(link):
    assert link.exists()


def test_the_product_page_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) < 300


def test_calls_have_docstrings_where_the_manual_leads():
    """`help()` doesn't show them where the modules are compiled."""
    manual = MANUAL.read_text(encoding="utf-8")
    table = manual.partition("\n| call |")[2].partition("\n\n")[0].splitlines()
    cells = [line.split("|")[1] for line in table]
    calls = {name for cell in cells for name in re.findall(r"`(?:with )?(\w+)\(", cell)}
    led = [path for path in links(MANUAL) if path.parent.name == "client"]
    code = [node for path in led for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    told = {node.name for node in code if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)}
    assert len(calls) > 10 and calls <= told


def test_options_of_a_connection_are_all_named():
    manual = MANUAL.read_text(encoding="utf-8")
    assert [field.name for field in fields(Options) if f"`{field.name}`" not in manual] == []
