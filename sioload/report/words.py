"""Numbers as people read them: with what they count (`1 user`, `2 users`), to so many digits, in a unit."""

from __future__ import annotations

import math
from decimal import Decimal


def counted(number: float, what: str, form: str = "") -> str:
    """So many of something; `form` is how the number is written, as in `format`."""
    shown = format(number, form)
    return f"{shown} {what}{'' if shown == '1' else 'es' if what.endswith('sh') else 's'}"


def three_digits(value: float, whole: str = ",.0f") -> str:
    """A number from 0 on to three digits or so; `whole` is how one of more is written, as in `format`."""
    return format(value, ".2f" if value < 10 else ".1f" if value < 100 else whole)


def ms(value: float | None) -> str:
    """Milliseconds to three digits or so; a dash for none."""
    return "-" if value is None else three_digits(value, ".0f")


def plain(number: float) -> str:
    """A number without an exponent, and without a fraction if it has none."""
    return str(int(number)) if number == int(number) else f"{Decimal(repr(number)):f}"


def rounded(value: float, digits: int) -> str:
    """A number to so many digits; little is written out, `0.00005`, not as a power of ten."""
    shown = f"{value:.{digits}g}"
    return f"{Decimal(shown):f}" if "e-" in shown else shown


def in_unit(size: float) -> tuple[float, str]:
    """Bytes as so many of the largest of B, KiB, MiB and GiB of which there is one."""
    step = min(3, int(math.log2(size) // 10)) if size >= 1 else 0
    return size / 1024**step, ("B", "KiB", "MiB", "GiB")[step]
