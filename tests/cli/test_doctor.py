"""`sioload doctor` against real servers: what it says, and what it exits with."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import proxykit
import pytest
import serverkit
import trustme
from faults.kit import isolates
from proxykit import PASS

GENERATIONS = {
    "sio0": ("0.9", None),
    "sio1": ("1.x", "3"),
    "sio2": ("2.x", "3"),
    "sio3": ("3.x or 4.x", "4"),
    "sio4": ("3.x or 4.x", "4"),
    "pysio4": ("2.x", "3"),
    "pysio5": ("3.x or 4.x", "4"),
}


def examine(url: str, *options: str, code: int) -> dict[str, Any]:
    """The diagnosis."""
    run = serverkit.run_sioload(["doctor", url, "--json", *options])
    assert run.code == code, run.text
    assert "Traceback" not in run.text and "Warning" not in run.text
    found: dict[str, Any] = json.loads(run.out)
    return found


@pytest.mark.parametrize("kind", GENERATIONS)
def test_names_the_generation_and_what_works(kind: str, servers: Callable[..., serverkit.Server]) -> None:
    server = servers(kind)
    found = examine(server.url, code=0)
    assert (found["socket_io"], found["engine_io"]) == GENERATIONS[kind]
    assert found["transports"] == {"polling": "works", "websocket": "works"}
    assert found["upgrade"] == (None if kind == "sio0" else "works")
    assert found["ready"] is True
    assert found["faults"] == []
    assert found["users_fit"] > 0


def test_takes_intervals_and_payload_from_the_handshake(servers: Callable[..., serverkit.Server]) -> None:
    server = servers("sio4", "--ping-interval", "7000", "--ping-timeout", "3000", "--max-payload", "5000")
    found = examine(server.url, code=0)
    assert (found["ping_interval_s"], found["ping_timeout_s"], found["max_payload"]) == (7, 3, 5000)
    assert found["allows_eio3"] is False


def test_sees_that_older_clients_are_allowed(servers: Callable[..., serverkit.Server]) -> None:
    assert examine(servers("sio4", "--allow-eio3").url, code=0)["allows_eio3"] is True


@pytest.mark.parametrize(("kind", "speaks"), [("sio2", "1.x or 2.x"), ("sio4", "3.x or 4.x")])
def test_says_which_transport_is_disabled(
    kind: str, speaks: str, servers: Callable[..., serverkit.Server]
) -> None:
    beats = ("--ping-interval", "7000", "--ping-timeout", "3000")
    found = examine(servers(kind, "--transports", "websocket", *beats).url, code=0)
    assert found["socket_io"] == speaks
    assert (found["ping_interval_s"], found["ping_timeout_s"]) == (7, 3)
    assert found["max_payload"] == (1_000_000 if kind == "sio4" else None)
    assert found["transports"]["websocket"] == "works"
    assert "disabled" in found["transports"]["polling"]
    assert any("--transports websocket" in fault["remedy"] for fault in found["faults"])


def test_says_that_websocket_is_disabled_where_its_refusal_says_nothing(
    servers: Callable[..., serverkit.Server],
) -> None:
    """ASGI servers refuse websockets by a bare 403, and runs that met it name doctor, which told no more."""
    bare = "if ($http_upgrade) { return 403; }"
    for options, told in ((("--transports", "polling"), "disabled on the server"), ((), "HTTP 403")):
        with serverkit.nginx(servers("pysio5", *options).port, location=bare) as url:
            found = examine(url, code=0)
        (fault,) = found["faults"]
        assert found["transports"]["websocket"].startswith(told), found
        assert fault["fault"].startswith(f"websocket doesn't work: {told}"), found
        assert fault["remedy"] == "test with --transports polling"


@pytest.mark.parametrize("kind", ["sio1", pytest.param("sio2", marks=pytest.mark.verify), "sio4"])
def test_says_that_the_server_offers_no_upgrade(kind: str, servers: Callable[..., serverkit.Server]) -> None:
    """It was waited for, and looked for at proxies."""
    found = examine(servers(kind, "--no-upgrades").url, code=0)
    assert found["upgrade"] == "not offered by the server" and found["ready"] is True
    (note,) = found["faults"]
    assert "offers no upgrade" in note["fault"] and "--transports polling, or websocket" in note["remedy"]


@pytest.mark.parametrize(
    ("limits", "fits", "remedy"),
    [
        ("ulimit -n 300", 200, "ulimit -Hn"),
        pytest.param("ulimit -n 40", 1, "ulimit -Hn", marks=pytest.mark.verify),
        ('echo "40000 40004" > /proc/sys/net/ipv4/ip_local_port_range', 5, "source_addresses"),
    ],
)
def test_few_users_that_fit_here_are_told_with_the_remedy_of_what_lacks(
    limits: str, fits: int, remedy: str
) -> None:
    apart = ["unshare", "--net"] if "net" in limits else []
    if apart and not isolates():
        serverkit.missing("a network namespace", "run as root (in a container: --privileged)")
    doctor = serverkit.sioload(["doctor", "http://127.0.0.1:9", "--json"])
    run = serverkit.run([*apart, "sh", "-c", f'{limits} && exec "$@"', "sh", *doctor], 20)
    found = json.loads(run.out)
    assert found["users_fit"] == fits, run.text
    users = "1 user fits" if fits == 1 else f"{fits} users fit"
    (note,) = [fault for fault in found["faults"] if users in fault["fault"]]
    assert remedy in note["remedy"] and note["fatal"] is False


def test_transports_are_listed_as_for_bench(servers: Callable[..., serverkit.Server]) -> None:
    assert examine(servers("sio4").url, "--transports", "websocket, polling", code=0)["ready"] is True


def test_reads_as_text_at_80_columns(servers: Callable[..., serverkit.Server]) -> None:
    run = serverkit.run_sioload(["doctor", servers("sio4").url], timeout=20)
    assert run.code == 0, run.text
    assert "Socket.IO 3.x or 4.x (Engine.IO 4)" in run.out
    assert "A load test can run." in run.out
    assert max(map(len, run.out.splitlines())) <= 80


def test_a_refused_namespace_is_a_fault_with_its_remedy(servers: Callable[..., serverkit.Server]) -> None:
    url = servers("sio4").url
    found = examine(url, "--namespace", "/private", code=1)
    assert "not authorized" in found["faults"][0]["fault"]
    assert found["faults"][0]["remedy"] == "give what the server asks for (--auth)"
    assert examine(url, "--namespace", "/private", "--auth", '{"token":"secret"}', code=0)["ready"] is True


def test_a_server_with_another_parser_may_be_one(servers: Callable[..., serverkit.Server]) -> None:
    (fault,) = examine(servers("sio4", "--msgpack").url, code=1)["faults"]
    assert "namespace / can't be joined" in fault["fault"] and "option parser" in fault["remedy"]


def test_a_wrong_path(servers: Callable[..., serverkit.Server]) -> None:
    found = examine(servers("sio4").url, "--path", "/ws/", code=1)
    assert "not Socket.IO at this path" in found["faults"][0]["fault"]
    assert "/ws/" in found["faults"][0]["remedy"]


def test_nothing_there() -> None:
    url = f"http://127.0.0.1:{serverkit.free_port()}"
    found = examine(url, code=1)
    assert "connection refused" in found["faults"][0]["fault"]
    run = serverkit.run_sioload(["doctor", url])
    said = run.out.splitlines()
    assert run.code == 1 and f"FAULT       {found['faults'][0]['fault']}" in said, run.text
    assert "remedy      start the server, or check host and port" in said, run.text
    assert "A load test can't run yet." in said, run.text


def test_an_unknown_name() -> None:
    assert "not found" in examine("http://nosuchhost.invalid", code=1)["faults"][0]["fault"]


def test_answers_that_open_no_session() -> None:
    """Half a handshake was told as some requests that fail, of several alike."""
    answers = {
        "401": ("return 401 no", "refuses the handshake: HTTP 401", "asks for (--header 'Authorization: "),
        "500": ("return 500", "or a proxy before it fails: HTTP 500", "look at its logs"),
        "418": ("return 418", "the handshake fails: HTTP 418", "--header"),
        "no-sid": ("return 200 '0{}'", "the handshake makes no sense", "between here and the server"),
        "half": ("return 200 '97:0{'", "the handshake makes no sense", "between here and the server"),
        "old": ("return 200 'Welcome to socket.io.'", "0.9 handshake is refused: HTTP 403: who", "--header"),
        "old/1": ("return 403 'who?'", "", ""),
    }
    lines = "".join(f"location /{path}/ {{ {answer}; }} " for path, (answer, _, _) in answers.items())
    with proxykit.nginx(lines) as url:
        for path, (_, said, remedy) in answers.items():
            if said:
                (fault,) = examine(url, "--path", path, code=1)["faults"]
                assert said in fault["fault"] and remedy in fault["remedy"], fault


@pytest.mark.parametrize(
    ("endless", "fault"),
    [(False, "no Socket.IO server"), (True, "no complete answer")],
    ids=["page", "stream"],
)
def test_a_web_server_that_is_no_socketio_server(endless: bool, fault: str) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")
            with contextlib.suppress(OSError):
                while endless and not done.wait(0.1):
                    self.wfile.write(b"more")

        def log_message(self, *_: object) -> None:
            pass

    done = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = examine(f"http://127.0.0.1:{server.server_port}", code=1)
    finally:
        done.set()
        server.shutdown()
        server.server_close()
    assert fault in found["faults"][0]["fault"]
    assert "/socket.io/" in found["faults"][0]["remedy"]


def test_a_port_that_takes_connections_and_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        found = examine(f"http://127.0.0.1:{silent.getsockname()[1]}", code=1)
        assert time.monotonic() - started < 10
    assert "no complete answer" in found["faults"][0]["fault"]


def certificate(folder: Path, bad: str | None) -> tuple[Path, Path, Path]:
    """Files of a CA, of a certificate for 127.0.0.1 with this fault, and of its key."""
    authority = trustme.CA()
    begins = {"expired": 1999, "early": 2100}.get(bad or "", 2000)
    leaf = authority.issue_cert(
        "elsewhere.test" if bad == "host" else "127.0.0.1",
        not_before=datetime(begins, 1, 1, tzinfo=UTC),
        not_after=datetime(2000 if bad == "expired" else 2101, 1, 1, tzinfo=UTC),
    )
    ca, cert, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(ca))
    (authority.cert_pem if bad == "self-signed" else leaf.cert_chain_pems[0]).write_to_path(str(cert))
    (authority.private_key_pem if bad == "self-signed" else leaf.private_key_pem).write_to_path(str(key))
    return ca, cert, key


@pytest.mark.parametrize(
    ("bad", "trusted", "fault", "remedy"),
    [
        (None, False, "issuer is unknown", "--ca-file"),
        pytest.param("self-signed", False, "self-signed", "--ca-file", marks=pytest.mark.verify),
        ("expired", True, "has expired", "renew it"),
        pytest.param("early", True, "isn't valid yet", "clocks", marks=pytest.mark.verify),
        ("host", True, "for another host", "use the host it names"),
    ],
)
def test_a_bad_certificate(tmp_path: Path, bad: str | None, trusted: bool, fault: str, remedy: str) -> None:
    ca, cert, key = certificate(tmp_path, bad)
    with serverkit.running("sio4", "--cert", str(cert), "--key", str(key)) as server:
        found = examine(server.url, *(("--ca-file", str(ca)) if trusted else ()), code=1)["faults"][0]
        assert fault in found["fault"] and remedy in found["remedy"]
        assert examine(server.url, "--no-verify", code=0)["ready"] is True


def test_a_port_that_speaks_tls(tmp_path: Path) -> None:
    ca, cert, key = certificate(tmp_path, None)
    with serverkit.running("sio4", "--cert", str(cert), "--key", str(key)) as server:
        assert examine(server.url, "--ca-file", str(ca), code=0)["ready"] is True
        plain = examine(server.url.replace("https", "http"), code=1)
        assert plain["faults"][0]["fault"] == "the port speaks TLS"
        assert "https://" in plain["faults"][0]["remedy"]
    port = serverkit.free_port()
    with proxykit.nginx(f"listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};"):
        (fault,) = examine(f"http://127.0.0.1:{port}", code=1)["faults"]  # it answers in HTTP, by a 400
    assert (fault["fault"], fault["remedy"]) == (plain["faults"][0]["fault"], plain["faults"][0]["remedy"])


def test_tls_on_a_plain_port(servers: Callable[..., serverkit.Server]) -> None:
    found = examine(servers("sio4").url.replace("http", "https"), code=1)
    assert found["faults"][0]["fault"] == "the port doesn't speak TLS"
    assert found["faults"][0]["remedy"] == "use http:// or ws:// in the URL"


@contextlib.contextmanager
def balancer(*ports: int) -> Iterator[str]:
    """A load balancer that hands connections out to its nodes in turn, without sticky sessions."""
    nodes = itertools.cycle(ports)
    ends: list[socket.socket] = []
    pumps: list[threading.Thread] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        shut(source, sink)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken = listener.accept()[0]
                ends.append(taken)
                try:
                    node = socket.create_connection(("127.0.0.1", next(nodes)))
                except ConnectionRefusedError:
                    shut(taken)
                    continue
                ends.append(node)
                for way in ((taken, node), (node, taken)):
                    pumps.append(threading.Thread(target=pump, args=way))
                    pumps[-1].start()

    listener = socket.create_server(("127.0.0.1", 0))
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        shut(listener, *ends)
        for thread in (accepting, *pumps):
            thread.join(10)
        for end in (listener, *ends):
            end.close()


def shut(*ends: socket.socket) -> None:
    """Wake whoever waits on these sockets."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def test_two_nodes_without_sticky_sessions() -> None:
    with serverkit.running("sio4") as one, serverkit.running("sio4") as other:
        with balancer(one.port, other.port) as url:
            found = examine(url, code=1)
            assert examine(url, "--transports", "websocket", code=0)["ready"] is True
        with balancer(*[one.port] * 11, other.port) as url:
            late = examine(url, code=1)
    assert any("sticky sessions" in fault["remedy"] for fault in found["faults"]), found["faults"]
    assert found["transports"]["websocket"] == "works"
    assert late["nodes"] == "3 of 4 sessions were known on a second connection"
    assert late["faults"][0]["fault"].startswith("1 of 4 sessions were unknown on a second connection")


