"""The rows of a feed: read once, checked whole, and kept in as little memory as their text takes.

Each row is kept as JSON in one block of bytes: as objects, a million rows would take hundreds of bytes each.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from sioload.errors import FeedError
from sioload.plain import Json

#: Endings of the files that are understood.
KINDS: Final = (".csv", ".jsonl")
#: What isn't JSON by itself is refused instead of turned into text.
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_BOM: Final = "\ufeff"
#: Characters of a field: what Python refuses at first, above 128 Ki, is still a token or a picture.
_LARGEST: Final = (1 << 31) - 1


class Table:
    """Rows of data.

    Attributes:
        header: the columns of a file with a header line; empty where each row names its own.
    """

    __slots__ = ("_block", "_ends", "header")

    def __init__(self, header: Sequence[str] = ()) -> None:
        self.header = tuple(header)
        self._block = bytearray()
        self._ends = array("Q")

    def add(self, row: bytes) -> None:
        """One more row: JSON of its values where there is a header, else of the whole."""
        self._block += row
        self._ends.append(len(self._block))

    def __len__(self) -> int:
        return len(self._ends)

    def row(self, number: int) -> dict[str, Json]:
        """The row of a number, a new dict each time."""
        begin = self._ends[number - 1] if number else 0
        found: Any = orjson.loads(memoryview(self._block)[begin : self._ends[number]])
        return dict(zip(self.header, found, strict=True)) if self.header else dict(found)

    def columns(self) -> set[str]:
        """The names that every row has."""
        if self.header:
            return set(self.header)
        found = {*self.row(0)}
        for number in range(1, len(self)):
            found.intersection_update(self.row(number))
        return found


def read_table(path: str) -> Table:
    """The rows of a file.

    Raises:
        FeedError: it can't be read, or isn't what its ending says; the message names the line.
    """
    name = Path(path).name
    try:
        with open(path, "rb") as file:
            table = _read_csv(file, name) if path.endswith(".csv") else _read_lines(file, name)
    except OSError as error:
        raise FeedError(f"feed {name}: can't read {path}: {error.strerror or error}") from error
    if not len(table):
        raise FeedError(f"feed {name}: there is no row in {path}")
    return table


def _texts(file: BinaryIO, name: str) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode().removeprefix(_BOM) if number == 1 else line.decode()
        except UnicodeDecodeError as error:
            raise FeedError(
                f"feed {name}, line {number}: this is not UTF-8: save the file as such"
            ) from error


def _read_csv(file: BinaryIO, name: str) -> Table:
    reader = csv.reader(_texts(file, name), strict=True)
    line = 1
    usual = csv.field_size_limit(_LARGEST)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(header, name)
        table, width = Table(header), len(header)
        line = reader.line_num + 1
        for row in reader:
            if width == 1 and not table:
                _check_separator(header[0], ",".join(row), name)
            if len(row) != width:
                if not row or (len(row) == 1 and not row[0].strip()):  # an empty line
                    line = reader.line_num + 1
                    continue
                if len(row) > width:
                    raise FeedError(
                        f"feed {name}, line {line}: {len(row)} fields, and the header names {width} "
                        f"({', '.join(header)}): a field with a comma in it needs double quotes"
                    )
                row += [""] * (width - len(row))
            table.add(orjson.dumps(row))
            line = reader.line_num + 1
    except csv.Error as error:
        told = f"this is no CSV: {error}"
        if "new-line character" in str(error):
            told = "there is a CR without LF: save the file with the line ends LF or CRLF"
        raise FeedError(f"feed {name}, line {line}: {told}") from error
    finally:
        csv.field_size_limit(usual)
    return table


def _check_header(header: Sequence[str], name: str) -> None:
    if not any(header):
        raise FeedError(f"feed {name}, line 1: the header is empty: name the columns there, e.g. name,token")
    for place, column in enumerate(header, 1):
        if not column:
            raise FeedError(f"feed {name}, line 1: column {place} of the header has no name")
        if header.index(column) < place - 1:
            raise FeedError(f"feed {name}, line 1: the header names {column!r} twice")


def _check_separator(header: str, row: str, name: str) -> None:
    """A spreadsheet may have written other separators than commas."""
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if 0 < header.count(mark) == row.count(mark):
            raise FeedError(
                f"feed {name}, line 1: the header is one column, {header!r}: save the file with commas in "
                f"place of {called}"
            )


def _read_lines(file: BinaryIO, name: str) -> Table:
    table = Table()
    for number, line in enumerate(file, 1):
        text = line.strip().removeprefix(_BOM.encode()) if number == 1 else line.strip()
        if not text:
            continue
        try:
            row = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise FeedError(f"feed {name}, line {number}: this is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise FeedError(f'feed {name}, line {number}: a row is an object, such as {{"name": "ann"}}')
        table.add(text)
    return table


def table_of(rows: Iterable[object], name: str) -> Table:
    """Rows that a script made.

    Raises:
        FeedError: they aren't dicts of JSON-like values.
    """
    table = Table()
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise FeedError(f"{name}, row {number}: a row is a dict, not {type(row).__name__}")
        try:
            table.add(orjson.dumps(row, option=_STRICT))
        except (TypeError, ValueError) as error:
            raise FeedError(f"{name}, row {number}: its values must be JSON-like: {error}") from error
    if not len(table):
        raise FeedError(f"{name}: there is no row in it")
    return table
