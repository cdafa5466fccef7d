"""Whole sessions on tapes instead of sockets: packets, answers, losses, ticks and closes in any order.

A manager with its connection is driven as the hub would drive it, for every generation and all transports.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest
from framekit import frame
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from net.wire import Tape

import sioload.session.requests
from sioload.client.manager import Manager, Phase
from sioload.engineio.urls import Endpoint
from sioload.errors import End, Reason, Refused
from sioload.net.deadlines import Deadlines
from sioload.net.dial import Dialler
from sioload.net.fleet import Fleet
from sioload.net.http import HTTPConnection
from sioload.net.stream import CLOSED
from sioload.net.websocket import WebSocket
from sioload.options import Options
from sioload.session.connection import Connection
from sioload.socketio.generations import VERSIONS

TRANSPORTS = (["polling", "websocket"], ["websocket"], ["polling"])
HANDSHAKE = {"sid": "s1", "upgrades": ["websocket"], "pingInterval": 25000, "pingTimeout": 20000}
#: What a server may say at any time, as texts of Engine.IO 3 and 4, and of 0.9.
TEXTS = [
    "0" + json.dumps(HANDSHAKE), "0" + json.dumps({**HANDSHAKE, "upgrades": [], "maxPayload": 100}), "0{",
    "1", "2", "3", "3probe", "3wrong", "5", "6", "9", "", "40", '40{"sid":"x"}', '40/chat,{"sid":"y"}',
    "40/chat", '40{"sid":"x","pid":"p"}', '44{"message":"no"}', "44", "41", "41/chat,", '42["a",1]',
    '42/chat,["b"]', '421["a"]', "430[]", "431[1]", "439[1]", '451-["a",{"_placeholder":true,"num":0}]',
    "49", "42", "4",
]  # fmt: skip
OLD_TEXTS = [
    "1::", "1::/chat", "2::", "8::", "0::", "0::/chat", "7:::1+0", "7::/chat:2",
    '5:::{"name":"a","args":[1]}', '5:1+::{"name":"a"}', '5:2::{"name":"a"}', "6:::0", "6:::1+[1]", "3:::x",
    "9::", "", "x",
]  # fmt: skip


ODD_FRAMES = [
    frame(2, b"\x04x"), frame(9, b"p"), frame(8, b"\x03\xe8"), frame(1, b"\xff"), b"\x81", frame(3, b""),
]  # fmt: skip
OPEN_0 = b"s1:15:25:websocket,xhr-polling"
JOINED = ['40{"sid":"x"}', '40/chat,{"sid":"y"}']


class Clock(Deadlines):
    """In place of the sweep of deadlines: they come when the test says so, in their order."""

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []

    def __len__(self) -> int:
        return sum(entry[2] is not None for entry in self.entries)

    def at(self, when: float, callback: Callable[[float], None]) -> list[Any]:
        entry = [when, len(self.entries), callback]
        self.entries.append(entry)
        return entry

    def cancel(self, entry: list[Any] | None) -> None:
        if entry is not None:
            entry[2] = None

    def tick(self) -> None:
        self.entries = [entry for entry in self.entries if entry[2] is not None]
        if self.entries:
            entry = min(self.entries, key=lambda entry: (entry[0], entry[1]))
            callback, entry[2] = entry[2], None
            callback(entry[0])


#: The one that is there now.
WORLDS: list[World] = []


class World(Fleet):
    """A fleet whose callbacks wait until they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines = Clock()  # type: ignore[assignment]
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.dials: list[Dial] = []
        self.tapes: list[Tape] = []
        self.closed: Counter[int] = Counter()
        WORLDS[:] = [self]

    def later(self, callback: Callable[..., None], *args: Any) -> None:
        self.waiting.append((callback, args))

    def settle(self) -> None:
        while self.waiting:
            callback, args = self.waiting.pop(0)
            callback(*args)


