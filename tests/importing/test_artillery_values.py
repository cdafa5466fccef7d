"""What Artillery's scripts share, and what their values are where only texts may stand."""

from __future__ import annotations

import ast
import json
import random
import re
import string
from typing import Any

import pytest
from importkit import HEAD, Script, faults, imported_text, spelt

from sioload.cli.main import main
from sioload.load.phases import parse_phases
from sioload.report.checks import parse_toml


def body(script: Script, name: str, method: str) -> str:
    """The code of a method of one of several classes."""
    found = next(node for node in script.tree.body if getattr(node, "name", "") == name)
    assert isinstance(found, ast.ClassDef)
    return next(ast.unparse(node) for node in found.body if getattr(node, "name", "") == method)


def test_steps_that_flows_share_are_those_of_each(tmp_path):
    """An alias of a list of steps is a list among the steps."""
    script = imported_text(
        tmp_path,
        f"{HEAD}shared: &login\n  - {{emit: [login]}}\n  - {{emit: [hello]}}\n"
        "scenarios: [{engine: socketio, flow: [*login, {emit: [x]}, {loop: [*login], count: 2}]}]\n",
    )
    assert [sent.event for sent in script.sent] == ["login", "hello", "x", "login", "hello"]


def test_a_step_of_another_shape_is_what_it_says_or_is_named(tmp_path, capsys):
    """Artillery refuses these; a script that it never ran may have them."""
    flow = (
        "{emit: login, data: {a: 1}}, {emit: {event: x}}, {emit: [y]}, {loop: {count: 2, flow: [{emit: z}]}}"
    )
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert [(sent.event, sent.data) for sent in script.sent] == [("login", "{'a': 1}"), ("y", "")]
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "emit {'event': 'x'}: no channel" in left and "}: no list of steps" in left
    assert "emit login" not in left


def test_what_stands_beside_a_step_is_named(tmp_path, capsys):
    """A condition, a second step in one, an answer that isn't an object: nothing is lost without a word."""
    flow = (
        "{think: 2, ifTrue: a}, {log: x, ifTrue: b}, {function: f, ifTrue: c}, "
        "{loop: [{emit: [x]}], count: 2, ifTrue: d}, "
        "{parallel: [{put: /p}], limit: 3}, {get: {url: /g}, think: 4}, {head: {url: /h}, ifTrue: e}, "
        "{emit: [y], response: news}, {emit: [z], acknowledge: ok}, {emit: [w], response: {data: 1}}"
    )
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    left = capsys.readouterr().out.partition("Left out:")[2]
    for said in (
        "think 2: ifTrue a", "log x: ifTrue b", "function f: ifTrue c", "loop: ifTrue d", "parallel: limit 3",
        "think 4: get {'url': '/g'}", "head: ifTrue e", "emit y: response news", "emit z: acknowledge ok",
        "emit w: response {'data': 1}: it names no event",
    ):  # fmt: skip
        assert said in left
    assert "self.client.put('/p')" in script.body("user")


@pytest.mark.parametrize("pace", ["1x", "none"])
def test_an_endless_loop_lets_others_run(tmp_path, capsys, pace):
    """A loop that never waits would hold up every user of its process, and the run's end."""
    (tmp_path / "s.yml").write_text(
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{loop: [{{log: a}}, {{function: f}}]}}, "
        "{loop: [{think: 1}]}, {loop: [{emit: [x]}]}]}]\n"
    )
    assert main(["import", str(tmp_path / "s.yml"), "-o", str(tmp_path / "out"), "--think", pace]) == 0
    body = Script((tmp_path / "out" / "locustfile.py").read_text()).body("user")
    assert "for _ in range(1):\n        logging.info" in body
    assert "while True:\n        self.sio.emit('x')" in body
    assert ("while True:\n        self.sio.sleep(1)" in body) == (pace == "1x")
    assert "no step of it takes time, so it has one turn" in capsys.readouterr().out


@pytest.mark.parametrize("weight", ["0", "0.5", "none"])
def test_a_scenario_without_weight_is_nobodys(tmp_path, capsys, weight):
    """As in Artillery, which takes the whole part of it."""
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios:\n  - {{name: one, engine: socketio, weight: 2.7, flow: [{{emit: [x]}}]}}\n"
        f"  - {{name: off, engine: socketio, weight: {weight}, flow: [{{emit: [y]}}]}}\n",
    )
    assert [sent.event for sent in script.sent] == ["x"] and "    weight = 2\n" in script.text
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert f"scenario off: weight {weight}, so no user has it" in left


def test_a_weight_that_is_a_template_is_one(tmp_path, capsys):
    flow = "engine: socketio, weight: '{{ w }}', flow: [{emit: [x]}]"
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{name: one, {flow}}}]\n")
    assert "weight =" not in script.text
    assert "weight {{ w }} is no number: 1 instead" in capsys.readouterr().out


def test_a_pause_that_is_a_template_lasts_as_long_as_it_says(tmp_path, capsys):
    """A variable's or a column's value, one by chance; what has no number is one second, and is named."""
    (tmp_path / "rows.csv").write_text("ann,0.5\nbob,2\n")
    thinks = ["pause", "some", "unit", "wait", "$randomNumber(1, 4)", "name", "mixed", "gone"]
    flow = ", ".join(f"{{think: '{{{{ {code} }}}}'}}" for code in thinks)
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{pause: 3, some: [1, 2.5], unit: 500ms, mixed: [1s, 2]}}\n"
        "  payload: {path: rows.csv, fields: [name, wait]}\n"
        f"scenarios: [{{engine: socketio, flow: [{flow}, {{emit: [x]}}]}}]\n",
    )
    assert re.findall(r"self\.sio\.sleep\((.*)\)", script.body("user")) == [
        "float(self.pause)", "float(self.some)", "0.5", "float(self.rows_row['wait'])",
        "random.uniform(1, 4)", "1", "1", "1",
    ]  # fmt: skip
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert re.findall(r"think \{\{ (\w+) \}\}: one second instead", left) == ["name", "mixed", "gone"]


