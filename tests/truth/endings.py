"""Ends samples in every way that the manual's table names, before a real server; prints the rows.

Arguments: the server's URL, the option version. Each way is gone with a fleet and through a gate of its own,
a dozen at a time, those that take long first.
"""

import contextlib
import json
import socket
import sys

import gevent
from gate import Gate
from gevent.pool import Pool

from sioload import SocketIOClient
from sioload.errors import ConnectError, EmitError
from sioload.net.fleet import Fleet

URL, VERSION = sys.argv[1], int(sys.argv[2])
#: Long enough for a starved machine to open a session, where one has to be open before the time is up.
PATIENCE = 5
AT_END = "open at the end"
POLLING, WEBSOCKET, BOTH = ["polling"], ["websocket"], ["polling", "websocket"]


def walk(way, types, act, transports=WEBSOCKET, more=None):
    """What one way to end leaves in the rows of these types: how many, failed, with a time, unfinished.

    `more` is options, or `url`, the gate's first `rules`, and `connect`: whether to be connected before.
    """
    fleet, gate = Fleet(), Gate(URL)
    options = {"version": VERSION, "transports": transports, "reconnection": False, **(more or {})}
    url, gate.rules = options.pop("url", gate.url), options.pop("rules", {})
    connected = options.pop("connect", True)
    sio = SocketIOClient(fleet, options, url=url)
    if connected:
        sio.connect()

    def acts():
        with contextlib.suppress(EmitError, ConnectError, gevent.Timeout, gevent.GreenletExit):
            act(sio, gate)

    acting = gevent.spawn(acts)
    acting.join(0.5 if way == AT_END else 60)
    while way == AT_END and gate.rules and not gate.muted:
        gevent.sleep(0.01)
    assert acting.ready() or way == AT_END, (way, types)
    if sio.connected and way != AT_END:
        sio.disconnect()
    fleet.drain(0.1)
    ends = {t.type: {} for t in fleet.recorder.totals()}
    for row in fleet.recorder.totals():
        if row.name != "(probe)":
            ends[row.type][row.name] = [row.count, row.failures, row.times.total, row.unfinished]
    return [[kind, way, ends.get(kind)] for kind in types]


def connects(namespace="/chat"):
    return lambda sio, gate: sio.connect(namespaces=[namespace])


def until(sio, kind):
    """Wait until a row of this type has a sample."""
    while not any(row.type == kind and row.count for row in sio.fleet.recorder.totals()):
        sio.sleep(0.01)


def upgrades(sio, gate):
    sio.connect()
    until(sio, "UPGRADE")


def cutting(act):
    """Cut the connection while `act` waits."""

    def acts(sio, gate):
        gevent.spawn_later(0.1, gate.cut)
        act(sio, gate)

    return acts


def shut(act, **rules):
    """What is asked from now on meets these rules."""

    def acts(sio, gate):
        gate.rules = rules
        act(sio, gate)

    return acts


def returns(sio, gate):
    gate.cut()
    until(sio, "RECONNECT")


def impatient(act):
    def acts(sio, gate):
        with gevent.Timeout(0.1):
            act(sio, gate)

    return acts


def posted(sio, gate):
    sio.emit("silent", 1)
    sio.sleep(0.2)


def call(sio, gate):
    sio.call("silent", 1)


def reply(sio, gate):
    sio.call("silent", 1, reply="never")


def wait(sio, gate):
    sio.wait_for("never")


def soon(act, *args, **more):
    return lambda sio, gate: getattr(sio, act)(*args, timeout=0.1, **more)


def echoed(sio, gate):
    with sio.expect("echo", timeout=5):
        sio.emit("echo", 1)


nothing = socket.socket()  # held, so that nobody else listens there, and not listened on
nothing.bind(("127.0.0.1", 0))
nowhere = f"http://127.0.0.1:{nothing.getsockname()[1]}"
full = socket.create_server(("127.0.0.1", 0), backlog=0)
deaf = f"http://127.0.0.1:{full.getsockname()[1]}"
crowd = []
for _ in range(4):  # fill the queue of those who wait to be accepted: who comes now gets no answer
    crowd.append(socket.socket())
    crowd[-1].setblocking(False)
    crowd[-1].connect_ex(full.getsockname())

