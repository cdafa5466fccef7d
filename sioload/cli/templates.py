"""`{{column}}` in the values of `sioload bench`: each user puts its row of the feed there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from sioload.plain import Json

_PLACE: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def columns_in(value: object) -> Iterator[str]:
    """The columns that a value asks for, wherever in it."""
    if isinstance(value, str):
        yield from (found[1] for found in _PLACE.finditer(value))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from columns_in(key)
            yield from columns_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from columns_in(inner)


def filled(value: Any, row: Mapping[str, Json]) -> Any:
    """The value with the row's values; one that is nothing but a place takes the row's as it is."""
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole is not None:
            return row[whole[1]]
        return _PLACE.sub(lambda found: text_of(row[found[1]]), value)
    if isinstance(value, Mapping):
        return {text_of(filled(key, row)): filled(inner, row) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, row) for inner in value]
    return value


def text_of(value: Json) -> str:
    """A value where there can only be a text: as JSON has it, but for texts."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