def test_a_loop_turns_as_often_as_its_template_says(tmp_path, capsys):
    (tmp_path / "rows.csv").write_text("ann,3\nbob,2\n")
    counts = ["turns", "often", "$randomNumber(1, 3)", "name", "gone"]
    loops = ", ".join(f"{{loop: [{{emit: [x{n}]}}], count: '{{{{ {c} }}}}'}}" for n, c in enumerate(counts))
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{turns: 4, words: [a, b]}}\n"
        "  payload: {path: rows.csv, fields: [name, often]}\n"
        f"scenarios: [{{engine: socketio, flow: [{loops}, {{loop: [{{emit: [y]}}], over: words}}]}}]\n",
    )
    assert re.findall(r"for _ in (.*):", script.body("user")) == [
        "range(int(self.turns))", "range(int(self.rows_row['often']))",
        spelt('range(int(f"{random.randint(1, 3)}"))'), "range(1)", "range(1)", "self.words",
    ]  # fmt: skip
    understood, _, left = capsys.readouterr().out.partition("Left out:")
    assert "some times (x0), some times (x1), some times (x2), 1 time (x3)" in understood
    assert "some times (y)" in understood
    assert re.findall(r"loop count \{\{ (\w+) \}\}: the loop has one turn", left) == ["name", "gone"]


@pytest.mark.parametrize(
    ("given", "transports"),
    [
        ("upgrade: false", ["polling"]),
        ("upgrade: false, transports: [polling, websocket]", ["polling"]),
        ("transports: [websocket, polling], upgrade: false", ["websocket"]),
        ("upgrade: true, transports: [polling, websocket]", ["polling", "websocket"]),
    ],
)
def test_a_connection_that_may_not_upgrade_has_one_transport(tmp_path, capsys, given, transports):
    config = f"{HEAD}  socketio: {{{given}}}\n"
    script = imported_text(tmp_path, f"{config}scenarios: [{{engine: socketio, flow: [{{emit: [x]}}]}}]\n")
    assert f"{transports}" in script.text.replace('"', "'")
    assert "Left out:" not in capsys.readouterr().out


def test_one_of_several_places_is_taken_by_chance(tmp_path, capsys):
    captures = (
        "[{json: '$[*].id', as: a}, {json: '$.x[*]', as: b}, {json: '$[*].y[*]', as: c}, {json: $..z, as: d}]"
    )
    flow = (
        f"{{get: {{url: /rooms, capture: {captures}, match: {{json: '$[*].ok', value: true}}}}}}, "
        "{emit: [x, '{{ a }}', '{{ b }}'], acknowledge: {capture: {json: '$[*].id', as: e}}}"
    )
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert "a = random.choice([each['id'] for each in answer])" in script.body("user")
    assert "b = random.choice(answer['x'])" in script.body("user")
    left = capsys.readouterr().out.partition("Left out:")[2].partition("Wrote")[0]
    assert re.findall(r"(\w+) \{'json': '(\S+)'", left) == [
        ("match", "$[*].ok"), ("capture", "$[*].y[*]"), ("capture", "$..z"), ("capture", "$[*].id"),
    ]  # fmt: skip
    assert faults(tmp_path / "out") == ""


