"""Expressions of Python laid out as ruff formats them: on one line, or bracket by bracket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

WIDTH: Final = 110


class Node(NamedTuple):
    """A piece of an expression: text, or items between brackets.

    Attributes:
        head: the text, or what stands up to the opening bracket.
        items: None for text alone.
        tail: the closing bracket, and what follows.
        call: the items are arguments, which may share a line of their own.
    """

    head: str
    items: tuple[Node, ...] | None = None
    tail: str = ""
    call: bool = False

    def flat(self) -> str:
        """All of it on one line."""
        if self.items is None:
            return self.head
        return self.head + ", ".join(item.flat() for item in self.items) + self.tail

    def behind(self, prefix: str) -> Node:
        """With a text in front."""
        return self._replace(head=prefix + self.head)


def call(function: str, arguments: Sequence[Node]) -> Node:
    """A call."""
    return Node(f"{function}(", tuple(arguments), ")", call=True)


def lines(node: Node, indent: int, before: str = "", after: str = "") -> Iterator[str]:
    """The lines of an expression, with what stands before and behind it."""
    space = " " * indent
    whole = before + node.flat() + after
    if not node.items or len(space) + len(whole) <= WIDTH:
        yield space + whole
        return
    yield space + before + node.head
    inner = ", ".join(item.flat() for item in node.items)
    if node.call and indent + 4 + len(inner) <= WIDTH:
        yield space + "    " + inner
    else:
        for item in node.items:
            yield from lines(item, indent + 4, after=",")
    yield space + node.tail + after


def quoted(value: str | bytes) -> str:
    """A literal, with the quotes that need the fewest escapes, double ones if it doesn't matter."""
    prefix, text = ("", value) if isinstance(value, str) else ("b", value.decode("latin-1"))
    quote = "'" if text.count('"') > text.count("'") else '"'
    return f"{prefix}{quote}{escaped(text, quote, bool(prefix))}{quote}"


def escaped(text: str, quote: str, octets: bool = False) -> str:
    """What stands between the quotes of a literal."""
    return "".join(_escaped(char, quote, octets) for char in text)


def _escaped(char: str, quote: str, octets: bool) -> str:
    if char in (quote, "\\"):
        return "\\" + char
    if octets and not char.isascii():
        return f"\\x{ord(char):02x}"
    return char if char.isascii() and char.isprintable() else repr(char)[1:-1]


def chunks(value: str | bytes, width: int) -> Iterator[str]:
    """A literal in parts, none of them wider than `width`."""
    start = 0
    while start < len(value):
        size = min(len(value) - start, width - 3)
        while size > 1 and len(quoted(value[start : start + size])) > width:
            size = max(1, size // 2)
        yield quoted(value[start : start + size])
        start += size


def said(text: str, most: int = 80) -> str:
    """A text of the file as it may be printed, or stand in a comment: one line, nothing invisible."""
    shown = "".join(char if char.isprintable() else escaped(char, "") for char in text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."
