"""One script for python-socketio's client and for ours: prints what its handlers were called with, as JSON.

usage: python manners.py socketio|sioload URL
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

KIND, URL = sys.argv[1:]
if KIND == "sioload":
    import locust  # noqa: F401  # patches first

import socketio  # noqa: E402  # isort: skip

called: list[Any] = []
options: dict[str, Any] = {"reconnection_delay": 0.2, "reconnection_delay_max": 0.2}
if KIND == "sioload":
    from sioload import SocketIOClient

    sio: Any = SocketIOClient(None, options, url=URL)
else:
    sio = socketio.Client(**options)


def until(count: int) -> None:
    end = time.monotonic() + 8
    while len(called) < count and time.monotonic() < end:
        sio.sleep(0.02)
    sio.sleep(0.1)


class Private(socketio.ClientNamespace):
    def on_connect(self) -> None:
        called.append("class connect")

    def on_echo(self, *args: Any) -> None:
        called.append(["class echo", self.namespace, *args])

    def on_disconnect(self) -> None:
        called.append("class disconnect")


class Closed(socketio.ClientNamespace):
    def trigger_event(self, event: str, *args: Any) -> Any:
        if not event.startswith("__"):
            called.append(["triggered", event, *args])


def gone() -> None:
    called.append("disconnect")


sio.on("connect", lambda: called.append("connect"))
sio.on("disconnect", gone)
sio.on("connect_error", lambda *args: called.append(["connect_error", *args]), namespace="*")
sio.on("utf", lambda namespace, text: called.append(["any namespace", namespace, text]), namespace="*")
sio.on("*", lambda event, *args: called.append(["any", event, *args]), namespace="/chat")
sio.register_namespace(Private("/private"))


@sio.event
def echo(*args: Any) -> None:
    called.append(["echo", *args])


@sio.event(namespace="/chat")
def binary(*args: Any) -> None:
    called.append(["binary", *args])


namespaces = ["/", "/chat", "/private"]
try:
    sio.connect(URL, auth={"token": "bad"}, namespaces=["/private"], wait_timeout=2)
except Exception as error:  # noqa: BLE001  # either client's own
    called.append(["raised", isinstance(error, ConnectionError | socketio.exceptions.ConnectionError)])
sio.disconnect()
sio.connect(URL, auth={"token": "secret"}, namespaces=namespaces)
until(4)
while sio.transport() != "websocket":
    sio.sleep(0.02)
called.append(["transport", sio.transport(), sorted(sio.namespaces), bool(sio.connection_headers)])
for namespace in namespaces:
    sio.emit("echo", 1, namespace=namespace)
sio.emit("binary", "text", namespace="/chat")
until(9)
sio.emit("utf")  # nobody handles it there
sio.start_background_task(lambda what: sio.emit(what, namespace="/private"), "utf")
until(10)
sio.emit("cut")
until(14)  # two handlers of disconnect, then two of connect
sio.shutdown()
sio.sleep(0.1)
sio.register_namespace(Closed("/private"))  # in the other's place
seen = len(called)
sio.connect(URL, auth={"token": "secret"}, namespaces=["/private"])
until(seen + 1)
sio.emit("echo", {"of": "class"}, namespace="/private")
until(seen + 2)
sio.shutdown()
sio.sleep(0.1)
print(json.dumps(called))
