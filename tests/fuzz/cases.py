"""Seeded random inputs for every decoder: what a server might send, and the same with a few things wrong.

`python tests/fuzz/cases.py NAME,NAME CASES SEED` runs decoders and prints what came of each as JSON.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgpack
from framekit import deflated, frame
from net.wire import Reader, Tape, alone, bytewise, cuts

from sioload.engineio import packet as frames
from sioload.engineio import payload
from sioload.engineio.packet import Handshake, Packet
from sioload.errors import EncodeError, End, ProtocolError
from sioload.net.http import HTTPConnection, Response
from sioload.net.stream import CLOSED
from sioload.options import Limits
from sioload.socketio import codec, v0
from sioload.socketio.detect import identify, mismatch, refusal
from sioload.socketio.generations import GENERATIONS
from sioload.socketio.packet import Packet as SocketPacket
from sioload.socketio.packet import PacketType
from sioload.socketio.parsers import MSGPACK, Codec, codec_of

LIMITS = Limits()
#: Limits that random inputs reach.
TIGHT = Limits(message=500, payload=2000, attachments=3, nesting=6, headers=500)
Rand = random.Random


# --- values


def value(rand: Rand, depth: int = 3) -> Any:
    """Something that JSON can say."""
    kind = rand.randrange(9 if depth else 6)
    if kind < 2:
        return rand.choice(
            ("", "a", "€😀é", "\x00", "\x1e", "\ufffd", 'q"\\', "42", "b64=", "x" * rand.randrange(60))
        )
    if kind == 2:
        return rand.choice((0, -1, 1, 25000, 2**53, -(2**63), 2**64 - 1))
    if kind == 3:
        return rand.choice((0.5, -0.0, 1e300, 1e-300, 3.0))
    if kind == 4:
        return rand.choice((None, True, False))
    if kind == 5:
        return {}
    if kind == 6:
        return {str(value(rand, 0)): value(rand, depth - 1) for _ in range(rand.randrange(4))}
    return [value(rand, depth - 1) for _ in range(rand.randrange(4))]


_rand = Rand(1)
VALUES = [value(_rand) for _ in range(400)]
NAMES = ["message", "a", "", "€😀", "connect", "__proto__", "x" * 80]
SPACES = ["/", "/", "/", "/chat", "/é", "/a/b"]
BINARY = [b"", b"\x00", b"\x04abc", b"\xff" * 20, bytes(range(40))]


def arguments(rand: Rand) -> list[Any]:
    return [rand.choice(VALUES) for _ in range(rand.choice((0, 1, 1, 2, 3)))]


def with_binary(rand: Rand, args: list[Any]) -> list[Any]:
    return [*args, {"deep": [rand.choice(BINARY)]}, *rand.sample(BINARY, rand.randrange(3))]


# --- mutation

TEXT_BITS = [
    "0", "9", "-", "/", ",", "[", "]", "{", "}", '"', ":", "+", "²", "٣", "é", "😀", "\\", "\\u", "\\ud800",
    "\x1e", "\ufffd", "b", "b4", "=", "null", "NaN", "1e999", "-1", "1e9", "1000000000",
    '{"_placeholder":true,"num":-1}', '{"_placeholder":true,"num":99}', '{"_placeholder":true,"num":"0"}',
    '{"_placeholder":true,"num":true}', "9" * 20, "[" * 70 + "]" * 70, '"' * 3, "\x00", " ", "\n",
]  # fmt: skip
BYTE_BITS = [bytes((n,)) for n in (0, 1, 2, 4, 6, 7, 9, 30, 48, 57, 98, 0x80, 0xC0, 0xE2, 0xED, 0xFF)] + [
    b"\r\n", b"\xef\xbf\xbd", b"\xc2\xb2", b":", b"-", b"\xff\x7f", b"0" * 12, b"9" * 12, b"\r\n\r\n",
    b"\x7e\xff\xff",
]  # fmt: skip


def mutated(rand: Rand, data: Any) -> Any:
    """The input with one to three things wrong; a list of messages in one of them, or in their order."""
    if isinstance(data, list):
        data = list(data)
        at = rand.randrange(len(data))
        what = rand.randrange(8)
        if what == 0:
            del data[at]
        elif what == 1:
            data.insert(at, rand.choice(("", "2", '2["x"]', b"", b"stray")))
        elif what == 2:
            rand.shuffle(data)
        else:
            data[at] = mutated(rand, data[at])
        return data
    bits: list[Any] = TEXT_BITS if isinstance(data, str) else BYTE_BITS
    for _ in range(rand.choice((1, 1, 1, 2, 3))):
        at = rand.randrange(len(data) + 1)
        what = rand.randrange(6)
        if what == 0:
            data = data[:at] + data[at + 1 :]
        elif what == 1:
            data = data[:at] + rand.choice(bits) + data[at + 1 :]
        elif what == 2:
            data = data[:at] + rand.choice(bits) + data[at:]
        elif what == 3:
            data = data[:at] + data[at : at + 9] + data[at:]
        elif what == 4:
            data = data[:at]
        else:
            other = rand.randrange(len(data) + 1)
            data = data[:at] + data[other : other + 5] + data[at + 5 :]
    return data


# --- the decoders


@dataclass(frozen=True)
class Subject:
    """A decoder under test.

    Attributes:
        make: a valid input.
        run: decodes it and checks the result; raises ProtocolError when it can't be decoded.
        take: decodes it and does no more.
        seeds: inputs that must be tried.
        wrong: how many of ten inputs are mutated.
    """

    make: Callable[[Rand], Any]
    run: Callable[[Any], object]
    take: Callable[[Any], object]
    seeds: list[Any] = field(default_factory=list)
    wrong: int = 5


def engine_packets(rand: Rand, binary: bool = True) -> list[Packet]:
    found = []
    for _ in range(rand.choice((1, 1, 2, 3, 5))):
        kind = rand.choice((4, 4, 4, 2, 3, 6, 0, 1, 5))
        if kind == 4 and binary and rand.random() < 0.3:
            found.append(Packet(4, rand.choice(BINARY)))
        else:
            found.append(
                Packet(
                    kind,
                    rand.choice(("", '2["a",1]', "€😀é", "probe", "x" * 30, "é" * 9)) if kind != 6 else "",
                )
            )
    return found


V0_TEXTS = [
    '5:1+:/c:{"name":"e","args":[1]}', '5:::{"name":"e"}', '6:::1+["a"]', "6:::1", "7:::1+0", "7::/p:2",
    "1::/c", "1::", "0::", "0::/c", '4:::{"a":1}', "4:7::[1]", "3:5::m", "3:::a:b:c", "2::", "8::",
    "1::/c:?a=b", "3:::€😀é",
]  # fmt: skip


def again(decode: Callable[[Any], Any], encode: Callable[[Any], Any]) -> Callable[[Any], object]:
    """Decodes; then what was decoded, encoded and decoded again, must be the same."""

    def run(data: Any) -> object:
        first = decode(data)
        second = decode(encode(first))
        assert repr(second) == repr(first), (data, first, second)
        return first

    return run


def engine_frame(name: str) -> Subject:
    decode, encode = getattr(frames, f"decode_{name}"), getattr(frames, f"encode_{name}")

    def make(rand: Rand) -> Any:
        if name == "v0":
            return rand.choice(V0_TEXTS)
        if name != "eio4" and rand.random() < 0.2:
            return "b4" + frames.to_base64(rand.choice(BINARY))
        return encode(engine_packets(rand)[0])

    whole, armoured = again(decode, encode), again(decode, getattr(frames, f"encode_{name}_base64", encode))

    def run(data: Any) -> object:
        return whole(data), armoured(data)

    seeds = ["", b"", "9", "²", "b", "b4", "b²", "4", b"\x07", b"\x04", "b=AAA", "2probe", "0" * 5000]
    return Subject(make, run, decode, seeds)


def bodies(name: str) -> Subject:
    double = name == "lengths_double"
    decode = getattr(payload, f"decode_{name.removesuffix('_double')}")
    encode = getattr(payload, f"encode_{name.removesuffix('_double')}")
    how: dict[str, Any] = {"double": True} if double else {}

    def make(rand: Rand) -> Any:
        if name == "v0":
            texts = rand.sample(V0_TEXTS, rand.choice((1, 2, 3)))
            return encode([frames.decode_v0(text) for text in texts])[0]
        return encode(engine_packets(rand), rand.random() < 0.5, **how)[0]

    def run(data: bytes) -> object:
        found = decode(data, LIMITS, **how)
        for base64 in (False, True):
            back = decode(encode(found, base64, **how)[0], LIMITS, **how)
            assert repr(back) == repr(found), (data, found, back)
        try:
            decode(data, TIGHT, **how)
        except ProtocolError:
            pass
        return found

    seeds = [
        b"", b"\x1e", b"\x1e\x1e\x1e", b"4" + b"x" * 600, b"4:2prob", b"99999999999:4", b"-1:4",
        "²:4a".encode(), b":4", b"1", b"1:", "5:4€😀".encode(), "4:4€😀".encode(), "3:4😀".encode(),
        "2:4😀".encode(), b"0:", b"2:b4", b"10:b4AQID/g==", b"\x00\x02\xff41", b"\x01\x03\xff\x04\x01\xfe",
        b"\x00\xff4", b"\x00\x0a\xff4", b"\x01" + b"\x09" * 12 + b"\xff", b"\x02\x01\xff4", b"\x00\x05\xff4",
        "\ufffd3\ufffd2::".encode(), "\ufffd-1\ufffd2::".encode(), "\ufffd3\ufffd2::\ufffd99\ufffd".encode(),
        "\ufffd".encode(), b"4\xff", b"b=A", b"6\x1e" * 150_000, b"1:6" * 150_000,
        b"\x00\x01\xff6" * 110_000, "\ufffd3\ufffd8::".encode() * 110_000, "\ufffd7\ufffd3:::€😀".encode(),
        "\ufffd6\ufffd3:::€😀".encode(),
    ]  # fmt: skip
    return Subject(make, run, lambda data: decode(data, LIMITS, **how), seeds)


def socket_messages(rand: Rand) -> list[Any]:
    """The messages of one or two packets of Socket.IO, as JSON."""
    found: list[Any] = []
    for _ in range(rand.choice((1, 1, 2))):
        space, number = rand.choice(SPACES), rand.choice((None, None, 0, 7, 10**14))
        what = rand.randrange(8)
        args = arguments(rand)
        ascii = rand.random() < 0.2
        if what < 3:
            found += codec.encode_event(space, rand.choice(NAMES), args, number, ascii=ascii)
        elif what == 3:
            found += codec.encode_event(space, rand.choice(NAMES), with_binary(rand, args), number)
        elif what == 4:
            dashed = rand.random() < 0.3
            args = with_binary(rand, args) if rand.random() < 0.5 else args
            found += codec.encode_ack(space, number or 0, args, ascii=ascii, dashed=dashed)
        elif what == 5:
            join = rand.choice((codec.encode_connect, codec.encode_connect_query, codec.encode_connect_bare))
            found += join(space, None)
            found.append(f'0{space if space != "/" else "/x"},{{"sid":"s"}}')
        elif what == 6:
            found += rand.choice((codec.encode_disconnect, codec.encode_disconnect_bare))(space)
        else:
            found.append("4/x," + json.dumps(rand.choice(VALUES)))
    return found


def fed(
    make_decoder: Callable[[Limits], Any], encode: Callable[[Any], list[Any]] | None
) -> Callable[[Any], object]:
    """Feeds messages to a new decoder; the packets that come out must survive being encoded."""

    def run(messages: list[Any]) -> object:
        found = decoded(make_decoder, messages)
        if encode is not None:
            for packet in found:
                try:
                    back = decoded(make_decoder, encode(packet))
                except Unsent:
                    continue
                except EncodeError as error:
                    if "surrogate" in str(error):  # JavaScript may write a lone one, and UTF-8 can't say it
                        continue
                    raise
                assert repr(back) == repr([packet]), (messages, packet, back)
        return found

    return run


def fed_json(messages: list[Any]) -> object:
    """As `fed`; what is read of an ack in a quicker way is what the decoder reads."""
    for message in messages:
        if message and isinstance(message, str):
            quick = codec.Decoder(LIMITS).root_ack(b"4" + message.encode("utf-8", "surrogatepass"), 1)
            if quick is not None:
                number, args = quick
                try:
                    packet = codec.Decoder(LIMITS).feed(message)
                except ProtocolError as error:
                    raise AssertionError(f"{message!r}: {quick}, and {error}") from error
                assert repr(packet) == repr((PacketType.ACK, "/", args, number, False)), (message, quick)
    return fed(codec.Decoder, encode_json)(messages)


def alone_fed(make_decoder: Callable[[Limits], Any]) -> Callable[[Any], object]:
    """Feeds messages to a new decoder, and keeps what comes out."""

    def take(messages: list[Any]) -> object:
        decoder = make_decoder(LIMITS)
        return [decoder.feed(message) for message in messages]

    return take


def decoded(make_decoder: Callable[[Limits], Any], messages: list[Any]) -> list[Any]:
    tight = make_decoder(TIGHT)
    decoder = make_decoder(LIMITS)
    found = []
    for message in messages:
        if tight is not None:
            try:
                tight.feed(message)
            except ProtocolError:
                tight = None  # of no further use
        fields = decoder.feed(message)
        if fields is not None:
            packet = SocketPacket(*fields)
            assert isinstance(packet.type, PacketType)
            assert packet.namespace[:1] == "/"
            found.append(packet)
    return found


class Unsent(Exception):
    """A packet that a client never sends, or couldn't send so that it comes back the same."""


