"""Artillery's templates, `{{ name }}` in texts and keys, as values of a conversation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from sioload.importing.conversation import At, Item, Joined, Made, Object, Path, Value, Variable
from sioload.importing.expressions import ANY, LENGTH
from sioload.importing.origins import joined
from sioload.plain import Json

_PLACE: Final = re.compile(r"\{\{\{?\s*(.*?)\s*\}?\}\}")
_CALL: Final = re.compile(r"\$(\w+)\s*\(\s*([\w\s,.-]*)\)")
_NAME: Final = re.compile(r"\$?[A-Za-z_]\w*(?:\.\w+|\[\d{1,9}\]|\[(?:'[^']*'|\"[^\"]*\")\])*")
_PART: Final = re.compile(r"\.(\w+)|\[(\d{1,9})\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")


class Templates:
    """Knows what the names of a script stand for.

    Attributes:
        names: what each stands for; loops put theirs in while their steps are read.
        left_out: what can't be said, in words.
    """

    def __init__(self, environment: str, left_out: Callable[[str], None]) -> None:
        self.names: dict[str, Value] = {}
        self._environment = environment
        self._left_out = left_out

    def value(self, given: Json) -> Value:
        """A value with what its templates stand for."""
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, list):
            return [self.value(inner) for inner in given]
        if isinstance(given, Mapping):
            items = [(self.text(key), self.value(inner)) for key, inner in given.items()]
            if all(isinstance(key, str) for key, _ in items):
                return dict(items)
            return Object(tuple(Item(key, inner) for key, inner in items))
        return given

    def text(self, given: str) -> Value:
        """A text; one that is nothing but a template keeps the type of what it stands for."""
        whole = _PLACE.fullmatch(given)
        if whole is not None and "}}" not in whole[1]:
            meant = self._meant(whole[1], given)
            # What a function returns becomes a part of the text.
            return Joined((meant,)) if isinstance(meant, Made) and meant.kind == "number" else meant
        parts: list[Value] = []
        end = 0
        for found in _PLACE.finditer(given):
            parts += [given[end : found.start()], self._meant(found[1], found[0])]
            end = found.end()
        parts.append(given[end:])
        return joined(parts)

    def _meant(self, code: str, written: str) -> Value:
        called = _CALL.fullmatch(code)
        if called is not None:
            return self._called(
                called[1], [part.strip() for part in called[2].split(",") if part.strip()], written
            )
        if code.startswith(("$processEnvironment.", "$env.")):
            return Made("environment", name=code.partition(".")[2])
        if code == "$environment":
            return self._environment
        if code == "$testId":
            self._left_out(f"{{{{ {code} }}}}: each user has one of its own, not the test one for all")
        if code in self.names:  # of a column, which may be called anything
            return self.names[code]
        if not _NAME.fullmatch(code):
            self._left_out(f"the template {written!r} can't be translated: it stays a text")
            return written
        name = re.match(r"\$?\w+", code)
        assert name is not None
        path = path_of(code[name.end() :])
        known = self.names.get(name[0])
        if known is None:
            known = Variable(name[0])
        if path[-1:] == ("length",):
            path = (*path[:-1], LENGTH)
        return At(known, path) if path else known

    def _called(self, name: str, args: list[str], written: str) -> Value:
        numbers = [int(arg) for arg in args if re.fullmatch(r"-?\d{1,15}", arg)]
        match name:
            case "randomNumber" if len(numbers) == len(args) < 3:  # up to one, or to the only one
                numbers = [0, *(numbers or [1])][-2:]
                return Made("number", min(numbers), max(numbers))
            case "randomString" if len(numbers) < 2:
                return Made("text", most=min(max((numbers or [10])[0], 0), 100_000))
            case "uuid":
                return Made("uuid")
        self._left_out(f"the template {written!r} can't be translated: it stays a text")
        return written


def path_of(code: str) -> Path:
    """`.a[0]["b c"]` as keys."""
    return tuple(
        int(found[2])
        if found[2]
        else next(part for part in (found[1], found[3], found[4], "") if part is not None)
        for found in _PART.finditer(code)
    )


def json_path(expression: object) -> Path | None:
    """`$.a[0].b` as keys; None for what asks for more than one place, but for those of one list (`[*]`)."""
    if not isinstance(expression, str) or not expression.startswith("$"):
        return None
    rest = expression[1:].strip()
    if rest.count("[*]") == 1:
        before, after = (json_path(f"${part}") for part in rest.split("[*]"))
        return None if before is None or after is None else (*before, ANY, *after)
    if not re.fullmatch(rf"(?:{_PART.pattern})*", rest):
        return None
    return tuple(
        int(key) if isinstance(key, str) and key.isdigit() and len(key) < 10 else key for key in path_of(rest)
    )


def nothing_at(paths: list[Path]) -> Value:
    """A value with these parts, which are empty texts."""
    keys = dict.fromkeys(path[0] for path in paths if path and path[0] != LENGTH)
    return {key: nothing_at([path[1:] for path in paths if path[:1] == (key,)]) for key in keys} or ""