class Dial(Dialler):
    """In place of a dialler."""

    def __init__(
        self,
        fleet: Fleet,
        host: str,
        port: int,
        options: Options,
        tls: bool,
        done: Callable[..., None],
        failed: Callable[..., None],
        owner: object = None,
        proxy: object = None,
        tickets: object = None,
    ) -> None:
        self.done, self.failed = done, failed
        self.over = False
        WORLDS[-1].dials.append(self)

    def cancel(self, failure: str = "") -> None:
        self.over = True


class Watched(Manager):
    """Counts how often a connection ends."""

    __slots__ = ()

    def on_session_end(self, end: End, connection: Connection | None) -> None:
        assert end.kind in get_args(Reason)
        WORLDS[-1].closed[id(connection)] += 1
        assert connection is not None, "it ended twice"
        super().on_session_end(end, connection)


class Client:
    """The client above the manager; user code is called at once."""

    def run(self, function: Callable[..., None], *args: Any) -> None:
        function(*args)

    def cookies(self, url: str) -> dict[str, str]:
        return {}

    def hook(self, name: str) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **named: None


class Emitted:
    """Hears what became of an emit's bytes, once."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def settle(self, outcome: str, reason: str) -> None:
        self.ended.append(outcome)


class Sessions(RuleBasedStateMachine):
    version = 4
    transports = TRANSPORTS[0]

    @initialize(chat=st.booleans(), ahead=st.integers(0, 14))
    def begin(self, chat: bool, ahead: int) -> None:
        self.world = World()
        self.options = Options(version=self.version, transports=self.transports)  # type: ignore[arg-type]
        self.generation = VERSIONS[self.version]
        self.world.generations = {(False, "h", 80, "/socket.io/", self.version): self.generation}
        self.names = ["/", "/chat"] if chat else ["/"]
        client: Any = Client()
        self.manager = Watched(self.world, self.options, client, client, client)
        self.emitted: list[Emitted] = []
        self.probed: list[Tape] = []
        self.numbers = itertools.count()
        self.connect()
        self.proceed(ahead)

    def texts(self) -> list[str]:
        return OLD_TEXTS if self.version == 0 else TEXTS

    # What the script does.

    @rule()
    def connect(self) -> None:
        if self.manager.phase is Phase.IDLE and self.manager.connection is None:
            self.world.generations = {(False, "h", 80, "/socket.io/", self.version): self.generation}
            self.manager.connect(Endpoint(False, "h", 80, "/socket.io/"), self.options, self.names, None)

    @rule(acknowledged=st.booleans(), binary=st.booleans())
    def emit(self, acknowledged: bool, binary: bool) -> None:
        if self.manager.packets.usable("/"):
            args: list[Any] = [b"x"] if binary and self.version else [1]
            emitted = Emitted()
            number = next(self.numbers) if acknowledged else None
            try:
                handed = self.manager.packets.send_event("/", "e", args, number, emitted)
            except Refused:
                return
            if handed:
                emitted.ended.append("sent")
            self.emitted.append(emitted)

    @rule(how=st.sampled_from(["shut", "leave", "leave", "abandon", "rejoin", "rejoin"]))
    def leave(self, how: str) -> None:
        if how == "shut":
            self.manager.shut()
        elif how == "leave":
            self.manager.leave("/chat")
        elif how == "abandon":
            self.manager.abandon()
        else:
            self.manager.namespaces.rejoin()

    # What the world does.

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule()
    def tick(self) -> None:
        self.world.settle()
        self.world.deadlines.tick()  # type: ignore[attr-defined]

    @rule(times=st.integers(1, 6))
    def proceed(self, times: int) -> None:
        """What a sound server does next."""
        for _ in range(times):
            self.world.settle()
            waiting = [t for t in self.open() if isinstance(t.owner, WebSocket)]
            lines = [t for t in self.open() if isinstance(t.owner, HTTPConnection) and t.owner.busy]
            if any(not dial.over for dial in self.world.dials):
                self.dialled(True, 0)
            elif any(not t.owner.is_open for t in waiting):  # type: ignore[attr-defined]
                self.accept(0, 101)
            elif lines and b"POST" in lines[0].written.rpartition(b"Host:")[0].rpartition(b"\r\n")[2]:
                self.answer(0, 200, [0], True)
            elif waiting and waiting[0] not in self.probed and self.is_polling():
                self.probed.append(waiting[0])
                self.expected(0, True)
            elif lines and self.is_polling():
                self.joined(0)
            elif waiting and self.manager.phase is not Phase.UP:
                self.expected(0, False)
            elif lines:
                self.joined(0)

    def is_polling(self) -> bool:
        return self.manager.connection is not None and self.manager.connection.transport == "polling"

    @rule(which=st.integers(0, 5))
    def joined(self, which: int) -> None:
        """A poll brings what opens a session, or joins namespaces, or nothing."""
        self.world.settle()
        lines = [t for t in self.open() if isinstance(t.owner, HTTPConnection) and t.owner.busy]
        if not lines:
            return
        tape = lines[which % len(lines)]
        opened = self.manager.connection is not None and self.manager.connection.is_open
        if self.version == 0:
            body = b"1::" if self.manager.connection is not None and self.manager.connection.sid else OPEN_0
        elif not opened:
            body = self.body([TEXTS[0]])
        elif self.manager.phase is not Phase.UP:
            body = self.body(JOINED if self.version > 2 else ["40", "40/chat"])
        else:
            body = self.body(["6"])
        head = f"HTTP/1.1 200 X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        tape.owner.on_data(head + body)  # type: ignore[attr-defined]

    @rule(fine=st.sampled_from([True] * 5 + [False]), which=st.integers(0, 5))
    def dialled(self, fine: bool, which: int) -> None:
        self.world.settle()
        dials = [dial for dial in self.world.dials if not dial.over]
        if dials:
            dial = dials[which % len(dials)]
            dial.over = True
            if fine:
                tape = Tape()
                self.world.tapes.append(tape)
                dial.done(tape)
            else:
                dial.failed("dial", "connection refused")

    @rule(
        which=st.integers(0, 5),
        status=st.sampled_from([200] * 12 + [204, 400, 413, 503]),
        said=st.lists(st.integers(0, 99), min_size=1, max_size=3),
        opening=st.sampled_from([True] * 6 + [False]),
    )
    def answer(self, which: int, status: int, said: list[int], opening: bool) -> None:
        """A request is answered, mostly in a way that makes sense."""
        self.world.settle()
        lines = [tape for tape in self.open() if isinstance(tape.owner, HTTPConnection) and tape.owner.busy]
        if not lines:
            return
        tape = lines[which % len(lines)]
        texts = [self.texts()[n % len(self.texts())] for n in said]
        request = bytes(tape.written).rpartition(b" HTTP/1.1\r\nHost")[0].rpartition(b"\n")[2]
        body = self.body(texts)
        if request.startswith(b"POST"):
            body = b"ok"
        elif opening and self.version == 0 and b"/1/?" in request:
            body = OPEN_0
        elif opening and self.version == 0 and tape.owner is not None and texts:
            body = self.body(["1::"])
        elif opening and b"sid=" not in request and self.version:
            body = self.body([TEXTS[0], *texts[1:]])
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        tape.owner.on_data(head + (b"" if status == 204 else body))  # type: ignore[attr-defined]

    @rule(which=st.integers(0, 5), status=st.sampled_from([101] * 8 + [400, 503]))
    def accept(self, which: int, status: int) -> None:
        self.world.settle()
        found = [t for t in self.open() if isinstance(t.owner, WebSocket) and not t.owner.is_open]
        if not found:
            return
        tape = found[which % len(found)]
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", tape.written)
        assert key is not None
        digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accepted = f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}"
        lines = [f"HTTP/1.1 {status} X", "Upgrade: websocket", "Connection: Upgrade", accepted]
        lines += [] if status == 101 else ["Content-Length: 0"]
        tape.owner.on_data(("\r\n".join(lines) + "\r\n\r\n").encode())  # type: ignore[attr-defined]

    @rule(which=st.integers(0, 5), said=st.lists(st.integers(0, 99), min_size=1, max_size=4))
    def frames(self, which: int, said: list[int]) -> None:
        texts = [self.texts()[n % len(self.texts())].encode() for n in said]
        self.arrive(which, b"".join(frame(1, text) for text in texts))

    @rule(which=st.integers(0, 5), probing=st.booleans())
    def expected(self, which: int, probing: bool) -> None:
        """What a websocket waits for."""
        if self.version == 0:
            self.arrive(which, frame(1, b"1::") + frame(1, b"1::/chat"))
        elif probing:
            self.arrive(which, frame(1, b"3probe"))
        else:
            opened = self.manager.connection is not None and self.manager.connection.is_open
            texts = JOINED if self.version > 2 else ["40", "40/chat"]
            data = b"".join(frame(1, text.encode()) for text in texts)
            self.arrive(which, data if opened else frame(1, TEXTS[0].encode()))

    @rule(which=st.integers(0, 5), data=st.sampled_from(ODD_FRAMES))
    def other_frames(self, which: int, data: bytes) -> None:
        self.arrive(which, data)

    def arrive(self, which: int, data: bytes) -> None:
        self.world.settle()
        found = [t for t in self.open() if isinstance(t.owner, WebSocket) and t.owner.is_open]
        if found:
            found[which % len(found)].owner.on_data(data)  # type: ignore[attr-defined]

    @rule(
        which=st.integers(0, 5),
        end=st.sampled_from([CLOSED, End("transport error", "connection reset by peer")]),
    )
    def lost(self, which: int, end: End) -> None:
        self.world.settle()
        if found := self.open():
            tape = found[which % len(found)]
            tape.close()
            tape.owner.on_lost(end)  # type: ignore[attr-defined]

    def open(self) -> list[Tape]:
        return [tape for tape in self.world.tapes if not tape.closed]

    def body(self, texts: list[str]) -> bytes:
        if self.version == 0:
            whole = "".join(f"\ufffd{len(text)}\ufffd{text}" for text in texts)
            return (texts[0] if len(texts) == 1 else whole).encode()
        if self.version < 3:
            return "".join(f"{len(text)}:{text}" for text in texts).encode()
        return "\x1e".join(texts).encode()

    @invariant()
    def nothing_is_broken(self) -> None:
        if not hasattr(self, "world"):
            return
        assert self.world.recorder.internal_errors == []
        assert all(n == 1 for n in self.world.closed.values())
        assert all(len(emitted.ended) <= 1 for emitted in self.emitted)
        assert min(self.world.recorder.connections.current.values(), default=0) >= 0

    def teardown(self) -> None:
        """Whatever happened: a close ends all of it."""
        if not hasattr(self, "world"):
            return
        world, clock = self.world, self.world.deadlines
        self.manager.shut()
        world.settle()
        for _ in range(100):
            if not len(clock):
                break
            clock.tick()  # type: ignore[attr-defined]
            world.settle()
        self.nothing_is_broken()
        assert self.manager.phase is Phase.IDLE and self.manager.connection is None
        assert not world.members and len(clock) == 0
        assert [tape for tape in world.tapes if not tape.closed] == []
        assert all(dial.over for dial in world.dials)
        assert all(emitted.ended for emitted in self.emitted)
        assert sum(world.recorder.connections.current.values()) == 0


def machine(version: int, transports: list[str]) -> type[Sessions]:
    return type("Sessions", (Sessions,), {"version": version, "transports": transports})


@pytest.fixture(autouse=True)
def on_tapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sioload.session.requests, "dialler", Dial)


QUICK = settings(max_examples=25, stateful_step_count=30, derandomize=True, deadline=None, database=None)
LONG = settings(QUICK, max_examples=600, stateful_step_count=50, derandomize=False)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("far", [QUICK, pytest.param(LONG, marks=pytest.mark.verify)], ids=["quick", "long"])
@pytest.mark.parametrize("version", [0, 1, 2, 4])
@pytest.mark.parametrize("transports", TRANSPORTS, ids=",".join)
def test_whatever_happens_in_any_order(version: int, transports: list[str], far: settings) -> None:
    run_state_machine_as_test(machine(version, transports), settings=far)
