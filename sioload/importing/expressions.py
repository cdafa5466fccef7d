"""Values of a conversation as expressions of Python. Nothing of a file becomes code unquoted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgpack

from sioload.importing.conversation import (
    RECORDS,
    At,
    Choice,
    Column,
    Joined,
    Made,
    Object,
    Path,
    Quoted,
    Value,
    Variable,
    records_in,
)
from sioload.importing.layout import Node, call, chunks, escaped, quoted
from sioload.importing.names import Names

#: Literals that are longer get a name and lines of their own.
LONG: Final = 46
#: Ends the path to how long a list or a text is; an object may have a field of that name.
LENGTH: Final = -3
#: Stands in a path for each item of a list.
ANY: Final = -4
#: And keys of objects.
_KEY: Final = 30
#: Values that are nested more deeply, too.
DEEP: Final = 5
#: What is larger than that, of literals alone, goes into a file.
LARGE: Final = 4000

#: What msgpack has and JSON hasn't.
_EXTENSIONS: Final = (msgpack.ExtType, msgpack.Timestamp)
_IMPORTS: Final = {"stamp_ms": "stamp", "number": "random", "text": "random", "environment": "os"}


class Expressions:
    """Writes values; keeps what they need beside themselves.

    Attributes:
        imports: modules, and names of sioload, that are used.
        constants: lines of the module's constants.
        files: contents by name, of what is too large for a script.
        places: code of each variable, of each feed's row, and of a loop's number and element.
        loose: variables, and kinds of what is made, that may be other than texts and whole numbers.
    """

    def __init__(self, names: Names) -> None:
        self.imports: set[str] = set()
        self.constants: list[str] = []
        self.files: dict[str, Value] = {}
        self.places: dict[object, str] = {}
        self.loose: set[str] = set()
        self._names = names
        self._known: dict[tuple[type, Value], str] = {}

    def node(self, value: Value, depth: int = 0) -> Node:
        """The expression of a value."""
        if isinstance(value, RECORDS):
            return self._record(value, depth)
        if isinstance(value, str | bytes):
            return Node(self.literal(value))
        if isinstance(value, Mapping):
            return self._box("{", [(self._key(k), v) for k, v in value.items()], "}", value, depth)
        if isinstance(value, list):
            return self._box("[", [(None, v) for v in value], "]", value, depth)
        if isinstance(value, _EXTENSIONS):  # times, as JavaScript's msgpack has them
            self.imports.add("msgpack")
            fields = value if isinstance(value, tuple) else (value.seconds, value.nanoseconds)
            return call(f"msgpack.{type(value).__name__}", [self.node(each) for each in fields])
        if isinstance(value, float) and not math.isfinite(value):
            return Node("None")  # as JSON.stringify has it
        return Node(repr(value).replace("e+", "e"))

    def text(self, value: Value) -> str:
        """The expression of a value on one line."""
        return self.node(value).flat()

    def arguments(self, args: list[Value]) -> Node | None:
        """The argument `data` of an emit: None for no argument, a tuple for several."""
        if not args:
            return None
        if len(args) == 1 and args[0] is not None:
            return self.node(args[0])
        items = tuple(self.node(arg, 1) for arg in args)
        return Node("(", items, ",)" if len(items) == 1 else ")")

    def literal(self, value: str | bytes, most: int = LONG) -> str:
        """A literal of at most so many characters, or the name of the constant that has it."""
        shown = quoted(value) if len(value) <= most else ""
        return shown if shown and len(shown) <= most else self._constant(value)

    def _key(self, key: Value) -> Node:
        return Node(self.literal(key, _KEY)) if isinstance(key, str) else self.node(key)

    def _constant(self, value: Value) -> str:
        known = (type(value), str(value) if isinstance(value, dict | list) else value)
        if known in self._known:
            return self._known[known]
        name = self._known[known] = self._names.new("text" if isinstance(value, str) else "data").upper()
        if not isinstance(value, str | bytes) or len(value) > LARGE:
            self._file(name, value)
            return name
        whole = quoted(value)
        if len(name) + 3 + len(whole) <= 109:
            self.constants.append(f"{name} = {whole}")
        else:
            self.constants += [f"{name} = (", *(f"    {part}" for part in chunks(value, 100)), ")"]
        return name

    def _file(self, name: str, value: Value) -> None:
        self.imports.add("pathlib")
        kind = "txt" if isinstance(value, str) else "bin" if isinstance(value, bytes) else "json"
        file = f"{name.lower()}.{kind}"
        self.files[file] = value
        place = f"Path(__file__).with_name({quoted(file)})"
        read = f"{place}.read_bytes()" if kind != "txt" else f'{place}.read_bytes().decode("utf-8")'
        if kind == "json":
            self.imports.add("json")
            read = f"json.loads({read})"
        self.constants.append(f"{name} = {read}")

    def _box(
        self, head: str, items: Sequence[tuple[Node | None, Value]], tail: str, value: Value, depth: int
    ) -> Node:
        if depth >= DEEP and items and not any(True for _ in records_in(value)) and not _has_bytes(value):
            return Node(self._constant(value))
        nodes = [
            self.node(inner, depth + 1)
            if key is None
            else self.node(inner, depth + 1).behind(f"{key.flat()}: ")
            for key, inner in items
        ]
        return Node(head, tuple(nodes), tail)

    def _record(self, value: Value, depth: int) -> Node:
        match value:
            case Variable(name):
                return Node(self.places.get(value, f"self.{name}"))
            case Column(feed, name, whole):
                code = f"{self.places[feed]}[{self.literal(name)}]" if name else self.places[feed]
                return Node(f"int({code})" if whole else code)
            case At(inner, (*path, last)) if last == LENGTH:
                return call("length_of", [Node(self.text(inner) + self.path(tuple(path)))])
            case At(inner, path):
                return Node(self.text(inner) + self.path(path))
            case Quoted(inner):
                self.imports.add("quote")
                return call("quote", [self.node(inner), Node('safe=""')])
            case Object(items):
                pairs = [(self.node(item.key), item.value) for item in items]
                return self._box("{", pairs, "}", value, depth)
            case Choice(values):
                self.imports.add("random")
                return call("random.choice", [self.node(list(values), depth + 1)])
            case Joined(parts):
                return self._joined(parts)
            case Made():
                return self._made(value)
        raise TypeError(f"no value: {value!r}")

    def _joined(self, parts: tuple[Value, ...]) -> Node:
        nodes = [part if isinstance(part, str) else self._within(part) for part in parts]
        texts = "".join(part for part in parts if isinstance(part, str))
        codes = "".join(node for part, node in zip(parts, nodes, strict=True) if not isinstance(part, str))
        plain = '"' not in codes or not any(char in codes for char in "'\\")
        if len(texts) > LONG or any(c in texts for c in "\"'\\") or not plain or not texts.isprintable():
            items = [
                Node(self.literal(p) if isinstance(p, str) else n if n[:8] == "as_text(" else f"str({n})")
                for p, n in zip(parts, nodes, strict=True)
            ]
            return call('"".join', [Node("[", tuple(items), "]")])
        shown = (
            escaped(node, '"').replace("{", "{{").replace("}", "}}")
            if isinstance(part, str)
            else "{" + node.replace('"', "'") + "}"
            for part, node in zip(parts, nodes, strict=True)
        )
        return Node(f'f"{"".join(shown)}"')

    def _within(self, part: Value) -> str:
        """The expression of what stands within a text."""
        inner, code = part.value if isinstance(part, At) else part, self.text(part)
        known = inner.name if isinstance(inner, Variable) else inner.kind if isinstance(inner, Made) else ""
        return f"as_text({code})" if known in self.loose else code

    def _made(self, value: Made) -> Node:
        if value.kind not in ("count", "element"):
            self.imports.add(_IMPORTS.get(value.kind, value.kind))
        match value.kind:
            case "stamp":
                return Node("stamp()")
            case "stamp_ms":
                return Node("round(stamp() * 1000)")
            case "number":
                return Node(f"random.randint({int(value.least)}, {int(value.most)})")
            case "text":
                self.imports.add("string")
                return Node(
                    f'"".join(random.choices(string.ascii_letters + string.digits, k={int(value.most)}))'
                )
            case "uuid":
                return Node("str(uuid.uuid4())")
            case "environment":
                return call("os.environ.get", [Node(quoted(value.name)), Node('""')])
            case "count" | "element":
                return Node(self.places[value.kind, value.name])

    def path(self, path: Path) -> str:
        """What stands behind an answer to get at a part of it."""
        return "".join(f"[{self.literal(key) if isinstance(key, str) else int(key)}]" for key in path)


def _has_bytes(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_bytes, value.values()))
    return (
        any(map(_has_bytes, value)) if isinstance(value, list) else isinstance(value, (bytes, *_EXTENSIONS))
    )