def test_a_length_is_that_of_a_list_or_a_text_or_a_field_of_an_object(tmp_path, capsys):
    flow = "{emit: [x, '{{ words.length }}', '{{ words.lengthy }}', '{{ a.b.length }}']}"
    variables = "  variables: {words: [[a, b]]}\n"
    script = imported_text(tmp_path, f"{HEAD}{variables}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert script.sent[0].data == "(length_of(self.words), self.words['lengthy'], length_of(self.a['b']))"
    assert "self.a: Any = {'b': ''}" in script.body("on_start")
    (helper,) = [node for node in script.tree.body if isinstance(node, ast.FunctionDef)]
    known: dict[str, Any] = {"Any": Any}
    exec(ast.unparse(helper), known)  # noqa: S102
    assert [known["length_of"](each) for each in (["a", "b"], "abc", {"length": 9}, {}, "")] == [
        2,
        3,
        9,
        None,
        0,
    ]
    assert "length" not in capsys.readouterr().out.partition("Left out:")[2].partition("Wrote")[0]


def test_the_name_of_an_event_may_have_templates_and_one_row(tmp_path, capsys):
    say = "{emit: {channel: 'say {{ room }}', data: 1}, namespace: /chat, acknowledge: true}"
    flow = f"{say}, {{emit: ['{{{{ room }}}}']}}"
    head = HEAD.replace("config:\n", "config:\n  variables: {room: r1}\n")
    script = imported_text(tmp_path, f"{head}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    call = spelt("self.sio.call(f'say {self.room}', 1, namespace='/chat', name='say {{ room }}')")
    assert call in script.body("user")
    assert spelt("self.sio.emit(f'{self.room}', name='{{ room }}')") in script.body("user")
    assert "Left out" not in capsys.readouterr().out


def test_a_loop_turns_as_often_as_an_answer_said(tmp_path, capsys):
    flow = (
        "{emit: [a], acknowledge: {capture: {json: $.0, as: box}}}, "
        "{loop: [{emit: [x]}], count: '{{ box.n }}'}, {loop: [{emit: [y]}], count: '{{ words.length }}'}, "
        "{loop: [{emit: [z]}], count: '{{ gone }}'}"
    )
    head = HEAD.replace("config:\n", "config:\n  variables: {words: [[a, b]]}\n")
    script = imported_text(tmp_path, f"{head}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert re.findall(r"for _ in (.*):", script.body("user")) == [
        "range(int(box['n']))", "range(int(length_of(self.words)))", "range(1)",
    ]  # fmt: skip
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert re.findall(r"loop count \{\{ (\S+) \}\}: the loop has one turn", left) == ["gone"]


def test_the_engine_of_all_scenarios_may_be_said_once(tmp_path, capsys):
    script = imported_text(
        tmp_path, f"{HEAD}  engine: socketio\nscenarios: [{{flow: [{{emit: [x], namespace: /chat}}]}}]\n"
    )
    assert "self.sio.connect(namespaces=['/', '/chat'])" in script.body("on_start")
    assert "Left out:" not in capsys.readouterr().out


def test_what_one_scenario_captures_hides_no_row_of_the_next(tmp_path):
    (tmp_path / "users.csv").write_text("ann,lobby\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: users.csv, fields: [user, room]}}\nscenarios:\n"
        "  - {name: first, engine: socketio, flow: ["
        "{emit: [make], acknowledge: {capture: {json: $.0.id, as: room}}}, {emit: [join, '{{ room }}']}]}\n"
        "  - {name: second, engine: socketio, flow: [{emit: [join, '{{ room }}']}]}\n",
    )
    assert "room = first_of(answer)['id']\n    self.sio.emit('join', room)" in body(script, "First", "first")
    assert "self.sio.emit('join', self.users_row['room'])" in body(script, "Second", "second")


def test_headers_and_queries_are_texts_whatever_stands_for_them(tmp_path):
    """Requests and sioload refuse headers that aren't; JavaScript makes texts of all values."""
    (tmp_path / "users.csv").write_text("17\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: users.csv, fields: [id]}}\n"
        "  socketio: {extraHeaders: {X-User: '{{ id }}', X-On: true},\n"
        "    query: {debug: true, user: '{{ id }}'}}\n"
        "scenarios: [{engine: socketio, flow: ["
        "{get: {url: /, headers: {X-User: '{{ id }}', X-On: true, X-Version: 2}}}]}]\n",
    )
    row = spelt("""f"{self.users_row['id']}\"""")
    sent = f"headers={{'X-User': {row}, 'X-On': 'true', 'X-Version': '2'}}"
    assert sent in script.body("user")
    shaken = script.body("on_handshake")
    assert f"request.headers.update({{'X-User': {row}, 'X-On': 'true'}})" in shaken
    assert "request.query.update({'debug': 'true', 'user': self.users_row['id']})" in shaken


def test_options_that_are_no_objects_are_known_before_there_are_users(tmp_path, capsys):
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{name: [a]}}\n"
        "  socketio: {path: '/{{ $processEnvironment.APP }}/io', reconnection: '{{ name }}'}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ name }}']}]}]\n",
    )
    options = next(line for line in script.text.splitlines() if "options =" in line)
    assert options.strip() == """options = {"path": f"/{os.environ.get('APP', '')}/io"}"""
    assert "import os" in script.text and "on_handshake" not in script.methods
    assert "socketio.reconnection {{ name }}: it is the same" in capsys.readouterr().out


def test_a_script_of_json_is_read_as_json(tmp_path):
    """Its tabs, and the two halves of a character, are none of YAML's."""
    flow = [{"emit": ["say", "😀"]}, {"emit": {"channel": "a/b", "data": {"x": [1, None]}}}]
    whole = {
        "config": {"target": "http://127.0.0.1"},
        "scenarios": [{"engine": "socketio", "flow": flow}],
    }
    text = json.dumps(whole, indent="\t").replace("a/b", "a\\/b")
    assert "\\ud83d\\ude00" in text and "\t" in text
    script = imported_text(tmp_path, text, "script.json")
    assert [(sent.event, ast.literal_eval(sent.data)) for sent in script.sent] == [
        ("say", "😀"),
        ("a/b", {"x": [1, None]}),
    ]


def test_phases_without_a_name_stay_without(tmp_path, capsys):
    """A pause has none, most times."""
    phases = "[{duration: 1m, arrivalRate: 2}, {pause: 2}, {duration: 3, arrivalCount: 6, name: end}]"
    text = HEAD.replace("[{duration: 1, arrivalCount: 1}]", phases)
    script = imported_text(tmp_path, f"{text}scenarios: [{{engine: socketio, flow: [{{emit: [x]}}]}}]\n")
    assert 'phases = "2/s for 1m; 0/s for 2s; end: 2/s for 3s"' in script.text
    assert "config.phases" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wanted, right, wrong",
    [
        ("data: {b: 2}", [{"b": 2}, (None, {"b": 2})], [{"b": 1}, ({"b": 2}, 1)]),
        ("data: done", ["well done", (1, "done")], ["well", ("done", 1), 5]),
        ("data: true", [True, (1, True)], ["true", (True, False)]),
        ("data: [{a: 1}, 2]", [({"a": 1}, 2)], [({"a": 1}, 2, 3), [{"a": 1}, 2], {"a": 1}, None]),
        ("args: [[1, 2]]", [[1, 2]], [(1, 2), 1]),
        ("args: []", [None], [0, [], (1, 2)]),
        ("match: {json: $, value: [{a: 1}, 2]}", [({"a": 1}, 2)], [[{"a": 1}, 2], ({"a": 1}, 3)]),
        ("match: {json: $, value: [5]}", [5], [[5], (5, 6)]),
        ("match: {json: $.0, value: [5]}", [[5], ([5], 6)], [5, (5, 6)]),
        ("match: {json: $.0.a, value: 1}", [{"a": 1}, ({"a": 1}, 2)], [{"a": 2}, ({"a": 2}, 1)]),
        ("match: {value: null}", [None, (None, 5)], [5, (5, None)]),
    ],
)
def test_an_ack_is_compared_by_its_last_argument_or_by_all(tmp_path, wanted, right, wrong):
    """A list equals all of them, anything else the last: servers of Node put an error before it."""
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{emit: [x], acknowledge: {{{wanted}}}}}]}}]\n",
    )
    (ok,) = [node for node in ast.walk(script.tree) if isinstance(node, ast.Lambda)]
    known: dict[str, Any] = {"Any": Any}
    for helper in (each for each in script.tree.body if isinstance(each, ast.FunctionDef)):
        exec(ast.unparse(helper), known)  # noqa: S102
    judge = eval(ast.unparse(ok), known)  # noqa: S307
    assert [judge(answer) for answer in right] == [True] * len(right)
    assert [judge(answer) for answer in wrong] == [False] * len(wrong)


