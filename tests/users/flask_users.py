"""Users of `flask_app.py`: they log in by its form, connect in each way, and one has not logged in."""

import re

from each_way import ITERATIONS, each_way, step
from locust import constant, task

from sioload import AckTimeout, ConnectError, SocketIOUser


class Visitor(SocketIOUser):
    abstract = True
    wait_time = constant(0.1)

    def on_start(self):
        self.user = type(self).__name__
        csrf = re.search('name="csrf" value="(.+?)"', self.client.get("/login").text).group(1)
        self.client.post("/login", data={"csrf": csrf, "user": self.user})
        self.sio.connect(namespaces=["/", "/quiet"])


class Member(Visitor):
    abstract = True

    @task
    def talk(self):
        said = self.sio.call("message", {"text": "hi"}, timeout=30)
        assert said == {"from": self.user, "text": "hi"}, said
        assert self.sio.call("whoami", timeout=30) == self.user
        step(self)


globals().update(each_way(Member))


class Unlucky(Visitor):
    """Its events meet handlers that raise."""

    fixed_count = 1

    @task
    def crash(self):
        assert self.sio.call("crash", namespace="/quiet", timeout=30) == {"error": "the handler's own fault"}
        try:
            self.sio.call("crash", timeout=0.3)
        except AckTimeout as error:
            print("CRASHED", error, flush=True)
        step(self)


class Stranger(SocketIOUser):
    fixed_count = 1
    wait_time = constant(60)

    def on_start(self):
        for namespace in ("/", "/quiet"):
            try:
                self.sio.connect(namespaces=[namespace], retry=False)
            except ConnectError as error:
                print("REFUSED", error, flush=True)
        step(self, ITERATIONS)

    @task
    def rest(self):
        pass
