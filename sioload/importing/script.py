"""A conversation as a locustfile that a careful person would have written, and the files it needs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from sioload.importing.conversation import (
    RECORDS,
    At,
    Connect,
    Conversation,
    Feed,
    Handler,
    Kind,
    Step,
    Stop,
    Value,
    Variable,
    records_in,
)
from sioload.importing.expressions import Expressions
from sioload.importing.layout import Node, call, lines, quoted, said
from sioload.importing.names import Names
from sioload.importing.origins import ACCOUNTS
from sioload.importing.statements import Statements, defined, personal, used, values_in, variables_in

NAME: Final = "locustfile.py"
_STANDARD: Final = ("itertools", "json", "logging", "os", "random", "re", "string", "uuid")


def write(conversation: Conversation) -> dict[str, bytes]:
    """The files of a conversation by name, the script's first."""
    names = Names()
    expressions = Expressions(names)
    if conversation.variables:  # of a script; what a recording has within a text is a text
        expressions.loose = {"element", *_loose(conversation)}
    for feed in conversation.feeds:
        variable = expressions.places["feed", feed.name] = names.new(feed.name)
        if feed.whole:
            expressions.places[feed.name] = variable
            continue
        expressions.places[feed.name] = (
            f"self.{names.new(f'{feed.name} row' if feed.name != ACCOUNTS else 'account')}"
        )
    body: list[str] = []
    for kind in conversation.kinds:  # one after the other: each has places of its own for variables
        body += ["", "", *_Class(kind, conversation, expressions, names).lines()]
    if conversation.phases:
        body += ["", "", *_load(conversation)]
    head = list(_head(conversation, expressions, body))
    script = "\n".join([*head, *body]) + "\n"
    files = {NAME: script.encode("utf-8", "backslashreplace")}
    for feed in conversation.feeds:
        files[feed.file] = _rows(feed)
    for name, value in expressions.files.items():
        files[name] = value if isinstance(value, bytes) else _stored(value)
    if conversation.checks:
        files["checks.toml"] = _checks(conversation.checks)
    return files


def _loose(conversation: Conversation) -> Iterator[str]:
    """Variables whose values may be other than texts and whole numbers: of answers, nobody knows."""
    for kind in conversation.kinds:
        yield from defined([*kind.start, *(step for task in kind.tasks for step in task.steps)])
    for name, values in conversation.variables.items():
        if not all(isinstance(each, (str, int, *RECORDS)) and not isinstance(each, bool) for each in values):
            yield name


def _docstring(text: str) -> str:
    """A text of the file as a part of a docstring."""
    return said(text, 80).replace("\\", "/").replace('"', "'")


def _stored(value: Value) -> bytes:
    # Not orjson: a text may have half of a pair of surrogates, as JavaScript's may.
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


def _head(conversation: Conversation, expressions: Expressions, body: Sequence[str]) -> Iterator[str]:
    """The docstring, the imports, and what the module has before its classes."""
    yield f'"""A load test made from {_docstring(conversation.source)}.'
    yield ""
    load = "" if conversation.phases else " -u 10 -r 10 -t 30s"
    run = f"locust -f locustfile.py --headless{load}"
    yield f"{'sioload try locustfile.py':{len(run) + 3}}one user, once, with everything shown"
    yield f"{run}   a load test"
    yield '"""'
    yield ""
    text = "\n".join(body)
    several, within, long = (f"{name}(" in text for name in ("first_of", "as_text", "length_of"))
    if any(feed.whole for feed in conversation.feeds):
        expressions.imports.update(("json", "pathlib"))
    if within:
        expressions.imports.add("json")
    typed = several or within or long or "Any" in text
    yield from _imports(conversation, expressions, text, typed=typed)
    if expressions.constants or conversation.feeds:
        yield ""
    for feed in conversation.feeds:
        yield from (f"# {said(line, 105)}" for line in feed.comments)
        variable = expressions.places["feed", feed.name]
        if feed.whole:
            yield f"{variable} = json.loads(Path(__file__).with_name({quoted(feed.file)}).read_bytes())"
        else:
            order = [Node('order="shuffle"')] if feed.shuffle else []
            yield from lines(call("feed", [Node(quoted(feed.file)), *order]), 0, f"{variable} = ")
    yield from expressions.constants
    if several:
        yield from ("", "", "def first_of(answer: Any) -> Any:")
        yield '    """The first argument of an answer, which may have more."""'
        yield "    return answer[0] if isinstance(answer, tuple) else answer"
    if long:
        yield from ("", "", "def length_of(value: Any) -> Any:")
        yield '    """How long a list or a text is; an object may have a field of that name."""'
        yield '    return value.get("length") if isinstance(value, dict) else len(value)'
    if within:
        yield from ("", "", "def as_text(value: Any) -> str:")
        yield '    """A value within a text, as JavaScript has it."""'
        yield '    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))'
        yield "    return value if isinstance(value, str) else written"


