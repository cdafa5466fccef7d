"""Packets in words, of every generation and parser."""

from __future__ import annotations

from typing import Any

import pytest

from sioload.engineio.packet import Packet, PacketType
from sioload.options import Limits
from sioload.socketio.generations import GENERATIONS, V0, V4, Generation, codec_for
from sioload.socketio.reading import Reader

SENT, RECEIVED = True, False


def said(
    generation: Generation, talk: list[tuple[bool, list[str | bytes]]], parser: str = "json"
) -> list[Any]:
    reader = Reader(generation, parser, Limits())
    return [
        reader.read(Packet(PacketType.MESSAGE, message), sent)
        for sent, messages in talk
        for message in messages
    ]


@pytest.mark.parametrize("name, parser", [*((name, "json") for name in GENERATIONS), ("4", "msgpack")])
def test_events_and_acks_are_told_with_their_names(name: str, parser: str) -> None:
    generation = GENERATIONS[name]
    codec = codec_for(generation, parser)
    readings = said(
        generation,
        [
            (SENT, codec.encode_event("/", "echo", ["x"], 7)),
            (RECEIVED, codec.encode_ack("/", 7, ["x"])),
            (RECEIVED, codec.encode_event("/chat", "news", [1], None)),
            (SENT, codec.encode_disconnect("/chat")),
        ],
        parser,
    )
    assert [r.words for r in readings] == [
        "event echo, wants ack 7",
        "ack 7 of echo",
        "event news in /chat",
        "leave /chat",
    ]
    assert [r.kind for r in readings] == ["event", "ack", "event", "disconnect"]
    assert readings[1].event == "echo" and readings[2].namespace == "/chat"


def test_attachments_are_told_as_what_they_belong_to() -> None:
    messages = V4.codec.encode_event("/", "blob", [{"a": b"12345", "b": b"6"}], None)
    readings = said(V4, [(RECEIVED, messages)])
    assert [r.words for r in readings] == [
        "event blob",
        "attachment of event blob, 5 bytes",
        "attachment of event blob, 1 byte",
    ]
    assert [r.kind for r in readings] == ["event", "attachment", "event"], "the last one makes it whole"


def test_an_ack_that_nobody_asked_for_and_one_with_attachments_are_acks() -> None:
    readings = said(
        V4,
        [
            (RECEIVED, V4.codec.encode_ack("/chat", 9, ["x"])),
            (RECEIVED, V4.codec.encode_ack("/", 7, ["x", b"123"])),
            (RECEIVED, V4.codec.encode_disconnect("/chat")),
        ],
    )
    words = ["ack 9 in /chat", "ack", "attachment of ack, 3 bytes", "closed: /chat"]
    assert [r.words for r in readings] == words
    assert [r.kind for r in readings] == ["ack", "event", "ack", "disconnect"]


def test_garbage_is_named_and_ends_nothing() -> None:
    reader = Reader(V4, "json", Limits())
    assert reader.read(Packet(PacketType.MESSAGE, "2{}"), RECEIVED).words.startswith("not understood")
    assert reader.read(Packet(PacketType.MESSAGE, '2["still"]'), RECEIVED).words == "event still"


def test_the_engines_own_packets() -> None:
    reader = Reader(V0, "json", Limits())
    words = [reader.read(Packet(kind, data), SENT).words for kind, data in (
        (PacketType.PING, ""), (PacketType.PONG, ""), (PacketType.PING, "probe"), (PacketType.PONG, "probe"),
        (PacketType.UPGRADE, ""), (PacketType.NOOP, ""), (PacketType.CLOSE, ""), (PacketType.OPEN, "{}"),
    )]  # fmt: skip
    assert words == ["ping", "pong", "probe", "probe answered", "upgrade", "noop", "close", "session open"]
