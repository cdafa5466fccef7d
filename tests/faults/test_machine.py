"""A machine that runs out of descriptors or ports, or whose wall clock is moved."""

from __future__ import annotations

import ctypes
import fcntl
import resource
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import serverkit
from faults.kit import POLLING, WEBSOCKET, Driver, failures, isolates

Servers = Callable[..., serverkit.Server]
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PORTS = 20


@pytest.mark.parametrize("options", [WEBSOCKET, POLLING], ids=["websocket", "polling"])
def test_256_descriptors(servers: Servers, options: dict[str, object]) -> None:
    """Those who fit work on; the others are told what to raise, and get their turn when there is room."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    url = servers("target").url
    with Driver(before=limit) as driver:
        driver.open("others", url, WEBSOCKET, users=2)
        driver.wait("others", "done", 2)
        driver.open("victims", url, options, users=300, work="idle")
        driver.wait("victims", "refused", 50)
        seen = driver.wait("victims", "connected", 200 if options is WEBSOCKET else 80)
        before = driver.status()["groups"]["others"]["done"]
        driver.wait("others", "done", before + 20)
        figures = driver.judged(drain=5.0)
    told = {reason for stage, reason in seen["refused"] if stage == "dial"}
    assert told == {"too many open files (raise ulimit -n)"}
    assert failures(figures, "DIAL", "tcp")


def own_network() -> None:
    """A network of this process's own, with few local ports."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"40000 {40000 + PORTS - 1}")


def test_local_ports_used_up() -> None:
    if not isolates() or shutil.which("nsenter") is None:
        serverkit.missing(
            "a network namespace", "run as root (in a container: --privileged), with util-linux"
        )
    with Driver(before=own_network) as driver:
        inside = ["nsenter", f"--net=/proc/{driver.popen.pid}/ns/net", *serverkit.command("target")]
        with serverkit.Process([*inside, "--port", "30000"]) as server:
            server.wait_for(serverkit.READY, serverkit.START_DEADLINE)
            url = "http://127.0.0.1:30000"
            driver.open("others", url, WEBSOCKET, users=2)
            driver.wait("others", "done", 2)
            driver.open("victims", url, WEBSOCKET, users=PORTS + 5, work="idle")
            seen = driver.wait("victims", "refused", 10)
            driver.open(
                "spread", url, {**WEBSOCKET, "source_addresses": ["127.0.0.2", "127.0.0.3"]}, users=10
            )
            driver.wait("spread", "done", 20)
            figures = driver.judged()
    assert seen["connected"] == PORTS - 2
    assert {tuple(told) for told in seen["refused"]} == {
        ("dial", "no local port or source address left (add source_addresses)")
    }
    assert figures["groups"]["spread"]["refused"] == []


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_moved(servers: Servers, tmp_path: Path, hours: int) -> None:
    """Timeouts, heartbeats and times go by the monotonic clock."""
    compiler = serverkit.need_compiler()
    shim, clock = tmp_path / "clock.so", tmp_path / "clock"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", shim, source], check=True)
    clock.write_bytes(struct.pack("l", 0))
    env = {"LD_PRELOAD": str(shim), "CLOCK": str(clock)}
    with Driver(env=env) as driver:
        server = servers("sio4", "--ping-interval", "300", "--ping-timeout", "200")
        driver.open("others", server.url, WEBSOCKET, users=2)
        driver.wait("others", "done", 10)
        driver.open("waiting", server.url, {**WEBSOCKET, "ack_timeout": 1.0}, work="unanswered")
        driver.wait("waiting", "ups", 1)
        before = driver.clock()
        with clock.open("r+b") as file:
            file.write(struct.pack("l", hours * 3600))
        assert abs(driver.clock() - before - hours * 3600) < 5, "the clock did not move"
        seen = driver.wait("waiting", "raised", 1, timeout=5)
        driver.sleep(0.6)  # a heartbeat or two
        figures = driver.judged()
    assert seen["raised"] == {"AckTimeout": 1}
    assert seen["seconds"] < 3
    calls = [row for row in figures["rows"] if row["type"] in ("CALL", "HEARTBEAT")]
    assert calls and all(row["max"] < 3 for row in calls)
