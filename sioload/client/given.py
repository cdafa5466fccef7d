"""What a script gives to a client's methods: taken as it is meant, or refused with what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from sioload.errors import UsageError
from sioload.options import check_text
from sioload.plain import Json


def seconds_given(value: object, what: str) -> float:
    """A number of seconds.

    Raises:
        UsageError: it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise UsageError(f"{what} must be a number of seconds, such as 5, not {value!r}")
    return float(value)


def span_given(value: object, what: str) -> float:
    """How many seconds something lasts.

    Raises:
        UsageError: it is no number above 0, or has no end.
    """
    seconds = seconds_given(value, what)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{what} must be seconds above 0, not {value!r}")
    return seconds


def check_function(given: object, what: str) -> None:
    """Refuse what can't be called; None is no function, and may be given."""
    if given is not None and not callable(given):
        raise UsageError(f"{what} must be a function, not {given!r}")


def namespaces_given(names: Iterable[Json]) -> list[str]:
    """Names of namespaces, each once.

    Raises:
        UsageError: one is none.
    """
    found: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str) or not name.startswith("/"):
            raise UsageError(f"namespace {name!r} must begin with '/'")
        check_text(f"namespace {name!r}", name)
        found[name] = None
    return list(found)


def namespace_given(name: Any) -> str | None:
    """A namespace's name, if one is given.

    Raises:
        UsageError: it is none.
    """
    return None if name is None else namespaces_given([name])[0]


def packet_given(raw: object) -> str | bytes:
    """A packet written by hand.

    Raises:
        UsageError: it is neither text nor bytes.
    """
    if isinstance(raw, bytearray):
        return bytes(raw)
    if not isinstance(raw, str | bytes):
        raise UsageError(f"a packet must be a text such as '42[\"hi\"]', or bytes, not {raw!r}")
    return raw


def class_given(handler: Any) -> Any:
    """A class-based namespace of python-socketio's.

    Raises:
        UsageError: it is none.
    """
    if isinstance(handler, type) or not hasattr(handler, "_set_client"):
        raise UsageError(f"give an instance of a socketio.ClientNamespace, not {handler!r}")
    return handler


def url_of(ask: Callable[[], Any]) -> str:
    """What the function says that was given as a URL.

    Raises:
        UsageError: it returns none.
    """
    url = ask()
    if not isinstance(url, str) or not url:
        raise UsageError(f"the function url must return a text such as 'http://127.0.0.1:5000', not {url!r}")
    return url