def encode_json(packet: Any) -> list[Any]:
    if "_placeholder" in repr(packet.data):
        raise Unsent  # a map that looks like an attachment's place would become one
    return _encode(codec, packet)


def _encode(module: Any, packet: Any) -> list[Any]:
    kind, space, data, number, auto = packet
    if auto:
        raise Unsent
    if kind == PacketType.EVENT:
        messages: list[Any] = module.encode_event(space, data[0], data[1:], number)
    elif kind == PacketType.ACK:
        messages = module.encode_ack(space, number, data)
    elif kind == PacketType.DISCONNECT:
        messages = module.encode_disconnect(space)
    elif kind == PacketType.CONNECT and not isinstance(data, str):
        messages = module.encode_connect(space, data)
    else:
        raise Unsent
    return messages


def encode_msgpack(packet: Any) -> list[Any]:
    return _encode(MSGPACK, packet)


def encode_v0(packet: Any) -> list[Any]:
    return _encode(v0, packet)


def parsed_messages(rand: Rand, parsed: Codec, args: list[Any], other: Callable[[str], Any]) -> list[Any]:
    """Those of a parser's packet, or what `other` gives for a namespace."""
    space, number = rand.choice(SPACES), rand.choice((None, 0, 7))
    what = rand.randrange(6)
    if what < 3:
        return list(parsed.encode_event(space, rand.choice(NAMES), args, number))
    if what == 3:
        return list(parsed.encode_ack(space, number or 0, args))
    if what == 4:
        return list(parsed.encode_connect(space, rand.choice(({}, None, {"sid": "x"}))))
    return [other(space)]