def test_an_upgrade_that_meets_another_node_wants_sticky_sessions() -> None:
    """Not what is said where a proxy stops upgrades: polling alone would meet other nodes too."""
    with serverkit.running("sio4") as one, serverkit.running("sio4") as other:
        elsewhere = f"if ($http_upgrade) {{ proxy_pass http://127.0.0.1:{other.port}; }}"
        with serverkit.nginx(one.port, location=PASSING + elsewhere) as url:
            (fault,) = examine(url, code=0)["faults"]
    assert fault["fault"] == "the upgrade to websocket fails: HTTP 400: Session ID unknown"
    assert fault["remedy"] == (
        "turn on sticky sessions at the load balancer, or test with --transports websocket"
    )


def test_an_upgrade_that_fails_where_websockets_work(servers: Callable[..., serverkit.Server]) -> None:
    shut = "set $of $http_upgrade$arg_sid; if ($of ~ websocket.+) { return 403; }"
    with serverkit.nginx(servers("sio4").port, location=PASSING + shut) as url:
        (fault,) = examine(url, code=0)["faults"]
    assert fault["fault"].startswith("the upgrade to websocket fails: HTTP 403")
    assert fault["remedy"] == "let proxies pass upgrades, or test with --transports polling"


def test_nodes_of_an_old_server_without_sticky_sessions() -> None:
    """There is no way without: its handshake is a request of its own."""
    with serverkit.running("sio0") as one, serverkit.running("sio0") as other:
        with balancer(one.port, other.port) as url:
            for transports in ("polling,websocket", "websocket"):
                (fault,) = examine(url, "--transports", transports, code=1)["faults"]
                assert "several nodes without sticky sessions" in fault["fault"]
                assert fault["remedy"] == "turn on sticky sessions at the load balancer"


