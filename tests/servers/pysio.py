"""python-socketio on gevent, with the events of `server.js`. Runs with python-socketio 4 (Engine.IO 3) and 5.

    python pysio.py [--port 0] [--ping-interval ms] [--ping-timeout ms] [--transports polling,websocket]
        [--max-payload bytes] [--cookie] [--msgpack]

It prints `listening PORT`. Namespaces: `/` (refused with the query deny=1), `/chat` (open) and `/private`
(wants token=secret in the auth payload or the query). HTTP: GET /health, GET /counts, GET /requests, POST
/reset, POST /login. Acks are the library's own, whatever it does with events that have no handler.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
from collections import Counter, defaultdict  # noqa: E402
from typing import Any  # noqa: E402
from urllib.parse import parse_qsl  # noqa: E402

import engineio  # noqa: E402
import gevent  # noqa: E402
import socketio  # noqa: E402
from gevent.local import local  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

MAJOR = 5 if hasattr(socketio.Server, "reason") else 4
NAMESPACES = ("/", "/chat", "/private")
TEXT = "€😀é"
REQUESTS_KEPT = 2000
NEVER = 3600.0  # seconds
TABLES = ("received", "acks", "sent", "reasons")

counts: dict[str, dict[str, Any]] = {}
requests: list[dict[str, Any]] = []
members: dict[str, dict[str, set[str]]] = {nsp: {} for nsp in NAMESPACES}  # sid -> rooms
auths: dict[tuple[str, str], Any] = {}
tickers: dict[str, Any] = {}
ticked: Counter[str] = Counter()
carriers: dict[str, socket.socket] = {}  # Engine.IO sid -> the TCP connection of its waiting GET
upgraded: dict[str, socket.socket] = {}  # Engine.IO sid -> that of its websocket, if polling came before
cutting: set[str] = set()  # Engine.IO sids whose next GET is to be cut
asked = local()


def reset() -> None:
    """Count from zero."""
    counts.update({table: defaultdict(Counter) for table in TABLES})
    counts.update({table: dict.fromkeys(NAMESPACES, 0) for table in ("connects", "refused", "disconnects")})
    requests.clear()


class Server(socketio.Server):
    """Counts, and tells a handler whether an ack was asked for."""

    def _handle_event_internal(self, server: Any, sid: str, *rest: Any) -> None:
        data, nsp, ack = rest[-3:]
        counts["received"][nsp or "/"][data[0]] += 1
        asked.ack = ack is not None
        super()._handle_event_internal(server, sid, *rest)


def settings() -> dict[str, Any]:
    """The options of the command line as python-socketio's."""
    given: dict[str, Any] = {"async_mode": "gevent", "logger": quiet, "engineio_logger": quiet}
    if options.ping_interval:
        given["ping_interval"] = options.ping_interval / 1000
    if options.ping_timeout:
        given["ping_timeout"] = options.ping_timeout / 1000
    if options.max_payload:
        given["max_http_buffer_size"] = options.max_payload
    if options.transports:
        given["transports"] = options.transports.split(",")
    if options.msgpack:
        given["serializer"] = "msgpack"
    if MAJOR == 4:
        given["cookie"] = "io" if options.cookie else None
    elif options.cookie:
        given["cookie"] = "io"
    return given


def engine_sid(sid: str, nsp: str) -> str:
    """The Engine.IO session of a client of one namespace."""
    return sid if MAJOR == 4 else io.manager.eio_sid_from_sid(sid, nsp)


def query_of(environ: dict[str, Any]) -> dict[str, str]:
    """The query of a request."""
    return dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))


def headers_of(environ: dict[str, Any]) -> dict[str, str]:
    """The headers of a request, in Node's spelling."""
    return {
        key[5:].lower().replace("_", "-"): value for key, value in environ.items() if key.startswith("HTTP_")
    }


def push(nsp: str, sid: str, name: str, *args: Any, callback: Any = None) -> None:
    """Emit to one client."""
    counts["sent"][nsp][name] += 1
    io.emit(name, args, room=sid, namespace=nsp, callback=callback)


def shout(nsp: str, room: str | None, name: str, *args: Any) -> int:
    """Emit to a namespace or to a room of it; to how many."""
    receivers = sum(room is None or room in rooms for rooms in members[nsp].values())
    counts["sent"][nsp][name] += receivers
    io.emit(name, args, room=room, namespace=nsp)
    return receivers


def named(value: Any) -> Any:
    """The room that an argument names."""
    return value.get("room") if isinstance(value, dict) else value


