"""Users of a site with a login, who leave its server's generation to be found; TRANSPORTS says how."""

import os

from locust import constant, task

from sioload import SocketIOUser


class Member(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": os.environ["TRANSPORTS"].split(",")}

    def on_start(self):
        self.client.post("/login", json={})
        self.sio.connect()

    @task
    def echo(self):
        self.sio.call("echo", 1)