PASSING = (
    'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
)


#: A short run; in a second, its user may not have begun.
SHORT = ("--users", "1", "--run-time", "3s", "--emit", "echo", "--data", "1", "--ack")


@pytest.mark.parametrize("kind", ["sio4", pytest.param("sio2", marks=pytest.mark.verify), "pysio4"])
def test_a_proxy_that_drops_the_header_upgrade(kind: str, servers: Callable[..., serverkit.Server]) -> None:
    with serverkit.nginx(servers(kind).port) as url:
        (fault,) = examine(url, code=0)["faults"]
        assert "drops the header Upgrade" in fault["fault"]
        assert "proxy_set_header Upgrade $http_upgrade;" in fault["remedy"]
        assert "proxy_set_header Connection" in fault["remedy"]
        assert examine(url, "--transports", "websocket", code=1)["faults"] == [{**fault, "fatal": True}]
        done = serverkit.run_sioload(["bench", url, *SHORT, "--transports", "websocket"])
    assert done.code == 1 and "doctor names the lines to add" in " ".join(done.text.split()), done.text
    with serverkit.nginx(servers(kind).port, location=PASSING) as url:
        assert examine(url, code=0)["faults"] == []


def test_a_server_that_takes_neither_transport() -> None:
    """The remedy was to name the other one, and to look for another parser."""
    listens = "function() { console.log('listening', this.address().port) }"
    script = (
        "const server = require('http').createServer();"
        "new (require('sio4').Server)(server, { transports: ['webtransport'] });"
        f"server.listen(0, '127.0.0.1', {listens})"
    )
    argv = [serverkit.need_node("sio4"), "-e", script]
    with serverkit.Process(argv, cwd=serverkit.SERVERS) as server:
        port = server.wait_for(serverkit.READY, 20).group(1)
        (fault,) = examine(f"http://127.0.0.1:{port}", code=1)["faults"]
    assert fault["fault"] == "namespace / can't be joined: HTTP 400: Transport unknown"
    assert "both are switched off" in fault["remedy"]


