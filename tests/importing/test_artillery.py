"""Artillery's scripts become locustfiles that say the same to a server."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import serverkit
from importkit import HEAD, Script, faults, imported_text
from peers import PEERS, SCRIPTS, Peer

from sioload.cli.main import main


def written(name: str, folder: Path, target: str = "http://127.0.0.1:5000") -> Path:
    """The script of a peer in a folder of its own."""
    for file, content in PEERS[name].files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    path = folder / "script.yml"
    path.write_text((SCRIPTS / f"{name}.yml").read_text().replace("TARGET", target))
    return path


def imported(path, peer: Peer) -> list[str]:
    """The arguments of the command."""
    return [
        "import",
        str(path),
        "-o",
        str(path.parent / "out"),
        *(["-e", peer.environment] if peer.environment else []),
    ]


@pytest.mark.parametrize("name", PEERS)
def test_script_says_what_it_does_and_what_not(tmp_path, capsys, name):
    peer = PEERS[name]
    path = written(name, tmp_path)
    assert main(imported(path, peer)) == 0
    out = capsys.readouterr().out
    script = Script((tmp_path / "out" / "locustfile.py").read_text())
    assert [part for part in peer.code if part not in script.text] == []
    left = out.partition("Left out:")[2].partition("Wrote ")[0]
    assert [part for part in peer.left_out if part not in left] == []
    events = [event for _, event, _ in peer.heard if event[:1] != "(" and " " not in event]
    templates = ("socketio-v3", "names-in-templates")
    assert [sent.event for sent in script.sent] == list(dict.fromkeys(events)) or name in templates


def test_scripts_are_typed_and_formatted(tmp_path, capsys):
    for number, (name, peer) in enumerate(PEERS.items()):
        folder = tmp_path / f"script{number}"
        folder.mkdir()
        assert main(imported(written(name, folder), peer)) == 0
    assert faults(tmp_path) == ""


def test_checks_are_in_a_file(tmp_path, capsys):
    assert main(imported(written("load-and-limits", tmp_path), PEERS["load-and-limits"])) == 0
    checks = (tmp_path / "out" / "checks.toml").read_text()
    for check in (
        "CALL: p99 < 2500ms",
        "CALL: failures == 0",
        "CALL: p50 < 2000ms",
        "CALL: fail_ratio <= 1%",
    ):
        assert f'"{check}"' in checks
    assert "--sio-checks-file" in capsys.readouterr().out


def test_the_commands_that_it_names_can_be_pasted(tmp_path, capsys):
    script, folder = written("load-and-limits", tmp_path), tmp_path / "it's mine"
    assert main([*imported(script, PEERS["load-and-limits"]), "-o", str(folder)]) == 0
    tried, run = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[-2:])
    assert tried == ["sioload", "try", str(folder / "locustfile.py")]
    assert run[2] == str(folder / "locustfile.py") and run[-1] == str(folder / "checks.toml")


LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(8 * [f'*a{n - 1}'])}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "neither a recording (HAR) nor an Artillery script"),
        ("a: b", "export a recording that was cut off again"),
        ("a: [", "not YAML"),
        ("a: 1\nb: {{ c }}", 'script.yml, line 2: not YAML: a template stands in quotes: "{{ name }}"'),
        ("\tx", "not YAML"),
        (LAUGHS, "more than 100000 values, with those that aliases repeat"),
        ("a: &a [*a]", "the alias *a stands for nothing, or for itself"),
        ("[" * 2000, "nested more than 60 levels deep"),
        ("a: !!python/object/apply:os.system ['true']", "python/object/apply:os.system' is refused"),
        ("a: !include x", "the tag '!include' is refused"),
        ("a: !!bool maybe", "not YAML: 'maybe'"),
        ("a: !!float ''", "not YAML: string index out of range"),
        ("x: " + "y" * (1 << 20), "more than 1 MiB"),
        ("scenarios: []\nconfig: {target: 'file:///etc/passwd'}", "'file:///etc/passwd' is no URL"),
        ("scenarios: []\nconfig: {target: '{{ $env.URL }}'}", "before a test runs: write the server's URL"),
        ("scenarios: []\nconfig: {target: 'http://127.0.0.1'}", "translated: its list is empty"),
        (
            "scenarios: [{engine: socketio-v2}]\nconfig: {target: 'http://127.0.0.1'}",
            "scenario user: the engine socketio-v2 isn't one of socketio, socketio-v3, http",
        ),
    ],
    ids=range(17),
)  # fmt: skip
def test_hostile_script_is_refused_in_a_line(tmp_path, capsys, text, said):
    (tmp_path / "script.yml").write_text(text)
    assert main(["import", str(tmp_path / "script.yml"), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and len(error) < 300
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["script.ts", "script.js"])
def test_a_script_that_is_a_program_is_imported_as_what_it_exports(tmp_path, capsys, name):
    """Whoever gave one was told that its second line isn't YAML."""
    (tmp_path / name).write_text(
        "module.exports = {\n  config: { target: 'http://127.0.0.1' },\n"
        "  scenarios: [{ engine: 'socketio', flow: [{ emit: ['hello', 1] }] }],\n};\n"
    )
    argv = ["import", str(tmp_path / name), "-o", str(tmp_path / "out")]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{name} is a program, and isn't run" in error
    command = error.partition("(")[2].rpartition(")")[0]
    serverkit.need_node("sio4")
    if name.endswith(".js"):
        done = serverkit.run(["sh", "-c", command], 60, cwd=tmp_path)
        assert done.code == 0, done.text
        assert main([*argv[:1], str(tmp_path / "script.json"), *argv[2:]]) == 0
        script = Script((tmp_path / "out" / "locustfile.py").read_text())
        assert [(sent.event, sent.data) for sent in script.sent] == [("hello", "1")]


