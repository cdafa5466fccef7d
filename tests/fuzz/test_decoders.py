"""Every decoder of every generation on seeded random inputs: only the documented error comes out.

What decodes is encoded and decoded again; websockets and HTTP are fed whole and in pieces (see `cases.py`).
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
import pytest
import serverkit
from framekit import deflated, frame
from fuzz.cases import LIMITS, NESTED, SUBJECTS, Rand, fuzz, mutated, packed

from sioload.errors import ProtocolError

CASES = Path(__file__).with_name("cases.py")
QUICK, COVERING, LONG = 4_000, 20_000, 1_000_000
SEED = 20_240_601
#: At least so many of the cases must decode, or the fuzzing would test little beyond the first check.
DECODING = 0.30
CODECS = [
    "engineio/packet.py",
    "engineio/payload.py",
    "socketio/codec.py",
    "socketio/jsontext.py",
    "socketio/parsers.py",
    "socketio/v0.py",
]


def attached(number: str) -> list[Any]:
    return ['51-["a",{"_placeholder":true,"num":' + number + "}]", b"x"]


MALFORMED, PLACEHOLDER = "malformed id", "placeholder without its attachment"
#: Seeds that must be there, by what they are: decoder, input, and what it says ("" if it decodes).
MANDATORY: dict[str, tuple[str, Any, str]] = {
    "² as an ack id": ("json", ["3²[1]"], MALFORMED),
    "² as an ack id of 0.9": ("v0", ["6:::²"], MALFORMED),
    "an ack id of 5,000 digits": ("json", ["3" + "9" * 5000 + "[1]"], MALFORMED),
    "an ack id of 5,000 digits, 0.9": ("v0", ["6:::" + "9" * 5000], MALFORMED),
    "JSON nested 100,000 deep": ("json", ['2["a",' + NESTED + "]"], "takes: nesting 64"),
    "JSON nested 100,000 deep, 0.9": ("v0", ["5:::" + NESTED], "takes: nesting 64"),
    "msgpack nested 100,000 deep": ("msgpack", [b"\x91" * 100_000], "not msgpack"),
    "NaN": ("json", ['2["a",NaN]'], "not JSON"),
    "1e999": ("json", ['2["a",1e999]'], "not JSON"),
    "NaN, 0.9": ("v0", ["4:::NaN"], "not JSON"),
    "placeholder number -1": ("json", attached("-1"), PLACEHOLDER),
    "placeholder number 99": ("json", attached("99"), PLACEHOLDER),
    'placeholder number "0"': ("json", attached('"0"'), PLACEHOLDER),
    "placeholder number true": ("json", attached("true"), PLACEHOLDER),
    "placeholder number 0": ("json", attached("0"), ""),
    "attachment count 1e9": ("json", ['51000000000-["a"]'], "takes: attachments 64"),
    "a missing attachment": ("json", [attached("0")[0], '2["b"]'], "text while 1 attachments are missing"),
    "an extra attachment": ("json", [*attached("0"), b"extra"], "binary message that no packet announced"),
    "lengths in UTF-16 units": ("payload lengths", "5:4€😀".encode(), "ends within a packet"),
    "lengths in UTF-16 units, right": ("payload lengths", "4:4€😀".encode(), ""),
    "lengths within a surrogate pair": ("payload lengths", "2:4😀".encode(), "within a packet"),
    "an empty body": ("payload records", b"", "empty payload"),
    "empty packets": ("payload records", b"\x1e\x1e\x1e", "empty Engine.IO packet"),
    "an empty packet, EIO 3": ("payload lengths", b"0:", "empty Engine.IO packet"),
    "an empty packet of Socket.IO": ("json", [""], "unknown Socket.IO packet type"),
    "binary events interleaved": (
        "json",
        ['52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"1",
         '51-["b",{"_placeholder":true,"num":0}]', b"2"],
        "text while 1 attachments are missing"),
    "a gzip bomb": ("http", packed("gzip", gzip.compress(b"x" * 50_000, mtime=0)), "decompressed"),
    "a deflate bomb": ("http", packed("deflate", zlib.compress(b"x" * 50_000)), "decompressed"),
    "a bomb in a frame": (
        "websocket deflated", frame(2, deflated(b"x" * 1_000_000), rsv=4), "1009"),
}  # fmt: skip


@pytest.mark.parametrize("what", MANDATORY)
def test_the_mandatory_seeds_end_as_documented(what: str) -> None:
    name, data, says = MANDATORY[what]
    subject = SUBJECTS[name]
    assert data in subject.seeds
    if not says:
        assert subject.run(data)
        return
    with pytest.raises(ProtocolError, match=re.escape(says)):
        subject.run(data)


@pytest.mark.parametrize("name", SUBJECTS)
def test_only_documented_errors(name: str) -> None:
    done = fuzz(name, QUICK, SEED)
    assert done["decoded"] >= DECODING * QUICK, done


def most_memory(take: Callable[[Any], object], data: Any) -> int:
    """The most memory that decoding an input took at a time, what came out included."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    try:
        found = take(data)
    except ProtocolError:
        found = None
    _, most = tracemalloc.get_traced_memory()
    del found
    return most - before


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "encoders"])
def test_memory_is_bounded_by_the_input_and_the_limit(name: str) -> None:
    subject = SUBJECTS[name]
    rand = Rand(SEED)
    limit = LIMITS.payload if name.startswith("payload") else LIMITS.message
    made = [subject.make(rand) for _ in range(200)]
    for data in [*subject.seeds, *made, *(mutated(rand, data) for data in made)]:
        size = sum(map(len, data)) if isinstance(data, list) else len(data)
        assert most_memory(subject.take, data) <= size + limit, data[:80]


