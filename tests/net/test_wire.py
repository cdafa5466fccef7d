"""What is read and sent through C is what is through Python; both with real sockets."""

from __future__ import annotations

import _socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import serverkit
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from sioload.net import wire

Pair = tuple[_socket.socket, _socket.socket]
#: What makes a handle of a socket, and the functions that take it.
Calls = tuple[Callable[[_socket.socket], Any], Callable[..., bytes], Callable[..., Any]]


@pytest.fixture(params=["C", "Python"])
def calls(request: pytest.FixtureRequest) -> Calls:
    if request.param == "Python":
        return (lambda sock: sock), wire._read, wire._send_text
    serverkit.need_compiler()
    return _socket.socket.fileno, wire._native.read, wire._native.send_text


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = _socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def frames(data: bytes) -> list[Frame]:
    """What a server makes of a client's bytes."""
    server = Protocol(SERVER, state=OPEN, max_size=None)
    server.receive_data(data)
    assert server.parser_exc is None
    return [event for event in server.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 16_370, 16_371, 65_535, 65_536, 70_001])
def test_a_frame_of_each_length(calls: Calls, pair: Pair, size: int) -> None:
    handle, _, send_text = calls
    ours, theirs = pair
    data = bytes(0x20 + i % 90 for i in range(size))
    got = b""
    length = send_text(handle(ours), b"", None, data)
    while len(got) < length:
        got += theirs.recv(1 << 20)
    assert frames(got) == [Frame(Opcode.TEXT, data)]
    assert got[1] & 0x80  # masked
    assert size < 8 or got[-size:] != data


@pytest.mark.parametrize("number", [None, 0, 7, 10, 99, 123_456, 10**15 - 1, 2**64 - 1])
def test_head_number_and_data_make_one_text(calls: Calls, pair: Pair, number: int | None) -> None:
    handle, _, send_text = calls
    ours, theirs = pair
    for head in (b"42", "42/é,".encode()):
        length = send_text(handle(ours), head, number, b'["e"]')
        digits = b"" if number is None else str(number).encode()
        got = theirs.recv(4096)
        assert len(got) == length
        assert frames(got) == [Frame(Opcode.TEXT, head + digits + b'["e"]')]


@pytest.fixture(params=["C", "Python"])
def parts(request: pytest.FixtureRequest) -> tuple[Callable[..., int], Callable[..., bytes], bool]:
    """`send`, `text_frame`, and whether they are C."""
    if request.param == "Python":
        return wire._send, wire._text_frame, False
    serverkit.need_compiler()
    return wire._native.send, wire._native.text_frame, True


def test_a_frame_alone_is_the_one_that_is_sent(
    parts: tuple[Callable[..., int], Callable[..., bytes], bool],
) -> None:
    _, text_frame, _ = parts
    for number in (None, 0, 2**64 - 1):
        for size in (0, 3, 100, 125, 126, 65_536):
            digits = b"" if number is None else str(number).encode()
            data = bytes(0x20 + i % 90 for i in range(size))
            assert frames(text_frame(b"42", number, data)) == [Frame(Opcode.TEXT, b"42" + digits + data)]


def test_the_kernel_takes_what_it_can(
    parts: tuple[Callable[..., int], Callable[..., bytes], bool], pair: Pair
) -> None:
    send, _, native = parts
    ours, theirs = pair
    handle = ours.fileno() if native else ours
    assert send(handle, b"a\0b") == 3 and theirs.recv(10) == b"a\0b"
    assert 0 < send(handle, bytes(4_000_000)) < 4_000_000
    assert send(handle, b"more") == 0
    theirs.close()
    with pytest.raises(BrokenPipeError):
        send(handle, b"more")


def test_keys_differ(calls: Calls, pair: Pair) -> None:
    handle, _, send_text = calls
    ours, theirs = pair
    keys = set()
    for _ in range(200):
        send_text(handle(ours), b"", None, b"")
        keys.add(theirs.recv(4096)[2:6])
    assert len(keys) == 200


