"""A proxy before a server that keeps every byte, and reads from them which packets passed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

from sioload.options import Limits
from sioload.socketio.generations import Generation

Packet = tuple[str, str, str | bytes]  # way, transport, its text or bytes


@dataclass
class Taken:
    """What passed one connection, each way."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Tape:
    """The connections that were made through it, in their order."""

    def __init__(self) -> None:
        self.connections: list[Taken] = []

    def packets(self, generation: Generation) -> list[Packet]:
        """All packets of a generation, connection by connection, one way after the other."""
        return [packet for taken in self.connections for packet in _packets(taken, generation)]


def _packets(taken: Taken, generation: Generation) -> Iterator[Packet]:
    head, _, rest = bytes(taken.sent).partition(b"\r\n\r\n")
    if b"upgrade: websocket" in head.lower():
        yield from (("sent", "websocket", frame) for frame in _frames(rest))
        answer = bytes(taken.received).partition(b"\r\n\r\n")[2]
        yield from (("received", "websocket", frame) for frame in _frames(answer))
        return
    for way, stream in (("sent", taken.sent), ("received", taken.received)):
        for line, body in _bodies(bytes(stream)):
            if not body or (way == "received" and not _is_payload(line, body, generation)):
                continue
            for packet in generation.decode_payload(body, Limits()):
                yield way, "polling", generation.encode_frame(packet)


def _is_payload(line: bytes, body: bytes, generation: Generation) -> bool:
    """Whether a body holds packets: not an answer to a POST, and not 0.9's handshake."""
    handshake = generation.eio is None and b"xhr-polling" in body and b"::" not in body
    return body not in (b"ok", b"OK", b"1") and not handshake and b" 40" not in line


def _frames(data: bytes) -> Iterator[str | bytes]:
    """Messages of a websocket without extensions (RFC 6455, section 5.2); control frames are left out."""
    message, text = b"", True
    while len(data) >= 2:
        first, second, at = data[0], data[1], 2
        length = second & 127
        if length > 125:
            at += 2 if length == 126 else 8
            length = int.from_bytes(data[2:at], "big")
        mask = data[at : at + 4] if second & 128 else b"\0\0\0\0"
        at += 4 if second & 128 else 0
        payload = bytes(a ^ b for a, b in zip(data[at : at + length], cycle(mask), strict=False))
        data = data[at + length :]
        if first & 15 > 2:
            continue
        message, text = message + payload, text if first & 15 == 0 else first & 15 == 1
        if first & 128:
            yield message.decode() if text else message
            message = b""


def _bodies(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """First line and body of each message of HTTP."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *headers = head.split(b"\r\n")
        named = {k.lower(): v.strip() for k, _, v in (header.partition(b":") for header in headers)}
        if named.get(b"transfer-encoding") == b"chunked":
            body = b""
            while data:
                size, _, data = data.partition(b"\r\n")
                piece, data = data[: int(size, 16)], data[int(size, 16) + 2 :]
                if not piece:
                    break
                body += piece
        else:
            length = int(named.get(b"content-length", b"0"))
            body, data = data[:length], data[length:]
        yield line, body


@contextlib.contextmanager
def taping(port: int) -> Iterator[tuple[str, Tape]]:
    """The URL of such a proxy before a port of loopback, and what it keeps."""
    tape, ends = Tape(), []

    def pump(source: socket.socket, sink: socket.socket, into: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                into += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", port))
                taken = Taken()
                tape.connections.append(taken)
                ends.extend((client, server))
                for way in ((client, server, taken.sent), (server, client, taken.received)):
                    pumps.append(threading.Thread(target=pump, args=way))
                    pumps[-1].start()

    pumps: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", tape
    finally:
        for end in (listener, *ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *pumps):
            thread.join(10)
        for end in (listener, *ends):
            end.close()
