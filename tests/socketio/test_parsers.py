"""The msgpack parser, and parsers that a script brings along."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sioload.errors import EncodeError, LimitError, OptionError, ProtocolError
from sioload.options import Limits
from sioload.socketio.codec import Message
from sioload.socketio.generations import GENERATIONS, codec_for
from sioload.socketio.packet import Packet, PacketType
from sioload.socketio.parsers import MSGPACK, codec_of

LIMITS = Limits()
EVENT, ACK = PacketType.EVENT, PacketType.ACK


def feed(fields: Any, limits: Limits = LIMITS) -> Packet | None:
    data = fields if isinstance(fields, str | bytes) else msgpack.packb(fields)
    return MSGPACK.decoder(limits).feed(data)


def test_undefined_is_none() -> None:
    answer = b"\x83\xa4type\x00\xa4data\x82\xa3sid\xb4C3_487qY9bIqIwTXAAAA\xa3pid\xd4\x00\x00\xa3nsp\xa1/"
    assert feed(answer) == Packet(PacketType.CONNECT, "/", {"sid": "C3_487qY9bIqIwTXAAAA", "pid": None})


def test_numbers_as_keys_are_texts_as_in_javascript() -> None:
    """Python's servers send dicts as they are; the session ended by that."""
    assert feed({"type": 2, "nsp": "/", "data": ["scores", {7: {-1: 2}, "a": 3}]}) == Packet(
        EVENT, "/", ["scores", {"7": {"-1": 2}, "a": 3}]
    )


def test_what_is_sent() -> None:
    (event,) = MSGPACK.encode_event("/", "echo", ["hi", b"\x01\x02"], 0)
    assert event == b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x93\xa4echo\xa2hi\xc4\x02\x01\x02\xa2id\x00"
    assert MSGPACK.encode_connect("/private", None) == [b"\x82\xa4type\x00\xa3nsp\xa8/private"]
    (query,) = MSGPACK.encode_connect("/a", "b=c")
    assert msgpack.unpackb(query) == {"type": 0, "nsp": "/a?b=c"}  # type: ignore[arg-type]
    assert feed(MSGPACK.encode_disconnect("/a")[0]) == Packet(PacketType.DISCONNECT, "/a")
    assert feed(MSGPACK.encode_ack("/", 3, [(1, bytearray(b"x"))])[0]) == Packet(ACK, "/", [[1, b"x"]], 3)


def test_what_cannot_be_sent_is_named() -> None:
    with pytest.raises(EncodeError, match=r"data\[1\]\.a: set can't be sent as msgpack"):
        MSGPACK.encode_event("/", "e", [1, {"a": {1}}], None)
    with pytest.raises(EncodeError, match="an integer beyond 64 bits can't be sent as msgpack"):
        MSGPACK.encode_ack("/", 1, [1 << 64])
    with pytest.raises(EncodeError, match="lone surrogate"):
        MSGPACK.encode_ack("/", 1, ["\ud800"])