def test_unknown_environment_is_named(tmp_path, capsys):
    path = written("environments", tmp_path)
    assert main(["import", str(path), "-o", str(tmp_path / "out"), "-e", "prod"]) == 2
    assert "no environment 'prod' (it has: test)" in capsys.readouterr().err


def test_an_environment_that_was_asked_for_is_not_left_out(tmp_path, capsys):
    path = written("environments", tmp_path)
    path.write_text(path.read_text().replace("environments:", "environments:\n    stage: {timeout: 9}"))
    for args, left in (["-e", "test"], "stage"), ([], "stage, test"):
        assert main(["import", str(path), "-o", str(tmp_path / f"out{len(args)}"), *args]) == 0
        assert f"config.environments: {left} (-e NAME)\n" in capsys.readouterr().out


def test_payload_files_stay_in_their_folder(tmp_path, capsys):
    (tmp_path / "secret.csv").write_text("top,secret\n")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    text = (
        HEAD.replace("TARGET", "http://127.0.0.1")
        + "  payload:\n"
        + "".join(
            f"    - {{path: {path}, fields: [{field}]}}\n"
            for field, path in (
                ("a", "../secret.csv"),
                ("b", tmp_path / "secret.csv"),
                ("c", "link.csv"),
                ("d", "no/../../../x"),
            )
        )
    )
    (folder / "script.yml").write_text(
        text + "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ a }}{{ b }}{{ c }}']}]}]\n"
    )
    assert main(["import", str(folder / "script.yml"), "-o", str(folder / "out")]) == 0
    assert capsys.readouterr().out.count("leaves the script's folder") == 4
    assert all(b"secret\n" not in path.read_bytes() for path in (folder / "out").iterdir())
    assert all(path.parent == folder / "out" for path in (folder / "out").rglob("*"))


def classes(script: Script) -> list[str]:
    return [node.name for node in script.tree.body if isinstance(node, ast.ClassDef)]


def test_scenarios_may_be_called_what_the_script_needs(tmp_path):
    flows = "".join(
        f"  - {{name: {name}, engine: socketio, flow: [{{emit: [x]}}]}}\n"
        for name in ("Load", "phases", "stop user", "v2a", "v2 a", "user", "user", "user2", "Exception")
    )
    script = imported_text(tmp_path, f"{HEAD}scenarios:\n{flows}")
    own = ["Load2", "Phases2", "StopUser2", "V2a", "V2A", "User", "User2", "User22", "Exception2"]
    assert classes(script) == [*own, "Load"]


