"""What was odd, from packets alone: each with its remedy, the cause of others last."""

from __future__ import annotations

from dataclasses import replace

from sioload.measure.trace import Count, Entry
from sioload.report.oddities import Oddities, Oddity
from sioload.report.summary import columns_of
from sioload.report.transcript import WIDTH, lines
from sioload.socketio.reading import Reading


def event(name: str, way: str = "received", *counts: Count, at: float = 0.0) -> Entry:
    return Entry(
        at, way, "websocket", f'42["{name}"]', Reading("event", f"event {name}", name, "/"), list(counts)
    )


def failed(type: str, name: str, why: str, seconds: float | None = None, at: float = 0.0) -> Entry:
    return Entry(at, counts=[Count(type, name, seconds, why)])


def told(*entries: Entry, handlers: tuple[str, ...] = ()) -> list[Oddity]:
    oddities = Oddities()
    for entry in entries:
        oddities.hear(entry)
    keys = {("/", name) for name in handlers}
    return oddities.found(lambda namespace, name: (namespace, name) in keys, keys)


def test_events_without_a_handler_and_handlers_without_their_event() -> None:
    (odd,) = told(event("message"), event("message"), handlers=("mesage",))
    assert "message came twice and has no handler" in odd.what and "'mesage' heard nothing" in odd.remedy
    (other,) = told(event("message"), event("mesage"), handlers=("mesage",))
    assert "message came once" in other.what and "@on('message')" in other.remedy, "both came"
    (elsewhere,) = told(replace(event("message"), reading=Reading("event", "", "message", "/chat")))
    assert "@on('message', namespace='/chat')" in elsewhere.remedy
    (plain,) = told(event("news"))
    assert "@on('news')" in plain.remedy
    assert told(event("news", "received", Count("WAIT", "news", 0.1, None))) == [], "somebody waited for it"
    assert told(event("news"), handlers=("news",)) == []


def test_a_misspelt_emit_names_the_nearest() -> None:
    call = failed("CALL", "mesage", "no ack in time", 10.0)
    odd = told(event("mesage", "sent"), event("message"), call, handlers=("message",))
    assert "It knows 'message'" in odd[-1].remedy
    (alone,) = told(event("mesage", "sent"), event("message"), handlers=("message",))
    assert "nothing tells" in alone.what and "'message'" in alone.remedy


def test_an_answer_by_event_is_suggested() -> None:
    call = failed("CALL", "join", "no ack in time", 10.0)
    odd = told(event("join", "sent"), event("welcome"), call, handlers=("welcome",))
    assert "reply='welcome'" in odd[-1].remedy


def test_an_event_is_not_taken_for_another_whose_name_begins_its_own() -> None:
    call = failed("CALL", "/chat echo now", "no ack in time", 10.0)
    before = [event("echo", "sent"), event("echo"), event("echo now", "sent")]
    (odd,) = told(*before, call, handlers=("echo",))
    assert "never calls its ack" in odd.remedy and "reply='echo'" not in odd.remedy
    (odd,) = told(*before, event("done"), call, handlers=("echo", "done"))
    assert "reply='done'" in odd.remedy
    odd, _ = told(event("ecko", "sent"), event("ecko now", "sent"), event("echo"),
                  failed("CALL", "ecko now", "no ack in time", 10.0), handlers=("echo",))  # fmt: skip
    assert odd.what == "emit ecko: nothing tells whether the server knows this event"


