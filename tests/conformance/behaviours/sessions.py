"""Sessions: opening, upgrading, namespaces, heartbeats, every way to end, coming back."""

from __future__ import annotations

import re
from functools import partial
from time import perf_counter
from typing import Any

import gevent
from conformance.cell import Cell, Hooks, same, true
from conformance.table import PING_INTERVAL, PING_TIMEOUT, behaviour

from sioload.errors import ConnectError, ConnectionLost, NotConnected

NO_UPGRADE = {"missing": ("sio0",), "cannot": "0.9 has no upgrade"}
LOSSES = ("transport closed", "transport error", "server", "session unknown")


def refused(cell: Cell, *namespaces: str, **options: Any) -> ConnectError:
    """The error of a connect that must fail, soon."""
    sio = cell.client(**options)
    began = perf_counter()
    try:
        sio.connect(namespaces=list(namespaces) or ["/"])
    except ConnectError as error:
        true(perf_counter() - began < 5, "the refusal took 5 s or more")
        true(not sio.connected, "connected in spite of the refusal")
        return error
    raise AssertionError("connected")


def told(error: ConnectError) -> None:
    """The message names the namespace and says what the server said (1.x and 2.x: only the error's data)."""
    true("/private" in str(error) and re.search("auth|401", str(error)), f"the refusal isn't told: {error}")


# Opening and upgrading.


@behaviour("handshake")
def handshake(cell: Cell) -> None:
    sio = cell.client()
    sio.connect()
    true(sio.connected and sio.sid, "connected, with a session id")
    opened = "websocket" if cell.transport == "websocket" or cell.server.eio is None else "polling"
    if cell.server.eio is None and cell.transport == "polling":
        opened = "xhr-polling"
    same(cell.names("OPEN"), [opened], "rows OPEN")
    same(cell.row("OPEN", opened), (1, 0), "row OPEN")
    same(cell.row("CONNECT", "/"), (1, 0), "row CONNECT")
    same(bool(sio.get_sid()), cell.server.eio == 4, "an id of the namespace's own")


@behaviour("handshake: version found out by itself")
def automatic(cell: Cell) -> None:
    sio = cell.connected("/", "/chat", version="auto")
    same(sio.call("echo", "€😀é", namespace="/chat"), "€😀é")
    asked_first = [name for name in cell.names("OPEN") if name == "(probe)"]
    same(asked_first, ["(probe)"] if cell.server.refuses_eio_4 else [], "requests beyond the user's own")


@behaviour("upgrade", ("upgrade",), **NO_UPGRADE)
def upgrade(cell: Cell) -> None:
    sio = cell.client()
    sio.connect()
    sid = sio.sid
    cell.settled(sio)
    same(cell.row("UPGRADE", "websocket"), (1, 0), "row UPGRADE")
    same(sio.call("handshake")["transport"], "websocket", "what the server uses")
    same(sio.sid, sid, "the session's id")


@behaviour("upgrade: nothing lost, doubled or out of order meanwhile", ("upgrade",))
def upgrade_under_load(cell: Cell) -> None:
    sio = cell.client()
    seen: list[Any] = []
    sio.on("echo", lambda n: seen.append(n))
    sio.connect()
    for n in range(200):
        sio.emit("echo", n)
        if n % 10 == 0:
            gevent.sleep(0.002)
    cell.until(lambda: len(seen) >= 200, "200 echoes")
    same(seen, list(range(200)))
    same(sio.call("echo", "after"), "after")
    cell.settled(sio)


@behaviour("upgrade refused", ("upgrade",), **NO_UPGRADE)
def upgrade_refused(cell: Cell) -> None:
    wire = cell.wire(refuse_websocket=True)
    sio = cell.client(url=wire.url)
    sio.connect()
    cell.until(lambda: cell.row("UPGRADE", "websocket") == (1, 1), "a failed row UPGRADE")
    true("400" in cell.errors("UPGRADE", "websocket"), "the failure names the status")
    same((sio.call("echo", 1), sio.transport), (1, "polling"))


