"""Every socket, TLS, resolver and timer call fails once, in turn, and harms one user at most."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serverkit
import trustme

TORTURE = Path(__file__).with_name("torture.py")
SCENARIOS = ("websocket", "polling", "upgrade", "tls")
#: What can't be survived without a mark on the whole run: there was no memory for the event loop or for TLS.
MARKED = "MemoryError('out of memory')"

CALLS = {
    "socket", "setsockopt", "bind", "connect_ex", "getsockopt", "send", "recv", "close",
    "io", "timer", "getaddrinfo", "apply", "create_default_context", "wrap_bio", "do_handshake", "read",
    "write",
}  # fmt: skip

Found = list[dict[str, Any]]
Torture = Callable[[tuple[str, ...], int, float], Found]


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Torture]:
    """Runs these scenarios at a time: `torture(scenarios, depth, patience)`."""
    folder = tmp_path_factory.mktemp("torture")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    pem = str(folder / "server.pem")
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)

    def run(scenarios: tuple[str, ...], depth: int, patience: float) -> Found:
        runs = []
        try:
            for name in scenarios:
                server = secure if name == "tls" else plain
                host = "127.0.0.1" if name == "websocket" else "localhost"
                argv = [sys.executable, str(TORTURE), name, host, str(server.port), str(depth)]
                argv += [str(folder / "ca.pem")] if name == "tls" else []
                runs.append(serverkit.Process(argv, env={"PYTHONPATH": str(serverkit.plain())}))
            for process in runs:
                assert process.wait(patience) == 0, process
            return [json.loads(line) for process in runs for line in process.out.splitlines()]
        finally:
            for process in runs:
                process.close()

    with (
        serverkit.running("sio4") as plain,
        serverkit.running("sio4", "--cert", pem, "--key", pem) as secure,
    ):
        yield run


def judge(found: Found) -> None:
    for case in found:
        what = json.dumps(case, ensure_ascii=False)
        assert not case["faults"], what
        assert not case["internal"] or case["error"] == MARKED, what
        assert case["user"] is not None and "NEVER CONNECTED" not in case["user"], what
    pairs = Counter((case["site"], case["call"], case["error"]) for case in found if case["hit"])
    print(f"{len(pairs)} pairs of call site and error, failed {sum(pairs.values())} times")
    for site, call, error in sorted(pairs):
        print(f"{site} {call}: {error}")
    assert len(pairs) >= 100
    assert {call.removesuffix("_into") for _, call, _ in pairs} == CALLS


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("scenarios", "depth", "patience"),
    [(("polling", "tls"), 0, 200), pytest.param(SCENARIOS, 10, 2000, marks=pytest.mark.verify)],
)
def test_whatever_fails_harms_its_user_at_most(
    torture: Torture, scenarios: tuple[str, ...], depth: int, patience: float
) -> None:
    judge(torture(scenarios, depth, patience))
