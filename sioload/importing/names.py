"""Names of a script: from whatever a file says, to identifiers that collide with nothing."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Final

#: What a user has already, or the script itself uses.
RESERVED: Final = frozenset(
    {"abstract", "another_client", "answer", "client", "clients", "context", "cookie_jar", "done", "data",
     "environment", "events", "fate", "fixed_count", "fullname", "greenlet", "group", "host",
     "json", "label", "max_wait", "min_wait", "number", "on", "on_connected", "on_disconnected",
     "on_handshake", "on_start", "on_stop", "options", "page", "parsed_options", "reply", "response",
     "match", "run", "self", "sio", "start", "starting", "stop", "tasks", "task", "wait",
     "wait_function", "wait_time", "weight", "path", "os", "random", "re", "string", "uuid",
     "feed", "stamp", "constant", "between", "locust", "time", "print", "dict", "list", "str", "int",
     "as_text", "first_of", "float", "round", "range", "next", "enumerate", "args", "csv", "file",
     "quote", "urlencode", "logging", "itertools", "msgpack"}
)  # fmt: skip
#: Of these a script itself has as many as it needs: `item`, `item_2` and so on.
_COUNTED: Final = re.compile(r"(?:found|item|turn)(?:_[0-9]+)?")
#: What a script imports, or has beside its users' classes.
CLASSES: Final = frozenset(("Any", "Load", "Path", "Phases", "SocketIOUser", "StopUser"))


def identifier(text: str, other: str = "value") -> str:
    """A name in lower case from a text: `msg:new` is `msg_new`, and `orderId` is `order_id`."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text[:200])
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")[:40].strip("_")
    if not name or name[0].isdigit():
        name = f"{other}_{name}".strip("_")
    return name + "_" if keyword.iskeyword(name) or keyword.issoftkeyword(name) else name


class Names:
    """Hands out each name once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, text: str, other: str = "value") -> str:
        """A name from a text that nothing else has."""
        name = identifier(text, other)
        return self._free(f"{name}_{other}" if _COUNTED.fullmatch(name) else name, RESERVED, "_")

    def of_class(self, text: str) -> str:
        """A class's name that nothing else has: `chat user` is `ChatUser`."""
        base = "".join(word.capitalize() for word in identifier(text, "user").split("_"))[:40] or "User"
        return self._free(base, CLASSES, "")

    def _free(self, base: str, reserved: frozenset[str], between: str) -> str:
        """That name, or the first with a number behind it that is free."""
        name, number = base, 2
        while name in self._taken or name in reserved or hasattr(builtins, name) or name[:2] == "__":
            name = f"{base.rstrip('_')}{between}{number}"
            number += 1
        self._taken.add(name)
        return name
