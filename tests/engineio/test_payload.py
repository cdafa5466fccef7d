"""Bodies of long-polling in each framing."""

from __future__ import annotations

import tracemalloc
from functools import partial

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sioload.engineio import payload
from sioload.engineio.packet import Packet, PacketType
from sioload.errors import LimitError, ProtocolError, TextError
from sioload.options import Limits

LIMITS = Limits()
TWICE = partial(payload.decode_lengths, double=True)
DECODERS = {
    "records": payload.decode_records,
    "lengths": payload.decode_lengths,
    "lengths twice": TWICE,
    "v0": payload.decode_v0,
}


def message(data: str | bytes) -> Packet:
    return Packet(PacketType.MESSAGE, data)


MIXED = [message('2["€😀é"]'), message(b"\x01\x02\x03\xfe"), Packet(PacketType.PING, ""), message(b"")]


@pytest.mark.parametrize(
    ("packets", "base64", "body"),
    [
        ([message('2["€😀é"]')], True, '10:42["€😀é"]'.encode()),
        ([message(b"\x01\x02\x03\xfe")], True, b"10:b4AQID/g=="),
        ([message("1"), Packet(PacketType.PING, "")], False, b"\x00\x02\xff41\x00\x01\xff2"),
        ([message('26["€😀é"]')], False, b"\x00\x01\x06\xff" + '426["€😀é"]'.encode()),
        ([message(b"\x01\xfe")], False, b"\x01\x03\xff\x04\x01\xfe"),
    ],
)
def test_bodies_of_engine_io_3_in_either_framing(packets: list[Packet], base64: bool, body: bytes) -> None:
    kind = "text/plain;charset=UTF-8" if base64 else "application/octet-stream"
    assert payload.encode_lengths(packets, base64) == (body, kind)
    assert payload.decode_lengths(body, LIMITS) == packets


def test_a_body_of_engine_io_4_with_binary_in_base64() -> None:
    body = '42["€😀é"]\x1ebAQID/g==\x1e2\x1eb'.encode()
    assert payload.encode_records(MIXED) == (body, "text/plain;charset=UTF-8")
    assert payload.decode_records(body, LIMITS) == MIXED


def test_text_encoded_twice_counts_what_it_looks_like_in_between() -> None:
    body = b"11:" + '42["é€"]'.encode().decode("latin-1").encode()
    assert payload.encode_lengths([message('2["é€"]')], True, double=True)[0] == body
    assert TWICE(body, LIMITS) == [message('2["é€"]')]


def test_lengths_of_1_0_0_that_count_non_ascii_bytes_twice() -> None:
    """engine.io-parser 1.0.5 announces 31 and sends 22 bytes, in the middle and at the end."""
    part = b"\x00\x03\x01\xff" + '42["echo","€😀é"]'.encode()
    expected = message('2["echo","€😀é"]')
    assert TWICE(part, LIMITS) == [expected]
    assert TWICE(part + b"\x01\x02\xff\x04a" + part, LIMITS) == [expected, message(b"a"), expected]


def test_bodies_of_0_9_with_one_packet_and_with_several() -> None:
    one, two = message('5:::{"name":"€😀"}'), Packet(PacketType.PONG, "")
    assert payload.encode_v0([one]) == ('5:::{"name":"€😀"}'.encode(), "text/plain;charset=UTF-8")
    body = payload.encode_v0([one, two])[0]
    assert body == '\ufffd18\ufffd5:::{"name":"€😀"}\ufffd3\ufffd2::'.encode()
    assert payload.decode_v0(body, LIMITS) == [one, Packet(PacketType.PING, "")]
    assert payload.decode_v0(b"8::", LIMITS) == [Packet(PacketType.NOOP, "")]


def test_0_9_lengths_in_code_points_as_gevent_socketio_counts() -> None:
    one, two = message("3:::😀😀"), message("3:::a")
    for body in ("\ufffd6\ufffd3:::😀😀\ufffd5\ufffd3:::a", "\ufffd5\ufffd3:::a\ufffd6\ufffd3:::😀😀"):
        assert set(payload.decode_v0(body.encode(), LIMITS)) == {one, two}
    assert payload.decode_v0("\ufffd2\ufffda😀".encode(), LIMITS) == [message("a😀")]


def test_the_empty_answer_of_an_ended_0_9_session() -> None:
    assert payload.decode_v0(b"", LIMITS) == []


