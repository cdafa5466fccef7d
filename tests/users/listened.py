"""Users whose samples a script listens to, and one of Locust's own beside them."""

import json
import os

from locust import HttpUser, constant, events, task
from locust.exception import StopUser

from sioload import SocketIOUser, on, stamp

seen = {}
late = []
counted = {}


@events.request.add_listener
def listen(request_type, name, response_time, response_length, exception, context, start_time, **_):
    kind = type(exception).__name__ if exception is not None else ""
    entry = seen.setdefault(f"{request_type} {name} {kind}", [0, response_length, context])
    entry[0] += 1


@events.request.add_listener
def stop(name, **_):
    if name == "tell":
        raise StopUser


class Base:
    host = os.environ["TARGET"]
    wait_time = constant(0.05)
    fixed_count = 1


class Talker(Base, SocketIOUser):
    options = {"version": 4}

    def context(self):
        return {"user": "bob"}

    def on_start(self):
        self.sio.connect()
        self.environment.events.request.add_listener(lambda name, **_: late.append(name))

    @task(3)
    def talk(self):
        self.sio.call("echo", "x" * 250, name="say")
        self.sio.emit("message", {"sent": stamp()}, name="tell")
        self.sio.write('42["join",1]')

    @task
    def wrong(self):
        self.sio.call("nosuch", timeout=0.05, name="timeout")

    @task
    def refused(self):
        self.sio.call("echo", 1, ok=lambda reply: False, name="refused")

    @on("message", sent_at=lambda message: message["sent"], delivery=lambda message: message["no"])
    def heard(self, message): ...


class Outside(Base, SocketIOUser):
    options = {"namespaces": ["/chat"], "reconnection_delay": 0.3, "version": 4, "transports": ["websocket"]}

    def context(self):
        return {"user": "carol"}


class Nowhere(Base, SocketIOUser):
    host = "http://127.0.0.1:1"
    options = {"version": 4, "reconnection_attempts": 0}

    def context(self):
        return {"user": "alice"}


class Web(Base, HttpUser):
    def context(self):
        return {"user": "web"}

    @task
    def get(self):
        self.client.get("/counts")


@events.quitting.add_listener
def tell(environment, **_):
    rows = {f"{kind} {name}": entry.num_requests for (name, kind), entry in environment.stats.entries.items()}
    rows["late say"] = late.count("say")
    rows["late get"] = late.count("/counts")
    with open(os.environ["SEEN"], "w") as file:
        json.dump({"seen": seen, "rows": rows}, file)
