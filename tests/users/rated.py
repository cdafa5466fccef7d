"""Users of `paced` and `Arrivals`, one of them chosen by USERS."""

import os
from time import perf_counter

import gevent
from locust import TaskSet, constant, events, task

from sioload import Arrivals, EmitError, SocketIOUser, on, paced

RATE = 20.0
CHOICE = os.environ["USERS"]
#: When each user began and was told to stop, by its class.
spans = {}


class Timed(SocketIOUser):
    abstract = True
    options = {"transports": ["websocket"], "version": 4}
    wait_time = paced(RATE)

    def on_start(self):
        self.sio.connect()
        self.span = [perf_counter(), None]
        spans.setdefault(type(self).__name__, []).append(self.span)

    def stop(self, force=False):
        self.span[1] = perf_counter()
        return super().stop(force)


class OnTime(Timed):
    """Quick answers: nothing is late."""

    @task
    def work(self):
        self.sio.call("echo", 1, name="first")
        self.sio.call("echo", 1, name="second")


class Late(Timed):
    """Each iteration takes twice as long as there is time for it."""

    @task
    def work(self):
        self.sio.call("delay", 2 / RATE, name="slow")


class Silent(Timed):
    """No ack, so no time; and handlers that emit have no part in it."""

    def on_start(self):
        super().on_start()
        self.sio.emit("subscribe", 200)

    @on("news")
    def read(self, news):
        self.sio.emit("echo", name="handler")

    @task
    def work(self):
        self.sio.emit("message", name="told")
        gevent.sleep(3 / RATE)


class Faulty(Timed):
    """Tasks that raise keep their pace."""

    @task
    def work(self):
        self.sio.call("echo", 1, name="before")
        raise ValueError("the script's own")


class Nested(Timed):
    """The pace goes on in task sets."""

    @task
    class Inner(TaskSet):
        @task
        def work(self):
            self.user.sio.call("echo", 1, name="inner")
            if perf_counter() - self.user.span[0] > 1:
                self.interrupt(reschedule=False)


class Beside(Timed):
    """What is late, on a further connection."""

    def on_start(self):
        super().on_start()
        self.other = self.another_client()
        self.other.connect()

    @task
    def work(self):
        self.other.call("delay", 2 / RATE, name="beside")


class Bursts(Timed):
    """A set with a pace of its own, entered again and again."""

    wait_time = constant(1)

    @task
    class Burst(TaskSet):
        wait_time = paced(RATE)

        def on_start(self):
            self.left = 5

        @task
        def work(self):
            self.user.sio.call("echo", 1, name="burst")
            self.left -= 1
            if not self.left:
                self.interrupt(reschedule=False)


class Faster(Bursts):
    """The same of a user who has a pace too."""

    wait_time = paced(1)


class Stuck(Timed):
    """Never comes to emit anything."""

    @task
    def work(self):
        gevent.sleep(60)


class Session(SocketIOUser):
    """What `Arrivals` begins."""

    options = {"transports": ["websocket"], "version": 4}
    wait_time = constant(0.05)
    weight = 3

    @task
    def work(self):
        try:
            self.sio.call("delay" if CHOICE == "SlowSession" else "echo", 3.0)
        except EmitError:
            pass


class Rare(Session):
    """Another class of them."""

    weight = 1


class SlowSession(Session):
    """Its task takes longer than the session shall."""


chosen = {"Session": ["Session", "Rare"]}.get(CHOICE, [CHOICE])
for name in [name for name, value in list(globals().items()) if isinstance(value, type)]:
    if issubclass(globals()[name], SocketIOUser) and name not in [*chosen, "SocketIOUser", "Timed"]:
        del globals()[name]


if CHOICE in ("Session", "SlowSession"):

    class Crowd(Arrivals):
        rate = 10.0
        session_length = 1.0
        duration = float(os.environ.get("DURATION", "0")) or None


@events.quit.add_listener
def write(**_):
    if spans:
        with open(os.environ["SPANS"], "w") as file:
            for name, those in spans.items():
                for begun, stopped in those:
                    print(name, stopped - begun, file=file)
