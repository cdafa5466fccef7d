"""The `@on` decorator: methods of a user class that handle the server's events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sioload.client.dispatcher import Handler
from sioload.client.namespace import row_name
from sioload.errors import UsageError
from sioload.measure.names import clean_name

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_sioload_on"


class _Registration(NamedTuple):
    event: str
    namespace: str
    sent_at: Callable[..., float] | None
    delivery: Callable[..., tuple[Any, int]] | None
    name: str | None
    room: Callable[..., tuple[Any, ...]] | None


def on(
    event: str | int,
    namespace: str = "/",
    *,
    sent_at: Callable[..., float] | None = None,
    delivery: Callable[..., tuple[Any, int]] | None = None,
    name: str | None = None,
    room: Callable[..., tuple[Any, ...]] | None = None,
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
            does a receiver that left a room on purpose. It can't see silence otherwise: `room` does. May not
            block.
        name: the row's name in place of the event's.
        room: given the event's arguments, returns `(room, identity)` or `(room, identity, sender)`, of JSON's
            kinds of values. Over all users of the run it is then seen whether everyone in that room (as
            `self.sio.rooms` says; "*" is everyone connected to the namespace) got this message, once, and
            nobody else: row FANOUT, the report's `audience`. May not block.
    """
    if isinstance(event, bool) or not isinstance(event, str | int) or event == "":  # type: ignore[redundant-expr]
        raise UsageError(f"on(): the event must be a name, not {event!r}")
    if not isinstance(namespace, str) or namespace[:1] != "/":  # type: ignore[redundant-expr]
        raise UsageError(f"on({event!r}): namespace {namespace!r} must begin with '/'")
    if name is not None and (not isinstance(name, str) or name == ""):  # type: ignore[redundant-expr]
        raise UsageError(f"on({event!r}): name must be a text, not {name!r}")

    if room is not None and event == "*":
        raise UsageError("on('*'): room= needs the name of an event, which tells who is owed its messages")

    def mark(function: F) -> F:
        registration = _Registration(str(event), namespace, sent_at, delivery, name, room)
        setattr(function, _MARK, [*getattr(function, _MARK, ()), registration])
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
                for event, namespace, sent_at, delivery, row, room in getattr(value, _MARK, ()):
                    audience = clean_name(row_name(namespace, row or event)) if room is not None else ""
                    handler = Handler(value, sent_at, delivery, True, row, room, audience)
                    found.setdefault((namespace, event), handler)
    return found


def check_label(cls: type) -> None:
    """Refuse a label of a user class that can't stand behind the names of rows.

    Raises:
        UsageError: it isn't a text of visible characters.
    """
    label = getattr(cls, "label", "")
    if not isinstance(label, str) or not label.isprintable() or label != label.strip() or len(label) > 40:
        raise UsageError(f"label must be a text of at most 40 characters, not {label!r}")