def test_credentials_above_the_servers_max_payload(servers: Callable[..., serverkit.Server]) -> None:
    url = servers("sio4", "--max-payload", "50").url
    (fault,) = examine(url, "--auth", json.dumps({"token": "x" * 50}), code=1)["faults"]
    assert "above the server's maxPayload of 50" in fault["fault"]
    assert "maxHttpBufferSize" in fault["remedy"] and "parser" not in fault["remedy"]


def test_a_port_that_speaks_http2_alone() -> None:
    """It was "not HTTP", and the remedy another scheme."""
    listens = "function() { console.log('listening', this.address().port) }"
    script = f"require('http2').createServer().listen(0, '127.0.0.1', {listens})"
    with serverkit.Process([serverkit.need_node("sio4"), "-e", script]) as server:
        url = f"http://127.0.0.1:{server.wait_for(serverkit.READY, 20).group(1)}"
        (fault,) = examine(url, code=1)["faults"]
        assert (fault["fault"], fault["fatal"]) == ("the port speaks HTTP/2 alone", True)
        assert "HTTP/1.1" in fault["remedy"]
        for transports in ("polling,websocket", "websocket"):
            done = serverkit.run_sioload(["bench", url, *SHORT, "--transports", transports])
            assert done.code == 1 and "CONNECT /: open: the port speaks HTTP/2 alone" in done.text, done.text


