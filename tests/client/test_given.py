"""What a script gives to a client's methods, and is wrong, is refused with the value and what is right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gevent
import pytest
import serverkit

from sioload.client.api import SocketIOClient
from sioload.errors import AckTimeout, ConnectError, NotConnected, OptionError, UsageError
from sioload.users.handlers import check_label, on

Ask = Callable[[Any], object]
NONE: Any = None
NUMBER: Any = 5

SECONDS = "must be a number of seconds, such as 5, not "
CALLED: list[tuple[str, Ask, str]] = [
    ("call, a text", lambda sio: sio.call("echo", 1, timeout="1"), f"timeout {SECONDS}'1'"),
    ("call, no number", lambda sio: sio.call("echo", 1, timeout=math.nan), f"timeout {SECONDS}nan"),
    ("call, True", lambda sio: sio.call("echo", 1, timeout=True), f"timeout {SECONDS}True"),
    ("wait_for, a text", lambda sio: sio.wait_for("news", timeout="1"), f"timeout {SECONDS}'1'"),
    ("wait_for, no number", lambda sio: sio.wait_for("news", timeout=math.nan), "not nan"),
    ("expect, a list", lambda sio: sio.expect("news", timeout=[1]), f"timeout {SECONDS}[1]"),
    ("sleep, a text", lambda sio: sio.sleep("1"), f"sleep(): the time {SECONDS}"),
    ("sleep, no number", lambda sio: sio.sleep(math.nan), f"sleep(): the time {SECONDS}"),
    ("schedule, True", lambda sio: sio.schedule("echo", rate=5, duration=True), f"duration {SECONDS}True"),
    ("ok", lambda sio: sio.call("echo", 1, ok=True), "ok must be a function, not True"),
    ("where", lambda sio: sio.wait_for("news", where=5, timeout=1), "where must be a function, not 5"),
    ("where of a reply", lambda sio: sio.call("echo", 1, reply="echo", where="a"), "not 'a'"),
    ("callback", lambda sio: sio.emit("echo", 1, callback="done"), "callback must be a function, not 'done'"),
    ("disconnect", lambda sio: sio.disconnect("chat"), "namespace 'chat' must begin with '/'"),
    ("wait_for, a namespace", lambda sio: sio.wait_for("a", namespace="chat"), "namespace 'chat' must begin"),
    ("get_sid", lambda sio: sio.get_sid("chat"), "namespace 'chat' must begin with '/'"),
    ("write, a number", lambda sio: sio.write(5), "a packet must be a text such as '42[\"hi\"]', or bytes"),
    ("write, a dict", lambda sio: sio.write({"a": 1}), "or bytes, not {'a': 1}"),
    ("a class", lambda sio: sio.register_namespace(5), "an instance of a socketio.ClientNamespace, not 5"),
    ("a room", lambda sio: sio.rooms.add(math.nan), "nan can't be a room"),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "says"), [each[1:] for each in CALLED], ids=[each[0] for each in CALLED])
def test_a_call_is_refused_before_anything_is_sent(target: serverkit.Server, ask: Ask, says: str) -> None:
    sio = SocketIOClient(None, url=target.url)
    with gevent.Timeout(10):
        sio.connect()
        with pytest.raises(UsageError) as raised:
            ask(sio)
        assert says in str(raised.value)
        ledger = sio.fleet.recorder.ledger
        assert (ledger.emits, ledger.open) == (0, 0)
        assert sio.call("echo", 1) == 1, "it goes on"
        sio.close_quietly()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": 5}, "url 5 is no text"),
        (
            {"url": lambda: None},
            "the function url must return a text such as 'http://127.0.0.1:5000', not None",
        ),
        ({"headers": 5}, "headers must be a dict of strings, not int"),
        ({"namespaces": ["/caf\udce9"]}, "'/caf\\udce9' holds a character that can't be sent in UTF-8"),
        ({"namespaces": 5}, "namespaces must be a list of names such as '/chat', not 5"),
    ],
)
def test_connect_is_refused_at_once(target: serverkit.Server, given: dict[str, Any], says: str) -> None:
    sio = SocketIOClient(None, url=target.url)
    with pytest.raises((UsageError, OptionError)) as raised:
        sio.connect(**given)
    assert says in str(raised.value)
    with pytest.raises(OptionError, match="headers must be a dict of strings, not int"):
        sio.connection_headers = NUMBER
    with gevent.Timeout(10):
        sio.connect()
        sio.close_quietly()


def test_a_wait_before_connect_is_refused_at_once(target: serverkit.Server) -> None:
    sio = SocketIOClient(None, url=target.url)
    with gevent.Timeout(5), pytest.raises(NotConnected, match=r"not connected: call connect\(\) first"):
        sio.wait_for("news", timeout=60)
    with gevent.Timeout(10):
        with pytest.raises(AckTimeout), sio.expect("welcome", timeout=0.1):
            sio.connect()
        sio.close_quietly()


def test_a_function_for_headers_has_to_return_them(target: serverkit.Server) -> None:
    sio = SocketIOClient(None, url=target.url)
    with (
        gevent.Timeout(10),
        pytest.raises(ConnectError, match="headers must be a dict of strings, not NoneTy"),
    ):
        sio.connect(headers=lambda: NONE)


def test_a_function_without_the_name_of_its_event_is_no_handler() -> None:
    """`@sio.on`, where `@sio.on("news")` is meant, would be a handler of nothing."""
    on: Any = SocketIOClient(None).on
    with pytest.raises((UsageError, TypeError), match=r"is no name of an event|object expected"):

        @on
        def news(data: object) -> None: ...


@pytest.mark.parametrize(
    ("given", "more", "says"),
    [
        (5.5, {}, "on(): the event must be a name, not 5.5"),
        ("", {}, "on(): the event must be a name, not ''"),
        ("news", {"namespace": ""}, "on('news'): namespace '' must begin with '/'"),
        ("news", {"name": ""}, "on('news'): name must be a text, not ''"),
        ("news", {"name": 5}, "on('news'): name must be a text, not 5"),
        ("news", {"room": "lobby"}, "on('news'): room must be a function, not 'lobby'"),
        ("*", {"room": print}, "on('*'): room= needs the name of an event"),
    ],
)
def test_what_marks_a_method_is_refused_at_once(given: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        on(given, **more)
    assert str(raised.value).startswith(says)


@pytest.mark.parametrize("label", [5, " mod", "a\nb", "x" * 41])
def test_a_label_stands_behind_the_names_of_rows(label: object) -> None:
    with pytest.raises(UsageError, match="label must be a text of at most 40 characters, not "):
        check_label(type("Kind", (), {"label": label}))
    check_label(type("Kind", (), {"label": "x" * 40}))


def test_rooms_are_a_set_of_values(target: serverkit.Server) -> None:
    sio = SocketIOClient(None, url=target.url)
    rooms: Any = sio.rooms
    rooms.add("early")
    with gevent.Timeout(10):
        sio.connect()
        rooms.update(["a", 1], [["x", 2]])
        assert (list(rooms), len(rooms), repr(rooms)) == (["a", 1, ["x", 2]], 3, "Rooms(['a', 1, ['x', 2]])")
        rooms.discard(["x", 2])
        assert "a" in rooms and ["x", 2] not in rooms and rooms | {"b"} == {"a", 1, "b"}
        sio.close_quietly()
    assert not rooms
