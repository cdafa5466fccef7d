"""Networks and servers that break: killed, silent, reset, slow, cut to pieces."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import socket
import time
from collections.abc import Callable

import pytest
import serverkit
from faults.hostile import Hostile, Peer
from faults.kit import BACKOFF, QUICK, TRANSPORTS, WEBSOCKET, Driver, failures
from faults.proxy import Fault, Proxy

Servers = Callable[..., serverkit.Server]
#: A recovery may take twice the longest backoff (with its jitter); then the connection itself.
RECOVERY = 2 * BACKOFF["reconnection_delay_max"] + 1.0
INTERVAL, TIMEOUT = 0.3, 0.2  # heartbeat of the impatient servers, in seconds
WORK = ("echo", "binary", "emit", "flood", "unanswered", "idle")
IMPATIENT = ("--ping-interval", "300", "--ping-timeout", "200")


def again(kind: str, port: int) -> serverkit.Server:
    return serverkit.start(kind, "--port", str(port))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_server_is_found_out_and_returned_to(driver: Driver, transport: str) -> None:
    with serverkit.running("sio4") as server:
        driver.open("victims", server.url, TRANSPORTS[transport], users=3)
        driver.wait("victims", "done", 30)
        server.process.signal(signal.SIGKILL)
        driver.wait("victims", "lost", 3)
        driver.wait("victims", "ups", 3)
        server.process.popen.wait()
        driver.sleep(0.5)
        second = again("sio4", server.port)
    try:
        restored = time.monotonic()
        driver.wait("victims", "ups", 6)
        figures = driver.judged()
        counts = second.counts()
    finally:
        second.process.close()
    victims = figures["groups"]["victims"]
    assert max(victims["ups"][3:]) - restored < RECOVERY
    assert set(victims["lost"]) <= {"transport closed", "transport error"}
    assert failures(figures, "DISCONNECT")
    assert set(victims["raised"]) <= {"ConnectionLost", "NotConnected"}
    assert figures["closed"]["client"] == 3 + 2
    assert serverkit.total(counts["received"], "echo") > 0


@pytest.mark.parametrize(
    ("lib", "transport"),
    [
        ("sio4", "websocket"),
        pytest.param("sio4", "polling", marks=pytest.mark.verify),
        pytest.param("sio2", "websocket", marks=pytest.mark.verify),
        ("sio2", "polling"),
    ],
)
def test_a_half_open_connection_is_found_out_by_its_heartbeat(
    driver: Driver, servers: Servers, lib: str, transport: str
) -> None:
    version = int(lib[-1])
    with Proxy(servers(lib, *IMPATIENT).port) as proxy:
        driver.open("victims", proxy.url, {**TRANSPORTS[transport], "version": version}, work="idle")
        driver.wait("victims", "ups", 1)
        driver.sleep(0.6)  # some heartbeats go well
        assert not driver.status()["groups"]["victims"]["lost"]
        proxy.stall()
        stalled = time.monotonic()
        seen = driver.wait("victims", "lost", 1)
        assert seen["lost"] == ["ping timeout"]
        assert seen["downs"][0] - stalled < INTERVAL + TIMEOUT + 1.0
        figures = driver.judged()
    assert figures["closed"]["ping timeout"] == 1
    assert failures(figures, "DISCONNECT", "ping timeout")


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_half_open_connection_of_0_9_is_found_out(driver: Driver, transport: str) -> None:
    """Its server beats every second: found within both times of its handshake, and a second."""
    named = {"websocket": "websocket", "polling": "xhr-polling"}[transport]

    def script(peer: Peer) -> None:
        asked = peer.request()
        if asked.target.startswith("/socket.io/1/?"):
            peer.reply(200, f"abc:1:1:{named}".encode())
            return
        if transport == "websocket":
            peer.accept(asked)
            peer.text("1::")
            peer.text("2::")
        else:
            peer.reply(200, b"1::")
        peer.hold()

    with Hostile(script) as server:
        driver.open("victims", server.url, {**TRANSPORTS[transport], "version": 0}, work="idle")
        up = driver.wait("victims", "ups", 1)["ups"][0]
        seen = driver.wait("victims", "lost", 1)
        driver.judged()
    assert seen["lost"] == ["ping timeout"]
    assert 1.0 < seen["downs"][0] - up < 1.0 + 1.0 + 1.0


def test_emits_into_a_half_open_connection_end_as_indeterminate(driver: Driver, servers: Servers) -> None:
    with Proxy(servers("sio4", *IMPATIENT).port) as proxy:
        driver.open("victims", proxy.url, WEBSOCKET, users=2)
        driver.wait("victims", "done", 20)
        proxy.stall()
        driver.wait("victims", "lost", 2)
        figures = driver.judged()
    assert figures["groups"]["victims"]["raised"]["ConnectionLost"] == 2
    assert figures["ledger"]["indeterminate"] >= 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_end_of_a_run_does_not_wait_for_a_silent_server(
    driver: Driver, servers: Servers, transport: str
) -> None:
    with Proxy(servers("sio4").port) as proxy:
        driver.open("victims", proxy.url, TRANSPORTS[transport], users=3, work="unanswered")
        driver.wait("victims", "ups", 3)
        driver.sleep(0.1)
        proxy.stall()
        begun = time.monotonic()
        figures = driver.judged(drain=0.2)
        took = time.monotonic() - begun
    assert took < 4.0
    assert figures["ledger"]["indeterminate"] == 3
    assert figures["closed"]["client"] == 5


def test_nobody_listens(driver: Driver) -> None:
    port = serverkit.free_port()
    driver.open("victims", f"http://127.0.0.1:{port}", WEBSOCKET)
    seen = driver.wait("victims", "refused", 2)
    assert seen["refused"][0] == ["dial", "connection refused"]
    figures = driver.judged()
    assert failures(figures, "DIAL", "tcp") == {
        "connection refused": len(figures["groups"]["victims"]["refused"])
    }
    assert failures(figures, "CONNECT", "/").keys() == {"dial: connection refused"}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("end", ["cut", "reset"])
@pytest.mark.parametrize("sent", [0, 40])
def test_a_handshake_that_is_broken_off(driver: Driver, transport: str, end: str, sent: int) -> None:
    """The connection ends before the answer, or within it."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"[:sent])
        peer.reset() if end == "reset" else peer.fin()

    with Hostile(script) as server:
        driver.open("victims", server.url, TRANSPORTS[transport])
        seen = driver.wait("victims", "refused", 2)
        driver.judged()
    expected = {"cut": "closed by the peer", "reset": "connection reset by peer"}[end]
    stage, reason = seen["refused"][0]
    assert stage == "open"
    assert reason.startswith(expected)


