"""Written for Locust's own `SocketIOUser`: to run it with sioload, the one import below was changed.

from locust.contrib.socketio import SocketIOUser   # before
from sioload import SocketIOUser                   # now
"""

import random
from threading import Event

import gevent
from locust import HttpUser, between, task
from socketio import Client

from sioload import SocketIOUser


class Visitor(SocketIOUser, HttpUser):
    host = "http://127.0.0.1:5000"
    wait_time = between(1, 2)
    options = {"reconnection_attempts": 3}

    def on_start(self):
        self.room = f"booth {random.randrange(1000)}"
        self.answered = Event()
        self.sio.connect("ws://127.0.0.1:5000", wait_timeout=10)
        self.listening = gevent.spawn(self.sio.wait)
        self.sio.on("message", self.heard)

    @task
    def visit(self):
        self.answered.clear()
        self.sio.call("join", {"room": self.room})
        # Through python-socketio's own method: this one makes no row.
        Client.call(self.sio, "message", {"room": self.room, "text": "anyone here?"})
        self.sio.emit("message", {"room": self.room, "text": "goodbye"})
        self.answered.wait(timeout=5)
        self.sio.call("leave", {"room": self.room})
        self.client.get("/")

    def heard(self, message):
        if message["text"] == "goodbye":
            self.answered.set()
        self.sio.on_message("message", message["text"])

    def on_stop(self):
        self.sio.disconnect()