def _imports(
    conversation: Conversation, expressions: Expressions, text: str, *, typed: bool
) -> Iterator[str]:
    """The imports of a module whose classes are this text."""
    modules = sorted(expressions.imports & {*_STANDARD})
    paths = "pathlib" in expressions.imports
    quoting = [name for name in ("quote", "urlencode") if name in expressions.imports]
    standard = [
        *(f"import {name}" for name in modules),
        *(["from pathlib import Path"] if paths else []),
        *(["from typing import Any"] if typed else []),
        *([f"from urllib.parse import {', '.join(quoting)}"] if quoting else []),
    ]
    yield from [*standard, ""] if standard else []
    parts = [name for name in ("between", "constant", "task") if f"{name}(" in text or f"@{name}" in text]
    if "msgpack" in expressions.imports:
        yield "import msgpack  # type: ignore[import-untyped]"
    yield f"from locust import {', '.join(parts)}"
    if "StopUser" in text:
        yield "from locust.exception import StopUser"
    ours = ["Phases"] if conversation.phases else []
    ours.append("SocketIOUser")
    if any(not feed.whole for feed in conversation.feeds):
        ours.append("feed")
    ours += [name for name, found in (("on", "@on("), ("stamp", "stamp()")) if found in text]
    yield f"from sioload import {', '.join(ours)}"


def _load(conversation: Conversation) -> Iterator[str]:
    yield "class Load(Phases):"
    parts = [part.strip() for part in conversation.phases.split(";")]
    if len(conversation.phases) < 80:
        yield f"    phases = {quoted(conversation.phases)}"
    else:
        yield "    phases = ["
        yield from (f"        {quoted(part)}," for part in parts)
        yield "    ]"
    yield "    session_length = None  # a session lasts until its task is done"


