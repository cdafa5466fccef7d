"""What a connection said and heard, line by line for a terminal of 80 columns, or as values for JSON."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from sioload.measure.trace import Count, Entry
from sioload.report.summary import columns_of, pieces, wrapped
from sioload.report.words import counted as so_many
from sioload.report.words import three_digits

WIDTH: Final = 80
#: Characters of a packet's own text that are shown.
SHOWN: Final = 200
_INDENT: Final = 22
#: Kinds that are told in one line at the end.
HEARTBEATS: Final = ("ping", "pong", "noop")


def as_dict(entry: Entry, begun: float) -> dict[str, Any]:
    """Plain values; `t` in seconds since `begun`, times of rows in milliseconds."""
    kind, words, *_ = entry.reading
    told: dict[str, Any] = {"t": round(entry.at - begun, 6)}
    if entry.way:
        told |= {"way": entry.way, "transport": entry.transport}
    if kind:
        told |= {"kind": kind, "packet": words}
    if isinstance(entry.text, bytes):
        told["base64"] = b64encode(entry.text).decode()
    elif entry.text:
        told["text"] = entry.text
    if entry.counts:
        told["rows"] = [
            {"type": c.type, "name": c.name, "ms": None if c.seconds is None else round(c.seconds * 1000, 4),
             "failure": c.failure}
            for c in entry.counts
        ]  # fmt: skip
    return told


def lines(entry: Entry, begun: float, full: bool = False, paint: Paint | None = None) -> list[str]:
    """An entry for a terminal: what it is and where it counted, and below its own text."""
    paint = paint or Paint(False)
    if entry.reading.kind == "step":
        return ["", paint.bold(entry.reading.words)]
    arrow = {"sent": "→", "received": "←"}.get(entry.way, " ")
    head = f"{entry.at - begun:7.3f} s {arrow} {entry.transport:<9}"
    words = printable(entry.reading.words)
    counts = [counted(count) for count in entry.counts]
    if not words and counts:
        words = counts.pop(0)
    room = WIDTH - _INDENT - columns_of(words) - 2
    failed = any(count.failure is not None for count in entry.counts)
    if counts and columns_of(counts[0]) <= room:
        words += " " * (room + 2 - columns_of(counts[0])) + counts.pop(0)
    parts = enumerate(chunks(words, WIDTH - _INDENT))
    shown = [("" if number else head).ljust(_INDENT) + part for number, part in parts]
    if failed:
        shown = [paint.red(line) for line in shown]
    told = [" " * _INDENT + paint.grey(part) for part in chunks(own_text(entry, full), WIDTH - _INDENT)]
    below = entry.counts[len(entry.counts) - len(counts) :]
    for count, text in zip(below, counts, strict=True):
        paint_row = str if count.failure is None else paint.red
        told += [" " * _INDENT + paint_row(part) for part in chunks(text, WIDTH - _INDENT)]
    return shown + told


def counted(count: Count) -> str:
    """A row and its sample: `CALL message 1.24 ms`."""
    name = printable(f"{count.type} {count.name}")
    time = "" if count.seconds is None else milliseconds(count.seconds)
    if count.failure is None:
        return f"{name} {time}".rstrip()
    return f"{name} failed{' after ' + time if time else ''}: {printable(count.failure)}"


def milliseconds(seconds: float) -> str:
    """A time with three digits that matter."""
    return f"{three_digits(seconds * 1000)} ms"


def own_text(entry: Entry, full: bool) -> str:
    """The packet's own text on one line, cut unless it is to be `full`; of a binary one its bytes."""
    text = entry.text
    if isinstance(text, bytes):
        shown = text if full else text[: SHOWN // 4]
        rest = len(text) - len(shown)
        return f"<{shown.hex(' ')}>" + (f" and {so_many(rest, 'byte', ',')} more" if rest else "")
    line = printable(text)
    if full or len(line) <= SHOWN:
        return line
    return f"{line[:SHOWN]}… {len(line) - SHOWN:,} more"


def printable(text: str) -> str:
    """A text whose control characters are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """What a server or a script said, as it may be shown: on one line, control characters as escapes."""
    return printable(" ".join(text.split()))


def sentence(head: str, text: str) -> str:
    """A sentence behind its head, in lines of a terminal of 80 columns; it may quote what a server said."""
    return "\n".join(wrapped(head, one_line(text), WIDTH))


def chunks(text: str, width: int) -> list[str]:
    """A text in lines, none for an empty one."""
    return pieces(text, width) if text else []


class Paint:
    """Colours of a terminal, or none."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text

    def grey(self, text: str) -> str:
        return self._in("90", text)

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def red(self, text: str) -> str:
        return self._in("31", text)
