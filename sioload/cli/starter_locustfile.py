"""A first load test of a Socket.IO server. Runs as it stands against `sioload target`.

locust -f locustfile.py                                  web UI on http://localhost:8089
locust -f locustfile.py --headless -u 100 -r 10 -t 60s   in a terminal or in CI
locust -f locustfile.py --headless -u 100 -r 10 -t 60s --processes 4 --sio-report report.json \
    --sio-check "CALL: p99 < 250ms" --sio-check "ledger: timeout == 0"
"""

from typing import Any

from locust import between, task
from sioload import SocketIOUser, on, stamp


class MyUser(SocketIOUser):
    # Your server, without the /socket.io/ path; --host on the command line wins.
    host = "http://127.0.0.1:5000"

    # Seconds between two tasks of a user.
    wait_time = between(0.5, 1.5)

    options = {
        # "version": 4,                      # 0 to 4, the server's Socket.IO major; found out by default
        # "transports": ["websocket"],       # connect directly; by default polling, then the upgrade
        # "path": "/socket.io/",
        # "auth": {"token": "secret"},       # what the server finds in socket.handshake.auth
        # "headers": {"Authorization": "Bearer ..."},
    }

    def on_start(self) -> None:
        # Log in over HTTP first, if your server wants that; its cookies go into the handshake:
        # self.client.post("/login", json={"user": "ann"})
        self.sio.connect(namespaces=["/"])

    @task(3)
    def ask(self) -> None:
        # Emits an event and waits for the server's ack. Shown as CALL, with its time.
        self.sio.call("echo", {"text": "hi"}, timeout=5, ok=lambda reply: reply["text"] == "hi")

    @task(1)
    def tell_everyone(self) -> None:
        # Emits without asking for an ack: shown as EMIT, without a time. Several arguments are a tuple.
        # The time goes along, so that receivers can tell how long the message was under way.
        self.sio.emit("message", {"text": "hello", "sent": stamp()})

    @on("message", sent_at=lambda message: message["sent"])
    def heard(self, message: Any) -> None:
        # Called for each "message" that the server sends. Shown as PUSH, with the time since stamp().
        ...
