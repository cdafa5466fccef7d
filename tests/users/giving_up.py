"""Users that can't connect, lose their connection for good, or have more than one."""

import json
import os
from contextlib import suppress

from locust import constant, events, task
from locust.exception import StopUser

from sioload import ConnectError, SocketIOClient, SocketIOUser

starts = {}


class Base(SocketIOUser):
    abstract = True
    host = os.environ["TARGET"]
    wait_time = constant(0.01)
    fixed_count = 1
    options = {"version": 4, "transports": ["websocket"]}

    def on_start(self):
        name = type(self).__name__
        starts[name] = starts.get(name, 0) + 1
        self.sio.connect()

    @task
    def talk(self):
        self.sio.call("echo", 1, name=type(self).__name__)

    def on_stop(self):
        if not self.sio.connected:
            self.sio.emit("goodbye")


class Refused(Base):
    host = "http://127.0.0.1:1"
    fixed_count = 20
    options = Base.options | {"reconnection_attempts": 2, "reconnection_delay": 0.1}


class Patient(Base):
    host = "http://127.0.0.1:1"
    fixed_count = 2
    options = Base.options | {"reconnection_delay": 600, "reconnection_delay_max": 600}


class Jitter(Base):
    options = Base.options | {"connect_jitter": 600}


class Dismissed(Base):
    options = Base.options | {"reconnection": False}

    @task
    def talk(self):
        if self.sio.connected:
            self.sio.emit("kick", name="kick")
            self.sio.wait()
        self.sio.call("echo", 1, name="dismissed")


class Impatient(Base):
    """Doesn't wait for its one attempt."""

    host = "http://127.0.0.1:1"

    def on_start(self):
        self.sio.connect(wait=False)


class Beside(Base):
    """Its other connection failed; its own goes on, though not all that it says can be sent there."""

    def on_start(self):
        super().on_start()
        other = self.another_client("http://127.0.0.1:1")
        with suppress(ConnectError):
            other.connect(retry=False)

    @task
    def talk(self):
        starts["beside"] = starts.get("beside", 0) + 1
        if starts["beside"] == 5:
            raise StopUser
        self.sio.emit("echo", 1, namespace="/nowhere", name="beside")


class Two(Base):
    def on_start(self):
        chat = {"namespaces": ["/chat"], "auth": {"token": "secret"}}
        self.second = self.another_client(options=self.options | chat)
        self.second.connect()
        self.third = self.sio.another_client()
        self.third.connect()
        self.lonely = SocketIOClient(self.sio.fleet, self.options, url=self.sio.url)
        super().on_start()

    @task
    def talk(self):
        self.second.call("echo", 2, namespace="/chat", name="second")
        self.third.call("echo", 3, name="third")
        starts["tasks"] = starts.get("tasks", 0) + 1
        if starts["tasks"] == 20:
            raise StopUser

    def on_connected(self):
        starts["on_connected"] = starts.get("on_connected", 0) + 1


@events.test_stopping.add_listener
def look(environment, **_):
    starts["open"] = len(environment.sioload.members)


@events.quit.add_listener
def tell(**_):
    with open(os.environ["SEEN"], "w") as file:
        json.dump(starts, file)
