"""The `@on` decorator: methods of a user class that handle the server's events."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from sioload.client.dispatcher import Handler
from sioload.client.given import check_function
from sioload.client.namespace import plain, row_name
from sioload.client.registry import ASYNC
from sioload.errors import UsageError
from sioload.measure.names import bounded

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_sioload_on"
#: Methods that are called by their names, of a user or of a set of its tasks.
_HOOKS: Final = ("on_start", "on_stop", "on_handshake", "on_connected", "on_disconnected", "wait_time")


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
        if callable(event):
            raise UsageError("@on needs the event's name: @on('message')")
        raise UsageError(f"on(): the event must be a name, not {event!r}")
    if not isinstance(namespace, str) or namespace[:1] != "/":  # type: ignore[redundant-expr]
        raise UsageError(f"on({event!r}): namespace {namespace!r} must begin with '/'")
    if name is not None and (not isinstance(name, str) or name == ""):  # type: ignore[redundant-expr]
        raise UsageError(f"on({event!r}): name must be a text, not {name!r}")
    for what, function in (("sent_at", sent_at), ("delivery", delivery), ("room", room)):
        check_function(function, f"on({event!r}): {what}")
    if room is not None and event == "*":
        raise UsageError("on('*'): room= needs the name of an event, which tells who is owed its messages")

    def mark(function: F) -> F:
        registration = _Registration(plain(event), namespace, sent_at, delivery, name, room)
        setattr(function, _MARK, [*getattr(function, _MARK, ()), registration])
        return function

    return mark


def handlers_of(cls: type) -> dict[tuple[str, str], Handler]:
    """(namespace, event) to handler, of all methods that `on` marked, subclasses' first.

    A method that takes the place of a marked one is its handler, by the same marks unless it has its own.
    """
    found: dict[tuple[str, str], Handler] = {}
    methods: dict[str, Any] = {}
    for base in cls.__mro__:
        for name, value in vars(base).items():
            method = methods.setdefault(name, value)
            if (method is not value and hasattr(method, _MARK)) or not callable(method):
                continue
            for event, namespace, sent_at, delivery, row, room in getattr(value, _MARK, ()):
                audience = bounded(row_name(namespace, row or event)) if room is not None else ""
                handler = Handler(method, sent_at, delivery, True, row, room, audience)
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


def check_functions(cls: type) -> None:
    """Refuse functions of a user class, and of its sets of tasks, that would never run.

    Raises:
        UsageError: one is `async`, or hides what every user has; `wait_time` is none; `on` marks a method of
            a set, or two methods of one class for one event.
    """
    _check_names(cls)
    for holder in _holders(cls, set()):
        wait_time = getattr(holder, "wait_time", None)
        if wait_time is not None and not callable(wait_time) and not isinstance(wait_time, property):
            remedy = "give constant(1), between(1, 3) or paced(0.5), say"
            raise UsageError(f"{holder.__name__}.wait_time is {wait_time!r}, and no function: {remedy}")
        for name, function in _functions(holder):
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise UsageError(f"{holder.__name__}.{name} is async, and nothing would await it: {ASYNC}")
        members = [(base, name, value) for base in holder.__mro__ for name, value in vars(base).items()]
        for base, name, value in members:
            of_class = isinstance(value, staticmethod | classmethod)
            if of_class and any(hasattr(each, _MARK) for each in (value, value.__func__)):
                raise UsageError(f"{base.__name__}.{name}: @on is for plain methods, with self")
        marked = [member for member in members if hasattr(member[2], _MARK)]
        if marked and holder is not cls:
            raise UsageError(
                f"{holder.__name__}.{marked[0][1]}: @on is for methods of a user class, and would do nothing "
                f"in a set of tasks: move it to {cls.__name__}"
            )
        taken: dict[tuple[type, str, str], tuple[str, Any]] = {}
        for base, name, value in marked:
            for mark in getattr(value, _MARK):
                first, other = taken.setdefault((base, mark.event, mark.namespace), (name, value))
                if other is not value:
                    raise UsageError(
                        f"{base.__name__}.{first} and {base.__name__}.{name} are both @on({mark.event!r}), "
                        "and one of them would never be called: let one method do both"
                    )


def _check_names(cls: Any) -> None:
    """Refuse handlers and tasks in the place of methods that Locust, or sioload, calls; of `wait` it is the
    scripts that do."""
    called: set[str] = set()
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] in ("sioload", "locust"):
            called |= vars(base).keys() - {"wait"} if base.__name__ in ("User", "SocketIOUser") else set()
            continue
        for name, value in vars(base).items():
            if name in called and (hasattr(value, _MARK) or hasattr(value, "locust_task_weight")):
                raise UsageError(
                    f"{base.__name__}.{name} takes the place of what every user has by this name: "
                    "give it another one"
                )


def _holders(holder: Any, seen: set[Any]) -> Iterator[Any]:
    """A user class, and the sets of its tasks."""
    seen.add(holder)
    yield holder
    for each in holder.tasks:
        if isinstance(each, type) and hasattr(each, "tasks") and each not in seen:
            yield from _holders(each, seen)


def _functions(holder: Any) -> Iterator[tuple[str, object]]:
    """What is called of a user class, or of a set of tasks."""
    yield from ((name, getattr(holder, name, None)) for name in _HOOKS)
    yield from ((getattr(task, "__name__", "tasks"), task) for task in holder.tasks)
    for handler in getattr(holder, "_handlers", {}).values():
        yield getattr(handler.function, "__name__", "on"), handler.function
