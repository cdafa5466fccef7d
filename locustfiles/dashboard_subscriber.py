"""Dashboards: users who subscribe once and then mostly receive.

`news` carries the server's stamp (PUSH rows tell how late it arrives) and a number: the delivery check finds
what was lost, doubled or reordered.
"""

from locust import between, task

from sioload import SocketIOUser, on

PUSHES_A_SECOND = 2


class Dashboard(SocketIOUser):
    host = "http://127.0.0.1:5000"
    wait_time = between(10, 20)

    def on_connected(self):
        self.sio.call("subscribe", {"rate": PUSHES_A_SECOND}, ok=lambda reply: reply["ok"])

    @task
    def look_closer(self):
        self.sio.call("echo", {"detail": 7}, name="detail")

    @on("news", sent_at=lambda news: news["sent"], delivery=lambda news: ("news", news["n"]))
    def show(self, news):
        self.shown = news["n"]
