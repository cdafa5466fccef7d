"""The official JavaScript clients beside ours: the same requests and packets, or a reason why not."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serverkit
from proxykit import PASS, haproxy, nginx

PROGRAM = Path(__file__).with_name("differential.py")
Servers = Callable[..., serverkit.Server]

TALK: list[list[Any]] = [
    ["call", "echo", "one", {"two": 2}],
    ["emit", "echo", "€😀é"],
    ["wait", "echo"],
    ["call", 1, "number"],
    ["call", "ask", "why"],
    ["wait", "answered"],
]
WORDS = [step for step in TALK if step[1] != 1]
UP = ["polling", "websocket"]
KICKED: list[list[Any]] = [["wait", "disconnect"], ["sleep", 300]]

#: What stands before a server on a port.
FRONTS: dict[str, Callable[[int], contextlib.AbstractContextManager[str]]] = {
    "nginx that keeps connections for 1 s": lambda port: nginx(
        "keepalive_timeout 1s;" + PASS.format(behind=port)
    ),
    "nginx that drops Upgrade": lambda port: nginx(f"location / {{ proxy_pass http://127.0.0.1:{port}; }}"),
    "haproxy with a sticky cookie": lambda port: haproxy(
        "", f"  cookie NODE insert indirect nocache\n  server n0 127.0.0.1:{port} cookie n0"
    ),
    "haproxy that closes behind each answer": lambda port: haproxy(
        "  timeout http-keep-alive 1", f"  server n0 127.0.0.1:{port}"
    ),
}


def case(kind: str, *options: str, **more: Any) -> dict[str, Any]:
    """A server of the tests, what stands before it, the client of its generation, and what both do."""
    version = int(more.pop("client", kind[-1]))
    made = {"kind": kind, "options": options, "lib": f"client{version}", "version": version,
            "transports": ["websocket"], "namespace": "/", "script": TALK, "front": "", **more}  # fmt: skip
    told = {key: more[key] for key in sorted(more) if key != "script"}
    made["name"] = " ".join([kind, *options, f"client{version}", json.dumps(told)])
    return made


QUICK = [
    case("sio4", transports=UP),
    case("sio4", namespace="/private", auth={"token": "secret"}),
    case("sio2", transports=UP),
    case("sio2", namespace="/private", query="token=secret"),
    case("sio1"),
    case("sio3", transports=["polling"]),
    case("sio4", transports=UP, front="nginx that drops Upgrade"),
    case("sio4", "--dismiss", "200", transports=UP, script=KICKED),
]
LONG = [
    *[case(kind, transports=["polling"]) for kind in ("sio1", "sio2", "sio4")],
    *[case(kind, transports=UP) for kind in ("sio1", "sio3")],
    *[case(kind) for kind in ("sio2", "sio3", "sio4")],
    case("sio1", namespace="/private", query="token=secret"),
    case("sio3", namespace="/private", auth={"token": "secret"}),
    case("sio4", namespace="/private", auth={"token": "wrong"}, script=[["wait", "connect_error"]]),
    case("sio2", namespace="/private", script=[["wait", "error"]]),
    case(
        "sio4",
        "--recovery",
        transports=UP,
        script=[["call", "echo", "one"], ["emit", "utf"], ["wait", "utf"]],
    ),
    case("sio4", "--msgpack", msgpack=True),
    case("sio4", "--cookie", transports=UP),
    case("sio4", "--allow-eio3", client=2, transports=UP),
    case("sio2", "--cookie", transports=UP),
    case("sio4", "--refuse-upgrade", transports=UP),
    case("sio2", "--transports", "websocket"),
    case("sio1", "--transports", "websocket"),
    case("sio4", "--transports", "websocket"),
    case("sio4", "--transports", "polling", transports=UP),
    case("sio2", "--transports", "polling", transports=UP),
    case("sio2", "--dismiss", "200", transports=UP, script=KICKED),
    case("sio4", "--max-payload", "2000", transports=["polling"]),
    case("sio4", "--ping-interval", "300", transports=["polling"], script=[*TALK, ["sleep", 700]]),
    case("sio2", "--ping-interval", "300", script=[*TALK, ["sleep", 700]]),
    case("sio2", transports=UP, script=[["emit", "forbidden"], ["wait", "error"], ["call", "echo", 1]]),
    case("pysio5", client=4, transports=UP, script=WORDS),
    case("pysio4", client=2, transports=UP, script=WORDS),
    case("pysio5", client=4, script=WORDS),
    *[case(kind, transports=UP, front=front) for kind in ("sio2", "sio4") for front in FRONTS],
]

#: What may differ: in which cases (a pattern of their names), in which sequence, what is done to each line
#: before both are compared (replaced, or with None left out), and why.
DIFFERENCES: list[tuple[str, str, str, str | None, str]] = [
    ("client[123]", "requests", "&b64=1", "",
     "Node's XMLHttpRequest takes no octets, so that its clients of these generations always ask for base64"),
    ("polling.*websocket", "requests", "^POST", None,
     "how soon an upgrade is done decides whether a packet is still posted"),
    ("client[12]", "messages", r"\\u[0-9a-f]{4}", "?",
     "JSON to 1.x is escaped, a form that servers of 1.0.x read as well"),
    ("client[12]", "messages", r"€😀é", "????", "the same text, not escaped"),
    ("msgpack", "messages", r', "options": \{"compress": true\}', "",
     "what the JavaScript client tells its own transport stays in its packets; no server reads it"),
    ("msgpack", "messages", '"data": null, ', "", "JavaScript's undefined, which its msgpack sends"),
    ("msgpack", "messages", r'"id": \d+(?=.*"type": 3)', '"id": *', "the id of the server's own question"),
]  # fmt: skip


def lane(request: str) -> tuple[bool, str]:
    """Which of a session's connections a request goes over."""
    return request.endswith(" upgrade"), request.partition(" ")[0]


