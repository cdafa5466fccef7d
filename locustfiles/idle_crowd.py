"""A crowd of users who hold a connection and say next to nothing: what does holding them cost the server?

Heartbeats go on by themselves. `connect_jitter` spreads the users that Locust starts at one instant.
"""

from locust import between, task

from sioload import SocketIOUser


class Bystander(SocketIOUser):
    host = "http://127.0.0.1:5000"
    wait_time = between(30, 60)
    options = {"transports": ["websocket"], "connect_jitter": 1.0}

    @task
    def still_here(self):
        self.sio.call("echo", name="still here")