def test_what_the_kernel_doesnt_take_is_given_back(calls: Calls, pair: Pair) -> None:
    handle, read, send_text = calls
    ours, theirs = pair
    data = b"x" * 4_000_000
    n, rest = send_text(handle(ours), b"42", 5, data)
    assert n > 0 and rest
    m, whole = send_text(handle(ours), b"42", 6, b"[]")  # there is no room at all
    assert m == 0 and frames(whole) == [Frame(Opcode.TEXT, b"426[]")]
    got = b""
    while len(got) < n:
        got += read(handle(theirs), 16_384)
    assert frames(got + rest) == [Frame(Opcode.TEXT, b"425" + data)]


def test_reading(calls: Calls, pair: Pair) -> None:
    handle, read, _ = calls
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        read(handle(ours), 448)
    theirs.send(b"a\0b" * 6000)
    first = read(handle(ours), 448)
    assert len(first) == 448
    assert first + read(handle(ours), 16_384) + read(handle(ours), 16_384) == b"a\0b" * 6000
    theirs.close()
    assert read(handle(ours), 448) == b""


@pytest.mark.parametrize("kind", ["C", "Python"])
def test_whether_anything_is_there_to_be_read(kind: str, pair: Pair) -> None:
    if kind == "C":
        serverkit.need_compiler()
    ours, theirs = pair
    handle, stale = (ours.fileno(), wire._native.stale) if kind == "C" else (ours, wire._stale)
    assert not stale(handle)
    theirs.send(b"x")
    assert stale(handle) and stale(handle), "looking takes nothing"
    ours.recv(1)
    assert not stale(handle)
    theirs.close()
    assert stale(handle)


def test_a_connection_that_is_gone_is_told(calls: Calls) -> None:
    handle, read, send_text = calls
    listener, ours = _socket.socket(), _socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    ours.connect(listener.getsockname())
    theirs = _socket.socket(fileno=listener._accept()[0])
    theirs.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    theirs.close()  # with a reset
    with pytest.raises(ConnectionResetError):
        read(handle(ours), 448)
    with pytest.raises(BrokenPipeError):
        send_text(handle(ours), b"42", 1, b"[]")
    ours.close()
    listener.close()


def test_the_c_refuses_what_it_isnt_made_for(pair: Pair) -> None:
    serverkit.need_compiler()
    read, send_text = wire._native.read, wire._native.send_text
    fd = pair[0].fileno()
    for arguments in ((), (fd,), (fd, 16_385), (fd, -1), (fd, "1"), (pair[0], 1)):
        with pytest.raises((TypeError, ValueError)):
            read(*arguments)
    for arguments in (
        (fd, b""),
        (fd, "", None, b""),
        (fd, b"", None, ""),
        (fd, b"", "1", b""),
    ):
        with pytest.raises(TypeError):
            send_text(*arguments)
        with pytest.raises(TypeError):
            wire._native.text_frame(*arguments[1:])
    with pytest.raises(TypeError):
        send_text("", b"", 1, b"")
    for arguments in ((), (fd, ""), ("", b"")):
        with pytest.raises(TypeError):
            wire._native.send(*arguments)
    for number in (-1, 2**64):
        with pytest.raises(OverflowError):
            send_text(fd, b"", number, b"")


def test_frames_are_written_where_websockets_has_no_c() -> None:
    script = (
        "import sys\n"
        "sys.modules['websockets.speedups'] = None\n"
        "from sioload.net.wire import encode_frame\n"
        "frame = encode_frame(1, b'hello')\n"
        "print(bytes(c ^ frame[2 + n % 4] for n, c in enumerate(frame[6:])))\n"
    )
    done = serverkit.run([sys.executable, "-c", script], 20)
    assert done.code == 0 and done.out.strip() == "b'hello'", done.text
