"""A scripted server that speaks as Socket.IO 1.0.0 does on websockets, and takes nothing else.

It prints `listening PORT`. Polling is switched off. Text is encoded as UTF-8 twice, acks have a dash; a plain
ack, which sends the real one into an endless loop, and text that isn't ASCII or encoded twice, which ends it,
are counted in GET /harm.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import re  # noqa: E402
from typing import Any  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

OPEN = '0{"sid":"abcdefghijklmnopqrst","upgrades":[],"pingInterval":1000,"pingTimeout":2000}'
PACKET = re.compile(r"42(/[^,]*,)?(\d*)(\[.*)", re.DOTALL)
ACK = re.compile(r"430-(/[^,]*,)?(\d+)(\[.*)", re.DOTALL)
TEXT = "€😀é"

harm: list[str] = []


class Session:
    """One websocket."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws

    def send(self, text: str) -> None:
        """Encode it once; gevent-websocket does so again."""
        self.ws.send(text.encode().decode("latin-1"))

    def run(self) -> None:
        """Until the client leaves."""
        self.send(OPEN)
        self.send("40")
        while (raw := self.ws.receive()) is not None:
            try:
                text = raw.encode("latin-1").decode()
            except UnicodeError:
                harm.append(f"text that isn't encoded twice: {raw!r}")
                return
            self.take(text)

    def take(self, text: str) -> None:
        """One packet of the client."""
        if text == "2":
            self.send("3")
        elif text.startswith("40"):
            self.send(text)
        elif found := ACK.fullmatch(text):
            self.push(found[1] or "", "answered", json.loads(found[3]))
        elif found := PACKET.fullmatch(text):
            name, *args = json.loads(found[3])
            self.answer(found[1] or "", found[2], name, args)
        elif text.startswith("43"):
            harm.append(f"a plain ack: {text!r}")

    def answer(self, namespace: str, id: str, name: str, args: list[Any]) -> None:
        """The events that the tests use."""
        reply = [TEXT] if name == "utf" else [] if name in ("noargs", "ask") else args
        if id:
            self.send(f"430-{namespace}{id}{json.dumps(reply, ensure_ascii=False)}")
        elif name in ("echo", "utf"):
            self.push(namespace, name, *reply)
        if name == "ask":
            self.push(namespace, "question", *args, id="7")

    def push(self, namespace: str, *args: Any, id: str = "") -> None:
        """An event of the server."""
        self.send(f"42{namespace}{id}{json.dumps(args, ensure_ascii=False)}")


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """The websocket, and what harm was done."""
    if "wsgi.websocket" in environ:
        Session(environ["wsgi.websocket"]).run()
        return []
    path = environ["PATH_INFO"]
    body = {"code": 0, "message": "Transport unknown"} if path.startswith("/socket.io/") else harm
    status = "400 Bad Request" if path.startswith("/socket.io/") else "200 OK"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


server = WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=WebSocketHandler)
server.start()
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