def msgpack_messages(rand: Rand) -> list[Any]:
    def other(space: str) -> bytes:
        fields = {
            "type": rand.randrange(8),
            "nsp": space,
            "data": rand.choice(VALUES),
            "id": rand.choice((None, 1)),
        }
        return bytes(msgpack.packb(fields))

    args = arguments(rand)
    return parsed_messages(rand, MSGPACK, with_binary(rand, args) if rand.random() < 0.3 else args, other)


class Careless:
    """A parser as a script may bring it along: what it makes of a message, it doesn't look at."""

    def encode(self, packet: SocketPacket) -> list[Any]:
        return [json.dumps(packet)]

    def decoder(self, limits: Limits) -> Careless:
        return self

    def feed(self, message: Any) -> Any:
        fields = json.loads(message)
        return SocketPacket(PacketType(fields[0]), *fields[1:]) if len(fields) == 5 else fields or None


CARELESS = codec_of(Careless())


def encode_careless(packet: Any) -> list[Any]:
    return _encode(CARELESS, packet)


def careless_messages(rand: Rand) -> list[Any]:
    def other(space: str) -> str:
        id = rand.choice((None, 0, 7))
        fields = [rand.randrange(8), space, rand.choice(VALUES), id, rand.random() < 0.5]
        return json.dumps(rand.choice((fields, fields, rand.choice(VALUES))))

    return parsed_messages(rand, CARELESS, arguments(rand), other)


