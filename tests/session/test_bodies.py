"""What is queued while a POST is under way fits into the bodies that follow, whatever their framing adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
import serverkit
from faults.hostile import Hostile, Peer

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError, Refused

DATA: dict[str, Any] = {
    "short": "x",
    "text": "x" * 90,
    "beyond ascii": "€😀é" * 9,
    "binary": [b"\xff" * 40, b""],
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize("version, base64", [(4, False), (2, False), (2, True)])
def test_a_backlog_goes_out_in_bodies_that_the_server_takes(
    version: int, base64: bool, what: str, servers: Callable[..., serverkit.Server]
) -> None:
    server = servers("sio4", "--max-payload", "1500", "--allow-eio3")
    server.reset()
    options = {"version": version, "transports": ["polling"], "base64": base64}
    with gevent.Timeout(20):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        for _ in range(200):
            sio.emit("echo", DATA[what])
        while sio.fleet.recorder.ledger.open:
            gevent.sleep(0.01)
        sio.disconnect()
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["sent"], ledger["error"]) == (200, 0), ledger
    assert server.counts()["received"]["/"]["echo"] == 200


#: One packet each, and too much for one body of 20,000 bytes (in base64, as polling has it).
PARTS: dict[str, list[Any]] = {
    "three": [b"\1" * 6000, b"\2" * 6000, b"\3" * 6000],
    "behind a long text": ["x" * 15000, b"\1" * 3000, b"\2" * 3000, b"\3" * 3000],
}


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize(
    ("kind", "version", "base64"),
    [("sio4", 4, False), ("sio4", 2, True), ("pysio5", 4, False)],
)
def test_attachments_go_out_in_as_many_bodies_as_it_takes(
    kind: str, version: int, base64: bool, what: str, servers: Callable[..., serverkit.Server]
) -> None:
    """All in one, they were refused with 413; python-engineio ended the session."""
    server = servers(kind, "--max-payload", "20000", *(["--allow-eio3"] if version == 2 else []))
    options = {"version": version, "transports": ["polling"], "base64": base64, "reconnection": False}
    with gevent.Timeout(20):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        for number in range(3):
            assert sio.call("echo", (number, PARTS[what])) == (number, PARTS[what])
        sio.emit("silent", PARTS[what])
        while sio.fleet.recorder.ledger.open:
            gevent.sleep(0.01)
        sio.disconnect()
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["acked"], ledger["sent"], ledger["error"]) == (3, 1, 0), ledger


def test_an_event_of_more_packets_than_python_takes_in_one_body(
    servers: Callable[..., serverkit.Server],
) -> None:
    """python-engineio drops what is beyond 16, and answers OK: it got no ack."""
    data = [bytes([number]) for number in range(40)]
    with gevent.Timeout(20):
        sio = SocketIOClient(None, {"version": 2, "transports": ["polling"]}, url=servers("pysio4").url)
        sio.connect()
        assert sio.call("echo", data) == data
        sio.disconnect()


@pytest.mark.parametrize("kind", ["sio4", "pysio5"])
@pytest.mark.parametrize(
    "options", [{"transports": ["polling"]}, {"transports": ["websocket"], "base64": True}]
)
def test_what_is_too_large_in_base64_is_refused_here(
    kind: str, options: dict[str, Any], servers: Callable[..., serverkit.Server]
) -> None:
    """16,000 bytes are 21,336 characters: servers refuse the body, or end the session (python-engineio)."""
    server = servers(kind, "--max-payload", "20000")
    with gevent.Timeout(20):
        sio = SocketIOClient(None, {"version": 4, "reconnection": False, **options}, url=server.url)
        sio.connect()
        with pytest.raises(
            Refused, match="a message of 21337 bytes is above the server's maxPayload of 20000"
        ):
            sio.call("echo", b"\1" * 16000)
        assert sio.call("echo", b"\1" * 14000) == b"\1" * 14000
        sio.disconnect()
    assert sio.fleet.recorder.ledger.encode()["error"] == 1


@pytest.mark.parametrize("kind", ["sio4", "pysio5"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_answers_above_max_payload_are_failures_of_their_handlers(
    kind: str, transport: str, servers: Callable[..., serverkit.Server]
) -> None:
    """Nobody heard of it, on polling; websockets were closed."""
    server = servers(kind, "--max-payload", "20000")
    options = {"version": 4, "transports": [transport], "reconnection": False}
    with gevent.Timeout(20):
        sio = SocketIOClient(None, options, url=server.url)
        sio.on("question", lambda *args: "x" * 30000)
        sio.connect()
        sio.call("ask", "q")
        row = sio.fleet.recorder.row("RECV", "question (handler)")
        while not row.totals().failures:
            gevent.sleep(0.01)
        assert sio.call("echo", 1) == 1
        sio.disconnect()
    (error,) = row.totals().errors
    assert error == "Refused: a message of (n) bytes is above the server's maxPayload of (n)"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_an_auth_payload_above_max_payload_is_named(
    transport: str, servers: Callable[..., serverkit.Server]
) -> None:
    """Its refusal said nothing to a user that polls: there was no answer until connect_timeout."""
    server = servers("sio4", "--max-payload", "20000")
    options = {"version": 4, "transports": [transport], "auth": {"token": "x" * 30000}}
    with gevent.Timeout(10), pytest.raises(ConnectError, match="above the server's maxPayload of 20000"):
        SocketIOClient(None, options, url=server.url).connect()


def test_of_a_message_whose_beginning_was_refused_nothing_more_is_posted() -> None:
    """A proxy may take less than the server: the rest would be an attachment that no packet announced."""
    posted: list[bytes] = []

    def script(peer: Peer) -> None:
        bodies = iter([peer.session(maxPayload=1000).encode(), b'40{"sid":"s"}'])
        while True:
            asked = peer.request()
            if asked.method == "POST":
                if not asked.body.startswith(b"40"):
                    posted.append(asked.body)
                peer.reply(413 if asked.body.startswith(b"452") else 200, b"ok")
            elif (body := next(bodies, None)) is not None:
                peer.reply(200, body)
            else:
                peer.hold()

    with Hostile(script) as server, gevent.Timeout(10):
        sio = SocketIOClient(None, {"version": 4, "transports": ["polling"]}, url=server.url)
        sio.connect()
        sio.emit("parts", [b"\1" * 600, b"\2" * 600])
        sio.emit("whole")
        while sio.fleet.recorder.ledger.open:
            gevent.sleep(0.01)
        sio.close_quietly()
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["error"], ledger["sent"]) == (1, 1)
    assert [body[:9] for body in posted[:2]] == [b'452-["par', b'42["whole']
