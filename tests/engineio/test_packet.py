"""Frames of each Engine.IO dialect, and the handshake."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sioload.engineio import packet as frames
from sioload.engineio.packet import Handshake, Packet, PacketType, parse_handshake, parse_handshake_v0
from sioload.errors import ProtocolError

DIALECTS = {
    "eio4": (frames.decode_eio4, frames.encode_eio4),
    "eio3": (frames.decode_eio3, frames.encode_eio3),
    "eio3 double": (frames.decode_eio3_double, frames.encode_eio3_double),
    "v0": (frames.decode_v0, frames.encode_v0),
}


@pytest.mark.parametrize(
    ("dialect", "frame", "packet"),
    [
        ("eio4", '0{"sid":"a"}', Packet(PacketType.OPEN, '{"sid":"a"}')),
        ("eio4", "2", Packet(PacketType.PING, "")),
        ("eio4", "3probe", Packet(PacketType.PONG, "probe")),
        ("eio4", '42["€😀é"]', Packet(PacketType.MESSAGE, '2["€😀é"]')),
        ("eio4", b"\x04\x01", Packet(PacketType.MESSAGE, b"\x04\x01")),
        ("eio4", b"", Packet(PacketType.MESSAGE, b"")),
        ("eio3", "41", Packet(PacketType.MESSAGE, "1")),
        ("eio3", '42["€😀é"]', Packet(PacketType.MESSAGE, '2["€😀é"]')),
        ("eio3", b"\x04\x01\x02", Packet(PacketType.MESSAGE, b"\x01\x02")),
        ("eio3 double", '42["\xc3\xa9"]', Packet(PacketType.MESSAGE, '2["é"]')),
        ("eio3 double", b"\x04\x01\x02", Packet(PacketType.MESSAGE, b"\x01\x02")),
        ("v0", "0::", Packet(PacketType.CLOSE, "")),
        ("v0", "0::/chat", Packet(PacketType.MESSAGE, "0::/chat")),
        ("v0", "8::", Packet(PacketType.NOOP, "")),
        ("v0", "5:::{}", Packet(PacketType.MESSAGE, "5:::{}")),
    ],
)
def test_frames_read_and_written(dialect: str, frame: str | bytes, packet: Packet) -> None:
    decode, encode = DIALECTS[dialect]
    assert decode(frame) == packet
    assert encode(packet) == frame


def test_frames_that_are_only_read() -> None:
    assert frames.decode_eio4("bAQI=") == Packet(PacketType.MESSAGE, b"\x01\x02")
    assert frames.decode_eio3("b4AQI=") == Packet(PacketType.MESSAGE, b"\x01\x02")
    assert frames.decode_v0("2::") == Packet(PacketType.PING, "")


def test_text_that_was_not_encoded_twice_stays_as_it_is() -> None:
    assert frames.decode_eio3_double('42["€😀é"]').data == '2["€😀é"]'
    assert frames.decode_eio3_double('42["\xe9"]').data == '2["\xe9"]'


@pytest.mark.parametrize(
    ("encode", "binary"),
    [
        (frames.encode_eio4_base64, "bAQI="),
        (frames.encode_eio3_base64, "b4AQI="),
        (frames.encode_eio3_double_base64, "b4AQI="),
    ],
)
def test_binary_frames_as_text(encode: Callable[[Packet], str | bytes], binary: str) -> None:
    assert encode(Packet(PacketType.MESSAGE, b"\x01\x02")) == binary
    assert encode(Packet(PacketType.MESSAGE, "2[]")) == "42[]"


def test_heartbeat_of_0_9_is_echoed() -> None:
    assert frames.encode_v0(Packet(PacketType.PONG, "")) == "2::"


@pytest.mark.parametrize(
    ("dialect", "frame"),
    [
        ("eio4", ""), ("eio4", "7"), ("eio4", "abc"), ("eio4", "b!!!"), ("eio4", "bA"),
        ("eio4", "²"), ("eio4", "b²"),
        ("eio3", ""), ("eio3", "9"), ("eio3", "b"), ("eio3", "b9AQ=="), ("eio3", b""), ("eio3", b"\x07a"),
        ("eio3 double", ""), ("v0", b"\x01"),
    ],
)  # fmt: skip
def test_malformed_frames_are_refused(dialect: str, frame: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        DIALECTS[dialect][0](frame)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_any_frame_decodes_or_is_refused(dialect: str) -> None:
    decode, encode = DIALECTS[dialect]

    @seed(1)
    @settings(max_examples=400, deadline=None, database=None)
    @given(st.from_regex(r"[0-9b]?.{0,20}") | st.binary(max_size=20))
    def check(frame: str | bytes) -> None:
        try:
            packet = decode(frame)
        except ProtocolError:
            return
        assert decode(encode(packet)) == packet

    check()


OPEN = '{"sid":"s","upgrades":["websocket","webtransport"],"pingInterval":25000,"pingTimeout":20000'


def test_a_handshake_keeps_unknown_transports_and_gives_times_in_seconds() -> None:
    both = ("websocket", "webtransport")
    assert parse_handshake(OPEN + "}") == Handshake("s", both, 25.0, 20.0, None)
    assert parse_handshake(OPEN + ',"maxPayload":1000000,"more":1}').max_payload == 1_000_000


@pytest.mark.parametrize(
    "sid",
    [
        "s2",
        "é",
        "\u2028",
        "a\tb",
        "",
        "x" * 2000,
        "a\\nb",
        'a\\"b',
        "a\\u0062c",
        '","sid":"other',
        '","more":"',
    ],
    ids=repr,
)
@pytest.mark.parametrize("rest", ['","upgrades":[],"pingInterval":25000,"pingTimeout":20000}',
                                  '","sid":"second","upgrades":[],"pingInterval":25000,"pingTimeout":20000}',
                                  '","upgrades":[],"pingInterval":null,"pingTimeout":20000}'],
                         ids=["usual", "two sids", "null"])  # fmt: skip
def test_a_handshake_like_one_before_is_read_as_if_it_were_the_first(sid: str, rest: str) -> None:
    """But for its sid, a server says the same to each client."""

    def read(text: str, strict: bool) -> Handshake | str:
        try:
            return parse_handshake(text, strict)
        except ProtocolError as error:
            return re.sub(r"column \d+ \(char \d+\)", "", str(error))

    for strict in (False, True):
        # White space in front keeps it from being taken for a usual one.
        expected = read(' {"sid":"' + sid + rest, strict)
        for before in ("before", "second", "s2"):
            read('{"sid":"' + before + rest, strict)
            assert read('{"sid":"' + sid + rest, strict) == expected


@pytest.mark.parametrize(
    ("interval", "timeout", "expected"),
    [
        ('"25000"', '"20000"', (25.0, 20.0)),
        ("25000.5", '"2.5e3"', (25.0005, 2.5)),
        ("25000", "null", (25.0, float("inf"))),
        ("25000", "0", (25.0, float("inf"))),
        ("null", "20000", (0.0, float("inf"))),
        ("0", "20000", (0.0, float("inf"))),
    ],
)
def test_a_handshake_may_hold_what_the_javascript_client_takes(
    interval: str, timeout: str, expected: tuple[float, float]
) -> None:
    got = parse_handshake(OPEN.replace("25000", interval).replace("20000", timeout) + "}")
    assert (got.ping_interval, got.ping_timeout) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [('"1000000"', 1_000_000), ("1048576.5", 1_048_576), ("null", None), ("0", None), ('" 5 "', 5)],
)
def test_a_payloads_limit_may_be_what_the_javascript_client_takes(given: str, expected: int | None) -> None:
    assert parse_handshake(OPEN + f',"maxPayload":{given}}}').max_payload == expected


def test_a_null_in_engine_io_3_is_an_error_that_names_the_servers_option() -> None:
    for name, value in (("pingInterval", "25000"), ("pingTimeout", "20000")):
        with pytest.raises(ProtocolError, match=f"the server's option {name} must be a finite number"):
            parse_handshake(OPEN.replace(value, "null") + "}", strict=True)
    assert parse_handshake(OPEN.replace("20000", "0") + "}", strict=True).ping_timeout == 25.0
    assert parse_handshake(OPEN.replace('"s"', "12") + "}").sid == "12"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        (OPEN.replace('"s"', '""') + "}", "sid"),
        (OPEN.replace('"s"', "true") + "}", "sid"),
        (OPEN.replace('"s"', '"' + "s" * 4097 + '"') + "}", "sid of 4097 characters"),
        (OPEN.replace("upgrades", "up") + "}", "upgrades"),
        (OPEN.replace('"websocket"', "1") + "}", "upgrades"),
        (OPEN.replace("25000", '"soon"') + "}", "pingInterval is 'soon'"),
        (OPEN.replace("25000", "[1]") + "}", "pingInterval"),
        (OPEN.replace("pingInterval", "ping") + "}", "pingInterval is missing"),
        (OPEN.replace("20000", "-1") + "}", "pingTimeout"),
        (OPEN.replace("20000", "true") + "}", "pingTimeout"),
        (OPEN.replace("20000", "1e999") + "}", "not JSON"),
        (OPEN + ',"maxPayload":-1}', "maxPayload"),
        (OPEN + "}" + " " * 65_536, "handshake of 65\\d+ characters, more than 65536"),
        (OPEN + ',"maxPayload":true}', "maxPayload"),
    ],
)
def test_odd_handshakes_are_refused_by_name(data: str, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        parse_handshake(data)


def test_a_handshake_of_0_9_may_want_no_heartbeat() -> None:
    transports = ("websocket", "xhr-polling")
    assert parse_handshake_v0("s1:15:25:websocket,xhr-polling") == Handshake("s1", transports, 15, 25, None)
    assert parse_handshake_v0("s1::25:websocket").ping_interval == float("inf")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "a:b",
        "Welcome to socket.io.",
        ":1:2:websocket",
        "s" * 4097 + ":1:2:websocket",
        "s:1:2:",
        "s:²:2:x",
        "s:-1:2:x",
        "s:0:2:x",
        "s:.:2:x",
        "s:1:2:x" + ",y" * 32_768,
    ],
)
def test_odd_handshakes_of_0_9_are_refused(body: str) -> None:
    with pytest.raises(ProtocolError):
        parse_handshake_v0(body)
