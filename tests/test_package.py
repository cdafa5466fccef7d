"""What is packed, what is declared, and what type checkers find."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import serverkit

PROJECT = tomllib.loads((serverkit.ROOT / "pyproject.toml").read_text())["project"]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted_by(extra: str) -> list[str]:
    return [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]


def test_every_package_that_is_imported_is_declared() -> None:
    declared = {plain(re.split(r"[<>=\[ ]", wanted)[0]) for wanted in wanted_by("otlp")}
    imported: set[str] = set()
    for path in (serverkit.ROOT / "sioload").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    where = packages_distributions()
    own = {"sioload", "pytest", *sys.stdlib_module_names}  # whoever loads the plugin for pytest has pytest
    undeclared = {
        name for name in imported - own if not {plain(found) for found in where.get(name, [name])} & declared
    }
    assert not undeclared and len(imported - own) > 10


def test_an_sdist_is_whole_where_nothing_is_compiled(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=serverkit.ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if not name.startswith(("tests/", "dashboards/")) or name == "tests/conftest.py":
            path = tmp_path / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(serverkit.ROOT / name, path)
    build = "import setuptools.build_meta as build; build.build_sdist('dist')"
    done = serverkit.run(
        [sys.executable, "-c", build], 100, cwd=tmp_path / "src", env={"SIOLOAD_PURE": "1", "PYTHONPATH": ""}
    )
    assert done.code == 0, done.text
    (archive,) = (tmp_path / "src" / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"sioload/net/_wire.c", "sioload/net/_wire.pyi", "sioload/measure/_counts.c", "sioload/py.typed",
            "CHANGELOG.md", "LICENSE", "locustfiles/chat.py", "locustfiles/README.md",
            "locustfiles/accounts.csv", "setup.py"} <= names  # fmt: skip
    assert not [name for name in names if name.startswith("tests")]


@pytest.mark.verify
def test_type_checkers_find_an_editable_install(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from sioload import SocketIOUser, stamp\n"
        "class Chat(SocketIOUser):\n"
        "    def on_start(self) -> None:\n"
        "        self.sio.connect(retry=True)\n"
        "        self.sio.connect(again=True)\n"
        "reveal_type(stamp())\n"
    )
    checked = serverkit.run(
        [sys.executable, "-m", "mypy", "--cache-dir", tmp_path, script],
        110,
        cwd=tmp_path,
        env={"PYTHONPATH": ""},
    )
    assert "import-not-found" not in checked.out and "import-untyped" not in checked.out, checked.text
    assert 'Revealed type is "float"' in checked.out or 'Revealed type is "builtins.float"' in checked.out
    assert 'argument "again"' in checked.out and 'argument "retry"' not in checked.out, checked.text
