"""What a process holds: descriptors, greenlets, deadlines, connections, memory."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import gevent

from sioload.net.fleet import Fleet


def rss() -> int:
    """Resident memory now, in KiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def count(fleet: Fleet) -> dict[str, int]:
    """Everything that must return to what it was."""
    gc.collect()
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "greenlets": sum(isinstance(o, gevent.Greenlet) and not o.dead for o in gc.get_objects()),
        "deadlines": len(fleet.deadlines),
        "members": len(fleet.members),
        "connected": sum(fleet.recorder.connections.current.values()),
    }
