"""`--processes`: the master's port is tried before Locust forks, and no worker outlives its parent.

Locust's master finds a port taken after it has forked its workers, and leaves them behind: they would wait
for whatever master comes to that port next. And its workers look for a master where they do without
`--processes`, wherever theirs listens.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Final, NoReturn

from sioload.system import end_with_parent

#: Where a worker looks for its master unless it is told.
USUAL: Final = ("127.0.0.1", 5557)
#: Hosts of a master that listens on all addresses.
ANY_HOST: Final = ("*", "")

_forking = False
_seen = False
#: A pipe with one byte in it: whoever reads that speaks for all that Locust forked.
_word: int | None = None


def before_fork(options: Any) -> None:
    """Locust is about to fork, or to listen for workers, if these options of its command line say so.

    Raises:
        SystemExit: the port that the master is to listen on is taken; one line and exit code 2.
    """
    global _forking, _seen, _word
    forks = bool(getattr(options, "processes", None))
    if _seen or not (forks or getattr(options, "master", False)):
        return  # Locust parses its command line again for its web UI
    _seen, _forking = True, forks
    if not options.worker:
        if fault := _taken(options.master_bind_host, options.master_bind_port):
            refuse(fault)
        usual_host, usual_port = USUAL
        if forks and options.master_port == usual_port:
            options.master_port = options.master_bind_port
        elsewhere = options.master_bind_host not in (*ANY_HOST, "::", "0.0.0.0")
        if forks and options.master_host == usual_host and elsewhere:
            options.master_host = options.master_bind_host
    if forks:
        os.register_at_fork(after_in_child=_in_child)
        _word, end = os.pipe()
        os.write(end, b"1")
        os.close(end)


def forked() -> None:
    """Locust has forked what it was to: later children of this process are the script's own."""
    global _forking
    _forking = False


def refuse(text: str) -> NoReturn:
    """A run can't begin: one line and exit code 2. Processes that Locust forked find the same; one tells."""
    if _word is None or os.read(_word, 1):
        print(f"sioload: {text}", file=sys.stderr)
    raise SystemExit(2)


def _in_child() -> None:
    if _forking:  # the parent waits for its workers unless it was killed
        end_with_parent()


def _taken(host: str, port: int) -> str | None:
    """Why a master can't listen there; None when it can."""
    if port == 0:
        return None
    if not 0 < port < 65536:
        return f"--master-bind-port {port} is no port (0 to 65535)"
    any_host = host in ANY_HOST
    try:
        host.encode("idna")  # gevent prints what else its thread would meet
        found = socket.getaddrinfo(
            None if any_host else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        return f"--master-bind-host {host}: {getattr(error, 'strerror', None) or 'no name of a host'}"
    family, kind, proto, _, address = next((a for a in found if a[0] == socket.AF_INET), found[0])
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the master does
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            where = str(port) if any_host else f"{host}:{port}"
            return (
                f"the master's port {where} can't be had ({error.strerror}): another run may be using it; "
                "give this one a port of its own (--master-bind-port N)"
            )
    return None