@behaviour("upgrade unanswered", ("upgrade",), **NO_UPGRADE)
def upgrade_unanswered(cell: Cell) -> None:
    wire = cell.wire(edit=lambda data: b"" if b"pgrade: websocket" in data else data)
    sio = cell.client(url=wire.url)
    sio.connect()
    for n in range(10):
        same(sio.call("echo", n), n)
        gevent.sleep(0.02)
    same(sio.transport, "polling")


@behaviour("websocket refused", ("websocket",))
def websocket_refused(cell: Cell) -> None:
    error = refused(cell, url=cell.wire(refuse_websocket=True).url)
    same(error.stage, "open", "stage")
    true("400" in str(error), f"the status isn't named: {error}")


# Namespaces.


@behaviour("namespaces: several on one connection")
def namespaces(cell: Cell) -> None:
    sio = cell.connected("/", "/chat")
    same([sio.call("echo", n, namespace=n) for n in ("/", "/chat")], ["/", "/chat"])
    same([cell.row("CONNECT", n) for n in ("/", "/chat")], [(1, 0), (1, 0)], "rows CONNECT")
    same(cell.row("CALL", "/chat echo"), (1, 0), "row CALL")


@behaviour("namespaces: without the root")
def only_chat(cell: Cell) -> None:
    sio = cell.connected("/chat")
    same(sio.call("echo", "x", namespace="/chat"), "x")
    same(cell.names("CONNECT"), ["/chat"], "rows CONNECT")


@behaviour("namespace refused")
def namespace_refused(cell: Cell) -> None:
    error = refused(cell, "/", "/private")
    same(error.stage, "connect", "stage")
    told(error)
    same(cell.row("CONNECT", "/private"), (1, 1), "row CONNECT")


@behaviour("root refused")
def root_refused(cell: Cell) -> None:
    error = refused(cell, "/", query={"deny": "1"})
    same(cell.row("CONNECT", "/"), (1, 1), "row CONNECT")
    true(len(str(error)) > 10, f"no reason: {error}")


@behaviour("the client leaves a namespace", alone=True)
def leave(cell: Cell) -> None:
    sio = cell.connected("/", "/chat")
    before = cell.alone("/", "/chat")
    waiting = cell.pending(sio.call, "silent", namespace="/chat")
    sio.disconnect("/chat")
    waiting.failed_as(ConnectionLost)
    cell.until(
        lambda: cell.counts()["disconnects"] == {**before, "/chat": before["/chat"] + 1}, "it was noticed"
    )
    same(sio.call("echo", 1), 1)
    try:
        sio.emit("echo", 1, namespace="/chat")
    except NotConnected:
        pass
    else:
        raise AssertionError("emitted into a namespace that was left")


@behaviour("0.9: the client leaves the root, and with it all", only=lambda s: s.eio is None)
def leave_root(cell: Cell) -> None:
    sio = cell.connected("/", "/chat", reconnection=True)
    sio.disconnect("/")
    gevent.sleep(0.3)
    same((sio.connected, sio.transport), (False, ""), "state")
    same(cell.names("DISCONNECT"), ["client"], "rows DISCONNECT")


# The client ends it.


@behaviour("the client disconnects", alone=True)
def disconnect(cell: Cell) -> None:
    sio = cell.connected("/", "/chat")
    before = cell.alone("/", "/chat")
    sio.disconnect()
    same((sio.connected, sio.transport, sio.sid), (False, "", None), "state")
    ended = {**before, "/": before["/"] + 1, "/chat": before["/chat"] + 1}
    cell.until(lambda: cell.counts()["disconnects"] == ended, "it was noticed", PING_INTERVAL / 1000)
    same(cell.row("DISCONNECT", "client"), (1, 0), "row DISCONNECT")
    same(cell.names("DISCONNECT"), ["client"], "rows DISCONNECT")


@behaviour("the client disconnects: what was emitted before arrives", alone=True)
def disconnect_after_emits(cell: Cell) -> None:
    sio = cell.connected()
    before = cell.counts()["received"]["/"].get("silent", 0)
    for n in range(50):
        sio.emit("silent", n)
    sio.disconnect()
    cell.until(lambda: cell.counts()["received"]["/"].get("silent", 0) == before + 50, "50 events", 3)
    same(cell.row("EMIT", "silent"), (50, 0), "row EMIT")


