"""sioload: load testing for Socket.IO servers of every generation, as a Locust user.

`from sioload import SocketIOUser, on, stamp` in a locustfile is all it takes; see README.md.

Names are imported on first use, because Locust applies gevent's monkey patch when it is imported, which a
program that only wants a codec or a report shouldn't have to undergo.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sioload.client.api import SocketIOClient
    from sioload.errors import (
        AckTimeout,
        CheckError,
        ConnectError,
        ConnectionLost,
        EmitError,
        EncodeError,
        FeedError,
        LimitError,
        NotConnected,
        OptionError,
        PhaseError,
        ProtocolError,
        Refused,
        RunEnded,
        SioloadError,
        UnexpectedReply,
        UsageError,
    )
    from sioload.load.arrivals import Arrivals
    from sioload.load.shapes import Phases
    from sioload.net.clock import stamp
    from sioload.options import Limits, Options
    from sioload.testing.runs import Report, run
    from sioload.users.feeds import feed
    from sioload.users.handlers import on
    from sioload.users.pacing import paced
    from sioload.users.user import SocketIOUser

_HOMES = {
    "SocketIOClient": "sioload.client.api",
    "SocketIOUser": "sioload.users.user",
    "feed": "sioload.users.feeds",
    "on": "sioload.users.handlers",
    "paced": "sioload.users.pacing",
    "Arrivals": "sioload.load.arrivals",
    "Phases": "sioload.load.shapes",
    "stamp": "sioload.net.clock",
    "Options": "sioload.options",
    "Limits": "sioload.options",
    "Report": "sioload.testing.runs",
    "run": "sioload.testing.runs",
}

__all__ = [
    "AckTimeout",
    "Arrivals",
    "CheckError",
    "ConnectError",
    "ConnectionLost",
    "EmitError",
    "EncodeError",
    "FeedError",
    "LimitError",
    "Limits",
    "NotConnected",
    "OptionError",
    "Options",
    "PhaseError",
    "Phases",
    "ProtocolError",
    "Refused",
    "Report",
    "RunEnded",
    "SioloadError",
    "SocketIOClient",
    "SocketIOUser",
    "UnexpectedReply",
    "UsageError",
    "feed",
    "on",
    "paced",
    "run",
    "stamp",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sioload' has no attribute {name!r}")
    if name in ("SocketIOClient", "SocketIOUser"):
        importlib.import_module("locust")  # patches what must be patched before ssl is imported
    if name == "SocketIOUser":
        _install()
    value = getattr(importlib.import_module(_HOMES.get(name, "sioload.errors")), name)
    globals()[name] = value
    return value


def _install() -> None:
    """Give Locust this program's options, pages, reports and exit codes."""
    importlib.import_module("sioload.web").install()


if "locust" in sys.modules:  # imported by a locustfile: its command line is read soon after
    _install()
