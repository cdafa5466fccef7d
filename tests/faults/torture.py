"""Each call into the system fails once, in turn, with each error that it can give.

`python tests/faults/torture.py SCENARIO HOST PORT DEPTH [CA]` runs a scenario again and again: as it is, to
learn which calls it makes, then once for each call site and error. What was found is printed, as JSON. A call
site is the function of `sioload.net` that calls, with what it calls; its last call fails, and each of its
first DEPTH ones.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import _socket  # noqa: E402  (gevent must patch first)
import errno  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import ssl  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, get_args  # noqa: E402

import gevent  # noqa: E402
import gevent.hub  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.errors import ConnectError, EmitError, Reason  # noqa: E402
from sioload.net import deadlines, dial, resolve, stream  # noqa: E402
from sioload.net import tls as tls_streams  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402

NET = str(Path(dial.__file__).parent)
PATIENCE = 8.0  # seconds for one run of a scenario
BACKOFF = {"reconnection_delay": 0.02, "reconnection_delay_max": 0.05}
OPTIONS: dict[str, dict[str, Any]] = {
    "websocket": {"transports": ["websocket"]},
    "polling": {"transports": ["polling"]},
    "upgrade": {"transports": ["polling", "websocket"]},
    "tls": {"transports": ["polling", "websocket"]},
}


def system(*names: str) -> list[OSError]:
    return [OSError(getattr(errno, name), os.strerror(getattr(errno, name))) for name in names]


def numbers(*names: str) -> list[int]:
    return [getattr(errno, name) for name in names]


def tls(*reasons: str) -> list[Exception]:
    found: list[Exception] = []
    for reason in reasons:
        error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower()}")
        error.reason = reason
        found.append(error)
    return [
        *found,
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ssl.SSLSyscallError(5, "syscall"),
    ]


NAMES = [
    _socket.gaierror(getattr(_socket, name), name)
    for name in ("EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY", "EAI_SYSTEM")
]
MEMORY: list[Exception] = [MemoryError("out of memory")]

UNREACHABLE = ("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN")
BROKEN = ("ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTCONN")
SCARCE = ("ENOBUFS", "ENOMEM")
AGAIN = ("EAGAIN", "EINTR")

#: What each call can give. A call that isn't here isn't made to fail.
ERRORS: dict[str, list[Any]] = {
    "socket": system("EMFILE", "ENFILE", "EAFNOSUPPORT", "EACCES", *SCARCE),
    "setsockopt": system("ENOPROTOOPT", "EINVAL", *SCARCE),
    "bind": system("EADDRINUSE", "EADDRNOTAVAIL", "EACCES", *SCARCE),
    "connect_ex": numbers(
        "ECONNREFUSED", "EADDRNOTAVAIL", "ETIMEDOUT", "EAGAIN", "EACCES", *UNREACHABLE, *SCARCE
    ),
    "getsockopt": [*numbers("ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", *UNREACHABLE), *system(*SCARCE)],
    "send": system(*BROKEN, *UNREACHABLE, *SCARCE, *AGAIN),
    **{name: [*system(*BROKEN, *UNREACHABLE, *SCARCE, *AGAIN), b""] for name in ("recv", "recv_into")},
    "close": system("EIO", "EINTR"),
    "wrap_bio": [*tls("LIBRARY_BUG"), ValueError("check_hostname requires server_hostname"), *MEMORY],
    "do_handshake": [
        *tls("SSLV3_ALERT_HANDSHAKE_FAILURE", "WRONG_VERSION_NUMBER", "CERTIFICATE_VERIFY_FAILED"),
        *MEMORY,
    ],
    "read": [
        *tls("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "TLSV1_ALERT_INTERNAL_ERROR"),
        ssl.SSLZeroReturnError(6, "closed"),
        *MEMORY,
    ],
    "write": [*tls("BAD_LENGTH", "PROTOCOL_IS_SHUTDOWN"), *MEMORY],
    "getaddrinfo": [*NAMES, UnicodeError("label too long"), *system("EMFILE")],
    "apply": [RuntimeError("can't start new thread"), *MEMORY],
    "io": MEMORY,
    "timer": MEMORY,
    "create_default_context": [*tls("X509_LIB"), FileNotFoundError(2, "No such file or directory")],
}


class Weak:
    """Counts the calls of each site, and makes one of them fail.

    Attributes:
        seen: (site, call) to how often it was called.
        target: site, call, which of its calls, and with what.
        hit: the target was reached.
    """

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], int] = {}
        self.target: tuple[str, str, int, Any] | None = None
        self.hit = False
        self.on = False

    def call(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.on:
            return real(*args, **kwargs)
        site = "resolve.py:Resolver.resolve" if name == "apply" else _site()
        if site is None:
            return real(*args, **kwargs)
        number = self.seen[site, name] = self.seen.get((site, name), 0) + 1
        target = self.target
        if target is None or self.hit or target[:3] != (site, name, number):
            return real(*args, **kwargs)
        self.hit = True
        error = target[3]
        if isinstance(error, BaseException):
            if name == "close":
                real(*args, **kwargs)
            raise error
        return 0 if error == b"" and name == "recv_into" else error  # end of file, or an error number


def _site() -> str | None:
    """The function of `sioload.net` that calls, None for others' calls."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None or not frame.f_code.co_filename.startswith(NET):
        return None
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_qualname}"


