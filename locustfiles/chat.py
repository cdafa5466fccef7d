"""A chat: users log in over HTTP, join a room of the namespace `/chat`, and talk.

Each message is acknowledged (a CALL row) and is broadcast to the room it was said in (a PUSH row for each
member, timed from the stamp that its sender put in). Whether everyone in that room got it, once, and nobody
else, and when the last one had it, is a FANOUT row, over all users of the run.
"""

import random
import uuid

import gevent
from locust import between, task

from sioload import SocketIOUser, on, stamp

ROOMS = 20


class ChatUser(SocketIOUser):
    host = "http://127.0.0.1:5000"
    wait_time = between(1, 3)
    options = {"auth": {"token": "secret"}}

    def on_start(self):
        gevent.sleep(random.random())  # Locust starts all users of a second at one instant
        self.client.post("/login", json={"user": "ada"})  # its cookie goes into the handshake
        self.sio.connect(namespaces=["/", "/chat"])

    def on_connected(self):
        """Also after a reconnect: a new session is in no room yet."""
        self.room = f"room {random.randrange(ROOMS)}"
        self.sio.call("join", {"room": self.room}, namespace="/chat", ok=lambda reply: reply["ok"])
        self.sio.rooms.add(self.room)  # from now on its messages are owed to this user

    @task(3)
    def say(self):
        message = {"room": self.room, "id": uuid.uuid4().hex, "text": "hi", "sent": stamp()}
        self.sio.call("message", message, namespace="/chat", timeout=5, ok=lambda reply: reply["ok"])

    @task(2)
    def ask_nothing(self):
        """Without an ack: an EMIT row, and a RECV row for the server's own `echo`."""
        self.sio.emit("echo", {"typing": True})

    @on(
        "message",
        namespace="/chat",
        sent_at=lambda message: message["sent"],
        room=lambda message: (message["room"], message["id"]),
    )
    def heard(self, message):
        self.last = message["text"]
