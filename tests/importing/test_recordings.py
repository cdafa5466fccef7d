"""Recordings of browsers become scripts that a careful person would have written."""

from __future__ import annotations

import ast
import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
import serverkit
from importkit import (
    BEGUN,
    RECORDINGS,
    Script,
    Sent,
    asked,
    conversation_of,
    faults,
    joined,
    script_of,
    socket,
    source_of,
    spelt,
)

from sioload.cli.main import main
from sioload.errors import UsageError
from sioload.importing import har, recorded, script
from sioload.socketio.packet import Packet, PacketType
from sioload.socketio.parsers import MsgpackParser

#: What the recorded user confided, or was confided.
SECRETS = ("a78a05d9982cb7b788f6a55a", "42c460cbd271", "pw-ann", "UOG2-UamRMkxUdJRAAAA")


@pytest.fixture(scope="module")
def chat() -> Script:
    return Script(source_of(conversation_of("chat.har")))


def test_a_chat_logs_in_and_joins_at_the_start(chat):
    start = chat.body("on_start")
    account = "{'user': self.account['user'], 'password': self.account['password']}"
    assert f"self.client.post('/api/login', json={account})" in start
    assert "token = answer['token']" in start
    assert "headers={'Authorization': f'Bearer {token}'}" in start
    assert "self.sio.connect(auth={'token': token}, namespaces=['/', '/chat'])" in start
    assert [sent for sent in chat.sent if sent.method == "on_start"] == [
        Sent("on_start", "call", "join", "self.room_id", "/chat")
    ]
    assert "self.room_id = answer[0]['id']" in start


def test_a_chat_does_what_was_done(chat):
    assert [sent for sent in chat.sent if sent.method == "conversation"] == [
        Sent("conversation", "emit", "typing", "self.room_id", "/chat"),
        Sent("conversation", "call", "message", "{'room': self.room_id, 'text': 'héllo €😀'}", "/chat"),
        Sent("conversation", "call", "react", "(message_id, '👍')", "/chat"),
        Sent("conversation", "call", "search", "'welcome'", "/chat", reply="search result"),
        Sent("conversation", "call", "upload", "('a.bin', b'\\x01\\x02\\x03\\xfa\\xff')", "/chat"),
        Sent("conversation", "call", "message", "{'room': self.room_id, 'text': 'bye'}", "/chat"),
    ]
    assert "message_id = answer['id']" in chat.body("conversation")
    assert chat.body("conversation").count("self.sio.sleep(") == 4


def test_a_chat_hears_what_came(chat):
    assert set(chat.handlers) == {"hello", "presence", "clock", "message", "confirm", "confirmed"}
    assert chat.handlers["message"].sent_at == "lambda data: data['ts'] / 1000"
    assert chat.handlers["clock"].sent_at == "lambda data: data / 1000"
    assert chat.handlers["confirm"].returns == "'yes'"
    assert [heard.sent_at for heard in chat.handlers.values()].count("") == 4


def test_repeats_are_a_loop():
    polls = Script(source_of(conversation_of("polls-ws.har")))
    body = polls.body("conversation")
    assert "for item in [0, 1, 2]:\n        self.sio.call('vote', ('poll 7', item)" in body
    assert ("get stats", "stats") in [(sent.event, sent.reply) for sent in polls.sent]
    assert "'transports': ['websocket'], 'query': {'lang': 'de', 'who': 'zoë'}" in polls.text.replace(
        '"', "'"
    )


def test_pauses_may_be_shorter_or_left_out():
    assert "self.sio.sleep(0.55)" in source_of(conversation_of("chat.har", 0.5))
    assert "sleep" not in source_of(conversation_of("chat.har", 0.0))


def test_command_writes_a_script_and_keeps_secrets_to_the_feed(tmp_path, capsys):
    for name in ("chat", "polls-ws"):
        folder = tmp_path / name.partition("-")[0]
        assert main(["import", str(RECORDINGS / f"{name}.har"), "-o", str(folder)]) == 0
    out = capsys.readouterr().out
    script = (tmp_path / "chat" / "locustfile.py").read_text()
    assert [secret for secret in SECRETS if secret in script + out] == []
    assert (tmp_path / "chat" / "accounts.csv").read_text() == "user,password\nann,pw-ann\n"
    assert f"sioload try {tmp_path / 'chat' / 'locustfile.py'}" in out
    assert "raise_for_status()" in script.partition("/api/login")[2].partition(".json()")[0]
    assert "POST /api/login" in out and "search > search result" in out
    assert not (tmp_path / "polls" / "accounts.csv").exists()
    assert faults(tmp_path) == ""
    assert max(map(len, script.splitlines())) < 110


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "accounts.csv").write_text("mine")
    assert main(["import", str(RECORDINGS / "chat.har"), "-o", str(tmp_path)]) == 2
    assert "accounts.csv is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["accounts.csv"]


