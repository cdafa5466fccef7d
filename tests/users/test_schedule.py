"""Schedules on real servers (see schedules.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import serverkit
from scenariokit import names_in, told_by

PROGRAM = Path(__file__).with_name("schedules.py")
NAMES = names_in(PROGRAM)


@pytest.fixture(scope="module")
def results(servers: Callable[..., serverkit.Server]) -> Callable[[str], dict[str, str | None]]:
    """All scenarios of one transport, run once: name to what went wrong."""

    @cache
    def run(transports: str) -> dict[str, str | None]:
        return told_by(serverkit.run([sys.executable, PROGRAM, servers("sio4").url, transports], timeout=100))

    return run


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_scenario(transport: str, name: str, results: Callable[[str], dict[str, str | None]]) -> None:
    fault = results(transport)[name]
    assert fault is None, fault
