"""How many users this machine has descriptors and ports for."""

from __future__ import annotations

import resource
from pathlib import Path

from sioload.doctor.diagnosis import Diagnosis

#: Descriptors that a run needs beside one for each user.
SPARE_DESCRIPTORS = 100


def look_at_limits(found: Diagnosis, addresses: int) -> None:
    """What fits in one process that dials from so many addresses."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found.descriptors = None if hard == resource.RLIM_INFINITY else hard
    fits = [hard - SPARE_DESCRIPTORS] if found.descriptors is not None else []
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        pass
    else:
        found.ports = int(high) - int(low) + 1
        fits.append(found.ports * addresses)
    found.users_fit = min(fits, default=None)
    if found.users_fit is not None and found.users_fit < 1000:
        found.fault(
            f"only {found.users_fit} users fit in one process here",
            "raise the hard limit of open files (ulimit -Hn) or use more processes",
            fatal=False,
        )
