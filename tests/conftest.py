"""Fixtures shared by all tests: real servers, one process per kind and options for the whole session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import serverkit
import turns

if TYPE_CHECKING:
    from xdist.remote import Producer


def pytest_configure() -> None:
    """What is compiled must be what is written."""
    for built in (serverkit.ROOT / "sioload").rglob("*.so"):
        for suffix in (".py", ".c"):
            source = built.with_name(built.name.partition(".")[0] + suffix)
            if source.exists() and source.stat().st_mtime > built.stat().st_mtime:
                shown = source.relative_to(serverkit.ROOT)
                pytest.exit(f"{shown} changed since it was compiled: make .venv/.installed", 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first, those that need the machine for themselves last."""
    patched = getattr(sys.modules.get("gevent.monkey"), "saved", None)
    if patched:
        pytest.exit("a test imports locust, which patches this process: run it in a process of its own", 4)
    items.sort(key=lambda item: turns.turn(item.nodeid, item.get_closest_marker("verify") is not None))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> turns.Turns:
    """Hand tests out to processes as `turns` says."""
    return turns.Turns(config, log)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[..., serverkit.Server]]:
    """`servers("sio4", "--ping-interval", "300")`: a running server, shared by all who ask for the same.

    Tests that count call `server.reset()` first; tests that harm a server take `serverkit.running` instead.
    """
    started: dict[tuple[str, ...], serverkit.Server] = {}

    def get(kind: str, *options: str) -> serverkit.Server:
        key = (kind, *options)
        if key in started and started[key].process.popen.poll() is not None:
            started.pop(key).process.close()
        if key not in started:
            started[key] = serverkit.start(kind, *options)
        return started[key]

    yield get
    for server in started.values():
        server.process.close()


@pytest.fixture
def target(servers: Callable[..., serverkit.Server]) -> serverkit.Server:
    """The embedded target, counting from zero."""
    server = servers("target")
    server.reset()
    return server


@pytest.fixture
def node4(servers: Callable[..., serverkit.Server]) -> serverkit.Server:
    """npm socket.io 4.8, counting from zero."""
    server = servers("sio4")
    server.reset()
    return server


@pytest.fixture
def node3(servers: Callable[..., serverkit.Server]) -> serverkit.Server:
    """npm socket.io 3.1, counting from zero."""
    server = servers("sio3")
    server.reset()
    return server
