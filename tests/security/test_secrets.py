"""Canary secrets in auth, headers, cookies, query, data and sid are in nothing that a run leaves behind."""

from __future__ import annotations

import contextlib
import json
import random
import urllib.request
from base64 import b64encode
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
import pytest
import serverkit
from faults.hostile import Asked, Hostile, Peer, frame

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError
from sioload.measure.trace import Trace

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
    asked = peer.request()
    # A session's posts come on a connection of their own.
    sid = next((sid for sid in SIDS if f"sid={sid}" in asked.target), SIDS[peer.number % 2])
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


#: Everything that the web UI shows, Locust's own pages among it.
PAGES = (
    "/", "/stats/requests", "/stats/requests/csv", "/stats/requests_full_history/csv", "/stats/failures/csv",
    "/exceptions", "/exceptions/csv", "/stats/report", "/logs", "/tasks", "/sioload/", "/sioload/data",
    "/sioload/report.json", "/sioload/events.csv", "/sioload/sioload.hlog", "/sioload/report.html",
)  # fmt: skip


def fetched(port: int, *paths: str) -> dict[str, str]:
    """The pages that answer; one that doesn't is empty."""
    found = {}
    for path in paths:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                found[path] = answer.read().decode("utf-8", "replace")
        except OSError:
            found[path] = ""
    return found


def leaks(found: dict[str, str]) -> list[str]:
    return [
        f"{where}: ...{text[max(0, at - 120) : at + 60]!r}..."
        for where, text in found.items()
        for secret in (CANARY, *SIDS)
        if (at := text.find(secret)) >= 0
    ]


@pytest.mark.parametrize(
    ("transports", "pages"),
    [
        pytest.param("websocket", False, marks=pytest.mark.verify),
        pytest.param("polling", False, marks=pytest.mark.verify),
        ("polling,websocket", True),
    ],
)
def test_no_secret_in_any_output(tmp_path: Path, transports: str, pages: bool) -> None:
    port, web = serverkit.free_port(), serverkit.free_port()
    with Hostile(mirror) as server:
        host = server.url.replace("//", f"//ada:{CANARY}-url@") + f"/?token={CANARY}-hostquery"
        shown = ["--web-port", str(web), "--autostart", "--autoquit", "0"] if pages else ["--headless"]
        args = ["-f", SPY, "--host", host, "-u", "6", "-r", "6", "-t", "6s" if pages else "5s", *shown,
                "--loglevel", "DEBUG",
                "--csv", tmp_path / "run", "--csv-full-history", "--html", tmp_path / "run.html",
                "--sio-report", tmp_path / "report.json", "--sio-html", tmp_path / "own.html",
                "--sio-junit", tmp_path / "junit.xml", "--sio-hlog", tmp_path / "hlog",
                "--sio-metrics-port", str(port), "--logfile", tmp_path / "log.txt"]  # fmt: skip
        env = {"CANARY": CANARY, "TRANSPORTS": transports}
        process = serverkit.Process(serverkit.locust(args), cwd=tmp_path, env=env)
        with process:
            extra = {"/metrics": ""}
            deadline = serverkit.time.monotonic() + 20
            while 'type="DISCONNECT"' not in extra["/metrics"] and serverkit.time.monotonic() < deadline:
                serverkit.time.sleep(0.1)
                extra = fetched(port, "/metrics")
            if pages:
                extra |= fetched(web, *PAGES)
            process.wait(40)
            found = traces(tmp_path, process, extra)
    report = json.loads(found["report.json"])
    failures = {(e["type"], text) for e in report["events"] for text in e["errors"]}
    assert {kind for kind, _ in failures} >= {"CONNECT", "DISCONNECT", "OPEN"}, failures
    assert "Traceback" in found["log.txt"], "no task's exception was logged"
    assert "sioload_" in found["/metrics"]
    if pages:
        assert [path for path in PAGES if len(found[path]) < 10] == []
        assert "DISCONNECT" in found["/stats/requests"] + found["/sioload/data"]
    assert not leaks(found), "\n".join(leaks(found))


#: A fault of the server at each of the places where commands speak with it.
COMMANDS = {
    "doctor": ["doctor", "URL"],
    "doctor as JSON": ["doctor", "URL", "--json"],
    "bench": ["bench", "URL", "--emit", "echo", "--ack", "--users", "4", "--run-time", "3s", "--version", "4",
              "--auth", f'{{"token": "{CANARY}-auth"}}', "--header", f"Authorization: Bearer {CANARY}-header",
              "--data", f'"{CANARY}-data"', "--option", "reconnection_delay=0.05",
              "--sio-report", "report.json", "--sio-html", "own.html"],
}  # fmt: skip


