"""The embedded target: python-socketio on gevent pywsgi with gevent-websocket.

Namespaces `/` and `/chat`; `/chat` is refused unless the auth payload says `{"token": "secret"}`. Every event
takes an ack; answers that say what was wrong look like `{"ok": false, "error": ...}`.
"""

from __future__ import annotations

import json
import logging
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import gevent
import socketio
from gevent.pywsgi import WSGIServer
from socketio import packet as sio_packet
from socketio.exceptions import ConnectionRefusedError as Refusal

from sioload.target.wire import Counts, Engine, Handler, Packet, WebSocket, messages

TOKEN = "secret"
NAMESPACES = ("/", "/chat")
MAX_DELAY = 60.0  # seconds
MAX_RATE = 1000.0  # pushes a second to one subscriber
MAX_LOGIN = 64 << 10  # bytes

log = logging.getLogger("sioload.target")


def _own_fault(record: logging.LogRecord) -> bool:
    """Whether a log record tells of a fault of ours; what clients do, or leave unfinished, is none."""
    return record.exc_info is not None and not isinstance(record.exc_info[1], OSError)


log.addFilter(_own_fault)


class BadArguments(ValueError):
    """A client sent an event with arguments that it can't have."""


class Caller(NamedTuple):
    """Who sent an event, and how it wants to be answered."""

    sid: str
    eio_sid: str
    namespace: str
    event: str
    ack: int | None


