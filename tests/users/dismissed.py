"""Users of a server that sends everybody away, each class in a namespace of its own."""

import os

from locust import constant, task

from sioload import SocketIOUser


class Base(SocketIOUser):
    abstract = True
    wait_time = constant(0)
    fixed_count = 1
    delays = {"reconnection_delay": 0.4, "reconnection_delay_max": 0.4, "randomization_factor": 0}
    options = {"version": int(os.environ["VERSION"]), "transports": ["websocket"], **delays}

    @task
    def talk(self):
        self.sio.call("echo", 1)


class Returning(Base):
    pass


class Staying(Base):
    options = {**Base.options, "namespaces": ["/chat"], "reconnection": False}

    @task
    def talk(self):
        self.sio.emit("echo", 1, namespace="/chat")


class Twice(Base):
    options = {**Base.options, "namespaces": ["/private"], "auth": {"token": "secret"}}
    options["reconnection_attempts"] = 2

    @task
    def talk(self):
        self.sio.call("echo", 1, namespace="/private")
