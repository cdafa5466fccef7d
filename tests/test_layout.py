"""The floor plan: imports point one way, the pure rooms stay pure, and nothing runs text as code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sioload"

#: Bottom floor first; rooms of one floor may use each other.
FLOORS = (
    ("errors", "options", "durations"),
    ("engineio",),
    ("socketio",),
    ("measure",),
    ("report",),
    ("net",),
    ("session",),
    ("client",),
    ("load",),
    ("users", "doctor"),
    ("swarm",),
    ("web",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
#: What `from sioload import ...` gives, beside modules, is at home here at the highest.
FACADE = LEVEL["users"]

PURE = {"errors", "options", "durations", "engineio", "socketio", "measure", "report"}
IMPURE = {"asyncio", "gevent", "geventwebsocket", "locust", "requests", "select", "socket", "ssl",
          "selectors", "subprocess", "threading", "time", "websockets"}  # fmt: skip
#: The embedded server; `__init__` gives the public names.
APART = {"target", "__init__"}

HIDDEN = "?"  # an import whose name isn't in the source
DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve"}
DANGEROUS_CALLS = re.compile(r"eval|exec|compile|__import__|yaml\.(unsafe_)?load|os\.system|os\.popen")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each module (or name in a module) that is imported, wherever that stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            name = node.args[0]
            yield node.lineno, name.value if isinstance(name, ast.Constant) else HIDDEN


def faults(room: str, source: str) -> list[str]:
    """What one module of a room does that it may not."""
    tree = ast.parse(source)
    found = []
    for line, name in imported(tree):
        top, _, rest = name.partition(".")
        if top in DANGEROUS_MODULES:
            found.append(f"line {line}: {name} runs what it reads")
        elif name == HIDDEN and room != "__init__":
            found.append(f"line {line}: an import whose name is computed")
        elif room in PURE and top in IMPURE:
            found.append(f"line {line}: {room} is pure and may not import {top}")
        elif top == "sioload" and room != "__init__" and not may_use(room, rest.partition(".")[0]):
            found.append(f"line {line}: {room} may not import {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if DANGEROUS_CALLS.fullmatch(called):
                found.append(f"line {node.lineno}: {called}() runs text as code")
            elif any(keyword.arg == "shell" for keyword in node.keywords):
                found.append(f"line {node.lineno}: {called}(shell=...)")
    return found


def may_use(room: str, other: str) -> bool:
    if "target" in (room, other):
        return room == other
    return LEVEL.get(other, FACADE) <= LEVEL[room]


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def test_every_module_has_its_floor():
    assert {room_of(path) for path in modules()} <= LEVEL.keys() | APART


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_to_the_plan(path):
    assert faults(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "room, source",
    [
        ("engineio", "import time"),
        ("measure", "def f():\n    from gevent import sleep"),
        ("socketio", "from sioload.net.http import Response"),
        ("errors", "import sioload.engineio.packet"),
        ("net", "from sioload import client"),
        ("swarm", "from sioload.cli import main"),
        ("client", "from sioload import SocketIOUser"),
        ("target", "from sioload.options import Options"),
        ("cli", "from sioload.target.server import serve"),
        ("net", "import importlib\nimportlib.import_module('sioload.cli')"),
        ("engineio", "from importlib import import_module\nimport_module('time')"),
        ("cli", "import importlib\nimportlib.import_module(name)"),
        ("swarm", "import pickle"),
        ("swarm", "from marshal import loads"),
        ("cli", "eval('1')"),
        ("cli", "import yaml\nyaml.load('')"),
        ("cli", "import subprocess\nsubprocess.run('ls', shell=True)"),
    ],
)
def test_breach_is_found(room, source):
    assert faults(room, source)


@pytest.mark.parametrize(
    "room, source",
    [
        ("cli", "from sioload import SocketIOUser, on"),
        (
            "client",
            "from sioload.client.manager import Manager\nfrom sioload.net.fleet import Fleet\nimport gevent",
        ),
        ("measure", "from sioload.errors import CheckError\nimport math\nimport re\nre.compile('x')"),
        ("target", "from sioload.target.wire import Counts"),
    ],
)
def test_permitted_import_is_let_through(room, source):
    assert faults(room, source) == []
