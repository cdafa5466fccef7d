"""What a script registered on its client, looked up in the order of python-socketio's `Client`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mypy_extensions import mypyc_attr

from sioload.client.dispatcher import Handler
from sioload.client.given import class_given
from sioload.errors import UsageError
from sioload.plain import Json

Handlers = Mapping[tuple[str, str], Handler]

#: What is to be done about a function that isn't awaited.
ASYNC = "write def in place of async def, as calls of self.sio wait by themselves"

#: Events that the client makes itself; handlers for `"*"` don't get them.
RESERVED = frozenset({"connect", "connect_error", "disconnect"})


@mypyc_attr(native_class=False)
class Transport(str):
    """The name of a transport, "" without a connection. It can be called too, as python-socketio's method."""

    __slots__ = ()

    def __call__(self) -> str | None:
        return str(self) or None


class Registry:
    """Handlers of events, and of class-based namespaces.

    `"*"` stands for any event, whose handler gets the name first, and for any namespace that has no function
    of its own (`BaseClient._get_event_handler`), whose handler gets the namespace before the arguments.
    """

    __slots__ = ("_anywhere", "_classes", "_functions", "_unnamed")

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str], Handler] = {}
        self._classes: dict[tuple[str, str], Handler] = {}
        self._unnamed: dict[str, Handler] = {}
        self._anywhere = False

    def add(self, namespace: str, event: str, handler: Handler, named: bool = True) -> None:
        """Register a handler; not `named`: in the namespace that is meant where a call names none.

        Raises:
            UsageError: it would never be called.
        """
        _check(namespace, event, handler.function)
        self._functions[namespace, event] = handler
        if not named:
            self._unnamed[event] = handler
        self._anywhere = self._anywhere or namespace == "*"

    def move(self, before: str, home: str) -> None:
        """`home` is meant from now on where a call names none."""
        for event, handler in self._unnamed.items():
            if self._functions.get((before, event)) is handler:
                del self._functions[before, event]
            self._functions.setdefault((home, event), handler)

    def add_class(self, methods: Any, client: object) -> None:
        """Register the methods of a class-based namespace: `on_message` handles `message`.

        One that has a `trigger_event` of its own gets all events by that.

        Raises:
            UsageError: it is no such namespace.
        """
        class_given(methods)._set_client(client)
        namespace: str = methods.namespace
        self._classes = {key: handler for key, handler in self._classes.items() if key[0] != namespace}
        trigger: Any = getattr(type(methods), "trigger_event", None)
        if trigger is not None and trigger.__module__.partition(".")[0] != "socketio":
            self._classes[namespace, "*"] = Handler(lambda *args: trigger(methods, *args))
            return
        for name, method in inspect.getmembers(methods, callable):
            if name.startswith("on_"):
                _check(namespace, name[3:], method)
                self._classes[namespace, name[3:]] = Handler(method)

    def namespaces(self) -> set[str]:
        """Those that something was registered for by name."""
        return {namespace for namespace, _ in [*self._functions, *self._classes]} - {"*"}

    def find(self, namespace: str, event: str, of_class: Handlers) -> tuple[Handler | None, tuple[str, ...]]:
        """The handler of an event, None without, and what it gets before the event's arguments.

        Args:
            namespace, event: of the event.
            of_class: the handlers of the user's class, behind those that were registered here.
        """
        functions, classes = self._functions, self._classes
        key = (namespace, event)
        found = functions.get(key) or of_class.get(key)
        if found is not None:
            return found, ()
        everything = event not in RESERVED
        if everything:
            found = functions.get((namespace, "*")) or of_class.get((namespace, "*"))
            if found is not None:
                return found, (event,)
        if self._anywhere and not any(name == namespace for name, _ in [*functions, *of_class]):
            found = functions.get(("*", event))
            if found is not None:
                return found, (namespace,)
            found = functions.get(("*", "*"))
            if found is not None and everything:
                return found, (event, namespace)
        for name, before in ((namespace, ()), ("*", (namespace,))):
            found = classes.get((name, event))
            if found is not None:
                return found, before
            found = classes.get((name, "*"))
            if found is not None:
                return found, (event, *before)
        return None, ()


def _check(namespace: str, event: str, function: Callable[..., Any] | None) -> None:
    if namespace != "*" and not namespace.startswith("/"):
        raise UsageError(f"on({event!r}): namespace {namespace!r} must begin with '/'")
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"on({event!r}): the handler is async, and nothing would await it: {ASYNC}")


_EMPTY = Registry()


def find(
    own: Registry | None, namespace: str, event: str, of_class: Handlers
) -> tuple[Handler | None, tuple[str, ...]]:
    """`Registry.find`, also where nothing was registered."""
    if own is None and not of_class:
        return None, ()
    return (own or _EMPTY).find(namespace, event, of_class)


def event_decorator(register: Callable[..., Any], args: tuple[Json, ...], options: dict[str, Json]) -> Any:
    """`@sio.event` and `@sio.event(namespace="/chat")`: the function's name is the event's."""
    if len(args) == 1 and callable(args[0]) and not options:
        return register(args[0].__name__, args[0])
    return lambda function: register(function.__name__, function, *args, **options)
