"""Fields of files that nobody vouches for: each is what it should be, or empty."""

from __future__ import annotations

from collections.abc import Mapping

from sioload.plain import Json


def mapping(value: object) -> Mapping[str, Json]:
    """An object, empty when it is none."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Json]:
    """A list, empty when it is none."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str:
    """A text, empty when it is none."""
    return value if isinstance(value, str) else ""