@pytest.mark.parametrize("jitter", ["100", "'100ms'", "50%"])
def test_jitter_is_a_share_or_milliseconds(tmp_path, jitter):
    flow = f"[{{emit: [x]}}, {{think: 0.2, jitter: {jitter}}}]"
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: {flow}}}]\n")
    assert "self.sio.sleep(random.uniform(0.1, 0.3))" in script.text


@pytest.mark.parametrize("jitter, least, said", [("1s", 1, "Artillery takes its number"), ("any", None, "")])
def test_a_jitter_with_another_unit_is_what_it_says_and_is_named(tmp_path, capsys, jitter, least, said):
    flow = f"[{{emit: [x]}}, {{think: 2, jitter: {jitter}}}]"
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: {flow}}}]\n")
    assert ("sleep(random.uniform(1, 3))" if least else "sleep(2)") in script.text
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert f"think 2: jitter {jitter}" in left and said in left


def test_what_is_made_by_chance_is_made_of_what_artillery_makes_it_of(tmp_path, capsys):
    """Digits were missing in texts; one limit of a number, or none, made a text of the template."""
    codes = ("$randomString(200)", "$randomNumber(7)", "$randomNumber()", "$randomNumber(9, 8)")
    flow = ", ".join(f"{{emit: [x, '{{{{ {code} }}}}']}}" for code in codes)
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    text, *numbers = [sent.data for sent in script.sent]
    made = eval(text, {"random": random, "string": string})  # noqa: S307
    assert len(made) == 200 and set(made) <= {*string.ascii_letters, *string.digits}
    assert {*made} & {*string.digits} and {*made} & {*string.ascii_letters}
    assert numbers == [spelt(f'f"{{random.randint({span})}}"') for span in ("0, 7", "0, 1", "8, 9")]
    assert "Left out" not in capsys.readouterr().out
    assert faults(tmp_path / "out") == ""


def test_the_name_of_a_request_may_have_templates(tmp_path, capsys):
    flow = "{get: {url: '/r/{{ room }}', name: 'room {{ room }}'}}, {get: {url: /x, name: plain}}"
    head = HEAD.replace("config:\n", "config:\n  variables: {room: r1}\n")
    script = imported_text(tmp_path, f"{head}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert spelt("self.client.get(f'/r/{self.room}', name=f'room {self.room}')") in script.body("user")
    assert "self.client.get('/x', name='plain')" in script.body("user")
    assert "scenario user: GET room [...], GET plain" in capsys.readouterr().out


@pytest.mark.parametrize(
    "where", ["defaults: {headers: {HEADERS}}", "http: {defaults: {headers: {HEADERS}}}"]
)
def test_headers_of_all_requests_are_those_of_each(tmp_path, capsys, where):
    headers = "{X-Room: '{{ room }}', authorization: geheim-1, accept: text/plain}"
    config = where.replace("{HEADERS}", headers)
    flow = "{get: {url: /a}}, {post: {url: /b, headers: {Accept: '*/*'}}}"
    head = HEAD.replace("config:\n", f"config:\n  variables: {{room: r1}}\n  {config}\n")
    script = imported_text(tmp_path, f"{head}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    kept = "'x-room': f'{self.room}', 'authorization': self.account['authorization'], "
    first = spelt(f"self.client.get('/a', headers={{{kept}'accept': 'text/plain'}})")
    assert first in script.body("user")
    assert spelt(f"self.client.post('/b', headers={{{kept}'Accept': '*/*'}})") in script.body("user")
    assert "Left out" not in capsys.readouterr().out and "geheim" not in script.text


def test_a_condition_that_is_not_strict_warns(tmp_path, capsys):
    """Artillery shows it as optional, and exits with 0."""
    conditions = (
        "[{expression: vusers.failed == 0, strict: false}, {expression: socketio.response_time.p99 < 9}]"
    )
    imported_text(
        tmp_path,
        f"{HEAD}  ensure: {{conditions: {conditions}}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x], acknowledge: true}]}]\n",
    )
    checks = parse_toml((tmp_path / "out" / "checks.toml").read_text())
    assert "\n  checks: 3, in checks.toml\n" in capsys.readouterr().out
    assert [(check.text, check.warn) for check in checks] == [
        ("CONNECT: failures == 0 warn", True),
        ("CALL: failures == 0 warn", True),
        ("CALL: p99 < 9ms", False),
    ]


def test_variables_may_come_from_the_environment(tmp_path, capsys):
    """Artillery fills its configuration's templates before anything else."""
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables:\n"
        "    token: '{{ $processEnvironment.TOKEN }}'\n    greeting: ['hi {{ $env.WHO }}', hello]\n"
        "    late: '{{ token }}'\n"
        "scenarios: [{engine: socketio, flow: ["
        "{emit: [x, '{{ token }}', '{{ greeting }}', '{{ late }}']}]}]\n",
    )
    started = script.body("on_start")
    assert "self.token = os.environ.get('TOKEN', '')" in started
    assert """random.choice([f"hi {os.environ.get('WHO', '')}", 'hello'])""" in started
    assert "self.late = '{{ token }}'" in started
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "config.variables.late: what its template asks for is known only later" in left


def test_a_users_uuid_stays_what_it_is(tmp_path, capsys):
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{emit: [join, '{{{{ $uuid }}}}']}}, "
        "{emit: [say, 'to {{ $uuid }}', '{{ $testId }}']}]}]\n",
    )
    started = script.body("on_start")
    assert "self.user_uuid = str(uuid.uuid4())" in started and "self.test_id = str(uuid.uuid4())" in started
    assert [sent.data for sent in script.sent] == [
        "self.user_uuid",
        "(f'to {self.user_uuid}', self.test_id)",
    ]
    assert "{{ $testId }}: each user has one of its own" in capsys.readouterr().out