def masked(case: dict[str, Any], what: str, lines: list[str]) -> list[str]:
    """The lines without the differences that have a reason.

    GETs, POSTs and the websocket of one session go over connections of their own, so that the first may be of
    either; those of each are held in their order. The ids of a server's own questions go on from client to
    client.
    """
    for cases, where, pattern, other, _ in DIFFERENCES:
        if where == what and re.search(cases, case["name"]):
            lines = [line for line in lines if other is not None or not re.search(pattern, line)]
            lines = [re.sub(pattern, other or "", line) for line in lines]
    if what == "requests":
        return [*lines[:1], *sorted(lines[1:], key=lane)]
    return [re.sub(r"^(3(?:/\w+,)?)\d+", r"\1*", line) for line in lines]


def check(cases: list[dict[str, Any]], servers: Servers) -> None:
    """Both clients sent the same in every case."""
    with contextlib.ExitStack() as fronts:
        asked = []
        for one in cases:
            server = servers(one["kind"], *one["options"])
            front = FRONTS.get(one["front"])
            url = server.url if front is None else fronts.enter_context(front(server.port))
            asked.append({**one, "url": url})
        done = serverkit.run([sys.executable, PROGRAM, json.dumps(asked)], timeout=110)
    assert done.code == 0, done.text
    found = {line["name"]: line for line in map(json.loads, done.out.splitlines())}
    faults = []
    for one in cases:
        for what in ("requests", "messages", "controls"):
            theirs, ours = (masked(one, what, found[one["name"]][who][what]) for who in ("official", "ours"))
            if ours != theirs:
                faults.append(f"{one['name']}: {what}\n  official {theirs}\n  ours     {ours}")
    assert not faults, "\n".join(faults)


def test_ours_and_the_official_clients_send_the_same(servers: Servers) -> None:
    check(QUICK, servers)


def test_there_are_twenty_servers() -> None:
    """Of kinds, options and what stands before them, not counting what is only asked differently."""
    assert len({(one["kind"], one["options"], one["front"]) for one in QUICK + LONG}) >= 20
    for cases, where, pattern, _, reason in DIFFERENCES:
        assert reason and where in ("requests", "messages", "controls") and re.compile(pattern)
        assert any(re.search(cases, one["name"]) for one in QUICK + LONG), f"{cases}: a difference of no case"


@pytest.mark.verify
@pytest.mark.parametrize("one", LONG, ids=[one["name"] for one in LONG])
def test_ours_and_the_official_clients_send_the_same_to(servers: Servers, one: dict[str, Any]) -> None:
    check([one], servers)
