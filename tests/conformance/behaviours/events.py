"""Events and acks: numbers of arguments, text, binary, bursts, broadcasts."""

from __future__ import annotations

from typing import Any

import gevent
import msgpack
from conformance.cell import Cell, same, true
from conformance.table import behaviour

TEXT = "€😀é"
BYTES = bytes(range(256))
NESTED = {"plain": [1, {"deep": BYTES}], "again": b"\x00\xff"}
NO_BINARY = {"missing": ("sio0",), "cannot": "0.9 has no binary"}


def heard(sio: Any, event: str, data: Any, answer: str = "echo") -> Any:
    """What the server sends back as an event."""
    with sio.expect(answer, timeout=6) as expected:
        sio.emit(event, data)
    return expected.args


@behaviour("events: no argument")
def no_argument(cell: Cell) -> None:
    sio = cell.connected()
    same(heard(sio, "echo", None), None)
    cell.until(lambda: cell.row("EMIT", "echo") == (1, 0), "row EMIT echo")


@behaviour("events: one argument")
def one_argument(cell: Cell) -> None:
    sio = cell.connected()
    for value in ("one", "", 0, -1.5, True, [], {}, ["a", ["b"]], {"a": {"b": None}}, 'a:b,c/d["e\\'):
        same(heard(sio, "echo", value), value)


@behaviour("events: three arguments")
def three_arguments(cell: Cell) -> None:
    sio = cell.connected()
    same(heard(sio, "echo", ("one", {"two": [2, None]}, 3.5)), ("one", {"two": [2, None]}, 3.5))


@behaviour("events: in the server's order, to the handlers of their namespace")
def handlers(cell: Cell) -> None:
    sio = cell.client()
    seen: list[Any] = []
    sio.on("echo", lambda *args: seen.append(("/", *args)))
    sio.on("broadcast", lambda *args: None, namespace="/chat")  # of another behaviour, at the same time
    sio.on("*", lambda event, *args: seen.append(("/chat", event, *args)), namespace="/chat")
    sio.connect(namespaces=["/", "/chat"])
    cell.settled(sio)
    sio.emit("echo", 1)
    sio.emit("echo", (1, 2), namespace="/chat")
    cell.until(lambda: len(seen) == 2, "both events")
    same(sorted(seen, key=repr), [("/", 1), ("/chat", "echo", 1, 2)])


@behaviour("acks of the server: no argument")
def ack_without(cell: Cell) -> None:
    sio = cell.connected()
    same(sio.call("noargs"), None)
    same(sio.call("echo"), None)
    same(cell.row("CALL", "noargs"), (1, 0), "row CALL noargs")


@behaviour("acks of the server: one argument")
def ack_with_one(cell: Cell) -> None:
    sio = cell.connected()
    for value in ("one", "", 0, False, None, [1], {"a": [None]}):
        same(sio.call("echo", (value,)), value)


@behaviour("acks of the server: two arguments")
def ack_with_two(cell: Cell) -> None:
    sio = cell.connected()
    same(sio.call("three", ("a", {"b": 1})), (2, ["a", {"b": 1}]))


@behaviour(
    "acks of the server: ids begin where the JavaScript client's do", only=lambda s: s.parser == "json"
)
def ids_of_emits(cell: Cell) -> None:
    wire = cell.wire()
    sio = cell.connected(url=wire.url)
    for n in range(2):
        same(sio.call("echo", n), n)
    if cell.server.eio is None:
        wanted = [b'5:%d+::{"name":"echo","args":[%d]}' % (n + 1, n) for n in range(2)]
    else:
        wanted = [b'42%d["echo",%d]' % (n, n) for n in range(2)]
    true(all(packet in wire.sent() for packet in wanted), f"ids: {wire.sent()!r}")


@behaviour("acks of the server: out of order, by callback, in a namespace")
def acks_out_of_order(cell: Cell) -> None:
    sio = cell.connected("/", "/chat")
    seen: list[Any] = []
    sio.emit("delay", 0.3, callback=lambda *_: seen.append("slow"))
    sio.emit("echo", "quick", callback=seen.append)
    same(sio.call("echo", "chat", namespace="/chat"), "chat")
    cell.until(lambda: len(seen) == 2, "both acks")
    same(seen, ["quick", "slow"])