def test_a_websocket_that_users_of_an_old_server_take_must_work(
    servers: Callable[..., serverkit.Server],
) -> None:
    """0.9 has no upgrade, so nothing else follows a websocket that a proxy lets not pass."""
    with serverkit.nginx(servers("sio0").port) as url:
        (fault,) = examine(url, code=1)["faults"]
        assert fault["fault"].startswith("websocket doesn't work") and fault["fatal"]
        assert fault["remedy"] == "test with --transports polling"
        assert examine(url, "--transports", "polling", code=0)["ready"] is True
        done = serverkit.run_sioload(["bench", url, *SHORT])
        assert done.code == 1 and "open: HTTP 502" in done.text, done.text
        assert serverkit.run_sioload(["bench", url, *SHORT, "--transports", "polling"]).code == 0


def test_sessions_that_go_by_the_clients_address(servers: Callable[..., serverkit.Server]) -> None:
    with serverkit.running("sio4") as one, serverkit.running("sio4") as other:
        with serverkit.nginx(one.port, other.port, location=PASSING, upstream="ip_hash;") as url:
            (fault,) = examine(url, code=0)["faults"]
        assert "ip_hash" in fault["fault"] and "source_addresses" in fault["remedy"]
        nodes = "\n".join(f"  server n{node.port} 127.0.0.1:{node.port}" for node in (one, other))
        with proxykit.haproxy("", "  balance source\n" + nodes) as url:
            assert [fault] == examine(url, code=0)["faults"]


def test_sessions_with_cookies_that_go_by_the_clients_address() -> None:
    """A cookie for each session (the server's option `cookie`) doesn't say where it goes."""
    cookie = 'add_header Set-Cookie "io=$request_id; Path=/";'
    with serverkit.running("sio4") as one, serverkit.running("sio4") as other:
        with serverkit.nginx(one.port, other.port, location=PASSING + cookie, upstream="ip_hash;") as url:
            (fault,) = examine(url, code=0)["faults"]
    assert "ip_hash" in fault["fault"]


@pytest.mark.parametrize("attribute", ["secure", "domain chat.example.com"])
def test_sticky_sessions_by_a_cookie_that_is_not_for_this_url(attribute: str) -> None:
    """A server that is tested by its address, or past what ends TLS before it: nothing is to be turned on."""
    with serverkit.running("sio4") as one, serverkit.running("sio4") as other:
        nodes = "\n".join(f"  server n{n.port} 127.0.0.1:{n.port} cookie n{n.port}" for n in (one, other))
        cookie = f"  balance roundrobin\n  cookie NODE insert indirect nocache {attribute}\n"
        with proxykit.haproxy("", cookie + nodes) as url:
            (fault,) = examine(url, code=1)["faults"]
    assert "by the cookie NODE, which isn't sent to this URL" in fault["fault"]
    assert fault["remedy"].startswith("use the scheme, host and path that the cookie is for")


