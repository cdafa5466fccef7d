"""What the operating system gives a process: local ports for its connections, an end with its parent's."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path
from typing import Final

#: The C library, found before it is needed in a child.
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
#: prctl(2): the signal that this process gets when its parent ends.
_PR_SET_PDEATHSIG: Final = 1


def end_with_parent() -> None:
    """In a child: it ends, in order, when its parent was killed. Only Linux has that."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def local_ports() -> int | None:
    """How many connections one local address can make to one server; None if unknown."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(high) - int(low) + 1
    except (OSError, ValueError):
        return None
