"""What a worker gives back comes back, though a message was lost."""

from __future__ import annotations

from pathlib import Path

import serverkit

SCRIPT = """
import os
from locust import User, constant, events, task
from locust.exception import RPCSendError, StopUser
from locust.runners import WorkerRunner
from sioload import feed
from sioload.swarm import lending

lending.AGAIN = 1.5
accounts = feed([{"name": "ann"}], when_empty="wait")
lost = []

@events.init.add_listener
def lose_two(environment, **_):
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        send = runner.send_message

        def sending(kind, data=None, client_id=None):
            if kind == "sioload_feed" and data["give"] and len(lost) < 2:
                lost.append(data)
                raise RPCSendError("lost")
            send(kind, data, client_id)

        runner.send_message = sending

class Taker(User):
    wait_time = constant(60)

    def on_start(self):
        os.write(1, f"took {accounts.take(self)['name']}, lost {len(lost)}\\n".encode())

    @task
    def leave(self):
        raise StopUser
"""


def test_a_row_whose_return_was_lost_is_returned_again(tmp_path: Path) -> None:
    """Twice. The second user asks right after the first time: the answer says nothing of what never came."""
    (tmp_path / "locustfile.py").write_text(SCRIPT)
    args = ["-f", "locustfile.py", "--headless", "-u", "2", "-r", "1", "-t", "10s", "--processes", "1"]
    done = serverkit.run_locust(args, cwd=tmp_path)
    took = [line for line in done.out.splitlines() if line.startswith("took ")]
    assert took[:2] == ["took ann, lost 0", "took ann, lost 2"], done.text
    assert "failed with RPCSendError" not in done.text