@pytest.mark.usefixtures("traced")
def test_values_take_more_memory_than_their_text_and_no_more_than_that() -> None:
    """The worst case: values of which each takes one byte (msgpack) or three."""
    n = 30_000
    text = '2["a"' + ",[]" * n + "]"
    packed = msgpack.packb({"type": 2, "nsp": "/", "data": ["a", *([[]] * n)]})
    for name, data, times in (("json", text, 40), ("msgpack", packed, 100)):
        assert most_memory(SUBJECTS[name].take, [data]) < times * len(data), name


def named(at_once: int) -> list[str]:
    """The decoders' names, so many for each process."""
    names = list(SUBJECTS)
    return [",".join(names[i : i + at_once]) for i in range(0, len(names), at_once)]


def _run(argv: list[str], env: dict[str, str] | None = None) -> str:
    done = serverkit.run(argv, 3000, env=env)
    assert done.code == 0, done.err[-4000:]
    return done.out


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("cases", "seeds", "at_once"),
    [(300, 1, len(SUBJECTS)), pytest.param(LONG, 4, 1, marks=pytest.mark.verify)],
)
def test_a_million_cases_of_each(cases: int, seeds: int, at_once: int) -> None:
    """In parts of different seeds, two at a time."""
    parts = [
        (names, str(cases // seeds), str(SEED + seed)) for names in named(at_once) for seed in range(seeds)
    ]
    with ThreadPoolExecutor(2) as pool:
        outs = list(pool.map(lambda part: _run([sys.executable, str(CASES), *part]), parts))
    done: list[dict[str, Any]] = [json.loads(line) for out in outs for line in out.splitlines()]
    for name in SUBJECTS:
        mine = [part for part in done if part["name"] == name]
        decoded = sum(part["decoded"] for part in mine)
        cpu, used = sum(part["cpu"] for part in mine), [part["seed"] for part in mine]
        print(f"{name}: {cases} cases, {decoded / cases:.0%} decode, {cpu:.0f} s, seeds {used}")
        assert decoded >= DECODING * cases


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_the_cases_reach_the_codecs_lines(tmp_path: Path) -> None:
    """As plain Python: nothing sees the lines of what is compiled."""
    data, env = tmp_path / "coverage", {"PYTHONPATH": str(serverkit.plain())}
    coverage = [sys.executable, "-m", "coverage"]
    include = ",".join(str(serverkit.plain() / "sioload" / name) for name in CODECS)
    measure = [*coverage, "run", "-p", f"--data-file={data}", f"--include={include}", str(CASES)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda names: _run([*measure, names, str(COVERING), str(SEED)], env), named(1)))
    _run([*coverage, "combine", "-q", f"--data-file={data}", str(tmp_path)])
    found = json.loads(_run([*coverage, "json", f"--data-file={data}", "-o", "-", "-q"]))
    lines = {name: file["summary"]["percent_covered"] for name, file in found["files"].items()}
    assert len(lines) == len(CODECS)
    print(lines)
    assert min(lines.values()) >= 95, lines
