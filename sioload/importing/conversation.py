"""What an import understood of a file, whatever its format: users, their steps, and where values come from.

A value is what JSON has, bytes, or one of the records below wherever in it; `script` writes them as code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from sioload.plain import Json

#: JSON-like data with bytes, and the records below, anywhere inside.
Value: TypeAlias = Json
#: Where in an answer a value stands: keys of objects and places in lists.
Path = tuple[str | int, ...]


class Variable(NamedTuple):
    """What an earlier step captured under this name."""

    name: str


class Column(NamedTuple):
    """What the user's row of a feed has under this name, made a `whole` number; without a name, all rows."""

    feed: str
    name: str
    whole: bool = False


class Made(NamedTuple):
    """What is made anew each time.

    Attributes:
        kind: "stamp" the time in seconds, "stamp_ms" in whole milliseconds, "number" one from `least` to
            `most`, "text" of `most` characters, "uuid", "environment" the variable called `name`, "count"
            the number of the turn of the loop called `name`, "element" what that turn is for.
    """

    kind: Literal["stamp", "stamp_ms", "number", "text", "uuid", "environment", "count", "element"]
    least: int = 0
    most: int = 0
    name: str = ""


class Joined(NamedTuple):
    """A text of several parts."""

    parts: tuple[Value, ...]


class At(NamedTuple):
    """A part of a value."""

    value: Value
    path: Path


class Quoted(NamedTuple):
    """A text as a URL writes it."""

    value: Value


class Choice(NamedTuple):
    """One of several values, by chance."""

    values: tuple[Value, ...]


class Item(NamedTuple):
    """A pair of an object whose key isn't plain text; see `Object`."""

    key: Value
    value: Value


class Object(NamedTuple):
    """An object with keys that are found only when it is sent."""

    items: tuple[Item, ...]


#: What is no plain data.
RECORDS: Final = (Variable, Column, Made, Joined, At, Quoted, Choice, Object)


class Capture(NamedTuple):
    """A part of an answer that is used later.

    Attributes:
        name: of the variable.
        path: where in the answer it stands; in its headers when `header` is set.
        pattern: a regular expression, one of whose groups it is, in an answer's text.
        header: the name of the answer's header.
        group: which of the pattern's; 0 for all that it found.
    """

    name: str
    path: Path = ()
    pattern: str = ""
    header: str = ""
    group: int | str = 1


#: Begin the path to the last argument of an answer, or to its first, however many it has.
LAST: Final = -1
FIRST: Final = -2


class Match(NamedTuple):
    """A part of an answer that has to be what it was.

    "in": the text has to be in it; "all": it is the answer, and the value a list of its arguments.
    """

    path: Path
    value: Value
    how: Literal["==", "in", "all"] = "=="


@dataclass(slots=True)
class Expected:
    """An event that a step brings about, and of which something is used later."""

    event: str
    namespace: str
    captures: list[Capture] = field(default_factory=list)


@dataclass(slots=True)
class Emit:
    """An event that the user sends.

    Attributes:
        client: which of the user's connections.
        asked: the event, where that is known only then; `event` is the name of its row.
        how: "emit" asks for nothing, "call" for an ack, "reply" for the event `reply`.
        where: which event `reply` is the answer: a list is compared with all arguments, else the last.
        captures, matches: of the answer. A single argument of it is the answer itself.
        expected: other events that have to come.
    """

    event: str
    args: list[Value]
    namespace: str = "/"
    client: int = 0
    how: Literal["emit", "call", "reply"] = "emit"
    reply: str = ""
    where: Match | None = None
    captures: list[Capture] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: Value = None


@dataclass(slots=True)
class Connect:
    """A connection is opened.

    Attributes:
        auth: the payload of CONNECT; None for none.
        headers: of its handshake, beside those of the options.
        sids: the namespace ("": the session) and the variable of each id that is used later.
    """

    namespaces: list[Value]
    client: int = 0
    auth: Value = None
    headers: dict[str, Value] = field(default_factory=dict)
    expected: list[Expected] = field(default_factory=list)
    sids: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Disconnect:
    """The user leaves all namespaces of a connection."""

    client: int = 0