def asked(cell: Cell, answer: Any, expected: list[Any]) -> None:
    """The server asks for an ack; what it got comes back as `answered`."""
    for namespace in ("/", "/chat"):
        sio = cell.client()
        questions: list[Any] = []

        def handle(*args: Any, questions: list[Any] = questions) -> Any:
            questions.append(args)
            return answer

        sio.on("question", handle, namespace=namespace)
        sio.connect(namespaces=[namespace])
        cell.settled(sio)
        with sio.expect("answered", namespace=namespace, timeout=6) as answered:
            sio.call("ask", ("q", 1), namespace=namespace)
        same(questions, [("q", 1)], "the question")
        same(answered.args, expected, "what the server got")


@behaviour("acks of the client: no argument")
def asked_without(cell: Cell) -> None:
    asked(cell, None, [])


@behaviour("acks of the client: one argument")
def asked_with_one(cell: Cell) -> None:
    asked(cell, {"a": [TEXT]}, [{"a": [TEXT]}])


@behaviour("acks of the client: two arguments")
def asked_with_two(cell: Cell) -> None:
    asked(cell, ("a", 2), ["a", 2])


@behaviour("acks of the client: nobody answers")
def asked_in_vain(cell: Cell) -> None:
    sio = cell.connected()
    with sio.expect("question", timeout=6):
        sio.call("ask")
    same(sio.call("echo", 1), 1)
    same(cell.row("RECV", "question (ack)"), (1, 1), "row of the unanswered question")


@behaviour("text: non-ASCII and astral, to the server and back")
def text_both_ways(cell: Cell) -> None:
    sio = cell.connected()
    for value in (TEXT, {TEXT: [TEXT, "\u2028\ud7ff\ufffd"]}, "😀" * 100, "ÿþé"):
        same(heard(sio, "echo", value), value, "event")
        same(sio.call("echo", value), value, "ack")


@behaviour("text: non-ASCII and astral, made by the server")
def text_of_the_server(cell: Cell) -> None:
    sio = cell.connected()
    same(heard(sio, "utf", None, "utf"), TEXT, "event")
    same(sio.call("utf"), TEXT, "ack")
    same(sio.call("echo", 1), 1, "after it")


@behaviour("text: several packets in one body")
def text_batched(cell: Cell) -> None:
    sio = cell.connected()
    seen: list[Any] = []
    sio.on("echo", seen.append)
    for n in range(10):
        sio.emit("echo", TEXT * n)
    cell.until(lambda: len(seen) == 10, "ten events")
    same(seen, [TEXT * n for n in range(10)])


def binary(cell: Cell, **options: Any) -> None:
    """Binary in events and acks, both ways."""
    sio = cell.connected(**options)
    empty = b"" if cell.server.kind != "pysio4" else b"\x04"  # python-engineio 3 makes None of it
    for value in (BYTES, empty, NESTED, ("a", BYTES, {"b": b"\x04"}), b"\x00" * 70000):
        same(sio.call("binary", value), value, "ack")
        same(heard(sio, "binary", value, "binary"), value, "event")
    same(sio.call("binary", (TEXT, BYTES)), (TEXT, BYTES))
    same(sio.call("echo", "text"), "text")


@behaviour("binary: both ways", **NO_BINARY)
def binary_plain(cell: Cell) -> None:
    binary(cell)


@behaviour("binary: both ways, base64", **NO_BINARY)
def binary_base64(cell: Cell) -> None:
    wire = cell.wire()
    binary(cell, url=wire.url, base64=True)
    own = [request for request in wire.requests() if request.parameter("sid") or request.is_websocket]
    same({request.parameter("b64") for request in own}, {"1"}, "b64")
    true(BYTES not in wire.sent(), "raw bytes were sent")


@behaviour("binary: the client's ack", **NO_BINARY)
def binary_ack(cell: Cell) -> None:
    asked(cell, (NESTED, BYTES), [NESTED, BYTES])