@pytest.mark.parametrize("kind", ["sio4", "sio2"])
def test_a_server_that_sends_everybody_away(kind: str, servers: Callable[..., serverkit.Server]) -> None:
    found = examine(servers(kind, "--dismiss", "30").url, code=1)
    assert "right after it has joined" in found["faults"][0]["fault"]
    assert "token" in found["faults"][0]["remedy"]


@pytest.mark.parametrize(("status", "remedy"), [(429, "limits requests"), (503, "which may limit requests")])
def test_a_proxy_that_limits_requests(
    status: int, remedy: str, servers: Callable[..., serverkit.Server]
) -> None:
    """With 503, as nginx does: another parser was suspected."""
    limit = (
        "  stick-table type ip size 1k expire 60s store http_req_rate(60s)\n  http-request track-sc0 src\n"
        "  http-request deny deny_status STATUS if { sc_http_req_rate(0) gt 2 }\n"
    )
    limit = limit.replace("STATUS", str(status))
    with proxykit.haproxy("", f"{limit}  server one 127.0.0.1:{servers('sio4').port}") as url:
        (fault,) = examine(url, code=1)["faults"]
    assert f"HTTP {status}" in fault["fault"] and remedy in fault["remedy"], fault
    assert "parser" not in fault["remedy"]


@pytest.mark.parametrize(("status", "most"), [(429, 1), (503, 2)], ids=["opening", "ending"])
def test_a_limit_that_is_met_late_is_no_lack_of_sticky_sessions(
    status: int, most: int, servers: Callable[..., serverkit.Server]
) -> None:
    """Sessions that weren't opened, or asked for again, were told as lost between nodes."""
    limit = (
        "  acl asks req.hdr(user-agent) -m beg python-requests\n"
        "  stick-table type ip size 1k expire 60s store http_req_rate(60s)\n"
        "  http-request track-sc0 src if asks\n"
        f"  http-request deny deny_status {status} if asks {{ sc_http_req_rate(0) gt {most} }}\n"
    )
    with proxykit.haproxy("", f"{limit}  server one 127.0.0.1:{servers('sio4').port}") as url:
        (fault,) = examine(url, code=0)["faults"]
    assert fault["fault"].startswith(f"some requests fail, of several alike: HTTP {status}"), fault
    assert "limit requests" in fault["remedy"] and not fault["fatal"]


def test_a_server_of_another_parser(servers: Callable[..., serverkit.Server]) -> None:
    """It closes the connection at the first packet that is none of its own."""
    (fault,) = examine(servers("sio4", "--msgpack").url, code=1)["faults"]
    assert "closed by the server" in fault["fault"] and "option parser" in fault["remedy"]


def test_a_token_in_the_urls_query(servers: Callable[..., serverkit.Server]) -> None:
    url = servers("sio2").url
    (fault,) = examine(url, "--namespace", "/private", code=1)["faults"]
    assert "?token=" in fault["remedy"]
    assert examine(f"{url}/?token=secret", "--namespace", "/private", code=0)["ready"] is True


def test_a_namespace_that_there_is_not(servers: Callable[..., serverkit.Server]) -> None:
    found = examine(servers("sio4").url, "--namespace", "/nosuch", code=1)
    assert "--namespace" in found["faults"][0]["remedy"]


