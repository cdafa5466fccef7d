"""What real servers and clients put on the wire, recorded in `tests/transcripts`.

Everything a server sent (`S<`) decodes; everything a client sent (`C>`) is reproduced byte for byte, but for
garbage that was sent on purpose and for forms of which a generation has several.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from sioload.engineio.packet import MESSAGE, PacketType
from sioload.options import Limits
from sioload.socketio.generations import GENERATIONS, Generation, codec_for
from sioload.socketio.packet import Packet
from sioload.socketio.packet import PacketType as Kind
from sioload.socketio.parsers import Codec

FOLDER = Path(__file__).parent.parent / "transcripts"
LIMITS = Limits()
#: 1.1 to 1.7 as their own client spoke, without the escapes that sioload adds.
V1 = replace(GENERATIONS["1"], codec=GENERATIONS["1.0.3"].codec)
FILES: dict[str, Generation] = {
    "node-0.9.19": GENERATIONS["0"],
    "node-1.0.0": GENERATIONS["1.0"],
    "node-1.7.4": V1,
    "node-2.5.1": GENERATIONS["2"],
    "node-3.1.2": GENERATIONS["3"],
    "node-4.8.4": GENERATIONS["4"],
    "node-4.8.4-allowEIO3": GENERATIONS["2"],
    "node-4.8.4-csr": GENERATIONS["4"],
    "node-4.8.4-msgpack-parser": GENERATIONS["4"],
    "pysio-4.6.1-gevent": GENERATIONS["2"],
    "pysio-5.18.1-gevent": GENERATIONS["4"],
}


class Line(NamedTuple):
    where: str
    section: str
    sender: str  # "S" or "C"
    content: str | bytes  # of a websocket frame
    body: bytes | None  # of a polling request or answer
    base64: bool = True  # text framing


def unmask(text: str, sid: int) -> str:
    return re.sub(r"<(SID\w*|sid\d+)>", "S" * sid, text).replace("<FFFD>", "\ufffd")


def unescape(text: str) -> bytes:
    """Undoes what the recorder did to bodies that aren't clean UTF-8."""
    if re.search(r"\\x(?!1e)[0-9a-f]{2}", text):
        return codecs.escape_decode(text.encode("latin-1"))[0]  # type: ignore[attr-defined]
    return text.replace("\\x1e", "\x1e").encode()


def lines(name: str) -> Iterator[Line]:
    section = ""
    sid = 32 if name.startswith("pysio-4") else 20
    for number, raw in enumerate((FOLDER / f"{name}.txt").read_text().split("\n"), 1):
        where, text = f"{name}:{number}", unmask(raw, sid)
        if text.startswith("## "):
            section = text
        elif "wrong / missing EIO" in section:
            continue  # other generations in one section
        elif found := re.match(r"(S<|C>) (?:\[\w+\] )?ws: (.*)", text):
            yield Line(where, section, found[1][0], found[2], None)
        elif found := re.match(r"(S<|C>) (?:\[\w+\] )?ws BIN: (.*)", text):
            yield Line(where, section, found[1][0], codecs.escape_decode(found[2].encode("latin-1"))[0], None)  # type: ignore[attr-defined]
        elif found := re.match(r"S< (?:\[\w+\] )?200 \(([^)]*)\) (?:\[[^\]]*\] )*(.+)", text):
            if found[1].startswith(("text/plain", "application/octet-stream")):
                yield Line(where, section, "S", "", unescape(found[2]))
        elif found := re.match(r"C> POST \S+(.*?)  BODY (.+)", text):
            yield Line(where, section, "C", "", unescape(found[2]), "octet-stream" not in found[1])


def is_payload(line: Line) -> bool:
    """Whether the body is a payload, not the answer to a POST, a handshake of 0.9, JSONP or an error."""
    assert line.body is not None
    text = line.body
    return not (
        text in (b"ok", b"OK", b"1")
        or b"io.j[" in text
        or text.startswith((b"___eio", b"d=", b"Welcome"))
        or b":websocket,htmlfile" in text
    )


def codec(name: str, generation: Generation) -> Codec:
    return codec_for(generation, "msgpack" if "msgpack" in name else "json")


