"""What a script's function takes, and whether it does anything. Not compiled: it compares bytecode."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

INFINITY = float("inf")


def _nothing(*_: object) -> None: ...


def is_empty(function: Callable[..., Any] | None) -> bool:
    """Whether a function's body is `...` or `pass`, as of one that is there for its decorator's sake."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_code == _nothing.__code__.co_code and code.co_consts[-1] is None


def arguments(function: Callable[..., Any] | None, bound: bool) -> tuple[int, float]:
    """How many arguments a function requires whose first is named `event` (0 for all others), and how many it
    takes."""
    if function is None:
        return 0, INFINITY
    try:
        parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    except (TypeError, ValueError):
        return 0, INFINITY
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in places if p.default is p.empty]
    most = INFINITY if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(places)
    return len(required) if required and required[0].name == "event" else 0, most
