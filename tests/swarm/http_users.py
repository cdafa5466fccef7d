"""Users that make HTTP requests beside their emits, and plain HTTP users beside them."""

from __future__ import annotations

from locust import HttpUser, constant, task

from sioload import SocketIOUser


class Both(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": ["websocket"], "version": 4}

    def on_start(self):
        self.client.post("/login", json={"user": "u"})
        self.client.post("/no-such-login?password=canary-in-a-query", json={}, name="/no-such-login")
        self.sio.connect()

    @task
    def say(self):
        self.sio.call("echo", 1)


class Plain(HttpUser):
    wait_time = constant(0.1)

    @task
    def counts(self):
        self.client.get("/counts")

    @task
    def own_types(self):
        fire = self.environment.events.request.fire
        fire(request_type="SQL", name="select", response_time=12.5, response_length=3, exception=None)
        fire(request_type="SQL", name="insert", response_time=None, response_length=0, exception=None)
        # A type of ours that someone else fires is added to what we counted there.
        fire(request_type="CALL", name="echo", response_time=1000.0, response_length=0, exception="odd")
