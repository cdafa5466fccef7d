"""The emit ledger: each emit ends with exactly one outcome, and the counts show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The outcomes; an emit that has none yet is open.
OUTCOMES: Final = ("acked", "sent", "timeout", "error", "indeterminate", "not_sent")
_COUNTS: Final = ("emits", *OUTCOMES, "late_acks")


class Ledger:
    """Counts of emits and of their outcomes. The event loop adds to the attributes directly.

    Attributes:
        emits: emits begun.
        acked: the ack or the awaited answer came.
        sent: asked for no ack, and was handed over.
        timeout: no answer came in time.
        error: the server or the protocol refused it.
        indeterminate: the connection or the run ended after it was written.
        not_sent: the server never saw it.
        late_acks: acks that came after their emit had ended; they change no outcome.
    """

    __slots__ = _COUNTS

    def __init__(self) -> None:
        self.emits = self.acked = self.sent = self.timeout = 0
        self.error = self.indeterminate = self.not_sent = self.late_acks = 0

    def reset(self) -> None:
        """Forget what was counted, in place; open emits stay counted, as their outcomes are to come."""
        self.emits = self.open
        self.acked = self.sent = self.timeout = self.error = 0
        self.indeterminate = self.not_sent = self.late_acks = 0

    def end(self, outcome: str) -> None:
        """Count the outcome of one emit, named as an exception's `outcome` names it.

        Raises:
            ValueError: there is no such outcome.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"{outcome!r} is no outcome of an emit")
        setattr(self, outcome, getattr(self, outcome) + 1)

    @property
    def open(self) -> int:
        """Emits without an outcome. Negative if some emit was given two."""
        ended = self.acked + self.sent + self.timeout + self.error + self.indeterminate + self.not_sent
        return self.emits - ended

    def merge(self, other: Ledger) -> None:
        """Add all that another ledger counted."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def since(self, earlier: Ledger) -> Ledger:
        """What was counted after `earlier`, a former state of this ledger; `open` is by how much it grew."""
        fresh = Ledger()
        for name in _COUNTS:
            setattr(fresh, name, getattr(self, name) - getattr(earlier, name))
        return fresh

    def outcomes(self) -> dict[str, int]:
        """How many emits ended with each outcome."""
        return {outcome: getattr(self, outcome) for outcome in OUTCOMES}

    def encode(self) -> dict[str, int]:
        """All counts and `open`, in the order of reports."""
        names = ("emits", *OUTCOMES, "open", "late_acks")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def decode(cls, data: Mapping[str, int]) -> Ledger:
        """The ledger that `encode` was called on."""
        ledger = cls()
        for name in _COUNTS:
            setattr(ledger, name, data[name])
        return ledger