@behaviour("the client disconnects and connects again")
def again(cell: Cell) -> None:
    sio = cell.connected("/", "/chat")
    sid = sio.sid
    sio.disconnect()
    sio.connect(namespaces=["/chat"])
    cell.settled(sio)
    same(sio.call("echo", 1, namespace="/chat"), 1)
    true(sio.sid != sid, "the same session")


# The server ends it.


@behaviour("the server disconnects a namespace")
def kicked(cell: Cell) -> None:
    user = Hooks()
    sio = cell.connected("/", "/chat", user=user)
    waiting = cell.pending(sio.call, "silent", namespace="/chat")
    sio.emit("kick", namespace="/chat")
    cell.until(lambda: sio.kicked, "the client noticed")
    waiting.failed_as(ConnectionLost)
    same(sio.call("echo", 1), 1, "the root")
    cell.until(lambda: user.reasons == ["namespace closed"], "the hook")
    same(cell.row("DISCONNECT", "namespace closed"), (1, 1), "row DISCONNECT")
    try:
        sio.emit("echo", 1, namespace="/chat")
    except NotConnected:
        pass
    else:
        raise AssertionError("emitted into a closed namespace")
    sio.rejoin()
    same(sio.call("echo", 2, namespace="/chat"), 2, "joined again")


@behaviour("the server disconnects the only namespace")
def kicked_from_root(cell: Cell) -> None:
    sio = cell.connected(reconnection=True)
    sio.emit("kick")
    cell.until(lambda: not sio.connected and not sio.transport, "the client noticed")
    if cell.server.kind == "pysio4" and cell.final == "polling":
        return  # it answers the kick with 500: a failure, after which the client may come back
    gevent.sleep(0.3)
    true(not sio.connected, "reconnected by itself")
    true(sio.kicked, "it isn't known that the server did it")
    sio.rejoin()
    same(sio.call("echo", 1), 1, "connected again")


def lost(cell: Cell, event: str) -> None:
    """The server ends the connection; the client comes back with all its namespaces."""
    user = Hooks()
    sio = cell.connected("/", "/chat", user=user, reconnection=True)
    sid, waiting = sio.sid, cell.pending(sio.call, "silent")
    sio.emit(event)
    cell.until(lambda: user.reasons, "the client noticed")
    waiting.failed_as(ConnectionLost)
    true(
        cell.fleet.recorder.ledger.indeterminate in (1, 2),
        "the pending call (and the POST cut off) indeterminate",
    )
    same([sio.call("echo", n, namespace=n) for n in ("/", "/chat")], ["/", "/chat"], "after coming back")
    true(sio.sid != sid, "the same session")
    (reason,) = user.reasons
    # A poll that goes out again may find a session whose ping went with the connection that was cut.
    true(reason in LOSSES or (cell.final == "polling" and reason == "ping timeout"), f"reason {reason}")
    same(cell.row("DISCONNECT", reason), (1, 1), "row DISCONNECT")
    same(cell.row("RECONNECT", reason), (1, 0), "row RECONNECT")
    cell.until(lambda: user.connects == 2, "on_connected called again")
    cell.settled(sio)


@behaviour("the server closes the connection; reconnection")
def closed_by_server(cell: Cell) -> None:
    lost(cell, "close")


def outlives(cell: Cell) -> bool:
    """0.9 keeps a polling session whose connection was cut: the poll goes out again, and nothing is lost."""
    if cell.server.version or cell.final != "polling":
        return False
    sio = cell.connected()
    sid = sio.sid
    sio.emit("cut")
    gevent.sleep(0.3)
    same((sio.call("echo", 1), sio.sid), (1, sid), "the session goes on")
    return True


@behaviour("TCP cut; reconnection")
def cut(cell: Cell) -> None:
    if not outlives(cell):
        lost(cell, "cut")


@behaviour("TCP cut; no reconnection wanted")
def cut_for_good(cell: Cell) -> None:
    if outlives(cell):
        return
    sio = cell.connected()
    sio.emit("cut")
    cell.until(lambda: not sio.connected, "the client noticed")
    try:
        sio.call("echo", 1)
    except NotConnected:
        pass
    else:
        raise AssertionError("called without a connection")
    same(cell.fleet.recorder.ledger.not_sent, 1, "not_sent")


