"""A gate before a server, in the client's own process: passes on, or treats requests as it is told."""

from __future__ import annotations

import contextlib
import struct
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.server import StreamServer

REFUSAL = "HTTP/1.1 {} No\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"


def kind_of(head: bytes) -> str:
    """What a request is for: "new" (a session), "upgrade", "post" or "poll"; "" for what is none."""
    line, _, rest = head.partition(b"\r\n")
    if line.startswith(b"POST "):
        return "post"
    if not line.startswith(b"GET "):
        return ""
    path, _, query = line.split(b" ")[1].partition(b"?")
    if b"sid=" not in query and path in (b"/socket.io/", b"/socket.io/1/"):
        return "new"
    return "upgrade" if b"upgrade: websocket" in rest.lower() else "poll"


class Gate:
    """Listens on a port of its own.

    Attributes:
        rules: kind of request to "mute" (taken, never answered), "cut", or the HTTP status of a refusal.
        muted: how many were taken and never answered.
    """

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url).hostname, urlsplit(url).port
        self.rules: dict[str, str | int] = {}
        self.muted = 0
        self._through: set[socket.socket] = set()
        self._server = StreamServer(("127.0.0.1", 0), self._pass)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def cut(self) -> None:
        """Reset what is connected now."""
        for client in list(self._through):
            self._reset(client)

    @staticmethod
    def _reset(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RD)
        client.close()

    def _pass(self, client: socket.socket, _: object) -> None:
        self._through.add(client)
        with socket.create_connection(self._to) as server:
            back = gevent.spawn(self._back, server, client)
            with contextlib.suppress(OSError):
                while data := client.recv(65536):
                    rule = self.rules.get(kind_of(data))
                    if rule is None:
                        server.sendall(data)
                    elif rule == "cut":
                        self._reset(client)
                    elif rule == "mute":
                        self.muted += 1
                        while client.recv(65536):
                            pass
                    else:
                        client.sendall(REFUSAL.format(rule).encode())
                        break
            back.kill()
        self._through.discard(client)
        client.close()

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
