"""One driver's process for all scenarios, and users on a sound server beside each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import serverkit
from faults.kit import WEBSOCKET, Driver


@pytest.fixture(scope="session")
def lasting_driver() -> Iterator[Driver]:
    with Driver() as driver:
        yield driver


@pytest.fixture
def driver(lasting_driver: Driver, servers: Callable[..., serverkit.Server]) -> Iterator[Driver]:
    """The process that lives through all faults; two users of a sound server work beside each scenario."""
    lasting_driver.others = servers("target").url
    lasting_driver.open("others", lasting_driver.others, WEBSOCKET, users=2)
    lasting_driver.wait("others", "done", 2)
    yield lasting_driver
    if lasting_driver.popen.poll() is None and lasting_driver.status()["groups"]:
        lasting_driver.end(0.0)  # the test failed before it judged
