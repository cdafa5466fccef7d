"""Users whose server leaves something unanswered; the environment says how they connect."""

import json
import os

from locust import constant, task

from sioload import SocketIOUser


class Patient(SocketIOUser):
    wait_time = constant(60)
    options = {"version": 4, "reconnection_delay": 0.2, **json.loads(os.environ["OPTIONS"])}

    @task
    def wait(self):
        if os.environ.get("WAIT"):
            self.sio.wait_for("never", timeout=60)
