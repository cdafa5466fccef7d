"""TLS that can't be trusted or isn't there, names that lead nowhere."""

from __future__ import annotations

import ctypes
import datetime
import http.server
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import serverkit
import trustme
from faults.hostile import Hostile, Peer
from faults.kit import POLLING, TRANSPORTS, WEBSOCKET, Driver, failures, isolates
from faults.proxy import Fault, Proxy

Servers = Callable[..., serverkit.Server]
# linux/sched.h, linux/mount.h
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
HOUR = datetime.timedelta(hours=1)
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, str(path)


def context(cert: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(made)
    return made


def self_signed() -> ssl.SSLContext:
    """A server whose certificate is its own authority."""
    ca = trustme.CA()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(ca.private_key_pem.bytes() + ca.cert_pem.bytes())
        file.flush()
        made.load_cert_chain(file.name)
    return made


def session(peer: Peer) -> None:
    peer.connected()
    peer.serve(1000)


UNTRUSTED = {
    "expired": "certificate not trusted: certificate has expired",
    "not yet valid": "certificate not trusted: certificate is not yet valid",
    "wrong host": "certificate not trusted: ip address mismatch",
    "self-signed": "certificate not trusted: self-signed certificate",
    "another authority's": "certificate not trusted: unable to get local issuer certificate",
}


@pytest.mark.parametrize("what", UNTRUSTED)
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_certificate_that_must_not_be_trusted(
    driver: Driver, authority: tuple[trustme.CA, str], what: str, transport: str
) -> None:
    """Nothing is sent to such a server."""
    ca, path = authority
    made = {
        "expired": lambda: ca.issue_cert("127.0.0.1", not_before=NOW - 2 * HOUR, not_after=NOW - HOUR),
        "not yet valid": lambda: ca.issue_cert("127.0.0.1", not_before=NOW + HOUR, not_after=NOW + 2 * HOUR),
        "wrong host": lambda: ca.issue_cert("192.0.2.1", "example.invalid"),
        "another authority's": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }
    heard: list[bytes] = []
    tls = self_signed() if what == "self-signed" else context(made[what]())
    with Hostile(lambda peer: heard.append(peer.take(1)), tls) as server:
        driver.open("victims", server.url, {**TRANSPORTS[transport], "ca_file": path})
        seen = driver.wait("victims", "refused", 2)
        figures = driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == "tls"
    assert reason.lower().startswith(UNTRUSTED[what])
    assert reason.endswith(" (options ca_file, server_hostname, tls_verify)")
    assert failures(figures, "DIAL", "tls")
    assert heard == []


def test_by_default_a_certificate_is_verified(driver: Driver, authority: tuple[trustme.CA, str]) -> None:
    ca, _ = authority
    with Hostile(session, context(ca.issue_cert("127.0.0.1"))) as server:
        driver.open("victims", server.url, WEBSOCKET)
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
    assert seen["refused"][0][0] == "tls"


@pytest.mark.parametrize("how", ["ca_file", "tls_verify"])
def test_a_private_authority_or_none(driver: Driver, authority: tuple[trustme.CA, str], how: str) -> None:
    ca, path = authority
    more = {"ca_file": path} if how == "ca_file" else {"tls_verify": False}
    with Hostile(session, context(ca.issue_cert("127.0.0.1"))) as server:
        driver.open("victims", server.url, {**WEBSOCKET, **more}, users=2)
        driver.wait("victims", "done", 10)
        figures = driver.judged()
    assert figures["groups"]["victims"]["refused"] == []


OF_ITS_OWN = """
from locust import task
from sioload import SocketIOUser

class Member(SocketIOUser):
    options = {options!r}

    def on_start(self):
        with self.client.get("/", catch_response=True) as answer:
            print("HTTP:", answer.error or answer.text)
            answer.success()
        self.environment.runner.quit()

    @task
    def idle(self):
        self.sio.sleep(1)
"""


def test_a_users_http_requests_trust_whom_its_connection_trusts(
    authority: tuple[trustme.CA, str], tmp_path: Path
) -> None:
    """And show the same certificate."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = self.connection.getpeercert()  # type: ignore[attr-defined]
            body = b"known" if shown else b"unknown"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ca, path = authority
    own = str(tmp_path / "user.pem")
    ca.issue_cert("ann@example.invalid").private_key_and_cert_chain_pem.write_to_path(own)
    tls = context(ca.issue_cert("127.0.0.1"))
    tls.verify_mode = ssl.CERT_OPTIONAL
    ca.configure_trust(tls)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = {
        "CERTIFICATE_VERIFY_FAILED": {},
        "HTTP: unknown": {"ca_file": path},
        "HTTP: unknown\n": {"tls_verify": False},
        "HTTP: known": {"ca_file": path, "cert_file": own},
        "HTTP: known\n": {"ca_file": path, "cert_file": own, "key_file": own},
    }
    try:
        for said, options in given.items():
            (tmp_path / "locustfile.py").write_text(OF_ITS_OWN.replace("{options!r}", repr(options)))
            url = f"https://127.0.0.1:{server.server_port}"
            done = serverkit.run_locust(
                ["-f", "locustfile.py", "--headless", "--host", url, "-t", "20s"], cwd=tmp_path
            )
            assert said in done.out, done.text
            assert "InsecureRequestWarning" not in done.text, "an option says it, and the summary"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("transport", ["websocket", "upgrade"])
def test_tls_in_segments_of_one_byte(
    driver: Driver, authority: tuple[trustme.CA, str], tmp_path: Path, transport: str
) -> None:
    ca, path = authority
    cert = ca.issue_cert("127.0.0.1")
    cert.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    pem = str(tmp_path / "server.pem")
    with serverkit.running("sio4", "--cert", pem, "--key", pem) as server:
        with Proxy(server.port, Fault(slice=1), Fault(slice=1)) as proxy:
            url = proxy.url.replace("http", "https")
            driver.open("victims", url, {**TRANSPORTS[transport], "ca_file": path})
            driver.wait("victims", "done", 5)
            figures = driver.judged()
    victims = figures["groups"]["victims"]
    assert (victims["raised"], victims["lost"], victims["refused"]) == ({}, [], [])


def test_plain_http_on_a_tls_port(driver: Driver) -> None:
    """The URL says https, the server speaks HTTP."""
    with Hostile(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        driver.open("victims", server.url.replace("http", "https"), WEBSOCKET)
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
    assert seen["refused"][0] == ["tls", "the server doesn't speak TLS on this port (use http:// or ws://)"]


def test_tls_on_a_plain_port(driver: Driver, authority: tuple[trustme.CA, str]) -> None:
    """The URL says http, the server speaks TLS."""
    ca, _ = authority
    with Hostile(session, context(ca.issue_cert("127.0.0.1"))) as server:
        driver.open("victims", server.url.replace("https", "http"), {**POLLING, "connect_timeout": 1.0})
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
    assert seen["refused"][0][0] == "open"


@pytest.mark.parametrize("end", ["cut", "reset", "stall", "corrupt"])
def test_a_tls_handshake_that_breaks(driver: Driver, authority: tuple[trustme.CA, str], end: str) -> None:
    ca, path = authority
    with Hostile(session, context(ca.issue_cert("127.0.0.1"))) as server:
        with Proxy(server.port, down=Fault(**{end: 300})) as proxy:
            options = {**WEBSOCKET, "ca_file": path, "connect_timeout": 0.5}
            driver.open("victims", proxy.url.replace("http", "https"), options)
            seen = driver.wait("victims", "refused", 1)
            driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == ("dial" if end == "stall" else "tls")
    assert reason


def test_a_broken_record_ends_a_session(driver: Driver, authority: tuple[trustme.CA, str]) -> None:
    def script(peer: Peer) -> None:
        peer.connected()
        peer.text('42["' + "x" * 20_000 + '"]')
        peer.hold()

    ca, path = authority
    with Hostile(script, context(ca.issue_cert("127.0.0.1"))) as server:
        with Proxy(server.port, down=Fault(corrupt=10_000)) as proxy:
            url = proxy.url.replace("http", "https")
            driver.open("victims", url, {**WEBSOCKET, "ca_file": path})
            seen = driver.wait("victims", "lost", 1)
            figures = driver.judged()
    assert seen["lost"] == ["transport error"]
    assert any(text.startswith("TLS: ") for text in failures(figures, "DISCONNECT"))


def test_who_comes_back_resumes_the_session_of_tls(driver: Driver, authority: tuple[trustme.CA, str]) -> None:
    """With its own ticket: another user is another browser."""
    resumed: list[bool | None] = []

    def script(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        resumed.append(peer.sock.session_reused)
        peer.connected()
        peer.serve(1000 if peer.number > 2 else 1)

    ca, path = authority
    with Hostile(script, context(ca.issue_cert("127.0.0.1"))) as server:
        driver.open("victims", server.url, {**WEBSOCKET, "ca_file": path})
        driver.wait("victims", "ups", 3)
        driver.open("another", server.url, {**WEBSOCKET, "ca_file": path})
        driver.wait("another", "done", 1)
        driver.judged()
    assert resumed == [False, True, True, False]


def test_a_certificate_file_that_is_not_there(driver: Driver) -> None:
    with Hostile(Peer.hold) as server:
        url = server.url.replace("http", "https")
        driver.open("victims", url, {**WEBSOCKET, "ca_file": "/nonexistent/ca.pem"})
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == "tls" and "ca_file" in reason and "/nonexistent/ca.pem" in reason


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ca_file": "/nonexistent/ca.pem"}, "ca_file, cert_file, key_file: can't use /nonexistent/ca.pem"),
        ({"handshake_url": "nowhere"}, "url 'nowhere' must begin with http://"),
    ],
)
def test_what_no_connection_could_use_ends_a_run_before_it_starts(
    tmp_path: Path, options: dict[str, str], told: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from sioload import SocketIOUser\n"
        f"class Sloppy(SocketIOUser):\n    host, options = 'https://127.0.0.1:9', {options!r}\n"
    )
    run = serverkit.run_locust(["-f", script, "--headless", "-t", "9s"])
    assert run.code == 2 and "Traceback" not in run.err, run.text
    assert told in run.err


# Names.


def test_a_name_that_does_not_exist(driver: Driver) -> None:
    driver.open("victims", "http://nowhere.invalid:5000", {**WEBSOCKET, "connect_timeout": 10.0})
    seen = driver.wait("victims", "refused", 1)
    figures = driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == "dial" and "name" in reason
    assert failures(figures, "DIAL", "tcp")


def no_such_name(sock: socket.socket) -> None:
    """A name server that knows nothing: NXDOMAIN to each question, until an empty one comes."""
    while asked := (got := sock.recvfrom(512))[0]:
        sock.sendto(asked[:2] + b"\x81\x83" + asked[4:6] + bytes(6) + asked[12:], got[1])


@pytest.fixture
def own_names(tmp_path: Path) -> Iterator[Callable[[str], Driver]]:
    """Starts a driver whose system has a name server of the test's own, and these lines in its hosts file."""
    if not isolates():
        serverkit.missing("a name server of the test's own", "run as root (in a container: --privileged)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        address = f"127.53.{os.getpid() % 250}.{os.getpid() // 250 % 250 + 1}"
        sock.bind((address, 53))
        server = threading.Thread(target=no_such_name, args=(sock,), daemon=True)
        server.start()
        (tmp_path / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:1 attempts:2\n")

        def start(hosts: str) -> Driver:
            (tmp_path / "hosts").write_text(hosts)
            return Driver(before=partial(own_files, tmp_path, ["resolv.conf", "hosts"]))

        yield start
        sock.sendto(b"", sock.getsockname())
        server.join(5)


def own_files(folder: Path, names: list[str]) -> None:
    """Files of /etc that only this process sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    calls = [libc.unshare(CLONE_NEWNS), libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)]
    calls += [libc.mount(bytes(folder / n), b"/etc/" + n.encode(), None, MS_BIND, None) for n in names]
    if any(calls):
        raise OSError(ctypes.get_errno(), "mount")


def test_nxdomain_and_a_name_of_two_addresses(own_names: Callable[[str], Driver], servers: Servers) -> None:
    """As the system's own resolver answers: one name isn't there, another has an address where nobody is."""
    port = servers("target").port
    with own_names("127.0.0.2 two.test\n127.0.0.1 two.test\n") as driver:
        driver.open("others", f"http://127.0.0.1:{port}", WEBSOCKET, users=2)
        driver.open("lost", f"http://nowhere.test:{port}", WEBSOCKET)
        driver.open("found", f"http://two.test:{port}", WEBSOCKET, users=3)
        lost = driver.wait("lost", "refused", 2)
        found = driver.wait("found", "done", 10)
        driver.wait("others", "done", 10)
        figures = driver.judged()
    assert {tuple(told) for told in lost["refused"]} == {
        ("dial", "name not found (name or service not known)")
    }
    assert (found["refused"], found["lost"]) == ([], [])
    assert failures(figures, "DIAL", "tcp").keys() == {"name not found (name or service not known)"}


@pytest.mark.parametrize("dead", ["refusing", "silent"])
def test_one_dead_address_of_two(driver: Driver, dead: str) -> None:
    """The other one is taken, and first of all from then on."""
    name = "two.invalid"
    with serverkit.running("target") as server, socket.socket() as holder:
        holder.bind(("127.0.0.2", server.port))
        crowd = []
        if dead == "silent":
            holder.listen(0)
            for _ in range(4):
                crowd.append(sock := socket.socket())
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.2", server.port))
        where = [(socket.AF_INET, ["127.0.0.2", server.port]), (socket.AF_INET, ["127.0.0.1", server.port])]
        names = {f"{name}:{server.port}": where}
        begun = time.monotonic()
        driver.open("victims", f"http://{name}:{server.port}", WEBSOCKET, users=2, names=names)
        driver.wait("victims", "done", 4)
        took = time.monotonic() - begun
        again = time.monotonic()
        driver.open("later", f"http://{name}:{server.port}", WEBSOCKET, users=2)
        driver.wait("later", "done", 4)
        took_again = time.monotonic() - again
        figures = driver.judged()
        for sock in crowd:
            sock.close()
    assert figures["groups"]["victims"]["refused"] == []
    assert took < 2.5
    assert dead == "refusing" or took_again < 0.9 < took  # the dead one costs its second only once
