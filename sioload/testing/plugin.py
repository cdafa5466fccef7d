"""The plugin for pytest: the fixture `sio`, a Socket.IO client for functional tests.

pytest loads this file in every environment that sioload is installed in, so it imports nothing of the client
before a test asks for it. Then gevent is imported, and nothing is patched: a client's connection is served
while the test waits in one of its methods (`call`, `wait_for`, `sleep`, ...), and stands still otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sioload.plain import Json

if TYPE_CHECKING:
    from sioload.client.api import SocketIOClient


@pytest.fixture
def sio_options() -> dict[str, Json]:
    """The options of `sio`; define a fixture of this name to give yours."""
    return {}


@pytest.fixture
def sio(sio_options: dict[str, Json]) -> Iterator[SocketIOClient]:
    """A Socket.IO client, closed after the test, as are those of its `another_client()`.

    `sio.connect("http://...")` comes first. What fails, raises: in the method that the test called; or at the
    test's end, if no method could raise it: an exception in a handler, an ack that a callback never got.
    """
    from sioload.testing.clients import client

    with client(sio_options) as made:
        yield made
