"""Whatever a file holds: a script that says the same, or one line."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from importkit import Script, source_of

from sioload.cli.main import main
from sioload.errors import UsageError
from sioload.importing import artillery, har, names, recorded
from sioload.importing.conversation import Conversation, Emit, Handler, Kind, Task
from sioload.importing.expressions import Expressions
from sioload.importing.layout import WIDTH, lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | FLOATS
VALUES = st.recursive(
    LEAVES | TEXTS | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=15,
)
EVENTS = TEXTS.filter(bool)
CODE = st.sampled_from(
    ['"""', "'''", "\\", '"); import os; os.abort() #', "{self}", "\n    raise SystemExit", "\r", "\f",
     "\x85", "\u2028", "{{ x }}", "#", "__class__", "on_start", "sio", "def", "\u202e", "/../../x"]
)  # fmt: skip
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def evaluated(tree: ast.Module, code: str) -> Any:
    """A literal expression, with the constants of its module."""
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }

    class Filled(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return self.visit(constants[node.id])

    return ast.literal_eval(Filled().visit(ast.parse(code, mode="eval")).body)


STEP = st.tuples(EVENTS | CODE, st.lists(VALUES, max_size=3), st.booleans(), EVENTS | CODE)


@QUICK
@given(st.lists(STEP, max_size=5))
def test_a_conversation_is_the_same_in_its_script(steps):
    emits = [
        Emit(event, args, f"/{space}", how="call" if asks else "emit") for event, args, asks, space in steps
    ]
    handlers = [Handler(emit.event, emit.namespace, count=1) for emit in emits]
    kind = Kind("user", tasks=[Task("all", list(emits))], handlers=handlers)
    text = source_of(Conversation("x.har", "http://127.0.0.1", [kind]))
    script = Script(text)
    said = [(sent.event, sent.namespace, sent.verb) for sent in script.sent]
    assert said == [(emit.event, emit.namespace, emit.how) for emit in emits]
    assume("json.loads(" not in text)  # the values are in files
    for sent, emit in zip(script.sent, emits, strict=True):
        data = evaluated(script.tree, sent.data) if sent.data else ()
        args = list(data) if isinstance(data, tuple) else [data]
        assert args == emit.args
    assert max(map(len, text.splitlines()), default=0) <= WIDTH + 1 or "\x85" in text


@QUICK
@given(VALUES)
def test_a_value_is_the_same_as_code(value):
    expressions = Expressions(names.Names())
    code = "\n".join(lines(expressions.node(value), 0, "value = "))
    tree = ast.parse("\n".join([*expressions.constants, code]))
    if not expressions.files:
        assert evaluated(tree, "value") == value


@QUICK
@given(TEXTS | CODE)
def test_a_name_is_a_name(text):
    given_names = names.Names()
    first, second = given_names.new(text), given_names.new(text)
    assert first.isidentifier() and second.isidentifier() and first != second
    assert first not in names.RESERVED


JSON = st.recursive(
    LEAVES | TEXTS | CODE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | CODE, inner, max_size=4),
    max_leaves=10,
)
ARGS = st.lists(JSON, max_size=3)
HEADS = st.sampled_from(["42", "421", "431", "40", "0", "41", "451-"])
FRAME = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["send", "receive"]),
        "opcode": st.sampled_from([1, 2, -1]),
        "data": st.builds(lambda head, data: head + json.dumps(data), HEADS, st.lists(JSON, max_size=3))
        | TEXTS,
        "time": st.floats(1.7e9, 1.8e9) | JSON,
    }
)
URLS = st.sampled_from(
    ["ws://h/socket.io/?EIO=4&transport=websocket", "http://h/login?token=abc",
     "http://h/socket.io/?EIO=4&transport=polling&sid=s"]
)  # fmt: skip
PAIRS = st.lists(st.fixed_dictionaries({"name": TEXTS, "value": TEXTS}), max_size=3)
ENTRY = st.fixed_dictionaries(
    {
        "startedDateTime": st.just("2026-11-25T20:16:05.103Z") | JSON,
        "time": st.floats(0, 1000) | JSON,
        "_resourceType": st.sampled_from(["websocket", "xhr", "fetch", "document"]),
        "request": st.fixed_dictionaries(
            {
                "method": st.sampled_from(["GET", "POST"]) | CODE,
                "url": URLS | CODE,
                "headers": PAIRS | JSON,
                "postData": st.fixed_dictionaries({"mimeType": TEXTS, "text": TEXTS | CODE}) | JSON,
            }
        ),
        "response": st.fixed_dictionaries(
            {"status": st.just(200), "content": st.fixed_dictionaries({"text": TEXTS})}
        ),
        "_webSocketMessages": st.lists(FRAME, max_size=8),
    }
)


def line_or(make: Callable[[], Conversation]) -> None:
    """It ends in a script, or in one line."""
    try:
        conversation = make()
    except UsageError as error:
        line = str(error)
    else:
        line = ""
        ast.parse(source_of(conversation))
    assert "\n" not in line


@QUICK
@given(st.lists(ENTRY, max_size=4))
def test_any_entries_end_in_a_script_or_in_a_line(entries):
    data = json.dumps({"log": {"entries": entries}}).encode("utf-8", "surrogatepass")
    line_or(lambda: recorded.understand(har.read_har(data, "x.har"), "x.har", 1.0))


KEYS = st.sampled_from(
    ["emit", "think", "loop", "get", "acknowledge", "response", "function", "log", "count", "over"]
)
FLOW = st.lists(st.dictionaries(KEYS, JSON, max_size=3), max_size=4)
SCENARIO = st.fixed_dictionaries({"engine": st.just("socketio"), "flow": FLOW})
CONFIG = st.fixed_dictionaries({"target": st.just("http://h")})


@QUICK
@given(st.fixed_dictionaries({"config": CONFIG | JSON, "scenarios": st.lists(SCENARIO, max_size=3)}))
def test_any_steps_end_in_a_script_or_in_a_line(script):
    line_or(lambda: artillery.read_script(json.dumps(script).encode(), "x.yml", lambda path: "not here"))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.sampled_from([".har", ".yml", ".json"]))
def test_any_bytes_end_in_a_line(tmp_path_factory, capsys, data, ending):
    folder = tmp_path_factory.mktemp("any")
    (folder / f"file{ending}").write_bytes(data)
    assert main(["import", str(folder / f"file{ending}"), "-o", str(folder / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_large_frame_is_left_out_and_named(tmp_path, capsys):
    large, deep = f'42["large","{"x" * (10 << 20)}"]', "42" + "[" * 5000 + "]" * 5000
    frames = [
        {"type": "send", "time": 1795637765.0 + n, "opcode": 1, "data": text}
        for n, text in enumerate(['42["before",1]', large, deep, '42["after",2]'])
    ]
    url = "ws://h/socket.io/?EIO=4&transport=websocket"
    entry = {"startedDateTime": "2026-11-25T20:16:05Z", "request": {"url": url}, "_webSocketMessages": frames}
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    script = Script((tmp_path / "out" / "locustfile.py").read_text())
    assert {"before", "after"} <= {sent.event for sent in script.sent}
    assert len(script.text) < 100_000
    assert "packets: JSON nested more deeply" in capsys.readouterr().out