@pytest.mark.parametrize("what", COMMANDS)
def test_no_secret_in_what_commands_print(tmp_path: Path, what: str) -> None:
    with Hostile(mirror) as server:
        url = server.url.replace("//", f"//ada:{CANARY}-url@") + f"/?token={CANARY}-hostquery"
        args = [url if arg == "URL" else arg for arg in COMMANDS[what]]
        with serverkit.Process(serverkit.sioload(args), cwd=tmp_path) as process:
            process.wait(40)
            found = traces(tmp_path, process, {})
    assert len(found["stdout"]) > 100, found
    assert not leaks(found), "\n".join(leaks(found))


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "workers"])
def test_what_is_hidden_of_a_host_still_reaches_the_server(
    tmp_path: Path, node4: serverkit.Server, processes: tuple[str, ...]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from locust import constant, task\n"
        "from sioload import SocketIOUser\n"
        "class User(SocketIOUser):\n"
        "    wait_time = constant(0.1)\n"
        "    options = {'version': 4}\n"
        "    @task\n"
        "    def talk(self):\n"
        "        self.sio.call('echo', 1)\n"
    )
    host = f"{node4.url}/?token={CANARY}-hostquery"
    args = ["-f", script, "--host", host, "-u", "4", "-r", "4", "-t", "2s", "--headless", *processes]
    run = serverkit.run_locust(args, cwd=tmp_path)
    assert run.code == 0 and CANARY not in run.text, run.text
    opened = [request["url"] for request in node4.requests() if "sid=" not in request["url"]]
    assert len(opened) >= 4
    assert all(f"?token={CANARY}-hostquery&" in url for url in opened), opened


class Hooked:
    """A user whose hook adds what options don't tell; it is followed."""

    def __init__(self) -> None:
        self.sio_trace = Trace(1, perf_counter)

    def on_handshake(self, request: Any) -> None:
        request.headers["X-Api-Key"] = CANARY + "-hooked"
        request.cookies["session"] = CANARY + "-cookie"


@pytest.mark.parametrize("refuses", [True, False])
def test_what_a_hook_confided_is_hidden_also_once_no_request_can_follow(refuses: bool) -> None:
    """A websocket's messages, and its end, may tell it again; so too the credentials of a URL."""
    basic = b64encode(f"ada:{CANARY}-url".encode()).decode()

    def script(peer: Peer) -> None:
        asked = peer.request()
        seen = " ".join(asked.headers[name] for name in ("authorization", "x-api-key", "cookie"))
        assert seen.count(CANARY) == 2 and basic in seen
        peer.accept(asked)
        peer.text(peer.session())
        peer.frame_in()
        if refuses:
            peer.text("44" + json.dumps({"message": seen}))
        else:
            peer.text('40{"sid":"s"}')
            peer.send(frame(8, (1008).to_bytes(2, "big") + seen.encode()))
        peer.hold()

    user = Hooked()
    options = {"version": 4, "transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        url = server.url.replace("//", f"//ada:{CANARY}-url@")
        sio = SocketIOClient(None, options, url=url, user=user)
        refused = pytest.raises(ConnectError) if refuses else contextlib.nullcontext()
        with refused as raised:
            sio.connect()
            sio.wait()
    failed = {t.type: str(t.errors) for t in sio.fleet.recorder.totals() if t.failures}
    assert ("CONNECT" if refuses else "DISCONNECT") in failed
    traced = [entry.text for entry in user.sio_trace.take(perf_counter())]
    told = f"{failed} {traced} {raised and raised.value}"
    assert told.count("(hidden)") >= 3 and CANARY not in told and basic not in told, told


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_what_was_confided_is_hidden_in_binary_packets_too(transport: str) -> None:
    """Those of msgpack; their bytes stay as they are but for that."""
    token, user = CANARY + "-é€😀", Hooked()
    options = {"version": 4, "transports": [transport], "parser": "msgpack", "auth": {"token": token}}
    with serverkit.running("sio4", "--msgpack") as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url, user=user)
        sio.connect()
        assert sio.call("echo", {"again": token, "bytes": bytes(range(256))})
        sio.disconnect()
    told = [entry.text for entry in user.sio_trace.take(perf_counter())]
    packets = b"|".join(text for text in told if isinstance(text, bytes))
    assert packets.count(b"(hidden)") == 3 and CANARY.encode() not in packets, packets
    assert packets.count(bytes(range(256))) == 2 and b"\xe2\x82\xac" not in packets, packets
