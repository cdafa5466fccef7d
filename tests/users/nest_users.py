"""Users of `nest.js`: they log in for a token, connect in each way, and one has no token."""

from each_way import ITERATIONS, each_way, step
from locust import constant, task

from sioload import ConnectError, SocketIOUser, on


class Visitor(SocketIOUser):
    abstract = True
    wait_time = constant(0.1)

    def on_start(self):
        self.user = type(self).__name__
        token = self.client.post("/login", json={"user": self.user}).json()["token"]
        self.sio.connect(auth={"token": token}, namespaces=["/chat", "/staff"])


class Member(Visitor):
    abstract = True

    @task
    def talk(self):
        said = self.sio.call("message", {"text": "hi"}, namespace="/chat", timeout=30)
        assert said == {"from": self.user, "text": "hi"}, said
        answer = self.sio.call("ask", 7, reply="answer", namespace="/chat", timeout=30)
        assert answer == {"to": self.user, "body": 7}, answer
        step(self)


globals().update(each_way(Member))


class Rude(Visitor):
    """What it says is rejected by an event, and not acknowledged."""

    fixed_count = 1

    @task
    def talk(self):
        self.sio.call("message", {"text": ""}, reply="exception", namespace="/chat", name="rude", timeout=30)
        step(self)

    @on("exception", namespace="/chat")
    def rejected(self, error):
        raise ValueError(error["message"])


class Stranger(SocketIOUser):
    fixed_count = 1
    wait_time = constant(60)
    options = {"reconnection": False}

    def on_start(self):
        try:
            self.sio.connect(namespaces=["/staff"], retry=False)
        except ConnectError as error:
            print("REFUSED", error, error.data, flush=True)
        self.sio.connect(namespaces=["/chat"], retry=False)
        self.sio.wait()
        print("STAYED AWAY", flush=True)
        step(self, ITERATIONS)

    @task
    def rest(self):
        pass
