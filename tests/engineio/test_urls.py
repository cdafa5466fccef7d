"""URLs, parameters, headers and cookies of a session's requests."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from sioload.engineio.urls import (
    Endpoint,
    Request,
    host_url,
    parse_url,
    readable,
    redirected,
    stays,
    with_token,
)
from sioload.errors import OptionError

HERE = Endpoint(False, "127.0.0.1", 5000, "/socket.io/")


def request(query: object = (), **more: object) -> Request:
    query = query if isinstance(query, str) else dict(query)  # type: ignore[call-overload]
    defaults: dict[str, object] = {"headers": {}, "cookies": {}, "encode": True}
    return Request(HERE, "polling", query=query, **{**defaults, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.test", Endpoint(False, "a.test", 80, "/socket.io/")),
        ("https://a.test:8443/ignored", Endpoint(True, "a.test", 8443, "/socket.io/")),
        ("ws://a.test/?x=1", Endpoint(False, "a.test", 80, "/socket.io/", "x=1")),
        ("wss://[::1]", Endpoint(True, "::1", 443, "/socket.io/")),
        ("http://Bücher.test:81", Endpoint(False, "xn--bcher-kva.test", 81, "/socket.io/")),
    ],
)
def test_urls_of_servers(url: str, expected: Endpoint) -> None:
    assert parse_url(url, "/socket.io/") == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no URL"),
        ("a.test", "http://"),
        ("ftp://a.test", "http://"),
        ("http://", "no host"),
        ("http://a.test:99999", "port"),
        ("http://a.test:x", "port"),
        ("http://a.test:0", "port"),
        ("http://a b", "space"),
        ("http://[::1", "brackets"),
        ("http://u:canary@[a.test]/", "brackets"),
        ("http://a.test/?x=\udce9", "can't be sent"),
    ],
)
def test_bad_urls_name_the_remedy(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_url(url)


def test_a_message_about_a_url_hides_its_credentials() -> None:
    with pytest.raises(OptionError) as caught:
        parse_url("ftp://user:canary@a.test/?token=canary")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "authority"),
    [
        (Endpoint(False, "a.test", 80, "/"), "a.test"),
        (Endpoint(True, "a.test", 443, "/"), "a.test"),
        (Endpoint(True, "a.test", 80, "/"), "a.test:80"),
        (Endpoint(False, "::1", 5000, "/"), "[::1]:5000"),
    ],
)
def test_the_host_header(endpoint: Endpoint, authority: str) -> None:
    assert endpoint.authority == authority


def test_parameters_come_in_the_order_of_the_javascript_client() -> None:
    target = request({"foo": "bar baz", "u": "é&="}).target(HERE, "EIO=4&transport=polling")
    assert target == "/socket.io/?foo=bar%20baz&u=%C3%A9%26%3D&EIO=4&transport=polling"


def test_a_query_is_sent_as_written_when_asked_for() -> None:
    assert request({"a": "b+c%20d"}, encode=False).query_string() == "a=b+c%20d"
    assert request("?raw=a+b&c").query_string() == "raw=a+b&c"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (True, "true"), (False, "false"), (None, ""), (7, "7"), (1.5, "1.5"), ([1, 2], "1%2C2"), ((), ""),
        (["a b", "é+", None, [True]], "a%20b%2C%C3%A9%2B%2C%2Ctrue"),
    ],
)  # fmt: skip
def test_values_are_the_texts_that_javascript_makes_of_them(value: object, sent: str) -> None:
    """Servers got Python's: `True`, and `['a', 'b']`."""
    assert request({"a": value}).query_string() == f"a={sent}"
    asked = request({"a": value}, encode=False)
    assert asked.query_string() == f"a={unquote(sent)}"


def test_what_a_url_has_beyond_ascii_goes_encoded() -> None:
    """Node's servers answer 400 to such bytes; Python's took each for a character."""
    at = parse_url("http://127.0.0.1:5000/?a=é%C3%A9+b", "/käse/")
    sent = "/k%C3%A4se/?a=%C3%A9%C3%A9+b&c=%F0%9F%98%80&EIO=4"
    for query, encode in (("c=😀", True), ("c=😀", False), ({"c": "😀"}, True), ({"c": "😀"}, False)):
        assert request(query, encode=encode).target(at, "EIO=4") == sent


