"""The table of generations: what each record promises, its functions do."""

from __future__ import annotations

import pytest

from sioload.engineio.packet import Packet, PacketType
from sioload.options import Limits
from sioload.socketio.generations import GENERATIONS, VERSIONS, Generation

LIMITS = Limits()
ALL = pytest.mark.parametrize("generation", GENERATIONS.values(), ids=GENERATIONS.keys())


def test_every_version_has_its_record() -> None:
    assert {version: record.name for version, record in VERSIONS.items()} == {n: str(n) for n in range(5)}
    assert all(record.version in VERSIONS for record in GENERATIONS.values())


@ALL
@pytest.mark.parametrize("base64", [False, True])
def test_an_event_travels_alike_on_both_transports(generation: Generation, base64: bool) -> None:
    args = ["€😀é", {"a": [1, None]}, *([b"\x01\xff"] if generation.binary else [])]
    messages = generation.codec.encode_event("/chat", "ev", args, 3)
    packets = [Packet(PacketType.MESSAGE, data) for data in messages]
    body, _ = generation.encode_payload(packets, base64)
    frames = [generation.encode_frame(packet) for packet in packets]
    for received in (generation.decode_payload(body, LIMITS), list(map(generation.decode_frame, frames))):
        decoder = generation.codec.decoder(LIMITS)
        event = [decoder.feed(packet.data) for packet in received][-1]
        assert event is not None
        assert event[1:4] == ("/chat", ["ev", *args], 3)


@ALL
def test_acks_and_texts_are_written_as_each_generation_reads_them(generation: Generation) -> None:
    codec, name = generation.codec, generation.name
    assert ("-" in str(codec.encode_ack("/", 0, ["x"])[0])) == generation.dashed_acks
    assert str(codec.encode_event("/", "é", [], None)[0]).isascii() == (name in ("1", "eio3"))
    frame = generation.encode_frame(Packet(PacketType.MESSAGE, "é"))
    assert ("\xc3" in str(frame)) == (name in ("1.0", "1.0.3"))  # UTF-8 twice


@ALL
def test_a_connect_carries_what_the_record_says(generation: Generation) -> None:
    codec = generation.codec
    carried = {"auth": {"a": 1}, "query": "a=1", "none": None}[generation.connect_payload]
    fields = codec.decoder(LIMITS).feed(codec.encode_connect("/chat", carried)[0])
    assert fields is not None and fields[1] == "/chat"
    assert fields[2] == (None if generation.version == 0 else carried)


def test_unknown_engineio3_is_read_however_it_encodes_text() -> None:
    decode = GENERATIONS["eio3"].decode_frame
    assert (
        decode('42["€"]')
        == decode('42["€"]'.encode().decode("latin-1"))
        == Packet(PacketType.MESSAGE, '2["€"]')
    )
