"""What a user confided to a server stays out of what is shown, though the server says it again."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

HIDDEN = "(hidden)"
#: Shorter texts stay as they are: they are no secrets, and every "1" would go.
SHORTEST = 6
_PARTS = re.compile(r"[\s=;,&:]+")
#: How a server may write what it says again, by a sign of such a text: in a URL, in JSON, on a page.
_WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("%", lambda part: quote(part, safe="")),
    ("\\", lambda part: json.dumps(part)[1:-1]),
    ("\\", lambda part: json.dumps(part, ensure_ascii=False)[1:-1]),
    ("&", html.escape),
)


def redact(text: str, *confided: object) -> str:
    """A text for reports and logs, in which nothing that was confided can be read.

    Args:
        text: what a server said.
        confided: strings, also in dicts (their values) and lists. The parts of a header or of a query are
            hidden each by itself.
    """
    found: set[str] = set()
    ways = [way for sign, way in _WAYS if sign in text]
    for secret in _strings(confided):
        for part in (secret, *_PARTS.split(secret)):
            if len(part) >= SHORTEST:
                # A server may have had us keep thousands of parts: look before anything else is done to one.
                found.update(form for form in (part, *(way(part) for way in ways)) if form in text)
    for part in sorted(found, key=len, reverse=True):
        text = text.replace(part, HIDDEN)
    return text


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
