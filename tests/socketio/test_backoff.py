"""The reconnection delays of the JavaScript client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioload.socketio.backoff import backoff


def test_without_jitter_it_doubles_up_to_the_most() -> None:
    assert [backoff(n, 1.0, 5.0, 0.0) for n in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("draw", "seconds"),
    # An even first digit of the draw shortens, an odd one lengthens.
    [(0.0, 1.0), (0.25, 0.875), (0.5, 1.25), (0.69, 0.655)],
)
def test_jitter_moves_it_either_way(draw: float, seconds: float) -> None:
    assert backoff(0, 1.0, 5.0, 0.5, lambda: draw) == pytest.approx(seconds)


@given(st.integers(0, 10_000), st.floats(0.001, 100), st.floats(0.001, 100), st.floats(0, 1))
def test_it_is_never_above_the_most_nor_negative(
    attempt: int, first: float, most: float, jitter: float
) -> None:
    assert 0.0 <= backoff(attempt, first, most, jitter) <= most
