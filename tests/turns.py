"""Who runs beside whom when tests run in several processes (pytest-xdist): most wait more than they work.

A file is a unit, so that what its fixtures start serves all its tests. What judges times, or whether the load
generator kept up, comes last: unit after unit in two processes, and then in one, when all others have ended.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

#: Files that share what a fixture of the session starts, and are one unit.
SCENES = ("tests/swarm/test_runs.py", "tests/swarm/test_verdicts.py", "tests/swarm/test_web_ui.py")
#: What needs the machine for itself, by how its path begins; a test of a file is a unit of its own then.
ALONE = (
    "tests/truth/test_delays.py", "tests/truth/test_health.py",
    "tests/cli/test_capacity.py::test_the_limit_of_one_core_is_found",
    "tests/swarm/test_drill.py::test_five_hundred_users_of_a_server_that_is_killed",
)  # fmt: skip
#: What needs a core for itself, most of the time: two at a time, the longest first.
TWO = (
    *SCENES, "tests/test_readme.py::test_all_blocks_run_in_order",
    "tests/truth/test_audience.py::test_what_servers_do_wrong_is_found_and_nothing_else",
    "tests/importing/test_browser.py::test_recorded_account_is_shared_by_many_users",
    "tests/users/test_schedule.py", "tests/truth/test_omission.py", "tests/truth/test_clocks.py",
    "tests/truth/test_delivery.py",
)  # fmt: skip
#: What waits longest begins first, and what never waits comes last.
ORDER = (
    "soak/", "cli/test_bench.py", "cli/test_capacity.py", "faults/", "test_readme.py", "conformance/",
    "browser/", "test_plain.py", "feeds/", "users/", "load/", "web/", "dashboards/", "truth/", "cli/",
    "target/", "swarm/", "locust_features/", "runs/", "security/", "testing/", "session/", "client/",
    "importing/", "report/test_noise.py", "fuzz/", "test_package.py", "test_layout.py", "",
)  # fmt: skip
#: Of the long tests, what lasts longest begins first, each in a process. A process that begins with one or
#: two tests gets another unit at once, so the next ones come after these.
LONG = (
    "soak/test_soak.py", "fuzz/test_decoders.py", "faults/test_torture.py", "cli/test_fresh.py",
    "truth/test_reconciliation.py", "soak/", "cli/test_demo.py", "faults/", "fuzz/", "runs/", "",
)  # fmt: skip


def turn(nodeid: str, long: bool = False) -> int:
    """The place of a test among the others, in the quick tier or in the long one."""
    order = LONG if long else ORDER
    for place, begins in enumerate((*TWO, *ALONE)):
        if nodeid.startswith(begins):
            return len(order) + place
    return next(place for place, begins in enumerate(order) if nodeid.startswith(f"tests/{begins}"))


def unit(nodeid: str) -> str:
    """What a test runs with, in one process: the tests of its file, or of several."""
    for begins in (*TWO, *ALONE):
        if "::" in begins and nodeid.startswith(begins):
            return begins
    path = nodeid.partition("::")[0]
    return SCENES[0] if path in SCENES else path


class Turns(LoadScopeScheduling):
    """Hands the units out to pytest-xdist's processes, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        scope = next(iter(self.workqueue))
        most = 1 if scope.startswith(ALONE) else 2 if scope.startswith(TWO) else len(self.nodes)
        if len(self.nodes) > most:
            # The last ones to have nothing else to do wait until the others have ended.
            if sum(not other.shutting_down for other in self.nodes) > most:
                node.shutdown()
            return
        super()._assign_work_unit(node)

    def remove_node(self, node: WorkerController) -> str | None:
        crashed = super().remove_node(node)
        for other in self.nodes:
            self._reschedule(other)
        return crashed
