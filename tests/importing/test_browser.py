"""A real page in a real browser, recorded, imported, tried: the server is told the same both times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import serverkit
from chromium import Page, browser
from importkit import RECORDINGS, faults
from recording import Recording

#: The server, its browser's client and its parser.
KINDS = {
    "2.5": ("sio2", "client2", "json"),
    "3.1": ("sio3", "client3", "json"),
    "4.8": ("sio4", "client4", "json"),
    "4.8 msgpack": ("sio4", "client4", "msgpack"),
}
TRANSPORTS = ("polling", "websocket", "polling,websocket")
#: What the page uploads, as the server tells it.
UPLOADED = "(5 bytes) 010203faff"
QUICK = (("4.8 msgpack", "polling,websocket"),)
CELLS = [
    pytest.param(kind, transports, marks=() if (kind, transports) in QUICK else pytest.mark.verify)
    for kind in KINDS
    for transports in TRANSPORTS
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def chat() -> Iterator[Callable[[str], str]]:
    """`chat("4.8")`: the address of a server with its page."""
    started: dict[str, serverkit.Process] = {}
    urls: dict[str, str] = {}

    def get(kind: str) -> str:
        if kind not in started:
            lib, client, parser = KINDS[kind]
            node = serverkit.need_node(client)
            more = ["--lib", lib, "--client", client, "--parser", parser]
            script = serverkit.SERVERS / "pages.js"
            process = started[kind] = serverkit.Process([node, "--no-deprecation", script, *more])
            port = process.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1)
            urls[kind] = f"http://127.0.0.1:{port}"
        return urls[kind]

    yield get
    for process in started.values():
        process.close()


def recorded(page: Page, url: str, transports: str) -> tuple[dict[str, Any], list[Any]]:
    """What the browser did, and what the server was told."""
    serverkit.http_json(f"{url}/forget", method="POST")
    page.command("Network.clearBrowserCookies")
    page.forget()
    page.open(f"{url}/?transports={transports}")
    page.until("document.title === 'done'")
    return Recording(page).har(), serverkit.http_json(f"{url}/told")


def ordered(told: list[Any]) -> list[Any]:
    """Acks of the server's questions, which come at a time of their own, behind the rest."""
    return sorted(told, key=lambda each: each[0] == "ack")


@pytest.mark.parametrize("kind, transports", CELLS)
def test_script_says_what_the_browser_said(page, chat, tmp_path, kind, transports):
    url = chat(kind)
    har, told = recorded(page, url, transports)
    (tmp_path / "page.har").write_text(json.dumps(har))
    done = serverkit.run_sioload(["import", "page.har", "-o", "out"], 30, cwd=tmp_path)
    assert done.code == 0, done.text
    serverkit.http_json(f"{url}/forget", method="POST")
    tried = serverkit.run_sioload(["try", "out/locustfile.py", "--seconds", "4"], 60, cwd=tmp_path)
    assert tried.code == 0, tried.text
    if (kind, transports) == ("2.5", "polling"):  # what the browser doesn't tell: a binary body of 2.x
        assert "binary bodies of polling requests" in done.out
        told = json.loads(json.dumps(told).replace(UPLOADED, "(0 bytes) "))
    assert ordered(serverkit.http_json(f"{url}/told")) == ordered(told), tried.text
    script = (tmp_path / "out" / "locustfile.py").read_text()
    shown = script + done.out
    for secret in ("pw-of-ann", *_secrets(har)):
        assert secret not in shown
    if (kind, transports) in QUICK:
        assert faults(tmp_path) == ""


def _secrets(har: dict[str, Any]) -> list[str]:
    """Tokens and cookies of a recording."""
    headers = [header for entry in har["log"]["entries"] for header in entry["request"]["headers"]]
    private = [header for header in headers if header["name"].lower() in ("cookie", "authorization")]
    found = [header["value"].rpartition("=")[2].rpartition(" ")[2] for header in private]
    assert found
    return found


@pytest.mark.parametrize(
    "users, seconds", [(5, 4), pytest.param(50, 20, marks=pytest.mark.verify)], ids=["few", "many"]
)
def test_recorded_account_is_shared_by_many_users(tmp_path, users, seconds):
    with serverkit.running("recorded_chat") as server:
        done = serverkit.run_sioload(["import", RECORDINGS / "chat.har", "-o", "out"], 30, cwd=tmp_path)
        assert done.code == 0, done.text
        load = [
            "--headless",
            "-u",
            str(users),
            "-r",
            str(users),
            "-t",
            f"{seconds}s",
            "--sio-report",
            "report.json",
        ]
        args = ["-f", "out/locustfile.py", "--host", server.url, *load, "--sio-check", "ledger: error == 0"]
        run = serverkit.run_locust(args, cwd=tmp_path)
    assert run.code == 0, run.text
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {(row["type"], row["name"]): row for row in report["events"]}
    assert sum(row["failures"] for row in rows.values()) == 0
    assert rows["CALL", "/chat join"]["count"] == rows["POST", "/api/login"]["count"] == users
    for row in (("CALL", "/chat message"), ("CALL", "/chat react"), ("REPLY", "/chat search>search result")):
        assert rows[row]["count"] > 0
    assert rows["PUSH", "/chat message"]["latency_ms"]["p50"] < 1000
