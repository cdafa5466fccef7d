"""A TCP proxy between a client and its server that writes down what passes, and can do harm to it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import gevent
from gevent.server import StreamServer

_REQUEST = re.compile(rb"(GET|POST) (/\S*) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")
CHUNK = 65536


class Request:
    """A request that a client sent."""

    def __init__(self, method: bytes, target: bytes, head: bytes) -> None:
        self.method = method.decode()
        self.target = target.decode()
        self.headers = {
            name.decode().lower(): value.decode("latin-1").strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n") if line)
        }
        self.is_websocket = "upgrade" in self.headers

    def parameter(self, name: str) -> str | None:
        """A parameter of the query as it was sent, None without."""
        found = re.search(rf"[?&]{name}=([^&]*)", self.target)
        return found[1] if found else None


class Wire:
    """The proxy.

    Attributes:
        url: its address.
        connections: how many connections were made to it.
        refuse_websocket: answer requests for a websocket with 400.
        frozen: "up" or "down": what comes from the client, or from the server, is swallowed from now on.
        edit: changes what a client sends.
        cookie: set by the first response of a session.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.connections = 0
        self.refuse_websocket = False
        self.frozen = ""
        self.edit: Callable[[bytes], bytes] | None = None
        self.cookie = ""
        self._sent: list[list[bytes]] = []
        self._open: list[socket.socket] = []

    def _serve(self, client: socket.socket, _: object) -> None:
        self.connections += 1
        sent: list[bytes] = []
        self._sent.append(sent)
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            self._open += [client, server]
            down = gevent.spawn(self._pump_down, server, client, sent)
            try:
                self._pump_up(client, server, sent)
            except OSError:
                pass
            finally:
                self._shut(server)
                down.join()

    def _pump_up(self, client: socket.socket, server: socket.socket, sent: list[bytes]) -> None:
        while data := client.recv(CHUNK):
            if self.frozen == "up":
                continue
            if self.edit is not None:
                data = self.edit(data)
            sent.append(data)
            if self.refuse_websocket and re.search(rb"\r\nupgrade: *websocket", data, re.IGNORECASE):
                client.sendall(
                    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrefused"
                )
                return
            server.sendall(data)

    def _pump_down(self, server: socket.socket, client: socket.socket, sent: list[bytes]) -> None:
        try:
            while data := server.recv(CHUNK):
                if self.cookie and sent not in self._probes() and data.startswith(b"HTTP/1.1"):
                    line, _, rest = data.partition(b"\r\n")
                    data = line + b"\r\nSet-Cookie: " + self.cookie.encode() + b"; Path=/\r\n" + rest
                    self.cookie = ""
                if self.frozen != "down":
                    client.sendall(data)
        except OSError:
            pass
        if self.frozen != "down":
            self._shut(client)

    @staticmethod
    def _shut(end: socket.socket) -> None:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Cut everything and stop."""
        self._server.stop()
        for end in self._open:
            self._shut(end)

    # What passed.

    def _probes(self) -> list[list[bytes]]:
        """What went over the connection that the client made first, to find out what the server speaks."""
        first = self._sent[:1]
        return (
            first if first and re.match(rb"GET /\S*EIO=\d&transport=polling HTTP", b"".join(first[0])) else []
        )

    def requests(self) -> list[Request]:
        """The HTTP requests of all connections in their order, but for those of the client's probe."""
        probes = self._probes()
        return [
            Request(*found)
            for sent in self._sent
            if sent not in probes
            for found in _REQUEST.findall(b"".join(sent))
        ]

    def sent(self) -> bytes:
        """All that clients sent, the frames of websockets unmasked and without their heads."""
        return b"\n".join(_plain(b"".join(sent)) for sent in self._sent)


def _plain(data: bytes) -> bytes:
    """Bodies as they are, then the payloads of the frames behind a websocket's handshake."""
    start = re.search(rb"\r\nupgrade: *websocket.*?\r\n\r\n", data, re.IGNORECASE | re.DOTALL)
    if start is None:
        return data
    plain, at = [data[: start.end()]], start.end()
    while at + 6 <= len(data):
        size, at = data[at + 1] & 0x7F, at + 2
        wide = {126: 2, 127: 8}.get(size, 0)
        if wide:
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        mask, at = data[at : at + 4], at + 4
        plain.append(bytes(byte ^ mask[i & 3] for i, byte in enumerate(data[at : at + size])))
        at += size
    return b"\n".join(plain)
