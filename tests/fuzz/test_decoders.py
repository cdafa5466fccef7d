"""Every decoder of every generation on seeded random inputs: only the documented error comes out.

What decodes is encoded and decoded again; websockets and HTTP are fed whole and in pieces (see `cases.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serverkit
from fuzz.cases import LIMITS, SUBJECTS, Rand, fuzz, mutated

from sioload.errors import ProtocolError

CASES = Path(__file__).with_name("cases.py")
QUICK, LONG = 20_000, 1_000_000
SEED = 20_240_601
#: At least so many of the cases must decode, or the fuzzing would test little beyond the first check.
DECODING = 0.30
CODECS = [
    "engineio/packet.py",
    "engineio/payload.py",
    "socketio/codec.py",
    "socketio/parsers.py",
    "socketio/v0.py",
]


@pytest.mark.parametrize("name", SUBJECTS)
def test_only_documented_errors(name: str) -> None:
    done = fuzz(name, QUICK, SEED)
    assert done["decoded"] >= DECODING * QUICK, done


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "encoders"])
def test_memory_is_bounded_by_the_input_and_the_limits(name: str) -> None:
    subject = SUBJECTS[name]
    rand = Rand(SEED)
    made = [subject.make(rand) for _ in range(100)]
    inputs = [*subject.seeds, *made, *(mutated(rand, data) for data in made)]
    tracemalloc.start()
    try:
        for data in inputs:
            size = sum(map(len, data)) if isinstance(data, list) else len(data)
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            try:
                subject.run(data)
            except ProtocolError:
                pass
            _, most = tracemalloc.get_traced_memory()
            # `run` holds what was decoded and its encoded forms at a time; a packet takes 100 bytes.
            assert most - before < 40 * size + LIMITS.message, data[:80]
    finally:
        tracemalloc.stop()


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, env=serverkit._environment(None), timeout=3000
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.verify
@pytest.mark.timeout(3600)
def test_a_million_cases_of_each() -> None:
    """In parts of different seeds, two at a time."""
    parts = [(name, str(LONG // 4), str(SEED + part)) for name in SUBJECTS for part in range(4)]
    with ThreadPoolExecutor(2) as pool:
        done: list[dict[str, Any]] = [
            json.loads(line) for line in pool.map(lambda p: _run([sys.executable, str(CASES), *p]), parts)
        ]
    for name in SUBJECTS:
        mine = [part for part in done if part["name"] == name]
        decoded = sum(part["decoded"] for part in mine)
        cpu, seeds = sum(part["cpu"] for part in mine), [part["seed"] for part in mine]
        print(f"{name}: {LONG} cases, {decoded / LONG:.0%} decode, {cpu:.0f} s, seeds {seeds}")
        assert decoded >= DECODING * LONG


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_the_cases_reach_the_codecs_lines(tmp_path: Path) -> None:
    data = tmp_path / "coverage"
    include = ",".join(str(serverkit.ROOT / "sioload" / name) for name in CODECS)
    measure = ["coverage", "run", "--append", f"--data-file={data}", f"--include={include}"]
    for name in SUBJECTS:
        _run([sys.executable, "-m", *measure, str(CASES), name, str(QUICK), str(SEED)])
    found = json.loads(
        _run([sys.executable, "-m", "coverage", "json", f"--data-file={data}", "-o", "-", "-q"])
    )
    lines = {name: file["summary"]["percent_covered"] for name, file in found["files"].items()}
    assert len(lines) == len(CODECS)
    print(lines)
    assert min(lines.values()) >= 95, lines