def test_a_query_that_is_a_text_is_encoded_once(tmp_path):
    script = imported_text(
        tmp_path,
        f"{HEAD}  socketio: {{query: 'name=ann%20b&x%5B%5D=%26&plus=a+b'}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x]}]}]\n",
    )
    assert 'options = {"query": {"name": "ann b", "x[]": "&", "plus": "a+b"}}' in script.text


def test_a_match_by_other_means_than_jsonpath_is_left_out(tmp_path, capsys):
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: ["
        "{get: {url: /a, match: [{header: x-kind, value: b}, {regexp: c, value: c}]}}, "
        "{emit: [x], acknowledge: {match: {regexp: d, value: d}}}]}]\n",
    )
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "get /a: match {'header': 'x-kind'" in left and "get /a: match {'regexp': 'c'" in left
    assert "emit x: match {'regexp': 'd'" in left
    assert "assert" not in script.text and "ok=" not in script.text


def test_an_answer_may_have_more_than_what_is_kept_of_it(tmp_path):
    """How many arguments it has is seen from all of them, or from one behind the first; else nobody knows."""
    keep = "capture: {json: $.0.id, as: ID}"
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: ["
        f"{{emit: [a], acknowledge: {{{keep.replace('ID', 'a')}}}}},"
        f"{{emit: [b], acknowledge: {{data: [{{id: 1}}, 2], {keep.replace('ID', 'b')}}}}},"
        f"{{emit: [c], response: {{on: d, data: [{{id: 1}}], {keep.replace('ID', 'c')}}}}},"
        "{emit: [x, '{{ a }}', '{{ b }}', '{{ c }}']}]}]\n",
    )
    assert re.findall(r"[abc] = (.*answer.*)", script.body("user")) == [
        "first_of(answer)['id']",
        "answer[0]['id']",
        "answer['id']",
    ]
    assert faults(tmp_path / "out") == ""


@pytest.mark.parametrize("count, seconds", [(1, 3), (2, 3), (1, 7), (6, 7), (50, 60), (29, 100), (7, 3600)])
def test_as_many_users_arrive_as_were_counted(tmp_path, count, seconds):
    one = f"{{duration: {seconds}, arrivalCount: {count}}}"
    text = HEAD.replace("[{duration: 1, arrivalCount: 1}]", f"[{one}, {one}]")
    script = imported_text(tmp_path, f"{text}scenarios: [{{engine: socketio, flow: [{{emit: [x]}}]}}]\n")
    (said,) = re.findall(r'phases = "(.*)"', script.text)
    slots = list(parse_phases(said).slots())
    assert [sum(slot < seconds for slot in slots), len(slots)] == [count, 2 * count]


def test_columns_and_captures_may_be_called_anything(tmp_path, capsys):
    (tmp_path / "users.csv").write_text("ann,Ann B,one\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: users.csv, fields: [user-id, first name, 1st]}}\n"
        "scenarios: [{engine: socketio, flow: [{get: {url: /, capture: {json: $.id, as: room.id}}}, "
        "{emit: [x, '{{ user-id }}', 'hi {{ first name }}', '{{ 1st }}', '{{ room.id }}']}]}]\n",
    )
    row = "self.users_row"
    assert [sent.data for sent in script.sent] == [
        f"""({row}['user-id'], f"hi {{{row}['first name']}}", {row}['1st'], room_id)"""
    ]
    assert "Left out:" not in capsys.readouterr().out


