"""A Socket.IO server whose behaviour is known to the microsecond, to hold reported figures against.

    python server.py [--port 0] [--log FILE] [--stall AFTER --for SECONDS]

It prints `listening PORT`. Websocket only, Engine.IO 4, one thread, one selector, no library: what it
measures and counts is what happened on its sockets. Events:

- `delay` [seconds]: acked after that long, with the seconds it measured itself between receiving and acking.
- `work` [text]: the text is in the log file before it is acked. `--stall` holds up the whole server once, so
  many seconds after the first `work`.
- `subscribe` [who]: pushes `news` {"n"} from the number that is due by then, see `Stream`.
- any other event is acked at once.

GET /counts tells what it received and acked, when it acked each `work` (by its text), the numbers it pushed
to whom, and from when to when it really stalled; times are seconds of `perf_counter`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import heapq
import json
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

OPEN = '0{"sid":"%d","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
RATE, NUMBERS = 200, 800
BREAK = -1


class Connection:
    """One socket: HTTP first, a websocket from its handshake on."""

    def __init__(self, server: Server, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self.taken = b""
        self.given = b""
        self.upgraded = self.ending = False

    def readable(self) -> None:
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.perf_counter()
        if not data:
            self.close()
            return
        self.taken += data
        if not self.upgraded:
            self.handshake()
        while self.upgraded and (text := self.frame()) is not None:
            self.message(text, now)

    def handshake(self) -> None:
        head, end, rest = self.taken.partition(b"\r\n\r\n")
        if not end:
            return
        self.taken = rest
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        if "sec-websocket-key" not in headers:
            body = json.dumps(self.server.counts()).encode()
            self.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
            )
            self.end()
            return
        accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + GUID).digest())
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.upgraded = True
        self.send(OPEN % self.number)
        self.ping()

    def ping(self) -> None:
        if self.sock.fileno() >= 0:
            self.server.at(time.perf_counter() + 25, self.ping)
            if self.upgraded:
                self.send("2")

    def frame(self) -> str | None:
        """The next whole text frame; control frames are taken in on the way (RFC 6455, section 5.2)."""
        while len(self.taken) >= 6:
            opcode, size, start = self.taken[0] & 15, self.taken[1] & 127, 2
            if size == 126:
                size, start = int.from_bytes(self.taken[2:4]), 4
            end = start + 4 + size
            if len(self.taken) < end:
                return None
            mask, body = self.taken[start : start + 4], self.taken[start + 4 : end]
            self.taken = self.taken[end:]
            body = bytes(b ^ mask[i & 3] for i, b in enumerate(body))
            if opcode == 1:
                return body.decode()
            if opcode == 8:
                self.close()
                return None
        return None

    def message(self, text: str, now: float) -> None:
        if text == "40":
            self.send(f'40{{"sid":"{self.number}"}}')
        elif text == "41":
            self.close()
        elif text.startswith("42"):
            packet, _, rest = text.partition("[")
            event, *args = json.loads("[" + rest)
            self.server.received[event] += 1
            self.event(event, args, packet[2:], now)

    def event(self, event: str, args: list[Any], id: str, now: float) -> None:
        if event == "delay" and args[0] > 0:
            self.server.at(now + args[0], lambda: self.ack(event, id, time.perf_counter() - now))
            return
        if event == "work":
            self.server.work(str(args[0]))
        elif event == "subscribe":
            self.server.stream.join(self, str(args[0]))
        self.ack(event, id, time.perf_counter() - now)
        if event == "work":
            self.server.worked.setdefault(str(args[0]), []).append(time.perf_counter())

    def ack(self, event: str, id: str, value: float) -> None:
        if id and self.sock.fileno() >= 0:
            self.server.acked[event] += 1
            self.send(f"43{id}[{value:.7f}]")

    def send(self, text: str) -> None:
        body = text.encode()
        size = bytes([len(body)]) if len(body) < 126 else b"\x7e" + len(body).to_bytes(2)
        self.write(b"\x81" + size + body)

    def write(self, data: bytes) -> None:
        self.given += data
        self.writable()

    def writable(self) -> None:
        try:
            sent = self.sock.send(self.given) if self.given else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self.given = self.given[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.given else 0)
        self.server.selector.modify(self.sock, events, self)
        if self.ending and not self.given:
            self.end()

    def end(self) -> None:
        """Say no more; what was written arrives first."""
        self.ending = True
        if not self.given:
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.server.stream.leave(self)
            self.server.selector.unregister(self.sock)
            self.sock.close()


class Stream:
    """Numbers pushed on a known plan: some left out, some sent twice, some in the wrong order.

    Every so often the connections of some receivers are cut. `sent` holds what was written to whom, in order,
    with `BREAK` wherever a receiver's connection ended.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.n = 0
        self.sent: dict[str, list[int]] = {}
        self.receivers: dict[Connection, str] = {}

    def join(self, connection: Connection, who: str) -> None:
        if not self.sent:
            self.server.at(time.perf_counter(), self.push)
        self.sent.setdefault(who, [])
        self.receivers[connection] = who

    def leave(self, connection: Connection) -> None:
        who = self.receivers.pop(connection, None)
        if who is not None and self.sent[who][-1:] != [BREAK]:
            self.sent[who].append(BREAK)

    def push(self) -> None:
        plan = {7: (), 13: (0, 0), 23: (1,), 24: (-1,), 31: (0, -5), 36: (), 37: ()}
        for step in plan.get(self.n % 40, (0,)):
            for connection, who in list(self.receivers.items()):
                self.sent[who].append(self.n + step)
                connection.send(f'42["news",{{"n":{self.n + step}}}]')
        if self.n % 200 == 150:
            for connection, who in list(self.receivers.items()):
                if int(who) % 3 == 0:
                    self.leave(connection)
                    connection.end()
        self.n += 1
        if self.n < NUMBERS:
            self.server.at(time.perf_counter() + 1 / RATE, self.push)


