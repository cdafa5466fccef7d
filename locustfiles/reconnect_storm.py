"""Everyone comes back at once, as after a deployment: can the server take all the handshakes?

At each full period of the clock all users leave and connect again. Some are thrown out by the server instead.
"""

import time

from locust import task

from sioload import SocketIOUser

PERIOD = 10  # seconds


class Returning(SocketIOUser):
    host = "http://127.0.0.1:5000"

    def wait_time(self):
        return PERIOD - time.time() % PERIOD

    @task(4)
    def come_back(self):
        self.sio.disconnect()
        self.sio.connect()
        self.sio.call("echo", "back again", timeout=5)

    @task(1)
    def thrown_out(self):
        """The server closes the namespace; the user joins it again before its next task."""
        self.sio.emit("kick")
