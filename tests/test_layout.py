"""The floor plan: imports point one way and in no circle, the pure rooms stay pure, files stay small, and
nothing runs text as code."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sioload"

#: Bottom floor first; rooms of one floor may use each other.
FLOORS = (
    ("errors", "options", "durations", "plain", "system"),
    ("engineio",),
    ("socketio",),
    ("measure",),
    ("report",),
    ("net",),
    ("session",),
    ("client",),
    ("load",),
    ("users", "doctor", "importing"),
    ("swarm",),
    ("web",),
    ("cli",),
    ("testing",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
#: What `from sioload import ...` gives, beside modules, is at home here at the highest.
FACADE = LEVEL["users"]

PURE = {*FLOORS[0], "engineio", "socketio", "measure", "report", "importing"}
IMPURE = {"asyncio", "gevent", "geventwebsocket", "locust", "requests", "select", "socket", "ssl",
          "selectors", "subprocess", "threading", "time", "websockets"}  # fmt: skip
#: The embedded server; `__init__` gives the public names.
APART = {"target", "__init__"}

LINES, METHODS = 400, 25
#: `Any` as a name, in a thousand lines: values of JSON are `plain.Json`, what only has to be there `object`.
UNTYPED = 12
HIDDEN = "?"  # an import whose name isn't in the source
DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve"}
DANGEROUS_CALLS = re.compile(r"eval|exec|compile|__import__|yaml\.(unsafe_)?load|os\.system|os\.popen")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


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
    tree = parsed(source)
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


def dotted(path: Path) -> str:
    return ".".join(("sioload", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


@functools.cache
def importing() -> dict[str, set[str]]:
    """Each file, and those that it imports, for types only too. `sioload` itself imports on demand."""
    names = {dotted(path): path for path in modules()}
    of: dict[str, set[str]] = {}
    for name, path in names.items():
        given = {got for _, got in imported(parsed(path.read_text(encoding="utf-8")))}
        of[name] = {got if got in names else got.rpartition(".")[0] for got in given} & names.keys() - {name}
    del of["sioload"]
    return of


def circles(of: dict[str, set[str]]) -> set[str]:
    """Files that lie on a circle of imports, or between two."""
    left = set(of)
    while True:
        used = {got for name in left for got in of[name] & left}
        ends = {name for name in left if not of[name] & left} | (left - used)
        if not ends:
            return left
        left -= ends


def hands_on(method: ast.FunctionDef) -> bool:
    """Whether a method is a public one of one line, which asks another object."""
    body = method.body[1:] if ast.get_docstring(method) else method.body
    line = ast.unparse(body[0]) if len(body) == 1 else "\n"
    return method.name[0] != "_" and re.fullmatch(r"(return )?self\.\w+\.\w+[^\n]*", line) is not None


def sizes(name: str, source: str) -> list[str]:
    """What of a file is above the limits."""
    found = [] if source.count("\n") <= LINES else [name]
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and not hands_on(each)]
            if len(methods) > METHODS or (node.end_lineno or 0) - node.lineno >= LINES:
                found.append(f"{name}.{node.name}")
    return found


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


def test_no_files_import_each_other_in_a_circle():
    assert circles(importing()) == set()


def test_a_circle_is_found():
    of = dict(importing())
    # It reaches back to it by way of TLS.
    of["sioload.net.stream"] = of["sioload.net.stream"] | {"sioload.net.fleet"}
    assert {"sioload.net.stream", "sioload.net.fleet", "sioload.net.tls"} <= circles(of)
    assert "sioload.cli.main" not in circles(of)


def test_no_file_or_class_is_too_large():
    found = [part for path in modules() for part in sizes(dotted(path), path.read_text(encoding="utf-8"))]
    assert found == [], "split it by what it does"


def test_few_things_have_no_type():
    sources = [path.read_text(encoding="utf-8") for path in modules()]
    names = [node for source in sources for node in ast.walk(parsed(source)) if isinstance(node, ast.Name)]
    lines = sum(source.count("\n") for source in sources)
    assert sum(node.id == "Any" for node in names) * 1000 / lines < UNTYPED


@pytest.mark.parametrize(
    "source, found",
    [
        ("x = 1\n" * 401, ["m"]),
        ("x = 1\n" * 400, []),
        ("class C:\n" + "".join(f"    def f{n}(self): return {n}\n" for n in range(26)), ["m.C"]),
        ("class C:\n" + "".join(f"    def f{n}(self): return self.a.f{n}()\n" for n in range(30)), []),
        ("class C:\n" + "".join(f"    def _f{n}(self): return self.a.f{n}()\n" for n in range(30)), ["m.C"]),
        ("class C:\n" + "    x = 1\n" * 400, ["m", "m.C"]),
    ],
)
def test_what_is_too_large_is_found(source, found):
    assert sizes("m", source) == found