def cut(line: Line) -> bool:
    """Whether the recorder cut the line: 1.0.0 on a recent Node sends its own memory instead of binary."""
    content = line.body if line.body is not None else line.content
    return isinstance(content, bytes) and (b'"name": "socket.io"' in content or b"AAAAAAAAAAAA" in content)


@pytest.mark.parametrize("name", FILES)
def test_all_that_a_server_sent_decodes(name: str) -> None:
    generation = FILES[name]
    decoder, section, count = codec(name, generation).decoder(LIMITS), "", 0
    for line in lines(name):
        if line.section != section or cut(line):
            decoder, section = codec(name, generation).decoder(LIMITS), line.section
        if line.sender != "S" or cut(line) or (line.body is not None and not is_payload(line)):
            continue
        if line.body is None:
            packets = [generation.decode_frame(line.content)]
        else:
            packets = generation.decode_payload(line.body, LIMITS)
        for packet in packets:
            count += 1
            if packet.type == MESSAGE:
                decoder.feed(packet.data)
            elif packet.type == PacketType.OPEN:
                assert generation.parse_handshake(packet.data).ping_interval == 2  # type: ignore[arg-type]
    assert count > 10


#: What a client sent on purpose to see a server stumble, or in a form that isn't the usual one.
ODD_SECTIONS = (
    "bad ",
    "unexpected binary",
    "overlapping",
    "client sends ping",
    "posted as plain",
    "client sends pong",
    "binary frame",
    "default-parser",
)
ODD = (
    "2abc",  # a ping with data
    "\ufffd",  # polling's framing on a websocket
)


def is_odd(line: Line) -> bool:
    content = line.content if isinstance(line.content, str) else ""
    return any(mark in line.section for mark in ODD_SECTIONS) or content.startswith(ODD)


def encode(codec: Codec, packet: Packet) -> list[str | bytes]:
    if packet.type == Kind.EVENT:
        return codec.encode_event(packet.namespace, packet.data[0], packet.data[1:], packet.id)
    if packet.type == Kind.ACK:
        assert packet.id is not None
        return codec.encode_ack(packet.namespace, packet.id, packet.data)
    if packet.type == Kind.CONNECT:
        return codec.encode_connect(packet.namespace, packet.data)
    return codec.encode_disconnect(packet.namespace)


@pytest.mark.parametrize("name", FILES)
def test_all_that_a_client_sent_is_reproduced(name: str) -> None:
    generation = FILES[name]
    both = codec(name, generation)
    decoder, section, count = both.decoder(LIMITS), "", 0
    begun: list[str | bytes] = []
    for line in lines(name):
        if line.section != section:
            decoder, section, begun = both.decoder(LIMITS), line.section, []
        if line.sender != "C" or is_odd(line) or (line.body is not None and not is_payload(line)):
            continue
        if line.body is None:
            packets = [generation.decode_frame(line.content)]
            if line.content != "b4AQID/g==":  # binary as text, which sioload takes and doesn't send
                assert generation.encode_frame(packets[0]) == line.content, line.where
        else:
            packets = generation.decode_payload(line.body, LIMITS)
            assert generation.encode_payload(packets, line.base64)[0] == line.body, line.where
        for packet in packets:
            if packet.type != MESSAGE:
                continue
            begun.append(packet.data)
            fields = decoder.feed(packet.data)
            if fields is not None:
                whole = Packet(*fields)
                if not is_other_form(begun[0], whole):
                    assert tidy(encode(both, whole)) == tidy(begun), line.where
                begun = []
                count += 1
    assert count > 4


def is_other_form(message: str | bytes, packet: Packet) -> bool:
    """0.9's forms that sioload doesn't send: an id without `+`, types 3 and 4, the specification's query."""
    return packet.auto or message[:2] in ("3:", "4:") or "?my=param" in str(message)


def tidy(messages: list[str | bytes]) -> list[str | bytes]:
    """Both forms of a packet without data are in use, with and without a comma at its end."""
    return [message.removesuffix(",") if isinstance(message, str) else message for message in messages]
