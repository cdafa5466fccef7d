"""What people look at: the tab in Locust's web UI, the chart page, HTML report, metrics, the live line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import locust

from sioload import swarm
from sioload.swarm.guard import Guard
from sioload.swarm.single import Single
from sioload.swarm.worker import Worker
from sioload.web import hosts, metrics, otlp, pages, tab, terminal
from sioload.web.html_report import Maker
from sioload.web.live import LOOK, Live

if TYPE_CHECKING:
    from locust.env import Environment

_installed = False


def install() -> None:
    """Hook into Locust's events; called when sioload is imported. `--processes` forks later: open nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    swarm.install()
    events: Any = locust.events
    events.init.add_listener(lambda environment, **_: attach(environment))


def attach(environment: Environment) -> None:
    """Show the run of this process, or of all workers on a master; a worker, or a single user, shows nothing.

    Raises:
        SystemExit: the metrics can't be served (exit code 2).
    """
    part = swarm.attach(environment)
    if isinstance(part, Worker | Single):
        return
    live = Live(environment, part)
    guard = Guard(environment, part.judge.internal_error)
    guard.every(LOOK, live.watch)
    part.judge.makers.append(Maker(live))
    if environment.web_ui is not None:
        hosts.conceal(environment.web_ui)
        tab.add_tab(environment.web_ui, live, guard.safe)
        pages.add_pages(environment.web_ui, live)
    metrics.serve_if_asked(live, guard)
    otlp.export_if_asked(live, guard)
    terminal.show_if_headless(live, guard)
