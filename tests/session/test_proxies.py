"""Sessions through real proxies: those that close idle connections, and those that are sticky by a cookie."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import gevent
import pytest
import serverkit
from faults.proxy import Fault, Proxy
from proxykit import PASS, haproxy, nginx

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError

POSTS = Path(__file__).with_name("posts.py")


def bench(url: str, report: Path, *more: str) -> dict[str, Any]:
    """The report of a short run with polling, in which every emit is acknowledged."""
    done = serverkit.run_sioload(
        ["bench", url, "--users", "6", "--spawn-rate", "6", "--run-time", "4s", "--emit", "echo",
         "--data", "1", "--ack", "--transports", "polling", "--version", "4",
         "--sio-report", str(report), *more]
    )  # fmt: skip
    assert done.code == 0, done.text
    figures: dict[str, Any] = json.loads(report.read_text())
    ledger = figures["ledger"]
    assert ledger["emits"] == ledger["acked"] > 6 and figures["connections"]["closed"] == {"client": 6}
    return figures


def test_each_user_has_one_of_the_source_addresses(
    servers: Callable[..., serverkit.Server], tmp_path: Path
) -> None:
    """For each of its requests: what is sticky by address would send it elsewhere otherwise."""
    server = servers("sio4")
    server.reset()
    given = [f"127.0.9.{n}" for n in (1, 2, 3)]
    bench(server.url, tmp_path / "r.json", "--transports", "polling,websocket",
          "--option", f"source_addresses={json.dumps(given)}")  # fmt: skip
    peers: dict[str, set[str]] = {}
    for asked in server.requests():
        if "sid=" in asked["url"]:
            sid = asked["url"].partition("sid=")[2].partition("&")[0]
            peers.setdefault(sid, set()).add(asked["peer"])
    assert sorted(address for one in peers.values() for address in one) == sorted(given * 2)
    assert len(peers) == 6


LOGGED_IN = """
import itertools
from locust import constant, task
from sioload import SocketIOUser

numbers = itertools.count()

class Member(SocketIOUser):
    wait_time = constant(0.1)
    options = {"version": 4, "transports": ["polling"], "source_addresses": ["127.0.9.1", "127.0.9.2"]}

    def on_start(self):
        self.number = next(numbers)
        with self.client.get(f"/asked?n={self.number}", catch_response=True) as answer:
            answer.success()

    def on_handshake(self, request):
        request.query["n"] = self.number

    @task
    def ask(self):
        self.sio.call("echo", 1)
        if next(numbers) > 8:
            self.environment.runner.quit()
"""


def test_a_users_http_requests_have_its_source_address(
    servers: Callable[..., serverkit.Server], tmp_path: Path
) -> None:
    server = servers("sio4")
    server.reset()
    (tmp_path / "locustfile.py").write_text(LOGGED_IN)
    args = ["-f", "locustfile.py", "--headless", "--host", server.url, "-u", "2", "-r", "2", "-t", "20s"]
    done = serverkit.run_locust(args, cwd=tmp_path)
    assert done.code == 0, done.text
    peers: dict[str, set[tuple[str, str]]] = {}
    for asked in server.requests():
        found = re.match(r"/(asked|socket\.io/)\?n=([01])\b", asked["url"])
        if found:
            peers.setdefault(found[2], set()).add((found[1], asked["peer"]))
    both = [[("asked", at), ("socket.io/", at)] for at in ("127.0.9.1", "127.0.9.2")]
    assert sorted(map(sorted, peers.values())) == both, server.requests()


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
def test_a_source_address_of_another_machine_is_named(target: serverkit.Server, address: str) -> None:
    """It isn't ports that are used up, and more addresses would be no remedy."""
    url = f"http://{'[::1]' if ':' in address else '127.0.0.1'}:{target.port}"
    sio = SocketIOClient(None, {"source_addresses": [address]}, url=url)
    with gevent.Timeout(10), pytest.raises(ConnectError) as caught:
        sio.connect()
    assert caught.value.stage == "dial"
    assert caught.value.reason == (
        f"source address {address} is none of this machine's (ip addr add, or correct source_addresses)"
    )