@pytest.mark.parametrize(
    ("copied", "own"),
    [
        ("EIO=3&transport=polling&t=x&a=1&sid=old", "t=x&a=1"),
        ("sid=old&a=1&b=EIO&EIO=4", "a=1&b=EIO"),
        ("a=1&sides=2&transport", "a=1&sides=2"),
    ],
)
def test_the_engines_own_parameters_go_once(copied: str, own: str) -> None:
    """A URL that was copied from a browser has them too: servers answered "Transport unknown"."""
    parameters = "EIO=4&transport=websocket"
    sent = f"/socket.io/?{own}&EIO=4&transport=websocket"
    assert request().target(parse_url(f"http://127.0.0.1:5000/?{copied}", "/socket.io/"), parameters) == sent
    assert request(copied).target(HERE, parameters) == sent
    pairs = dict(part.partition("=")[::2] for part in copied.split("&"))
    assert request(pairs).target(HERE, parameters) == sent
    assert request(copied).target(HERE, "") == f"/socket.io/?{copied}"  # of 0.9, which has none


def test_a_redirect_in_raw_bytes_leads_where_it_says() -> None:
    location = "/zoë/?a=ü".encode().decode("latin-1")  # as a header is read
    to = redirected(HERE, "/socket.io/?EIO=4", location)
    assert to is not None and (to.path, to.query) == ("/zo%C3%AB/", "a=%C3%BC")


def test_the_urls_own_query_stays() -> None:
    at = parse_url("http://127.0.0.1:5000/?room=7", "/socket.io/")
    assert request().target(at, "EIO=4") == "/socket.io/?room=7&EIO=4"


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", "token=a%20b%2Bc"), ("x=1", "x=1&token=a%20b%2Bc"), ({"x": 1}, "x=1&token=a%20b%2Bc")],
)
@pytest.mark.parametrize("encode", [True, False])
def test_a_token_behind_the_query_is_encoded_in_any_case(
    query: dict[str, int] | str, expected: str, encode: bool
) -> None:
    assert request(with_token(query, "a b+c", encode), encode=encode).query_string() == expected


def test_headers_and_cookies() -> None:
    asked = request(headers={"Authorization": "Bearer t", "X": "y"}, cookies={"a": "1", "b": "2"})
    assert asked.header_list(HERE) == [
        ("Host", "127.0.0.1:5000"),
        ("Authorization", "Bearer t"),
        ("X", "y"),
        ("Cookie", "a=1; b=2"),
    ]


def test_headers_that_a_request_manages_itself_are_its_own_and_each_goes_once() -> None:
    copied = {
        "Host": "other.test", "connection": "keep-alive, Upgrade", "Upgrade": "websocket",
        "Content-Length": "7",
        "Sec-WebSocket-Key": "x", "Sec-WebSocket-Protocol": "v1", "Origin": "http://a", "origin": "http://b",
        "Accept-Encoding": "gzip", "User-Agent": "Mozilla", "Cookie": "a=1", "cookie": "b=2",
    }  # fmt: skip
    asked = request(headers=copied)
    sent = [
        ("Host", "127.0.0.1:5000"),
        ("origin", "http://b"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "Mozilla"),
        ("Cookie", "a=1; b=2"),
    ]
    assert asked.header_list(HERE) == sent
    for_websocket = asked.header_list(HERE, websocket=True)
    assert set(for_websocket) == {*sent, ("Sec-WebSocket-Key", "x"), ("Sec-WebSocket-Protocol", "v1")}


def test_a_cookie_header_of_the_users_own_goes_beside_what_servers_set() -> None:
    asked = request(headers={"Cookie": "mine=1"}, cookies={"a": "1"})
    for header in ("node=n2; Path=/; HttpOnly", "a=2"):
        asked.keep_cookie(header, HERE)
    assert dict(asked.header_list(HERE))["Cookie"] == "a=2; mine=1; node=n2"