def test_functions_hide_neither_tasks_nor_methods(tmp_path):
    calls = "{function: login}, {function: on_start}, {function: client}, {emit: [x]}"
    script = imported_text(
        tmp_path, f"{HEAD}scenarios: [{{name: login, engine: socketio, flow: [{calls}]}}]\n"
    )
    assert "self.login()\n    self.on_start_2()\n    self.client_2()" in script.body("login_2")
    assert script.body("login_2").startswith("@task") and "self.sio.connect()" in script.body("on_start")


def test_rows_called_accounts_are_kept_apart_from_secrets(tmp_path, capsys):
    (tmp_path / "accounts.csv").write_text("ann\nbob\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: accounts.csv, fields: [user], order: sequence}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, {u: '{{ user }}', password: hunter2}]}]}]\n",
    )
    assert (tmp_path / "out" / "accounts.csv").read_text() == "user\nann\nbob\n"
    assert (tmp_path / "out" / "accounts_of_script.csv").read_text() == "password\nhunter2\n"
    assert "accounts_of_script.csv has them" in capsys.readouterr().out
    said = "{'u': self.account['user'], 'password': self.accounts_of_script_row['password']}"
    assert said in script.body("user")
    assert "self.account = next(accounts)" in script.body("on_start")


def test_a_variable_hides_no_row(tmp_path):
    (tmp_path / "accounts.csv").write_text("ann\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{account: [a]}}\n  payload: {{path: accounts.csv, fields: [user]}}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x, '{{ user }}', '{{ account }}']}]}]\n",
    )
    assert "(self.account['user'], self.account_2)" in script.body("user")


def test_a_name_means_in_each_scenario_what_it_means_there(tmp_path):
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{orderId: [1], order_id: [2]}}\nscenarios:\n"
        "  - {name: both, engine: socketio, flow: [{emit: [x, '{{ orderId }}', '{{ order_id }}']}]}\n"
        "  - {name: one, engine: socketio, flow: [{emit: [x, '{{ order_id }}']}]}\n",
    )
    assert "(self.order_id, self.order_id_2)" in script.body("both")
    assert "self.sio.emit('x', self.order_id)" in script.body("one")


def test_the_targets_path_and_query_go_along(tmp_path):
    script = imported_text(
        tmp_path,
        "config: {target: 'ws://127.0.0.1:9/shop/?lang=de'}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x]}, {emit: [y], namespace: /chat}, "
        "{get: {url: /login}}, {get: {url: '{{ target }}/rooms'}}]}]\n",
    )
    assert "self.sio.connect(namespaces=['/shop', '/shop/chat'])" in script.body("on_start")
    assert [sent.namespace for sent in script.sent] == ["/shop", "/shop/chat"]
    assert "self.client.get('/shop/login')" in script.body("user")
    assert "self.client.get('/shop/rooms')" in script.body("user")
    assert 'options = {"query": {"lang": "de"}}' in script.text


@pytest.mark.parametrize(
    "more, step, said",
    [
        (
            "phases: [{duration: 5, arrivalRate: '{{ r }}'}]",
            "",
            "arrivalRate {{ r }} is no number: 1 instead",
        ),
        ("defaults: {cookie: {a: 1}}", "", "config.defaults.cookie"),
        (
            "timeout: 5",
            ", namespace: '/{{ room }}'",
            "namespace /{{ room }}: names of namespaces are taken as",
        ),
        ("timeout: 5", ", response: {on: '{{ e }}'}", "event {{ e }}: names of events are taken as"),
    ],
)
def test_what_is_not_translated_is_named(tmp_path, capsys, more, step, said):
    text = f"config:\n  target: http://127.0.0.1\n  {more}\n"
    imported_text(tmp_path, f"{text}scenarios: [{{engine: socketio, flow: [{{emit: [x]{step}}}]}}]\n")
    assert said in capsys.readouterr().out.partition("Left out:")[2]


