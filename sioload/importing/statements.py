"""Steps of a conversation as statements of Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sioload.importing.conversation import (
    FIRST,
    LAST,
    Capture,
    Connect,
    Cookie,
    Disconnect,
    Emit,
    Expected,
    Function,
    Joined,
    Log,
    Loop,
    Made,
    Match,
    Note,
    Path,
    Request,
    Step,
    Stop,
    Think,
    Value,
    Variable,
    records_in,
    steps_of,
)
from sioload.importing.expressions import ANY, Expressions
from sioload.importing.layout import Node, call, lines, quoted, said

#: How Locust's client calls what it can do; other methods go through `request`.
_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")


def captures_of(step: Step) -> list[Capture]:
    """What a step keeps of its answer, and of what it brings about."""
    own = list(step.captures) if isinstance(step, Emit | Request) else []
    if isinstance(step, Emit | Request | Connect):
        own += [capture for expected in step.expected for capture in expected.captures]
    return own


def defined(steps: Sequence[Step]) -> set[str]:
    """The variables that steps set."""
    return {name for step in steps_of(list(steps)) for name in _set_by(step)}


def _set_by(step: Step) -> set[str]:
    found = {capture.name for capture in captures_of(step)}
    if isinstance(step, Connect):
        found.update(name for _, name in step.sids)
    return found


def used(steps: Sequence[Step]) -> set[str]:
    """The variables that steps ask for."""
    return variables_in(values_in(steps))


def values_in(steps: Sequence[Step]) -> list[Value]:
    """What steps hold that may hold variables, rows and made values."""
    return [values_of(step) for step in steps_of(list(steps))]


def used_early(steps: Sequence[Step]) -> set[str]:
    """The variables that steps ask for before one of them has set them."""
    found: set[str] = set()
    known: set[str] = set()
    for step in steps_of(list(steps)):
        found |= variables_in(values_of(step)) - known
        known |= _set_by(step)
    return found


def variables_in(value: Value) -> set[str]:
    """The variables that a value asks for."""
    return {record.name for record in records_in(value) if isinstance(record, Variable)}


def personal(value: Value) -> bool:
    """Whether a value isn't known before there is a user."""
    return any(
        not (isinstance(record, Joined) or (isinstance(record, Made) and record.kind == "environment"))
        for record in records_in(value)
    )