FIRST = {"connect": False}  # the act is what connects
WAYS = [
    ("answered", ["DIAL", "OPEN", "CONNECT"], connects(), POLLING, FIRST),
    ("answered", ["CALL"], lambda sio, gate: sio.call("echo", 1)),
    ("answered", ["EMIT"], lambda sio, gate: sio.emit("echo", 1)),
    ("answered", ["REPLY"], lambda sio, gate: sio.call("echo", 1, reply="echo")),
    ("answered", ["WAIT"], echoed),
    ("answered", ["RECONNECT"], returns, WEBSOCKET, {"reconnection": True, "reconnection_delay": 0.01}),
    ("refused", ["DIAL"], connects(), POLLING, {"url": nowhere, **FIRST}),
    ("refused", ["OPEN"], connects(), POLLING, {"rules": {"new": 403}, **FIRST}),
    ("refused", ["CONNECT"], connects("/private"), POLLING, FIRST),
    ("refused", ["CALL"], lambda sio, gate: sio.call("echo", 1, ok=lambda value: False)),
    ("refused", ["CALL"], shut(call, post=413), POLLING),
    ("refused", ["REPLY"], shut(reply, post=413), POLLING),
    ("refused", ["EMIT"], shut(posted, post=413), POLLING),
    ("no answer in time", ["DIAL"], connects(), POLLING, {"url": deaf, "connect_timeout": 0.3, **FIRST}),
    ("no answer in time", ["OPEN"], connects(), POLLING,
     {"rules": {"new": "mute"}, "connect_timeout": 0.3, **FIRST}),
    ("no answer in time", ["CONNECT"], connects(), POLLING,
     {"rules": {"post": "mute"}, "connect_timeout": PATIENCE, **FIRST}),
    ("no answer in time", ["CALL"], soon("call", "silent", 1)),
    ("no answer in time", ["CALL"], impatient(call)),
    ("no answer in time", ["REPLY"], soon("call", "silent", 1, reply="never")),
    ("no answer in time", ["WAIT"], soon("wait_for", "never")),
    ("no answer in time", ["WAIT"], impatient(wait)),
    ("no answer in time", ["RECONNECT"], shut(returns, new="mute"), WEBSOCKET,
     {"reconnection": True, "reconnection_delay": 0.01, "reconnection_attempts": 1,
      "connect_timeout": PATIENCE}),
    ("lost meanwhile", ["OPEN"], connects(), POLLING, {"rules": {"new": "cut"}, **FIRST}),
    ("lost meanwhile", ["CONNECT"], connects(), POLLING, {"rules": {"post": "cut"}, **FIRST}),
    ("lost meanwhile", ["CALL"], cutting(call)),
    ("lost meanwhile", ["REPLY"], cutting(reply)),
    ("lost meanwhile", ["WAIT"], cutting(wait)),
    ("lost meanwhile", ["EMIT"], shut(posted, post="cut"), POLLING),
    ("never sent", ["CONNECT"], connects(), POLLING, {"url": nowhere, **FIRST}),
    ("never sent", ["CALL"], lambda sio, gate: sio.call("echo", 1, namespace="/unjoined", name="x")),
    ("never sent", ["CALL"], lambda sio, gate: sio.call("echo", object())),
    ("never sent", ["REPLY"], lambda sio, gate: sio.call("echo", object(), reply="echo")),
    ("never sent", ["EMIT"], lambda sio, gate: sio.emit("echo", object())),
    (AT_END, ["DIAL"], connects(), POLLING, {"url": deaf, **FIRST}),
    (AT_END, ["OPEN"], connects(), POLLING, {"rules": {"new": "mute"}, **FIRST}),
    (AT_END, ["CONNECT"], connects(), POLLING, {"rules": {"post": "mute"}, **FIRST}),
    (AT_END, ["CALL"], call),
    (AT_END, ["REPLY"], reply),
    (AT_END, ["WAIT"], wait),
    (AT_END, ["EMIT"], shut(posted, post="mute"), POLLING),
    (AT_END, ["RECONNECT"], shut(returns, new="mute"), WEBSOCKET,
     {"reconnection": True, "reconnection_delay": 0.01}),
]  # fmt: skip
if VERSION:  # 0.9 has no upgrade
    WAYS += [
        ("answered", ["UPGRADE"], upgrades, BOTH, FIRST),
        ("refused", ["UPGRADE"], upgrades, BOTH, {"rules": {"upgrade": 400}, **FIRST}),
        ("no answer in time", ["UPGRADE"], upgrades, BOTH,
         {"rules": {"upgrade": "mute"}, "connect_timeout": PATIENCE, **FIRST}),
        ("lost meanwhile", ["UPGRADE"], upgrades, BOTH, {"rules": {"upgrade": "cut"}, **FIRST}),
        (AT_END, ["UPGRADE"], upgrades, BOTH, {"rules": {"upgrade": "mute"}, **FIRST}),
    ]  # fmt: skip

crew = Pool(12)
walks = [crew.spawn(walk, *way) for way in sorted(WAYS, key=lambda way: way[0] != "no answer in time")]
gevent.joinall(walks, raise_error=True)
print(json.dumps([told for walked in walks for told in walked.value]))