@pytest.mark.parametrize("packed", [b"PK\3\4\x14\0\xff", gzip.compress(b"{}")], ids=["zip", "gzip"])
def test_a_packed_recording_is_told_as_that(tmp_path, packed, capsys):
    """As Playwright's `recordHar` writes it into a file named .zip."""
    (tmp_path / "page.har.zip").write_bytes(packed)
    assert main(["import", str(tmp_path / "page.har.zip"), "-o", str(tmp_path / "out")]) == 2
    assert "page.har.zip is packed (zip or gzip): unpack it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "not a HAR file"),
        (b"[]", "not a HAR file"),
        (b'{"log": {"entries": 5}}', "not a HAR file"),
        (b"[" * 100_000, "not a HAR file"),
        (json.dumps({"log": {"creator": {"name": "Firefox", "version": "9"}, "entries": [{}]}}).encode(),
         "no Socket.IO traffic with its frames (written by Firefox 9): record with Chrome"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_in_a_line(tmp_path, capsys, content, said):
    (tmp_path / "a.har").write_bytes(content)
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_event_answers_its_emit_whatever_came_between():
    answered = joined(0.0, (1.0, "send", '42["join","room1"]'), (1.2, "receive", '42["joined","room1"]'))
    script = script_of(answered, asked(1.1, "GET", "/rooms"))
    assert Sent("on_start", "call", "join", "'room1'", reply="joined") in script.sent
    assert "joined" not in script.handlers


def test_an_event_answers_its_emit_after_a_reconnect():
    """Engine.IO 3 says nothing when the root namespace is joined again."""
    hello = '0{"sid":"%s","pingInterval":25000,"pingTimeout":5000}'
    first = socket(3, 0.0, (0.0, "receive", hello % "a"), (1.0, "send", '42["join","room1"]'))
    again = socket(3, 1.4, (1.5, "receive", hello % "b"), (1.6, "receive", '42["joined","room1"]'))
    assert Sent("on_start", "call", "join", "'room1'", reply="joined") in script_of(first, again).sent


def test_the_page_that_a_redirect_led_to_is_not_asked_for_twice():
    """What a server says is a path most times, and so it stands in the file."""
    moved = {"status": 302, "redirectURL": "/home#top"}
    script = script_of(
        asked(-3.0, "POST", "/login", **moved),
        asked(-2.9, "GET", "/home"),
        asked(-1.0, "GET", "/home"),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    start = script.body("on_start")
    assert start.count("self.client.post('/login')") == start.count("self.client.get('/home')") == 1


def test_pages_are_left_out_where_the_file_does_not_call_them_so():
    page, image = ({"content": {"mimeType": mime}} for mime in ("text/html; charset=utf-8", "image/png"))
    script = script_of(
        asked(-3.0, "GET", "/", "", **page),
        asked(-2.9, "GET", "/logo", "", **image),
        asked(-2.0, "GET", "/api/me", ""),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    assert script.text.count("self.client.") == script.text.count('self.client.get("/api/me")') == 1


def test_what_a_handshake_had_was_not_said_after_it():
    """A server that tells the user's own id again is no source of it."""
    entry = joined(0.0, (1.0, "receive", '42["you",{"id":"u-83a7f1c2"}]'), (2.0, "send", '42["a"]'))
    entry["request"]["url"] += "&id=u-83a7f1c2"
    script = script_of(entry)
    assert (
        'options = {"version": 4, "transports": ["websocket"], "query": {"id": "u-83a7f1c2"}}' in script.text
    )
    assert "on_handshake" not in script.methods


def test_another_connection_is_made_when_its_query_is_known():
    got = joined(0.0, (0.1, "send", '420["login"]'), (0.2, "receive", '430[{"ticket":"t-83a7f1c2d5e9"}]'))
    other = joined(0.25, (1.0, "send", '42["a"]'))
    other["request"]["url"] = other["request"]["url"].replace("//h/", "//g/") + "&ticket=t-83a7f1c2d5e9"
    start = script_of(got, other).body("on_start").splitlines()
    made = next(n for n, line in enumerate(start) if "self.other = self.another_client(" in line)
    assert "'query': {'ticket': self.ticket}" in start[made] and "self.other.connect()" in start[made + 1]
    assert any("self.ticket = answer['ticket']" in line for line in start[:made])


@pytest.mark.parametrize("pace, paused", [(1.0, [4.8, 5]), (0.5, [2.4, 2.5]), (0.0, [])])
def test_pauses_before_a_late_connection_are_kept(pace, paused):
    """What came before it is done at the start; it was done in one go."""
    ticket = (0.11, "receive", '430[{"ticket":"t-83a7f1c2d5e9"}]')
    emits = (0.2, "send", '42["a"]'), (5.0, "send", '42["b"]')
    got = joined(0.0, (0.1, "send", '420["login"]'), ticket, *emits)
    other = joined(10.0, (11.0, "send", '42["c"]'))
    other["request"]["url"] = other["request"]["url"].replace("//h/", "//g/") + "&ticket=t-83a7f1c2d5e9"
    data = json.dumps({"log": {"entries": [asked(-4.0, "POST", "/login"), got, other]}}).encode()
    made = Script(source_of(recorded.understand(har.read_har(data, "small.har"), "small.har", pace)))
    start = made.body("on_start")
    assert [float(text.partition(")")[0]) for text in start.split("self.sio.sleep(")[1:]] == paused
    assert start.index("emit('b')") < start.index("self.other.connect")


def test_a_connection_made_late_leaves_what_came_before_it_in_the_task():
    """A second tab: all that was done in the first one was done once, at the start."""
    got = joined(0.0, (1.0, "send", '42["a"]'), (5.0, "send", '42["b"]'), (12.0, "send", '42["c"]'))
    other = joined(10.0, (11.0, "send", '42["d"]'))
    other["request"]["url"] = other["request"]["url"].replace("//h/", "//g/")
    script = script_of(got, other)
    start = script.body("on_start")
    assert start.index("self.sio.connect()") < start.index("self.other.connect()")
    assert {sent.event: sent.method for sent in script.sent} == dict.fromkeys("abdc", "conversation")
    assert "sleep(4)" in script.body("conversation") and "sleep" not in start


def test_a_handler_may_be_called_before_a_task_knows_its_answer():
    script = script_of(
        joined(
            0.0,
            (1.0, "send", '420["get"]'),
            (1.1, "receive", '430[{"id":"m-83a7f1c2d5e9"}]'),
            (2.0, "receive", '427["confirm"]'),
            (2.1, "send", '437["m-83a7f1c2d5e9"]'),
        )
    )
    assert script.handlers["confirm"].returns == "self.get_id"
    assert "self.get_id: Any = None" in script.body("on_start")


@pytest.mark.parametrize("before", [{}, {"$schema": "har", "comment": ["log"]}])
@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
def test_a_recording_is_known_by_what_is_in_it(tmp_path, capsys, indent, before):
    """Whatever its file is called, and whichever key is its first."""
    entries = [joined(0.0, (1.0, "send", '42["a"]'))]
    har = {**before, "log": {"entries": entries}}
    (tmp_path / "session.json").write_text(json.dumps(har, indent=indent))
    assert main(["import", str(tmp_path / "session.json"), "-o", str(tmp_path / "out")]) == 0


def opened(begun: float, sid: str, *frames: tuple[float, str, str]) -> dict[str, Any]:
    """The websocket of a session in whose namespace the user has this id; it lasts as long as its frames."""
    opening = (
        ("receive", f'0{{"sid":"{sid}"}}'),
        ("send", "40"),
        ("receive", f'40{{"sid":"sock-{sid}"}}'),
    )
    return socket(4, begun, *((begun + n / 100, *each) for n, each in enumerate(opening)), *frames)


@pytest.mark.parametrize("offset", ['"1795858352866-0"', "null"])
def test_a_script_has_nothing_to_do_with_the_recovery_of_sessions(offset):
    """The ids of a lost one, and what stands behind each event: a run hides them from its script."""
    entry = socket(
        4,
        0.0,
        (0.0, "receive", '0{"sid":"s"}'),
        (0.1, "send", '40{"pid":"lost-4f6a","offset":"1795858352861-0","name":"ann"}'),
        (0.2, "receive", '40{"sid":"n","pid":"lost-4f6a"}'),
        (1.0, "send", '42["seat","a1"]'),
        (1.1, "receive", f'42["seat",{{"id":"seat-4d5e6f"}},{offset}]'),
        (2.0, "receive", f'42["news","a text",{offset}]'),
        (3.0, "send", '42["take","seat-4d5e6f"]'),
    )
    script = script_of(entry)
    assert "self.sio.connect(auth={'name': 'ann'})" in script.body("on_start")
    assert 'answer["id"]' in script.text and "def on_news(self, data: Any)" in script.text


def test_what_is_known_since_a_reconnect_is_known_since_the_start():
    """What the script doesn't do again keeps what was used of it: an id, an answer, an event."""

    def joins(at: float, n: int, token: str, seat: str) -> tuple[tuple[float, str, str], ...]:
        return (
            (at, "send", f'42{n}["join","lobby"]'),
            (at + 0.1, "receive", f'43{n}[{{"token":"{token}"}}]'),
            (at + 0.2, "receive", f'42["seat",{{"id":"{seat}"}}]'),
        )

    first = opened(0.0, "a1b2c3", *joins(0.1, 0, "tok-9f8a7b6c5d4e", "seat-1a2b3c"))
    again = opened(
        5.0,
        "d4e5f6",
        *joins(5.1, 1, "tok-0a1b2c3d4e5f", "seat-4d5e6f"),
        (7.0, "send", '42["use","sock-d4e5f6","tok-0a1b2c3d4e5f","seat-4d5e6f"]'),
    )
    script = script_of(first, again)
    used = next(sent for sent in script.sent if sent.event == "use")
    names = [each.strip("() ") for each in used.data.split(",")]
    assert all(name.startswith("self.") for name in names)
    socket_id, token, seat = names
    assert f"{socket_id} = self.sio.get_sid()" in script.body("on_start")
    joined_again = script.body("on_connected")
    assert f"{token} = answer['token']" in joined_again and f"{seat} = found.args['id']" in joined_again


def test_the_id_of_a_session_of_2_x_is_sent_as_its_own(servers, tmp_path):
    """Its namespaces have no ids of their own, and the script sent null."""
    frames = (
        (0.0, "receive", '0{"sid":"uk0FJeaMTGLmeRtTAAAB","pingInterval":25000,"pingTimeout":5000}'),
        (0.1, "receive", "40"), (0.5, "send", '42["echo",{"me":"uk0FJeaMTGLmeRtTAAAB"}]'),
        (0.6, "receive", '42["echo",{"me":"uk0FJeaMTGLmeRtTAAAB"}]'),
    )  # fmt: skip
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [socket(3, 0.0, *frames)]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path)]) == 0
    argv = ["try", "locustfile.py", "--host", servers("sio2").url, "--seconds", "0.5"]
    run = serverkit.run_sioload([*argv, "--json", "--show-secrets", "--full"], cwd=tmp_path)
    assert run.code == 0, run.text
    texts = [json.loads(line).get("text", "") for line in run.out.splitlines()]
    (sid,) = [json.loads(text[1:])["sid"] for text in texts if text[:2] == "0{"]
    assert [text for text in texts if "echo" in text][:1] == [f'42["echo",{{"me":"{sid}"}}]']


