"""How many users this machine has descriptors and ports for."""

from __future__ import annotations

import resource

from sioload.doctor.diagnosis import Diagnosis
from sioload.report.words import counted
from sioload.system import local_ports

#: Descriptors that a run needs beside one for each user.
SPARE_DESCRIPTORS = 100


def look_at_limits(found: Diagnosis, addresses: int) -> None:
    """What fits in one process that dials from so many addresses."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found.descriptors = None if hard == resource.RLIM_INFINITY else hard
    fits = []
    if found.descriptors is not None:
        remedy = "raise the hard limit of open files (ulimit -Hn) or use more processes"
        fits.append((max(1, hard - SPARE_DESCRIPTORS), remedy))
    found.ports = local_ports()
    if found.ports is not None:
        remedy = "widen net.ipv4.ip_local_port_range, or give more addresses (option source_addresses)"
        fits.append((found.ports * addresses, remedy))
    found.users_fit, remedy = min(fits, default=(None, ""))
    if found.users_fit is not None and found.users_fit < 1000:
        fit = "fits" if found.users_fit == 1 else "fit"
        found.fault(f"only {counted(found.users_fit, 'user')} {fit} in one process here", remedy, fatal=False)
