"""A server that lets each account in once at a time, and acks `slow` after 1.5 s.

It prints `listening PORT`. `GET /log` tells of all logins (time, account), of those that it refused because
the account was logged in already, and the most accounts at a time.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import socketio  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

SLOW = 1.5  # seconds
server = socketio.Server(async_mode="gevent", ping_interval=25, ping_timeout=20)
inside: dict[str, str] = {}  # account -> sid
logins: list[tuple[float, str]] = []
refused: list[tuple[float, str]] = []
most = 0


@server.event
def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    global most
    account = str((auth or {}).get("token") or environ.get("HTTP_X_USER"))
    if account in inside:
        refused.append((time.time(), account))
        raise ConnectionRefusedError("logged in already")
    inside[account] = sid
    logins.append((time.time(), account))
    most = max(most, len(inside))


@server.event
def disconnect(sid: str, reason: str) -> None:
    for account in [account for account, by in inside.items() if by == sid]:
        del inside[account]


@server.event
def slow(sid: str, data: Any) -> Any:
    gevent.sleep(SLOW)
    return data


@server.event
def quick(sid: str, *data: Any) -> Any:
    return list(data)


def outside(environ: dict[str, Any], start: Any) -> list[bytes]:
    """What isn't Socket.IO."""
    start("200 OK", [("Content-Type", "application/json")])
    log = {"logins": logins, "refused": refused, "most": most, "inside": list(inside)}
    if environ["REQUEST_METHOD"] == "POST":
        logins.clear()
        refused.clear()
    return [json.dumps(log).encode()]


if __name__ == "__main__":
    listener = WSGIServer(
        ("127.0.0.1", 0), socketio.WSGIApp(server, outside), handler_class=WebSocketHandler, log=None
    )
    listener.start()
    print(f"listening {listener.server_port}", flush=True)
    listener.serve_forever()