class Target(socketio.Server):  # type: ignore[misc]  # python-socketio has no types
    """The Socket.IO part of the target. `counts` says what it received and sent."""

    def __init__(
        self, ping_interval: int, ping_timeout: int, max_payload: int, transports: list[str]
    ) -> None:
        super().__init__(
            async_mode="gevent",
            async_handlers=False,  # in order, and without a greenlet for each event
            serializer=Packet,
            logger=log,
            engineio_logger=log,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_http_buffer_size=max_payload,
            transports=transports,
            http_compression=False,
        )
        self.eio._async = {**self.eio._async, "websocket": WebSocket}
        self.counts = Counts()
        self.news: dict[str, gevent.Greenlet[..., None]] = {}
        self.next_news: dict[str, int] = {}
        for namespace in NAMESPACES:
            self._watch(namespace)

    def _watch(self, namespace: str) -> None:
        def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
            if namespace == "/chat" and (auth or {}).get("token") != TOKEN:
                self.counts.refused[namespace] += 1
                raise Refusal("not authorized", {"code": 401})
            self.counts.connects[namespace] += 1

        def disconnect(sid: str, reason: str) -> None:
            self.counts.disconnects[namespace] += 1
            self._stop_news(sid)
            self.next_news.pop(sid, None)

        self.on("connect", connect, namespace=namespace)
        self.on("disconnect", disconnect, namespace=namespace)

    def sessions(self) -> int:
        """How many Engine.IO sessions are open."""
        return sum(not session.closed for session in self.eio.sockets.values())

    # python-socketio's seams

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        """Take one message; a malformed one ends its session, as Node's servers do."""
        try:
            if not data and eio_sid not in self._binary_packet:
                raise ValueError("an empty message")
            super()._handle_eio_message(eio_sid, data)
        except (ValueError, RecursionError):
            self.counts.malformed += 1
            session = self.eio.sockets.get(eio_sid)
            if session is not None:
                session.close(wait=False)

    def _handle_event_internal(
        self, server: object, sid: str, eio_sid: str, data: list[Any], namespace: str, ack: int | None
    ) -> None:
        """Count and answer one event; python-socketio's own dispatch hides whether an ack was asked for."""
        event, *args = data
        self.counts.received[namespace][event] += 1
        handler = EVENTS.get(event)
        if handler is None:
            return
        caller = Caller(sid, eio_sid, namespace, event, ack)
        try:
            handler(self, caller, *args)
        except BadArguments as error:
            self.answer(caller, {"ok": False, "error": str(error)})

    def answer(self, caller: Caller, *args: Any) -> None:
        """Send the ack, if the caller asked for one and is still here."""
        if caller.ack is not None and self.manager.is_connected(caller.sid, caller.namespace):
            packet = Packet(sio_packet.ACK, data=list(args), namespace=caller.namespace, id=caller.ack)
            self._send([caller.eio_sid], packet, self.counts.acks[caller.namespace], caller.event)

    def push(self, namespace: str, room: str | None, event: str, *args: Any) -> None:
        """Emit to everyone in a room (a sid is one, None is the whole namespace)."""
        packet = Packet(sio_packet.EVENT, data=[event, *args], namespace=namespace)
        receivers = [eio_sid for _, eio_sid in self.manager.get_participants(namespace, room)]
        self._send(receivers, packet, self.counts.sent[namespace], event)

    def _send(self, receivers: Iterable[str], packet: Packet, counter: Any, name: str) -> None:
        parts = messages(packet, counter, name)
        for eio_sid in receivers:
            for part in parts:
                self.eio.send_packet(eio_sid, part)

    # events

    def echo(self, caller: Caller, *args: Any) -> None:
        """Acks its arguments, or emits the same event back when no ack was asked for."""
        if caller.ack is None:
            self.push(caller.namespace, caller.sid, caller.event, *args)
        else:
            self.answer(caller, *args)

    def message(self, caller: Caller, *args: Any) -> None:
        """Broadcasts to the namespace, or to the room that its argument names, and acks."""
        room = args[0].get("room") if args and isinstance(args[0], dict) else None
        if room is not None and not isinstance(room, str):
            raise BadArguments("message: a room is a text")
        self.push(caller.namespace, room, "message", *args)
        self.answer(caller, {"ok": True})

    def join(self, caller: Caller, *args: Any) -> None:
        """Puts the caller into a room."""
        room = self._room(caller, args)
        self.enter_room(caller.sid, room, namespace=caller.namespace)
        self.answer(caller, {"ok": True, "room": room})

    def leave(self, caller: Caller, *args: Any) -> None:
        """Takes the caller out of a room."""
        room = self._room(caller, args)
        self.leave_room(caller.sid, room, namespace=caller.namespace)
        self.answer(caller, {"ok": True, "room": room})

    def _room(self, caller: Caller, args: tuple[Any, ...]) -> str:
        room = args[0].get("room") if args and isinstance(args[0], dict) else next(iter(args), None)
        if not isinstance(room, str) or not room or self.manager.is_connected(room, caller.namespace):
            raise BadArguments(f'{caller.event} takes the name of a room, or {{"room": name}}')
        return room

    def delay(self, caller: Caller, *args: Any) -> None:
        """Acks after so many seconds, with the seconds that it measured between event and ack."""
        seconds = self._number(args, MAX_DELAY, "delay takes its seconds")
        begun = time.perf_counter()
        gevent.spawn_later(seconds, lambda: self.answer(caller, time.perf_counter() - begun))

    def subscribe(self, caller: Caller, *args: Any) -> None:
        """Pushes `news` `{"n", "sent"}` to the caller, so many a second; 0 stops it. `n` runs on."""
        asked = (args[0].get("rate"),) if args and isinstance(args[0], dict) else args
        rate = self._number(asked, MAX_RATE, "subscribe takes pushes a second")
        self._stop_news(caller.sid)
        self.answer(caller, {"ok": True, "rate": rate})
        if rate > 0:
            self.news[caller.sid] = gevent.spawn(self._push_news, caller, rate)

    def kick(self, caller: Caller, *args: Any) -> None:
        """Disconnects the caller from its namespace, without an ack."""
        self.disconnect(caller.sid, namespace=caller.namespace)

    @staticmethod
    def _number(args: tuple[Any, ...], most: float, says: str) -> float:
        value = args[0] if args else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
            raise BadArguments(f"{says}, 0 to {most:g}")
        return value

    def _push_news(self, caller: Caller, rate: float) -> None:
        """Push on a fixed schedule: what falls behind is caught up, not stretched."""
        begun = time.perf_counter()
        pushed = 0
        while self.manager.is_connected(caller.sid, caller.namespace):
            n = self.next_news[caller.sid] = self.next_news.get(caller.sid, -1) + 1
            self.push(caller.namespace, caller.sid, "news", {"n": n, "sent": time.time()})
            pushed += 1
            gevent.sleep(max(0.0, begun + pushed / rate - time.perf_counter()))

    def _stop_news(self, sid: str) -> None:
        pushing = self.news.pop(sid, None)
        if pushing is not None:
            pushing.kill(block=False)


