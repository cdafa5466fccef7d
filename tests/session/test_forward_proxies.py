"""The option `proxy` with a real one: tunnels, and what is said of one that lets nothing by."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
import serverkit
import trustme
from faults.hostile import Hostile, Peer
from proxykit import tinyproxy

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError

REACH = Path(__file__).with_name("reach.py")
POLLING, WEBSOCKET, BOTH = ["polling"], ["websocket"], ["polling", "websocket"]
NOBODY = "http://127.0.0.1:1"


def reach(*cases: tuple[str, str, list[str]]) -> list[str]:
    """What comes of connecting: URL, the option `proxy` ("" for none), transports."""
    given: list[tuple[str, dict[str, Any]]] = [
        (url, {"transports": transports, "tls_verify": False, **({"proxy": proxy} if proxy else {})})
        for url, proxy, transports in cases
    ]
    environment = {"http_proxy": "http://elsewhere:1", "no_proxy": "localhost"}
    run = serverkit.run([sys.executable, REACH, json.dumps(given)], 60, env=environment)
    assert run.code == 0, run.text
    return [json.loads(line) for line in run.out.splitlines()]


def test_everything_goes_through_a_proxy(servers: Callable[..., serverkit.Server], tmp_path: Path) -> None:
    pem = str(tmp_path / "server.pem")
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    plain = servers("sio4")
    plain.reset()
    with (
        serverkit.running("sio4", "--cert", pem, "--key", pem) as secure,
        tinyproxy("BasicAuth ann secret-word") as proxy,
    ):
        told = f"http://ann:secret-word@{proxy}"
        cases = [(url, told, transports) for url in (plain.url, secure.url)
                 for transports in (POLLING, WEBSOCKET, BOTH)]  # fmt: skip
        assert reach(*cases) == ["polling: x", "websocket: x", "websocket: x"] * 2
    assert "c2VjcmV0" not in json.dumps(plain.requests())  # the credentials are the proxy's alone


def test_what_keeps_a_proxy_from_passing_us_on_is_named_with_the_proxy(
    servers: Callable[..., serverkit.Server],
) -> None:
    url = servers("sio4").url
    target, tls = url.removeprefix("http://"), NOBODY.replace("http", "https")
    with (
        tinyproxy("BasicAuth ann secret-word") as guarded,
        tinyproxy() as free,
        tinyproxy("ConnectPort 1") as shut,
    ):
        found = reach(
            (url, f"http://{guarded}", POLLING),
            (url, f"http://{guarded}", WEBSOCKET),
            (url, f"http://ann:wrong-word@{guarded}", WEBSOCKET),
            (url, f"http://{shut}", WEBSOCKET),
            (NOBODY, f"http://{free}", POLLING),
            (tls, f"http://{free}", POLLING),
            (url, NOBODY, BOTH),
            (NOBODY, "", BOTH),
            (NOBODY.replace("127.0.0.1", "localhost"), "", BOTH),
        )  # fmt: skip
    wants = "HTTP 407: it wants a user and a password (proxy: http://user:password@host:port)"
    assert found == [
        f"open: proxy {guarded}: {wants}",
        f"dial: proxy {guarded}: {wants}",
        f"dial: proxy {guarded}: HTTP 401: it refuses the user and password in the option proxy",
        f"dial: proxy {shut}: HTTP 403: it allows no tunnel to {target}",
        f"open: HTTP 500: Unable to connect (by way of the proxy {free})",
        f"dial: proxy {free}: HTTP 500: it can't reach 127.0.0.1:1",
        "dial: proxy 127.0.0.1:1: connection refused",
        "dial: connection refused (http_proxy isn't used: set the option proxy)",
        "dial: connection refused",
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 418 no\r\n\r\n", "HTTP 418 to CONNECT 127.0.0.1:1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its answer to CONNECT is no HTTP"),
        (b"HTTP/1.1 200 " + b"x" * 20_000, "its answer to CONNECT is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n!", "data before anything was sent through the tunnel"),
        (b"HTTP/1.1 2", "closed by the peer before it had answered CONNECT"),
    ],
)
def test_what_is_no_tunnel_is_named(answer: bytes, said: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    with Hostile(script) as proxy, gevent.Timeout(10):
        options = {"proxy": proxy.url, "transports": ["websocket"], "reconnection": False}
        sio = SocketIOClient(None, options, url=NOBODY)
        with pytest.raises(ConnectError) as raised:
            sio.connect()
    assert str(raised.value) == f"dial: proxy {proxy.url.removeprefix('http://')}: {said}"


def test_a_proxy_that_gets_no_answer_is_named() -> None:
    """As one does whose way to the server is barred: nothing tells which of the two keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"127.0.0.1:{silent.getsockname()[1]}"
        given = [
            ("https://127.0.0.1:1", {"transports": BOTH, "proxy": f"http://{proxy}", "connect_timeout": 0.5})
        ]
        run = serverkit.run([sys.executable, REACH, json.dumps(given)], 60)
        doctor = serverkit.run_sioload(["doctor", given[0][0], "--proxy", f"http://{proxy}", "--json"], 20)
    said = f"(by way of the proxy {proxy})"
    assert json.loads(run.out) == f"dial: no answer in 0.5 s {said}", run.text
    (fault,) = json.loads(doctor.out)["faults"]
    assert fault["fault"].endswith(said) and fault["remedy"].startswith("check that the proxy"), doctor.text


def test_the_doctor_and_the_users_http_requests_take_it_too(
    servers: Callable[..., serverkit.Server], tmp_path: Path
) -> None:
    with tinyproxy() as proxy:
        run = serverkit.run_sioload(["doctor", servers("target").url, "--proxy", f"http://{proxy}"], 20)
        assert run.code == 0 and "FAULT" not in run.out, run.text
    script = tmp_path / "script.py"
    script.write_text(
        "from locust import task\nfrom sioload import SocketIOUser\n"
        "class U(SocketIOUser):\n"
        f"    options = {{'proxy': {NOBODY!r}}}\n"
        "    def on_start(self):\n"
        "        with self.client.get('/counts', catch_response=True) as answer:\n"
        "            print('HTTP:', answer.error)\n            answer.success()\n"
        "        self.environment.runner.quit()\n"
        "    @task\n    def idle(self): self.sio.sleep(1)\n"
    )
    run = serverkit.run_locust(["-f", script, "--headless", "--host", servers("target").url, "-t", "3s"])
    assert "ProxyError" in run.out, run.text


def test_the_users_http_requests_dont_hang_on_the_shell(target: serverkit.Server, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from locust import task\nfrom sioload import SocketIOUser\n"
        "class U(SocketIOUser):\n"
        "    def on_start(self):\n"
        "        answer = self.client.get('/')\n"
        "        print('HTTP:', answer.status_code, answer.request.headers.get('Authorization'))\n"
        "        self.environment.runner.quit()\n"
        "    @task\n    def idle(self): self.sio.sleep(1)\n"
    )
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password secret-word\n")
    shell = {"http_proxy": NOBODY, "no_proxy": "localhost", "NETRC": str(tmp_path / "netrc")}
    run = serverkit.run_locust(
        ["-f", script, "--headless", "--host", target.url, "-t", "20s"], cwd=tmp_path, env=shell
    )
    assert "HTTP: 200 None" in run.out, run.text
