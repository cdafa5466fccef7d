"""Names of rows and failures: one line, of bounded length, and equal for equal faults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeVar

_MESSAGE_LENGTH: Final = 120
#: Characters that a row's name has at most.
NAME_LENGTH: Final = 120
#: The name of all that came when there was no room for more names.
OTHER: Final = "(other)"
#: What stands between a row's name and the label of the users that it is of.
LABEL: Final = " @"
#: What stands behind an event's name: what of it a row is, such as "(handler)", and the label.
_BEHIND: Final = re.compile(r"(?: \([a-z_]{1,10}\))?(?: @[^@]{1,40})?\Z")
#: Also what turns the direction of text, which would turn a table's figures around.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_PLACEHOLDERS: Final = (
    (re.compile(r"(?<=\S)\?[^\s'\"<>)]*=[^\s'\"<>)]*"), "?(query)"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "(id)"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "(id)"),
    (re.compile(r"(?<![\w-])(?=[a-fA-F]*[0-9])(?=[0-9]*[a-fA-F])[0-9a-fA-F]{8,}(?![\w-])"), "(id)"),
    (re.compile(r"(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{16,}(?![\w-])"), "(id)"),
    (re.compile(r"[0-9]{5,}"), "(n)"),
)

K = TypeVar("K")


def counted_since(now: Mapping[K, int], earlier: Mapping[K, int], other: K) -> dict[K, int]:
    """What was counted by name after `earlier`, a former state of `now`.

    Names that were told apart then, and no longer are, are in `other` now.
    """
    before: dict[K, int] = {}
    for name, n in earlier.items():
        known = name if name in now else other
        before[known] = before.get(known, 0) + n
    return {name: more for name, n in now.items() if (more := n - before.get(name, 0))}


def normalise(text: str, length: int = _MESSAGE_LENGTH) -> str:
    """An error message as the name of a failure: one line, short, and equal for equal faults.

    Ids, session ids, long numbers (ephemeral ports, addresses) and the queries of URLs become placeholders;
    control characters become spaces; the result has at most 120 characters, or as many as are given.
    """
    return _normalise(text[: 3 * length], length)


@lru_cache(maxsize=1024)
def _normalise(text: str, length: int) -> str:
    text = " ".join(_CONTROL.sub(" ", text).split())
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    if len(text) > length:
        text = text[: length - 3].rstrip() + "..."
    return text or "(no message)"


def unlabelled(name: str) -> str:
    """A row's name without the label of the users that it is of."""
    before, label, _ = name.rpartition(LABEL)
    return before if label else name


def clean_name(name: str, length: int = NAME_LENGTH) -> str:
    """A row's name without control characters and of bounded length: servers choose some of them."""
    name = _CONTROL.sub(" ", name[: length + 1])
    return name if len(name) <= length else name[: length - 3] + "..."


def bounded(name: str) -> str:
    """A row's name of bounded length; of a long one, what stands behind it stays."""
    found = _BEHIND.search(name, max(0, len(name) - 60))
    at = len(name) if found is None else found.start()
    behind = clean_name(name[at:])
    return clean_name(name[:at], NAME_LENGTH - len(behind)) + behind
