"""Requests of `self.client` and of other users are rows like ours, in every place, and counted once."""

from __future__ import annotations

from pathlib import Path

from swarmkit import Swarm, scene

USERS = Path(__file__).parent / "http_users.py"
CHECKS = (
    "POST[/login]: p95 < 10s",
    "POST[/no-such*]: fail_ratio == 100%",
    "GET: count > 0",
    "PUT: count > 0 warn",
)


@scene
def test_http_requests_have_rows_alone(swarm: Swarm) -> None:
    requests_have_rows(swarm)


@scene
def test_http_requests_have_rows_with_workers(swarm: Swarm) -> None:
    requests_have_rows(swarm, "--processes", "2")


def requests_have_rows(swarm: Swarm, *more: str) -> None:
    checks = [part for check in CHECKS for part in ("--sio-check", check)]
    html = swarm.folder / "ours.html"
    assert swarm.run(swarm.args("-f", USERS, "-t", "3s", "--sio-html", html, *checks, *more, users=8)) == 1
    swarm.assert_everything_agrees()
    rows = {(event["type"], event["name"]): event for event in swarm.report["events"]}
    login, refused = rows["POST", "/login"], rows["POST", "/no-such-login"]
    assert login["count"] == refused["count"] == refused["failures"] == rows["CONNECT", "/"]["count"] > 0
    assert login["failures"] == 0 and login["latency_ms"]["p95"] > 0
    assert list(refused["errors"]) == ["404 Client Error: Not Found"]
    asked = swarm.target.counts()
    assert rows["GET", "/counts"]["count"] > 0 and asked["received"]
    assert rows["SQL", "select"]["latency_ms"]["min"] == rows["SQL", "select"]["latency_ms"]["max"] == 12.5
    assert rows["SQL", "insert"]["latency_ms"] is None
    assert rows["CALL", "echo"]["failures"] == rows["SQL", "select"]["count"]
    assert [check["ok"] for check in swarm.report["checks"]] == [True, True, True, False]
    page = html.read_text()
    assert "/no-such-login" in page and "canary" not in page + swarm.processes[0].out


FIRING = """
exec(open({users!r}).read())

@events.init.add_listener
def watch(environment, runner, **_):
    def look():
        while True:
            gevent.sleep(0.05)
            if runner.state == "running":
                environment.events.request.fire(request_type="GET", name="/queue", response_time=2.0,
                                                response_length=0, exception=None, context={{}})

    if hasattr(runner, "clients"):
        gevent.spawn(look)
"""


@scene
def test_requests_that_a_script_fires_on_the_master_have_rows(swarm: Swarm) -> None:
    script = swarm.folder / "firing.py"
    args = swarm.args("-t", "5s", "--processes", "2")
    script.write_text(FIRING.format(users=str(args[1])))
    args[1] = script
    for part in ("", " after 2s"):
        args += ["--sio-check", f"GET[/queue]: count > 10{part}"]
    assert swarm.run(args) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    whole, late = (float(check["value"]) for check in swarm.report["checks"])
    assert whole > late > 10
    assert len(swarm.report["health"]["processes"]) == 2, "where no users run there is no generator"


SEEDING = """
exec(open({users!r}).read())

@events.test_start.add_listener
def seed(environment, **_):
    def fire(name, exception=None):
        environment.events.request.fire(request_type="PATCH", name=name, response_time=2.0,
                                        response_length=0, exception=exception, context={{}})
    fire("room")
    if not hasattr(environment.runner, "clients"):
        gevent.sleep(3.2)  # in which a worker reports
    fire("user", ValueError("no such user"))
"""


@scene
def test_requests_that_listeners_of_test_start_make_have_rows_alone(swarm: Swarm) -> None:
    seeds_have_rows(swarm, 1)


@scene
def test_requests_that_listeners_of_test_start_make_have_rows_with_workers(swarm: Swarm) -> None:
    seeds_have_rows(swarm, 3, "--processes", "2")


def seeds_have_rows(swarm: Swarm, processes: int, *more: str) -> None:
    """What fills a server before its users come."""
    script = swarm.folder / "seeding.py"
    args = swarm.args("-t", "7s", "--sio-check", "PATCH[user]: failures == 0", *more, users=4)
    script.write_text(SEEDING.format(users=str(args[1])))
    args[1] = script
    assert swarm.run(args) == 3, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    counts = swarm.counts()
    assert counts["PATCH", "room"] == (processes, 0) and counts["PATCH", "user"] == (processes, processes)
    assert swarm.report["checks"][0]["reason"] == f"failures is {processes}, not == 0"
