"""Addresses to streams: connecting each in turn, from a local address, through a proxy, and into TLS.

Nothing here blocks the hub; each step reports through callbacks in it.
"""

from __future__ import annotations

import _socket
import errno
import os
import ssl
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gevent.hub import get_hub
from mypy_extensions import mypyc_attr

from sioload.errors import NO_DESCRIPTORS, NO_PORTS, ConnectError, End, OptionError, Stage
from sioload.measure.rows import Row
from sioload.net.guard import guarded
from sioload.net.resolve import Address
from sioload.net.slow import SlowStream, SlowTLSStream, narrow
from sioload.net.stream import WRITE, Stream, close
from sioload.net.tls import Place, Tickets, TLSStream
from sioload.net.tunnel import Proxy, Tunnel
from sioload.options import Options

if TYPE_CHECKING:
    from sioload.net.deadlines import Timer
    from sioload.net.fleet import Fleet

#: How long one address may take while others are left, in seconds.
ONE_ADDRESS = 1.0

#: What a new socket is: constants of a module cost look-ups.
KIND: Final = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
TCP: Final = _socket.IPPROTO_TCP
NODELAY: Final = _socket.TCP_NODELAY

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect, so ports are shared by destinations


@mypyc_attr(allow_interpreted_subclasses=True)
class Dialler:
    """One attempt to get a stream: resolve, connect (each address in turn), a proxy's tunnel, TLS.

    Calls `done(stream)` or `failed(stage, reason)` in the hub, exactly once, unless `cancel` comes first. The
    stream's owner is the dialler until `done`, which must set its own.
    """

    __slots__ = ("_addresses", "_at", "_deadline", "_done", "_failed", "_fleet", "_options", "_owner",
                 "_proxy", "_reason", "_server", "_sock", "_started", "_stream", "_tickets", "_tls",
                 "_tunnel", "_waited_for", "_watcher")  # fmt: skip

    def __init__(
        self,
        fleet: Fleet,
        host: str,
        port: int,
        options: Options,
        tls: bool,
        done: Callable[[Stream], None],
        failed: Callable[[Stage, str], None],
        owner: object = None,
        proxy: Proxy | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        """`owner` is the user, if there is one; `tickets` are the client's."""
        self._fleet = fleet
        self._owner = owner
        self._server = (host, port)
        self._proxy = proxy
        self._tickets = tickets
        self._at = self._server if proxy is None else (proxy.endpoint.host, proxy.endpoint.port)
        self._tunnel: Tunnel | None = None
        self._options = options
        self._tls = tls
        self._done = done
        self._failed = failed
        self._addresses: Iterator[tuple[Address, bool]] = iter(())
        self._sock: _socket.socket | None = None
        self._watcher: Any = None
        self._stream: Stream | None = None
        self._deadline: Timer | None = None
        self._reason = "no address"
        self._waited_for: Address | None = None
        self._started = perf_counter()
        host, port = self._at
        fleet.resolver.resolve(host, port, self._resolved)

    def cancel(self, failure: str = "") -> None:
        """Stop; nothing is called any more. `failure` says what became of the dialling, if that counts."""
        if failure and self._failed is not _ignore:
            self._fail("dial" if self._stream is None else "tls", failure)
        self._done = self._failed = _ignore
        self._addresses = iter(())
        self._drop()
        for held in (self._stream, self._tunnel):
            if held is not None:
                held.close()

    def _drop(self) -> None:
        self._fleet.deadlines.cancel(self._deadline)
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._sock is not None:
            close(self._sock)
            self._sock = None

    def _resolved(self, addresses: list[Address], reason: str | None) -> None:
        guarded(self.on_crash, self._try, addresses, reason)  # others may wait for the same name

    def _try(self, addresses: list[Address], reason: str | None) -> None:
        if self._failed is _ignore:
            return
        if reason is not None:
            self._give_up("dial", reason)
            return
        last = len(addresses) - 1
        self._addresses = iter([(a, i == last) for i, a in enumerate(addresses)])
        self._next()

    def _next(self) -> None:
        for address, last in self._addresses:
            try:
                sock = self._sock = _socket.socket(address.family, KIND)
                self._waited_for = address
                sock.setsockopt(TCP, NODELAY, 1)
                if self._options.read_rate is not None:
                    narrow(sock)
                self._bind(sock, address.family)
                code = sock.connect_ex(address.sockaddr)
                if code == errno.EINPROGRESS:  # which is over at once where the server is on this machine
                    code = sock.connect_ex(address.sockaddr)
                if code not in (0, errno.EALREADY):
                    raise OSError(code, os.strerror(code))
            except OSError as error:
                self._reason = _dial_reason(error)
                self._drop()
                continue
            if not last:
                self._deadline = self._fleet.deadlines.at(perf_counter() + ONE_ADDRESS, self._too_slow)
            loop = get_hub().loop
            if code:
                self._watcher = loop.io(sock.fileno(), WRITE)
                self._watcher.start(self._writable)
            else:
                self._watcher = loop.run_callback(self._writable)
            return
        self._give_up("dial", self._reason)

    def _bind(self, sock: _socket.socket, family: int) -> None:
        six, sources = family == _socket.AF_INET6, self._options.source_addresses
        if not sources:
            return
        source = next((address for address in sources if (":" in address) == six), None)
        if source is None:
            kind = "IPv6" if six else "IPv4"
            raise OSError(errno.EINVAL, f"none of source_addresses is {kind}, as the server's address is")
        sock.setsockopt(_socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            sock.bind((source, 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            remedy = "ip addr add, or correct source_addresses"  # a port isn't taken before the connect
            said = f"source address {source} is none of this machine's ({remedy})"
            raise OSError(errno.EINVAL, said) from None

    def _too_slow(self, now: float) -> None:
        self._reason = "timed out"
        self._drop()
        guarded(self.on_crash, self._next)

    def _writable(self) -> None:
        guarded(self.on_crash, self._connected)

    def _connected(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code:
            self._reason = _dial_reason(OSError(code, os.strerror(code)))
            self._drop()
            self._next()
            return
        self._sock = None
        self._drop()
        if self._waited_for is not None:
            host, port = self._at
            self._fleet.resolver.prefer(host, port, self._waited_for)
        if self._proxy is None or not self._proxy.target:
            self._reached(sock)
            return
        self._tunnel = Tunnel(self._proxy, self._through, self._barred)
        self._tunnel.begin(Stream(sock, self._tunnel, self._fleet.recorder))

    def _through(self) -> None:
        """The proxy has made the tunnel."""
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None and tunnel.stream is not None:
            self._reached(tunnel.stream.release())

    def _barred(self, reason: str) -> None:
        self._tunnel = None
        self._give_up("dial", reason)

    def _reached(self, sock: _socket.socket) -> None:
        """Connected with the server."""
        now = perf_counter()
        self._row("tcp").add(now - self._started)
        self._started = now
        try:
            self._stream = self._wrap(sock)
        except (OptionError, ssl.SSLError, ValueError) as error:
            close(sock)
            self._give_up("tls", str(error))
            return
        except BaseException:
            close(sock)
            raise
        if isinstance(self._stream, TLSStream):
            self._stream.shake()
        else:
            self._finish()

    def _wrap(self, sock: _socket.socket) -> Stream:
        meter, rate, deadlines = self._fleet.recorder, self._options.read_rate, self._fleet.deadlines
        if not self._tls:
            if rate is not None:
                return SlowStream(sock, self, meter, deadlines, rate)
            return Stream(sock, self, meter)
        place = self._place()
        context, name, *_ = place
        session = None if self._tickets is None else self._tickets.session(place)
        if rate is not None:
            return SlowTLSStream(sock, self, meter, deadlines, rate, context, name, session)
        return TLSStream(sock, self, meter, context, name, session)

    def _place(self) -> Place:
        """With whom TLS is spoken, and how."""
        host, port = self._server
        return self._fleet.tls_context(self._options), self._options.server_hostname or host, host, port

    def _finish(self) -> None:
        """Hand the stream over."""
        stream, self._stream = self._stream, None
        assert stream is not None
        try:
            self._done(stream)
        except BaseException as error:  # noqa: BLE001 - a hub callback never raises
            stream.close()
            self.on_crash(error)
        else:
            self._done = self._failed = _ignore  # which may hold this dialler

    def _give_up(self, stage: Stage, reason: str) -> None:
        if self._proxy is not None and stage == "dial":
            reason = f"{self._proxy.name}: {reason}"
        self._fail(stage, reason)
        # Later, because an attempt may fail while its starter still sets it up.
        get_hub().loop.run_callback(self._report, stage, reason)

    def _fail(self, stage: Stage, reason: str) -> None:
        error = ConnectError(stage, reason)
        row = self._row("tls" if stage == "tls" else "tcp", error)
        row.fail(reason, perf_counter() - self._started, kind=error.kind)

    def _row(self, name: str, error: Exception | None = None) -> Row:
        row = self._fleet.recorder.row_of(self._owner, "DIAL", name)
        row.note(self._owner, 0, error)
        return row

    def _report(self, stage: Stage, reason: str) -> None:
        failed = self._failed
        self._done = self._failed = _ignore
        guarded(self._fleet.crashed, failed, stage, reason)

    # The owner of a TLS stream while it shakes hands.

    def on_secure(self) -> None:
        self._row("tls").add(perf_counter() - self._started)
        if self._tickets is not None and isinstance(self._stream, TLSStream):
            self._tickets.keep(self._place(), self._stream.tls)
        self._finish()

    def on_lost(self, end: End) -> None:
        self._give_up("tls", end.detail)

    def on_data(self, data: bytes) -> None:
        self._give_up("tls", "data before the handshake was complete")

    def on_drained(self) -> None:
        pass

    def on_crash(self, error: BaseException) -> None:
        self._fleet.crashed(error)
        self._drop()
        if self._stream is not None:
            self._stream.close()
        self._give_up("dial", "internal error")


def _ignore(*_: object) -> None:
    pass


def _dial_reason(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return NO_DESCRIPTORS
    if error.errno == errno.EADDRNOTAVAIL:
        return NO_PORTS
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
