"""A locustfile for workers that join a running test, some of them at Locust's worst moment."""

import os

import gevent.monkey
import locust.runners
from locust import constant, task

from sioload import SocketIOUser

if os.environ.get("PAUSE"):
    # The master's "ack" and "spawn" are both there before the worker looks, as it joins a running test:
    # `test_start` fires while its runner is still being made, before `init`.
    handle = locust.runners.WorkerRunner.handle_message
    sleep = gevent.monkey.get_original("time", "sleep")

    def late(self, msg):
        if msg.type == "ack":
            sleep(0.1)
        handle(self, msg)

    locust.runners.WorkerRunner.handle_message = late


if os.environ.get("MUTE"):
    locust.runners.HEARTBEAT_INTERVAL = 30


class Joiner(SocketIOUser):
    wait_time = constant(0.05)
    options = {"transports": ["websocket"], "version": 4}

    @task
    def talk(self):
        self.sio.call("echo", 1)
