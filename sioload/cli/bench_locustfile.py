"""The scenario of `sioload bench`, run by Locust; its settings come in SIOLOAD_BENCH."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import gevent
from locust import constant, task

from sioload import AckTimeout, ConnectError, EmitError, SocketIOUser, feed
from sioload.cli import quiet
from sioload.cli.templates import filled, text_of
from sioload.client.attempts import repeat
from sioload.engineio.urls import bare
from sioload.plain import Json
from sioload.report.transcript import one_line
from sioload.users.pacing import paced

SETTINGS = json.loads(os.environ["SIOLOAD_BENCH"])
EVENT, ARGS = SETTINGS["event"], tuple(SETTINGS["args"])
FEED = feed(SETTINGS["feed"]) if SETTINGS["feed"] else None
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
        logger.error("sioload bench: %s", one_line(text))


class BenchUser(SocketIOUser):
    """Emits one event, over and over."""

    options = SETTINGS["options"]
    wait_time = constant(0) if SETTINGS["rate"] is None else paced(SETTINGS["rate"])

    args: tuple[Any, ...] = ARGS
    login: Mapping[str, Json] = {}

    def on_start(self) -> None:
        """Connect, or say why not and try again."""
        if FEED is not None:
            row = FEED.take(self)
            self.args = tuple(filled(ARGS, row))
            options = SETTINGS["options"]
            headers = {name: text_of(value) for name, value in filled(options["headers"], row).items()}
            self.login = {"auth": filled(options["auth"], row), "headers": headers}
        connect = partial(self.sio.connect, retry=False, **self.login)
        if self.starting:
            repeat(connect, self.sio.options, self.sio.pause, self.complain)
        else:  # it is tried once (`users/once.py`)
            connect()

    def complain(self, error: ConnectError) -> None:
        """An attempt to connect has failed."""
        tell(f"can't connect to {bare(self.host or '')}: {error} (sioload try URL shows each packet)")

    @task
    def emit(self) -> None:
        """One emit; its failure is a row already."""
        try:
            if WAITS:
                self.sio.call(EVENT, self.args, SETTINGS["namespace"], reply=REPLY)
            else:
                self.sio.emit(EVENT, self.args, SETTINGS["namespace"])
        except EmitError as error:
            tell(str(error))
            if not isinstance(error, AckTimeout):
                gevent.sleep(REST)

    def listen(self) -> None:
        """What is done without an event."""


if EVENT is None:
    BenchUser.tasks = [BenchUser.listen]
quiet.install()