class Server:
    """The loop: sockets, timers, counts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.selector = selectors.DefaultSelector()
        self.received: Counter[str] = Counter()
        self.acked: Counter[str] = Counter()
        self.worked: dict[str, list[float]] = {}
        self.stalled = 0.0, 0.0
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = count()
        self.stream = Stream(self)
        self.log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if options.log else None
        self.listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, None)

    def at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (when, next(self.serial), call))

    def work(self, text: str) -> None:
        if self.received["work"] == 1 and self.options.stall is not None:
            self.at(time.perf_counter() + self.options.stall, self.stall)
        if self.log is not None:
            os.write(self.log, f"{text}\n".encode())

    def stall(self) -> None:
        begun = time.perf_counter()
        time.sleep(self.options.duration)
        self.stalled = begun, time.perf_counter()

    def counts(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "acked": self.acked,
            "worked": self.worked,
            "sent": self.stream.sent,
            "stalled": self.stalled,
        }

    def run(self) -> None:
        print(f"listening {self.listener.getsockname()[1]}", flush=True)
        while True:
            wait = self.timers[0][0] - time.perf_counter() if self.timers else None
            for key, events in self.selector.select(None if wait is None else max(0.0, wait)):
                if key.data is None:
                    self.accept()
                    continue
                if events & selectors.EVENT_WRITE:
                    key.data.writable()
                if events & selectors.EVENT_READ and key.fileobj.fileno() >= 0:
                    key.data.readable()
            while self.timers and self.timers[0][0] <= time.perf_counter():
                heapq.heappop(self.timers)[2]()

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(sock, selectors.EVENT_READ, Connection(self, sock, next(self.serial)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--stall", type=float)
    parser.add_argument("--for", type=float, dest="duration")
    Server(parser.parse_args()).run()