@behaviour("bytes are refused before they are sent where there is no binary", only=lambda s: s.eio is None)
def binary_refused(cell: Cell) -> None:
    sio = cell.connected()
    try:
        sio.call("echo", b"bytes")
    except ValueError as error:
        true("0.9" in str(error), f"a message that doesn't name 0.9: {error}")
    else:
        raise AssertionError("bytes were sent")
    same(sio.call("echo", 1), 1)
    same(cell.fleet.recorder.ledger.not_sent, 1, "not_sent")


@behaviour("bursts: of the server")
def burst_of_the_server(cell: Cell) -> None:
    sio = cell.client()
    seen: list[int] = []
    sio.on("burst", seen.append)
    sio.connect()
    same(sio.call("burst", 500), 500)
    cell.until(lambda: len(seen) >= 500, "500 events")
    same(seen, list(range(500)))
    same(cell.row("RECV", "burst"), (500, 0), "row RECV burst")


@behaviour("bursts: of the client")
def burst_of_the_client(cell: Cell) -> None:
    sio = cell.connected()
    seen: list[int] = []
    sio.on("echo", seen.append)
    for n in range(300):
        sio.emit("echo", n)
    cell.until(lambda: len(seen) >= 300, "300 echoes")
    same(seen, list(range(300)))
    cell.until(lambda: cell.row("EMIT", "echo") == (300, 0), "row EMIT echo")


@behaviour("bursts: calls of many at once")
def burst_of_calls(cell: Cell) -> None:
    sio = cell.connected()
    calls = [gevent.spawn(sio.call, "echo", n) for n in range(100)]
    gevent.joinall(calls, timeout=6)
    same([call.value for call in calls], list(range(100)))


@behaviour("broadcast")
def broadcast(cell: Cell) -> None:
    first, second = cell.connected("/", "/chat"), cell.connected("/chat")
    mine = f"{cell.transport} {id(cell)}"
    given = {"namespace": "/chat", "where": lambda who, what: who == mine, "timeout": 6}
    with first.expect("broadcast", **given) as one, second.expect("broadcast", **given) as two:
        true(first.call("broadcast", (mine, TEXT), namespace="/chat") >= 2, "the server knows both")
    same((one.args, two.args), ((mine, TEXT), (mine, TEXT)))


@behaviour("answers by event: call(reply=)")
def replies(cell: Cell) -> None:
    sio = cell.connected()
    same(sio.call("join_room", {"room": "r1"}, reply="room_joined", where=lambda room: room == "r1"), "r1")
    same(cell.row("REPLY", "join_room>room_joined"), (1, 0), "row REPLY")


@behaviour("send(): the event message")
def message(cell: Cell) -> None:
    sio = cell.connected("/", "/chat")
    seen: list[Any] = []
    for namespace in ("/", "/chat"):
        sio.send({"room": "nobody"}, namespace, seen.append)
    cell.until(lambda: len(seen) == 2, "both acks")
    same(seen, [{"ok": True}, {"ok": True}])


@behaviour("raw write: in the generation's own text")
def raw(cell: Cell) -> None:
    wire = cell.wire()
    sio = cell.connected("/", "/chat", url=wire.url)
    for namespace, value in (("/", "raw"), ("/chat", TEXT)):
        packet = written(cell, namespace, value)
        with sio.expect("echo", namespace=namespace, timeout=6) as expected:
            sio.write(packet)
        same(expected.args, value)
        if isinstance(packet, str):
            true(packet.encode() in wire.sent(), "the packet didn't go out as it was written")
    cell.until(lambda: cell.row("EMIT", "(raw)") == (2, 0), "row EMIT (raw)")


def written(cell: Cell, namespace: str, value: str) -> Any:
    """A packet by hand."""
    if cell.server.parser == "msgpack":
        return msgpack.packb({"type": 2, "nsp": namespace, "data": ["echo", value]})
    at = "" if namespace == "/" else namespace
    if cell.server.eio is None:
        return f'5::{at}:{{"name":"echo","args":["{value}"]}}'
    return f'42{at + "," if at else ""}["echo","{value}"]'