@pytest.mark.parametrize(
    "fields",
    [
        "40", b"", b"\xc1", b"\x81", b"\x92\x01", b"\x80\x80", [], 5, {}, {"type": 7, "nsp": "/"},
        {"type": True, "nsp": "/"}, {"type": 0}, {"type": 0, "nsp": ""},
        {"type": 0, "nsp": "chat"}, {"type": 0, "nsp": "/", "data": []},
        {"type": 2, "nsp": "/"}, {"type": 2, "nsp": "/", "data": []}, {"type": 2, "nsp": "/", "data": [True]},
        {"type": 2, "nsp": "/", "data": ["a"], "id": -1}, {"type": 2, "nsp": "/", "data": ["a"], "id": True},
        {"type": 2, "nsp": "/", "data": ["a"], "id": 10**15}, {"type": 3, "nsp": "/", "data": []},
        {"type": 3, "nsp": "/", "id": 1}, b"\x81\x90\x01", b"\xa1\xff", b"\x91" * 100_000, b"\xc7\x00\xff",
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(fields: Any) -> None:
    with pytest.raises(ProtocolError):
        feed(fields)


def test_limits() -> None:
    deep: Any = []
    for _ in range(62):
        deep = [deep]
    assert feed({"type": 2, "nsp": "/", "data": ["a", deep]}) is not None
    with pytest.raises(LimitError, match="nested"):
        feed({"type": 2, "nsp": "/", "data": ["a", [deep]]})
    with pytest.raises(LimitError, match="bytes"):
        feed({"type": 2, "nsp": "/", "data": ["a" * 100]}, Limits(message=100))


def test_lengths_that_lie_take_no_memory() -> None:
    message = b"\xdd\x00\x0f\x00\x00" * 200_000
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            feed(message)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@seed(1)
@settings(max_examples=600, deadline=None, database=None)
@given(
    st.binary(max_size=30)
    | st.binary(max_size=8).map(lambda tail: msgpack.packb({"type": 2, "nsp": "/"})[:-7] + tail)
    | st.fixed_dictionaries(
        {"type": st.integers(-1, 8), "nsp": st.sampled_from(["/", "/a", "", "a"])},
        optional={"data": st.lists(st.text(max_size=3) | st.integers(0, 9)), "id": st.integers(-1, 10**16)},
    ).map(msgpack.packb)
)
def test_any_message_decodes_or_is_refused(message: bytes) -> None:
    try:
        packet = feed(message)
    except ProtocolError:
        return
    assert packet is not None and packet.namespace[0] == "/"


class Reversed:
    """A parser of a script's own."""

    def encode(self, packet: Packet) -> list[Message]:
        return [repr(tuple(packet)[:4])[::-1]]

    def decoder(self, limits: Limits) -> Reversed:
        return self

    def feed(self, message: Message) -> Packet | None:
        return Packet(EVENT, "/", [message[::-1]])


def test_a_parser_of_the_scripts_own_is_used_for_all() -> None:
    codec = codec_for(GENERATIONS["4"], Reversed())
    packet = codec.decoder(LIMITS).feed(codec.encode_event("/a", "e", [1], 5)[0])
    assert packet == Packet(EVENT, "/", ["(<PacketType.EVENT: 2>, '/a', ['e', 1], 5)"])
    own = codec_of(Reversed())
    assert own.encode_ack("/", 1, ["x"]) == ["(<PacketType.ACK: 3>, '/', ['x'], 1)"[::-1]]
    assert own.encode_connect("/", {"a": 1}) == ["(<PacketType.CONNECT: 0>, '/', {'a': 1}, None)"[::-1]]
    assert own.encode_disconnect("/") == ["(<PacketType.DISCONNECT: 1>, '/', None, None)"[::-1]]


def test_what_a_parser_of_the_scripts_own_raises_ends_the_emit_unsent() -> None:
    class Broken(Reversed):
        def encode(self, packet: Packet) -> list[Message]:
            raise KeyError(packet.namespace)

    with pytest.raises(EncodeError, match="the parser raised KeyError: '/a'"):
        codec_of(Broken()).encode_event("/a", "e", [1], 5)


def test_0_9_has_no_other_parser() -> None:
    with pytest.raises(OptionError):
        codec_for(GENERATIONS["0"], "msgpack")
    assert codec_for(GENERATIONS["0"], "json") is GENERATIONS["0"].codec


@pytest.mark.parametrize(
    "given",
    [
        "hello", 5, [], {"type": 2}, (EVENT, "/", ["a"]), Packet(7, "/", ["a"]), Packet(EVENT, "chat", ["a"]),
        Packet(EVENT, "/", {"a": 1}), Packet(EVENT, "/", []), Packet(EVENT, "/", [None]),
        Packet(ACK, "/", ["a"]), Packet(ACK, "/", "a", 1), Packet(EVENT, "/", ["a"], "1"),
        Packet(PacketType.CONNECT, "/", "sid"),
    ],
)  # fmt: skip
def test_what_a_parser_of_the_scripts_own_gives_must_be_a_packet(given: Any) -> None:
    """Anything else was an internal error where it was used, or taken for the server's disconnect."""

    class Odd(Reversed):
        def feed(self, message: Message) -> Any:
            return given

    with pytest.raises(ProtocolError, match="the parser gave"):
        codec_of(Odd()).decoder(LIMITS).feed("x")


def test_packets_of_a_parser_of_the_scripts_own_are_as_any_others() -> None:
    class Odd(Reversed):
        def feed(self, message: Message) -> Any:
            return {"e": (5, "/", ("a", 1), 2, False), "a": Packet(PacketType.BINARY_ACK, "/", [], 3)}.get(
                message
            )

    decoder = codec_of(Odd()).decoder(LIMITS)
    assert decoder.feed("e") == Packet(EVENT, "/", ["a", 1], 2)
    assert decoder.feed("a") == Packet(ACK, "/", [], 3)
    assert decoder.feed("more") is None


@pytest.mark.parametrize("given", [None, "hello", b"hello", [], [5], [None], {"a": 1}])
def test_what_a_parser_of_the_scripts_own_encodes_must_be_messages(given: Any) -> None:
    """A text in the place of a list was sent letter by letter."""

    class Odd(Reversed):
        def encode(self, packet: Packet) -> Any:
            return given

    with pytest.raises(EncodeError, match="must give a list of str or bytes"):
        codec_of(Odd()).encode_event("/", "e", [1], None)
