"""The smallest scenario: one event, answered by an ack."""

from locust import constant, task

from sioload import SocketIOUser


class EchoUser(SocketIOUser):
    host = "http://127.0.0.1:5000"
    wait_time = constant(1)

    @task
    def echo(self):
        self.sio.call("echo", {"text": "hello"}, timeout=5)
