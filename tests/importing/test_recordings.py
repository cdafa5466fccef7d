"""Recordings of browsers become scripts that a careful person would have written."""

from __future__ import annotations

import json

import pytest
from importkit import RECORDINGS, Script, Sent, conversation_of, faults, source_of

from sioload.cli.main import main

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
