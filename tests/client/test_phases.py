"""The manager's phases: every pair of phase and turn."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sioload.client.manager import PHASES, Manager, Phase, Turn
from sioload.net.fleet import Fleet
from sioload.options import Options

#: Phase and turn, to the phase that follows. Every other pair changes nothing.
EXPECTED = {
    (Phase.IDLE, Turn.CONNECT): Phase.CONNECTING,
    (Phase.CONNECTING, Turn.JOINED): Phase.UP,
    (Phase.CONNECTING, Turn.FAILED): Phase.IDLE,
    (Phase.UP, Turn.LOST): Phase.DOWN,
    (Phase.UP, Turn.DISMISSED): Phase.IDLE,
    (Phase.DOWN, Turn.JOINED): Phase.UP,
    (Phase.DOWN, Turn.FAILED): Phase.DOWN,
    (Phase.DOWN, Turn.GIVEN_UP): Phase.IDLE,
    (Phase.CLOSING, Turn.ENDED): Phase.IDLE,
    **{(phase, Turn.LEAVE): Phase.CLOSING for phase in (Phase.CONNECTING, Phase.UP, Phase.DOWN)},
}


@pytest.mark.parametrize(("phase", "turn"), list(itertools.product(Phase, Turn)))
def test_every_pair_of_phase_and_turn(phase: Phase, turn: Turn) -> None:
    nobody: Any = None
    fleet = Fleet()
    manager = Manager(fleet, Options(), nobody, nobody, nobody)
    manager.namespaces.want(["/"])
    fleet.members.add(manager)
    manager.phase = phase
    moved = manager._turn(turn)
    follows = EXPECTED.get((phase, turn))
    assert moved == (follows is not None)
    assert manager.phase is (follows or phase)
    assert not moved or bool(manager.packets.ready) == (follows is Phase.UP), "emits go out while it is up"
    assert not moved or (manager in fleet.members) == (follows is not Phase.IDLE), "the drain waits for it"


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {Phase.IDLE}
    for _ in Phase:
        reached |= {to for old in reached for to in PHASES[old].values()}
    assert reached == set(Phase) and all(PHASES.values())
