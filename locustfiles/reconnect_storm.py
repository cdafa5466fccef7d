"""Everyone comes back at once, as after a deployment: can the server take all the handshakes?

At each full period of the clock all users leave and connect again.
"""

import time

from locust import task

from sioload import SocketIOUser

PERIOD = 10  # seconds


class Returning(SocketIOUser):
    host = "http://127.0.0.1:5000"

    def wait_time(self):
        return PERIOD - time.time() % PERIOD

    @task
    def come_back(self):
        self.sio.disconnect()
        self.sio.connect()
        self.sio.call("echo", "back again", timeout=5)
