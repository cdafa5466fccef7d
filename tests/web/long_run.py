"""Write the HTML report of a long run that never was: `long_run.py FILE SECONDS ROWS`."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import locust  # noqa: F401 - patches what must be patched first

from sioload.measure.connections import Connections
from sioload.measure.health import Health
from sioload.measure.ledger import Ledger
from sioload.measure.rows import Totals
from sioload.report.document import report
from sioload.report.figures import Figures
from sioload.report.history import History
from sioload.web.html_report import html
from sioload.web.live import Look

STEP = 15  # seconds between two reports of workers


def main(path: str, seconds: int, rows: int) -> None:
    """Each row gets times that wander, and fails now and then."""
    rng = random.Random(1)
    totals = [
        Totals("CALL" if n % 2 else "PUSH", f"/namespace event number {n} </script>") for n in range(rows)
    ]
    made, ledger, history, healths = Connections(), Ledger(), History(), [Health() for _ in range(4)]
    for _ in range(500):
        made.open("websocket")
    figures = Figures(
        totals, ledger, made, health=[(f"host_{n:032x}", h.totals) for n, h in enumerate(healths)]
    )
    for health in healths:
        health.begin()
        health.ramped(0.0, None)
    for now in range(STEP, seconds + 1, STEP):
        for number, row in enumerate(totals):
            middle = 0.002 * (1 + number) * (1.5 + rng.random())
            for _ in range(6):
                row.times.add(middle * rng.lognormvariate(0, 0.7), 10)
            if rng.random() < 0.02:
                row.errors["no ack within 10 s"] = row.errors.get("no ack within 10 s", 0) + 1
            ledger.emits += 60
            ledger.acked += 60
        if rng.random() < 0.1:
            made.close("websocket", "ping timeout")
            made.open("websocket")
        for health in healths:
            health.tick(float(now), rng.random() / 500, used := rng.random() / 800, used)
            health.close(float(now), None)
        history.feed(float(now), figures, 500)
    found = report(
        figures,
        version="0",
        started=1.8e9,
        duration=seconds,
        host="http://127.0.0.1:1",
        peak_users=500,
        workers=4,
    )
    look = Look(found, figures, history.points, history.rows, "stopped", 0, False, True, seconds)
    environment = SimpleNamespace(
        parsed_options=SimpleNamespace(num_users=500),
        locustfile="none.py",
        user_classes=[],
        shape_class=None,
    )
    Path(path).write_text(html(look, environment), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