EVENTS: dict[str, Callable[..., None]] = {
    "echo": Target.echo,
    "binary": Target.echo,
    "message": Target.message,
    "join": Target.join,
    "leave": Target.leave,
    "delay": Target.delay,
    "subscribe": Target.subscribe,
    "kick": Target.kick,
}


class App:
    """The WSGI application: Socket.IO under `/socket.io/`, and a few plain HTTP routes."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one HTTP request."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path.startswith("/socket.io/"):
            return self.target.handle_request(environ, start_response)
        headers: list[tuple[str, str]] = []
        body: dict[str, Any]
        status = "200 OK"
        match method, path:
            case "GET", "/":
                body = {"server": "sioload target", "namespaces": NAMESPACES, "events": list(EVENTS)}
            case "GET", "/counts":
                body = {**self.target.counts.as_dict(), "sessions": self.target.sessions()}
            case "POST", "/reset":
                self.target.counts.reset()
                body = {"ok": True}
            case "POST", "/login":
                status, body, headers = self._login(environ)
            case _:
                status, body = "404 Not Found", {"ok": False, "error": f"no {method} {path} here"}
        answer = json.dumps(body).encode()
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        start_response(status, headers)
        return [answer]

    def _login(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any], list[tuple[str, str]]]:
        """Take `{"user": name}`; set a session cookie and hand out the token that `/chat` asks for."""
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            asked = json.loads(environ["wsgi.input"].read(length)) if 0 < length <= MAX_LOGIN else None
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("user"), str):
            return "400 Bad Request", {"ok": False, "error": 'login takes {"user": name} as JSON'}, []
        cookie = f"session={secrets.token_hex(8)}; Path=/; HttpOnly; SameSite=Lax"
        return "200 OK", {"ok": True, "user": asked["user"], "token": TOKEN}, [("Set-Cookie", cookie)]


def make(
    host: str = "127.0.0.1",
    port: int = 5000,
    *,
    ping_interval: int = 25,
    ping_timeout: int = 20,
    max_payload: int = 1_000_000,
    transports: Iterable[str] = ("polling", "websocket"),
) -> WSGIServer:
    """The target's server, not started yet; `server.application.target.counts` holds its counts.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one (`server.server_port` after `start()`).
        ping_interval: whole seconds between heartbeats.
        ping_timeout: whole seconds that a heartbeat may stay unanswered.
        max_payload: bytes that one POST or one websocket message may have.
        transports: which of "polling" and "websocket" to offer.

    Raises:
        ValueError: a heartbeat time below 1 s, which the handshake can't tell.
    """
    if ping_interval < 1 or ping_timeout < 1:
        raise ValueError("ping_interval and ping_timeout are whole seconds, 1 or more")
    target = Target(ping_interval, ping_timeout, max_payload, list(transports))
    server = WSGIServer(
        (host, port), App(target), backlog=1024, log=None, error_log=None, handler_class=Handler
    )
    server.logger = log  # type: ignore[attr-defined]  # where gevent-websocket looks for it
    return server


def serve(host: str = "127.0.0.1", port: int = 5000, **opts: Any) -> None:
    """Serve until SIGINT or SIGTERM; prints one line with the address once it listens.

    Args:
        host: as for `make`.
        port: as for `make`.
        **opts: as for `make`.

    Raises:
        OSError: the address can't be bound.
    """
    server = make(host, port, **opts)
    server.start()
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on http://{shown}:{server.server_port}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.stop)
    server.serve_forever()