@behaviour("unknown session id", ("polling",))
def unknown_sid(cell: Cell) -> None:
    user, wire = Hooks(), cell.wire()
    sio = cell.connected(user=user, url=wire.url, reconnection=True)
    stale = str(sio.sid).encode()
    wire.edit = lambda data: data.replace(stale, b"x" * len(stale))
    cell.until(lambda: user.reasons, "the client noticed")
    same(sio.call("echo", 1), 1, "after coming back")
    same(user.reasons, ["session unknown"], "reason")


@behaviour("upgrade with an unknown session id", ("upgrade",), **NO_UPGRADE)
def unknown_sid_upgrading(cell: Cell) -> None:
    wire = cell.wire()
    sio = cell.client(url=wire.url)

    def edit(data: bytes) -> bytes:
        # As on the second node of a cluster without sticky sessions.
        return data.replace(str(sio.sid).encode(), b"x" * 20) if b"pgrade: websocket" in data else data

    wire.edit = edit
    sio.connect()
    cell.until(lambda: cell.row("UPGRADE", "websocket") == (1, 1), "a failed row UPGRADE")
    same((sio.call("echo", 1), sio.transport), (1, "polling"))


@behaviour("unknown session id, of 0.9's websocket", ("websocket", "upgrade"), only=lambda s: s.eio is None)
def unknown_sid_opening(cell: Cell) -> None:
    wire = cell.wire(edit=lambda data: re.sub(rb"/1/websocket/[^? ]+", b"/1/websocket/unknown", data))
    error = refused(cell, url=wire.url)
    true("know the session" in str(error), f"the cause isn't named: {error}")


@behaviour("wrong path")
def wrong_path(cell: Cell) -> None:
    error = refused(cell, path="/nothing/here/")
    same(error.stage, "open", "stage")
    true("path" in str(error), f"the option path isn't named: {error}")


# Heartbeats.


@behaviour("heartbeats over several intervals")
def heartbeats(cell: Cell) -> None:
    sio = cell.connected()
    sid = sio.sid
    if cell.server.eio is None and cell.final == "polling":  # there, a poll that ends is the sign of life
        gevent.sleep(4.4 * PING_INTERVAL / 1000)
    else:
        name = "pong" if cell.server.eio == 3 else "ping"
        beats = partial(cell.row, "HEARTBEAT", name)
        cell.until(lambda: beats()[0] >= 3, "three heartbeats", 15 * PING_INTERVAL / 1000)
        count, failures = beats()
        same(failures, 0, f"failures of row HEARTBEAT {name}")
        timed = cell.fleet.recorder.rows["HEARTBEAT", name].totals().times.total
        same(timed, 0 if cell.server.eio is None else count, "beats with a time")
    same((sio.connected, sio.sid), (True, sid), "the session")
    same(sio.call("echo", 1), 1)
    same(cell.names("DISCONNECT"), [], "rows DISCONNECT")


@behaviour("heartbeats: the server falls silent")
def silent_server(cell: Cell) -> None:
    user, wire = Hooks(), cell.wire()
    sio = cell.connected(user=user, url=wire.url)
    wire.frozen = "down"
    began = perf_counter()
    cell.until(lambda: not sio.connected, "the client noticed", 12)
    took = perf_counter() - began
    true(took > 0.9 * PING_TIMEOUT / 1000, f"too early: {took:.1f} s")
    cell.until(lambda: user.reasons, "the hook")
    same(user.reasons, ["ping timeout"], "reason")


@behaviour("heartbeats: the client falls silent", missing=("pysio4",), cannot="it keeps silent clients")
def silent_client(cell: Cell) -> None:
    wire = cell.wire()
    sio = cell.connected("/chat", url=wire.url)
    before = cell.counts()["disconnects"]["/chat"]
    wire.frozen = "up"
    cell.until(lambda: cell.counts()["disconnects"]["/chat"] > before, "the server noticed", 10)
    cell.until(lambda: not sio.connected, "the client noticed", 8)
