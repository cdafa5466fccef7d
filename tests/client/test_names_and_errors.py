"""Event names that are numbers, errors that no CONNECT waits for, queries of namespaces, own parsers."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any

import gevent
import pytest
import serverkit
from faults.hostile import Hostile, Peer

from sioload.client.api import SocketIOClient
from sioload.client.dispatcher import Handler
from sioload.client.registry import Registry
from sioload.errors import ConnectError, EncodeError, NotConnected, UsageError
from sioload.net.fleet import Fleet
from sioload.options import Limits
from sioload.socketio.packet import Packet, PacketType
from sioload.socketio.parsers import MsgpackParser
from sioload.users.handlers import handlers_of, on

Servers = Callable[..., serverkit.Server]
NODE = {"sio0": (), "sio1": (), "sio2": (), "sio3": (), "sio4": (), "msgpack": ("--msgpack",)}


def client(servers: Servers, kind: str, **options: Any) -> SocketIOClient:
    if kind == "msgpack":
        options["parser"] = "msgpack"
    url = servers("sio4" if kind == "msgpack" else kind, *NODE[kind]).url
    return SocketIOClient(None, {"reconnection": False, **options}, url=url)


@pytest.mark.parametrize("kind", NODE)
def test_event_names_may_be_numbers(servers: Servers, kind: str) -> None:
    sio = client(servers, kind)
    got: list[Any] = []
    sio.on(3, lambda data: got.append(data))
    sio.on("1.5", lambda data: got.append(data))
    with gevent.Timeout(10):
        sio.connect()
        assert sio.call(1, "ann") == ("one", "ann")
        assert sio.call("push", (2, "reply"), reply=2) == "reply"
        sio.emit("push", (3, "ready"))
        sio.emit("push", (1.5, "half"))
        sio.emit(1)
        with sio.expect(0):
            sio.emit("push", (0,))
        sio.close_quietly()
    assert got == ["ready", "half"]
    rows = sio.fleet.recorder.rows
    assert rows["CALL", "1"].totals().count == rows["EMIT", "1"].totals().count == 1
    assert rows["RECV", "3"].totals().count == 1
    assert rows["REPLY", "push>2"].totals().count == 1


@pytest.mark.parametrize("kind", ["sio3", "sio4", "msgpack"])
def test_a_reserved_name_is_refused_and_the_session_goes_on(servers: Servers, kind: str) -> None:
    """Servers would end it."""
    sio = client(servers, kind)
    with gevent.Timeout(10):
        sio.connect()
        for send in (sio.emit, sio.call):
            with pytest.raises(EncodeError, match="'disconnect' is reserved"):
                send("disconnect", {"binary": b"too"})
        assert sio.call("echo", 1) == 1
        sio.close_quietly()
    ledger = sio.fleet.recorder.ledger
    assert (ledger.emits, ledger.not_sent, ledger.acked) == (3, 2, 1)


class Name(str, Enum):  # noqa: UP042 - of a StrEnum it is
    """What typed scripts have their names in; `str()` of a member isn't its value."""

    ECHO = "echo"
    PUSH = "push"
    NEWS = "news"
    CHAT = "/chat"


@pytest.mark.parametrize("kind", NODE)
def test_names_may_be_members_of_an_enum(servers: Servers, kind: str) -> None:
    sio = client(servers, kind, namespaces=["/", Name.CHAT])
    got: list[Any] = []
    sio.on(Name.NEWS, got.append, Name.CHAT)
    with gevent.Timeout(10):
        sio.connect()
        assert sio.call(Name.ECHO, "ann") == "ann"
        assert sio.call(Name.ECHO, "ben", Name.CHAT, name=Name.NEWS) == "ben"
        assert sio.call(Name.PUSH, (Name.NEWS, 1), reply=Name.NEWS) == 1
        with sio.expect(Name.NEWS, Name.CHAT) as expected:
            sio.emit(Name.PUSH, (Name.NEWS, 2), Name.CHAT)
        assert (sio.get_sid(Name.CHAT), expected.args) == (sio.get_sid("/chat"), 2)
        sio.disconnect(Name.CHAT)
        with pytest.raises(NotConnected, match="namespace /chat was not joined"):
            sio.emit(Name.ECHO, namespace=Name.CHAT)
        sio.close_quietly()
    assert got == [2]
    names = {f"{kind} {name}" for kind, name in sio.fleet.recorder.rows if kind in ("CALL", "REPLY", "WAIT")}
    assert names == {"CALL echo", "CALL /chat news", "REPLY push>news", "WAIT /chat news"}


