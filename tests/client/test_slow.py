"""A slow consumer (option `read_rate`): what it doesn't take waits at the server; nobody else feels it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
import serverkit
import trustme

from sioload.client.api import SocketIOClient

PROGRAM = Path(__file__).with_name("slow.py")
SECONDS = 3.0


def lived(server: serverkit.Server, options: dict[str, Any], seconds: float, rate: int) -> dict[str, Any]:
    argv = [sys.executable, PROGRAM, server.url, json.dumps(options), str(seconds), str(rate)]
    run = serverkit.run(argv, timeout=100)
    assert run.code == 0, run.text
    told: dict[str, Any] = json.loads(run.out)
    return told


def level(told: dict[str, Any], seconds: float) -> None:
    """It took what it may, and is there; the others are as before, and so is this process."""
    assert 0.3 * seconds * 1024 <= told["taken"] <= (seconds + 4) * 1024 + 8192, told
    assert told["connected"], told
    assert not [row for row in told["rows"] if row.startswith("DISCONNECT")], told
    assert told["beside"] <= 20 * told["before"] + 0.05, told
    assert told["grown_kib"] < 8192, told


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=["websocket", "polling"])
def test_the_servers_buffer_grows(transports: list[str]) -> None:
    """Much at once: the kernels' buffers between the two are full soon."""
    with serverkit.running("sio4") as server:
        told = lived(server, {"version": 4, "transports": transports}, SECONDS, 4_000_000)
    level(told, SECONDS)
    assert max(told["buffered"]) > 100_000, told


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=["websocket", "polling"])
def test_a_rate_without_an_end_is_none(transports: list[str]) -> None:
    with serverkit.running("target") as server, gevent.Timeout(10):
        given = {"transports": transports, "read_rate": float("inf")}
        sio = SocketIOClient(None, given, url=server.url)
        sio.connect()
        assert sio.call("echo", "x" * 300_000) == "x" * 300_000
        sio.close_quietly()


def test_heartbeats_in_what_it_has_not_taken_are_no_silence() -> None:
    """In Engine.IO 3 the client pings; the answers stand behind the events that it is slow to take."""
    with serverkit.running("sio2", "--ping-interval", "600", "--ping-timeout", "400") as server:
        told = lived(server, {"version": 2, "transports": ["websocket"]}, SECONDS, 200_000)
    level(told, SECONDS)


@pytest.mark.verify
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_ten_kib_a_second_to_one_who_takes_one(tls: bool, tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    authority.cert_pem.write_to_path(str(ca))
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    seconds, ends = 15.0, ["--cert", str(cert), "--key", str(key)] if tls else []
    with serverkit.running("sio4", *ends) as server:
        given = {"version": 4, "transports": ["websocket"], **({"ca_file": str(ca)} if tls else {})}
        argv = [sys.executable, PROGRAM, server.url, json.dumps(given), str(seconds), "10240"]
        with serverkit.Process(argv) as process:
            queued = []
            while process.popen.poll() is None:
                queued.append(waiting(server.port))
                time.sleep(0.25)
            assert process.wait(5) == 0, f"{process}"
            level(json.loads(process.out), seconds)
    grew = [max(queued[: len(queued) // 3]), max(queued[-len(queued) // 3 :])]
    assert grew[1] > grew[0] + 20_000, queued


def waiting(port: int) -> int:
    """The most bytes that wait in the kernel for one client of a port, as /proc/net/tcp tells it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = [row[4] for row in rows if int(row[1].partition(":")[2], 16) == port]
    return max((int(queues.partition(":")[0], 16) for queues in mine), default=0)