def test_a_node_of_several_that_is_down(node4: serverkit.Server) -> None:
    with balancer(*[node4.port] * 11, serverkit.free_port()) as url:
        (fault,) = examine(url, code=0)["faults"]
    assert "some requests fail" in fault["fault"] and "each of its nodes" in fault["remedy"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ftp://127.0.0.1"], "must begin with http://"),
        (["http://127.0.0..1:5000"], "the host can't be read"),
        (["https://127.0.0.1", "--ca-file", "no-such-file.pem"], "no-such-file.pem: [Errno 2] No such file"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(args: list[str], said: str) -> None:
    run = serverkit.run_sioload(["doctor", *args], timeout=20)
    assert run.code == 2
    assert len(run.err.splitlines()) == 1
    assert said in run.err


def test_a_header_of_any_letters(node4: serverkit.Server) -> None:
    node4.reset()
    assert examine(node4.url, "--header", "X-Name: zoë €", code=0)["ready"] is True
    got = {one["headers"].get("x-name") for one in node4.requests()}
    assert got == {"zoë €".encode().decode("latin-1")}


@pytest.mark.parametrize("name", ["zoë", "€"])
def test_a_cookie_of_any_letters(name: str, node4: serverkit.Server) -> None:
    """As users send it: the server was said not to speak HTTP, or got other bytes."""
    node4.reset()
    assert examine(node4.url, "--header", f"Cookie: name={name}; n=1", code=0)["faults"] == []
    got = {one["headers"].get("cookie") for one in node4.requests()}
    assert got == {f"name={name}; n=1".encode().decode("latin-1")}


def test_a_proxy_that_lets_nobody_through(node4: serverkit.Server) -> None:
    """It is the proxy's fault, and no other scheme or header of the server's mends it."""
    server, tls = node4.url, node4.url.replace("http:", "https:")
    with (
        proxykit.tinyproxy("BasicAuth ann secret-word") as guarded,
        proxykit.tinyproxy("ConnectPort 1") as shut,
    ):
        for proxy, url, said in (
            (f"http://{guarded}", server, f"proxy {guarded}: HTTP 40"),
            (f"http://{guarded}", tls, f"proxy {guarded}: HTTP 40"),
            (f"http://ann:wrong@{guarded}", tls, "refuses the user and password"),
            (f"http://{shut}", tls, "it allows no tunnel to 127.0.0.1"),
        ):
            fault = examine(url, "--proxy", proxy, code=1)["faults"][0]
            assert said in fault["fault"] and "--proxy" in fault["remedy"], fault
    fault = examine(server, "--proxy", f"http://127.0.0.1:{serverkit.free_port()}", code=1)["faults"][0]
    assert fault["remedy"] == "start the proxy, or check --proxy"


@pytest.mark.parametrize("url", ["http://nosuchhost.invalid", "https://127.0.0.1:1"])
def test_a_proxy_of_the_shell_is_named_with_the_flag_for_it(url: str) -> None:
    scheme = url.partition(":")[0]
    shell = {f"{scheme}_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    run = serverkit.run_sioload(["doctor", url, "--json"], env=shell)
    (fault,) = json.loads(run.out)["faults"]
    assert run.code == 1 and fault["remedy"].endswith(f"({scheme}_proxy isn't used: give --proxy)"), fault


def test_a_redirect_to_no_url(servers: Callable[..., serverkit.Server]) -> None:
    with proxykit.nginx("location / { return 307 'http://[x/'; }") as front:
        found = examine(front, code=1)
    assert "InvalidHeader" in found["faults"][0]["fault"]


def test_an_origin_that_the_server_refuses(servers: Callable[..., serverkit.Server]) -> None:
    """python-socketio takes its own; without the header, whoever asks."""
    url = servers("target").url
    elsewhere = ("--header", "Origin: http://elsewhere.test")
    (fault,) = examine(url, *elsewhere, code=1)["faults"]
    assert "ot an accepted origin" in fault["fault"] and "--header 'Origin: " in fault["remedy"]
    done = serverkit.run_sioload(["bench", url, *SHORT, *elsewhere])
    assert done.code == 1 and "--header 'Origin: " in " ".join(done.text.split()), done.text
    assert examine(url, "--header", f"Origin: {url}", code=0)["faults"] == []


def test_redirects_are_followed_with_what_may_follow(servers: Callable[..., serverkit.Server]) -> None:
    """Credentials of the URL stay with the server that they were given for."""
    behind = servers("sio4")
    behind.reset()
    with proxykit.nginx(f"location / {{ return 307 {behind.url}$request_uri; }}") as front:
        (fault,) = examine(front.replace("//", "//ann:se%3Acret@"), "-H", "Cookie: a=1", code=0)["faults"]
    assert not fault["fatal"] and f"redirects to {behind.url}/socket.io/" in fault["fault"]
    assert "use that URL" in fault["remedy"]
    asked = behind.requests()
    assert asked and not any({"authorization", "cookie"} & set(one["headers"]) for one in asked)
    behind.reset()
    examine(behind.url.replace("//", "//ann:se%3Acret@"), code=0)
    assert {one["headers"].get("authorization") for one in behind.requests()} == {"Basic YW5uOnNlOmNyZXQ="}


#: A server below a path of its own, whose name has a word that logins have.
AUTH = PASS.replace("location /", "location /auth/io/").replace("{behind};", "{behind}/socket.io/;")


def test_a_word_of_logins_in_what_was_asked_for_makes_no_login(
    servers: Callable[..., serverkit.Server],
) -> None:
    with (
        proxykit.nginx(
            PASS.format(behind=servers("sio4").port) + AUTH.format(behind=servers("sio4").port)
        ) as at,
        proxykit.nginx(f"location / {{ return 307 {at}$request_uri; }}") as front,
    ):
        for given in ([f"{front}/?auth=token"], [front, "--path", "/auth/io/"]):
            (note,) = examine(*given, code=0)["faults"]
            assert f"redirects to {at}" in note["fault"] and not note["fatal"]
    with proxykit.nginx("location / { return 302 /auth/signin; }") as front:
        (fault,) = examine(front, code=1)["faults"]
    assert "--header 'Cookie: " in fault["remedy"]


def test_redirects_that_end_and_those_that_do_not(servers: Callable[..., serverkit.Server]) -> None:
    """One looks for the cookie that it sets."""
    there = PASS.format(behind=servers("sio4").port)
    seen = "if ($cookie_seen = '') { return 307 $scheme://$http_host$request_uri; } "
    lines = f"add_header Set-Cookie 'seen=1; Path=/' always; {there.replace('{ ', '{ ' + seen, 1)}"
    with proxykit.nginx(lines) as url:
        assert examine(url, code=0)["faults"] == []
    with proxykit.nginx("location / { return 301 $scheme://$http_host$request_uri; }") as url:
        (fault,) = examine(f"{url}/?token=secret", code=1)["faults"]
    assert "redirects in a circle" in fault["fault"] and "X-Forwarded-Proto" in fault["remedy"]
    assert "secret" not in fault["fault"]


def test_what_a_load_test_finds_in_another_form_is_found(servers: Callable[..., serverkit.Server]) -> None:
    """A path without its slash, and 0.9's handshake where the first request is met by an error."""
    there = PASS.replace("location /", "location = /api/io").replace("{behind};", "{behind}/socket.io/;")
    lines = there.format(behind=servers("target").port) + " location / { return 404; }"
    with proxykit.nginx(lines) as url:
        found = examine(url, "--path", "/api/io", code=0)
    assert found["faults"] == [] and found["ping_interval_s"] and found["nodes"].startswith("4 of 4")
    found = examine(servers("gsio").url, code=0)
    assert (found["faults"], found["socket_io"]) == ([], "0.9")


def test_headers_that_were_copied_from_a_browser(node4: serverkit.Server) -> None:
    node4.reset()
    copied = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
              "Host: elsewhere.test", "Content-Length: 5", "X-Own: 1")  # fmt: skip
    found = examine(node4.url, *(arg for header in copied for arg in ("-H", header)), code=0)
    assert found["faults"] == []
    got = [one["headers"] for one in node4.requests()]
    assert {one.get("x-own") for one in got} == {"1"}
    assert {one["host"] for one in got} == {f"127.0.0.1:{node4.port}"}


def test_every_question_to_an_old_server_carries_the_urls_query(
    servers: Callable[..., serverkit.Server],
) -> None:
    server = servers("sio0")
    server.reset()
    found = examine(f"{server.url}/?token=secret", "--namespace", "/private", code=0)
    assert found["namespace"] == "joined"
    asked = [one["url"] for one in server.requests()]
    assert len(asked) > 5 and all("token=secret" in url for url in asked), asked


def test_tls_is_spoken_as_users_do(tmp_path: Path) -> None:
    """An authority that the machine trusts; in `try`, a certificate and a name that the options give."""
    ca, cert, key = certificate(tmp_path, "host")
    mine = tmp_path / "mine.pem"
    with serverkit.running("sio4", "--cert", str(cert), "--key", str(key)) as server:
        run = serverkit.run_sioload(["doctor", server.url, "--json"], env={"SSL_CERT_FILE": str(ca)})
        assert "for another host" in json.loads(run.out)["faults"][0]["fault"], run.text
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("ann@here.test").private_key_and_cert_chain_pem.write_to_path(str(mine))
    leaf = authority.issue_cert("chat.test")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(cert))
    port = serverkit.free_port()
    tls = f"listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {cert}; "
    asks = f"ssl_client_certificate {ca}; ssl_verify_client on; "
    script = tmp_path / "member.py"
    script.write_text(
        "from locust import task\nfrom sioload import SocketIOUser\n\nclass Member(SocketIOUser):\n"
        f"    options = {{'ca_file': {str(ca)!r}, 'cert_file': {str(mine)!r}, 'namespaces': ['/nosuch'],\n"
        "               'server_hostname': 'chat.test'}\n"
        "    @task\n    def ask(self): self.sio.call('echo', 1)\n"
    )
    with serverkit.running("sio4") as behind, proxykit.nginx(tls + asks + PASS.format(behind=behind.port)):
        tried = ["try", script, "--host", f"https://127.0.0.1:{port}", "--seconds", "1", "--json"]
        run = serverkit.run_sioload(tried)
    odd = json.loads(run.out.splitlines()[-1])["odd"]
    assert [each["what"] for each in odd][-1:] == [
        "namespace /nosuch can't be joined: namespace /nosuch refused: Invalid namespace"
    ], run.text
