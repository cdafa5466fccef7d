"""Servers that take websockets only: the generation is found out without polling, a wrong version is told.

The wrong versions on servers that poll too are rows of the matrix (`behaviours/versions.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import gevent
import pytest
import serverkit
from conformance.conftest import run_driver
from conformance.table import SERVERS

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError

SHUT = ("--transports", "websocket")
AUTOMATIC = "handshake: version found out by itself"
#: Without polling, 1.x and 2.x can't be told apart, and either version is taken.
WRONG = {
    "socket.io 0.9.19": (1, 2, 3, 4),
    "socket.io 1.7.4": (0, 3, 4),
    "socket.io 2.5.1": (0, 3, 4),
    "socket.io 3.1.2": (0, 1, 2),
    "socket.io 4.8.4": (0, 1, 2),
    "python-socketio 4.6.1": (0, 3, 4),
    "python-socketio 5": (0, 1, 2),
}
#: For nginx: upgrades pass, and `$empty` is no body at all.
UPGRADES = (
    'set $empty ""; '
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
)


@pytest.mark.parametrize("name", WRONG)
def test_without_polling(servers: Callable[..., serverkit.Server], name: str) -> None:
    server = servers(SERVERS[name].kind, *SHUT)
    wrong = [f"version fixed to {version}, which is wrong" for version in WRONG[name]]
    asked = [arg for behaviour in (AUTOMATIC, *wrong) for arg in ("--only", behaviour)]
    found = run_driver(name, "websocket", server.url, *asked)
    assert len(found) == 1 + len(wrong)
    assert {behaviour: line["error"] for behaviour, line in found.items() if line["error"]} == {}


@pytest.mark.parametrize("version", [1, 2])
def test_3_0_opens_a_websocket_of_another_revision_and_waits(
    servers: Callable[..., serverkit.Server], version: int
) -> None:
    """So did the client, until its connect_timeout, and had nothing to say of the version then."""
    options = {"version": version, "transports": ["websocket"], "reconnection": False}
    sio = SocketIOClient(None, options, url=servers("sio3", "--any-engine").url)
    with (
        gevent.Timeout(10),
        pytest.raises(ConnectError, match=r"3\.x or 4\.x .* option version to") as caught,
    ):
        sio.connect()
    assert caught.value.stage == "open"


@pytest.mark.parametrize(("kind", "other", "wrong"), [("sio2", "4", 4), ("sio4", "3", 2)])
def test_servers_that_refuse_a_websocket_without_a_word(
    servers: Callable[..., serverkit.Server], kind: str, other: str, wrong: int
) -> None:
    """ASGI servers (uvicorn, hypercorn, daphne) answer so to one of another revision of Engine.IO."""
    refusing = f"set $asked $arg_EIO$arg_transport; if ($asked = {other}websocket) {{ return 403 $empty; }}"
    options = {"transports": ["websocket"], "reconnection": False}
    with serverkit.nginx(servers(kind).port, location=UPGRADES + refusing) as url, gevent.Timeout(10):
        sio = SocketIOClient(None, options, url=url)
        sio.connect()
        assert sio.call("echo", 1) == 1
        sio.disconnect()
        with pytest.raises(ConnectError, match=r"the server speaks .* set the option version to"):
            SocketIOClient(None, {**options, "version": wrong}, url=url).connect()


@pytest.mark.parametrize("version", ["auto", 4])
def test_a_websocket_refused_without_a_word_for_other_reasons(
    servers: Callable[..., serverkit.Server], version: str | int
) -> None:
    """The Origin, say. What the server answers to polling tells."""
    refusing = "if ($http_upgrade) { return 403 $empty; }"
    options = {"version": version, "transports": ["websocket"], "reconnection": False}
    with serverkit.nginx(servers("sio4").port, location=UPGRADES + refusing) as url, gevent.Timeout(10):
        with pytest.raises(ConnectError, match=r"HTTP 403 \(ASGI servers don't say why: sioload doctor"):
            SocketIOClient(None, options, url=url).connect()


def test_an_old_server_that_takes_its_time_is_waited_for(servers: Callable[..., serverkit.Server]) -> None:
    """A middleware before the root: one request tells that the version is right."""
    server = servers("sio2", "--slow-root", "4000")
    sio = SocketIOClient(None, {"version": 2, "transports": ["websocket"]}, url=server.url)
    with gevent.Timeout(10):
        sio.connect()
        assert sio.call("echo", 1) == 1
        sio.disconnect()
    row = sio.fleet.recorder.row("OPEN", "(probe)").totals()
    assert (row.count, row.failures) == (1, 0)


def test_a_websocket_that_is_switched_off_is_no_wrong_version(
    servers: Callable[..., serverkit.Server],
) -> None:
    """python-socketio 5 accepts and closes it, as 4 does one of another revision: it was taken for that."""
    options = {"version": 4, "transports": ["websocket"], "reconnection": False}
    sio = SocketIOClient(None, options, url=servers("pysio5", "--transports", "polling").url)
    with gevent.Timeout(10), pytest.raises(ConnectError, match="closed by the server before the session"):
        sio.connect()


#: What differs between 1.0.x, 1.x and 2.x, and a client that can't know which it talks to must get right.
DIFFERENT = (
    "acks of the client: one argument",
    "acks of the server: one argument",
    "events: three arguments",
    "heartbeats over several intervals",
    "namespaces: several on one connection",
    "text: non-ASCII and astral, made by the server",
    "text: non-ASCII and astral, to the server and back",
)


def told_nothing(name: str, url: str, *more: str) -> dict[str, str]:
    """What goes wrong with `version` "auto" on websockets."""
    asked = [arg for behaviour in (*DIFFERENT, *more) for arg in ("--only", behaviour)]
    found = run_driver(name, "websocket", url, "--auto", *asked)
    assert len(found) == len(DIFFERENT) + len(more)
    return {behaviour: line["error"] for behaviour, line in found.items() if line["error"]}


@pytest.mark.parametrize("name", ["socket.io 1.7.4", "socket.io 2.5.1"])
def test_old_servers_that_cannot_be_told_apart(servers: Callable[..., serverkit.Server], name: str) -> None:
    server = servers(*SERVERS[name].command, *SHUT)
    assert told_nothing(name, server.url, "binary: both ways", "binary: the client's ack") == {}


@pytest.mark.parametrize("name", ["socket.io 1.7.4", "socket.io 2.5.1", "python-socketio 4.6.1"])
def test_a_version_that_is_given_is_spoken_with_base64_too(
    servers: Callable[..., serverkit.Server], name: str
) -> None:
    """Openings in base64 may look alike: 2.x was spoken to as 1.x, which reads this text as another."""
    row = SERVERS[name]
    options = {"transports": ["polling"], "base64": True, "reconnection": False}
    url = servers(row.kind).url
    sio = SocketIOClient(None, {**options, "version": row.version}, url=url)
    with gevent.Timeout(10):
        sio.connect()
        assert sio.call("echo", "Ã©") == "Ã©"
        sio.disconnect()
        if name == "python-socketio 4.6.1":  # it opens "/" in the same body, as 1.x never does
            with pytest.raises(ConnectError, match=r"speaks Socket\.IO 2\.x .* option version to 2"):
                SocketIOClient(None, {**options, "version": 1}, url=url).connect()


def test_the_forms_of_1_0_0_are_learnt() -> None:
    script = Path(__file__).resolve().parent / "old_server.py"
    with serverkit.Process([sys.executable, script]) as process:
        url = f"http://127.0.0.1:{process.wait_for(serverkit.READY, 20).group(1)}"
        assert told_nothing("socket.io 1.7.4", url) == {}
        assert serverkit.http_json(f"{url}/harm") == []
        assert process.err == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sio2", "sio4"),
        pytest.param("sio4", "sio2", marks=pytest.mark.verify),
        pytest.param("sio0", "sio4", marks=pytest.mark.verify),
        ("sio3", "sio0"),
    ],
)
def test_a_server_of_another_generation_takes_over(before: str, after: str) -> None:
    script = Path(__file__).resolve().parent / "replaced.py"
    done = serverkit.run([sys.executable, script, before, after], 60)
    assert done.code == 0 and done.out.count("ok") == 3, done.text
