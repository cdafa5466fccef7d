"""`{{column}}` in what `sioload bench` sends."""

from __future__ import annotations

import json
from pathlib import Path

import serverkit

from sioload.cli.templates import filled

ROW = {"on": True, "no": None, "n": 2, "f": 1.5, "tags": ["a", None], "name": "Änn"}


def test_a_value_within_a_text_is_as_json_has_it():
    assert filled("{{on}} {{no}} {{n}} {{f}} {{tags}} {{name}}", ROW) == 'true null 2 1.5 ["a",null] Änn'
    assert filled({"{{on}}": ["{{ on }}", "{{tags}}"]}, ROW) == {"true": [True, ["a", None]]}


def test_a_server_is_told_so(servers, tmp_path: Path):
    server = servers("recorder")
    server.reset()
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW))
    args = ["--emit", "x", "--data", '"is {{on}}"', "--header", "X-On: {{on}}", "--header", "X-No: a{{no}}"]
    done = serverkit.run_sioload(
        ["bench", server.url, "--feed", "rows.jsonl", "--users", "1", "--run-time", "3s", "--ack", *args],
        cwd=tmp_path,
    )
    assert done.code == 0, done.text
    connected, said, *_ = serverkit.http_json(f"{server.url}/seen")
    assert connected == ["/", "(connected)", [{"x-on": "true", "x-no": "anull"}]] and said[2] == ["is true"]
