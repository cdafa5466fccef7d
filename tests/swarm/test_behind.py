"""Receivers whose pushes stopped for good are counted as behind, in every output, and fail a check."""

from __future__ import annotations

from pathlib import Path

from swarmkit import Swarm, scene

USERS = Path(__file__).parent / "silent_users.py"


@scene
def test_receivers_that_fall_silent_are_behind_alone(swarm: Swarm) -> None:
    some_are_behind(swarm)


@scene
def test_receivers_that_fall_silent_are_behind_with_workers(swarm: Swarm) -> None:
    some_are_behind(swarm, "--processes", "2")


def some_are_behind(swarm: Swarm, *more: str) -> None:
    html = swarm.folder / "ours.html"
    checks = ["--sio-check", "RECV[news]: behind == 0", "--sio-check", "RECV[news]: lost == 0"]
    args = swarm.args("-f", USERS, "-t", "6s", "--sio-html", html, *checks, *more, users=12)
    assert swarm.run(args) == 3, str(swarm.processes[0])
    (delivery,) = swarm.report["delivery"]
    out = swarm.processes[0].out
    assert delivery["behind"] == 4 and delivery["lost"] == 0, out
    assert [check["ok"] for check in swarm.report["checks"]] == [False, True]
    last = "exit code 3: 1 check failed: RECV[news]: behind == 0 (behind is 4, not == 0)"
    assert out.splitlines()[-1] == last
    assert "4 receivers fell silent behind others" in " ".join(out.split())
    assert "Receivers behind" in html.read_text()