def test_an_auth_that_a_further_namespace_has_is_named(tmp_path, capsys):
    frames = (
        (0.0, "receive", '0{"sid":"s"}'), (0.1, "send", '40{"name":"ann"}'),
        (0.2, "receive", '40{"sid":"n"}'), (0.3, "send", '40/chat,{"name":"bob"}'),
        (0.4, "receive", '40/chat,{"sid":"m"}'), (1.0, "send", '42/chat,["a"]'),
    )  # fmt: skip
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [socket(4, 0.0, *frames)]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "\n  auth of further namespaces: all have that of the first\n" in left


def test_an_event_may_be_called_what_the_server_said():
    """Of another user's room, nobody listens to the recorded one's name."""
    script = script_of(
        joined(
            0.0,
            (0.1, "send", '420["join"]'),
            (0.2, "receive", '430[{"roomId":"r-1a2b3c4d","seat_id":4711,"channel":"dashboard"}]'),
            (0.5, "send", '42["dashboard:open"]'),
            *((1.0 + n, "send", f'42["typing:r-1a2b3c4d",{n}]') for n in range(3)),
            (5.0, "send", '42["seat:4711:left"]'),
            (6.0, "send", '42["typing:r-9z8y7x6w",1]'),
        )
    )
    body = script.body("conversation")
    room = spelt("self.sio.emit(f'typing:{self.room_id}', item, name='typing:[...]')")
    assert "for item in [0, 1, 2]:" in body and room in body
    assert spelt("self.sio.emit(f'seat:{self.seat_id}:left', name='seat:[...]:left')") in body
    assert "self.sio.emit('typing:r-9z8y7x6w', 1)" in body
    assert 'self.sio.emit("dashboard:open")' in script.text, "a word is nobody's own"