def test_a_reset_before_the_handshake(driver: Driver) -> None:
    with Hostile(Peer.reset) as server:
        driver.open("victims", server.url, WEBSOCKET)
        seen = driver.wait("victims", "refused", 2)
        driver.judged()
    assert seen["refused"][0][0] in ("dial", "open")
    assert "reset" in seen["refused"][0][1] or "broken pipe" in seen["refused"][0][1]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("end", ["cut", pytest.param("reset", marks=pytest.mark.verify)])
def test_a_session_that_is_broken_off_is_resumed(
    driver: Driver, servers: Servers, transport: str, end: str
) -> None:
    with Proxy(servers("sio4").port) as proxy:
        driver.open("victims", proxy.url, TRANSPORTS[transport], users=3)
        done = driver.wait("victims", "done", 30)["done"]
        downs = 0
        while downs < 3:  # a session that polls outlives it when no request of its was open: it isn't lost
            getattr(proxy, end)()
            broken = time.monotonic()
            done = driver.wait("victims", "done", done + 30)["done"]
            downs = len(driver.wait("victims", "connected", 3)["downs"])
            driver.wait("victims", "ups", 3 + downs)
        figures = driver.judged()
    victims = figures["groups"]["victims"]
    # A write may take the reset's error, so that the next read finds the end of the stream.
    allowed = {"transport closed"} if end == "cut" else {"transport closed", "transport error"}
    assert set(victims["lost"]) <= allowed
    assert max(victims["ups"]) - broken < RECOVERY
    assert victims["refused"] == []


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("what", ["headers", "body"])
def test_a_slow_answer_has_one_deadline_for_all_of_it(driver: Driver, transport: str, what: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Padding: " + b"x" * 1000
        if what == "body":
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
            peer.send(head)
            head = b"0{" + b" " * 900
        peer.dribble(head, 0.02)

    with Hostile(script) as server:
        begun = time.monotonic()
        driver.open("victims", server.url, {**TRANSPORTS[transport], "connect_timeout": 0.5})
        seen = driver.wait("victims", "refused", 1)
        took = time.monotonic() - begun
        driver.judged()
    assert seen["refused"][0] == ["open", "no answer in 0.5 s"]
    assert took < 1.5


@pytest.mark.parametrize("stage", ["probe", "open", "connect"])
def test_silence_at_each_stage_ends_with_the_connect_timeout(driver: Driver, stage: str) -> None:
    def script(peer: Peer) -> None:
        if stage == "connect":
            peer.accept()
            peer.text(peer.session())
        peer.hold()

    options = {**WEBSOCKET, "connect_timeout": 1.0, "version": "auto" if stage == "probe" else 4}
    with Hostile(script) as server:
        driver.open("victims", server.url, options, probe=stage == "probe")
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
    told = {"connect": ["connect", "no answer for namespace / in 1 s"]}
    assert seen["refused"][0] == told.get(stage, ["open", "no answer in 1 s"])


def test_a_server_whose_backlog_is_full(driver: Driver) -> None:
    """The kernel drops what would connect: silence from the first packet on."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for sock in crowd:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        driver.open("victims", f"http://127.0.0.1:{port}", {**WEBSOCKET, "connect_timeout": 0.4})
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
        for sock in crowd:
            sock.close()
    assert seen["refused"][0] == ["dial", "no answer in 0.4 s"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_byte_in_a_segment_of_its_own(driver: Driver, servers: Servers, transport: str) -> None:
    with Proxy(servers("sio4").port, Fault(slice=1), Fault(slice=1)) as proxy:
        driver.open("victims", proxy.url, TRANSPORTS[transport], users=2)
        driver.wait("victims", "done", 10)
        figures = driver.judged()
    assert (figures["groups"]["victims"]["raised"], figures["groups"]["victims"]["lost"]) == ({}, [])


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_slow_and_narrow_line(driver: Driver, servers: Servers, transport: str) -> None:
    slow = Fault(delay=0.02, rate=100_000)
    with Proxy(servers("sio4").port, slow, slow) as proxy:
        driver.open("victims", proxy.url, TRANSPORTS[transport], users=2, size=2000)
        driver.wait("victims", "done", 6)
        figures = driver.judged()
    assert (figures["groups"]["victims"]["raised"], figures["groups"]["victims"]["lost"]) == ({}, [])


@pytest.mark.parametrize("at", [10, 200, 330])
def test_a_corrupted_byte(driver: Driver, servers: Servers, at: int) -> None:
    """In the status line, in a header, in the first frames."""
    with Proxy(servers("sio4").port, down=Fault(corrupt=at)) as proxy:
        driver.open("victims", proxy.url, {**WEBSOCKET, "connect_timeout": 0.5})
        driver.sleep(0.7)
        figures = driver.judged()
    victims = figures["groups"]["victims"]
    assert victims["refused"] or victims["lost"] or victims["done"]


def test_a_line_that_stops_taking_bytes_holds_the_user_back(driver: Driver) -> None:
    """Emits wait while the write buffer is full; the heartbeat then ends it, and none is lost track of."""

    def script(peer: Peer) -> None:
        peer.connected(pingInterval=400, pingTimeout=400)
        peer.over.wait(5)

    with Hostile(script) as server:
        driver.open("victims", server.url, WEBSOCKET, work="flood", size=30_000)
        seen = driver.wait("victims", "lost", 1)
        figures = driver.judged()
    ledger = figures["ledger"]
    assert seen["lost"] == ["ping timeout"]
    assert ledger["sent"] > 0 and ledger["indeterminate"] > 0
    assert ledger["indeterminate"] < 40  # as many as the buffer's mark lets in


NEW, OLD = ("sio4", "target"), ("sio2", "sio0")


LONGER = [
    pytest.param(libs, seed, 5.0, marks=pytest.mark.verify)
    for libs in (NEW, OLD, ("sio1", "sio3"))
    for seed in range(1 if libs is OLD else 2, 8)
]


@pytest.mark.parametrize(("libs", "seed", "seconds"), [(NEW, 1, 4.0), *LONGER])
def test_all_of_it_in_any_order(driver: Driver, libs: tuple[str, str], seed: int, seconds: float) -> None:
    """Connections of every kind are cut, reset, stalled and spoilt at random; each emit ends once."""
    rand = random.Random(seed)
    impatient = {"connect_timeout": 1.0, "ack_timeout": 0.5, "reconnection_delay": 0.05}
    with contextlib.ExitStack() as stack:
        # Servers of its own: what they write about spoilt bytes is no other test's business.
        started = [
            stack.enter_context(serverkit.running(lib, *IMPATIENT if lib != "target" else ())) for lib in libs
        ]
        first, second = (stack.enter_context(Proxy(server.port)) for server in started)
        for number, (work, transport) in enumerate(itertools.product(WORK, TRANSPORTS)):
            lib, proxy = libs[number % 2], (first, second)[number % 2]
            version = 4 if lib == "target" else int(lib[-1])
            options = {**TRANSPORTS[transport], **impatient, "version": version}
            size = rand.choice((5, 20_000))
            work = "echo" if work == "binary" and version == 0 else work
            driver.open(f"{number}", proxy.url, options, work=work, users=2, size=size)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            proxy = rand.choice((first, second))
            proxy.up, proxy.down = spoil(rand), spoil(rand)
            what = rand.choice(("cut", "reset", "stall", "resume", "nothing", "nothing"))
            if what != "nothing":
                getattr(proxy, what)()
            time.sleep(rand.uniform(0.02, 0.3))
            proxy.resume()
        for proxy in (first, second):
            proxy.up = proxy.down = Fault()
        figures = driver.judged(drain=2.0)
    ended = ("acked", "sent", "timeout", "error", "indeterminate", "not_sent")
    assert figures["ledger"]["emits"] == sum(figures["ledger"][outcome] for outcome in ended) > 100


def spoil(rand: random.Random) -> Fault:
    """Something wrong with every third connection."""
    how = rand.choice(("", "", "", "", "", "cut", "reset", "corrupt", "slice", "delay"))
    if not how:
        return Fault()
    if how == "slice":
        return Fault(slice=rand.choice((1, 7, 100)))
    return Fault(delay=0.005) if how == "delay" else Fault(**{how: rand.randrange(3000)})


def test_quick_has_no_timeouts_of_its_own() -> None:
    assert QUICK["connect_timeout"] > 2 * RECOVERY
