"""What must be level at the end of a long run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def growth(memory: Sequence[int], warm: float) -> float:
    """By how much of itself memory grows from its warm-up's end (a share of the run) to the run's end."""
    later = memory[int(len(memory) * warm) :]
    n = len(later)
    mean_x, mean_y = (n - 1) / 2, sum(later) / n
    slope = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(later)) / sum(
        (x - mean_x) ** 2 for x in range(n)
    )
    return slope * (n - 1) / mean_y


def level(told: dict[str, Any]) -> None:
    """Descriptors, greenlets and deadlines are back at the start's count."""
    before, after = told["before"], told["after"]
    assert after["connected"] == after["members"] == after["deadlines"] == 0, told
    assert after["fds"] <= before["fds"], told
    assert after["greenlets"] <= before["greenlets"] + 1, told  # the one that writes this