def test_what_a_hook_does_to_cookies_and_headers_is_done_to_the_jar() -> None:
    asked = request(cookies={"a": "1", "b": "2"})
    assert asked.cookies == {"a": "1", "b": "2"}
    asked.cookies["a"] = "3"
    del asked.cookies["b"]
    asked.headers["Cookie"] = "c=4"
    asked.check()
    assert dict(asked.header_list(HERE))["Cookie"] == "c=4; a=3"
    asked.cookies = {"c": "5"}
    asked.check()
    assert asked.cookies == {"c": "5"}


def test_credentials_of_a_url_are_basic_authentication() -> None:
    at = parse_url("http://ann:se%3Acret@127.0.0.1:5000", "/socket.io/")
    assert dict(request().header_list(at))["Authorization"] == "Basic YW5uOnNlOmNyZXQ="
    own = request(headers={"authorization": "Bearer t"}).header_list(at)
    assert own[1:] == [("authorization", "Bearer t")]


def test_another_server_isnt_told_what_was_meant_for_this_one() -> None:
    there = Endpoint(False, "127.0.0.1", 6000, "/socket.io/")
    asked = request(headers={"Authorization": "Bearer t", "Cookie": "a=1", "X": "y"})
    asked.headers["Hook"] = "z"
    asked.keep_cookie("node=1", HERE)
    asked.leave(there)
    assert asked.header_list(there)[1:] == [("X", "y"), ("Cookie", "node=1")]
    asked.headers["Hook"] = "z"
    asked.check()
    assert asked.header_list(there)[1:] == [("X", "y"), ("Cookie", "node=1")]


SENT = "/socket.io/?room=7&EIO=4&transport=polling"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (f"http://b.test{SENT}", Endpoint(False, "b.test", 80, "/socket.io/", "room=7")),
        (
            "https://a.test/socket.io/?x=1",
            Endpoint(True, "a.test", 443, "/socket.io/", "room=7&x=1", "Basic eA=="),
        ),
        ("/socket.io?room=7&EIO=4", Endpoint(False, "a.test", 8080, "/socket.io", "room=7", "Basic eA==")),
        ("//b.test:81/y/", Endpoint(False, "b.test", 81, "/y/", "room=7")),
        ("ftp://b.test/", None),
        ("http://b.test:x/", None),
        ("http://b .test/", None),
        ("http://[b.test]/", None),
        ("http://[::1/", None),
    ],
)
def test_where_a_redirect_leads(location: str, expected: Endpoint | None) -> None:
    at = Endpoint(False, "a.test", 8080, "/socket.io/", "room=7", "Basic eA==")
    assert redirected(at, SENT, location) == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a.test/admin", "option namespaces .* option path"),
        ("http://a.test/socket.io/", "leave /socket.io/ out"),
        ("ftp://a.test", "http://"),
    ],
)
def test_a_host_with_a_path_names_both_remedies(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        host_url(url)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("gzip, deflate", "gzip, deflate"),
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("br;q=1.0, GZIP;q=0.8, *;q=0.1", "GZIP;q=0.8"),
        ("br", "identity"),
    ],
)
def test_codings_that_cant_be_read_arent_asked_for(
    given: str, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    readable.cache_clear()
    for _ in range(3):
        assert ("Accept-Encoding", sent) in request(headers={"Accept-Encoding": given}).header_list(HERE)
    assert len(caplog.messages) == (given != sent)
    assert all("Accept-Encoding is sent without" in said for said in caplog.messages)


def test_a_server_is_the_same_on_its_port_and_where_http_turns_to_https() -> None:
    plain, secure = Endpoint(False, "a.test", 80, "/"), Endpoint(True, "a.test", 443, "/")
    assert stays(plain, False, "a.test", 80) and stays(plain, True, "a.test", 443)
    assert stays(secure, True, "a.test", 443)
    for endpoint, tls, host, port in (
        (plain, False, "a.test", 81), (plain, False, "b.test", 80), (plain, True, "b.test", 443),
        (secure, True, "a.test", 444), (secure, False, "a.test", 80),
    ):  # fmt: skip
        assert not stays(endpoint, tls, host, port)
