"""A feed of very many rows: what it costs the master, and that it costs the workers nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import serverkit

SCRIPT = """
import os, re, time
from pathlib import Path
from locust import User, constant, events, task
from sioload import feed

accounts = feed("accounts.csv", order="{order}")

def tell(*words):
    # At once: the processes, and the users of one, write to one pipe.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

@events.test_start.add_listener
def began(environment, **_):
    tell("began", type(environment.runner).__name__, time.time())

@events.quitting.add_listener
def size(environment, **_):
    peak = re.search(r"VmHWM:[^0-9]+([0-9]+) kB", Path("/proc/self/status").read_text())[1]
    tell("peak", type(environment.runner).__name__, peak)

class Taker(User):
    wait_time = constant(60)

    def on_start(self):
        row = accounts.take(self)
        tell("took", row["name"], time.time())

    @task
    def rest(self): ...
"""


def sized(folder: Path, rows: int, order: str) -> tuple[float, int, int]:
    """Seconds from the test's start to the first row, and the peaks of the master and of a worker in KiB."""
    (folder / "locustfile.py").write_text(SCRIPT.format(order=order))
    with open(folder / "accounts.csv", "w") as file:
        file.write("name,token,room\n")
        file.writelines(f"user{n},token-of-user-{n:032d},room {n % 100}\n" for n in range(rows))
    args = ["-f", "locustfile.py", "--headless", "-u", "8", "-r", "8", "-t", "3s", "--processes", "2"]
    done = serverkit.run_locust(args, 110, cwd=folder)
    assert done.code == 0, done.text
    took = re.findall(r"took (\S+) (\S+)", done.out)
    assert len({name for name, _ in took}) == len(took) == 8, done.text
    [began] = re.findall(r"began MasterRunner (\S+)", done.out)
    [master] = re.findall(r"peak MasterRunner (\d+)", done.out)
    workers = re.findall(r"peak WorkerRunner (\d+)", done.out)
    return min(float(at) for _, at in took) - float(began), int(master), max(map(int, workers))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "rows, order",
    [(100_000, "shuffle"), pytest.param(1_000_000, "file", marks=pytest.mark.verify),
     pytest.param(1_000_000, "shuffle", marks=pytest.mark.verify)],
)  # fmt: skip
def test_many_rows(tmp_path: Path, rows: int, order: str) -> None:
    (tmp_path / "few").mkdir()
    _, few_master, few_worker = sized(tmp_path / "few", 10, order)
    seconds, master, worker = sized(tmp_path, rows, order)
    print(
        f"{rows} rows, {order}: {seconds:.3f} s, master {master} KiB, workers {worker} ({few_worker} with 10)"
    )
    assert seconds < 2.0
    assert master < 1 << 20 and master - few_master < rows * 0.4
    assert abs(worker - few_worker) < 8 << 10
