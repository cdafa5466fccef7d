"""Official JavaScript clients and ours do the same through a recording proxy: prints what each sent, as JSON.

python differential.py '[{"url": ..., "lib": "client4", "version": 4, "transports": [...], ...}, ...]'

Times differ, so three sequences are compared: the requests, each kind once, in the order in which they first
came; the packets of Socket.IO; the packets by which transports are changed or left.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

import gevent  # noqa: E402
import msgpack  # noqa: E402
from conformance.wire import Wire  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.errors import SioloadError  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402
from sioload.options import Limits  # noqa: E402
from sioload.socketio.generations import V1, V2, V4, Generation  # noqa: E402

PATIENCE = 10.0  # seconds for one client
HEAD = re.compile(rb"(GET|POST) (/\S*) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)


class Recorder(Wire):
    """A wire that takes apart what a client sends, in the order of its arrival."""

    def __init__(self, port: int, generation: Generation) -> None:
        self._generation = generation
        self.requests_seen: list[str] = []
        self.messages: list[str] = []
        self.controls: list[str] = []
        super().__init__(port)

    def _pump_up(self, client: Any, server: Any, sent: list[bytes]) -> None:
        waiting, upgraded = b"", False
        while data := client.recv(65536):
            waiting += data
            server.sendall(data)
            while True:
                rest = self._frame(waiting) if upgraded else self._request(waiting)
                if rest is None:
                    break
                upgraded = upgraded or b"pgrade: websocket" in waiting[: len(waiting) - len(rest)]
                waiting = rest

    def _request(self, data: bytes) -> bytes | None:
        """Take one request off; None while it isn't whole."""
        found = HEAD.match(data)
        if found is None:
            return None
        length = re.search(rb"(?i)content-length: *(\d+)", found[3])
        end = found.end() + (int(length[1]) if length else 0)
        if len(data) < end:
            return None
        target = re.sub(r"(?<=[?&])(sid|t)=[^&]*", r"\1=*", found[2].decode())
        websocket = b"pgrade: websocket" in found[3]
        line = f"{found[1].decode()} {target}{' upgrade' if websocket else ''}"
        if line not in self.requests_seen:
            self.requests_seen.append(line)
        if found[1] == b"POST":
            for packet in self._generation.decode_payload(data[found.end() : end], Limits()):
                self._packet(packet.type, packet.data)
        return data[end:]

    def _frame(self, data: bytes) -> bytes | None:
        """Take one frame off; None while it isn't whole."""
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        wide = {126: 2, 127: 8}.get(size, 0)
        if wide:
            size, at = int.from_bytes(data[2 : 2 + wide], "big"), 2 + wide
        if len(data) < at + 4 + size:
            return None
        mask, at = data[at : at + 4], at + 4
        payload = bytes(byte ^ mask[i & 3] for i, byte in enumerate(data[at : at + size]))
        kind = data[0] & 0x0F
        if kind in (1, 2):
            packet = self._generation.decode_frame(payload.decode() if kind == 1 else payload)
            self._packet(packet.type, packet.data)
        return data[at + size :]

    def _packet(self, kind: int, data: Any) -> None:
        if kind == 4:
            self.messages.append(self._shown(data))
        elif kind in (5, 1) or data == "probe":  # heartbeats come when they are due
            self.controls.append(f"{int(kind)}{data}")

    def _shown(self, data: Any) -> str:
        if isinstance(data, bytes):
            try:
                data = json.dumps(msgpack.unpackb(data, ext_hook=lambda *_: None), sort_keys=True)
            except Exception:  # noqa: BLE001  # an attachment
                return f"bytes {data.hex()}"
        return re.sub(r'"pid": ?"[^"]*"', '"pid":"*"', re.sub(r'"offset": ?"[^"]*"', '"offset":"*"', data))


def official(case: dict[str, Any], url: str) -> None:
    """Let the JavaScript client do it."""
    argv = [
        "node",
        "--no-deprecation",
        str(TESTS / "servers" / "client.js"),
        "--lib",
        case["lib"],
        "--url",
        url,
    ]
    argv += ["--namespace", case["namespace"], "--transports", ",".join(case["transports"])]
    argv += ["--script", json.dumps(case["script"])]
    if case.get("auth"):
        argv += ["--auth", json.dumps(case["auth"])]
    if case.get("query"):
        argv += ["--query", case["query"]]
    if case.get("msgpack"):
        argv.append("--msgpack")
    subprocess.run(argv, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)


fleet = Fleet()  # one for all: what a server does with idle connections is learnt by it


def ours(case: dict[str, Any], url: str) -> None:
    """Let our client do the same."""
    options = {
        "version": case["version"],
        "transports": case["transports"],
        "query": case.get("query", ""),
        "parser": "msgpack" if case.get("msgpack") else "json",
        "reconnection": False,
    }
    namespace = case["namespace"]
    sio = SocketIOClient(fleet, options, url=url)
    sio.on("question", lambda *args: args, namespace=namespace)
    came: list[str] = []
    for event in ("tick", "broadcast", "echo", "answered", "utf", "connect_error", "error", "disconnect"):
        sio.on(event, lambda *_, event=event: came.append(event), namespace=namespace)
    try:
        sio.connect(namespaces=[namespace], auth=case.get("auth"))
    except SioloadError:
        sio.close_quietly()
        return
    for verb, what, *args in case["script"]:
        if verb == "call":
            sio.call(what, tuple(args), namespace=namespace)
        elif verb == "emit":
            sio.emit(what, tuple(args), namespace=namespace)
        elif verb == "wait":
            while what not in came:
                gevent.sleep(0.01)
        elif verb == "sleep":
            gevent.sleep(what / 1000)
    while sio._manager.pending:  # the official client takes an upgrade to its end before it leaves
        gevent.sleep(0.01)
    sio.disconnect()


def learn(case: dict[str, Any], url: str) -> None:
    """Talk until it is known that no connection is kept: before, a POST can meet the end of its own.

    A session that goes on over a websocket may not have come to know it: that takes a second POST.
    """
    talk = {**case, "transports": ["polling"], "script": [("call", "echo", 1)] * 5}
    while True:
        with contextlib.suppress(SioloadError):
            ours(talk, url)
        [known] = [of for (_, _, port), of in fleet.idling.items() if url.endswith(f":{port}")]
        if not known.seconds:
            return


def record(case: dict[str, Any], do: Any) -> dict[str, list[str]]:
    """What one client sent."""
    generation = {1: V1, 2: V2}.get(case["version"], V4)
    wire = Recorder(int(case["url"].rpartition(":")[2]), generation)
    try:
        with gevent.Timeout(PATIENCE):
            if do is ours and "closes" in case["front"]:
                learn(case, wire.url)
                gevent.sleep(0.1)
                for seen in (wire.requests_seen, wire.messages, wire.controls):
                    seen.clear()
            do(case, wire.url)
            gevent.sleep(0.1)
    finally:
        wire.close()
    return {"requests": wire.requests_seen, "messages": wire.messages, "controls": wire.controls}


for given in json.loads(sys.argv[1]):
    print(
        json.dumps({"name": given["name"], "official": record(given, official), "ours": record(given, ours)}),
        flush=True,
    )
