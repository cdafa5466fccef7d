"""A server that disconnects whoever joins isn't joined as fast as it answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import serverkit

SCRIPT = Path(__file__).with_name("dismissed.py")
SECONDS, DELAY = 3.0, 0.4
Servers = Callable[..., serverkit.Server]


def run(server: serverkit.Server, folder: Path, *classes: str) -> serverkit.Run:
    server.reset()
    users = str(len(classes) or 3)
    argv = [
        "-f",
        SCRIPT,
        "--host",
        server.url,
        "--headless",
        "-u",
        users,
        "-r",
        "10",
        "-t",
        f"{SECONDS:g}s",
        "--only-summary",
    ]
    return serverkit.run_locust([*argv, *classes], cwd=folder, env={"VERSION": server.kind[-1]})


def test_returns_have_the_backoff_and_the_limits_of_reconnecting(servers: Servers, tmp_path: Path) -> None:
    server = servers("sio4", "--dismiss", "0")
    done = run(server, tmp_path)
    connects = server.counts()["connects"]
    assert 3 <= connects["/"] <= SECONDS / DELAY + 2, done.text
    assert (connects["/chat"], connects["/private"]) == (1, 3), done.text
    assert "of Twice gave up" in done.text and "of Staying gave up" in done.text, done.text
    assert "Traceback" not in done.text, done.text


@pytest.mark.parametrize("kind", ["sio2", "sio0"])
@pytest.mark.parametrize("after", ["0", "30"])
def test_older_servers_too(servers: Servers, tmp_path: Path, kind: str, after: str) -> None:
    server = servers(kind, "--dismiss", after)
    done = run(server, tmp_path, "Returning")
    assert 2 <= server.counts()["connects"]["/"] <= SECONDS / DELAY + 2, done.text
