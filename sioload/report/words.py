"""Numbers as people read them: with what they count (`1 user`, `2 users`), and milliseconds."""

from __future__ import annotations

from decimal import Decimal


def counted(number: float, what: str, form: str = "") -> str:
    """So many of something; `form` is how the number is written, as in `format`."""
    shown = format(number, form)
    return f"{shown} {what}{'' if shown == '1' else 'es' if what.endswith('sh') else 's'}"


def ms(value: float | None) -> str:
    """Milliseconds to three digits or so; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def rounded(value: float, digits: int) -> str:
    """A number to so many digits; little is written out, `0.00005`, not as a power of ten."""
    shown = f"{value:.{digits}g}"
    return f"{Decimal(shown):f}" if "e-" in shown else shown