WEAK = Weak()


class Wrapped:
    """Passes everything through to what it wraps; the calls in `ERRORS` may fail.

    Sockets that were made before the suffering began belong to the other user, and are sound.
    """

    def __init__(self, real: Any, weak: bool = True) -> None:
        self._real = real
        self._weak = weak

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in ERRORS or not self._weak:
            return found
        if name == "send":  # the kernel may take less than it is given
            return lambda data: WEAK.call(name, found, data if len(data) < 64 else data[: len(data) // 2])
        return lambda *args, **kwargs: WEAK.call(name, found, *args, **kwargs)


class Sockets(Wrapped):
    """In place of the module `_socket`."""

    def socket(self, *args: Any) -> Any:
        return Wrapped(WEAK.call("socket", self._real.socket, *args), WEAK.on)


class Context(Wrapped):
    """In place of an `ssl.SSLContext`."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> Any:
        return Wrapped(WEAK.call("wrap_bio", self._real.wrap_bio, *args, **kwargs), WEAK.on)


class Hub(Wrapped):
    """In place of gevent's hub, as `sioload.net` sees it."""

    @property
    def loop(self) -> Wrapped:
        return Wrapped(self._real.loop)

    @property
    def threadpool(self) -> Wrapped:
        return Wrapped(self._real.threadpool)


def install() -> None:
    """Let `sioload.net` see the weak system."""
    real_hub = gevent.hub.get_hub
    for module in (dial, resolve, stream, deadlines):
        module.get_hub = lambda: Hub(real_hub())  # type: ignore[attr-defined]
    dial._socket = resolve._socket = stream._socket = Sockets(_socket)  # type: ignore[attr-defined]
    ssl_module = Wrapped(ssl)
    from sioload.net import fleet

    def context(options: Any) -> Any:
        tls_streams.ssl = ssl_module  # type: ignore[assignment]
        try:
            return Context(tls_streams.tls_context(options))
        finally:
            tls_streams.ssl = ssl  # type: ignore[assignment]

    fleet.tls_context = context  # type: ignore[attr-defined]


class Scenario:
    """Two users that connect, call, emit and leave; one of them is made to suffer."""

    def __init__(self, name: str, host: str, port: int, ca: str | None) -> None:
        self.url = f"{'https' if name == 'tls' else 'http'}://{host}:{port}"
        self.options = {
            **OPTIONS[name], **BACKOFF, "version": 4, "connect_timeout": 2.0, "ack_timeout": 2.0,
            "ca_file": ca, "source_addresses": ["127.0.0.1"],
        }  # fmt: skip

    def run(self) -> dict[str, Any]:
        """One user suffers, the other must not notice. Returns what is wrong, if anything."""
        fleet = Fleet()
        other = SocketIOClient(fleet, self.options, url=self.url)
        other.connect()
        other.call("echo", 0)
        WEAK.seen.clear()
        WEAK.hit = False
        fleet.resolver._known.clear()
        fleet._contexts.clear()
        fleet.generations.clear()
        suffering = gevent.spawn(self._suffer, fleet)
        watching = gevent.spawn(self._watch, other, suffering)
        WEAK.on = True
        suffering.join(PATIENCE)
        WEAK.on = False
        faults = []
        if not suffering.ready():
            faults.append("the user hung")
            suffering.kill()
        watching.join(PATIENCE)
        if watching.value != "untouched":
            faults.append(f"the other user: {watching.value!r}")
        other.disconnect()
        fleet.drain(1.0)
        recorder = fleet.recorder
        if recorder.ledger.open:
            faults.append(f"the ledger: {recorder.ledger.encode()}")
        if fleet.members or fleet.probes:
            faults.append(f"{len(fleet.members)} members, {len(fleet.probes)} probes are left")
        if set(recorder.connections.closed) - set(get_args(Reason)):
            faults.append(f"reasons: {recorder.connections.closed}")
        if any(recorder.connections.encode()["current"].values()):
            faults.append(f"connections: {recorder.connections.encode()}")
        names = {t.name for t in recorder.totals() if t.type == "DISCONNECT"}
        if names - {*get_args(Reason), "namespace closed"}:
            faults.append(f"disconnects: {names}")
        return {"faults": faults, "internal": list(recorder.internal_errors), "user": suffering.value}

    def _suffer(self, fleet: Fleet) -> list[str]:
        """Connects until it works, then works; what went wrong on the way."""
        sio = SocketIOClient(fleet, self.options, url=self.url)
        met: list[str] = []
        for _ in range(4):
            try:
                sio.connect()
                break
            except ConnectError as error:
                met.append(f"{error.stage}: {error.reason}")
                gevent.sleep(0.02)
        else:
            met.append("NEVER CONNECTED")
        for number in range(3):
            try:
                sio.call("echo", "€" * 100)
                sio.emit("nobody hears", number)
            except EmitError as error:
                met.append(type(error).__name__)
            gevent.sleep(0.005)
        sio.disconnect()
        return met

    @staticmethod
    def _watch(other: SocketIOClient, suffering: Any) -> str:
        done = 0
        try:
            while not suffering.ready() or done < 3:
                other.call("echo", done)
                done += 1
                gevent.sleep(0.005)
        except EmitError as error:
            return f"{type(error).__name__}: {error}"
        return "untouched"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def main() -> None:
    name, host, port, depth, *ca = sys.argv[1:]
    logging.disable()
    install()
    scenario = Scenario(name, host, int(port), ca[0] if ca else None)
    first = scenario.run()
    assert first == {"faults": [], "internal": [], "user": []}, first
    sites = dict(WEAK.seen)
    first = scenario.run()
    baseline = descriptors()
    for (site, call), count in sorted(sites.items()):
        for number in sorted({*range(1, min(int(depth), count) + 1), count}):
            for error in ERRORS[call]:
                WEAK.target = (site, call, number, error)
                result = scenario.run()
                if not WEAK.hit and not result["faults"]:  # some runs need fewer calls than the first
                    WEAK.target = (site, call, max(1, WEAK.seen.get((site, call), 0) - 1), error)
                    result = scenario.run()
                result["faults"] += [f"{descriptors() - baseline} descriptors leaked"] * (
                    descriptors() > baseline
                )
                said = errno.errorcode.get(error, str(error)) if isinstance(error, int) else repr(error)
                where = {"site": site, "call": call, "number": number, "error": said, "hit": WEAK.hit}
                print(json.dumps({**where, **result}), flush=True)


if __name__ == "__main__":
    main()