def v0_messages(rand: Rand) -> list[Any]:
    if rand.random() < 0.5:
        return [rand.choice([text for text in V0_TEXTS if text[0] not in "28"])]
    space, args = rand.choice(SPACES[:4]), arguments(rand)
    if rand.random() < 0.5:
        return list(v0.encode_event(space, rand.choice(NAMES), args, rand.choice((None, 3))))
    return list(v0.encode_ack(space, rand.randrange(100), args))


NESTED = "[" * 100_000 + "]" * 100_000
JSON_SEEDS = [
    ["3²[1]"], ["2²[]"], ["3" + "9" * 5000 + "[1]"], ["2" + "9" * 5000 + '["a"]'], ['2["a",' + NESTED + "]"],
    ['2["a",NaN]'], ['2["a",Infinity]'], ['2["a",1e999]'], ['2["a",-1e999]'], ["4NaN"], ["0" + NESTED],
    ["2" + "[" * 200_000],
    *[
        ['51-["a",{"_placeholder":true,"num":' + number + "}]", b"x"]
        for number in ("-1", "99", '"0"', "true", "0.0", "null", "1e0", "0")
    ],
    ['51000000000-["a"]'], ["5²-[]"], ["5-1-[]"], ['51-["a",{"_placeholder":true,"num":0}]', '2["b"]'],
    ['51-["a",{"_placeholder":true,"num":0}]', b"x", b"extra"], ['50-["a"]'], ['65-1["a"]', b""], [b"stray"],
    ['52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"1",
     '51-["b",{"_placeholder":true,"num":0}]', b"2"],
    [""], ["2"], ["2{}"], ["2[]"], ["2[1]"], ["3[1]"], ["31"], ["9"], ["1x"], ["1/chat,[1]"], ["0[1]"],
    ["4"], ["4/x"], ['2/chat["a"]'], ['2/chat,["a"]'], ['2/,["a"]'], ['0/x?a=b,{"sid":"1"}'], ["0/x?a=b"],
    ['2["\\ud800"]'], ['2["\\ud800",NaN]'], ['2["\\ud800",1e999]'], ['2["\\udc00"'], ['31-2[1]'],
    ["30[1,2]"], ['2["a"'], ['2"a"]'], ['2["a"]]'], ['2["[[[[[[[[","\\"[[[[[",{"]":"}"}]'],
    ["64-" + "[" * 300], ["6" + "1" * 20 + '-["a"]'],
]  # fmt: skip

