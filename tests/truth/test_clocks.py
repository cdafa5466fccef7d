"""A push between workers whose wall clocks differ takes as long as it took."""

from __future__ import annotations

import struct

import serverkit
from truthkit import Bench

APART = 3  # seconds


def test_wall_clocks_that_differ_dont_matter(bench: Bench, target: serverkit.Server) -> None:
    shim = bench.compiled("../faults/clock.c", "-shared", "-fPIC")
    port = serverkit.swarm_ports()

    def wall(moved: int) -> dict[str, str]:
        clock = bench.folder / f"{moved}"
        clock.write_bytes(struct.pack("l", moved))
        return {"LD_PRELOAD": str(shim), "CLOCK": str(clock)}

    finish = bench.start("talk.py", target.url, "--master", "--expect-workers", "2", "-u", "8", "-r", "8",
                         "-t", "5s", *port, env=wall(0))  # fmt: skip
    for moved in (0, APART):
        bench.worker("talk.py", port, wall(moved))
    outcome = finish(60)
    assert outcome.sound and outcome.code in (0, 4), outcome.text
    walls = sorted(told["wall"] for told in outcome.told if told["ways"])
    assert len(walls) == 2 and abs(walls[1] - walls[0] - APART) < 0.5, "the clocks weren't apart"
    bound = outcome.event("PUSH", "message")["clock_error_ms"] / 1000
    assert 0 < bound <= 0.005, outcome.text
    ways = [way for told in outcome.told for way in told["ways"]]
    assert len(ways) > 300, outcome.text
    for reported, least, most in ways:
        assert least - bound <= reported <= most + bound, f"{reported}: {least} to {most}\n{outcome.text}"
