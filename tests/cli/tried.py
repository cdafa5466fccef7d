"""A user that says and hears a little of everything; TRIED has its options as JSON."""

from __future__ import annotations

import json
import os

from locust import TaskSet, between, task

from sioload import SocketIOUser, on

OPTIONS = json.loads(os.environ["TRIED"])


class Tried(SocketIOUser):
    wait_time = between(100, 200)  # which nobody waits
    options = OPTIONS

    def on_start(self) -> None:
        self.sio.connect(namespaces=["/", "/chat"])

    @task
    def echo(self) -> None:
        self.sio.call("echo", ("€😀é", {"a": [1, None, 2.5]}), timeout=5)
        self.sio.emit("echo", "again", namespace="/chat")
        self.sio.wait_for("echo", namespace="/chat", timeout=5)

    @task(30)
    def asked(self) -> None:
        with self.sio.expect("answered", timeout=5):
            self.sio.emit("ask", "who")

    @task
    class Inner(TaskSet):
        @task
        class Innermost(TaskSet):
            @task
            def utf(self) -> None:
                self.user.sio.call("utf", timeout=5)
                self.interrupt()

        @task
        def bytes_too(self) -> None:
            if OPTIONS["version"] != 0:
                self.user.sio.call("binary", {"b": b"\x00\x01\xff", "c": [b"two"]}, timeout=5)

    @on("question")
    def question(self, *args: object) -> tuple[object, ...]:
        return ("me",)

    def on_stop(self) -> None:
        self.sio.call("noargs", timeout=5)
