"""What Artillery's scripts share, and what their values are where only texts may stand."""

from __future__ import annotations

import ast
import json

import pytest
from importkit import HEAD, Script, imported_text


def test_steps_that_flows_share_are_those_of_each(tmp_path):
    """An alias of a list of steps is a list among the steps."""
    script = imported_text(
        tmp_path,
        f"{HEAD}shared: &login\n  - {{emit: [login]}}\n  - {{emit: [hello]}}\n"
        "scenarios: [{engine: socketio, flow: [*login, {emit: [x]}, {loop: [*login], count: 2}]}]\n",
    )
    assert [sent.event for sent in script.sent] == ["login", "hello", "x", "login", "hello"]
