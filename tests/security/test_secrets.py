"""Canary secrets in auth, headers, cookies, query, data and sid are in nothing that a run leaves behind."""

from __future__ import annotations

import json
import random
import urllib.request
from pathlib import Path

import pytest
import serverkit
from faults.hostile import Asked, Hostile, Peer

SPY = Path(__file__).with_name("spy.py")
#: Of letters alone, so that no rule for what looks like an id hides it.
CANARY = "canaryOfLetters"
#: Two that a server hands out: with digits, and without.
SIDS = ("canary7f3e9dSID0123456789", "canarySidOfLetters")


def said(asked: Asked, sid: str) -> str:
    """What the client said, in an order of its own each time: messages are cut off somewhere."""
    told = [
        asked.target,
        sid,
        *(asked.headers.get(name, "") for name in ("authorization", "x-api-key", "cookie")),
    ]
    random.shuffle(told)
    return " ".join(told)


def mirror(peer: Peer) -> None:
    """Throws back whatever it was told, in each place where a server may put text."""
    sid = SIDS[peer.number % 2]
    asked = peer.request()
    seen = said(asked, "")
    turn = peer.number % 7
    if turn == 0:
        peer.reply(400, seen.encode())
    elif turn == 1:
        peer.reply(403, json.dumps({"code": 4, "message": f"denied: {seen}"}).encode())
    elif "transport=polling" in asked.target:
        peer.reply(200, peer.session(sid=sid).encode())
        token = b""
        joined = False
        while True:
            asked = peer.request()
            seen = said(asked, sid)
            if turn == 2:
                peer.reply(400, json.dumps({"code": 1, "message": f"Session ID unknown: {seen}"}).encode())
            elif asked.method == "POST":
                token = asked.body
                peer.reply(200, b"ok")
            elif turn == 3:
                peer.reply(200, b"44" + json.dumps({"message": f"no {token.decode()} {seen}"}).encode())
            elif not joined:
                joined = True
                peer.reply(200, b'40{"sid":"' + sid.encode() + b'"}')
            else:
                peer.reply(500, seen.encode())
    else:
        peer.accept(asked)
        peer.text(peer.session(sid=sid))
        token = peer.frame_in()[1]
        if turn == 2:
            peer.text("44" + json.dumps({"message": f"no {token.decode()[3:]}", "data": seen}))
        elif turn == 3:
            peer.text("44" + json.dumps(seen))
        else:
            peer.text(f'40{{"sid":"{sid}"}}')
            peer.serve(3)
            if turn == 4:
                peer.send(b"HTTP/1.1 500 " + seen.encode())
            elif turn == 5:
                peer.text(seen)
            else:
                peer.send(b"\x88\x20\x03\xe8" + sid.encode()[:30].ljust(30, b"x"))
    peer.hold()


def traces(folder: Path, process: serverkit.Process, extra: dict[str, str]) -> dict[str, str]:
    """Everything that a run left behind, by where."""
    found = {"stdout": process.out, "stderr": process.err, **extra}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_text(errors="replace")
    return found


@pytest.mark.parametrize("transports", ["websocket", "polling"])
def test_no_secret_in_any_output(tmp_path: Path, transports: str) -> None:
    port = serverkit.free_port()
    with Hostile(mirror) as server:
        host = server.url.replace("//", f"//ada:{CANARY}-url@") + f"/?token={CANARY}-hostquery"
        args = ["-f", SPY, "--host", host, "-u", "6", "-r", "6", "-t", "5s", "--headless",
                "--loglevel", "DEBUG",
                "--csv", tmp_path / "run", "--csv-full-history", "--html", tmp_path / "run.html",
                "--sio-report", tmp_path / "report.json", "--sio-html", tmp_path / "own.html",
                "--sio-junit", tmp_path / "junit.xml", "--sio-hlog", tmp_path / "hlog",
                "--sio-metrics-port", str(port), "--logfile", tmp_path / "log.txt"]  # fmt: skip
        env = {"CANARY": CANARY, "TRANSPORTS": transports}
        process = serverkit.Process(serverkit.locust(args), cwd=tmp_path, env=env)
        with process:
            metrics = ""
            for _ in range(60):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
                        metrics = answer.read().decode()
                except OSError:
                    pass
                if process.popen.poll() is not None or 'type="CONNECT"' in metrics:
                    break
                serverkit.time.sleep(0.1)
            process.wait(40)
            found = traces(tmp_path, process, {"metrics": metrics})
    report = json.loads(found["report.json"])
    failures = {(e["type"], text) for e in report["events"] for text in e["errors"]}
    assert {kind for kind, _ in failures} >= {"CONNECT", "DISCONNECT", "OPEN"}, failures
    assert "Traceback" in found["log.txt"], "no task's exception was logged"
    assert "sioload_" in metrics
    leaks = [
        f"{where}: ...{text[max(0, at - 120) : at + 60]!r}..."
        for where, text in found.items()
        for secret in (CANARY, *SIDS)
        if (at := text.find(secret)) >= 0
    ]
    assert not leaks, "\n".join(leaks)
