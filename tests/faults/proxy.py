"""A proxy that spoils what passes: delay, slices, cut, reset, stall, corruption, limited rate."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What happens to one direction of a connection. Positions count that direction's bytes.

    Attributes:
        delay: seconds that each piece waits.
        slice: bytes of a piece, each of which travels in a segment of its own; 0: as they come.
        rate: bytes a second at most; 0: any.
        cut: after so many bytes the connection ends with FIN.
        reset: after so many bytes it ends with RST.
        stall: after so many bytes nothing passes any more, and nothing is said.
        corrupt: the byte at this position is inverted.
    """

    delay: float = 0.0
    slice: int = 0
    rate: float = 0.0
    cut: int | None = None
    reset: int | None = None
    stall: int | None = None
    corrupt: int | None = None

    @property
    def end(self) -> int | None:
        """Where it is over with forwarding."""
        ends = [at for at in (self.cut, self.reset, self.stall) if at is not None]
        return min(ends) if ends else None


FINE = Fault()


class Proxy:
    """Listens on a port of loopback and forwards to another.

    Attributes:
        port: where it listens.
        up, down: what happens to connections made from now on, to the server and from it.
        half: every other one of them is spared.
        refusing: connections made from now on are reset at once.
        accepted: connections so far.
        harmed: directions of connections that were cut off, reset, or silenced for ever.
        held: directions in which something waits for `resume`.
    """

    def __init__(self, upstream: int, up: Fault = FINE, down: Fault = FINE) -> None:
        self._upstream = upstream
        self.up, self.down = up, down
        self.half = self.refusing = False
        self.accepted = self.harmed = self.held = self._live = 0
        self._stalled = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = self._resetting = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for sock in (self._listener, *self._sockets):
            sock.close()

    def stall(self) -> None:
        """From now on nothing passes on any connection, and no one is told."""
        self._stalled.set()

    def resume(self) -> None:
        """Let pass what was held back, and all that follows."""
        self._stalled.clear()

    def cut(self) -> None:
        """End all connections with FIN."""
        self.harmed += self._live
        self._end(list(self._sockets), reset=False)

    def reset(self) -> None:
        """End all connections with RST."""
        self._resetting = True
        self.harmed += self._live
        self._end(list(self._sockets), reset=True)

    def _spawn(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(client)
            if self.refusing:
                self.harmed += 1
                self._end([client], reset=True)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream), timeout=5)
            except OSError:
                self.harmed += 1
                self._end([client], reset=False)
                continue
            self._sockets.append(server)
            with contextlib.suppress(OSError):  # a reset may have closed them meanwhile
                for sock in (client, server):
                    sock.settimeout(None)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            spared = self.half and self.accepted % 2 == 0
            self._spawn(self._pump, client, server, FINE if spared else self.up)
            self._spawn(self._pump, server, client, FINE if spared else self.down)

    def _pump(self, source: socket.socket, sink: socket.socket, fault: Fault) -> None:
        self._live += 1
        try:
            self._forward(source, sink, fault)
        finally:
            self._live -= 1

    def _forward(self, source: socket.socket, sink: socket.socket, fault: Fault) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if fault.corrupt is not None and passed <= fault.corrupt < passed + len(data):
                    spoilt = bytearray(data)
                    spoilt[fault.corrupt - passed] ^= 0xFF
                    data = bytes(spoilt)
                if fault.end is not None:
                    data = data[: fault.end - passed]
                self._send(sink, data, fault)
                passed += len(data)
                if passed == fault.end:
                    self.harmed += 1
                    if fault.stall is not None:
                        return
                    self._end([sink, source], reset=fault.reset is not None)
                    return
            if not self._resetting:
                sink.shutdown(socket.SHUT_WR)

    def _send(self, sink: socket.socket, data: bytes, fault: Fault) -> None:
        step = fault.slice or (max(1, int(fault.rate / 100)) if fault.rate else len(data) or 1)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            if fault.delay:
                time.sleep(fault.delay)
            if fault.rate:
                time.sleep(len(piece) / fault.rate)
            if self._stalled.is_set():
                self.held += 1
                while self._stalled.is_set():
                    time.sleep(0.02)
                    if self._closed:
                        return
                self.held -= 1
            sink.sendall(piece)

    def _end(self, sockets: Iterable[socket.socket], reset: bool) -> None:
        for sock in sockets:
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
                # Wakes the thread that reads from it, without which closing sends nothing.
                sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            if reset:
                sock.close()