@pytest.mark.parametrize(
    ("address", "host", "kind"), [("127.0.0.1", "[::1]", "IPv6"), ("::1", "127.0.0.1", "IPv4")]
)
def test_a_source_address_of_the_other_kind_is_named(
    target: serverkit.Server, address: str, host: str, kind: str
) -> None:
    """The load would come from an address that nobody asked for."""
    sio = SocketIOClient(None, {"source_addresses": [address]}, url=f"http://{host}:{target.port}")
    with gevent.Timeout(10), pytest.raises(ConnectError) as caught:
        sio.connect()
    assert caught.value.stage == "dial"
    assert caught.value.reason == f"none of source_addresses is {kind}, as the server's address is"


def test_source_addresses_may_be_listed_by_the_standard_library(node4: serverkit.Server) -> None:
    """`ip_network(...).hosts()` gives no texts."""
    for least in (1, 2):  # one is every user's, of several each has its own
        addresses = list(ip_network("127.0.9.4/30").hosts())[:least]
        sio = SocketIOClient(None, {"source_addresses": addresses}, url=node4.url)
        with gevent.Timeout(10):
            sio.connect()
            assert sio.call("echo", 1) == 1
            sio.disconnect()
        assert sio.options.source_addresses == ("127.0.9.5",)
        assert sio.fleet.recorder.internal_errors == []
    assert "127.0.9.5" in {asked["peer"].rpartition(":")[2] for asked in node4.requests()}


def dials(figures: dict[str, Any]) -> int:
    return sum(row["count"] for row in figures["events"] if (row["type"], row["name"]) == ("DIAL", "tcp"))


def test_a_proxy_that_closes_idle_connections_after_a_second(
    target: serverkit.Server, tmp_path: Path
) -> None:
    with nginx("keepalive_timeout 1s;" + PASS.format(behind=target.port)) as url:
        bench(url, tmp_path / "r.json", "--rate", "0.7")


@pytest.mark.parametrize(
    ("users", "posts"),
    [(40, 200), pytest.param(250, 100_000, marks=[pytest.mark.verify, pytest.mark.timeout(1500)])],
)
def test_of_10_000_posts_not_more_than_one_meets_the_end_of_its_connection(
    servers: Callable[..., serverkit.Server], users: int, posts: int
) -> None:
    """After pauses of 0 to 1.8 s, where idle connections end after 1 s, unannounced; 20 ms away in the short
    form, for the long one takes more connections than that proxy may have descriptors."""
    with (
        nginx("keepalive_timeout 1s;" + PASS.format(behind=servers("sio4").port)) as url,
        Proxy(int(url.rpartition(":")[2]), up=Fault(delay=0.02), down=Fault(delay=0.02)) as far,
    ):
        done = serverkit.run(
            [sys.executable, POSTS, far.url if posts < 10_000 else url, str(users), str(posts)], 1400
        )
    assert done.code == 0, done.text
    ledger = json.loads(done.out)
    assert ledger["sent"] + ledger["indeterminate"] == ledger["emits"] >= posts
    assert ledger["indeterminate"] <= posts / 10_000, ledger


def test_a_proxy_that_closes_each_connection_behind_its_answer_without_a_word(
    target: serverkit.Server, tmp_path: Path
) -> None:
    server = f"  server one 127.0.0.1:{target.port}"
    with haproxy("  timeout http-keep-alive 1", server) as url:
        figures = bench(url, tmp_path / "r.json", "--rate", "5")
    assert dials(figures) > figures["ledger"]["emits"]


@pytest.mark.parametrize("how", ["header", "cookies"])
def test_a_sticky_cookie_beside_the_scripts_own(
    servers: Callable[..., serverkit.Server], tmp_path: Path, how: str
) -> None:
    nodes = [servers("target"), servers("target", "--host", "127.0.0.1")]
    assert nodes[0].port != nodes[1].port
    backend = "  cookie NODE insert indirect nocache\n" + "\n".join(
        f"  server n{i} 127.0.0.1:{node.port} cookie n{i}" for i, node in enumerate(nodes)
    )
    own = ["-H", "Cookie: app=1"] if how == "header" else ["--option", 'cookies={"app":"1"}']
    with haproxy("", backend) as url:
        bench(url, tmp_path / "r.json", *own)