def test_handlers_of_a_class_may_have_names_of_an_enum() -> None:
    class Hears:
        @on(Name.NEWS, Name.CHAT)
        def heard(self) -> None: ...

    assert [event for _, event in handlers_of(Hears)] == ["news"]
    assert str(next(iter(handlers_of(Hears)))[1]) == "news"


def test_more_attachments_than_other_parsers_take_are_said_once(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    sio = client(servers, "sio3")
    with gevent.Timeout(10):
        sio.connect()
        for count in (10, 11, 12):
            data = [bytes([n]) for n in range(count)]
            assert sio.call("echo", data) == data
        sio.close_quietly()
    said = [line for line in caplog.messages if "attachments" in line]
    assert len(said) == 1 and "maxAttachments is 10" in said[0]


@pytest.mark.parametrize("event", ['["news",1]', '/,["news",1]', '/chat,["news",1]', '["3",1]', "[3,1]"])
def test_a_broadcast_is_read_alike_by_its_first_receiver_and_the_others(event: str) -> None:
    """Servers may name the root. For the others that was no JSON, an internal error which closed them."""
    got: list[Any] = []
    name, namespace = ("3" if "3" in event else "news"), ("/chat" if "/chat" in event else "/")
    handlers = {(namespace, name): Handler(lambda *args: got.append(args))}

    def script(peer: Peer) -> None:
        peer.connected()
        peer.frame_in()
        peer.text('40/chat,{"sid":"c"}')
        peer.frame_in()
        for _ in range(3):
            peer.text("42" + event)
        peer.serve(1)
        peer.hold()

    fleet = Fleet()
    with Hostile(script) as server, gevent.Timeout(8):
        for _ in range(2):
            options = {"version": 4, "transports": ["websocket"], "namespaces": ["/", "/chat"]}
            sio = SocketIOClient(fleet, options, url=server.url, handlers=handlers)
            sio.connect()
            sio.emit("go")
            assert sio.call("x") == 1
            sio.close_quietly()
    assert got == [(1,)] * 6 and not fleet.recorder.internal_errors


def test_a_number_marks_a_method_too() -> None:
    class Player:
        @on(3, namespace="/chat")
        def ready(self) -> None: ...

    assert list(handlers_of(Player)) == [("/chat", "3")]


@pytest.mark.parametrize("what", ["sent_at", "delivery", "room"])
def test_what_a_handler_is_asked_of_each_message_is_a_function(what: str) -> None:
    given: Any = {what: "sent"}
    with pytest.raises(UsageError, match=f"{what} must be a function, not 'sent'"):
        on("news", **given)


def test_handlers_that_would_never_be_called_are_refused() -> None:
    async def heard(*args: Any) -> None: ...

    class Chat:
        namespace = "chat"

        def _set_client(self, client: SocketIOClient) -> None: ...

        def on_message(self, *args: Any) -> None: ...

    sio = SocketIOClient(None, {})
    with pytest.raises(UsageError, match="on\\('message'\\): the handler is async"):
        sio.on("message", heard)
    with pytest.raises(UsageError, match="on\\('heard'\\): the handler is async"):
        sio.event(heard)
    with pytest.raises(UsageError, match="on\\('message'\\): namespace 'chat' must begin with '/'"):
        sio.on("message", print, namespace="chat")
    with pytest.raises(UsageError, match="namespace 'chat' must begin with '/'"):
        sio.register_namespace(Chat())


@pytest.mark.parametrize("kind", ["sio0", "sio1", "sio2"])
def test_what_a_middleware_refuses_is_an_error_event_and_a_failure(servers: Servers, kind: str) -> None:
    sio = client(servers, kind)
    got: list[Any] = []
    sio.on("error", got.append, namespace="/chat")
    sio.on("*", lambda event, *args: got.append(event), namespace="/chat")
    with gevent.Timeout(10):
        sio.connect(namespaces=["/", "/chat"])
        sio.emit("forbidden", namespace="/chat")
        while not got:
            gevent.sleep(0.01)
        with sio.expect("error") as said:
            sio.emit("forbidden")
        assert sio.call("echo", 1, namespace="/chat") == 1
        sio.close_quietly()
    reason = "unauthorized" if kind == "sio0" else "not allowed"
    if kind != "sio0":
        assert (got, said.args) == (["not allowed"], "not allowed")
    for row in ("error", "/chat error"):
        assert sio.fleet.recorder.row("RECV", row).totals().errors == {f"refused: {reason}": 1}


@pytest.mark.parametrize("kind", ["sio1", "sio2"])
def test_a_refusal_of_the_root_ends_the_attempt_to_join_others(servers: Servers, kind: str) -> None:
    sio = client(servers, kind, query={"deny": "1"})
    with gevent.Timeout(5), pytest.raises(ConnectError, match=r"/chat refused: .*by /"):
        sio.connect(namespaces=["/chat"])


@pytest.mark.parametrize("kind", ["sio0", "sio1", "sio2"])
def test_a_namespace_may_have_a_query(servers: Servers, kind: str) -> None:
    sio = client(servers, kind)
    with gevent.Timeout(10):
        namespace = "/chat" if kind == "sio0" else "/private"  # 0.9 doesn't hand it on to its authorization
        sio.connect(namespaces=[f"{namespace}?token=secret"])
        assert sio.call("echo", 1, namespace=namespace) == 1
        sio.close_quietly()


def test_newer_servers_take_no_query_of_a_namespace(servers: Servers) -> None:
    with gevent.Timeout(5), pytest.raises(ConnectError, match=r"/private\?.*use auth"):
        client(servers, "sio4").connect(namespaces=["/private?token=secret"])


class Objects:
    """A parser of a script's own: each packet is one JSON object, in which types are numbers."""

    def encode(self, packet: Packet) -> list[str | bytes]:
        return [json.dumps([packet.type, packet.namespace, packet.data, packet.id])]

    def decoder(self, limits: Limits) -> Objects:
        return self

    def feed(self, message: str | bytes) -> Packet:
        return Packet(*json.loads(message))


def test_a_parser_of_the_scripts_own_speaks_in_numbers() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        assert peer.frame_in()[1] == b'4[0, "/", null, null]'
        peer.text('4[0, "/", {"sid": "s"}, null]')
        assert json.loads(peer.frame_in()[1][1:]) == [2, "/", ["ask", 1], 0]
        peer.text('4[2, "/", ["news", 5], null]')
        peer.text('4[3, "/", [7], 0]')
        peer.text('4[1, "/", null, null]')
        peer.hold()

    got: list[Any] = []
    options = {"version": 4, "transports": ["websocket"], "parser": Objects()}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.on("news", got.append)
        sio.connect()
        assert sio.call("ask", 1) == 7
        while not sio.kicked:
            gevent.sleep(0.01)
        sio.close_quietly()
    assert got == [5]


def test_a_refusal_that_json_cant_say_is_told_all_the_same() -> None:
    """Half of an emoji, as JavaScript cuts texts, in an object without a message."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        peer.frame_in()
        peer.text('44{"cause":"full \\ud83d"}')
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, {"version": 4, "transports": ["websocket"]}, url=server.url)
        with pytest.raises(ConnectError, match=r"refused: .*full") as raised:
            sio.connect()
    assert raised.value.kind == "refused" and not sio.fleet.recorder.internal_errors


def test_what_a_parser_of_the_scripts_own_raises_of_a_message_ends_the_session() -> None:
    """It is the server's message, or the script's fault, and none of this program's."""

    class Broken:
        def encode(self, packet: Packet) -> list[str | bytes]:
            return ["hello"]

        def decoder(self, limits: Limits) -> Broken:
            return self

        def feed(self, message: str | bytes) -> Packet:
            raise KeyError(message)

    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        peer.frame_in()
        peer.text("4what?")
        peer.hold()

    options = {"version": 4, "transports": ["websocket"], "parser": Broken()}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        with pytest.raises(ConnectError, match="the parser raised KeyError: 'what") as raised:
            sio.connect()
    assert raised.value.kind == "protocol error" and not sio.fleet.recorder.internal_errors


@pytest.mark.parametrize("way", ["disconnect", "drain"])
def test_a_parser_of_the_scripts_own_that_knows_no_goodbye_holds_up_no_end(
    servers: Servers, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At the end of a run it was an internal error, exit code 4."""

    class Silent(MsgpackParser):
        def encode(self, packet: Packet) -> list[str | bytes]:
            if packet.type == PacketType.DISCONNECT:
                raise KeyError("DISCONNECT")
            return super().encode(packet)

    fleet = Fleet()
    options = {"version": 4, "transports": ["websocket"], "parser": Silent()}
    sio = SocketIOClient(fleet, options, url=servers("sio4", "--msgpack").url)
    with gevent.Timeout(8):
        sio.connect(namespaces=["/", "/chat"])
        if way == "disconnect":
            sio.disconnect("/chat")
            assert sio.connected and list(sio.namespaces) == ["/"]
            sio.disconnect()
        else:
            fleet.drain(1)
    assert not sio.connected and fleet.recorder.connections.encode()["closed"] == {"client": 1}
    assert not fleet.recorder.internal_errors
    assert "leaving namespace /chat can't be told to the server: the parser raised KeyError" in caplog.text


def test_a_parser_of_the_scripts_own_that_makes_no_decoder_is_told_as_that() -> None:
    class Broken:
        def encode(self, packet: Packet) -> list[str | bytes]:
            return ["hello"]

        def decoder(self) -> Broken:
            return self

    sio = SocketIOClient(None, {"version": 4, "parser": Broken()}, url="http://127.0.0.1:1")
    said = r"parser: decoder\(limits\) raised TypeError: "
    with gevent.Timeout(8), pytest.raises(ConnectError, match=said):
        sio.connect()
    assert not sio.fleet.recorder.internal_errors


def test_waits_that_end_otherwise_are_counted_as_what_they_were(target: serverkit.Server) -> None:
    """By a `where` that raises, which goes on waiting, by the script's own patience, and with the user."""
    sio = SocketIOClient(None, url=target.url)

    def where(number: int) -> bool:
        return 1 / (number - 1) == 1

    with gevent.Timeout(10):
        sio.connect()
        with sio.expect("echo", where=where, timeout=5) as wait:
            sio.emit("echo", 1)
            sio.emit("echo", 2)
        assert wait.args == 2
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            sio.wait_for("patience", timeout=60)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05), sio.expect("work", timeout=60):
            sio.sleep(60)
        ends = gevent.spawn(sio.wait_for, "end", timeout=60)
        gevent.sleep(0)
        ends.kill()
        with pytest.raises(KeyError), sio.expect("other", timeout=60):
            raise KeyError
        sio.close_quietly()
    rows = {row.name: row for row in sio.fleet.recorder.totals() if row.type == "WAIT"}
    assert rows["echo"].errors == {"where raised ZeroDivisionError: division by zero": 1}
    assert rows["patience"].errors == rows["work"].errors == {"gave up waiting": 1}
    assert (rows["end"].unfinished, rows["end"].failures) == (1, 0)
    assert "other" not in rows or (rows["other"].count, rows["other"].unfinished) == (0, 0)


def test_whoever_gives_up_on_a_connect_may_connect_again() -> None:
    """By a timeout of the script's own: the attempt is a failure, and nothing of it stays."""

    def script(peer: Peer) -> None:
        if peer.number > 1:
            peer.connected()
            peer.serve(1)
        peer.hold()

    options = {"version": 4, "transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
            sio.connect()
        assert sio.fleet.recorder.row("CONNECT", "/").totals().errors == {"connect: gave up waiting": 1}
        sio.connect()
        assert sio.call("x") == 1
        sio.close_quietly()
    made = sio.fleet.recorder.connections
    assert (made.opening, made.opened, sum(made.current.values())) == (0, 1, 0)


def test_a_handler_without_a_namespace_leaves_the_root_once_the_url_has_another() -> None:
    registry, unnamed, named = Registry(), Handler(print), Handler(repr)
    registry.add("/", "news", unnamed, named=False)
    registry.add("/", "more", unnamed, named=False)
    registry.add("/", "more", named)
    registry.move("/", "/chat")
    found = {(name, event): registry.find(name, event, {})[0] for name in ("/", "/chat")
             for event in ("news", "more")}  # fmt: skip
    assert found == {("/", "news"): None, ("/", "more"): named,
                     ("/chat", "news"): unnamed, ("/chat", "more"): unnamed}  # fmt: skip


def test_what_an_old_server_cant_take_is_said_with_what_it_takes(servers: Servers) -> None:
    """Auth goes nowhere before 3.x, and 0.9 has the transports that its handshake names."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.reply(200, b"sid:60:60:xhr-polling,flashsocket")
        peer.hold()

    said = r'/private refused: \{"code":401\}'
    hint = r" \(auth goes to servers of 3.x and 4.x only: use auth_token or query\)$"
    for options, more in (({"auth": {"token": "x"}}, hint), ({}, "$")):
        with pytest.raises(ConnectError, match=said + more):
            client(servers, "sio2", **options).connect(namespaces=["/private"])
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, {"version": 0, "transports": ["websocket"]}, url=server.url)
        with pytest.raises(ConnectError, match="has no other transports than xhr-polling, flashsocket"):
            sio.connect(retry=False)
