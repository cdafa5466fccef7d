"""Workers that come late, leave, die and come back, and the web UI: as with Locust's own user."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serverkit
from locust_features.scripts import MOVING
from locust_features.test_features import KINDS, calls, noted, tracebacks


class Scene:
    """One kind's processes, and what its users have done so far."""

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        self.kind, self.folder = kind, folder
        self.processes: list[serverkit.Process] = []
        (folder / "tmp").mkdir(parents=True)  # where workers put the script that their master sends
        (folder / "locustfile.py").write_text(MOVING)
        live = folder / "live"
        live.touch()
        self.env = {"KIND": kind, "TARGET": url, "NOTED": str(folder / "noted"), "LIVE": str(live),
                    "TMPDIR": str(folder / "tmp")}  # fmt: skip

    def start(self, *args: str) -> serverkit.Process:
        process = serverkit.Process(serverkit.locust(args), cwd=self.folder, env=self.env)
        self.processes.append(process)
        return process

    def until(self, times: int, what: str = "a") -> None:
        """Wait until users have noted this so often in all."""
        deadline = time.monotonic() + 40
        while (self.folder / "live").read_text().split().count(what) < times:
            assert time.monotonic() < deadline, "\n".join(map(str, self.processes))
            time.sleep(0.05)

    def result(self, *codes: int) -> list[Any]:
        errors = "".join(process.err for process in self.processes)
        return [list(codes), noted(self.folder), calls(self.folder), tracebacks(errors)]


def both(play: Callable[[Scene], list[Any]], folder: Path, url: str) -> list[list[Any]]:
    """What came of it with each kind of user, side by side."""
    scenes = [Scene(kind, folder / kind, url) for kind in KINDS]
    try:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(play, scenes))
    finally:
        for process in [process for scene in scenes for process in scene.processes]:
            process.close()


@pytest.mark.parametrize("dies", [False, pytest.param(True, marks=pytest.mark.verify)])
def test_workers_come_late_leave_and_die_or_come_back(
    dies: bool, tmp_path: Path, target: serverkit.Server
) -> None:
    def play(scene: Scene) -> list[Any]:
        port = str(serverkit.free_port())
        load = ["-f", "locustfile.py", "--headless", "--only-summary", "-u", "4", "-r", "10"]
        ports = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        master = scene.start("--master", "--expect-workers", "1", "--enable-rebalancing", *ports, *load)
        worker = ["-f", "-", "--worker", "--master-host", "127.0.0.1", "--master-port", port]
        first = scene.start(*worker)
        scene.until(4)
        second = scene.start(*worker)  # takes two users over
        scene.until(6)
        scene.until(2, "stop")  # a worker that is told more while it still stops users forgets that it does
        second.signal(signal.SIGTERM)  # and gives them back
        codes = [second.wait(30)]
        scene.until(8)
        third = scene.start(*worker)
        scene.until(10)
        if dies:
            time.sleep(4)  # it has reported those
            third.popen.kill()
        else:  # it stands still for longer than Locust waits for a sign of life
            third.signal(signal.SIGSTOP)
        scene.until(12)
        if not dies:
            third.signal(signal.SIGCONT)
            master.wait_for("self-healed with heartbeat", 30)
        master.signal(signal.SIGTERM)
        codes += [master.wait(40), first.wait(20)]
        return scene.result(*codes, *([] if dies else [third.wait(20)]))

    plain, ours = both(play, tmp_path, target.url)
    assert plain[0] == [0, 0, 0] + [0] * (not dies) and ours[0] == ([0, 4, 0] if dies else plain[0])
    assert plain[1] == ours[1] and plain[3] == ours[3]
    assert ours[2]["a"] == [12, 0]  # where Locust's own master misses the last reports


def test_the_web_ui_starts_edits_stops_restarts_and_resets(tmp_path: Path, target: serverkit.Server) -> None:
    def play(scene: Scene) -> list[Any]:
        port = serverkit.free_port()
        url = f"http://127.0.0.1:{port}"
        process = scene.start("-f", "locustfile.py", "--web-host", "127.0.0.1", "--web-port", str(port))
        process.wait_for("Starting web interface", 40)

        def ask(path: str, **form: object) -> None:
            data = urllib.parse.urlencode(form).encode()
            for _ in range(100):
                try:
                    with urllib.request.urlopen(url + path, data, timeout=30):
                        return
                except urllib.error.URLError:
                    time.sleep(0.1)
            raise AssertionError(f"no {path}: {process}")

        def rows(count: int) -> None:
            """The table shows so many calls, within some seconds: its answers may be 2 s old."""
            deadline = time.monotonic() + 20
            while True:
                table = serverkit.http_json(f"{url}/stats/requests")["stats"]
                seen = sum(row["num_requests"] for row in table if row["name"] == "a")
                if seen == count:
                    return
                assert time.monotonic() < deadline, f"{table} {process}"
                time.sleep(0.1)

        ask("/swarm", user_count=2, spawn_rate=10, host=target.url)
        scene.until(2)
        ask("/swarm", user_count=3, spawn_rate=10, host=target.url)  # edited
        scene.until(3)
        rows(3)
        ask("/stats/reset")
        rows(0)
        ask("/swarm", user_count=1, spawn_rate=10, host=target.url)
        scene.until(2, "stop")
        ask("/stop")
        scene.until(3, "stop")
        ask("/swarm", user_count=2, spawn_rate=10, host=target.url)  # again
        scene.until(5)
        rows(2)
        process.signal(signal.SIGTERM)
        return scene.result(process.wait(30))

    plain, ours = both(play, tmp_path, target.url)
    assert plain == ours
    assert plain[0] == [0] and plain[2]["a"] == [2, 0]
