"""The `@on` decorator: methods of a user class that handle the server's events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sioload.client.dispatcher import Handler
from sioload.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_sioload_on"


class _Registration(NamedTuple):
    event: str
    namespace: str
    sent_at: Callable[..., float] | None
    delivery: Callable[..., tuple[Any, int]] | None


def on(
    event: str | int,
    namespace: str = "/",
    *,
    sent_at: Callable[..., float] | None = None,
    delivery: Callable[..., tuple[Any, int]] | None = None,
) -> Callable[[F], F]:
    """Make a method of a `SocketIOUser` the handler of an event.

    The method runs in a greenlet, one event of a connection at a time, in order of arrival; it may block,
    emit and call. What it returns answers a server that asks for an ack (a tuple for several arguments).
    Measuring is done on arrival, whatever the method does.

    Args:
        event: the event's name or number, `"*"` for all that have no handler of their own (which get the name
            first).
        namespace: "/" without.
        sent_at: given the event's arguments, returns the `stamp()` that is in it; the event then counts as
            PUSH, with its way's time. May not block.
        delivery: given the event's arguments, returns `(stream, number)`: numbers of one stream must arrive
            without gaps, repeats or reordering, from the first that a receiver gets to its last. That it gets
            none, or no more, shows only as `behind`: it has been silent while others of the stream got on. So
            does a receiver that left a room on purpose. May not block.
    """
    if isinstance(event, bool) or not isinstance(event, str | int) or event == "":
        raise UsageError(f"on(): the event must be a name, not {event!r}")
    if not isinstance(namespace, str) or not namespace.startswith("/"):
        raise UsageError(f"on({event!r}): namespace {namespace!r} must begin with '/'")

    def mark(function: F) -> F:
        registered = [*getattr(function, _MARK, ()), _Registration(str(event), namespace, sent_at, delivery)]
        setattr(function, _MARK, registered)
        return function

    return mark


def handlers_of(cls: type) -> dict[tuple[str, str], Handler]:
    """(namespace, event) to handler, of all methods that `on` marked, subclasses' first."""
    found: dict[tuple[str, str], Handler] = {}
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, value in vars(base).items():
            if name not in seen:
                seen.add(name)
                for event, namespace, sent_at, delivery in getattr(value, _MARK, ()):
                    found.setdefault((namespace, event), Handler(value, sent_at, delivery, bound=True))
    return found
