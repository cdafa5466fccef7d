from __future__ import annotations

import pytest

from sioload import errors
from sioload.measure.ledger import OUTCOMES, Ledger


def test_each_outcome_closes_one_emit() -> None:
    ledger = Ledger()
    for outcome in OUTCOMES:
        ledger.emits += 1
        assert ledger.open == 1
        ledger.end(outcome)
        assert ledger.open == 0
    assert ledger.encode() == {"emits": 6, **dict.fromkeys(OUTCOMES, 1), "open": 0, "late_acks": 0}


def test_an_emit_that_ends_twice_does_not_balance() -> None:
    ledger = Ledger()
    ledger.emits += 1
    ledger.end("acked")
    ledger.end("timeout")
    assert ledger.open == -1


def test_a_late_ack_changes_no_outcome() -> None:
    ledger = Ledger()
    ledger.emits += 1
    ledger.end("timeout")
    ledger.late_acks += 1
    assert ledger.open == 0 and ledger.acked == 0


@pytest.mark.parametrize("outcome", ["open", "emits", "late_acks", "lost", "__class__"])
def test_other_names_are_no_outcomes(outcome: str) -> None:
    with pytest.raises(ValueError, match="no outcome"):
        Ledger().end(outcome)


def test_every_emit_error_names_an_outcome() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EmitError)
    ]
    assert {kind.outcome for kind in kinds} <= set(OUTCOMES)


def test_merged_ledgers_add_up_and_encode() -> None:
    one, other = Ledger(), Ledger()
    one.emits, one.acked, one.late_acks = 5, 4, 1
    other.emits, other.not_sent = 2, 2
    one.merge(other)
    assert Ledger.decode(one.encode()).encode() == one.encode()
    assert (one.emits, one.acked, one.not_sent, one.open, one.late_acks) == (7, 4, 2, 1, 1)


def test_a_reset_keeps_open_emits_so_that_the_ledger_still_balances_in_the_end() -> None:
    ledger = Ledger()
    ledger.emits, ledger.acked = 10, 7
    ledger.reset()
    assert (ledger.emits, ledger.acked, ledger.open) == (3, 0, 3)
    for _ in range(3):
        ledger.end("acked")
    assert ledger.open == 0
