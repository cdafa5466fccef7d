"""Users that reach their server in each way that a URL, headers and the HTTP client of a user allow.

Each prints a line `SAW NAME JSON`.
"""

import itertools
import json
import os

import gevent
from locust import FastHttpUser, HttpUser, constant, task

from sioload import SocketIOUser

TOKENS = itertools.count(1)
BARE = os.environ["BARE"]  # the host without credentials and query


def said(name, value):
    print("SAW", name, json.dumps(value), flush=True)


def token():
    return {"X-Token": f"t{next(TOKENS)}"}


class Base(SocketIOUser):
    abstract = True
    wait_time = constant(5)
    fixed_count = 1
    options = {"version": 4, "transports": ["websocket"], "reconnection_delay": 0.1}

    @task
    def idle(self):
        pass

    def come_back(self):
        self.sio.emit("cut")
        while self.sio.connected:
            self.sio.sleep(0.01)


class Logged(Base):
    def on_start(self):
        self.client.post("/login", json={})
        with self.client.get("/asked", catch_response=True) as answer:
            answer.success()
        self.sio.connect()
        said(type(self).__name__, self.sio.call("handshake"))
        self.come_back()
        said(type(self).__name__, self.sio.call("handshake"))


class Http(Logged, HttpUser):
    def on_start(self):
        with self.client.rename_request("renamed"):
            super().on_start()


class Fast(Logged, FastHttpUser):
    pass


class HttpFirst(HttpUser, Logged):
    pass


class FastFirst(FastHttpUser, Logged):
    options = {**Base.options, "cookies": {"own": "1"}, "headers": {"Cookie": "told=2"}}


class Functions(Base):
    def on_start(self):
        urls = iter([BARE + "/?n=1", BARE + "/?n=2"])
        self.sio.connect(lambda: next(urls), headers=token)
        said("Functions", self.sio.call("handshake"))
        self.come_back()
        said("Functions", self.sio.call("handshake"))
        self.sio.disconnect()
        self.sio.connect(headers={"X-Token": "first"})
        self.sio.connection_headers = {"X-Token": "second"}
        self.come_back()
        said("Given", self.sio.call("handshake")["headers"]["x-token"])
        self.sio.connection_headers = lambda: {"X-Token": "third"}
        self.come_back()
        said("Given", self.sio.call("handshake")["headers"]["x-token"])


class Path(Base):
    def on_start(self):
        self.sio.connect(BARE + "/chat")
        with self.sio.expect("echo", timeout=5) as echo:
            self.sio.emit("echo", "x")
        gevent.spawn_later(0.1, self.sio.emit, "echo", "y")
        heard = self.sio.wait_for("echo", timeout=5)
        said("Path", [sorted(self.sio.namespaces), self.sio.call("echo", 1), list(echo.args), list(heard)])
