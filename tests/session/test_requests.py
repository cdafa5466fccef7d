"""The bytes of a session's requests: what is kept from one poll to the next, and what is made anew."""

from __future__ import annotations

import re

from sioload.engineio.packet import Packet, PacketType
from sioload.engineio.urls import Request, parse_url
from sioload.net.fleet import Fleet
from sioload.options import Options
from sioload.session.requests import Requests
from sioload.socketio.generations import V0, V4, Generation

STAMP = re.compile(rb"([?&]t=)([0-9a-f.]+)")


def requests(options: Options, generation: Generation = V4, path: str = "/socket.io/") -> Requests:
    """Those of an open session."""
    at = parse_url("http://127.0.0.1:5000", path)
    asked = Request(at, "polling", options.headers, options.query, options.cookies, options.encode_query)
    made = Requests(Fleet(), options, generation, at, asked)
    made.sid = "a/b"
    return made


def anew(made: Requests) -> bytes:
    """A poll that nothing was kept for."""
    made._heads = made._kept = None
    return STAMP.sub(rb"\1x", made.get())


def test_polls_differ_by_their_stamp_alone_and_are_as_if_made_anew() -> None:
    options = Options(query={"room": "1 2"}, headers={"X": "y", "Content-Type": "z"}, base64=True)
    for generation in (V4, V0):
        made = requests(options, generation)
        polls = [made.get() for _ in range(3)]
        stamps = [STAMP.findall(poll) for poll in polls]
        assert all(len(stamp) == 1 for stamp in stamps) and len({str(stamp) for stamp in stamps}) == 3
        assert {STAMP.sub(rb"\1x", poll) for poll in polls} == {anew(made)}
    target = anew(requests(options)).split()[1]
    assert target == b"/socket.io/?room=1%202&EIO=4&transport=polling&t=x&b64=1&sid=a%2Fb"


def test_a_post_has_a_type_of_its_own_and_the_headers_of_a_poll() -> None:
    made = requests(Options(headers={"X": "y", "content-type": "z"}, timestamp=False))
    assert made.post([Packet(PacketType.MESSAGE, "2[]")]) == (
        b"POST /socket.io/?EIO=4&transport=polling&sid=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nX: y\r\n"
        b"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 4\r\n\r\n42[]"
    )
    assert b"content-type: z\r\n" in made.get()


def test_what_changes_is_seen_in_the_next_poll() -> None:
    made = requests(Options(cookies={"a": "1"}, headers={"X": "y"}))
    assert b"\r\nCookie: a=1\r\n" in made.get()
    made.keep_cookies([("set-cookie", "node=2; Path=/"), ("x", "y")])
    assert b"\r\nCookie: a=1; node=2\r\n" in made.get()
    assert made.asked is not None
    made.asked.headers["X"] = "z"  # as a hook does that is asked before the upgrade
    made.asked.check()
    assert b"\r\nX: z\r\n" in made.get()
    assert STAMP.sub(rb"\1x", made.get()) == anew(made)


def test_a_proxy_gets_the_whole_url_and_its_own_credentials() -> None:
    made = requests(Options(proxy="http://ann:secret@proxy.test:3128", timestamp=False))
    poll = made.get()
    assert poll.startswith(
        b"GET http://127.0.0.1:5000/socket.io/?EIO=4&transport=polling&sid=a%2Fb HTTP/1.1\r\n"
    )
    assert b"\r\nProxy-Authorization: Basic YW5uOnNlY3JldA==\r\n" in poll