def test_what_the_connection_alone_asks_for_is_there(tmp_path):
    script = imported_text(
        tmp_path,
        f"{HEAD}  variables: {{lang: [de]}}\n"
        "  socketio: {query: 'l={{ lang }}&u={{ set_by_function }}'}\n"
        "scenarios: [{engine: socketio, flow: [{emit: [x]}]}]\n",
    )
    assert "self.lang = 'de'\n    self.set_by_function = ''" in script.body("on_start")
    assert "{'l': self.lang, 'u': self.set_by_function}" in script.body("on_handshake")


def test_what_is_asked_for_before_it_is_known_is_empty(tmp_path, capsys):
    """In a loop's first turn, in a scenario beside the one that gets it, or because a function sets it."""
    get = "{emit: [page, '{{ cursor }}'], acknowledge: {capture: {json: $.0.next, as: cursor}}}"
    script = imported_text(
        tmp_path,
        f"{HEAD}scenarios:\n  - {{name: pages, engine: socketio, flow: [{{count: 2, loop: [{get}]}}]}}\n"
        "  - {name: other, engine: socketio, flow: [{emit: [x, '{{ cursor }}']}, "
        "{emit: [y, '{{ me.id }}', '{{ me.tags[0] }}']}]}\n",
    )
    starts = [ast.unparse(node) for node in ast.walk(script.tree) if getattr(node, "name", "") == "on_start"]
    assert all("self.cursor = ''" in start for start in starts) and len(starts) == 2
    assert "self.me: Any = {'id': '', 'tags': {0: ''}}" in starts[1]
    assert "self.cursor = first_of(answer)['next']" in script.body("pages")
    assert "(self.me['id'], self.me['tags'][0])" in script.body("other")
    assert "{{ me }}: nothing sets it before it is used" in capsys.readouterr().out


def test_an_answer_may_be_compared_with_anything(tmp_path):
    (tmp_path / "users.csv").write_text("ann\n")
    script = imported_text(
        tmp_path,
        f"{HEAD}  payload: {{path: users.csv, fields: [user]}}\nscenarios: [{{engine: socketio, flow: ["
        "{emit: [x], response: {on: y, data: '{{ user }}'}}, "
        "{emit: [x], response: {on: y, data: '{{ $randomNumber(1,9) }}'}}]}]\n",
    )
    assert "self.users_row = next(users)" in script.body("on_start")
    assert "where=lambda *args: str(self.users_row['user']) in str(args[-1])" in script.body("user")
    assert "f'{random.randint(1, 9)}' in str(args[-1])" in script.body("user")


def test_scripts_that_say_more_are_formatted_as_well(tmp_path):
    """A loop whose element nobody asks for, quotes within quotes, a call that just fits."""
    wide = "x" * 40
    imported_text(
        tmp_path,
        f"{HEAD}  variables: {{name: [ann]}}\nscenarios: [{{engine: socketio, flow: ["
        "{over: [a, b], loop: [{emit: [x]}]}, "
        "{emit: [y, '\"{{ name }}\" {{ $processEnvironment.HOME }}']}, "
        f"{{emit: [{wide}, {{a: {wide[:22]}, b: 12345}}]}}]}}]\n",
    )
    text = (tmp_path / "out" / "locustfile.py").read_text()
    assert 'for _ in ["a", "b"]:' in text
    assert 110 in map(len, text.splitlines())
    assert faults(tmp_path / "out") == ""


def test_users_of_http_alone_are_said_to_connect(tmp_path, capsys):
    imported_text(tmp_path, f"{HEAD}scenarios: [{{name: browse, flow: [{{get: {{url: /}}}}]}}]\n")
    assert "scenario browse: its users open a session too" in capsys.readouterr().out


def test_users_of_http_that_emit_join_their_namespaces(tmp_path):
    """Artillery refuses a scenario that leaves its engine out, but what is meant is plain."""
    flow = "[{get: {url: /}}, {emit: [x], namespace: /chat, acknowledge: true}]"
    script = imported_text(tmp_path, f"{HEAD}scenarios: [{{flow: {flow}}}]\n")
    assert "self.sio.connect(namespaces=['/', '/chat'])" in script.body("on_start")


def test_users_of_http_alone_connect_as_the_others_do(tmp_path):
    """A server that asks who they are refuses them else, and who is refused makes no request."""
    auth = "  socketio: {auth: {name: ann}}\n"
    script = imported_text(tmp_path, f"{HEAD}{auth}scenarios: [{{flow: [{{get: {{url: /}}}}]}}]\n")
    assert "self.sio.connect(auth={'name': 'ann'})" in script.body("on_start")


