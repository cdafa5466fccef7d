"""Scenarios: functions of a program that a test runs in a process of its own, and what became of each."""

from __future__ import annotations

import ast
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serverkit import Run

    from sioload.client.api import SocketIOClient

SCENARIOS: dict[str, Callable[[], None]] = {}


def names_in(program: Path) -> list[str]:
    """The scenarios of a program, without running it."""
    body = ast.parse(program.read_text()).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.decorator_list]


def told_by(done: Run) -> dict[str, str | None]:
    """What a program told: a scenario's name to what went wrong, None when nothing did."""
    assert done.code == 0, done.text
    return dict(json.loads(line) for line in done.out.splitlines() if line.startswith("["))


# In the program.


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    """One more; `main` runs them in their order."""
    SCENARIOS[function.__name__] = function
    return function


def main() -> None:
    """Run all, and print a line of JSON for each: its name, and what went wrong (null when nothing did)."""
    import gevent

    for name, function in SCENARIOS.items():
        try:
            with gevent.Timeout(15, AssertionError("it hangs")):
                function()
        except Exception:  # noqa: BLE001 - told to the test that asked
            print(json.dumps([name, traceback.format_exc()]), flush=True)
        else:
            print(json.dumps([name, None]), flush=True)


def outcomes(sio: SocketIOClient) -> dict[str, int]:
    """The ledger's counts that aren't zero."""
    return {name: n for name, n in sio.fleet.recorder.ledger.encode().items() if n}


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that other greenlets do."""
    import gevent

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        gevent.sleep(0.005)


def raises(
    kind: type[Exception] | tuple[type[Exception], ...], function: Callable[[], Any], *words: str
) -> Any:
    """The exception that a function raises, in whose message these words are."""
    try:
        function()
    except kind as error:
        missing = [word for word in words if word not in str(error)]
        if missing:
            raise AssertionError(f"{missing} not in {error}") from error
        return error
    raise AssertionError(f"no {kind}")