MALFORMED: dict[str, list[bytes]] = {
    "records": [b"", b"\x1e", b"42[]\x1e", b"9", b"b!!!"],
    "lengths": [
        *(b"", b":", b"-1:4", b"0:", b"x:4", b"5:4", b"1:4x", b"99999999999:4", b"4", b"3:b4A"),
        *("²:41".encode(), "1:😀".encode(), "3:4😀😀".encode()),
        *(b"\x00", b"\x00\xff", b"\x00\x0a\xff4", b"\x00\x05\xff4", b"\x00\x00\xff", b"\x01\x00\xff"),
        *(b"\x00\x01\xff4\x02", b"\x00" + b"\x09" * 11 + b"\xff4", b"\x00\x01\xff9"),
    ],
    "v0": [
        text.encode() for text in ("\ufffd", "\ufffd5\ufffd8::", "\ufffdx\ufffd8::", "\ufffd3\ufffd8::8::")
    ],
}


@pytest.mark.parametrize(("name", "body"), [(name, body) for name in MALFORMED for body in MALFORMED[name]])
def test_malformed_bodies_are_refused(name: str, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        DECODERS[name](body, LIMITS)


@pytest.mark.parametrize(
    ("name", "body"),
    [("records", b"4\xff"), ("lengths", b"2:4\xff"), ("lengths", b"\x00\x02\xff4\xff"), ("v0", b"5:\xff")],
)
def test_text_that_is_not_utf8_is_named_as_such(name: str, body: bytes) -> None:
    with pytest.raises(TextError):
        DECODERS[name](body, LIMITS)


SMALL = Limits(message=4, payload=40)


@pytest.mark.parametrize(
    ("name", "fits", "above"),
    [
        ("records", b"4abcd", b"4abcde"),
        ("records", b"bAAAAAA==", b"bAAAAAAAA"),
        ("records", b"\x1e".join([b"2"] * 20), b"\x1e".join([b"2"] * 21)),
        ("lengths", b"5:4abcd", b"6:4abcde"),
        ("lengths", b"10:b4AAAAAA==", b"10:b4AAAAAAA="),
        ("lengths", b"\x00\x05\xff4abcd", b"\x00\x06\xff4abcde"),
        ("lengths", b"\x00\x05\xff4abcd", b"\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04"),
        ("v0", b"5:::", b"5:::x"),
        ("v0", "\ufffd4\ufffd5:::".encode(), "\ufffd5\ufffd5:::x".encode()),
    ],
)
def test_what_fits_a_limit_is_read_and_more_is_refused(name: str, fits: bytes, above: bytes) -> None:
    DECODERS[name](fits, SMALL)
    with pytest.raises(LimitError):
        DECODERS[name](above, SMALL)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("records", b"2\x1e"),
        ("lengths", b"1:2"),
        ("lengths", b"\x00\x01\xff2"),
        ("v0", "\ufffd3\ufffd8::".encode()),
    ],
)
def test_too_many_tiny_packets_are_refused(name: str, part: bytes) -> None:
    body = part * 100_001
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="100000 packets"):
            DECODERS[name](body, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", DECODERS)
def test_any_body_decodes_or_is_refused(name: str) -> None:
    @seed(1)
    @settings(max_examples=200, deadline=None, database=None)
    @given(
        st.binary(max_size=60)
        | st.text("0123456789:b4=A[]\x1e\ufffd\x00\x01\xff€😀", max_size=40).map(str.encode)
    )
    def check(body: bytes) -> None:
        try:
            packets = DECODERS[name](body, LIMITS)
        except ProtocolError:
            return
        assert all(isinstance(packet, Packet) for packet in packets)

    check()


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
PACKETS = st.lists(
    st.builds(Packet, st.sampled_from(PacketType), TEXTS) | st.builds(message, st.binary(max_size=30)),
    min_size=1,
)


@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_engine_io_3_reads_what_it_writes(base64: bool, double: bool) -> None:
    @seed(1)
    @settings(max_examples=150, deadline=None, database=None)
    @given(PACKETS)
    def check(packets: list[Packet]) -> None:
        body, _ = payload.encode_lengths(packets, base64, double=double)
        assert payload.decode_lengths(body, LIMITS, double=double) == packets

    check()


@seed(1)
@settings(max_examples=150, deadline=None, database=None)
@given(PACKETS)
def test_engine_io_4_reads_what_it_writes(packets: list[Packet]) -> None:
    clean = [Packet(p.type, p.data.replace("\x1e", "")) if isinstance(p.data, str) else p for p in packets]
    assert payload.decode_records(payload.encode_records(clean)[0], LIMITS) == clean


@seed(1)
@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(TEXTS.map(lambda text: message("3:::" + text.replace("\ufffd", ""))), min_size=1))
def test_0_9_reads_what_it_writes(packets: list[Packet]) -> None:
    assert payload.decode_v0(payload.encode_v0(packets)[0], LIMITS) == packets
