"""Connection state recovery on real servers: offsets of any form, and what handlers get of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
import serverkit
from gevent.event import Event

from sioload.client.api import SocketIOClient
from sioload.client.dispatcher import Handler

ADAPTERS = {"in memory": (), "ids of Redis streams": ("--stream-ids",)}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=["websocket", "polling"])
def test_a_lost_session_is_restored(
    servers: Callable[..., serverkit.Server], adapter: str, transports: list[str]
) -> None:
    url = servers("sio4", "--recovery", *ADAPTERS[adapter]).url
    options = {"transports": transports, "reconnection_delay": 0.5, "randomization_factor": 0.0}
    sio, other = SocketIOClient(None, options, url=url), SocketIOClient(None, options, url=url)
    came: dict[str, list[Any]] = {"all": [], "one": [], "named": [], "nothing": []}
    sio.on("broadcast", lambda *args: came["all"].append(args))
    sio.on("tick", lambda push: came["one"].append(push["n"]))
    sio.on("utf", lambda event, text: came["named"].append((event, text)))
    sio.on("message", lambda: came["nothing"].append(None))
    with gevent.Timeout(10):
        sio.connect(namespaces=["/"])
        other.connect(namespaces=["/"])
        sid = sio.get_sid()
        sio.call("tick", 20)
        sio.wait_for("tick")
        sio.emit("utf")
        sio.emit("push", ("message",))
        assert sio.call("echo", "a text", reply="echo", ok=lambda text: text == "a text") == "a text"
        assert sio.call("broadcast", "before") == 2
        sio.emit("cut")
        while sio.connected:
            gevent.sleep(0.01)
        other.call("broadcast", "missed")
        while not sio.connected:
            gevent.sleep(0.01)
        assert sio.recovered and sio.get_sid() == sid
        other.call("broadcast", "after")
        while len(came["all"]) < 3:
            gevent.sleep(0.01)
        sio.close_quietly()
        other.close_quietly()
    assert [args[0] for args in came["all"]] == ["before", "missed", "after"]
    assert all(len(args) == 2 and isinstance(args[1], str) for args in came["all"])  # as in JavaScript
    assert came["one"] == list(range(len(came["one"])))
    assert came["named"] == [("utf", "€😀é")]
    assert came["nothing"] == [None]
    assert not sio.fleet.recorder.row("RECV", "tick (handler)").totals().failures


def test_all_that_was_missed_is_taken_before_the_answer(servers: Callable[..., serverkit.Server]) -> None:
    """Servers send it ahead of that; a busy room has more than a thousand messages in a few seconds."""
    options = {"transports": ["websocket"], "reconnection_delay": 0.05}
    url = servers("sio4", "--recovery").url
    sio, other = SocketIOClient(None, options, url=url), SocketIOClient(None, options, url=url)
    came: list[Any] = []
    missed = Event()

    def where() -> str:
        assert not came or missed.wait()
        return url

    sio.on("broadcast", lambda number, offset: came.append(number))
    with gevent.Timeout(20):
        sio.connect(where)
        other.connect()
        other.call("broadcast", -1)
        while not came:
            gevent.sleep(0.01)
        sio.drop()
        for number in range(1500):
            other.emit("broadcast", number)
        assert other.call("echo", 1) == 1
        missed.set()
        while not sio.connected:
            gevent.sleep(0.01)
        assert sio.recovered
        while len(came) < 1501:
            gevent.sleep(0.01)
        sio.close_quietly()
        other.close_quietly()
    assert came == list(range(-1, 1500))


def test_events_that_ask_for_an_ack_have_no_offset(servers: Callable[..., serverkit.Server]) -> None:
    sio = SocketIOClient(None, url=servers("sio4", "--recovery").url)
    got: list[Any] = []
    sio.on("question", lambda *args: got.append(args))
    with gevent.Timeout(10):
        sio.connect()
        with sio.expect("answered"):
            sio.emit("ask", "why")
        sio.close_quietly()
    assert got == [("why",)]


def test_an_adapter_without_offsets_adds_null(servers: Callable[..., serverkit.Server]) -> None:
    """As that of Node's cluster does where recovery is on: handlers and waits get what was emitted."""
    sio = SocketIOClient(None, url=servers("sio4", "--recovery", "--no-offsets").url)
    heard: list[Any] = []
    sio.on("echo", heard.append)
    with gevent.Timeout(10):
        sio.connect()
        stamped = sio.call("echo", {"sent": 1}, reply="echo", where=lambda echoed: echoed["sent"] == 1)
        sio.emit("echo", {"sent": 2})
        assert sio.wait_for("echo", where=lambda echoed: echoed["sent"] == 2) == {"sent": 2}
        while len(heard) < 2:
            gevent.sleep(0.01)
        sio.close_quietly()
    assert stamped == {"sent": 1}
    assert heard == [{"sent": 1}, {"sent": 2}]
    assert not sio.fleet.recorder.row("RECV", "echo (handler)").totals().failures


@pytest.mark.parametrize(
    ("function", "args", "left"),
    [
        (lambda: None, ("o",), ()),
        (lambda data: None, (1, "o"), (1,)),
        (lambda *args: None, (1, "o"), (1, "o")),
        (lambda data, offset=None: None, (1, "o"), (1, "o")),
        (lambda event, data: None, (1, "o"), (1,)),
        (print, (1, "o"), (1, "o")),
    ],
)
def test_handlers_get_an_offset_that_they_can_take(
    function: Callable[..., Any], args: tuple[Any, ...], left: tuple[Any, ...]
) -> None:
    assert Handler(function).without_last(args) == left
