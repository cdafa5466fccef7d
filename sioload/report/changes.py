"""Changes between runs that are too much: `CALL[message]: p99 +10%`, as `compare --fail-on` takes them."""

from __future__ import annotations

import re
from typing import Final

from sioload.errors import CheckError
from sioload.report.checks import Check, check_stat, limit_of, selected

_CHANGE: Final = re.compile(r"(.*):\s*([A-Za-z_][\w.]*)\s*([+-])\s*(\S.*?)\s*", re.DOTALL)


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
        raise CheckError(f"change {text!r}: compared are counts and times of rows, ledger, connections")
    relative = value.endswith("%")
    limit = limit_of(text, "rate" if relative else stat, value.removesuffix("%").strip())
    return Check(text.strip(), selector, name, stat, sign, limit / 100 if relative else limit), relative
