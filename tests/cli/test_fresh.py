"""What a newcomer gets: a copy of what is tracked, installed by README's and the Dockerfile's own steps."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import serverkit

#: What is imported is what was installed.
CLEAN = {"PYTHONPATH": ""}
pytestmark = pytest.mark.timeout(900)


#: A project's only file of tests.
SUITE = """
import sioload

def test_an_echo(sio):
    sio.connect({url!r})
    assert sio.call("echo", "hi") == "hi"

def test_under_load():
    sioload.run({script!r}, users=2, run_time=2, host={url!r}).check("CALL: p99 < 1us")
"""


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


def made() -> list[str]:
    """What `make demo` runs when all is installed.

    Flags of a `make` above (the tests' own) would let it say which folder it enters.
    """
    done = serverkit.run(
        ["make", "-n", "--no-print-directory", "demo"], 20, env={"MAKEFLAGS": "", "MAKELEVEL": "0"}
    )
    assert done.code == 0, done.text
    _, command, arguments = done.out.splitlines()[-1].partition(".venv/bin/sioload ")
    assert command
    return arguments.split()


def test_what_is_installed_and_run_can_be_read(tmp_path: Path) -> None:
    """What the long tests below need."""
    assert made() == ["demo"]
    built = Image()
    assert built.copied and all((serverkit.ROOT / name).exists() for name in built.copied)
    assert built.example and "-t 30s" in built.example
    assert serverkit.run(["git", "ls-files", "Dockerfile"], 20).out.strip() == "Dockerfile"


@pytest.mark.verify
def test_make_demo_needs_nothing_but_python(clone: Path) -> None:
    began = time.monotonic()
    installed = serverkit.run(["make", ".venv/.plain"], 800, cwd=clone)
    assert installed.code == 0, installed.text
    print(f"installed in {time.monotonic() - began:.0f} s, the packages' download among them")
    short = ["--web-port", str(serverkit.free_port()), "--users", "20", "--run-time", "5s"]
    done = serverkit.run([clone / ".venv/bin/sioload", *made(), *short], 60, cwd=clone, env=CLEAN)
    assert done.code == 0, done.text
    assert "reconciled with the server" in done.out
    assert not list(clone.rglob("sioload/**/*.so")), "nobody waits for a compiler"


@pytest.mark.verify
def test_a_wheel_is_whole_and_runs_offline_where_there_is_no_compiler(
    clone: Path, target: serverkit.Server, tmp_path: Path
) -> None:
    """sdist, its wheel, and that in an empty environment without an index; there, a suite of one file too."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    house, env = clone / "house", {**CLEAN, "CC": "/nowhere/cc"}
    wanted = tomllib.loads((clone / "pyproject.toml").read_text())["project"]["dependencies"]
    build = "import setuptools.build_meta as build; build.build_sdist('dist')"
    for command in (
        [sys.executable, "-c", build],
        [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", house, "dist/sioload-0.1.0.tar.gz"],
        [*pip, "wheel", "-q", "-w", house, *wanted, "pytest"],
        [sys.executable, "-m", "venv", clone / "empty"],
    ):
        done = serverkit.run(command, 600, cwd=clone, env=env)
        assert done.code == 0, done.text
    (wheel,) = house.glob("sioload-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    tracked = {str(path.relative_to(clone)) for path in (clone / "sioload").rglob("*") if path.is_file()}
    left_out = {name for name in tracked - names if not name.endswith((".c", ".md", ".pyc"))}
    assert not left_out and "sioload/py.typed" in names and not [name for name in names if ".so" in name]
    shutil.rmtree(clone / "sioload")
    python = clone / "empty" / "bin" / "python"
    offline = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    done = serverkit.run([*offline, "--find-links", house, "sioload", "pytest"], 300, cwd=clone, env=env)
    assert done.code == 0, done.text
    demo = [python.with_name("sioload"), "demo", "--headless", "--users", "10", "--run-time", "4s"]
    done = serverkit.run(demo, 60, cwd=clone, env=env)
    assert done.code == 0 and "reconciled with the server" in done.out, done.text
    (tmp_path / "test_echo.py").write_text(
        SUITE.format(url=target.url, script=str(clone / "locustfiles" / "echo.py"))
    )
    done = serverkit.run([python, "-m", "pytest", "-q"], 150, cwd=tmp_path, env={**env, "PYTEST_ADDOPTS": ""})
    assert "1 failed, 1 passed" in done.out, done.text
    assert re.search(r"AssertionError: CALL: p99 < 1us: p99 is [\d.]+ ms, not < 0.001 ms", done.out), (
        done.text
    )


#: What is tried with another Python, and fits a few minutes.
ELSEWHERE = ["tests/measure", "tests/engineio", "tests/socketio", "tests/net/test_http.py",
             "tests/client/test_client.py", "tests/users/test_library.py", "tests/users/test_tasks.py",
             "tests/locust_features/test_features.py"]  # fmt: skip


#: Versions beside the one that all other tests run with.
OTHERS = [each for each in ("3.11", "3.12", "3.13") if not sys.version.startswith(f"{each}.")]


def interpreter(version: str) -> str:
    """A Python of this version that isn't the tests' own: in the path, or pyenv's."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in (shutil.which(f"python{version}"), *pyenv):
        if found and f"Python {version}." in serverkit.run([found, "-V"], 20).out:
            return str(found)
    # Not `serverkit.missing`, which fails in CI: machines have one Python, and few have all.
    pytest.skip(f"Python {version} is missing: install it (pyenv install {version})")


@pytest.mark.verify
@pytest.mark.parametrize("version", OTHERS)
def test_other_versions_of_python(clone: Path, version: str) -> None:
    """What `make check` does, and some of the tests, as plain Python."""
    python = clone / ".venv" / "bin" / "python"
    env = {**CLEAN, "SIOLOAD_PURE": "1", "PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""}
    modules = serverkit.SERVERS / "node_modules"
    (clone / "tests" / "servers" / "node_modules").symlink_to(modules)
    for command in (
        [interpreter(version), "-m", "venv", clone / ".venv"],
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test,dev]"],
        [python, "-m", "ruff", "check", "-q", "."],
        [python, "-m", "mypy"],
        [python, "-m", "pytest", "-m", "not verify", "-p", "no:cacheprovider", *ELSEWHERE],
    ):
        done = serverkit.run(command, 600, cwd=clone, env=env)
        assert done.code == 0, done.text
    assert " passed" in done.out, done.text


class Image:
    """What the Dockerfile does.

    Attributes:
        copied: what goes into the image, for it to be installed from.
        install: arguments of the Python that installs.
        entry: the program that arguments go to.
        example: arguments of the run that its first lines show.
    """

    def __init__(self) -> None:
        text = (serverkit.ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        ignored = (serverkit.ROOT / ".dockerignore").read_text()
        sent = re.findall(r"^!(\S+)", ignored, re.MULTILINE)
        copies = re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        self.copied = [name for names in copies for name in names.split()[:-1]]
        assert set(self.copied) <= set(sent), "what .dockerignore leaves out can't be copied"
        (self.install,) = re.findall(r"^RUN python (-m venv .+)$", text, re.MULTILINE)
        (self.entry,) = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', text, re.MULTILINE)
        (self.example,) = re.findall(r"^# .* sioload (-f .+) --host http://\.\.\.$", text, re.MULTILINE)


@pytest.mark.verify
def test_the_dockerfiles_steps_install_what_its_example_runs(clone: Path, target: serverkit.Server) -> None:
    built = Image()
    image, source = clone / "image", clone / "source"
    source.mkdir()
    for name in built.copied:
        shutil.move(clone / name, source / name)
    install = f"{shlex.quote(sys.executable)} {built.install}".replace("/opt/sioload", str(image))
    done = serverkit.run(["sh", "-ec", install], 800, cwd=source, env=CLEAN)
    assert done.code == 0, done.text
    shutil.rmtree(source)

    short = shlex.split(built.example.replace("-t 30s", "-t 4s"))
    command = [image / "bin" / built.entry, *short, "--host", target.url]
    done = serverkit.run(command, 60, cwd=clone / "locustfiles", env={**CLEAN, "HOME": "/nowhere"})
    assert done.code == 0, done.text
    assert target.counts()["acks"]["/"]