def test_a_connection_that_was_cut_while_idle() -> None:
    opened = Entry(0.0, "received", "websocket", '0{"pingInterval":25000}', Reading("open", "session open"))
    odd = told(opened, failed("DISCONNECT", "transport closed", "closed by the peer", at=2.1))
    assert "2.1 s in which nothing was said" in odd[-1].what and "proxy_read_timeout" in odd[-1].remedy
    assert odd[-1].what.endswith(", and the server's heartbeat comes every 25 s")
    busy = told(opened, failed("DISCONNECT", "transport closed", "closed by the peer", at=0.2))
    assert "proxy" not in busy[-1].remedy
    late = failed("CALL", "say", "no ack in time", at=5.0)
    talking = told(
        opened,
        late,
        event("say", "sent", at=5.0),
        failed("DISCONNECT", "transport closed", "closed by the peer", at=5.1),
    )
    assert "proxy" not in talking[-1].remedy and "server's log" in talking[-1].remedy
    often = replace(opened, text='0{"pingInterval":2000}')
    beats = told(often, failed("DISCONNECT", "transport closed", "closed by the peer", at=2.1))
    assert "proxy" not in beats[-1].remedy, "heartbeats came in between"


def test_failures_are_counted_and_told_once() -> None:
    refused, other = failed("CALL", "say", "unexpected reply"), failed("CALL", "say", "refused")
    (one,) = told(refused)
    assert one.what == "CALL say: unexpected reply"
    assert [odd.what for odd in told(refused, refused, other, other, other)] == [
        "CALL say: refused (3 times)",
        "CALL say: unexpected reply (twice)",
    ]


def test_the_cause_of_others_comes_last() -> None:
    odd = told(
        failed("POST", "/login", "401 Client Error"),
        failed("CONNECT", "/chat", "not authorized"),
        event("news"),
    )
    assert [each.what.split()[0] for each in odd] == ["event", "CONNECT", "POST"]


def test_nothing_is_wider_than_a_terminal() -> None:
    long = event("x" * 150, "received", Count("PUSH", "x" * 150, 0.0123, None))
    odd = Entry(1.5, "received", "polling", "\x1e\x00" * 300, Reading("garbage", "not understood"), [])
    binary = Entry(
        2.5, "sent", "polling", bytes(range(256)), Reading("attachment", "attachment of event x"), []
    )
    wide = event("部屋" * 12, "received", Count("PUSH", "部屋" * 12, 0.0123, None))
    for entry in (long, odd, binary, wide, replace(wide, text="部屋" * 60)):
        shown = lines(entry, 0.0)
        assert shown and all(columns_of(line) <= WIDTH and line.isprintable() for line in shown)
        assert len("".join(lines(entry, 0.0, full=True))) >= len("".join(shown))


def test_who_was_never_asked_wants_no_credentials() -> None:
    """What failed before the CONNECT is the cause, and has its own remedy, behind it."""
    untrusted = "certificate not trusted: self-signed certificate"
    tls = told(failed("DIAL", "tls", untrusted), failed("CONNECT", "/", f"tls: {untrusted}"))
    assert [odd.what.partition(":")[0] for odd in tls] == ["CONNECT /", "DIAL tls"]
    for text, said in (
        ("HTTP 400: Transport unknown (switched off on the server)", "transports"),
        ("HTTP 404: no Socket.IO server at this path", "path"),
    ):
        odd = told(failed("OPEN", "polling", text), failed("CONNECT", "/", f"open: {text}"))
        assert all(said in each.remedy for each in odd), odd
    refused = told(failed("CONNECT", "/", "open: HTTP 401: Unauthorized"))
    assert "auth" not in tls[0].remedy and "auth" in refused[0].remedy


def test_users_with_a_label_get_the_same_remedies() -> None:
    seen = (
        ("DIAL", "tcp", "connection refused"),
        ("CONNECT", "/", "dial: connection refused"),
        ("DISCONNECT", "ping timeout", "nothing came for 45 s"),
        ("CALL", "say", "no ack in time"),
    )
    plain, labelled = (
        told(event("say", "sent"), *(failed(type, name + label, why) for type, name, why in seen))
        for label in ("", " @moderator")
    )
    assert [(each.remedy, each.rank) for each in labelled] == [(each.remedy, each.rank) for each in plain]
    assert [each.what.replace(" @moderator", "") for each in labelled] == [each.what for each in plain]
