"""Compiled code believes what mypy does: an attribute set to None is None until this function sets it again.

A method called in between may have set it too. mypy doesn't see that, and mypyc then raises TypeError when
the attribute is read again (plain Python goes on). So what may have changed is asked in a method of its own.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator

import pytest
import serverkit

COMPILED = tomllib.loads((serverkit.ROOT / "pyproject.toml").read_text())["tool"]["sioload"]["compiled"]


def own(node: ast.AST) -> bool:
    """Whether it is `self.name`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def set_to(node: ast.Assign) -> Iterator[tuple[str, bool]]:
    """The attributes of `self` that an assignment sets, and whether to None."""
    for target in node.targets:
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=True))
        for place, value in pairs:
            if own(place):
                assert isinstance(place, ast.Attribute)
                yield place.attr, isinstance(value, ast.Constant) and value.value is None


def read_again(function: ast.FunctionDef) -> Iterator[str]:
    """Attributes that it sets to None and reads again after a call."""
    nodes = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.Call, ast.Attribute))]
    called: dict[str, bool] = {}
    for node in sorted(
        nodes, key=lambda node: (node.lineno, not isinstance(node, ast.Assign), node.col_offset)
    ):
        if isinstance(node, ast.Assign):
            for name, nothing in set_to(node):
                called.pop(name, None)
                if nothing:
                    called[name] = False
        elif isinstance(node, ast.Call):
            called = dict.fromkeys(called, True)
        elif own(node) and isinstance(node.ctx, ast.Load) and called.get(node.attr):
            yield f"{function.name} (line {node.lineno}): self.{node.attr}"


@pytest.mark.parametrize("module", COMPILED)
def test_what_was_set_to_none_is_asked_anew(module: str) -> None:
    tree = ast.parse((serverkit.ROOT / (module.replace(".", "/") + ".py")).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [line for function in functions for line in read_again(function)]
