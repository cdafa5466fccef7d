"""The codec of Socket.IO 0.9."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sioload.errors import EncodeError, LimitError, ProtocolError
from sioload.options import Limits
from sioload.socketio import v0
from sioload.socketio.packet import Packet, PacketType

LIMITS = Limits()
EVENT, ACK, ERROR = PacketType.EVENT, PacketType.ACK, PacketType.CONNECT_ERROR


def feed(message: str) -> Packet:
    return v0.Decoder(LIMITS).feed(message)


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        ("1::", Packet(PacketType.CONNECT, "/")),
        ("1::/chat", Packet(PacketType.CONNECT, "/chat")),
        ("1::/chat?my=param", Packet(PacketType.CONNECT, "/chat")),
        ("0::", Packet(PacketType.DISCONNECT, "/")),
        ("0::/chat", Packet(PacketType.DISCONNECT, "/chat")),
        ('5:::{"name":"e"}', Packet(EVENT, "/", ["e"])),
        ('5:1+::{"name":"e","args":["a:b",2]}', Packet(EVENT, "/", ["e", "a:b", 2], 1)),
        ('5:3:/chat:{"name":"e"}', Packet(EVENT, "/chat", ["e"], 3, auto=True)),
        ("3:::blabla:x:y", Packet(EVENT, "/", ["message", "blabla:x:y"])),
        ("3::", Packet(EVENT, "/", ["message", ""])),
        ("3:5+::m", Packet(EVENT, "/", ["message", "m"], 5)),
        ("3:5::m", Packet(EVENT, "/", ["message", "m"], 5, auto=True)),
        ('4:::{"a":"b"}', Packet(EVENT, "/", ["message", {"a": "b"}])),
        ('6:::1+["yes"]', Packet(ACK, "/", ["yes"], 1)),
        ("6::/chat:12", Packet(ACK, "/chat", [], 12)),
        ("7:::1+0", Packet(ERROR, "/", {"reason": "client not handshaken", "advice": "reconnect"})),
        ("7::/private:2", Packet(ERROR, "/private", {"reason": "unauthorized", "advice": ""})),
        ("7:::no way", Packet(ERROR, "/", {"reason": "no way", "advice": ""})),
    ],
)
def test_what_servers_send(message: str, packet: Packet) -> None:
    assert feed(message) == packet


@pytest.mark.parametrize(
    "message",
    [
        "", "abc", "5", "5:", "9:::", "2::", "8::", "²::", "1::chat", ":::",
        "5:::", "5:::notjson", '5:::{"x":1}', '5:::{"name":true}', '5:::{"name":"a","args":{}}', "5:::[]",
        '5:²::{"name":"a"}', '5:-1::{"name":"a"}', '5:1++::{"name":"a"}', '5:+::{"name":"a"}',
        "5:" + "1" * 5000 + '::{"name":"a"}',
        "4:::{bad", "4:::", "6:::", '6:::+["a"]', '6:::²+["a"]', "6:::1+{}", "6:::1+[",
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(message: str) -> None:
    with pytest.raises(ProtocolError):
        feed(message)


def test_binary_and_depth_are_refused() -> None:
    with pytest.raises(ProtocolError):
        v0.Decoder(LIMITS).feed(b"5:::")
    with pytest.raises(LimitError):
        feed("4:::" + "[" * 65 + "]" * 65)
    with pytest.raises(EncodeError, match="no binary"):
        v0.encode_event("/", "e", [{"a": b"x"}])
    with pytest.raises(EncodeError, match=r"data\[0\]: set"):
        v0.encode_ack("/", 1, [set()])


def test_what_is_sent() -> None:
    assert v0.encode_event("/", "e", []) == ['5:::{"name":"e"}']
    assert v0.encode_event("/chat", "e", ["é", 2], 0) == ['5:0+:/chat:{"name":"e","args":["é",2]}']
    assert v0.encode_ack("/", 1, ["yes"]) == ['6:::1+["yes"]']
    assert v0.encode_ack("/chat", 6, ()) == ["6::/chat:6"]
    assert v0.encode_connect("/") == ["1::"]
    assert v0.encode_connect("/chat") == ["1::/chat"]
    assert v0.encode_connect("/chat", "a=b") == ["1::/chat:?a=b"]
    assert v0.encode_disconnect("/") == ["0::"]
    assert v0.encode_disconnect("/chat") == ["0::/chat"]


VALUES = st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(st.characters(codec="utf-8"))


@seed(1)
@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(["/", "/chat"]), st.lists(VALUES, max_size=3), st.integers(0, 10**15 - 1))
def test_what_is_sent_is_read_again(namespace: str, args: list[Any], id: int) -> None:
    (event,), (ack,) = v0.encode_event(namespace, "e", args, id), v0.encode_ack(namespace, id, args)
    assert feed(str(event)) == Packet(EVENT, namespace, ["e", *args], id)
    assert feed(str(ack)) == Packet(ACK, namespace, args, id)


PIECES = st.sampled_from(
    [":", "::", ":::", "+", "1", "²", "/chat", '{"name":"a"}', '["a"]', "{", "[", "x", "?a"]
)


@seed(1)
@settings(max_examples=600, deadline=None, database=None)
@given(
    st.builds(
        lambda kind, parts: kind + "".join(parts), st.sampled_from("012345678"), st.lists(PIECES, max_size=7)
    )
)
def test_any_message_decodes_or_is_refused(message: str) -> None:
    try:
        packet = feed(message)
    except ProtocolError:
        return
    assert packet.namespace[0] == "/"