@pytest.mark.parametrize("transports", ["polling", "websocket"])
def test_redirects_are_followed_when_a_session_opens(
    target: serverkit.Server, tmp_path: Path, transports: str
) -> None:
    there = PASS.format(behind=target.port) + " location /old/ { return 308 /socket.io/$is_args$args; }"
    with nginx(there) as url, nginx(f"location / {{ return 301 {url}/old/$is_args$args; }}") as front:
        figures = bench(front, tmp_path / "r.json", "--transports", transports)
    assert figures["connections"]["opened"] == 6


@pytest.mark.parametrize("transports", ["polling", "websocket"])
def test_a_path_that_is_known_without_its_slash(
    target: serverkit.Server, tmp_path: Path, transports: str
) -> None:
    there = PASS.replace("location /", "location = /api/io").replace("{behind};", "{behind}/socket.io/;")
    lines = there.format(behind=target.port) + " location / { return 404; }"
    with nginx(lines) as url:
        figures = bench(url, tmp_path / "r.json", "--transports", transports, "--path", "/api/io")
    rows = {(row["type"], row["name"]): row["count"] for row in figures["events"]}
    assert rows["OPEN", transports] == 6
    assert rows["OPEN", "(probe)"] < 6  # later sessions know it


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(("kind", "path"), [("sio0", "/socket.io/1/"), ("sio4", "/socket.io/")])
def test_a_handshake_url_that_redirects_to_the_users_own_server(
    kind: str, path: str, transport: str, servers: Callable[..., serverkit.Server]
) -> None:
    """Its form of the path was cut off (0.9), and what was meant for that server kept from it."""
    server = servers(kind)
    options: dict[str, Any] = {
        "version": int(kind[-1]), "transports": [transport], "headers": {"Authorization": "Bearer abc"},
        "cookies": {"a": "1"}, "reconnection": False,
    }  # fmt: skip
    there = f"location /go/ {{ return 302 {server.url}{path}$is_args$args; }}"
    with nginx(there) as front, gevent.Timeout(10):
        options["handshake_url"] = f"{front}/go/"
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        saw = sio.call("handshake")
        sio.disconnect()
    assert (saw["authorization"], saw["cookie"]) == ("Bearer abc", "a=1")


@pytest.mark.parametrize("parser", ["json", "msgpack"])
def test_a_proxy_whose_server_is_restarted_says_nothing_of_its_generation(parser: str) -> None:
    """Each attempt asked for 0.9's handshake too: its row failed, and other parsers were told not to fit."""
    port = serverkit.free_port()
    args = ["sio4", "--port", str(port), *(["--msgpack"] if parser == "msgpack" else [])]
    options = {"parser": parser, "reconnection_delay": 0.05, "reconnection_delay_max": 0.1}
    with nginx(PASS.format(behind=port)) as url, gevent.Timeout(30):
        sio = SocketIOClient(None, options, url=url)
        connect = sio.fleet.recorder.row("CONNECT", "/")
        with serverkit.running(*args):
            sio.connect()
        while connect.totals().failures < 3:
            gevent.sleep(0.01)
        with serverkit.running(*args):
            while not sio.connected:
                gevent.sleep(0.01)
            assert sio.call("echo", 1) == 1
            sio.disconnect()
    assert set(connect.totals().errors) == {"open: HTTP 502"}
    assert {row.name for row in sio.fleet.recorder.totals() if row.type == "OPEN"} == {"polling"}


@pytest.mark.parametrize("parser", ["json", "msgpack"])
def test_what_no_form_of_the_handshake_opens_fails_in_the_row_of_the_first(parser: str) -> None:
    options = {"parser": parser, "reconnection": False}
    with nginx("location / { return 500; }") as url, gevent.Timeout(10):
        sio = SocketIOClient(None, options, url=url)
        with pytest.raises(ConnectError, match="HTTP 500"):
            sio.connect()
    rows = {row.name: row.failures for row in sio.fleet.recorder.totals() if row.type == "OPEN"}
    assert rows.pop("(probe)", 0) == 0 and rows == {"polling": 1}