@dataclass(slots=True)
class Request:
    """An HTTP request.

    Attributes:
        url: a path, or a whole URL on another server.
        name: of its row; "" for its path.
        params: added to the URL's query.
        body: data, None for none.
        form: how the body goes: as JSON, as a form, or as text.
    """

    method: str
    url: Value
    name: Value = ""
    headers: dict[str, Value] = field(default_factory=dict)
    params: Value = None
    body: Value = None
    form: Literal["json", "form", "text"] = "json"
    captures: list[Capture] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Cookie:
    """A cookie that the user has from the start."""

    name: str
    value: Value


@dataclass(slots=True)
class Think:
    """A pause; of a random length when `most` is above `seconds`, and `value` times as long with one."""

    seconds: float
    most: float = 0.0
    value: Value = None


@dataclass(slots=True)
class Note:
    """A line for whoever reads the script."""

    text: str


@dataclass(slots=True)
class Loop:
    """Steps that repeat.

    Attributes:
        count: how often: a whole number, or a value that is one; None without an end.
        first: the number of the first turn.
        name: by which `Made` means it.
        over: what `Made("element")` takes, one after the other: a list, or a variable that has one.
    """

    steps: list[Step]
    count: Value = None
    first: int = 0
    name: str = ""
    over: Value = None


@dataclass(slots=True)
class Log:
    """A line for the log."""

    text: Value


@dataclass(slots=True)
class Function:
    """A function of the file's own, which is code that can't be translated: see `Kind.stubs`."""

    name: str


@dataclass(slots=True)
class Stop:
    """The user's session is over; if `again`, when it comes here again: its one turn has failed."""

    again: bool = False


Step = Emit | Connect | Disconnect | Request | Cookie | Think | Note | Loop | Log | Function | Stop


@dataclass(slots=True)
class Task:
    """What a user does again and again."""

    name: str
    steps: list[Step]
    weight: int = 1


@dataclass(slots=True)
class Handler:
    """An event that the server sends by itself.

    Attributes:
        count: how often it came.
        arguments: how many it had each time; -1 when that differs.
        sent_at: where its time stamp stands in the list of its arguments; None without one.
        divisor: what the stamp is divided by to be seconds.
        answer: the arguments of the ack that the server asked for; None when it asked for none.
    """

    event: str
    namespace: str
    client: int = 0
    count: int = 0
    arguments: int = 0
    sent_at: Path | None = None
    divisor: int = 1
    answer: list[Value] | None = None


@dataclass(slots=True)
class Feed:
    """Rows of data for the users.

    Attributes:
        name: of the script's variable.
        file: the name of the file that the script's folder gets.
        columns, rows: in their order; values by column.
        shuffle: in any order.
        whole: the script has all rows at once, as a list.
        comments: lines for whoever reads the script.
    """

    name: str
    file: str
    columns: list[str]
    rows: list[list[Value]]
    shuffle: bool = False
    whole: bool = False
    comments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Kind:
    """One kind of users.

    Attributes:
        options: of the connection.
        others: options of further connections.
        start: steps done once.
        connected: steps done after each connect.
        stubs: functions of the file's own that aren't translated: names to the words of their docstrings.
        wait: seconds between two tasks, from and to.
    """

    name: str
    options: dict[str, Value] = field(default_factory=dict)
    others: list[dict[str, Value]] = field(default_factory=list)
    start: list[Step] = field(default_factory=list)
    connected: list[Step] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    handlers: list[Handler] = field(default_factory=list)
    feeds: list[str] = field(default_factory=list)
    stubs: dict[str, str] = field(default_factory=dict)
    wait: tuple[float, float] = (1.0, 1.0)
    weight: int = 1
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """All that was understood.

    Attributes:
        source: the file's name, and what it is, in words.
        host: the server's address.
        phases: the load over time, as `--sio-phases` takes it; "" when the file says nothing of it.
        checks: as `--sio-check` takes them.
        variables: what each user has from the start: a value, or several of which it takes one.
        understood, left_out: lines for whoever imports.
    """

    source: str
    host: str
    kinds: list[Kind] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    phases: str = ""
    checks: list[str] = field(default_factory=list)
    variables: dict[str, list[Value]] = field(default_factory=dict)
    understood: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def steps_of(steps: list[Step]) -> Iterator[Step]:
    """Each step, those of loops too."""
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from steps_of(step.steps)


def records_in(value: Value) -> Iterator[Value]:
    """The records in a value, wherever they stand."""
    if isinstance(value, RECORDS):
        yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from records_in(key)
            yield from records_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from records_in(inner)