def test_an_ack_belongs_to_the_session_whose_id_it_has():
    """Ids begin anew after a reload: the ack of the second page was taken for that of the first's."""
    lost = opened(0.0, "one", (1.0, "send", '420["first",1]'), (1.2, "receive", '425["ask"]'))
    page = opened(
        3.0, "two", (4.0, "send", '420["second",2]'), (4.1, "receive", '430[{"ok":true}]'),
        (4.2, "send", '435["late"]'),
    )  # fmt: skip
    script = script_of(lost, page)
    assert [(sent.verb, sent.event) for sent in script.sent] == [("emit", "first"), ("call", "second")]
    assert "late" not in script.text


@pytest.mark.parametrize(
    "fields, sent",
    [
        ({"a b": "c&d=é", "x": "100%+1"}, {"a b": "c&d=é", "x": "100%+1"}),
        ({"a+b": "c%26d", "x": "%C3%A9"}, {"a b": "c&d", "x": "é"}),
        ({"user": "ann", "empty": ""}, {"user": "ann", "empty": ""}),
    ],
)
def test_a_form_may_be_in_a_file_by_its_fields_alone(fields, sent):
    """Parsed, as HAR wants them, or as they were sent."""
    form = asked(0.5, "POST", "/form")
    params = [{"name": name, "value": value} for name, value in fields.items()]
    form["request"]["postData"] = {"mimeType": "application/x-www-form-urlencoded", "params": params}
    script = script_of(form, joined(1.0, (2.0, "send", '42["a"]')))
    assert f"self.client.post('/form', data={sent!r})" in script.body("on_start")


@pytest.mark.parametrize(
    "page, other, same",
    [
        ("shop.co.uk", "ads.co.uk", False), ("shop.co.uk", "api.shop.co.uk", True),
        ("www.shop.com", "api.shop.com", True), ("shop.com.au", "tracker.com.au", False),
        ("www.id.me", "api.id.me", True), ("a.t.co", "b.t.co", True),
    ],
)  # fmt: skip
def test_a_site_is_what_one_owner_has(page, other, same):
    """Names below co.uk and the like are of many: their requests, and cookies, were taken for the page's."""
    call = asked(0.5, "POST", "/api")
    call["request"]["url"] = f"http://{other}/api"
    session = joined(1.0, (2.0, "send", '42["a"]'))
    session["request"]["url"] = f"ws://{page}/socket.io/?EIO=4&transport=websocket"
    assert (f"http://{other}/api" in script_of(call, session).text) == same


def test_what_another_connection_is_asked_for_is_answered():
    """`@on` is for the first connection alone."""
    first = joined(0.0, (3.0, "send", '42["a"]'))
    second = socket(
        4,
        1.0,
        (1.0, "receive", '0{"sid":"t"}'),
        (1.1, "send", "40/chat,"),
        (1.2, "receive", '40/chat,{"sid":"m"}'),
        (2.0, "receive", '42/chat,7["confirm","now"]'),
        (2.1, "send", '43/chat,7["yes"]'),
        (2.2, "receive", '42/chat,["news"]'),
    )
    script = script_of(first, second)
    assert "self.other.on('confirm', self.on_confirm, namespace='/chat')" in script.body("on_start")
    assert script.body("on_confirm").startswith("def on_confirm(self, data: Any) -> Any:")
    assert "return 'yes'" in script.body("on_confirm")
    assert "news" not in script.text and script.handlers == {}


def test_what_a_handshake_sent_beside_cookies_is_sent():
    """By that connection alone: others may go to another server."""
    entry = joined(0.0, (1.0, "send", '42["a"]'))
    other = joined(0.5, (1.5, "send", '42["b"]'))
    other["request"]["url"] = other["request"]["url"].replace("//h/", "//g/")
    entry["request"]["headers"] = [
        {"name": name, "value": value}
        for name, value in (("Authorization", "Bearer abcd1234"), ("X-Tenant", "blue"), ("Accept", "*/*"))
    ]
    script = script_of(entry, other)
    told = spelt("""{'Authorization': f"Bearer {self.account['token']}", 'X-Tenant': 'blue'}""")
    start = script.body("on_start")
    assert f"self.sio.connect(headers={told})" in start and "self.other.connect()" in start
    assert "on_handshake" not in script.methods