def test_an_expression_keeps_its_flags(tmp_path):
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{get: {{url: /, capture: "
        "{regexp: 'token=(.)', flags: gi, group: 1, as: t}}}, {emit: [x, '{{ t }}']}]}]\n",
    )
    assert "re.search('(?i)token=(.)', response.text)" in script.body("user")


def test_rows_without_names_for_their_fields(tmp_path):
    """A header that is skipped still names them; rows that a script has as a whole are lists then."""
    (tmp_path / "users.csv").write_text("name,age\nann,5\nbob,6\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: [{{path: users.csv, skipHeader: true}},\n"
        "    {path: users.csv, skipHeader: true, loadAll: true, name: people}]\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ name }}']}, "
        "{over: people, loop: [{emit: [y, '{{ $loopElement[0] }}']}]}]}]\n",
    )
    rows = [json.loads(line) for line in (tmp_path / "out" / "users.jsonl").read_text().splitlines()]
    assert rows == [{"name": "ann", "age": 5}, {"name": "bob", "age": 6}]
    assert json.loads((tmp_path / "out" / "users_2.json").read_text()) == [["ann", 5], ["bob", 6]]
    assert [sent.data for sent in script.sent] == ["self.users_row['name']", "item[0]"]


def test_the_list_of_all_arguments_is_not_taken_for_the_answer(tmp_path, capsys):
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{emit: [x], acknowledge: "
        "{capture: [{json: $, as: all}, {json: $.0, as: one}]}}, {emit: [y, '{{ all }}', '{{ one }}']}]}]\n",
    )
    assert "self.all_2 = ''" in script.body("on_start") and "one = first_of(answer)" in script.body("user")
    assert "emit x: capture {'json': '$', 'as': 'all'}" in capsys.readouterr().out


def test_keys_of_an_emit_that_mean_nothing_here_are_named(tmp_path, capsys):
    imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: ["
        "{emit: {channel: a, volatile: true}, response: {on: b, data: c, concat: true}}, "
        "{emit: [d], acknowledge: {timeout: 5}, capture: {json: $.0, as: e}}]}]\n",
    )
    left = capsys.readouterr().out.partition("Left out:")[2]
    for line in ("a: emit.volatile", "a: response.concat", "d: acknowledge.timeout", "d: capture"):
        assert f"  emit {line}\n" in left


def test_parameters_of_requests_are_texts(tmp_path):
    """Requests sends Python's True, and leaves null out."""
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{get: {{url: /a, qs: {{b: true, c: null, d: 1}}}}}}, "
        "{post: {url: /e, form: {f: false, g: x}}}, {post: {url: /h, json: {i: true}}}, {emit: [x]}]}]\n",
    )
    assert "params={'b': 'true', 'c': '', 'd': 1}" in script.body("user")
    assert "data={'f': 'false', 'g': 'x'}" in script.body("user")
    assert "json={'i': True}" in script.body("user")


def test_what_stands_within_a_text_is_as_javascript_has_it(tmp_path):
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{on: true, n: [1, 2], some: [[{{a: null}}]]}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [a], acknowledge: {capture: {json: $.0.ok, as: ok}}}, "
        "{over: [x, true], loop: [{emit: [b, 'is {{ $loopElement }}']}]}, "
        "{emit: [c, 'is {{ on }} {{ n }} {{ some }} {{ ok }}', '{{ on }}', '\"{{ ok }}']}]}]\n",
    )
    assert [sent.data for sent in script.sent] == [
        "",
        "f'is {as_text(item)}'",
        "(f'is {as_text(self.on_2)} {self.n} {as_text(self.some)} {as_text(ok)}', self.on_2,"
        " ''.join(['\"', as_text(ok)]))",
    ]
    known: dict[str, Any] = {"Any": Any, "json": json}
    for helper in (each for each in script.tree.body if isinstance(each, ast.FunctionDef)):
        exec(ast.unparse(helper), known)  # noqa: S102
    written = [known["as_text"](value) for value in (True, None, [{"ä": None}], "x", 1.5)]
    assert written == ["true", "null", '[{"ä":null}]', "x", "1.5"]
    assert faults(tmp_path / "out") == ""


def test_a_payload_file_may_be_of_the_environment(tmp_path, capsys):
    """`{{ $environment }}` in its path, as Artillery's own manual has it."""
    (tmp_path / "test-users.csv").write_text("ann\n")
    (tmp_path / "script.yml").write_text(
        f"{HEAD}  environments: {{test: {{}}}}\n"
        "  payload: {path: './{{ $environment }}-users.csv', fields: [user]}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ user }}']}]}]\n"
    )
    out = tmp_path / "out"
    assert main(["import", str(tmp_path / "script.yml"), "-e", "test", "-o", str(out)]) == 0
    assert "config.payload" not in capsys.readouterr().out
    assert (out / "test_users.csv").read_text() == "user\nann\n"


def test_requests_whose_urls_differ_are_one_row(tmp_path, capsys):
    """Else each user, or each row of its data, has a row of its own in every table."""
    urls = ["/rooms/{{ room }}?as={{ $uuid }}", "{{ target }}/rooms/{{ room }}/x", "{{ room }}", "/rooms?a=1"]
    gets = ", ".join(f"{{get: {{url: '{url}'}}}}" for url in urls)
    named = "{get: {url: '/rooms/{{ room }}', name: a room}}"
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{room: [a, b]}}\n"
        f"scenarios: [{{engine: socketio, flow: [{gets}, {named}, {{emit: [x]}}]}}]\n",
    )
    names = [line.partition("name=")[2] for line in script.body("user").splitlines() if ".get(" in line]
    assert names == ["'/rooms/[...]')", "'/rooms/[...]/x')", "'[...]')", "", "'a room')"]
    said = "GET /rooms/[...], GET /rooms/[...]/x, GET [...], GET /rooms, GET a room"
    assert said in capsys.readouterr().out


def test_what_a_script_captures_is_no_loops_own(tmp_path):
    """Its loops have `item` and `item_2`: the second one wrote over a variable of the script's."""
    capture = "[{json: $.0, as: item}, {json: $.1, as: turn}]"
    said = "'{{ $loopElement }}', '{{ $loopCount }}', '{{ item }}', '{{ turn }}'"
    loop = f"{{over: [a, b], loop: [{{emit: [say, {said}]}}]}}"
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios: [{{engine: socketio, flow: [{{emit: [get], acknowledge: {{capture: {capture}}}}}, "
        f"{loop}, {loop}]}}]\n",
    )
    assert [sent.data for sent in script.sent] == [
        "",
        "(item, turn, item_value, turn_value)",
        "(item_2, turn_2, item_value, turn_value)",
    ]
    assert "item_value = answer[0]" in script.body("user")


@pytest.mark.parametrize("fields", ["", ", fields: [user]"])
@pytest.mark.parametrize(
    "content, said", [(None, "no file of at most 64 MiB"), ("", "its first line is empty")]
)
def test_rows_whose_columns_nobody_knows_are_no_feed(tmp_path, capsys, content, said, fields):
    """Its header was empty, and no run began; where the script names the fields its rows may come later."""
    if content is not None:
        (tmp_path / "users.csv").write_text(content)
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: users.csv{fields}}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ user }}']}]}]\n",
    )
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert ("feed(" in script.text) == (tmp_path / "out" / "users.csv").exists() == bool(fields)
    assert (f"config.payload users.csv: {said}" in left and "nothing else names" in left) == (not fields)
    assert ("put the rows into the file" in left) == bool(fields and content is None)


