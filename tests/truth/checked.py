"""A bit of everything that checks can be about, failures among it."""

import contextlib

from locust import task

from sioload import SocketIOUser, UnexpectedReply, on, paced


class Busy(SocketIOUser):
    options = {"version": 4}
    wait_time = paced(10)

    def on_start(self):
        self.sio.connect()
        self.sio.emit("subscribe", 20)

    @task
    def work(self):
        self.sio.call("echo", 1)
        self.sio.call("echo", 2, reply="news")
        with contextlib.suppress(UnexpectedReply):
            self.sio.call("echo", 3, name="refused", ok=lambda value: False)
        with self.sio.expect("news"):
            pass

    @on("news", sent_at=lambda news: news["sent"], delivery=lambda news: (0, news["n"]))
    def read(self, news):
        pass
