"""Uploads: bytes inside an event's data, in chunks, each answered by the bytes that arrived."""

import os

from locust import between, task

from sioload import SocketIOUser

CHUNK = os.urandom(64 * 1024)
CHUNKS = 4


class Uploader(SocketIOUser):
    host = "http://127.0.0.1:5000"
    wait_time = between(1, 3)

    @task
    def upload(self):
        for number in range(CHUNKS):
            self.sio.call(
                "binary",
                {"file": "photo.jpg", "part": number, "data": CHUNK},
                timeout=10,
                ok=lambda reply: reply["data"] == CHUNK,
                name="upload 64 KiB",
            )
