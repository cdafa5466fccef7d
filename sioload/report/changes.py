"""Changes between runs that are too much: `CALL[message]: p99 +10%`, as `compare --fail-on` takes them."""

from __future__ import annotations

import re
from typing import Final

from sioload.durations import UNITS
from sioload.errors import CheckError
from sioload.report.checks import Check, check_stat, limit_of, selected

_CHANGE: Final = re.compile(r"(.*):\s*([A-Za-z_][\w.]*)\s*([+-])\s*(\S.*?)\s*", re.DOTALL)
_SHARE: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?%")


def parse_change(text: str) -> tuple[Check, bool]:
    """A change that is too much, from its text: `CALL[message]: p99 +10%`, `run: ...` excepted.

    Returns:
        A check whose operator is `+` or `-` and whose limit is how far the stat may move that way; and
        whether that is a share of what it was, and no difference.

    Raises:
        CheckError: names what is wrong with it, and the nearest valid name.
    """
    if (found := _CHANGE.fullmatch(text)) is None:
        raise CheckError(
            f"change {text!r}: write SELECTOR: STAT CHANGE, as in 'CALL[message]: p99 +10%' or "
            "'CONNECT: p90 +20ms'"
        )
    selector, name, _ = selected(text)
    stat, sign, value = found[2], found[3], found[4]
    check_stat(text, selector, stat)
    if selector in ("run", "server", "drill") or stat == "reach" or stat.startswith("spread_"):
        hint = ": take 'missed'" if stat == "reach" else ""
        raise CheckError(f"change {text!r}: compared are counts and times of rows, ledger, connections{hint}")
    amount, *rest = value.split()
    if rest and (rest[0] in UNITS or rest[0] == "%"):
        amount += rest.pop(0)
    if rest:
        raise CheckError(f"change {text!r}: nothing comes after {sign}{amount}, but {' '.join(rest)!r} does")
    if not amount.endswith("%"):
        return Check(text.strip(), selector, name, stat, sign, limit_of(text, stat, amount)), False
    if not _SHARE.fullmatch(amount):
        raise CheckError(f"change {text!r}: {amount!r} is no share; write a number and %, as in 10%")
    return Check(text.strip(), selector, name, stat, sign, float(amount[:-1]) / 100), True