class Events:
    """The events: each gets its namespace, the client's sid and the arguments; what it returns is acked."""

    @staticmethod
    def echo(nsp: str, sid: str, *args: Any) -> Any:
        if asked.ack:
            return args
        push(nsp, sid, "echo", *args)

    @staticmethod
    def binary(nsp: str, sid: str, *args: Any) -> Any:
        if asked.ack:
            return args
        push(nsp, sid, "binary", *args)

    @staticmethod
    def utf(nsp: str, sid: str, *args: Any) -> Any:
        if asked.ack:
            return TEXT
        push(nsp, sid, "utf", TEXT)

    @staticmethod
    def handshake(nsp: str, sid: str, *args: Any) -> Any:
        environ = io.environ[engine_sid(sid, nsp)]
        headers = headers_of(environ)
        saw = {
            "query": query_of(environ),
            "auth": auths.get((nsp, sid)),
            "url": f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}",
            "headers": headers,
            "authorization": headers.get("authorization"),
            "cookie": headers.get("cookie"),
            "transport": io.eio.transport(engine_sid(sid, nsp)),
            "recovered": False,
        }
        if asked.ack:
            return saw
        push(nsp, sid, "handshake", saw)

    @staticmethod
    def noargs(nsp: str, sid: str, *args: Any) -> Any:
        return ()

    @staticmethod
    def three(nsp: str, sid: str, *args: Any) -> Any:
        return len(args), list(args)

    @staticmethod
    def silent(nsp: str, sid: str, *args: Any) -> Any:
        gevent.sleep(NEVER)

    @staticmethod
    def message(nsp: str, sid: str, *args: Any) -> Any:
        room = args[0].get("room") if args and isinstance(args[0], dict) else None
        shout(nsp, room, "message", *args)
        return {"ok": True}

    @staticmethod
    def delay(nsp: str, sid: str, seconds: float) -> Any:
        begun = time.perf_counter()
        gevent.sleep(seconds)
        return time.perf_counter() - begun

    @staticmethod
    def ask(nsp: str, sid: str, *args: Any) -> Any:
        push(nsp, sid, "question", *args, callback=lambda *came: push(nsp, sid, "answered", list(came)))
        return ()

    @staticmethod
    def broadcast(nsp: str, sid: str, *args: Any) -> Any:
        return shout(nsp, None, "broadcast", *args)

    @staticmethod
    def burst(nsp: str, sid: str, n: int) -> Any:
        for i in range(min(n, 100_000)):
            push(nsp, sid, "burst", i)
        return n

    @staticmethod
    def tick(nsp: str, sid: str, rate: float) -> Any:
        return start_ticking(nsp, sid, "tick", rate)

    @staticmethod
    def subscribe(nsp: str, sid: str, wanted: Any) -> Any:
        return start_ticking(nsp, sid, "news", wanted["rate"] if isinstance(wanted, dict) else wanted)

    @staticmethod
    def join(nsp: str, sid: str, room: Any) -> Any:
        io.enter_room(sid, named(room), namespace=nsp)
        members[nsp][sid].add(named(room))
        return {"ok": True, "room": named(room)}

    @staticmethod
    def leave(nsp: str, sid: str, room: Any) -> Any:
        io.leave_room(sid, named(room), namespace=nsp)
        members[nsp][sid].discard(named(room))
        return {"ok": True, "room": named(room)}

    @staticmethod
    def kick(nsp: str, sid: str, *args: Any) -> Any:
        io.disconnect(sid, namespace=nsp)

    @staticmethod
    def close(nsp: str, sid: str, *args: Any) -> Any:
        io.eio.disconnect(engine_sid(sid, nsp))

    @staticmethod
    def cut(nsp: str, sid: str, *args: Any) -> Any:
        eio_sid = engine_sid(sid, nsp)
        if io.eio.transport(eio_sid) == "websocket":
            carrier = upgraded.get(eio_sid) or io.environ[eio_sid]["test.socket"]
            carrier.shutdown(socket.SHUT_RDWR)
        elif eio_sid in carriers:
            carriers[eio_sid].shutdown(socket.SHUT_RDWR)
        else:
            cutting.add(eio_sid)

    @staticmethod
    def mute(nsp: str, sid: str, *args: Any) -> Any:
        session = io.eio.sockets[engine_sid(sid, nsp)]
        send = session.send
        beats = (engineio.packet.PING, engineio.packet.PONG)
        session.send = lambda packet: None if packet.packet_type in beats else send(packet)
        return ()

    # What Locust's own example of a Socket.IO user emits and expects.

    @staticmethod
    def join_room(nsp: str, sid: str, data: Any) -> Any:
        Events.join(nsp, sid, data)
        shout(nsp, data["room"], "room_joined", data["room"])
        return f"Joined room {data['room']}"

    @staticmethod
    def leave_room(nsp: str, sid: str, data: Any) -> Any:
        Events.leave(nsp, sid, data)
        return f"Left room {data['room']}"

    @staticmethod
    def send_message(nsp: str, sid: str, data: Any) -> Any:
        shout(nsp, data["room"], "chat_message", data["room"], data["message"])
        return ()


