"""No secret of a file stands in a script, whatever it stood in there."""

from __future__ import annotations

import csv
import json

import pytest
from importkit import HEAD, Script, asked, imported_text, joined

from sioload.cli.main import main

#: Texts that tell a secret, S3cret-9x, and the column that it goes to.
TELLING = [
    ("user=ann&password=S3cret-9x&x=1", "password"),
    ("user: ann\npassword: S3cret-9x\n", "password"),
    ("<login><Password>S3cret-9x</Password></login>", "password"),
    ('<login user="ann" token="S3cret-9x"/>', "token"),
    ('say {"apiKey": "S3cret-9x"} to me', "api_key"),
    ("/join Bearer S3cret-9x now", "token"),
    ("see http://ann:S3cret-9x@host/path", "password"),
    ("callback=https://host/path?a=1&token=S3cret-9x", "token"),
]
#: Texts that don't.
PLAIN = ["my password is good", "token=true", "a=b", "Basic understanding", "ratio: 12", "pass the salt"]


def recording_of(text: str) -> str:
    post = asked(2, "POST", "/say")
    post["request"]["postData"] = {"mimeType": "text/plain", "text": text}
    get = asked(3, "GET", "/found?password=p%40s+s%2Fw&q=1")
    event = (4, "send", "42" + json.dumps(["said", {"text": text}, text]))
    return json.dumps({"log": {"creator": {"name": "hand"}, "entries": [joined(0, event), post, get]}})


@pytest.mark.parametrize("text, column", TELLING)
def test_a_secret_within_a_text_of_a_recording_is_in_the_account(tmp_path, capsys, text, column):
    (tmp_path / "page.har").write_text(recording_of(text))
    assert main(["import", str(tmp_path / "page.har"), "-o", str(tmp_path / "out")]) == 0
    source = (tmp_path / "out" / "locustfile.py").read_text()
    assert "S3cret" not in source + capsys.readouterr().out and "s%2Fw" not in source
    with open(tmp_path / "out" / "accounts.csv", newline="") as file:
        (account,) = csv.DictReader(file)
    assert account[column] == "S3cret-9x"
    sent = Script(source).sent[0].data
    data = eval(sent, {"self": type("User", (), {"account": account})})  # noqa: S307
    assert data == ({"text": text}, text)


def test_a_text_without_a_secret_stays_as_it_is(tmp_path):
    for number, text in enumerate(PLAIN):
        (tmp_path / "page.har").write_text(recording_of(text))
        assert main(["import", str(tmp_path / "page.har"), "-o", str(tmp_path / str(number))]) == 0
        sent = Script((tmp_path / str(number) / "locustfile.py").read_text()).sent[0].data
        assert eval(sent) == ({"text": text}, text)  # noqa: S307


@pytest.mark.parametrize("text, column", TELLING)
def test_a_secret_within_a_text_of_a_script_is_in_the_account(tmp_path, capsys, text, column):
    given = json.dumps(text)
    flow = (
        f"{{post: {{url: '/a?token=S3cret-8y&x={{{{ x }}}}', body: {given}}}}}, "
        f"{{emit: [said, {given}], acknowledge: {{data: {given}}}}}, "
        f"{{log: {given}, limit: 1}}, "
        "{emit: [x], acknowledge: {match: {json: $.0.pin, value: S3cret-8y}}}"
    )
    head = HEAD.replace("config:\n", "config:\n  variables: {x: 1}\n")
    script = imported_text(tmp_path, f"{head}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    assert "S3cret" not in script.text + capsys.readouterr().out
    with open(tmp_path / "out" / "accounts.csv", newline="") as file:
        (account,) = csv.DictReader(file)
    assert account[column] in ("S3cret-9x", "S3cret-8y") and "S3cret-9x" in account.values()
    assert eval(script.sent[0].data, {"self": type("User", (), {"account": account})}) == text  # noqa: S307


def test_secrets_of_one_key_have_columns_that_are_counted(tmp_path, capsys):
    """The third password was password_2_2."""
    flow = ", ".join(f"{{emit: [x, {{password: geheim-{n}}}]}}" for n in (1, 2, 3, 2))
    imported_text(tmp_path, f"{HEAD}scenarios: [{{engine: socketio, flow: [{flow}]}}]\n")
    rows = (tmp_path / "out" / "accounts.csv").read_text().splitlines()
    assert rows == ["password,password_2,password_3", "geheim-1,geheim-2,geheim-3"]
    assert "secrets: password, password_2, password_3;" in capsys.readouterr().out
