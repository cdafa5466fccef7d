"""The JSON codec of Socket.IO 1 to 4."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sioload.errors import EncodeError, LimitError, ProtocolError
from sioload.options import Limits
from sioload.socketio import codec
from sioload.socketio.codec import Decoder, Message
from sioload.socketio.packet import Packet, PacketType

LIMITS = Limits()
EVENT, ACK = PacketType.EVENT, PacketType.ACK
ONE = '51-["b",{"_placeholder":true,"num":%s}]'


def feed(*messages: Message, limits: Limits = LIMITS) -> Packet | None:
    decoder = Decoder(limits)
    packet = None
    for message in messages:
        assert packet is None
        packet = decoder.feed(message)
    return packet and Packet(*packet)


@pytest.mark.parametrize(
    ("messages", "packet"),
    [
        (['2["a",1,{"b":[null]}]'], Packet(EVENT, "/", ["a", 1, {"b": [None]}])),
        (['212["a"]'], Packet(EVENT, "/", ["a"], 12)),
        (['2/chat,["a"]'], Packet(EVENT, "/chat", ["a"])),
        (['2/my-chat,0["a[,"]'], Packet(EVENT, "/my-chat", ["a[,"], 0)),
        (["30[]"], Packet(ACK, "/", [], 0)),
        (['3/chat,7["€😀é"]'], Packet(ACK, "/chat", ["€😀é"], 7)),
        (["0"], Packet(PacketType.CONNECT, "/")),
        (['0{"sid":"x"}'], Packet(PacketType.CONNECT, "/", {"sid": "x"})),
        (["0/chat"], Packet(PacketType.CONNECT, "/chat")),
        (["0/chat,"], Packet(PacketType.CONNECT, "/chat")),
        (['0/chat,{"sid":"x"}'], Packet(PacketType.CONNECT, "/chat", {"sid": "x"})),
        (["0/chat?a=b,"], Packet(PacketType.CONNECT, "/chat", "a=b")),
        (["1"], Packet(PacketType.DISCONNECT, "/")),
        (["1/chat,"], Packet(PacketType.DISCONNECT, "/chat")),
        (["4"], Packet(PacketType.CONNECT_ERROR, "/")),
        (['4"root denied"'], Packet(PacketType.CONNECT_ERROR, "/", "root denied")),
        (['4/x,{"message":"no"}'], Packet(PacketType.CONNECT_ERROR, "/x", {"message": "no"})),
        (['4/x,["no",1]'], Packet(PacketType.CONNECT_ERROR, "/x", ["no", 1])),
        (["4/x,5"], Packet(PacketType.CONNECT_ERROR, "/x", 5)),
        ([ONE % 0, b"\x01"], Packet(EVENT, "/", ["b", b"\x01"])),
        (['50-["b"]'], Packet(EVENT, "/", ["b"])),
        (
            ['62-/chat,3[{"k":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]', b"A", b""],
            Packet(ACK, "/chat", [{"k": [b""]}, b"A"], 3),
        ),
        (['2["\\ud800",1.5]'], None),
        (["30-2[1]"], Packet(ACK, "/", [1], 2)),
        (['31-/chat,5[{"_placeholder":true,"num":0}]', b"A"], Packet(ACK, "/chat", [b"A"], 5)),
        (
            ['2["a",{"_placeholder":true,"num":0}]'],
            Packet(EVENT, "/", ["a", {"_placeholder": True, "num": 0}]),
        ),
    ],
)
def test_what_servers_send(messages: list[Message], packet: Packet | None) -> None:
    assert feed(*messages) == (packet or Packet(EVENT, "/", ["\ud800", 1.5]))


def test_form_of_old_acks_is_noticed() -> None:
    decoder = Decoder(LIMITS)
    decoder.feed('30["x"]')
    assert not decoder.dashed_acks
    decoder.feed('30-0["x"]')
    assert decoder.dashed_acks


@pytest.mark.parametrize(
    "messages",
    [
        [""], ["7"], ["x"], ["²"], [b""], [b"stray"],
        ["2"], ["2{}"], ["2[]"], ["2[true]"], ['2["a"'], ["2notjson"], ['2"a"'], ['2["a"]]'], ["212"],
        ["2null"], ["2[null]"], ["2[[1]]"], ['2[{"a":1}]'], ['2 ["a"]'],
        ['2²["a"]'], ['2-1["a"]'], ['21.5["a"]'], ["2" + "1" * 5000 + '["a"]'], ['2١["a"]'],
        ["2/chat"], ['2/chat["a","b"]'], ["2/"], ['2/chat,x["a"]'],
        ["3"], ["3[]"], ["3{}"], ["31{}"], ["3/chat,[]"], ['31-1-2["x"]'], ["3" + "0-" * 100_000 + "[]"],
        ["3" + "0-" * 100_000 + ",5[]"],
        ['2["a",NaN]'], ['2["a",Infinity]'], ['2["a",1e999]'], ['2["\\ud800",NaN]'], ['2["\\ud800",1e999]'],
        ['2["\\ud800"'], ['2["\\ud800",' + "1" * 5000 + "]"], ['2["a",\'b\']'],
        ["0[]"], ["0x"], ["0/chat,5"], ["1{}"], ["1/chat,x"], ["4x"], ['4/x,{"a"'],
        ["5"], ['5["a"]'], ['5-["a"]'], ['5²-["a"]'], ['5-1-["a"]'], ["51-"], ["51-[]"], ['5/chat,1-["a"]'],
        [ONE % -1, b"a"], [ONE % 99, b"a"], [ONE % '"0"', b"a"], [ONE % "true", b"a"], [ONE % "0.0", b"a"],
        [ONE % "null", b"a"], ['51-["b",{"_placeholder":true}]', b"a"],
        [ONE % 0, '2["interleaved"]'], [ONE % 0, b"a", b"extra"],
        ['61-[{"_placeholder":true,"num":0}]'],
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(messages: list[Message]) -> None:
    decoder = Decoder(LIMITS)
    *whole, last = messages
    for message in whole:
        decoder.feed(message)
    with pytest.raises(ProtocolError):
        decoder.feed(last)


def test_limits() -> None:
    assert feed(f'2["a",{"[" * 63}{"]" * 63}]') is not None
    quoted = '"\\"' + "[{" * 100 + '\\\\"'
    assert feed(f"2[{quoted}]") is not None
    assert feed("2[" + '"a",' * 9 + ",".join(["{}"] * 1000) + "]") is not None
    for text in [
        "[" * 64 + "]" * 64,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 64 + "1" + "}" * 64,
        quoted + "," + "[" * 64 + "]" * 64,
    ]:
        with pytest.raises(LimitError):
            feed(f'2["a",{text}]')
    with pytest.raises(ProtocolError):
        feed("2" + "[" * 100_000)
    with pytest.raises(ProtocolError):
        feed('0{"a":' + "[" * 100_000)
    with pytest.raises(LimitError):
        feed('51000000000-["a"]')
    small = Limits(attachments=2, payload=4)
    two = '52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    assert feed(two, b"AB", b"CD", limits=small) == Packet(EVENT, "/", ["a", b"AB", b"CD"])
    with pytest.raises(LimitError):
        feed(two, b"AB", b"CDE", limits=small)
    with pytest.raises(LimitError):
        feed('53-["a"]', limits=small)


@pytest.mark.parametrize(
    ("args", "id", "namespace", "messages"),
    [
        ([], None, "/", ['2["e"]']),
        (["x", {"b": (1, None)}], 0, "/", ['20["e","x",{"b":[1,null]}]']),
        (["€😀é"], 7, "/chat", ['2/chat,7["e","€😀é"]']),
        ([float("nan"), float("inf")], None, "/", ['2["e",null,null]']),
        ([{1: "a", None: True}], None, "/", ['2["e",{"1":"a","null":true}]']),
        ([namedtuple("Point", "x y")(1, 2)], None, "/", ['2["e",[1,2]]']),
        ([uuid.UUID(int=0)], None, "/", ['2["e","00000000-0000-0000-0000-000000000000"]']),
        ([b"A"], None, "/", ['51-["e",{"_placeholder":true,"num":0}]', b"A"]),
        (
            [{"k": [bytearray(b"A")]}, (memoryview(b"B"),)],
            3,
            "/chat",
            [
                '52-/chat,3["e",{"k":[{"_placeholder":true,"num":0}]},[{"_placeholder":true,"num":1}]]',
                b"A",
                b"B",
            ],
        ),
    ],
)
def test_events_sent(args: list[Any], id: int | None, namespace: str, messages: list[Message]) -> None:
    assert codec.encode_event(namespace, "e", args, id) == messages
    ack = [messages[0].replace('"e",', "").replace('"e"', ""), *messages[1:]]  # type: ignore[arg-type]
    if id is not None:
        assert codec.encode_ack(namespace, id, args)[0] == {"2": "3", "5": "6"}[ack[0][0]] + ack[0][1:]


def test_json_in_ascii_is_the_same_data() -> None:
    (text,) = codec.encode_event("/", "é", ["€😀"], ascii=True)
    assert text == '2["\\u00e9","\\u20ac\\ud83d\\ude00"]'
    assert feed(text) == Packet(EVENT, "/", ["é", "€😀"])
    assert codec.encode_ack("/", 1, ["é"], ascii=True) == ['31["\\u00e9"]']


def test_acks_of_1_0_0() -> None:
    assert codec.encode_ack("/", 0, ["yes"], dashed=True) == ['30-0["yes"]']
    one = '31-/chat,5[{"_placeholder":true,"num":0}]'
    assert codec.encode_ack("/chat", 5, [b"A"], dashed=True) == [one, b"A"]


def test_connect_and_disconnect() -> None:
    assert codec.encode_connect("/") == ["0"]
    assert codec.encode_connect("/", {}) == ["0{}"]
    assert codec.encode_connect("/chat", {"token": "é"}) == ['0/chat,{"token":"é"}']
    assert codec.encode_connect("/chat") == ["0/chat,"]
    assert codec.encode_connect_query("/chat", "a=b") == ["0/chat?a=b,"]
    assert codec.encode_connect_bare("/chat", "a=b") == ["0/chat?a=b"]
    assert codec.encode_connect_bare("/chat") == ["0/chat"]
    assert codec.encode_disconnect("/chat") == ["1/chat,"]
    assert codec.encode_disconnect_bare("/chat") == ["1/chat"]
    assert codec.encode_disconnect_bare("/") == ["1"]


@dataclass
class Thing:
    x: int = 1


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (
            [{"when": datetime.datetime(2026, 1, 1)}],
            r"data\[0\]\.when: datetime can't be sent as JSON; convert it first",
        ),
        ([1, [b"x", {1, 2}]], r"data\[1\]\[1\]: set can't be sent"),
        ([Thing()], r"data\[0\]: Thing can't be sent"),
        ([decimal.Decimal(1)], r"data\[0\]: Decimal can't be sent"),
        ([{(1, 2): 3}], r"data\[0\]: a key of type tuple can't be sent"),
        ([{"n": 1 << 64}], r"data\[0\]\.n: an integer beyond 64 bits"),
        (["\ud800"], r"data\[0\]: text with a lone surrogate"),
        ([LOOP], "nested deeper than 254 levels"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_place(args: list[Any], complaint: str) -> None:
    with pytest.raises(EncodeError, match=complaint):
        codec.encode_event("/", "e", args)
    with pytest.raises(EncodeError, match=complaint):
        codec.encode_ack("/", 1, args)


def test_auth_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(EncodeError, match=r"auth\.key: bytes can't be sent|auth"):
        codec.encode_connect("/", {"key": b"x"})
    with pytest.raises(EncodeError, match=r"auth\.when: date can't"):
        codec.encode_connect("/", {"when": datetime.date(2026, 1, 1)})


TEXTS = st.text(st.characters(codec="utf-8"), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | TEXTS | st.binary(max_size=10)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
NAMESPACES = st.sampled_from(["/", "/chat", "/my-chat", "/é"])


@seed(1)
@settings(max_examples=300, deadline=None, database=None)
@given(NAMESPACES, TEXTS, st.lists(VALUES, max_size=3), st.none() | st.integers(0, 10**15 - 1), st.booleans())
def test_what_is_sent_is_read_again(
    namespace: str, event: str, args: list[Any], id: int | None, ascii: bool
) -> None:
    messages = codec.encode_event(namespace, event, args, id, ascii=ascii)
    assert feed(*messages) == Packet(EVENT, namespace, [event, *args], id)
    head, digits = codec.event_head(namespace, b"42"), b"" if id is None else str(id).encode()
    for data, meant in ((tuple(args), args), (args, [args]), (None, [])):
        short = codec.event_json(event, data)
        plain = codec.encode_event(namespace, event, meant, id)
        assert short is None if len(plain) > 1 else head + digits + short == b"4" + str(plain[0]).encode()
    if id is not None:
        for dashed in (False, True):
            messages = codec.encode_ack(namespace, id, args, ascii=ascii, dashed=dashed)
            assert feed(*messages) == Packet(ACK, namespace, args, id)


PIECES = st.sampled_from(
    ["/chat", ",", "-", "[", "]", '"a"', "{", "}", ":", "0", "1", "12", "²", "null", "NaN", "1e999",
     "\\ud800", "?a=b", '["a"]', '["a",{"_placeholder":true,"num":0}]', '["a",1,{"b":"c"}]', "[]", "{}",
     "\"", "\\", "é"]
)  # fmt: skip
GARBAGE = st.builds(
    lambda kind, parts: kind + "".join(parts), st.sampled_from("01234567"), st.lists(PIECES, max_size=8)
)


@seed(1)
@settings(max_examples=600, deadline=None, database=None)
@given(st.lists(GARBAGE | st.text(max_size=20) | st.binary(max_size=5), max_size=4))
def test_any_message_decodes_or_is_refused(messages: list[Message]) -> None:
    decoder = Decoder(LIMITS)
    for message in messages:
        short = decoder.root_ack(b"4" + message.encode(), 1) if isinstance(message, str) and message else None
        try:
            packet = decoder.feed(message)
        except ProtocolError:
            assert short is None
            return
        assert packet is None or Packet(*packet).namespace[0] == "/"
        assert short is None or packet == Packet(ACK, "/", short[1], short[0])


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ("30[]", (0, [])),
        ('3712["é",{"a":[1]}]', (712, ["é", {"a": [1]}])),
        ("399999999999999[1]", (99999999999999, [1])),
        ("3[1]", None),
        ("3999999999999999[1]", None),
        ("3/chat,1[1]", None),
        ("37", None),
        ("3", None),
        ("37[1", None),
        ("37{}", None),
        ("31-7[1]", None),
        ("27[1]", None),
        ("37" + "[" * 200 + "]" * 200, None),
    ],
)
def test_acks_that_can_be_read_short(message: str, read: tuple[int, list[Any]] | None) -> None:
    assert Decoder(LIMITS).root_ack(b"\x81\x00" + message.encode(), 2) == read


def test_an_ack_among_attachments_is_left_to_be_refused() -> None:
    decoder = Decoder(LIMITS)
    decoder.feed(ONE % 0)
    assert decoder.root_ack(b"30[]", 0) is None
