"""What a newcomer gets: a copy of what is tracked, installed by README's and the Dockerfile's own steps."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import serverkit

#: What is imported is what was installed.
CLEAN = {"PYTHONPATH": ""}
pytestmark = [pytest.mark.verify, pytest.mark.timeout(600)]


@pytest.fixture
def clone() -> Iterator[Path]:
    """A copy of the tracked files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=serverkit.ROOT, capture_output=True, check=True)
    with tempfile.TemporaryDirectory(prefix="sioload-clone-") as folder:
        for name in filter(None, listed.stdout.decode().split("\0")):
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(serverkit.ROOT / name, path)
        yield Path(folder)


def test_make_demo_needs_nothing_but_python(clone: Path) -> None:
    steps = serverkit.run(["make", "-n", "demo"], 20, cwd=clone).out.splitlines()
    assert steps[-1].split() == [".venv/bin/sioload", "demo"]
    installed = serverkit.run(["make", ".venv/.installed"], 400, cwd=clone)
    assert installed.code == 0, installed.text
    short = ["--web-port", str(serverkit.free_port()), "--users", "20", "--run-time", "5s"]
    done = serverkit.run(
        [clone / ".venv/bin/sioload", *steps[-1].split()[1:], *short], 60, cwd=clone, env=CLEAN
    )
    assert done.code == 0, done.text
    assert "reconciled with the server" in done.out


def test_the_dockerfiles_steps_install_what_its_example_runs(clone: Path, target: serverkit.Server) -> None:
    text = (serverkit.ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    sent = re.findall(r"^!(\S+)", (serverkit.ROOT / ".dockerignore").read_text(), re.MULTILINE)
    image, source = clone / "image", clone / "source"
    source.mkdir()
    for names in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = names.split()
        assert set(sources) <= set(sent), "what .dockerignore leaves out can't be copied"
        for name in sources:
            shutil.move(clone / name, source / name)
    (install,) = re.findall(r"^RUN python (-m venv .+)$", text, re.MULTILINE)
    install = f"{shlex.quote(sys.executable)} {install}".replace("/opt/sioload", str(image))
    done = serverkit.run(["sh", "-ec", install], 400, cwd=source, env=CLEAN)
    assert done.code == 0, done.text
    shutil.rmtree(source)

    (example,) = re.findall(r"^# .* sioload locust (.+) --host http://\.\.\.$", text, re.MULTILINE)
    short = shlex.split(example.replace("-t 30s", "-t 4s"))
    command = [image / "bin" / "locust", *short, "--host", target.url]
    done = serverkit.run(command, 60, cwd=clone / "locustfiles", env={**CLEAN, "HOME": "/nowhere"})
    assert done.code == 0, done.text
    assert target.counts()["acks"]["/"]