def test_a_number_of_an_answer_is_known_in_a_url():
    script = script_of(
        asked(-3.0, "POST", "/rooms", content={"mimeType": "application/json", "text": '{"id": 47}'}),
        asked(-2.5, "GET", "/rooms/47/users?room=47&limit=47"),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    assert (
        "self.client.get(f'/rooms/{room_id}/users?room={room_id}&limit=47', name='/rooms/[...]/users')"
    ) in script.body("on_start")


def test_a_number_of_an_answer_is_known_in_a_query_and_in_a_name():
    entry = joined(0.0, (1.0, "send", '42["join","item:4711"]'), (1.1, "send", '42["leave","item:4711.5"]'))
    entry["request"]["url"] += "&item=4711"
    answer = {"mimeType": "application/json", "text": '{"item": {"id": 4711}}'}
    script = script_of(asked(-3.0, "POST", "/items", content=answer), entry)
    assert "request.query.update({'item': self.item_id})" in script.body("on_handshake")
    assert [sent.data for sent in script.sent] == ["f'item:{self.item_id}'", "'item:4711.5'"]


@pytest.mark.parametrize("body", [{}, {"postData": {"mimeType": "multipart/form-data", "text": ""}}])
def test_a_body_that_is_not_in_the_file_is_named(tmp_path, capsys, body):
    """Browsers record no form with a file."""
    upload = asked(-3.0, "POST", "/upload")
    upload["request"] |= body
    upload["request"]["headers"] = [{"name": "Content-Length", "value": "280"}]
    log = {"entries": [upload, joined(0.0, (1.0, "send", '42["a"]'))]}
    (tmp_path / "a.har").write_text(json.dumps({"log": log}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "\n  bodies of POST /upload that aren't in the file: it is sent without\n" in left


@pytest.mark.parametrize(
    "written",
    [
        lambda at: at * 1000,
        lambda at: at * 1_000_000,
        str,
        lambda at: datetime.fromtimestamp(at, UTC).isoformat(),
        lambda at: None,
    ],
    ids=["ms", "us", "text", "iso", "none"],
)
def test_frames_stand_where_they_were_however_their_time_is_written(tmp_path, capsys, written):
    """A time that isn't understood put all frames of a session before everything else."""
    entry = joined(0.0, (1.0, "send", '42["a"]'), (1.5, "receive", ""), (2.0, "send", '42["b"]'))
    for frame in entry["_webSocketMessages"]:
        frame["time"] = written(frame["time"])
        frame["opcode"] = 1 if frame["data"] else 8
    log = {"entries": [asked(-3.0, "POST", "/login"), entry]}
    (tmp_path / "a.har").write_text(json.dumps({"log": log}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    script = (tmp_path / "out" / "locustfile.py").read_text()
    places = [script.index(step) for step in ('post("/login")', 'emit("a")', 'emit("b")')]
    assert places == sorted(places)
    assert "Left out" not in capsys.readouterr().out


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_times_that_name_no_zone_are_of_the_clock_of_the_frames(tmp_path, zone):
    """Read in another zone, such a page logged in hours after it had talked, and slept until then."""
    sent = int((BEGUN + 2) * 1000)
    entries = [
        asked(-3.0, "POST", "/login"),
        joined(0.0, (1.0, "send", '42["a"]'), (2.0, "receive", f'42["b",{{"at":{sent}}}]')),
        asked(6.0, "POST", "/bye"),
    ]
    for entry in entries:
        entry["startedDateTime"] = entry["startedDateTime"].removesuffix("+00:00")
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    argv = ["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]
    done = serverkit.run_sioload(argv, 60, cwd=tmp_path, env={"TZ": zone})
    assert done.code == 0, done.text
    script = (tmp_path / "out" / "locustfile.py").read_text()
    places = [script.index(step) for step in ('post("/login")', 'emit("a")', 'post("/bye")')]
    assert places == sorted(places)
    assert "self.sio.sleep(5)" in script and "sent_at=" in script


def test_frames_may_be_timed_since_their_socket_was_opened():
    """They stood half a century before everything else."""
    entry = joined(0.0, (1.0, "send", '42["a"]'), (3.5, "send", '42["b"]'))
    for frame in entry["_webSocketMessages"]:
        frame["time"] -= BEGUN
    script = script_of(asked(-3.0, "POST", "/login"), entry)
    places = [script.text.index(step) for step in ('post("/login")', 'emit("a")', "sleep(2.5)", 'emit("b")')]
    assert places == sorted(places)


@pytest.mark.parametrize("text, binary", [("text", "binary"), ("TEXT", "BINARY"), ("1", "2")])
def test_an_opcode_may_be_a_name(tmp_path, capsys, text, binary):
    """A binary frame was taken for a text, and the event that it belonged to was lost."""
    announced = '451-["file",{"_placeholder":true,"num":0}]'
    entry = joined(
        0.0, (1.0, "send", announced), (1.0, "send", b64encode(b"abc").decode()), (2.0, "send", "x")
    )
    frames = entry["_webSocketMessages"]
    for frame in frames:
        frame["opcode"] = text
    frames[-2]["opcode"], frames[-1]["opcode"] = binary, "ping"
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    script = Script((tmp_path / "out" / "locustfile.py").read_text())
    assert [(sent.event, sent.data) for sent in script.sent] == [("file", "b'abc'")]
    assert "Left out" not in capsys.readouterr().out


def test_frames_that_cannot_be_read_are_named(tmp_path, capsys):
    """Those of another spelling were left out without a word, where others could be read."""
    entry = joined(0.0, (1.0, "send", '42["a"]'), (2.0, "sent", '42["b"]'), (3.0, "send", '42["c"]'))
    frames = entry["_webSocketMessages"]
    frames[-1]["payload"] = frames[-1].pop("data")
    frames.append({"type": "error", "opcode": -1, "data": "Invalid frame header", "time": BEGUN + 4})
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    left = capsys.readouterr().out.partition("Left out:")[2]
    assert "2 frames without a text, or whose type is neither `send` nor `receive`" in left


def test_events_of_another_connection_are_named(tmp_path, capsys):
    """They have no handler, and so no time of a push: handlers of a class are of its own connection."""
    one = joined(0.0, (1.0, "send", '42["a"]'), (2.0, "receive", '42["own"]'))
    two = joined(
        0.5, *((1.0 + n, "receive", '42/chat,["news",1]') for n in (0, 1)), (3.0, "receive", '421["q"]')
    )
    two["request"]["url"] += "&who=two"
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [one, two]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    told, _, left = capsys.readouterr().out.partition("Left out:")
    assert "events of the server's own: own (1)" in told
    assert "handlers of other connections' events, which are counted without: /chat news (2), q (1)" in left


def test_two_connections_to_one_server_are_each_asked_for_with_their_own_query(tmp_path):
    one = joined(0.0, (2.0, "send", '42["a"]'))
    two = joined(0.5, (2.1, "send", '42["b"]'))
    one["request"]["url"] += "&token=tok-9f8a7b6c5d4e&who=one"
    two["request"]["url"] += "&who=two"
    answer = {"mimeType": "application/json", "text": '{"token": "tok-9f8a7b6c5d4e"}'}
    script = script_of(asked(-1.0, "POST", "/login", content=answer), one, two)
    start = script.body("on_start")
    query = "urlencode({'token': self.token, 'who': 'one'})"
    assert f"self.sio.connect('?'.join([f'{{self.host}}', {query}]))" in start
    assert "'query': {'who': 'two'}" in start and "on_handshake" not in script.methods
    (tmp_path / "locustfile.py").write_text(script.text)
    assert faults(tmp_path) == ""


@pytest.mark.parametrize("kind, left", [("document", True), ("fetch", False)])
def test_a_page_that_a_user_goes_to_ends_the_session_of_the_last(kind, left):
    """Its connection wasn't lost: the next page makes one of its own, and the server forgets the rooms."""
    script = script_of(
        joined(0.0, (1.0, "send", '42["a"]'), (2.0, "send", '42["b"]')),
        asked(3.0, "GET", "/room", kind, content={"mimeType": "text/html"}),
        joined(4.0, (5.0, "send", '42["c"]')),
    )
    code = "".join(script.body(method) for method in script.methods)
    assert (code.count(".connect("), code.count(".disconnect(")) == ((2, 1) if left else (1, 0))
    assert ("was lost and came back" in script.text) != left


def test_a_session_that_was_refused_is_not_made():
    """A page whose token is too old gets another one, and comes back with that."""
    refused = socket(
        4,
        -3.0,
        (-2.9, "receive", '0{"sid":"old"}'),
        (-2.8, "send", '40{"token":"too-old-token"}'),
        (-2.7, "receive", '44{"message":"jwt expired"}'),
    )
    again = socket(
        4,
        0.0,
        (0.0, "receive", '0{"sid":"s"}'),
        (0.1, "send", '40{"token":"a-fresh-token-1234"}'),
        (0.2, "receive", '40{"sid":"n"}'),
        (1.0, "send", '42["a"]'),
    )
    answer = {"mimeType": "application/json", "text": '{"token": "a-fresh-token-1234"}'}
    start = script_of(refused, asked(-2.0, "POST", "/refresh", content=answer), again).body("on_start")
    assert start.index("'/refresh'") < start.index("self.sio.connect(auth={'token': ")
    assert start.count(".connect(") == 1 and "account" not in start


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_left_out_is_counted_as_people_do(tmp_path, capsys, times):
    refused = [
        socket(4, -9.0 + n, (-8.9 + n, "receive", '0{"sid":"old"}'), (-8.8 + n, "send", "40"),
               (-8.7 + n, "receive", '44{"message":"no"}'))
        for n in range(times)
    ]  # fmt: skip
    other = [asked(0.0, "GET", "/x") | {"_resourceType": "websocket", "_webSocketMessages": []}] * times
    back = [joined(float(n), (n + 0.5, "send", f'42["a",{n}]')) for n in range(times + 1)]
    uploads = [asked(0.0, "POST", "/up") for _ in range(times)]
    for each in uploads:
        each["request"]["headers"] = [{"name": "Content-Length", "value": "280"}]
    for each in other:
        each["request"]["url"] = "ws://h/live-reload"
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [*refused, *other, *uploads, *back]}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    for one, more in (
        ("came back 1 time;", "came back 2 times;"),
        ("\n  1 session that the server refused\n", "\n  2 sessions that the server refused\n"),
        ("\n  bodies of POST /up that aren't", "\n  2 bodies of POST /up that aren't"),
        ("\n  1 websocket isn't Socket.IO's\n", "\n  2 websockets aren't Socket.IO's\n"),
    ):
        assert (one if times == 1 else more) in told


def test_a_namespace_may_refuse_first_and_an_event_later():
    """A page asks again with what it lacked; servers of 2.x refuse single events with the same packet."""
    entry = socket(
        4,
        0.0,
        (0.0, "receive", '0{"sid":"s"}'),
        (0.1, "send", "40/chat,"),
        (0.2, "receive", '44/chat,{"message":"who?"}'),
        (0.3, "send", '40/chat,{"name":"ann"}'),
        (0.4, "receive", '40/chat,{"sid":"n"}'),
        (1.0, "send", '42/chat,["a"]'),
        (1.1, "receive", '44/chat,"not so often"'),
    )
    script = script_of(entry)
    assert "connect(auth={'name': 'ann'}, namespaces=['/chat'])" in script.body("on_start")
    assert [(sent.event, sent.namespace) for sent in script.sent] == [("a", "/chat")]


def test_times_in_msgpack_are_what_was_sent(tmp_path):
    """JavaScript's `new Date()`: an extension, which JSON hasn't."""
    times = [msgpack.ExtType(0, bytes(8)), {"at": [msgpack.Timestamp(3, 4)]}]
    parser = MsgpackParser()
    opening = ("receive", PacketType.CONNECT, {"sid": "n"}), ("send", PacketType.EVENT, ["when", *times])
    frames = [
        {"type": way, "time": BEGUN + at, "opcode": 2,
         "data": b64encode(parser.encode(Packet(kind, "/", data))[0]).decode()}
        for at, (way, kind, data) in enumerate((("send", PacketType.CONNECT, None), *opening))
    ]  # fmt: skip
    entry = socket(4, 0.0, (0.0, "receive", '0{"sid":"s"}'))
    entry["_webSocketMessages"] += frames
    script = script_of(entry)
    at = "{'at': [msgpack.Timestamp(3, 4)]}"
    assert script.sent[0].data == f"(msgpack.ExtType(0, {bytes(8)!r}), {at})"
    (tmp_path / "locustfile.py").write_text(script.text)
    assert faults(tmp_path) == ""


def test_a_long_boundary_of_a_form_stays_whole():
    mime = "multipart/form-data; boundary=" + "----geckoformboundary" + 4 * "0a1b2c3d"
    upload = asked(-3.0, "POST", "/upload")
    upload["request"]["postData"] = {"mimeType": mime, "text": "--x\r\n"}
    assert len(mime) > 80
    assert f'"{mime}"' in script_of(upload, joined(0.0, (1.0, "send", '42["a"]'))).text


def posted(path: str, body: str, mime: str) -> dict[str, Any]:
    entry = asked(-3.0, "POST", path)
    entry["request"]["postData"] = {"mimeType": mime, "text": body}
    return entry


def test_requests_may_have_many_fields_and_deep_ones():
    """A table asks for each column with six parameters of its own; an editor sends its document."""
    deep = "[" * 700 + "]" * 700
    many = "&".join(f"columns%5B{n}%5D%5Bdata%5D={n}" for n in range(1200))
    script = script_of(
        asked(-4.0, "GET", f"/table?{many}", content={"mimeType": "application/json", "text": deep}),
        posted("/table", many, "application/x-www-form-urlencoded"),
        posted("/document", deep, "application/json"),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    start = script.body("on_start")
    assert "self.client.get(TEXT)" in start
    assert "data={'columns[0][data]': '0', " in start and "'Content-Type': 'application/json'" in start


def test_a_field_that_stands_twice_in_a_form_keeps_no_other_in_the_script():
    """As the hidden field behind a checkbox does, in the login of every Rails application."""
    login = "user%5Bemail%5D=ann%40h&user%5Bpassword%5D=pw-ann&user%5Bkeep%5D=0&user%5Bkeep%5D=1"
    script = script_of(
        posted("/users/sign_in", login, "application/x-www-form-urlencoded"),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    account = "'user[password]': self.account['user_password'], 'user[keep]': ['0', '1']}"
    assert account in script.body("on_start") and "pw-ann" not in script.text


def test_no_password_of_a_form_with_files_stays_in_the_script():
    """As `new FormData(form)` is sent, files or not."""
    fields = {"user": "ann", "password": "pw-ann", "note": "a\r\nb"}
    parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    file = '--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: t\r\n\r\n\r\n'
    body = "".join([*parts, file, "--x--\r\n"])
    script = script_of(
        posted("/login", body, "multipart/form-data; boundary=x"),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    assert "pw-ann" not in script.text and '"ann"' not in script.text
    call = next(node for node in ast.walk(script.methods["on_start"]) if isinstance(node, ast.keyword))
    names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name) and node.id.isupper()}
    known = {name: script.value(name) for name in names} | {"self": SimpleNamespace(account=fields)}
    sent = eval(ast.unparse(call.value), known)  # noqa: S307
    assert sent == body


def test_a_namespace_that_is_left_while_the_session_goes_on_is_named(tmp_path, capsys):
    """Not at its end, as every page does it that is closed."""
    chat = (0.1, "send", "40/chat,"), (0.2, "receive", '40/chat,{"sid":"m"}'), (1.0, "send", '42/chat,["a"]')
    left = (2.0, "send", "41/chat,")
    for number, more in enumerate([(), ((3.0, "send", '42["b"]'),)]):
        log = {"entries": [joined(0.0, *chat, left, *more)]}
        (tmp_path / "a.har").write_text(json.dumps({"log": log}))
        assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / f"out{number}")]) == 0
        said = "1 time that the browser left a namespace: the script stays in it"
        assert (said in capsys.readouterr().out) == bool(more)


def test_no_password_in_a_list_stays_in_the_script():
    """As one beside it, without a name to be known by, is taken for what it may be."""
    script = script_of(joined(0.0, (1.0, "send", '42["login",["ann","pw-ann"],"pw-too"]')))
    assert script.sent[0].data == "(['ann', self.account['token']], self.account['token_2'])"


def test_no_pin_that_is_a_number_stays_in_the_script(tmp_path, capsys):
    login = posted("/login", '{"user":"ann","pin":47110815}', "application/json")
    entries = [login, joined(0.0, (1.0, "send", '42["again",{"code":47110815,"n":1000}]'))]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    assert main(["import", str(tmp_path / "a.har"), "-o", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "locustfile.py").read_text()
    assert "47110815" not in text + capsys.readouterr().out
    assert Script(text).sent[0].data == "{'code': int(self.account['pin']), 'n': 1000}"
    assert (tmp_path / "out" / "accounts.csv").read_text() == "user,pin\nann,47110815\n"


def test_half_a_character_may_stand_in_a_file_beside_the_script():
    deep = '[[[[[["\\ud83d"]]]]]]'
    data = json.dumps({"log": {"entries": [joined(0.0, (1.0, "send", f'42["a",{deep}]'))]}}).encode()
    files = script.write(recorded.understand(har.read_har(data, "small.har"), "small.har", 1.0))
    (name,) = files.keys() - {"locustfile.py"}
    assert json.loads(files[name]) == ["\ud83d"]


def test_a_recording_without_frames_is_none():
    """Polling has the handshake, and what was said after the upgrade isn't there: so Firefox writes it."""
    opening = asked(0.0, "GET", "/socket.io/?EIO=4&transport=polling", "")
    opening["response"]["content"]["text"] = '0{"sid":"s","upgrades":["websocket"]}'
    join = asked(0.1, "POST", "/socket.io/?EIO=4&transport=polling&sid=s", "")
    join["request"]["postData"] = {"mimeType": "text/plain", "text": "40"}
    upgrade = asked(0.2, "GET", "/socket.io/?EIO=4&transport=websocket&sid=s", "", status=101)
    upgrade["request"]["url"] = upgrade["request"]["url"].replace("http:", "ws:")
    with pytest.raises(UsageError, match=r"no Socket\.IO traffic with its frames"):
        script_of(opening, join, upgrade)
    refused = {**upgrade, "response": {"status": 400}}
    assert "listen" in script_of(opening, join, refused).methods
    polled = asked(0.15, "GET", "/socket.io/?EIO=4&transport=polling&sid=s", "")
    polled["response"]["content"]["text"] = '42["news"]'
    data = json.dumps({"log": {"entries": [opening, join, polled, upgrade]}}).encode()
    recording = har.read_har(data, "small.har")
    said = "websockets whose frames aren't in the file (Chrome and Playwright 1.61 record them)"
    assert recording.unread == {said: 1}
    conversation = recorded.understand(recording, "small.har", 1.0)
    assert conversation.left_out[-1] == said


def test_a_task_has_the_answers_that_its_steps_use():
    """What is done five times makes tasks of all that is done; they come in any order."""
    polls = [(1.0 + n, "send", '42["poll"]') for n in range(5)]
    script = script_of(
        joined(
            0.0,
            *polls,
            (10.0, "send", '420["first"]'),
            (10.1, "receive", '430[{"id":"f-83a7f1c2d5e9"}]'),
            (11.0, "send", '421["second"]'),
            (11.1, "receive", '431[{"id":"s-83a7f1c2d5e9"}]'),
            (12.0, "send", '42["use","f-83a7f1c2d5e9"]'),
            (13.0, "send", '42["use both","s-83a7f1c2d5e9"]'),
        )
    )
    methods = {sent.event: sent.method for sent in script.sent}
    assert methods["poll"] not in {methods["first"]}
    assert len({methods[event] for event in ("first", "second", "use", "use both")}) == 1
    assert "first_id = answer['id']" in script.body(methods["first"])


def test_what_differs_beside_a_time_is_chosen_by_chance():
    """An object with a time stamp said the same as the first time, each time."""
    said = [
        (2.0 + n, "send", f'42["say",{{"text":"t{n}","at":{round((BEGUN + 2 + n) * 1000)}}}]')
        for n in range(5)
    ]
    script = script_of(joined(0.0, *said))
    text = "random.choice(['t0', 't1', 't2', 't3', 't4'])"
    assert script.sent[0].data == f"{{'text': {text}, 'at': round(stamp() * 1000)}}"


def test_a_handler_answers_with_what_a_task_got_in_any_of_its_turns():
    got = [
        each
        for n in range(5)
        for each in (
            (2.0 + n, "send", f'42{n}["get"]'),
            (2.1 + n, "receive", f'43{n}[{{"id":"id-83a7f1c2-{n}"}}]'),
        )
    ]
    ask = (6.5, "receive", '427["confirm"]'), (6.6, "send", '437["id-83a7f1c2-4"]')
    script = script_of(joined(0.0, (0.1, "send", '42["a"]'), *got, *ask, (9.0, "send", '42["a"]')))
    task = next(sent.method for sent in script.sent if sent.event == "get")
    assert f"{script.handlers['confirm'].returns} = answer['id']" in script.body(task)


def test_what_an_answer_said_is_known_as_a_url_writes_it(tmp_path):
    """And written so: a `+` that isn't would be a space to the server."""
    told = {"mimeType": "application/json", "text": '{"token": "a1b2+c3/d4=="}'}
    script = script_of(
        asked(-3.0, "POST", "/login", content=told),
        asked(-2.5, "GET", "/me?filter=token%3Da1b2%2Bc3%2Fd4%3D%3D"),
        joined(0.0, (1.0, "send", '42["a"]')),
    )
    quoted = spelt("""f"/me?filter=token%3D{quote(token, safe='')}\"""")
    assert f"self.client.get({quoted}" in script.body("on_start")
    (tmp_path / "locustfile.py").write_text(script.text)
    assert faults(tmp_path) == ""


def test_what_looked_like_a_repeat_stays_as_it_was():
    """The first of its steps differ in a value, the second in more."""

    def posted(at: float, number: int) -> dict[str, Any]:
        entry = asked(at, "POST", "/vote")
        entry["request"]["postData"] = {"mimeType": "application/json", "text": f'{{"choice": {number}}}'}
        return entry

    votes = (1.0, "send", '42["vote","one"]'), (1.2, "send", '42["vote","two"]')
    script = script_of(joined(0.0, *votes), posted(1.1, 1), posted(1.3, 2))
    assert [sent.data for sent in script.sent] == ["'one'", "'two'"]
    assert script.text.count('json={"choice": ') == 2


def test_what_one_server_is_asked_with_no_other_is():
    """The hook is called for all connections of a user."""
    entry, other = joined(0.0, (1.0, "send", '42["a"]')), joined(0.5, (1.5, "send", '42["b"]'))
    entry["request"]["url"] += "&token=tok-9f8a7b6c5d4e"
    other["request"]["url"] = other["request"]["url"].replace("//h/", "//g/")
    body = script_of(entry, other).body("on_handshake").splitlines()[2:]
    assert [line.strip() for line in body] == [
        "if request.url.startswith('http://g/'):",
        "return",
        "request.query.update({'token': self.account['token']})",
    ]


def test_a_namespace_is_joined_with_its_own_query():
    """As clients of 1.x and 2.x do; what the session itself was asked with goes along with all of them."""
    entry = socket(
        3,
        0.0,
        (0.0, "receive", '0{"sid":"s"}'),
        (0.0, "receive", "40"),
        (0.1, "send", "40/chat?token=s%2Becret-1&lang=de&from=app,"),
        (0.2, "receive", "40/chat?token=s%2Becret-1&lang=de&from=app,"),
        (1.0, "send", '42/chat,["a"]'),
    )
    entry["request"]["url"] += "&from=app"
    script = script_of(entry)
    assert "s%2Becret" not in script.text and '"version": 2' in script.text
    joins = """namespaces=[f"/chat?token={self.account['token']}&lang=de"]"""
    assert joins in script.body("on_start") and script.sent[0].namespace == "/chat"


def test_a_namespace_is_joined_once_what_its_query_asks_for_is_known():
    """A connection made late is made with the first one, unless something between has what it needs."""
    asks = (3.0, "send", '420["ask"]'), (3.1, "receive", '430[{"key":"k-83a7f1c2d5e9"}]')
    got = joined(0.0, (0.2, "send", '42["a"]'), *asks, (9.0, "send", '42["c"]'))
    other = socket(
        3,
        6.0,
        (6.0, "receive", '0{"sid":"t"}'),
        (6.1, "send", "40/chat?key=k-83a7f1c2d5e9,"),
        (6.2, "receive", "40/chat?key=k-83a7f1c2d5e9,"),
        (7.0, "send", '42/chat,["b"]'),
    )
    start = script_of(got, other).body("on_start")
    joins = start.index("self.other.connect(namespaces=[f'/chat?key={ask_key}'])")
    assert start.index("ask_key = answer['key']") < joins


def test_a_namespace_of_0_9_is_joined_with_its_own_query():
    entry = socket(
        3,
        0.0,
        (0.0, "receive", "1::"),
        (0.1, "send", "1::/chat:?lang=de&room=a%20b"),
        (0.2, "receive", "1::/chat"),
        (1.0, "send", '5::/chat:{"name":"a"}'),
    )
    entry["request"]["url"] = "ws://h/socket.io/1/websocket/s"
    script = script_of(entry)
    assert "namespaces=['/chat?lang=de&room=a%20b']" in script.body("on_start")
    assert '"version": 0' in script.text and script.sent[0].namespace == "/chat"
