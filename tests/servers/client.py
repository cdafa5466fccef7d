"""python-socketio's own client (version 5), run from a script, as `client.js` runs the JavaScript ones.

    python client.py --url http://127.0.0.1:1234 [--namespace /chat] [--transports polling,websocket]
        [--auth JSON] --script JSON

The steps are those of `client.js`; one JSON line goes out for each.
"""

from __future__ import annotations

import argparse
import base64
import json
import threading
import time
from collections import defaultdict, deque
from typing import Any

import engineio.payload
import socketio

engineio.payload.Payload.max_decode_packets = 10_000  # its 16 would lose pushes on polling
PATIENCE = 10.0  # seconds
GOODBYE = 2.0  # seconds

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
parser.add_argument("--namespace", default="/")
parser.add_argument("--transports")
parser.add_argument("--auth", type=json.loads)
parser.add_argument("--script", type=json.loads, required=True)
options = parser.parse_args()

came: defaultdict[str, deque[list[Any]]] = defaultdict(deque)
changed = threading.Condition()


def revive(value: Any) -> Any:
    """JSON's `{"$bytes": base64}` as bytes."""
    if isinstance(value, list):
        return [revive(inner) for inner in value]
    if isinstance(value, dict):
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        return {key: revive(inner) for key, inner in value.items()}
    return value


def plain(value: Any) -> Any:
    """Bytes as JSON's `{"$bytes": base64}`."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def say(step: str, args: Any) -> None:
    """One line for one step."""
    print(json.dumps({"step": step, "args": plain(list(args))}), flush=True)


def heard(event: str, *args: Any) -> None:
    """Keep what came for the step that waits for it."""
    with changed:
        came[event].append(list(args))
        changed.notify_all()


def wait(event: str) -> list[Any]:
    """The next push of this name, also one that came before."""
    with changed:
        if not changed.wait_for(lambda: came[event], PATIENCE):
            raise TimeoutError(f"no {event}")
        return came[event].popleft()


def leave() -> None:
    """Disconnect once what was written before is answered: else its writer may end before it says goodbye."""
    deadline = time.monotonic() + GOODBYE
    while client.connected and client.eio.queue.unfinished_tasks and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # the writer waits for more
    client.disconnect()


client = socketio.Client(reconnection=False)
client.on("*", heard, namespace=options.namespace)
client.on("disconnect", lambda *reason: heard("disconnect", *reason), namespace=options.namespace)
client.on("connect_error", lambda data=None: heard("connect_error", data), namespace=options.namespace)
transports = options.transports.split(",") if options.transports else None
try:
    client.connect(options.url, auth=options.auth, transports=transports, namespaces=[options.namespace])
except socketio.exceptions.ConnectionError:
    say("connect_error", wait("connect_error"))
    raise SystemExit(0) from None
for verb, what, *args in revive(options.script):
    if verb == "call":
        done = client.call(what, tuple(args), namespace=options.namespace, timeout=PATIENCE)
        answer = list(done) if isinstance(done, tuple) else [] if done is None else [done]
        say(what, answer)
    elif verb == "emit":
        client.emit(what, tuple(args), namespace=options.namespace)
        say(what, [])
    elif verb == "wait":
        say(what, wait(what))
    elif verb == "sleep":
        time.sleep(what / 1000)
    elif verb == "disconnect":
        leave()
leave()
deadline = time.monotonic() + GOODBYE
for thread in threading.enumerate():  # its own threads say goodbye, and Python wouldn't wait for them
    if thread is not threading.current_thread():
        thread.join(max(0.0, deadline - time.monotonic()))
