"""Scripted servers for what no real server does: a function gets each connection, in a thread of its own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from framekit import frame

PATIENCE = 10.0  # seconds that a script waits for its client
SID = "hostile-sid-0001"


@dataclass
class Asked:
    """A request that came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


class Gone(Exception):
    """The client closed the connection, or said that it will."""


@dataclass
class Peer:
    """One client's connection, and the words to answer in."""

    sock: socket.socket
    number: int
    over: threading.Event
    websocket: bool = False
    _rest: bytes = field(default=b"", repr=False)

    # Reading.

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self._rest += data

    def take(self, n: int) -> bytes:
        """Exactly `n` bytes."""
        while len(self._rest) < n:
            self._more()
        data, self._rest = self._rest[:n], self._rest[n:]
        return data

    def request(self) -> Asked:
        """The next HTTP request, whole."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        return Asked(method, target, headers, self.take(int(headers.get("content-length", 0))))

    def frame_in(self) -> tuple[int, bytes]:
        """The next websocket frame of the client: opcode and payload."""
        first, second = self.take(2)
        n = second & 0x7F
        if n == 126:
            (n,) = struct.unpack("!H", self.take(2))
        elif n == 127:
            (n,) = struct.unpack("!Q", self.take(8))
        mask = self.take(4)
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(self.take(n)))
        if first & 0x0F == 8:
            raise Gone
        return first & 0x0F, payload

    # Writing.

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole HTTP response."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    def accept(self, asked: Asked | None = None, **headers: str) -> None:
        """The 101 that opens a websocket."""
        asked = asked or self.request()
        key = asked.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        lines = [
            "HTTP/1.1 101 X",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.websocket = True

    def text(self, text: str) -> None:
        self.send(frame(1, text.encode()))

    def binary(self, data: bytes) -> None:
        self.send(frame(2, data))

    # Whole conversations.

    def session(self, *, upgrades: tuple[str, ...] = (), **settings: Any) -> str:
        """What opens a session of Engine.IO 4: the open packet."""
        return "0" + json.dumps(
            {"sid": SID, "upgrades": upgrades, "pingInterval": 25000, "pingTimeout": 20000,
             "maxPayload": 1000000, **settings}
        )  # fmt: skip

    def connected(self, **settings: Any) -> None:
        """A websocket with an open session and `/` joined, with or without auth."""
        self.accept()
        self.text(self.session(**settings))
        opcode, payload = self.frame_in()
        assert opcode == 1 and payload.startswith(b"40")
        self.text('40{"sid":"s"}')

    def serve(self, acks: int) -> None:
        """Answer so many acknowledged emits of a websocket."""
        while acks:
            opcode, payload = self.frame_in()
            if opcode == 1 and payload.startswith(b"42"):
                digits = payload[2:].partition(b"[")[0]
                self.text(f"43{digits.decode()}[1]")
                acks -= 1

    def hold(self) -> None:
        """Say nothing more until the client has gone or sent a close frame, or the test is over."""
        with contextlib.suppress(OSError, Gone):
            closes = (b"\x88\x80", b"\x88\x82")  # without and with a code; masks are random bytes
            while not self.over.is_set() and not (self.websocket and any(c in self._rest for c in closes)):
                self._rest = self._rest[-16:]
                self._more()

    def fin(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        self.hold()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def dribble(self, data: bytes, pause: float) -> None:
        """Byte by byte, with a pause behind each."""
        for i in range(len(data)):
            self.send(data[i : i + 1])
            time.sleep(pause)

    def polled(self, post: Callable[[Asked], None], poll: Callable[[], None]) -> None:
        """A polled session: `post` answers each POST, and `poll` each GET after `/` is joined."""
        joined = False
        while True:
            asked = self.request()
            if asked.method == "POST":
                post(asked)
            elif "sid=" not in asked.target:
                self.reply(200, self.session().encode())
            elif not joined:
                joined = True
                self.reply(200, b'40{"sid":"s"}')
            else:
                poll()

    def answer_no_posts(self, poll: Callable[[], None]) -> None:
        """A polled session: the POST after the CONNECT gets no answer, and `poll` answers each GET."""

        def post(asked: Asked) -> None:
            if not asked.body.startswith(b"40"):
                self.hold()
                raise Gone
            self.reply(200, b"ok")

        self.polled(post, poll)


class Hostile:
    """A server on a free port of loopback; leaving it ends all its connections.

    Args:
        script: called for each connection; that it ends, or the client leaves, ends the connection.
        tls: wraps each connection first.
    """

    def __init__(self, script: Callable[[Peer], None], tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.accepted = 0
        self.faults: list[BaseException] = []
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Hostile:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()
        assert kind or not self.faults, self.faults

    def _spawn(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._spawn(self._run, sock, self.accepted)

    def _run(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._script(Peer(sock, number, self._over))
        except (OSError, Gone):
            pass  # the client's right
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.faults.append(error)
        finally:
            sock.close()
