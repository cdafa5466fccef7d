"""Connecting and disconnecting for long: memory stays level, and everything that was opened is closed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serverkit
from soak.levels import growth, level

HERE = Path(__file__).parent
Servers = Callable[..., serverkit.Server]


def cycle(server: serverkit.Server, cycles: int, transports: str, timeout: float) -> dict[str, Any]:
    argv = [sys.executable, str(HERE / "cycles.py"), server.url, str(cycles), transports]
    run = serverkit.run(argv, timeout, fresh=True)
    assert run.code == 0, run.text
    told: dict[str, Any] = json.loads(run.out)
    assert told["faults"] == [] and told["done"] == cycles, told
    assert told["opened"] == cycles and told["closed"] == {"client": cycles}, told
    assert told["ledger"]["acked"] == told["ledger"]["emits"] == cycles, told
    level(told)
    return told


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("transports", "cycles", "warm", "most"),
    [
        ("polling,websocket", 600, 0.5, 0.05),
        pytest.param("websocket", 70_000, 0.2, 0.02, marks=pytest.mark.verify),
        pytest.param("polling,websocket", 30_000, 0.2, 0.02, marks=pytest.mark.verify),
    ],
)
def test_connecting_and_disconnecting_again_and_again(
    servers: Servers, transports: str, cycles: int, warm: float, most: float
) -> None:
    told = cycle(servers("sio4"), cycles, transports, 60 if cycles == 1000 else 2500)
    print(told)
    assert growth(told["memory"], warm) < most, told["memory"]