HANDSHAKE = {
    "sid": "s",
    "upgrades": ["websocket"],
    "pingInterval": 25000,
    "pingTimeout": 20000,
    "maxPayload": 100,
}


def handshake(rand: Rand) -> str:
    fields = dict(HANDSHAKE)
    if rand.random() < 0.3:
        fields[rand.choice(list(fields))] = rand.choice(VALUES)
    return json.dumps(fields)


def sound(made: Handshake) -> Handshake:
    assert made.sid and made.ping_interval >= 0 and made.ping_timeout > 0
    assert made.max_payload is None or made.max_payload > 0
    return made


# --- HTTP and websockets: the result mustn't depend on how the bytes were cut

HTTP_LIMITS = Limits(headers=400, payload=300)


class _Asker:
    def __init__(self) -> None:
        self.ends: list[Any] = []

    def on_response(self, line: HTTPConnection, response: Response) -> None:
        self.ends.append((response.status, tuple(response.headers), response.body))

    def on_failure(self, line: HTTPConnection, end: End) -> None:
        self.ends.append(end)

    def on_crash(self, error: BaseException) -> None:
        raise error


def exchanged(pieces: list[bytes]) -> list[Any]:
    handler = _Asker()
    line = HTTPConnection(Tape(), handler, HTTP_LIMITS)  # type: ignore[arg-type]
    line.request(b"")
    for piece in pieces:
        if line.stream.closed or handler.ends:
            break
        line.on_data(piece)
    if not line.stream.closed and not handler.ends:
        line.on_lost(CLOSED)
    return handler.ends


def http(rand: Rand) -> bytes:
    body = rand.choice((b"", b"ok", b'0{"sid":"x"}', b"x" * rand.randrange(120)))
    head = (
        b"HTTP/1.1 "
        + rand.choice((b"200 OK", b"200 OK", b"400 Bad Request", b"204 No Content", b"302 X"))
        + b"\r\n"
    )
    for _ in range(rand.randrange(4)):
        head += rand.choice((
                                 b"Connection: close", b"Set-Cookie: io=1; Path=/", b"X-Y: z",
                                 b"Connection: keep-alive", b"Content-Type: text/plain",
                             )) + b"\r\n"  # fmt: skip
    if rand.random() < 0.2:
        coding, pack = rand.choice((("gzip", partial(gzip.compress, mtime=0)), ("deflate", zlib.compress)))
        head += f"Content-Encoding: {coding}\r\n".encode()
        body = pack(body)
    how = rand.randrange(4)
    if how < 2:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if how == 2:
        cut = rand.randrange(len(body) + 1)
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return head + b"\r\n" + body