def start_ticking(nsp: str, sid: str, name: str, rate: float) -> Any:
    """Push `{"n", "sent"}` so many times a second; 0 stops."""

    def run() -> None:
        while sid in members[nsp]:
            push(nsp, sid, name, {"n": ticked[sid], "sent": time.time()})
            ticked[sid] += 1
            gevent.sleep(1 / rate)

    if sid in tickers:
        tickers.pop(sid).kill(block=False)
    if rate > 0:
        tickers[sid] = gevent.spawn_later(1 / rate, run)
    return {"ok": True, "rate": rate}


def register(nsp: str) -> None:
    """Connect one namespace to the events."""

    def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        query = query_of(environ)
        auth = auth if isinstance(auth, dict) else None  # msgpack clients send "undefined"
        token = (auth or {}).get("token") or query.get("token")
        if (nsp == "/private" and token != "secret") or (nsp == "/" and query.get("deny") == "1"):
            counts["refused"][nsp] += 1
            raise socketio.exceptions.ConnectionRefusedError("not authorized", {"code": 401})
        counts["connects"][nsp] += 1
        members[nsp][sid] = set()
        auths[nsp, sid] = auth

    def disconnect(sid: str, *reason: str) -> None:
        if members[nsp].pop(sid, None) is None:
            return
        auths.pop((nsp, sid), None)
        counts["disconnects"][nsp] += 1
        counts["reasons"][nsp][reason[0] if reason else "unknown"] += 1

    def heard(name: str) -> Any:
        handler = getattr(Events, name)

        def handle(sid: str, *args: Any) -> Any:
            ack = asked.ack
            answer = handler(nsp, sid, *args)
            if ack:
                counts["acks"][nsp][name] += 1
            return answer

        return handle

    io.on("connect", connect, namespace=nsp)
    io.on("disconnect", disconnect, namespace=nsp)
    for name in vars(Events):
        if not name.startswith("_"):
            io.on(name, heard(name), namespace=nsp)


class Handler(WebSocketHandler):
    """Hands the TCP connection to the application, which may cut it."""

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "test.socket": self.socket}


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """Socket.IO under `/socket.io/`, and the routes of the tests."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path.startswith("/socket.io/"):
        sid = query_of(environ).get("sid")
        if len(requests) < REQUESTS_KEPT:
            url = f"{path}?{environ.get('QUERY_STRING', '')}"
            requests.append(
                {"method": method, "url": url, "headers": headers_of(environ), "at": time.time() * 1000}
            )
        if method == "POST" or not sid:
            return io.handle_request(environ, start_response)
        table = upgraded if "HTTP_UPGRADE" in environ else carriers
        table[sid] = environ["test.socket"]
        if sid in cutting:
            cutting.discard(sid)
            table[sid].shutdown(socket.SHUT_RDWR)
        try:
            return io.handle_request(environ, start_response)
        finally:
            table.pop(sid, None)
    routes = {
        ("GET", "/"): {"ok": True},
        ("GET", "/health"): {"ok": True, "lib": f"pysio{MAJOR}"},
        ("GET", "/counts"): counts,
        ("GET", "/requests"): requests,
        ("POST", "/reset"): {"ok": True},
        ("POST", "/login"): {"ok": True, "token": "secret"},
    }
    found = routes.get((method, path))
    body = json.dumps(found).encode()
    if (method, path) == ("POST", "/reset"):
        reset()
    headers = [("Content-Type", "application/json")]
    if (method, path) == ("POST", "/login"):
        headers.append(("Set-Cookie", "session=1; Path=/; HttpOnly"))
    start_response("404 Not Found" if found is None else "200 OK", headers)
    return [body]


parser = argparse.ArgumentParser()
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--ping-interval", type=int, help="milliseconds; whole seconds with python-socketio 5")
parser.add_argument("--ping-timeout", type=int, help="milliseconds")
parser.add_argument("--transports")
parser.add_argument("--max-payload", type=int)
parser.add_argument("--cookie", action="store_true")
parser.add_argument("--msgpack", action="store_true")
options = parser.parse_args()
quiet = logging.getLogger("pysio")
quiet.addFilter(lambda record: record.exc_info is not None)
reset()
io = Server(**settings())
for namespace in NAMESPACES:
    register(namespace)
server = WSGIServer((options.host, options.port), app, backlog=1024, log=None, handler_class=Handler)
server.logger = quiet
server.start()
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
