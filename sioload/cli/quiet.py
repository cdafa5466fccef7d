"""What a packaged scenario prints: sioload's live line, faults and summary, but none of Locust's tables."""

from __future__ import annotations

import logging
from typing import Any

import locust


def install() -> None:
    """To be called by the scenario's file; Locust sets up its logging later."""
    init: Any = locust.events.init
    init.add_listener(_silence)


def _silence(**_: object) -> None:
    logging.getLogger("locust.stats_logger").disabled = True
