"""Ends samples in each way that the manual's table names and a client alone can bring about; prints the rows.

Arguments: the server's URL, the option version, a URL where nothing listens.
"""

import contextlib
import json
import sys

import gevent

from sioload import SocketIOClient
from sioload.errors import ConnectError, EmitError
from sioload.net.fleet import Fleet

URL, VERSION, NOWHERE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
OPTIONS = {"version": VERSION, "transports": ["websocket"], "reconnection": False}


def told(act, url=URL):
    """What one way to end leaves in the rows of a process."""
    fleet = Fleet()
    sio = SocketIOClient(fleet, OPTIONS, url=url)
    if url == URL:
        sio.connect()
    with contextlib.suppress(EmitError, ConnectError, gevent.Timeout):
        act(sio)
    if sio.connected:
        sio.disconnect()
    fleet.drain(0.1)
    return {f"{t.type} {t.name}": [t.count, t.failures, t.times.total] for t in fleet.recorder.totals()}


def impatient(act):
    with gevent.Timeout(0.1):
        act()


def lost(sio, act):
    gevent.spawn_later(0.05, sio.fleet.later, sio._manager.connection.drop, "transport error", "cut")
    act()


print(json.dumps({
    "answered": [
        told(lambda sio: sio.call("echo", 1)),
        told(lambda sio: sio.emit("echo", 1)),
    ],
    "refused": [told(lambda sio: sio.call("echo", 1, ok=lambda value: False))],
    "no answer in time": [
        told(lambda sio: sio.call("nothing", 1, timeout=0.1)),
        told(lambda sio: impatient(lambda: sio.call("nothing", 1))),
        told(lambda sio: sio.call("nothing", 1, reply="never", timeout=0.1)),
        told(lambda sio: sio.wait_for("never", timeout=0.1)),
        told(lambda sio: impatient(lambda: sio.wait_for("never"))),
    ],
    "lost meanwhile": [
        told(lambda sio: lost(sio, lambda: sio.call("nothing", 1))),
        told(lambda sio: lost(sio, lambda: sio.call("nothing", 1, reply="never"))),
        told(lambda sio: lost(sio, lambda: sio.wait_for("never"))),
    ],
    "never sent": [
        told(lambda sio: sio.call("echo", 1, namespace="/unjoined", name="x")),
        told(lambda sio: sio.call("echo", object())),
        told(lambda sio: sio.call("echo", object(), reply="echo")),
        told(lambda sio: sio.emit("echo", object())),
        told(lambda sio: sio.connect(), NOWHERE),
    ],
}))  # fmt: skip
