"""Members with accounts of their own from `accounts.csv`, moderators among them; the load goes up and down.

No two users have one account at a time, on however many workers. What moderators do has rows of its own
(`message @moderator`).
"""

from locust import between, task

from sioload import Phases, SocketIOUser, feed, on, stamp

accounts = feed("accounts.csv")  # or feed(..., when_empty="wait"): without a free row a user ends


class Load(Phases):
    phases = "warmup: 0..6 users over 3s; peak: 10 users for 3s; rest: 2 users for 2s"


class Member(SocketIOUser):
    host = "http://127.0.0.1:5000"
    wait_time = between(0.5, 1)
    weight = 4

    def on_start(self):
        self.me = accounts.take(self)
        self.client.post("/login", json={"user": self.me["name"]})
        self.sio.connect(namespaces=["/chat"], auth={"token": self.me["token"]})

    def on_connected(self):
        self.sio.call("join", {"room": self.me["room"]}, namespace="/chat", ok=lambda reply: reply["ok"])

    @task
    def say(self):
        message = {"room": self.me["room"], "from": self.me["name"], "text": "hi", "sent": stamp()}
        self.sio.call("message", message, namespace="/chat", timeout=5, ok=lambda reply: reply["ok"])

    @on("message", namespace="/chat", sent_at=lambda message: message["sent"])
    def heard(self, message): ...


class Moderator(Member):
    label = "moderator"
    weight = 1