def packed(coding: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def run_http(data: bytes) -> object:
    whole = exchanged([data] if data else [])
    assert len(whole) == 1
    single = exchanged(bytewise(data))
    assert len(single) == 1
    if isinstance(whole[0], End):
        # What is behind an answer can spoil it only in the same read.
        assert isinstance(single[0], End) or whole[0].detail == "response that nobody asked for", (
            data,
            whole,
            single,
        )
        assert whole[0].kind in ("protocol error", "limit") or whole[0] == CLOSED
        raise ProtocolError(whole[0].detail)
    assert single == whole, (data, whole, single)
    identify(whole[0][0], whole[0][2])
    mismatch(whole[0][0], whole[0][2], whole[0][2])
    refusal(whole[0][0], whole[0][2])
    return whole


WS_LIMITS = Limits(message=400)


def wires(rand: Rand) -> bytes:
    found = []
    for _ in range(rand.choice((1, 2, 3, 4))):
        what = rand.randrange(10)
        data = rand.choice(
            (b"", b"4abc", '42["€😀é"]'.encode(), b"2", b"x" * 126, b"x" * rand.randrange(130))
        )
        if what < 5:
            found.append(frame(1, data))
        elif what == 5:
            found.append(frame(2, rand.choice(BINARY), wide=rand.choice((0, 2, 8))))
        elif what == 6:
            found.append(frame(rand.choice((9, 10)), b"ping"))
        elif what < 9:
            cut = rand.randrange(len(data) + 1)
            found.append(frame(1, data[:cut], fin=False))
            if rand.random() < 0.5:
                found.append(frame(9, b"p"))
            found.append(frame(0, data[cut:]))
        else:
            found.append(frame(8, b"\x03\xe8"))
    return b"".join(found)


def wires_deflated(rand: Rand) -> bytes:
    """Compressed messages, whole or in fragments, between plain ones."""
    found = []
    for _ in range(rand.choice((1, 2, 3))):
        data = rand.choice((b"", b"4abc", '42["€😀é"]'.encode(), b"x" * 399, b"ab" * rand.randrange(150)))
        if rand.random() < 0.3:
            found.append(frame(1, data))
            continue
        data = deflated(data)
        cut = rand.randrange(len(data) + 1) if rand.random() < 0.3 else len(data)
        found.append(frame(1, data[:cut], fin=cut == len(data), rsv=4))
        if cut < len(data):
            found.append(frame(0, data[cut:]))
    return b"".join(found)


def run_websocket(data: bytes, compress: bool = False) -> object:
    expected, _ = alone(data, WS_LIMITS, compress=compress)
    # Cut in one way or another: most of the time goes into pieces.
    cut = bytewise(data) if len(data) % 4 < 2 else cuts(data, [len(data) // 3, len(data) // 2])
    for pieces in ([data] if data else [], cut):
        reader = Reader(WS_LIMITS, compress=compress, short=len(data) % 2 == 0)
        assert reader.feed(pieces) == expected, (data, expected, reader.events)
    if expected and expected[-1][0] == "failed":
        raise ProtocolError(str(expected[-1]))
    return expected


# --- encoders: what can't be sent is refused with EncodeError, and nothing else


class _Odd:
    def __repr__(self) -> str:
        return "odd"


ODD: list[Any] = [
    _Odd(), object, {1, 2}, 1j, 2**70, -(2**70), "\ud800", {"\ud800": 1}, {(1, 2): 3}, {b"k": 1},
    float("nan"), float("inf"), {2: 2, None: 3, 1.5: 4, True: 5}, (1, (2, [3])), bytearray(b"x"),
    memoryview(b"y"), b"z", range(3), Path("/"),
]  # fmt: skip
LOOP: list[Any] = []
LOOP.append(LOOP)
DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]


def unsendable(rand: Rand) -> list[Any]:
    args = arguments(rand)
    for _ in range(rand.randrange(3)):
        odd = rand.choice([*ODD, LOOP, DEEP])
        args.append(rand.choice((odd, [odd], {"a": {"b": odd}}, [1, (odd,)])))
    return args


_generations = itertools.cycle(GENERATIONS.values())


def run_encoders(args: list[Any]) -> object:
    refused = 0
    for generation in (next(_generations), next(_generations)):
        encoder = generation.codec
        for encode in (
            lambda e=encoder: e.encode_event("/", "a", args, 1),
            lambda e=encoder: e.encode_ack("/chat", 1, args),
        ):
            try:
                encode()
            except EncodeError:
                refused += 1
    for data in (tuple(args), *args):
        several = data if isinstance(data, tuple) else () if data is None else (data,)
        for namespace in ("/", "/chat"):
            quick = codec.event_json("a", data)
            try:
                text, *attachments = codec.encode_event(namespace, "a", several, 1)
            except EncodeError:
                assert quick is None, data
            else:
                head = codec.event_head(namespace, b"42") + b"1"
                assert quick is None or head + quick == b"4" + text.encode(), data
                assert bool(attachments) <= (quick is None), data
    for data in args:
        try:
            codec.encode_connect("/", data)
        except EncodeError:
            refused += 1
    for parsed in (MSGPACK, CARELESS):
        try:
            parsed.encode_event("/", "a", args, None)
        except EncodeError:
            refused += 1
    if refused:
        raise ProtocolError(f"{refused} refused")
    return args


HANDSHAKE_SEEDS = [
    "", "{}", "[]", "null", "[" * 100_000, '{"sid":"s"}', json.dumps({**HANDSHAKE, "pingInterval": 0}),
    json.dumps({**HANDSHAKE, "pingTimeout": -1}), json.dumps({**HANDSHAKE, "maxPayload": True}),
    json.dumps({**HANDSHAKE, "maxPayload": 0}), json.dumps({**HANDSHAKE, "upgrades": [1]}),
    json.dumps({**HANDSHAKE, "sid": ""}), json.dumps(HANDSHAKE).replace("25000", "1e999"),
    json.dumps(HANDSHAKE).replace("25000", "NaN"), b"\xff", json.dumps(HANDSHAKE).encode(),
]  # fmt: skip
MSGPACK_SEEDS: list[Any] = [
    [b""], ["text"], [b"\xc1"], [b"\xdf\xff\xff\xff\xff"], [b"\xdd\xff\xff\xff\xff"],
    [b"\xc6\xff\xff\xff\xff"], [b"\x91" * 100_000], [b"\x81\xa4type\xcb\x7f\xf8\0\0\0\0\0\0"], [b"\x80\x80"],
    [b"\x90"], [msgpack.packb({"type": 2})],
    [msgpack.packb({"type": 2, "nsp": "/", "data": ["a"], "id": 10**15})],
    [msgpack.packb({"type": 3, "nsp": "/", "data": [1]})],
    [msgpack.packb({"type": True, "nsp": "/", "data": ["a"]})],
    [msgpack.packb({"type": 2, "nsp": "", "data": ["a"]})],
    [b"\x83\xa4type\x00\xa4data\x82\xa3sid\xb4C3_487qY9bIqIwTXAAAA\xa3pid\xd4\x00\x00\xa3nsp\xa1/"],
    [b"\x83\xa4type\x02\xa4data\x92\xa1a\xd7\xff\0\0\0\0\0\0\0\1\xa3nsp\xa1/"],
    [b"x" * (LIMITS.message + 1)], [msgpack.packb({"type": 0, "nsp": "/", "data": [1]})],
    [msgpack.packb({"type": 1, "nsp": "/", "data": 1})],
]  # fmt: skip
CARELESS_SEEDS: list[Any] = [
    [""], [b"\xff"], ["[]"], ["7"], ["{}"], ["null"], [NESTED], ["[2]"], ['[2,"/",["a"],null,false,1]'],
    ['[9,"/",["a"],null,false]'], ['[2,"x",["a"],null,false]'], ['[2,"/",[],null,false]'],
    ['[2,"/",["a"],"1",false]'], ['[3,"/",["a"],null,false]'], ['[0,"/",1,null,false]'],
    ['[5,"/",["a"],-1,true]'],
]  # fmt: skip
WS_SEEDS = [
    b"", frame(2, b"", length=1 << 40), frame(1, b"\xff"), frame(1, b"4", rsv=4), frame(0, b"x"),
    frame(9, b"x" * 126), frame(1, b"4", fin=False) + frame(1, b"4"), frame(1, b"\0\0", mask=b"abcd"),
    frame(8, b"\x03"), b"\x81", b"\x81\x7e",
    frame(1, "€".encode()[:1], fin=False) + frame(0, "€".encode()[1:]), frame(1, b"x" * 401),
    frame(1, b"x" * 400),
]  # fmt: skip
DEFLATE_SEEDS = [
    frame(1, deflated(b"x" * 400), rsv=4), frame(1, deflated(b"x" * 401), rsv=4),
    frame(2, deflated(b"x" * 1_000_000), rsv=4), frame(1, b"\xff\xff\xff", rsv=4), frame(9, b"p", rsv=4),
    frame(1, deflated(b"\xff"), rsv=4),
    frame(1, deflated(b"x" * 300)[:3], fin=False, rsv=4) + frame(0, b"", rsv=4),
]  # fmt: skip
HTTP_SEEDS = [
    b"", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 X\r\n\r\n" * 50,
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 301\r\n\r\n",
    b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode(),
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    packed("gzip", gzip.compress(b"x" * 50_000, mtime=0)), packed("deflate", zlib.compress(b"x" * 50_000)),
    packed("gzip", gzip.compress(b"x" * 300, mtime=0)), packed("gzip", gzip.compress(b"x" * 301, mtime=0)),
    packed("gzip", b"x"),
]  # fmt: skip

HANDSHAKES_V0 = ["abc:15:25:websocket,xhr-polling", "s::25:jsonp-polling", "1:1.5:2:x", "é:60:60:a"]
HANDSHAKE_V0_SEEDS = [
    "", ":::", "a:²:1:x", "a:-1:1:x", "a:" + "9" * 5000 + ":1:x", "a:1:1:", "a:0:1:x", "a:inf:1:x",
    "a:1e9:1:x",
]  # fmt: skip
V0_SEEDS = [
    ["5:²+::{}"], ["5:" + "9" * 5000 + "+::{}"], ["6:::²"], ["6:::1+{}"], ["5:::" + NESTED], ["4:::NaN"],
    [b"x"], ["9::"], ["5"], ["5::x:{}"], ['5:::{"name":1}'], ['5:::{"name":"a","args":1}'], ["7:::9+9"],
    ["1::/c?x=1"], ["6:::" + "9" * 5000],
]  # fmt: skip

SUBJECTS: dict[str, Subject] = {
    **{f"frame {name}": engine_frame(name) for name in ("eio4", "eio3", "eio3_double", "v0")},
    **{f"payload {name}": bodies(name) for name in ("records", "lengths", "lengths_double", "v0")},
    "handshake": Subject(
        handshake, lambda data: sound(frames.parse_handshake(data)), frames.parse_handshake, HANDSHAKE_SEEDS
    ),
    "handshake v0": Subject(
        lambda rand: rand.choice(HANDSHAKES_V0),
        lambda data: sound(frames.parse_handshake_v0(data)),
        frames.parse_handshake_v0,
        HANDSHAKE_V0_SEEDS,
    ),
    "json": Subject(socket_messages, fed_json, alone_fed(codec.Decoder), JSON_SEEDS),
    "v0": Subject(v0_messages, fed(v0.Decoder, encode_v0), alone_fed(v0.Decoder), V0_SEEDS),
    "msgpack": Subject(
        msgpack_messages, fed(MSGPACK.decoder, encode_msgpack), alone_fed(MSGPACK.decoder), MSGPACK_SEEDS
    ),
    "a script's parser": Subject(
        careless_messages, fed(CARELESS.decoder, encode_careless), alone_fed(CARELESS.decoder), CARELESS_SEEDS
    ),
    "http": Subject(http, run_http, lambda data: exchanged([data]), HTTP_SEEDS),
    "websocket": Subject(wires, run_websocket, lambda data: Reader(WS_LIMITS).feed([data]), WS_SEEDS),
    "websocket deflated": Subject(
        wires_deflated,
        partial(run_websocket, compress=True),
        lambda data: Reader(WS_LIMITS, compress=True).feed([data]),
        DEFLATE_SEEDS,
    ),
    "encoders": Subject(
        unsendable, run_encoders, run_encoders, [[LOOP], [DEEP], *[[odd] for odd in ODD]], wrong=0
    ),
}  # fmt: skip


def fuzz(name: str, cases: int, seed: int) -> dict[str, Any]:
    """Run a decoder on its seeds and on random inputs; every exception but ProtocolError is raised."""
    subject = SUBJECTS[name]
    rand = Rand(f"{name} {seed}")
    good = 0
    begun = time.process_time()
    for number in range(cases):
        data = subject.seeds[number] if number < len(subject.seeds) else subject.make(rand)
        if number >= len(subject.seeds) and rand.randrange(10) < subject.wrong:
            data = mutated(rand, data)
        try:
            subject.run(data)
            good += 1
        except ProtocolError:
            pass
        except Exception as error:
            error.add_note(f"{name}, case {number} of seed {seed}: {data!r}"[:2000])
            raise
    return {
        "name": name,
        "cases": cases,
        "seed": seed,
        "decoded": good,
        "cpu": round(time.process_time() - begun, 2),
    }


if __name__ == "__main__":
    for each in sys.argv[1].split(","):
        print(json.dumps(fuzz(each, int(sys.argv[2]), int(sys.argv[3]))))