class Statements:
    """Writes the steps of one method.

    Args:
        expressions: writes values.
        clients: the code of each connection.
        query: what the first one is asked for with, if that isn't for all of them.
    """

    def __init__(self, expressions: Expressions, clients: Sequence[str], query: Value = None) -> None:
        self._expressions = expressions
        self._clients = clients
        self._query = query
        self._turns = 0

    def lines(self, steps: Sequence[Step], indent: int) -> Iterator[str]:
        """The statements, indented by so many spaces."""
        for step in steps:
            yield from self._step(step, indent)

    def _step(self, step: Step, indent: int) -> Iterator[str]:
        space = " " * indent
        if isinstance(step, Emit | Request | Connect):
            yield from (f"{space}# {said(note, 107 - indent)}" for note in step.notes)
        match step:
            case Emit():
                yield from self._expecting(
                    step.expected, self._clients[step.client], self._emit(step), indent
                )
            case Connect():
                yield from self._expecting(
                    step.expected, self._clients[step.client], self._connect(step), indent
                )
            case Request():
                yield from self._expecting(step.expected, self._clients[0], self._request(step), indent)
            case Disconnect():
                yield f"{space}{self._clients[step.client]}.disconnect()"
            case Cookie():
                value = [Node(quoted(step.name)), self._expressions.node(step.value)]
                yield from lines(call("self.client.cookies.set", value), indent)
            case Think():
                yield space + self._pause(step)
            case Note():
                yield f"{space}# {said(step.text, 107 - indent)}"
            case Loop():
                yield from self._loop(step, indent)
            case Log():
                self._expressions.imports.add("logging")
                yield from lines(
                    call("logging.info", [Node('"%s"'), self._expressions.node(step.text)]), indent
                )
            case Function():
                yield f"{space}self.{self._expressions.places['function', step.name]}()"
            case Stop(again=True):
                yield f"{space}if self.done:  # the first turn failed, and a session has one"
                yield f"{space}    raise StopUser"
                yield f"{space}self.done = True"
            case Stop():
                yield f"{space}raise StopUser"

    def _place(self, name: str) -> str:
        return self._expressions.text(Variable(name))

    def _pause(self, step: Think) -> str:
        if step.value is not None:
            times = f" * {step.seconds:g}" if step.seconds != 1 else ""
            return f"self.sio.sleep(float({self._expressions.text(step.value)}){times})"
        if step.most <= step.seconds:
            return f"self.sio.sleep({step.seconds:g})"
        self._expressions.imports.add("random")
        return f"self.sio.sleep(random.uniform({step.seconds:g}, {step.most:g}))"

    def _expecting(
        self, expected: Sequence[Expected], client: str, inner: Iterable[tuple[str, Node | None]], indent: int
    ) -> Iterator[str]:
        """A step within the blocks that listen for what it brings about."""
        found = []
        for number, each in enumerate(expected):
            name = f"found_{number + 1}" if number else "found"
            args = [Node(self._expressions.literal(each.event))]
            if each.namespace != "/":
                args.append(Node(f"namespace={self._expressions.literal(each.namespace)}"))
            yield from lines(call(f"{client}.expect", args), indent, "with ", f" as {name}:")
            indent += 4
            found.append(name)
        for before, node in inner:
            yield from lines(node, indent, before) if node is not None else [" " * indent + before]
        for name, each in zip(reversed(found), reversed(expected), strict=True):
            indent -= 4
            for capture in each.captures:
                part = self._expressions.path(capture.path)
                yield f"{' ' * indent}{self._place(capture.name)} = {name}.args{part}"

    def _emit(self, step: Emit) -> Iterator[tuple[str, Node | None]]:
        expressions, client = self._expressions, self._clients[step.client]
        data = expressions.arguments(step.args)
        name = Node(expressions.literal(step.event))
        event = name if step.asked is None else expressions.node(step.asked)
        args = [event, *([data] if data is not None else [])]
        if step.namespace != "/":
            args.append(Node(f"namespace={expressions.literal(step.namespace)}"))
        if step.how == "reply":
            args.append(Node(f"reply={expressions.literal(step.reply)}"))
        if step.where is not None:
            part = "list(args)" if isinstance(step.where.value, list) else "args[-1]"
            args.append(Node(f"where=lambda *args: {self._match(part, step.where)}"))
        if step.matches:
            args.append(Node(f"ok=lambda answer: {self._judged(step.matches)}"))
        if step.asked is not None:
            args.append(name.behind("name="))
        send = call(f"{client}.{'emit' if step.how == 'emit' else 'call'}", args)
        yield "answer = " if step.captures else "", send
        for capture in step.captures:
            yield f"{self._place(capture.name)} = {self._part('answer', capture.path)}", None

    def _part(self, answer: str, path: Path) -> str:
        """What stands in an answer at a path; of several places, one by chance."""
        if ANY in path:
            place = path.index(ANY)
            self._expressions.imports.add("random")
            within, several = self._expressions.path(path[place + 1 :]), self._part(answer, path[:place])
            several = f"[each{within} for each in {several}]" if within else several
            return f"random.choice({several})"
        if path[:1] == (FIRST,):
            return f"first_of({answer}){self._expressions.path(path[1:])}"
        return answer + self._expressions.path(path)

    def _judged(self, matches: Sequence[Match]) -> str:
        return " and ".join(self._match("answer", match) for match in matches)

    def _match(self, answer: str, match: Match) -> str:
        value, last = match.value, match.path == (LAST,)
        if last:
            part = f"{answer}[-1] if isinstance({answer}, tuple) else {answer}"
        else:
            part = self._part(answer, match.path)
        if match.how == "all" and isinstance(value, list):
            if len(value) > 1:
                items = ", ".join(self._expressions.text(each) for each in value)
                return f"{part} == ({items})"
            value = value[0] if value else None
        code = self._expressions.text(value)
        if match.how == "in":
            return f"{code if isinstance(value, str | Joined) else f'str({code})'} in str({part})"
        part = f"({part})" if last else part
        return f"{part} {'is' if value is None or isinstance(value, bool) else '=='} {code}"

    def _connect(self, step: Connect) -> Iterator[tuple[str, Node | None]]:
        expressions, client = self._expressions, self._clients[step.client]
        args = []
        if self._query is not None and step.client == 0:
            expressions.imports.add("urlencode")
            asked = (Node('f"{self.host}"'), call("urlencode", [expressions.node(self._query)]))
            args.append(call('"?".join', [Node("[", asked, "]")]))
        if step.auth is not None:
            args.append(expressions.node(step.auth).behind("auth="))
        if step.headers:
            args.append(expressions.node(step.headers).behind("headers="))
        if step.namespaces != ["/"]:
            args.append(expressions.node(list(step.namespaces)).behind("namespaces="))
        yield "", call(f"{client}.connect", args)
        for namespace, name in step.sids:
            of = "" if namespace == "/" else expressions.literal(namespace)
            yield f"{self._place(name)} = {client}." + (f"get_sid({of})" if namespace else "sid"), None

    def _request(self, step: Request) -> Iterator[tuple[str, Node | None]]:
        expressions = self._expressions
        method = step.method.lower()
        known = method in _METHODS
        args = [expressions.node(step.url)]
        if not known:
            args.insert(0, Node(quoted(step.method)))
        if step.body is not None:
            args.append(expressions.node(step.body).behind("json=" if step.form == "json" else "data="))
        if step.params is not None:
            args.append(expressions.node(step.params).behind("params="))
        if step.headers:
            args.append(expressions.node(step.headers).behind("headers="))
        if step.name:
            args.append(expressions.node(step.name).behind("name="))
        send = call(f"self.client.{method if known else 'request'}", args)
        headers = [capture for capture in step.captures if capture.header]
        bodies = [capture for capture in step.captures if not capture.header]
        if step.matches or step.captures:
            yield "response = ", send
            # What has no such answer shall fail by its status, not by what isn't in its body.
            yield "response.raise_for_status()", None
            for capture in headers:
                yield f"{self._place(capture.name)} = response.headers[{quoted(capture.header)}]", None
            if step.matches or any(not capture.pattern for capture in bodies):
                yield "answer = response.json()", None
        else:
            yield "", send
        for capture in bodies:
            yield from self._captured(capture)
        for match in step.matches:
            yield f"assert {self._match('answer', match)}", None

    def _captured(self, capture: Capture) -> Iterator[tuple[str, Node | None]]:
        place = self._place(capture.name)
        if not capture.pattern:
            yield f"{place} = {self._part('answer', capture.path)}", None
            return
        self._expressions.imports.add("re")
        yield (
            "match = ",
            call("re.search", [Node(self._expressions.literal(capture.pattern)), Node("response.text")]),
        )
        yield "assert match is not None", None
        group = quoted(capture.group) if isinstance(capture.group, str) else capture.group
        yield f"{place} = match[{group}]", None

    def _loop(self, step: Loop, indent: int) -> Iterator[str]:
        places, space = self._expressions.places, " " * indent
        self._turns += 1
        suffix = f"_{self._turns}" if self._turns > 1 else ""
        turn, item = f"turn{suffix}", f"item{suffix}"
        records = records_in([values_of(each) for each in steps_of(step.steps)])
        wanted = {record.kind for record in records if isinstance(record, Made) and record.name == step.name}
        places["count", step.name] = turn
        places["element", step.name] = item if step.over is not None else turn
        if step.over is not None:
            over = self._expressions.node(step.over)
            item = item if "element" in wanted else "_"
            counted = "count" in wanted
            each, over = (f"{turn}, {item}", call("enumerate", [over])) if counted else (item, over)
            yield from lines(over, indent, f"for {each} in ", ":")
        elif step.count is None and not wanted:
            yield f"{space}while True:"
        else:
            each = turn if wanted else "_"
            numbers = f"range({step.first}, {step.first + step.count})" if step.first and step.count else ""
            often = self._expressions.text(step.count)
            often = often if isinstance(step.count, int) else f"int({often})"
            numbers = numbers or (f"range({often})" if step.count is not None else "itertools.count()")
            if step.count is None:
                self._expressions.imports.add("itertools")
            yield f"{space}for {each} in {numbers}:"
        body = list(self.lines(step.steps, indent + 4))
        yield from body
        if not any(line.strip() and not line.lstrip().startswith("#") for line in body):
            yield f"{space}    pass"


def values_of(step: Step) -> list[Value]:
    """What a step says, or asks for."""
    match step:
        case Emit():
            where = [step.where.value] if step.where is not None else []
            return [step.asked, step.args, [match.value for match in step.matches], where]
        case Request():
            matches: list[Value] = [match.value for match in step.matches]
            return [step.url, step.name, step.headers, step.params, step.body, matches]
        case Connect():
            return [step.namespaces, step.auth, step.headers]
        case Cookie() | Think():
            return [step.value]
        case Loop():
            return [step.over, step.count]
        case Log():
            return [step.text]
    return []
