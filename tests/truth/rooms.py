"""Users who are where `rooms.js` tells them to be."""

from __future__ import annotations

from locust import constant, task

from sioload import SocketIOUser, on

PLANS = ("sound", "tenth", "unjoined", "wrong", "twice", "last", "without", "echoed", "leave", "history",
         "cut", "back", "replay")  # fmt: skip


def place(message):
    return message["room"], message["id"], message.get("from")


class Member(SocketIOUser):
    """Hears the messages of all plans, and does as it is told."""

    wait_time = constant(60)
    weight = 15
    kind = ""
    options = {"transports": ["websocket"], "reconnection_delay": 0.05, "randomization_factor": 0.0}

    def on_start(self):
        self.connect()

    def connect(self):
        self.sio.connect()
        self.enter(self.sio.call("enter", self.kind))

    def enter(self, found):
        self.sio.me = found["me"]
        for room in found["rooms"]:
            self.sio.rooms.add(room)

    def on_connected(self):
        if self.sio.me is not None and not self.sio.recovered:
            assert not self.sio.rooms
            self.enter(self.sio.call("again", self.sio.me))

    @on("do")
    def do(self, what, room):
        self.sio.call(what, room)
        if what == "join":
            self.sio.rooms.add(room)
        else:
            self.sio.rooms.discard(room)

    @task
    def idle(self):
        pass

    for plan in PLANS:
        locals()[f"heard_{plan}"] = on(plan, sent_at=lambda message: message["sent"], room=place)(
            lambda *_: ...
        )


class Slow(Member):
    """Comes back a second after it was cut."""

    fixed_count = 1
    kind = "slow"
    options = {**Member.options, "reconnection_delay": 1.5, "reconnection_delay_max": 1.5}