def test_what_a_script_captures_hides_no_rows(tmp_path):
    (tmp_path / "people.csv").write_text("name\nann\n")
    flow = (
        "{over: people, loop: [{emit: [x, '{{ $loopElement.name }}']}]}, "
        "{emit: [get], acknowledge: {capture: {json: $.1, as: people}}}, {emit: [y, '{{ people }}']}"
    )
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: people.csv, fields: [name], loadAll: true, name: people}}\n"
        f"scenarios: [{{engine: socketio, flow: [{flow}]}}]\n",
    )
    method = script.body("user")
    assert "for item in people:" in method and "people_2 = answer[1]" in method
    assert script.sent[-1].data == "people_2"


def test_a_place_that_no_list_has_stays_a_text(tmp_path, capsys):
    place = "[" + "9" * 5000 + "]"
    flow = f"{{emit: [x, '{{{{ a{place} }}}}'], acknowledge: {{capture: {{json: '${place}', as: b}}}}}}"
    imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "the template '{{ a[999" in left and "emit x: capture {'json': '$[999" in left


def test_options_of_the_reader_of_rows(tmp_path, capsys):
    (tmp_path / "users.csv").write_text("ann;5\n")
    imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: users.csv, fields: [user, age], options: {{delimiter: ';', cast: false, "
        "quote: '|'}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ user }}', '{{ age }}']}]}]\n",
    )
    assert (tmp_path / "out" / "users.csv").read_text() == "user,age\nann,5\n"
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "config.payload.options.quote\n" in left and "options.delimiter" not in left


def test_a_variable_goes_before_a_column_of_its_name(tmp_path):
    """As with Artillery, which puts the script's variables over the row's fields."""
    (tmp_path / "users.csv").write_text("ann\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{user: bob}}\n  payload: {{path: users.csv, fields: [user]}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ user }}']}]}]\n",
    )
    assert "self.user = 'bob'" in script.body("on_start")
    assert script.sent[0].data == "self.user"


def test_certificates_may_be_trusted_by_an_option_of_the_connection(tmp_path, capsys):
    script = imported_text(
        tmp_path,
        f"{HEAD}  socketio: {{rejectUnauthorized: false}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x]}]}]\n",
    )
    assert 'options = {"tls_verify": False}' in script.text
    assert "rejectUnauthorized" not in capsys.readouterr().out


def test_a_limit_that_is_no_number_is_named(tmp_path, capsys):
    """It was 0, under which no run stays."""
    later = "'{{ $processEnvironment.LIMIT }}'"
    imported_text(
        tmp_path,
        f"{HEAD}  ensure: {{maxErrorRate: 1%, p95: {later}, p99: '200', min: 0,\n"
        f"    thresholds: [{{vusers.failed: {later}}}, {{vusers.failed: 0}}],\n"
        "    conditions: [{expression: vusers.failed < 1.2.3}]}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x], acknowledge: true}]}]\n",
    )
    checks = parse_toml((tmp_path / "out" / "checks.toml").read_text())
    texts = ["CALL: p99 < 200ms", "CALL: min < 0ms", "CONNECT: failures < 0", "CALL: failures < 0"]
    assert [check.text for check in checks] == texts
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert re.findall(r"config.ensure[ .](.*): no number", left) == [
        "maxErrorRate 1%", "p95 {{ $processEnvironment.LIMIT }}",
        "vusers.failed < {{ $processEnvironment.LIMIT }}", "vusers.failed < 1.2.3",
    ]  # fmt: skip


def test_a_limit_of_what_there_is_no_figure_of_is_named(tmp_path, capsys):
    imported_text(
        tmp_path,
        f"{HEAD}  ensure: {{p42: 5, thresholds: [{{socketio.emit: 5}}, {{http.response_time.p99: 3}}],\n"
        "    conditions: [{expression: vusers.failed > 3 && vusers.created == 9}]}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x], acknowledge: true}]}]\n",
    )
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert re.findall(r"config.ensure (.*): there is no such figure", left) == [
        "socketio.emit < 5", "http.response_time.p99 < 3", "vusers.failed > 3", "vusers.created == 9"
    ]  # fmt: skip
    assert "  config.ensure.p42\n" in left and not (tmp_path / "out" / "checks.toml").exists()


def test_a_large_limit_has_no_exponent(tmp_path, capsys):
    imported_text(
        tmp_path,
        f"{HEAD}  ensure: {{p95: 1000000, maxErrorRate: 0.5, thresholds: [{{vusers.failed: 1234567}}]}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x], acknowledge: true}]}]\n",
    )
    assert [check.text for check in parse_toml((tmp_path / "out" / "checks.toml").read_text())] == [
        "CALL: p95 < 1000000ms",
        "CONNECT: fail_ratio <= 0.5%",
        "CALL: fail_ratio <= 0.5%",
        "CONNECT: failures < 1234567",
        "CALL: failures < 1234567",
    ]
    assert "config.ensure" not in capsys.readouterr().out


def test_phases_have_names_that_a_plan_can_have_and_what_else_they_have_is_named(tmp_path, capsys):
    phases = (
        "[{duration: 1s, arrivalRate: 1, name: peak}, {duration: 2, arrivalRate: 1, rampTo: 3, name: peak}, "
        "{duration: 500ms, arrivalRate: 0.5, name: 2nd peak!}, {duration: 1, arrivalRate: 1, maxVusers: 7}, "
        "{arrivalRate: 9}]"
    )
    text = HEAD.replace("[{duration: 1, arrivalCount: 1}]", phases)
    imported_text(tmp_path, f"{text}scenarios: [{{engine: socketio, flow: [{{emit: [x]}}]}}]\n")
    understood, _, left = capsys.readouterr().out.partition("Left out:")
    plan = "peak: 1/s for 1s; peak-again: 1..3/s over 2s; phase-2nd-peak: 0.5/s for 500ms; 1/s for 1s"
    assert f"  phases: {plan}\n" in understood
    assert "config.phases maxVusers 7" in left and "{'arrivalRate': 9} has no duration that can be" in left


def test_users_that_may_fail_are_those_that_connect_too(tmp_path, capsys):
    """Also where nothing that they send is answered; times are there for answers alone."""
    imported_text(
        tmp_path,
        f"{HEAD}  ensure: {{maxErrorRate: 1, p95: 200, thresholds: [{{vusers.failed: 3}}]}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x]}]}]\n",
    )
    checks = parse_toml((tmp_path / "out" / "checks.toml").read_text())
    texts = [check.text for check in checks]
    assert texts == ["CONNECT: fail_ratio <= 1%", "CONNECT: failures < 3"]
    assert "config.ensure.p95" in capsys.readouterr().out.partition("Left out:")[2]


def test_a_name_of_the_protocols_own_is_not_emitted(tmp_path, capsys):
    """Authors take `disconnect` for what ends a session; such an emit failed in each turn of the script."""
    flow = "{emit: {channel: disconnect}}, {emit: [connect, 1], acknowledge: true}, {emit: [[disconnected]]}"
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert [sent.event for sent in script.sent] == ["['disconnected']"]
    left = capsys.readouterr().out.partition("Left out:")[2]
    for name in ("disconnect", "connect"):
        told = f"emit {name}: a name of Socket.IO's own, which no client may emit"
        assert f"  {told}\n" in left and f"# {told}: not translated\n" in script.text


def test_what_is_not_shaped_as_it_has_to_be_is_named(tmp_path, capsys):
    """One phase where a list of them has to stand, or steps without theirs, were left out without a word."""
    (tmp_path / "script.yml").write_text("""
config: {target: "http://127.0.0.1", phases: {duration: 1, arrivalRate: 5}, payload: users.csv,
         variables: [{pin: secret-1}], ensure: [x], socketio: websocket}
scenarios:
  - {name: a, engine: socketio, socketio: [x], flow: [{emit: [y]}, disconnect, null]}
  - {name: b, engine: socketio, flow: {emit: [z]}}
  - just a text
""")
    assert main(["import", str(tmp_path / "script.yml"), "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    left = out.partition("Left out:")[2]
    named = {"phases": "list", "payload": "object", "variables": "object", "ensure": "object"}
    for key, kind in (named | {"socketio": "object"}).items():
        assert f"  config.{key}: no {kind}, so nothing of it is taken\n" in left
    for told in ("scenario a: socketio: no object", "scenario b: flow: no list", "scenario 3: no object"):
        assert f"  {told}, so nothing of it is taken\n" in left
    assert "  step disconnect\n" in left and "None" not in left and "secret-1" not in out


def test_what_a_connection_was_to_be_made_with_is_named(tmp_path, capsys):
    """Its token was lost behind the words that connections are made at the start."""
    flow = "{emit: [y]}, {connect: {auth: {token: '{{ t }}'}, query: {a: b}}}, {connect: x}"
    imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio-v3, flow: [{flow}]}}]\n")
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert (
        "  step connect (auth, query): connections are made at the start, as config.socketio says\n" in left
    )
    assert "  step connect: connections are made at the start, as config.socketio says\n" in left


