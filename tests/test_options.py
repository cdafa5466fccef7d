"""Options: what is taken, and how what can't be is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from sioload.errors import OptionError
from sioload.options import Limits, Options, options_from


def test_defaults_are_safe() -> None:
    options = options_from(None)
    assert options.tls_verify is True
    assert options.version == "auto"
    assert options.transports == ("polling", "websocket")
    limits = options.limits
    assert (limits.message, limits.payload, limits.attachments, limits.nesting) == (8 << 20, 16 << 20, 64, 64)


def test_an_options_object_is_taken_as_it_is() -> None:
    options = Options(version=2)
    assert options_from(options) is options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"transprts": ["polling"]}, "'transprts' is unknown (nearest: 'transports')"),
        ({"version": 5}, "version must be 0, 1, 2, 3, 4"),
        ({"version": True}, "version must be"),
        ({"transports": ["webtransport"]}, "'webtransport' is unknown"),
        ({"transports": []}, "transports is empty"),
        ({"connect_timeout": 0}, "connect_timeout must be a number, at least 0.001"),
        ({"ack_timeout": "5"}, "ack_timeout must be a number"),
        ({"randomization_factor": 2}, "between 0 and 1"),
        ({"base64": "yes"}, "base64 must be True or False"),
        ({"namespaces": ["chat"]}, "'chat' must begin with '/'"),
        ({"namespaces": ["/\udce9"]}, "holds a character that can't be sent in UTF-8"),
        ({"headers": {"X": "a\r\nY: b"}}, "'X' holds a line break"),
        ({"headers": {"X": 5}}, "must map a string to a string"),
        ({"auth": "secret"}, "auth must be a dict or a callable"),
        ({"parser": "xml"}, "parser must be"),
        ({"limits": {"message": 0}}, "limits: message must be a positive whole number"),
        ({"limits": {"mesage": 1}}, "'mesage' is unknown (nearest: 'message')"),
        ({"path": 5}, "path must be a string, not int"),
        ({"path": "/a b"}, "path holds a space"),
        ({"path": "/io/?token=a"}, "path must end before ? or #: give what follows as the option query"),
        ({"path": "/io#a"}, "path must end before ? or #"),
        ({"handshake_url": b"http://x"}, "handshake_url must be a string, not bytes"),
        ({"transports": None}, "transports must be a list of strings, not None"),
        ({"source_addresses": ["nowhere"]}, "'nowhere' is no IP address"),
        ({"read_rate": 0}, "read_rate must be a number, at least 1, not 0"),
        ({"read_rate": "1k"}, "read_rate must be a number"),
        ({"proxy": "https://u:pw@proxy:3128"}, "http://user:password@host:port, not 'https://proxy:3128'"),
        ({"proxy": "proxy:3128"}, "proxy must be http://host:port"),
        ({"proxy": ""}, "http://user:password@host:port, not ''"),
        ({"proxy": b"http://proxy:1"}, "http://user:password@host:port, not bytes"),
        ({"proxy": "http://proxy:x"}, "proxy must be http://host:port"),
        ({"proxy": "http://proxy:1/path"}, "proxy must be http://host:port"),
        ({"query": ["a"]}, "query must be a dict or a string, not list"),
        ({"query": "a=b HTTP/1.1\r\nX: y"}, "query holds a space or a control character"),
        ({"query": {"a": {"b": 1}}}, "query: 'a' must be a text, a number or a list, not dict"),
        ({"query": {"a": ["b", b"c"]}}, "query: 'a' must be a text, a number or a list, not bytes"),
        ({"query": {"a": "b c"}, "encode_query": False}, "query holds a space or a control character"),
        ({"query": {"a": "\udce9"}}, "query holds a character that can't be sent in UTF-8"),
        ({"query": "a=\udce9"}, "query holds a character that can't be sent in UTF-8"),
        ({"headers": {"X": "\udce9"}}, "headers: 'X' holds a character that can't be sent in UTF-8"),
        ({"cookies": {"a": "\udce9"}}, "cookies: 'a' holds a character that can't be sent in UTF-8"),
        ({"path": "/\udce9"}, "path holds a character that can't be sent in UTF-8"),
        ({"auth_token": "\udce9"}, "auth_token holds a character that can't be sent in UTF-8"),
        ({"headers": {"X Y": "z"}}, "'X Y' is no name of a header"),
        ({"server_hostname": "a b"}, "server_hostname holds a space"),
        ({"server_hostname": "a\0b"}, "server_hostname holds a space or a control character"),
        ({"server_hostname": ".example"}, "server_hostname: '.example' is no name of a host"),
        ({"server_hostname": "\udce9"}, "server_hostname: '\\udce9' is no name of a host"),
        ({"auth_token": b"secret"}, "auth_token must be a string, not bytes"),
        ({"timestamp": 1}, "timestamp must be True or False"),
        ({"reconnection_delay": float("inf")}, "reconnection_delay must be a number, between 0 and 86400"),
        ({"key_file": "key.pem"}, "key_file is of no use without cert_file"),
        ({"limits": 5}, "limits must be a dict or Limits"),
        ([], "options must be a dict"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_remedy(given: Any, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        options_from(given)
    assert words in str(caught.value)


ODD: list[Any] = [
    None, 5, -1, 0, 1.5, float("nan"), float("inf"), True, "", "x", "a b\r\nX: y", b"b", [], [1], ["x"],
    (None,), {1: 2}, {"a": "b\r\n"}, {"": ""}, object(), object, lambda: 1,
]  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(Options)])
def test_any_value_is_taken_or_refused_by_the_options_name(name: str) -> None:
    refused = []
    for value in ODD:
        try:
            options_from({name: value}).but()
        except OptionError as error:
            refused.append(str(error))
    assert refused and all(name in text for text in refused)


def test_options_of_other_clients_are_taken_and_warned_of_once() -> None:
    with pytest.warns(UserWarning, match="'engineio_logger' means nothing here"):
        assert options_from({"engineio_logger": True}) == Options()
    assert options_from({"engineio_logger": True}) == Options()


def test_options_of_python_socketio_that_mean_something_are_heeded() -> None:
    """A script whose server has a certificate of its own, or speaks msgpack, changes its import alone."""
    given = {"ssl_verify": False, "serializer": "msgpack", "timestamp_requests": False}
    assert options_from(given) == Options(tls_verify=False, parser="msgpack", timestamp=False)
    assert options_from({"serializer": "default", "ssl_verify": True}) == Options()
    assert options_from({"ssl_verify": False, "tls_verify": True}).tls_verify
    with pytest.raises(OptionError, match="parser must be"):
        options_from({"serializer": "pickle"})


def test_single_values_and_paths_are_completed() -> None:
    options = options_from({"transports": "websocket", "namespaces": "/chat", "path": "ws"})
    assert (options.transports, options.namespaces, options.path) == (("websocket",), ("/chat",), "/ws/")


def test_a_changed_copy_is_validated_too() -> None:
    assert Options().but(connect_timeout=1.5).connect_timeout == 1.5
    with pytest.raises(OptionError, match="nearest: 'connect_timeout'"):
        Options().but(conect_timeout=1)
    assert Options(limits=Limits(nesting=5)).limits.nesting == 5
