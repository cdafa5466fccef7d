"""A server of Engine.IO 4 over polling that answers up to a point and no further."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import socketserver
import threading
from collections.abc import Iterator

#: How far a server goes.
POINTS = ("accept", "open", "connect", "vanish")


class Mute(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Accepts; opens sessions; answers CONNECT, but no upgrade; or ends a session and answers no more."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, point: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.goes = POINTS.index(point)
        self.over = threading.Event()
        self.vanished = False
        self.ids = itertools.count()
        self.posted: dict[str, threading.Event] = {}
        self.joined: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Clients leave as they like."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Mute

    def do_GET(self) -> None:
        server = self.server
        new = "sid=" not in self.path
        mute = server.vanished or server.goes == 0
        if (new and mute) or self.headers.get("Upgrade"):
            server.over.wait(60)
            self.close_connection = True
        elif new:
            sid = f"s{next(server.ids)}"
            server.posted[sid] = threading.Event()
            upgrades = ["websocket"] if server.goes == 2 else []
            opened = {"sid": sid, "upgrades": upgrades, "pingInterval": 25000, "pingTimeout": 20000}
            self.answer("0" + json.dumps(opened))
        else:
            self.poll(self.path.rpartition("sid=")[2])

    def poll(self, sid: str) -> None:
        server = self.server
        if server.goes > 1 and sid not in server.joined and server.posted[sid].wait(60):
            server.joined.add(sid)
            self.answer(f'40{{"sid":"n{sid}"}}')
            return
        if server.goes == 3:
            while len(server.joined) < 2 and not server.over.wait(0.02):
                pass
            server.vanished = True
        else:
            server.over.wait(60)
        self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sid = self.path.rpartition("sid=")[2]
        if body.startswith(b"40") and sid in self.server.posted:
            self.server.posted[sid].set()
        self.answer("ok")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def muted(point: str) -> Iterator[Mute]:
    """Such a server, in threads of this process."""
    server = Mute(point)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