# Said to a real server.

PEERS_OF_BENCH = serverkit.ROOT / "tests" / "benchmarks" / "node_modules"
#: Artillery of the benchmarks (`make bench-peers`), with the Node that it wants.
ARTILLERY = PEERS_OF_BENCH / "artillery" / "bin" / "run"
QUICK = ("acknowledge", "response", "http")


def heard(server: serverkit.Server, environment: str) -> list[Any]:
    """What a server was told; what is made by chance is `#`, and no argument is as good as none."""

    def masked(value: Any, event: str) -> Any:
        if event == "made" and isinstance(value, str) and re.fullmatch(r"3|\w{4}", value):
            return "#"
        return "#" if event == "where" and value in ("", None, environment or "local", "undefined") else value

    seen = []
    for namespace, event, args in serverkit.http_json(f"{server.url}/seen"):
        while args and args[-1] is None:
            args.pop()
        if namespace == "http" and args and args[0][:1] == "{":
            args = [json.dumps(json.loads(args[0]), separators=(",", ":"))]
        seen.append((namespace, event, [masked(arg, event) for arg in args]))
    return seen


@pytest.fixture
def recorder(servers):
    server = servers("recorder")
    server.reset()
    return server


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.verify) for name in PEERS]
)
def test_server_hears_what_the_script_says(recorder, tmp_path, name):
    peer = PEERS[name]
    path = written(name, tmp_path, recorder.url)
    done = serverkit.run_sioload(imported(path, peer), 30, cwd=tmp_path)
    assert done.code == 0, done.text
    args = ["-f", "out/locustfile.py", "--headless", "--only-summary"]
    run = serverkit.run_locust(args, cwd=tmp_path, env={"PEER_NAME": "peer"})
    assert run.code == 0, run.text
    assert heard(recorder, peer.environment) == peer.heard


@pytest.mark.verify
@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if not peer.alone])
def test_artillery_itself_says_the_same(recorder, tmp_path, name):
    node = next((str(path) for path in PEERS_OF_BENCH.glob("node-linux-*/bin/node")), None)
    if node is None or not ARTILLERY.exists():
        # Not `serverkit.missing`, which fails in CI: 460 packages of a peer that nothing else needs.
        pytest.skip("Artillery isn't installed (make bench-peers)")
    peer = PEERS[name]
    path = written(name, tmp_path, recorder.url)
    argv = [node, str(ARTILLERY), "run", *(["-e", peer.environment] if peer.environment else []), str(path)]
    env = {"PEER_NAME": "peer", "ARTILLERY_DISABLE_TELEMETRY": "true", "HOME": str(tmp_path)}
    done = serverkit.run(argv, 60, cwd=tmp_path, env=env)
    assert heard(recorder, peer.environment) == peer.heard, done.text


def test_requests_go_to_the_server_that_users_are_sent_to(recorder, tmp_path):
    """Those of `{{ target }}/...` went to the target of the script, whatever `--host` was."""
    urls = ("{{ target }}/rooms", "{{ target }}", "http://127.0.0.1:1/rooms/{{ room }}/x")
    flow = ", ".join(f"{{get: {{url: '{url}'}}}}" for url in urls)
    (tmp_path / "script.yml").write_text(
        "config: {target: 'http://127.0.0.1:1', variables: {room: [r-1]}}\n"
        f"scenarios: [{{engine: socketio, flow: [{flow}, {{emit: [done]}}]}}]\n"
    )
    assert main(["import", str(tmp_path / "script.yml"), "-o", str(tmp_path / "out")]) == 0
    argv = ["try", "out/locustfile.py", "--host", recorder.url, "--seconds", "1"]
    run = serverkit.run_sioload(argv, cwd=tmp_path)
    assert run.code == 0, run.text
    got = [("http", f"GET {path}", []) for path in ("/rooms", "/", "/rooms/r-1/x")]
    assert [tuple(each) for each in heard(recorder, "")] == [*got, ("/", "done", [])]