def _rows(feed: Feed) -> bytes:
    if feed.whole:
        names = feed.columns
        return orjson.dumps([dict(zip(names, row, strict=True)) if names else row for row in feed.rows])
    if feed.file.endswith(".jsonl"):
        rows = (orjson.dumps(dict(zip(feed.columns, row, strict=True))) for row in feed.rows)
        return b"".join(row + b"\n" for row in rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(feed.columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in feed.rows)
    return text.getvalue().encode("utf-8", "replace")


def _checks(checks: Sequence[str]) -> bytes:
    body = "".join(f"    {orjson.dumps(check).decode()},\n" for check in checks)
    return f"# For --sio-checks-file: what the script's own limits ask for.\nchecks = [\n{body}]\n".encode()


class _Class:
    """Writes one class of users."""

    def __init__(
        self, kind: Kind, conversation: Conversation, expressions: Expressions, names: Names
    ) -> None:
        self._kind = kind
        self._conversation = conversation
        self._expressions = expressions
        self._names = names
        self._inner = Names()
        self._handled: dict[int, str] = {}
        for known in conversation.feeds:  # a local variable of this name would hide it
            self._inner.new(expressions.places["feed", known.name])
        for feed in kind.feeds:
            self._inner.new(expressions.places[feed].removeprefix("self."))
        for function in kind.stubs:
            expressions.places["function", function] = self._inner.new(function or "function", "function")
        self._bodies: list[list[Step]] = [kind.start, kind.connected, *(task.steps for task in kind.tasks)]
        self._name_variables()
        others = [self._inner.new("other") for _ in kind.others]
        self._clients = ["self.sio", *(f"self.{name}" for name in others)]
        query = kind.options.get("query")
        beside = any(other["url"] == conversation.host for other in kind.others)
        # `on_handshake` is asked for all connections, and can't tell two to one server apart.
        self._query = query if beside and personal(query) else None

    def _name_variables(self) -> None:
        """A variable that one method alone has is a local one."""
        places = self._expressions.places
        self._initial = [
            name
            for name in self._conversation.variables
            if any(name in used(body) for body in self._bodies) or name in variables_in(self._kind.options)
        ]
        records = records_in([values_in(body) for body in self._bodies])
        self._opened = {
            record.value.name
            for record in records
            if isinstance(record, At) and isinstance(record.value, Variable)
        }
        answers = variables_in([handler.answer for handler in self._kind.handlers])
        others = variables_in(self._kind.others) - defined(self._kind.start)
        self._late = sorted((answers | others) - {*self._initial})
        asked = answers | others | variables_in(self._kind.options)
        known = {name for body in self._bodies for name in (*defined(body), *used(body))} | asked
        for name in sorted(known | {*self._initial}):
            having = [body for body in self._bodies if name in defined(body) or name in used(body)]
            own = self._inner.new(name)
            local = len(having) == 1 and name in (defined(having[0]) & used(having[0])) - asked
            local = local and name not in self._initial
            places[Variable(name)] = own if local else f"self.{own}"

    def lines(self) -> Iterator[str]:
        """The class."""
        kind = self._kind
        yield f"class {self._names.of_class(kind.name)}(SocketIOUser):"
        yield from (f"    # {said(note, 103)}" for note in kind.notes)
        yield f"    host = {quoted(self._conversation.host)}"
        if kind.weight != 1:
            yield f"    weight = {kind.weight}"
        least, most = kind.wait
        alike = least == most
        yield f"    wait_time = {f'constant({least:g})' if alike else f'between({least:g}, {most:g})'}"
        if any(step == Stop(again=True) for task in kind.tasks for step in task.steps):
            yield "    done = False"
        known = {key: value for key, value in kind.options.items() if not personal(value)}
        if known:
            yield from lines(self._expressions.node(known), 4, "options = ")
        yield from self._starting()
        asked = {key: value for key, value in kind.options.items() if key not in known}
        if self._query is not None:
            del asked["query"]
        if asked:
            yield from ("", "    def on_handshake(self, request: Any) -> None:")
            yield '        """Before each request of a new session."""'
            others = {str(other["url"]) for other in kind.others} - {self._conversation.host}
            for other in sorted(others):  # whose servers are nobody to know it
                node = call("request.url.startswith", [Node(self._expressions.literal(f"{other}/"))])
                yield from [*lines(node, 8, "if ", ":"), "            return"]
            for key, value in asked.items():
                yield from lines(call(f"request.{key}.update", [self._expressions.node(value)]), 8)
        if kind.connected:
            yield from ("", "    def on_connected(self) -> None:", '        """Also after a reconnect."""')
            yield from self._body(kind.connected)
        for task in kind.tasks:
            yield ""
            yield "    @task" if task.weight == 1 else f"    @task({task.weight})"
            yield f"    def {self._inner.new(task.name, 'task')}(self) -> None:"
            yield from self._body(task.steps) or ["        ..."]
        for name, told in kind.stubs.items():
            own = self._expressions.places["function", name]
            yield from ("", f"    def {own}(self) -> None:", f'        """{_docstring(told)}"""')
        for handler in kind.handlers:
            yield from ("", *self._handler(handler))

    def _starting(self) -> Iterator[str]:
        kind, expressions = self._kind, self._expressions
        own = [
            f"        {expressions.places[feed]} = next({expressions.places['feed', feed]})"
            for feed in kind.feeds
        ]
        for name in self._initial:
            values = self._conversation.variables[name]
            place = expressions.places[Variable(name)] + (": Any" if name in self._opened else "")
            if len(values) == 1:
                own += lines(expressions.node(values[0]), 8, f"{place} = ")
            else:
                expressions.imports.add("random")
                own += lines(call("random.choice", [expressions.node(values)]), 8, f"{place} = ")
        for name in self._late:  # a handler may ask for it before a task has set it
            own.append(f"        {expressions.places[Variable(name)]}: Any = None")
        begun: list[str] = []
        done = 0
        for number, other in enumerate(kind.others, 1):
            if variables_in(other):
                at = next((n for n, step in enumerate(kind.start) if _connects(step, number)), 0)
                begun += self._body(kind.start[done:at]) if at > done else []
                done = max(done, at)
            given = [expressions.node(value).behind(f"{key}=") for key, value in other.items()]
            made = lines(call("self.another_client", given), 8, f"{self._clients[number]} = ")
            (begun if variables_in(other) else own).extend([*made, *self._listening(number)])
        begun += self._body(kind.start[done:])
        if own or begun:
            yield from ("", "    def on_start(self) -> None:", *own, *begun)

    def _body(self, steps: list[Step]) -> list[str]:
        body = list(Statements(self._expressions, self._clients, self._query).lines(steps, 8))
        return (
            body
            if any(not line.lstrip().startswith("#") for line in body) or not body
            else [*body, "        ..."]
        )

    def _listening(self, client: int) -> Iterator[str]:
        """Another connection gets its handlers, which `@on` doesn't give it."""
        for handler in self._kind.handlers:
            if handler.client == client:
                name = self._handled[id(handler)] = self._inner.new(f"on {handler.event}", "on_event")
                event = Node(self._expressions.literal(handler.event))
                given = [event, Node(f"self.{name}"), *self._of_namespace(handler)]
                yield from lines(call(f"{self._clients[client]}.on", given), 8)

    def _of_namespace(self, handler: Handler) -> list[Node]:
        if handler.namespace == "/":
            return []
        return [Node(f"namespace={self._expressions.literal(handler.namespace)}")]

    def _handler(self, handler: Handler) -> Iterator[str]:
        expressions = self._expressions
        more = self._of_namespace(handler)
        alone = handler.arguments == 1
        if handler.sent_at is not None:
            first, *path = handler.sent_at
            value = "data" if alone else f"args[{int(first)}]"
            divided = f" / {handler.divisor}" if handler.divisor != 1 else ""
            taken = f"lambda {'data' if alone else '*args'}: {value}{expressions.path(tuple(path))}{divided}"
            more.append(Node(f"sent_at={taken}"))
        name = self._handled.get(id(handler), "")
        if not name:
            decorator = call("on", [Node(expressions.literal(handler.event)), *more])
            yield from lines(decorator, 4, "@")
            name = self._inner.new(f"on {handler.event}", "on_event")
        returned = "None" if handler.answer is None else "Any"
        taken = {0: "", 1: ", data: Any"}.get(handler.arguments, ", *args: Any")
        yield f"    def {name}(self{taken}) -> {returned}:"
        times = "once" if handler.count == 1 else f"{handler.count} times"
        asks = "." if handler.answer is None else "; the server asks for an ack, which is what this returns."
        yield f'        """Came {times} in the recording{asks}"""'
        if handler.answer is None:
            return
        answer = expressions.arguments(handler.answer)
        yield from lines(answer, 8, "return ") if answer is not None else ["        return ()"]


def _connects(step: Step, client: int) -> bool:
    return isinstance(step, Connect) and step.client == client
