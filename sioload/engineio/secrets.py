"""What a user confided to a server stays out of what is shown, though the server says it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

HIDDEN = "(hidden)"
#: Shorter texts stay as they are: they are no secrets, and every "1" would go.
SHORTEST = 6
_PARTS = re.compile(r"[\s=;,&:]+")


def redact(text: str, *confided: object) -> str:
    """A text for reports and logs, in which nothing that was confided can be read.

    Args:
        text: what a server said.
        confided: strings, also in dicts (their values) and lists. The parts of a header or of a query are
            hidden each by itself.
    """
    found: set[str] = set()
    encoded = "%" in text
    for secret in _strings(confided):
        for part in (secret, *_PARTS.split(secret)):
            if len(part) >= SHORTEST:
                # A server may have had us keep thousands of parts: look before anything else is done to one.
                forms = (part, quote(part, safe="")) if encoded else (part,)
                found.update(form for form in forms if form in text)
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
