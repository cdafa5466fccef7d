"""Numbers with what they count, as people say it: `1 user`, `2 users`."""

from __future__ import annotations


def counted(number: float, what: str, form: str = "") -> str:
    """So many of something; `form` is how the number is written, as in `format`."""
    shown = format(number, form)
    return f"{shown} {what}{'' if shown == '1' else 'es' if what.endswith('sh') else 's'}"
