"""Reads a generated script back: what its users would send, without running it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import serverkit

from sioload.cli.main import main
from sioload.importing import har, recorded, script
from sioload.importing.conversation import Conversation

RECORDINGS = Path(__file__).parent / "recordings"
#: How a small Artillery script begins.
HEAD = "config:\n  target: http://127.0.0.1\n  phases: [{duration: 1, arrivalCount: 1}]\n"


def spelt(code: str) -> str:
    """An expression as `ast.unparse` spells it: since 3.12 quotes may stand in quotes."""
    return ast.unparse(ast.parse(code, mode="eval"))


def conversation_of(name: str, pace: float = 1.0) -> Conversation:
    """A recording of the tests as a conversation."""
    data = (RECORDINGS / name).read_bytes()
    return recorded.understand(har.read_har(data, name), name, pace)


def source_of(conversation: Conversation) -> str:
    """Its script."""
    return script.write(conversation)["locustfile.py"].decode()


class Sent(NamedTuple):
    """One emit or call of a script.

    Attributes:
        method: of the class, in which it stands.
        verb: "emit" or "call".
        event, namespace, reply: as the script says; an event that it makes is what its row is called.
        data: its argument as code; "" without one.
    """

    method: str
    verb: str
    event: str
    data: str = ""
    namespace: str = "/"
    reply: str = ""


class Heard(NamedTuple):
    """One handler of a script."""

    event: str
    namespace: str
    sent_at: str
    returns: str


class Script:
    """A generated script, parsed.

    Attributes:
        text: all of it.
        sent: what its methods send, in order.
        handlers: what it handles, by event.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._constants = {
            node.targets[0].id: ast.unparse(node.value)
            for node in self.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        self.methods = {
            node.name: node
            for each in self.tree.body
            if isinstance(each, ast.ClassDef)
            for node in each.body
            if isinstance(node, ast.FunctionDef)
        }
        self.sent = [sent for name in self.methods for sent in self._sent(name)]
        self.handlers = {heard.event: heard for heard in self._heard()}

    def body(self, method: str) -> str:
        """A method's code."""
        return ast.unparse(self.methods[method])

    def _calls(self, method: str) -> Iterator[tuple[str, ast.Call]]:
        local: dict[str, str] = {}
        for node in ast.walk(self.methods[method]):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                local[node.targets[0].id] = ast.unparse(node.value)
        found = [node for node in ast.walk(self.methods[method]) if isinstance(node, ast.Call)]
        for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
            yield ast.unparse(node.func), node

    def _sent(self, method: str) -> Iterator[Sent]:
        for name, node in self._calls(method):
            verb = name.rpartition(".")[2]
            if not name.startswith("self.") or verb not in ("emit", "call") or ".client." in name:
                continue
            event, *data = [ast.unparse(arg) for arg in node.args]
            more = {key.arg: ast.unparse(key.value) for key in node.keywords}
            yield Sent(
                method,
                verb,
                self.value(more.get("name", event)),
                self._constants.get(data[0], data[0]) if data else "",
                self.value(more["namespace"]) if "namespace" in more else "/",
                self.value(more["reply"]) if "reply" in more else "",
            )

    def value(self, code: str) -> Any:
        """A literal, or what the constant of that name is."""
        return ast.literal_eval(self._constants.get(code, code))

    def _heard(self) -> Iterator[Heard]:
        for node in self.methods.values():
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "on":
                    more = {key.arg: ast.unparse(key.value) for key in decorator.keywords}
                    returned = [each.value for each in node.body if isinstance(each, ast.Return)]
                    yield Heard(
                        self.value(ast.unparse(decorator.args[0])),
                        self.value(more.get("namespace", "'/'")),
                        more.get("sent_at", ""),
                        ast.unparse(returned[0]) if returned and returned[0] else "",
                    )


#: When small recordings begin, in seconds since the epoch.
BEGUN = 1_795_637_765.0


def began(at: float) -> str:
    return datetime.fromtimestamp(BEGUN + at, UTC).isoformat()


def socket(eio: int, begun: float, *frames: tuple[float, str, str]) -> dict[str, Any]:
    """The entry of a websocket: its frames are (seconds, "send" or "receive", text)."""
    return {
        "startedDateTime": began(begun),
        "_resourceType": "websocket",
        "request": {"url": f"ws://h/socket.io/?EIO={eio}&transport=websocket"},
        "_webSocketMessages": [
            {"type": way, "time": BEGUN + at, "opcode": 1, "data": text} for at, way, text in frames
        ],
    }


def asked(at: float, method: str, path: str, kind: str = "xhr", **answer: Any) -> dict[str, Any]:
    """The entry of an HTTP request; a file of Firefox has no `kind`."""
    entry = {
        "startedDateTime": began(at),
        "time": 20,
        "request": {"method": method, "url": f"http://h{path}"},
        "response": {"status": 200, "content": {"mimeType": "application/json"}, **answer},
    }
    return {**entry, "_resourceType": kind} if kind else entry


def script_of(*entries: dict[str, Any]) -> Script:
    data = json.dumps({"log": {"creator": {"name": "hand"}, "entries": entries}}).encode()
    return Script(source_of(recorded.understand(har.read_har(data, "small.har"), "small.har", 1.0)))


def joined(begun: float, *frames: tuple[float, str, str]) -> dict[str, Any]:
    opening = ("receive", '0{"sid":"s"}'), ("send", "40"), ("receive", '40{"sid":"n"}')
    return socket(4, begun, *((begun + n / 100, *each) for n, each in enumerate(opening)), *frames)


def imported_text(tmp_path: Path, text: str, name: str = "script.yml") -> Script:
    """The script that is made of an Artillery script, whose own names collide in it nowhere."""
    (tmp_path / name).write_text(text)
    assert main(["import", str(tmp_path / name), "-o", str(tmp_path / "out")]) == 0
    script = Script((tmp_path / "out" / "locustfile.py").read_text())
    for each in [script.tree, *(node for node in script.tree.body if isinstance(node, ast.ClassDef))]:
        names = [node.name for node in each.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        assert len(names) == len(set(names)), names
    return script


def faults(folder: Path) -> str:
    """What ruff and mypy say of the scripts below a folder; "" when they are content."""
    said = []
    env = {**os.environ, "MYPYPATH": str(serverkit.ROOT)}
    config = ["--config", serverkit.ROOT / "pyproject.toml", folder]
    cache = serverkit.ROOT / ".mypy_cache" / "generated"
    types = ["--strict", "--config-file=", "--explicit-package-bases", "--follow-imports=silent"]
    for args in (
        ["ruff", "check", "--ignore", "E501", *config],
        ["ruff", "format", "--check", *config],
        ["mypy", *types, "--cache-dir", cache, *sorted(folder.rglob("*.py"))],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=folder,
            env=env,
        )
        if done.returncode:
            said.append(done.stdout + done.stderr)
    return "\n".join(said)
