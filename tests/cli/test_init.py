"""`sioload init`: the file it writes runs as it stands."""

from __future__ import annotations

import json
import shlex
import sys

import serverkit


def test_written_file_runs(target, tmp_path):
    done = serverkit.run_sioload(["init", "new"], 20, cwd=tmp_path, fresh=True)
    assert done.code == 0, done.text
    assert "locust -f new/locustfile.py" in done.out
    config = ["--config", serverkit.ROOT / "pyproject.toml", tmp_path / "new"]
    for args in (["check"], ["format", "--check"]):
        judged = serverkit.run([sys.executable, "-m", "ruff", *args, *config], 60, cwd=tmp_path)
        assert judged.code == 0, judged.text
    report = tmp_path / "report.json"
    args = ["-f", "new/locustfile.py", "--host", target.url, "--headless", "-u", "10", "-r", "10", "-t", "5s",
            "--sio-report", report]  # fmt: skip
    run = serverkit.run_locust(args, cwd=tmp_path, fresh=True)
    assert run.code == 0, run.text
    counts = {
        (event["type"], event["name"]): event["count"] for event in json.loads(report.read_text())["events"]
    }
    counted = target.counts()
    assert counts["CALL", "echo"] == counted["received"]["/"]["echo"] > 0
    assert counts["EMIT", "message"] == counted["received"]["/"]["message"] > 0
    assert counts["PUSH", "message"] == counted["sent"]["/"]["message"] > 0


def test_the_commands_that_it_names_can_be_pasted(tmp_path):
    done = serverkit.run_sioload(["init", "my été; test"], 20, cwd=tmp_path)
    assert done.code == 0, done.text
    named = [shlex.split(line, comments=True) for line in done.out.splitlines() if "locust -f" in line]
    assert [words[2] for words in named] == ["my été; test/locustfile.py"] * 2
    assert (tmp_path / "my été; test" / "locustfile.py").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "locustfile.py").write_text("mine")
    done = serverkit.run_sioload(["init"], 20, cwd=tmp_path)
    assert done.code == 2
    assert "locustfile.py is there already" in done.err
    assert (tmp_path / "locustfile.py").read_text() == "mine"
