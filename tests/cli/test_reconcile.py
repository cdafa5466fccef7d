"""The comparison of a report with the server's counts."""

from __future__ import annotations

from typing import Any

import pytest

from sioload.cli.reconcile import compare


def event(kind: str, name: str, count: int, failures: int = 0) -> dict[str, Any]:
    return {"type": kind, "name": name, "count": count, "failures": failures}


REPORT = {
    "events": [
        event("CONNECT", "/", 5),
        event("CONNECT", "/chat", 5, 1),
        event("CALL", "/chat message", 10, 2),
        event("EMIT", "echo", 7),
        event("RECV", "echo", 7),
        event("PUSH", "/chat message", 30),
        event("HEARTBEAT", "ping", 99),
    ]
}
COUNTS = {
    "received": {"/": {"echo": 7}, "/chat": {"message": 10}},
    "acks": {"/chat": {"message": 8}},
    "sent": {"/": {"echo": 7}, "/chat": {"message": 30}},
    "connects": {"/": 5, "/chat": 4},
}


def test_equal_counts_agree():
    assert compare(REPORT, COUNTS) == (7, [])


@pytest.mark.parametrize(
    "table, namespace, name, line",
    [
        ("received", "/", "echo", "emits of / echo: the report says 7, the server 8"),
        ("acks", "/chat", "message", "acks of /chat message: the report says 8, the server 9"),
        ("sent", "/chat", "message", "pushes of /chat message: the report says 30, the server 31"),
        ("sent", "/", "news", "pushes of / news: the report says 0, the server 1"),
    ],
)
def test_each_difference_is_named(table, namespace, name, line):
    events = {**COUNTS[table].get(namespace, {})}
    events[name] = events.get(name, 0) + 1
    counts = {**COUNTS, table: {**COUNTS[table], namespace: events}}
    assert compare(REPORT, counts)[1] == [line]


def test_connects_are_compared():
    assert compare(REPORT, {**COUNTS, "connects": {"/": 5, "/chat": 5}})[1] == [
        "connects to /chat: the report says 4, the server 5"
    ]
