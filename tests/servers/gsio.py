"""gevent-socketio 0.3.6 on Python 3 (`adapt_gsio.py`), in the manner of its usual applications.

    python gsio.py [--port 0]

It prints `listening PORT`. Namespaces: `/` and `/chat`. Events: `echo` (acks its arguments; without an ack
emits `echo`), `silent` (says nothing), `kick` (disconnects), `fail` (raises). HTTP: GET /counts. Any other
path raises, as its examples' do.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import json  # noqa: E402
from collections import Counter  # noqa: E402
from typing import Any  # noqa: E402

from socketio import socketio_manage  # noqa: E402
from socketio.namespace import BaseNamespace  # noqa: E402
from socketio.server import SocketIOServer  # noqa: E402

connects: Counter[str] = Counter()
received: Counter[str] = Counter()
requests: Counter[str] = Counter()


class Room(BaseNamespace):
    """The same in each namespace."""

    def recv_connect(self) -> None:
        connects[self.ns_name or "/"] += 1

    def on_echo(self, packet: dict[str, Any]) -> None:
        received["echo"] += 1
        if "id" in packet:
            self.socket.send_packet(
                {"type": "ack", "ackId": packet["id"], "args": packet["args"], "endpoint": self.ns_name}
            )
        else:
            self.emit("echo", *packet["args"])

    def on_silent(self, packet: dict[str, Any]) -> None:
        received["silent"] += 1

    def on_kick(self, packet: dict[str, Any]) -> None:
        self.disconnect()

    def on_fail(self, packet: dict[str, Any]) -> None:
        raise ZeroDivisionError("no")


def application(environ: dict[str, Any], start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    requests[path] += 1
    if path == "/counts":
        start_response("200 OK", [("Content-Type", "application/json")])
        counts = {"connects": connects, "received": {"/": received}, "sessions": len(server.sockets),
                  "requests": requests}  # fmt: skip
        return [json.dumps(counts).encode()]
    if path.startswith("/socket.io/1/"):
        socketio_manage(environ, {"": Room, "/chat": Room}, {})
        return None
    raise KeyError(path)


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
options = parser.parse_args()
server = SocketIOServer(("127.0.0.1", options.port), application, policy_server=False, resource="socket.io",
                        log=None, error_log=None, heartbeat_interval=2, heartbeat_timeout=5)  # fmt: skip
server.start()
print("listening", server.server_port, flush=True)
server.serve_forever()
