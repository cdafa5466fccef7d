"""Where the fast path for frames and `websockets`' protocol meet: same events as the protocol alone."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from framekit import frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from net.wire import KNOWN, Reader, Tape, alone, bytewise, cuts, sent
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import OPEN, SERVER, Protocol

from sioload.errors import End
from sioload.net.stream import CLOSED
from sioload.net.websocket import JOIN, WebSocket
from sioload.net.wire import encode_frame
from sioload.options import Limits

SMALL = Limits(message=1000)
EURO = "€".encode()


def text(data: str | bytes, **how: object) -> bytes:
    return frame(1, data.encode() if isinstance(data, str) else data, **how)  # type: ignore[arg-type]


def more(data: bytes, fin: bool = False) -> bytes:
    return frame(0, data, fin=fin)


CLOSE = frame(8, b"\x03\xe8bye")
CASES = {
    "texts": text("4a") + text("4€😀é") + text(""),
    "acks and known pushes between others": (
        text('437["a"]') + text(KNOWN) * 3 + text('42["other"]') + frame(9, b"p") + text(KNOWN)
        + text('438[]') + frame(2, b"x") + text("4") + text("3") + text(KNOWN) + text(b"43\xff")),
    "binaries": frame(2, b"\x00\xff") + frame(2),
    "each length of length": b"".join(frame(2, b"x" * n) for n in (0, 1, 125, 126, 127, 65535, 65536)),
    "lengths wider than needed": text("4a", wide=2) + text("4b", wide=8) + frame(2, b"c", wide=8),
    "pings between": text("4a") + frame(9, b"p") + text("4b") + frame(9) + frame(10, b"q") + text("4c"),
    "fragments": text("4a", fin=False) + more(b"b") + more(b"c", True) + text("4d"),
    "fragments with pings and pongs between": (
        text("4a", fin=False) + frame(9, b"p") + more(b"b") + frame(10) + more(b"c", True) + text("4d")),
    "a fragmented binary": frame(2, b"a", fin=False) + more(b"", True) + text("4b"),
    "empty fragments": text("", fin=False) + more(b"") * 5 + more(b"4x", True) + text("4y"),
    "a character across fragments": text(EURO[:1], fin=False) + more(EURO[1:2]) + more(EURO[2:], True),
    "text between fragments": text("4a", fin=False) + text("4b") + more(b"c", True),
    "binary between fragments": text("4a", fin=False) + frame(2, b"b") + more(b"c", True),
    "a continuation of nothing": text("4a") + more(b"b", True) + text("4c"),
    "a continuation behind the last": text("4a", fin=False) + more(b"b", True) + more(b"c", True),
    "bad UTF-8": text("4a") + text(b"4\xff\xfe") + text("4b"),
    "bad UTF-8 across fragments": text(b"4\xe2", fin=False) + more(b"\x28\xa1", True) + text("4b"),
    "a character that never ends": text(b"4\xe2\x82", fin=False) + more(b"", True),
    "a surrogate": text(b"4\xed\xa0\x80"),
    "an overlong character": text(b"4\xc0\x80"),
    "RSV1": text("4a", rsv=4) + text("4b"),
    "RSV2": text("4a", rsv=2),
    "RSV3": frame(2, b"a", rsv=1),
    "RSV1 on a ping": frame(9, b"a", rsv=4),
    "a masked frame": text("4a") + frame(1, b"\0\0", mask=b"abcd") + text("4b"),
    "a masked ping": frame(9, b"\0", mask=b"abcd"),
    "reserved opcodes": frame(3, b"x"),
    "a reserved control opcode": frame(11, b"x"),
    "a fragmented ping": frame(9, b"x", fin=False),
    "a ping of 125 bytes": frame(9, b"x" * 125) + text("4a"),
    "a ping of 126 bytes": frame(9, b"x" * 126),
    "a close": text("4a") + CLOSE + text("4b"),
    "a close without a code": frame(8),
    "a close within fragments": text("4a", fin=False) + CLOSE,
    **{f"close code {code}": text("4a") + frame(8, code.to_bytes(2, "big") + b"x")
       for code in (0, 999, *range(1000, 1017), 2999, 3000, 4999, 5000, 65535)},
    "half a close code": frame(8, b"\x03"),
    "a close whose reason isn't UTF-8": frame(8, b"\x03\xe8\xff"),
    "a length of 2**40": text("4a") + frame(2, b"x", length=1 << 40),
    "a length of 2**63": frame(2, b"x", length=1 << 63),
    "a length of 2**64 - 1": frame(1, b"x", length=(1 << 64) - 1),
    "a frame of which the end is missing": text("4a") + text("4bcd")[:-1],
    "a head of which the end is missing": text("4a") + frame(2, b"x" * 70_000)[:5],
    "a large frame of which the end is missing": frame(2, b"x" * (JOIN + 5))[:-1],
    "large frames and small ones": (
        frame(2, b"x" * (JOIN + 1)) + text("4a") + text("4" + "y" * JOIN) + text("4b")),
    "garbage": bytes(range(256)),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
}  # fmt: skip
SIZED = {
    "at the limit": frame(2, b"x" * 1000) + text("4" + "y" * 999) + text("4a"),
    "a byte above the limit": text("4a") + frame(2, b"x" * 1001),
    "text a byte above the limit": text("4" + "x" * 1000),
    "fragments at the limit": frame(2, b"x" * 500, fin=False) + more(b"x" * 500, True) + text("4a"),
    "fragments above the limit": frame(2, b"x" * 500, fin=False) + more(b"x" * 501, True),
    "many fragments above the limit": frame(2, b"x", fin=False) + more(b"x") * 1000,
}  # fmt: skip


def same(data: bytes, limits: Limits, pieces: list[bytes], compress: bool = False) -> None:
    expected, wanted = alone(data, limits, compress=compress)
    for short in (False, True):
        reader = Reader(limits, compress=compress, short=short)
        assert reader.feed(pieces) == expected
        if not expected or expected[-1][0] != "failed":
            assert reader.replies() == sent(wanted)
        else:
            # Text is judged behind the protocol, which may have found another fault in the same read, or have
            # answered the peer's close.
            codes = {1007, 1002, 1009} if expected[-1][1] == 1007 else {expected[-1][1]}
            closes = [payload for op, payload in reader.replies() if op == 8]
            answers = [payload for op, payload in sent(wanted) if op == 8]
            assert len(closes) == 1
            assert closes == answers or int.from_bytes(closes[0][:2], "big") in codes
        assert reader.tape.closed == bool(expected and expected[-1][0] in ("failed", "closed"))


@pytest.mark.parametrize("what", [*CASES, *SIZED])
def test_same_events_as_the_protocol_alone(what: str) -> None:
    data, limits = (CASES[what], Limits()) if what in CASES else (SIZED[what], SMALL)
    rand = random.Random(what)
    same(data, limits, [data])
    if len(data) < 5000:
        same(data, limits, bytewise(data))
    for _ in range(8):
        same(data, limits, cuts(data, [rand.randrange(len(data) + 1) for _ in range(rand.randrange(1, 8))]))


def test_the_cases_end_as_meant() -> None:
    """The two paths agree; here is on what."""
    assert alone(CASES["text between fragments"])[0] == [("failed", 1002)]
    assert alone(CASES["bad UTF-8 across fragments"])[0] == [("failed", 1007)]
    assert alone(CASES["RSV1"])[0] == [("failed", 1002)]
    assert alone(CASES["a masked frame"])[0] == [("text", "4a"), ("failed", 1002)]
    assert alone(CASES["a length of 2**40"])[0] == [("text", "4a"), ("failed", 1009)]
    assert alone(CASES["a close"])[0] == [("text", "4a"), ("closed", None)]
    assert alone(CASES["close code 1005"])[0] == [("text", "4a"), ("failed", 1002)]
    assert alone(CASES["close code 4999"])[0] == [("text", "4a"), ("closed", None)]
    assert alone(CASES["fragments with pings and pongs between"])[0] == [("text", "4abc"), ("text", "4d")]
    assert alone(SIZED["a byte above the limit"], SMALL)[0] == [("text", "4a"), ("failed", 1009)]
    assert alone(SIZED["fragments above the limit"], SMALL)[0] == [("failed", 1009)]


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"", "closed by the server"),
        (b"\x03\xe8", "closed by the server (1000)"),
        (b"\x03\xf3overloaded", "closed by the server (1011 overloaded)"),
        (b"\x0f\xa1why: \xc3\xa9", "closed by the server (4001 why: é)"),
    ],
)
def test_the_code_and_the_reason_of_a_close_are_told(payload: bytes, shown: str) -> None:
    reader = Reader()
    reader.feed([frame(8, payload)])
    assert reader.end == End("transport closed", shown)


def deflated(payload: bytes, opcode: int = 1, **how: object) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = (made.compress(payload) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return frame(opcode, data, rsv=4, **how)  # type: ignore[arg-type]


def in_one_context(*payloads: bytes) -> bytes:
    """Frames of which each refers to what was in those before."""
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [(made.compress(p) + made.flush(zlib.Z_SYNC_FLUSH))[:-4] for p in payloads]
    return b"".join([frame(1, part, rsv=4) for part in parts])


LIKE = b'42["news",{"text":"much the same each time"}]'
COMPRESSED = {
    "one context": in_one_context(LIKE, LIKE, b'437["a"]', LIKE, KNOWN.encode(), LIKE, b""),
    "acks and known pushes": deflated(b'437["a"]') + deflated(KNOWN.encode()) + text(KNOWN) + deflated(b"4"),
    "fragments between": (
        in_one_context(LIKE) + deflated(b"4a", fin=False) + frame(9, b"p") + more(b"", True) + deflated(LIKE)
    ),
    "at the limit": deflated(b"x" * 1000, 2) + deflated(b"4" + b"y" * 999) + text("4a"),
    "above the limit": deflated(b"4a") + deflated(b"4" + b"y" * 1000) + text("4b"),
    "far above the limit": text("4a") + deflated(random.Random(1).randbytes(9000), 2),
    "deflate that breaks off": text("4a") + frame(1, b"\xcaH\xcd", rsv=4) + text("4b"),
    "compressed and plain": deflated(b"4a") + text("4b") + frame(2, b"c") + deflated(b"d" * 5000, 2),
    "a bomb": text("4a") + deflated(b"x" * (2 << 20), 2),
    "not deflate": frame(1, b"\xff\xff\xff", rsv=4),
    "bad UTF-8": deflated(b"\xff"),
    "RSV1 on a continuation": deflated(b"4a", fin=False) + frame(0, b"x", rsv=4),
    "pings": frame(9, b"p") + deflated(b"4a") + CLOSE,
}


@pytest.mark.parametrize("what", COMPRESSED)
def test_compressed_frames_are_read_as_by_the_protocol_alone(what: str) -> None:
    data, limits = COMPRESSED[what], SMALL if "limit" in what else Limits()
    same(data, limits, [data], True)
    same(data, limits, bytewise(data), True)


def test_the_protocol_is_let_go_between_frames() -> None:
    """What the fast path and the memory of an idle user rest on."""
    reader = Reader()
    assert reader.ws._protocol is None
    reader.feed([text("4a"), frame(9, b"p"), text("4b"), text("4c", fin=False), more(b"d", True)])
    assert reader.ws._protocol is None
    compressing = Reader(compress=True)
    compressing.feed([deflated(LIKE), frame(9, b"p"), deflated(b"4c", fin=False), more(b"", True)])
    assert compressing.ws._protocol is None
    reader.feed([frame(9, b"p")[:2]])  # a head alone
    assert reader.ws._protocol is not None
    reader.feed([b"p", text("4e")])
    assert reader.ws._protocol is None
    assert reader.events[-1] == ("text", "4e")


bits = st.sampled_from([0] * 20 + [1, 2, 4])
payloads = st.one_of(
    st.text(max_size=30).map(lambda t: ("4" + t).encode()),
    st.binary(max_size=130),
    st.sampled_from([b"", EURO[:1], EURO[1:], b"\x03\xe8", b"\x03\xed", b"x" * 126, b"x" * 999, b"x" * 1001]),
)
frames = st.builds(
    frame,
    st.sampled_from([1] * 6 + [2, 2, 0, 0, 8, 9, 10, 3]),
    payloads,
    fin=st.sampled_from([True] * 3 + [False]),
    rsv=bits,
    mask=st.sampled_from([b""] * 20 + [b"mask"]),
    wide=st.sampled_from([0] * 6 + [2, 8]),
)
wires = st.lists(frames, max_size=8).map(b"".join)
compressed = st.builds(
    deflated, payloads, st.sampled_from([1, 1, 1, 2]), fin=st.sampled_from([True] * 5 + [False])
)
wires_compressed = st.lists(st.one_of(frames, compressed), max_size=8).map(b"".join)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("examples", [150, pytest.param(30_000, marks=pytest.mark.verify)])
def test_any_frames_in_any_pieces(examples: int, compress: bool) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=examples == 150,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(wires_compressed if compress else wires, st.lists(st.integers(0, 400), max_size=6))
    def any_frames(data: bytes, places: list[int]) -> None:
        same(data, SMALL, cuts(data, places), compress)
        if examples == 150:
            same(data, SMALL, [data] if data else [], compress)
            same(data, SMALL, bytewise(data), compress)

    any_frames()


@pytest.mark.parametrize("n", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_what_is_sent_is_read_back(n: int) -> None:
    server = Protocol(SERVER, state=OPEN)
    server.receive_data(encode_frame(1, b"x" * n) + encode_frame(2, b"y" * n))
    assert [bytes(f.data) for f in server.events_received()] == [b"x" * n, b"y" * n]  # type: ignore[union-attr]
    assert server.parser_exc is None


def test_what_is_sent_compressed_is_read_back() -> None:
    reader = Reader(compress=True)
    reader.ws.send([LIKE.decode(), b"\0\1", LIKE.decode() * 100, ""])
    reader.ws.send_text(b"42", 7, LIKE)
    reader.ws.send_text(b"4", None, LIKE)
    server = Protocol(SERVER, state=OPEN)
    server.extensions = [PerMessageDeflate(False, False, 15, 15)]
    server.receive_data(bytes(reader.tape.written))
    got = [(f.opcode, bytes(f.data)) for f in server.events_received()]  # type: ignore[union-attr]
    assert got == [(1, LIKE), (2, b"\0\1"), (1, LIKE * 100), (1, b""), (1, b"427" + LIKE), (1, b"4" + LIKE)]
    assert server.parser_exc is None and len(reader.tape.written) < 400
    reader.ws.start_close()
    before = len(reader.tape.written)
    reader.ws.send(["4a"])
    reader.ws.send_text(b"4", None, b"a")
    assert len(reader.tape.written) == before  # nothing may follow the close frame


def test_memory_is_bounded_by_the_input_and_the_limit() -> None:
    """Small fragments without end, a frame that grows, a length that lies."""
    for data in (more(b"x") * 30_000, frame(2, b"x" * 900_000), frame(2, b"", length=900_000)):
        reader = Reader()
        reader.ws.on_data(frame(2, b"x", fin=False) if data[0] == 0 else b"")
        tracemalloc.start()
        for piece in cuts(data, range(0, len(data), 1448)):
            reader.ws.on_data(piece)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < len(data) * 2 + (1 << 20)


@pytest.mark.parametrize("compress", [False, True])
def test_a_frame_that_had_begun_is_whole_behind_our_goodbye(compress: bool) -> None:
    data = (deflated(b"4ab") if compress else text("4ab")) + text("4c")
    expected, _ = alone(data, compress=compress)
    for at in range(1, len(data)):
        reader = Reader(compress=compress)
        reader.feed([data[:at]])
        reader.ws.start_close()
        assert reader.feed([data[at:]]) == expected == [("text", "4ab"), ("text", "4c")]


UPGRADED = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Refused:
    """Hears how a handshake ended."""

    def __init__(self) -> None:
        self.lost: list[tuple[End, int, bytes]] = []
        self.opened = False

    def on_ws_open(self, ws: WebSocket) -> None:
        self.opened = True

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        self.lost.append((end, status, body))


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"HTTP/1.1 400 X\r\nContent-Length: 3\r\n\r\nwhy", 400, b"why"),
        (b"HTTP/1.1 503 X\r\n\r\nlater", 503, b"later"),
        (b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (
            UPGRADED + b"Sec-WebSocket-Accept: x\r\n\r\n",
            0,
            b"",
        ),
        (b"HTTP/1.1 101 X\r\n\r\n", 0, b""),
        (b"HTTP/1.0 200 OK\r\n\r\n", 0, b""),
        (b"SSH-2.0-x\r\n\r\n", 0, b""),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", 0, b""),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, 0, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", 0, b""),
        (b"\r\n\r\n", 0, b""),
        (b"", 0, b""),
        (b"HTTP/1.1 101", 0, b""),
    ],
)
def test_handshakes_that_fail(answer: bytes, status: int, said: bytes) -> None:
    ended = []
    for pieces in ([answer], bytewise(answer)):
        heard = Refused()
        tape = Tape()
        ws = WebSocket(tape, heard, "/x", [("Host", "x")], Limits())  # type: ignore[arg-type]
        for piece in pieces:
            if not tape.closed:
                ws.on_data(piece)
        if not tape.closed:
            ws.on_lost(CLOSED)
        assert not heard.opened and len(heard.lost) == 1
        assert heard.lost[0][1:] == (status, said)
        assert heard.lost[0][0].detail
        ended.append(heard.lost)
    assert ended[0] == ended[1]