def test_no_secret_of_a_script_stays_in_the_locustfile(tmp_path, capsys):
    """Those of variables and cookies did, and numbers; and whoever imported read those of misshapen steps."""
    script = imported_text(
        tmp_path,
        """
config:
  target: http://bob:geheim-1@127.0.0.1
  variables: {password: [geheim-2, geheim-3], user: {name: ann, pin: 7654321}, room: r-1}
  socketio: {extraHeaders: {Cookie: sid=geheim-4}}
scenarios:
  - engine: socketio
    flow:
      - {emit: [login, "{{ user.name }}", "{{ user.pin }}", "{{ password }}", "{{ room }}"]}
      - {post: {url: /login, json: {otp: 7654322, session: 5}, headers: {cookie: geheim-5}}}
      - {emit: {event: login, data: {password: geheim-6}}}
      - {think: 1, get: {json: {token: geheim-7}}}
      - {loop: {emit: [x, {token: geheim-8}]}, count: 2}
      - {emit: [y], response: {data: {token: geheim-9}}}
""",
    )
    out = capsys.readouterr().out
    assert "geheim" not in script.text + out and "765432" not in script.text + out
    rows = (tmp_path / "out" / "accounts.csv").read_text().splitlines()
    columns = dict(zip(*(row.split(",") for row in rows), strict=True))
    sent = ["geheim-2", "geheim-3", "sid=geheim-4", "geheim-5", "7654321", "7654322"]
    assert len(rows) == 2 and sorted(columns.values()) == sorted(sent)
    start = script.body("on_start")
    assert "self.account = next(accounts)\n    self.password = random.choice([self.account['" in start
    assert "{'name': 'ann', 'pin': int(self.account['pin'])}" in start and "self.room = 'r-1'" in start
    assert "config.target: the name and password in its URL" in out
    assert faults(tmp_path / "out") == ""
