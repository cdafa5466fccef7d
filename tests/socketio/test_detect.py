"""Telling a server's generation from its answer to a handshake."""

from __future__ import annotations

import pytest

from sioload.socketio.detect import (
    accepts,
    identify,
    leads_on,
    mismatch,
    refusal,
    refuses_transport,
    refuses_version,
    said,
    wrong_version,
)
from sioload.socketio.generations import UNKNOWN_3, V0, V1, V2, V3, V4, VERSIONS, Generation

OPEN = b'{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000}'


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"0" + OPEN, V4),
        (200, b"97:0" + OPEN, V2),
        (200, b"\x00\x09\x07\xff0" + OPEN, V1),
        (200, b"\x00\x07\x09\xff0" + OPEN + b"\x00\x02\xff40", V2),  # python-socketio 4
        (200, b"Welcome to socket.io.", V0),
        (200, b"4e1cbd12345678901234:60:60:websocket,xhr-polling", V0),
        (200, b"<html>hello</html>", None),
        (200, b"", None),
        (404, b"0" + OPEN, None),
    ],
)
def test_identify(status: int, body: bytes, expected: Generation | None) -> None:
    assert identify(status, body) is expected


def test_in_base64_the_root_namespace_tells_1_from_2() -> None:
    """Both answer with text then; without it 1.x answers in octets."""
    assert identify(200, b"97:0" + OPEN, base64=True) is V1
    assert identify(200, b"97:0" + OPEN + b"2:40", base64=True) is V2


def test_which_errors_may_be_those_of_another_handshake() -> None:
    refused = [401, 403, 407, 429, 502, 503, 504, 300, 301, 399]
    assert not any(leads_on(status, b"") for status in refused)
    assert all(leads_on(status, b"") for status in (400, 402, 404, 405, 426, 500, 501, 505))
    said = [leads_on(400, body) for body in (b'{"code":0}', b'"Invalid"', b"Bad request", b"")]
    assert said == [False, False, True, True]
    assert leads_on(500, b'{"message":"no"}')


def test_a_mismatch_names_what_is_spoken_and_the_option_to_change() -> None:
    text = mismatch(200, b"97:0" + OPEN, b"")
    assert "Socket.IO 2.x" in text
    assert "version to 2" in text
    assert "no Socket.IO server answers here (got an HTML page): " in mismatch(200, b"<html>", b"<html>")
    assert "(got 'hello'): " in mismatch(200, b"hello", b" hello ")
    assert "(got an empty body): " in mismatch(200, b"", b"")
    either = wrong_version(UNKNOWN_3)
    assert "1.x or 2.x" in either and 'to "auto", or mend the option path' in either


def test_which_versions_fit_a_server() -> None:
    fitting = {
        found.name: [version for version, wanted in VERSIONS.items() if accepts(wanted, found)]
        for found in (V0, V1, V2, V3, V4, UNKNOWN_3)
    }
    assert fitting == {"0": [0], "1": [1], "2": [2], "3": [3, 4], "4": [3, 4], "eio3": [1, 2]}


def test_what_is_refused() -> None:
    version = (
        b'{"code":5,"message":"Unsupported protocol version"}',
        b'"The client is using an unsupported version"',
    )
    transport = (b'{"code":0,"message":"Transport unknown"}', b'"Invalid transport"')
    assert [refuses_version(400, body) for body in version + transport] == [True, True, False, False]
    assert [refuses_transport(400, body) for body in version + transport] == [False, False, True, True]
    assert not refuses_version(200, version[0]) and not refuses_transport(200, transport[0])


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, b'{"code":1,"message":"Session ID unknown"}', "sticky sessions"),
        (400, b'{"code":0,"message":"Transport unknown"}', "--transports"),
        (400, b'{"code":5,"message":"Unsupported protocol version"}', "set the option version"),
        (400, b'"http://a.b is not an accepted origin."', "--header 'Origin: "),
        (403, b'{"code":4,"message":"CORS"}', "--header 'Origin: "),
        (404, b"Not Found", "check the option path"),
        (302, b"", "redirects"),
        (400, b"<html><title>400 No required SSL certificate was sent</title>", "cert_file and key_file"),
        (503, b"<html>down</html>", "HTTP 503"),
    ],
)
def test_refusals_in_words(status: int, body: bytes, words: str) -> None:
    assert words in refusal(status, body)


def test_a_remedy_is_given_only_where_the_cause_is_known() -> None:
    assert refusal(200, b'"http://a.b is not an accepted origin."').endswith("origin.")
    assert refusal(500, b'{"message":"Session ID unknown"}').endswith("unknown")
    assert refusal(403, b"", websocket=True).endswith("sioload doctor asks by polling too)")
    assert refusal(403, b"") == "HTTP 403" and refusal(403, b"go", websocket=True) == "HTTP 403: go"
    assert "header Upgrade?" in refusal(400, b"Bad request", websocket=True)
    assert refusal(400, b"Bad request") == "HTTP 400: Bad request"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            400,
            b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>\r\n<body>",
            "HTTP 400: No required SSL certificate was sent (it asks for the client's: options cert_file and "
            "key_file)",
        ),
        (
            400,
            b"<head><title>400 Request Header Or Cookie Too Large</title>",
            "HTTP 400: Request Header Or Cookie Too Large",
        ),
        (403, b"<!DOCTYPE html><title> Who&#39;s there? </title>", "HTTP 403: Who's there?"),
        (400, b"<html>\r\n<head><title>400 Bad Request</title></head>", "HTTP 400"),
        (500, b"<title>Error</title>", "HTTP 500"),
        (503, b"<html><body>No server is available</body>", "HTTP 503"),
    ],
)
def test_pages_of_proxies_are_known_by_their_titles(status: int, body: bytes, words: str) -> None:
    assert refusal(status, body) == words


@pytest.mark.parametrize("body", [b'{"code":3,"message":"Bad request"}', b'"Invalid websocket upgrade"'])
def test_a_websocket_whose_header_upgrade_was_dropped(body: bytes) -> None:
    assert "sioload doctor" in refusal(400, body, True)
    assert "doctor" not in refusal(400, body) and "doctor" not in said(400, body)
