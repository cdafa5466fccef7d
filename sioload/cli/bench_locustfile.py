"""The scenario of `sioload bench`, run by Locust; its settings come in SIOLOAD_BENCH."""

from __future__ import annotations

import json
import logging
import os

import gevent
from locust import constant, task

from sioload import AckTimeout, ConnectError, EmitError, SocketIOUser
from sioload.cli import quiet
from sioload.engineio.urls import bare
from sioload.users.pacing import paced

SETTINGS = json.loads(os.environ["SIOLOAD_BENCH"])
EVENT, ARGS = SETTINGS["event"], tuple(SETTINGS["args"])
REPLY, WAITS = SETTINGS["reply"], SETTINGS["ack"] or SETTINGS["reply"] is not None

#: Seconds that a user rests when an emit could not even be sent, lest it spins.
REST = 1.0
#: Different faults that are told in the terminal; all of them are failure rows.
TOLD = 10

logger = logging.getLogger("sioload.bench")
told: set[str] = set()


def tell(text: str) -> None:
    """Say once what is wrong, while it can be mended."""
    if text not in told and len(told) < TOLD:
        told.add(text)
        logger.error("sioload bench: %s", text)


class BenchUser(SocketIOUser):
    """Emits one event, over and over."""

    options = SETTINGS["options"]
    wait_time = constant(0) if SETTINGS["rate"] is None else paced(SETTINGS["rate"])

    def on_start(self) -> None:
        """Connect, or say why not and try again."""
        try:
            self.sio.connect(retry=False)
        except ConnectError as error:
            tell(f"can't connect to {bare(self.host or '')}: {error}")
            self.sio.pause(self.sio.options.reconnection_delay)
            self.sio.connect()

    @task
    def emit(self) -> None:
        """One emit; its failure is a row already."""
        try:
            if WAITS:
                self.sio.call(EVENT, ARGS, SETTINGS["namespace"], reply=REPLY)
            else:
                self.sio.emit(EVENT, ARGS, SETTINGS["namespace"])
        except EmitError as error:
            tell(str(error))
            if not isinstance(error, AckTimeout):
                gevent.sleep(REST)


quiet.install()
