"""One user's cookies: what is sent where, and what replaces what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sioload.engineio.cookies import COOKIES, Cookie, Jar, pairs, unsent

NOW = 1_700_000_000.0
PATH = "/socket.io/"


def jar_of(*headers: str, host: str = "a.test", path: str = PATH) -> Jar:
    jar = Jar()
    for header in headers:
        jar.take(header, host, path, NOW)
    return jar


@pytest.mark.parametrize(
    ("header", "host", "path", "tls", "sent"),
    [
        ("a=1", "a.test", PATH, False, "a=1"),
        ("a=1", "a.test", "/socket.io", False, "a=1"),
        ("a=1", "a.test", "/other/", False, ""),
        ("a=1", "b.test", PATH, False, ""),
        ("a=1", "x.a.test", PATH, False, ""),
        ("a=1; Domain=a.test", "x.a.test", PATH, False, "a=1"),
        ("a=1; Domain=.A.test", "x.a.test", PATH, False, "a=1"),
        ("a=1; Domain=b.test", "b.test", PATH, False, ""),
        ("a=1; Domain=test", "b.test", PATH, False, ""),
        ("a=1; Path=/", "a.test", "/login", False, "a=1"),
        ("a=1; Path=/sock", "a.test", PATH, False, ""),
        ("a=1; path=/socket.io", "a.test", PATH, False, "a=1"),
        ("a=1; path=nonsense", "a.test", PATH, False, "a=1"),
        ("a=1; Secure", "a.test", PATH, False, ""),
        ("a=1; SECURE; HttpOnly; SameSite=None", "a.test", PATH, True, "a=1"),
        ('a="x y" ; Path=/', "a.test", PATH, False, 'a="x y"'),
        ("a=b=c%3D", "a.test", PATH, False, "a=b=c%3D"),
        ("a=", "a.test", PATH, False, "a="),
        ("a", "a.test", PATH, False, ""),
        ("=x", "a.test", PATH, False, ""),
        ("a=" + "x" * 5000, "a.test", PATH, False, ""),
        ("a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a.test", PATH, False, "a=1"),
        ("a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT; Max-Age=0", "a.test", PATH, False, ""),
        ("a=1; Expires=Wed, 09-Jun-2100 10:18:14 GMT", "a.test", PATH, False, "a=1"),
        ("a=1; Expires=soon; Max-Age=x", "a.test", PATH, False, "a=1"),
        ("a=1; Expires=Mon, 05 Mai 2031 10:18:14 GMT", "a.test", PATH, False, "a=1"),
        ("a=1; Expires=Fri, 31 Dec 99999 23:59:59 GMT", "a.test", PATH, False, "a=1"),
        ("a=1; Expires=Fri, 31 Dec 9999999999999999999 23:59:59 GMT", "a.test", PATH, False, "a=1"),
        ("a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a.test", PATH, False, ""),
        ("a=; Path=/; Expires=Thu, 01-Jan-70 00:00:01 GMT", "a.test", PATH, False, ""),
        ("a=; Path=/; Expires=Mon, 01-Jan-00 00:00:01 GMT", "a.test", PATH, False, ""),
        ("a=1; Path=/; Expires=Thu, 31-Dec-37 23:55:55 GMT", "a.test", PATH, False, "a=1"),
        ("a=1; Path=/; Expires=Tue, 31-Dec-69 23:55:55 GMT", "a.test", PATH, False, "a=1"),
    ],
)
def test_where_a_cookie_goes(header: str, host: str, path: str, tls: bool, sent: str) -> None:
    assert jar_of(header).header(host, path, tls, NOW) == sent


def test_addresses_match_exactly() -> None:
    jar = jar_of("a=1", "b=2; Domain=127.0.0.1", "c=3; Domain=0.0.1", host="127.0.0.1")
    assert jar.header("127.0.0.1", PATH, False, NOW) == "a=1; b=2"
    assert jar.header("1.127.0.0.1", PATH, False, NOW) == ""


def test_the_longest_path_comes_first_and_then_the_eldest() -> None:
    jar = jar_of("n=root; Path=/", "n=deep; Path=/socket.io", "m=1; Path=/")
    assert jar.header("a.test", PATH, False, NOW) == "n=deep; n=root; m=1"
    assert jar.values("a.test", PATH, False, NOW) == {"n": "deep", "m": "1"}


def test_a_cookie_of_the_same_name_replaces_also_what_a_script_gave() -> None:
    jar = Jar()
    for name, value in pairs("session=abc; node=old;raw"):
        jar.give(name, value, "a.test")
    assert jar.header("a.test", PATH, False, NOW) == "session=abc; node=old; raw"
    jar.take("node=n2; Path=/", "a.test", PATH, NOW)
    jar.give("node", "old", "a.test")  # what options say once more on reconnecting
    assert jar.header("a.test", PATH, False, NOW) == "session=abc; raw; node=n2"
    assert jar.header("b.test", PATH, False, NOW) == ""
    assert jar.header("a.test", PATH, False, NOW, own=False) == "node=n2"
    jar.give("node", "new", "a.test")
    assert jar.values("a.test", PATH, False, NOW)["node"] == "new"
    jar.take("node=; Max-Age=0", "a.test", PATH, NOW)
    jar.drop("session", "a.test")
    assert jar.header("a.test", PATH, False, NOW) == "raw"


def test_a_cookie_that_is_set_again_takes_the_place_of_the_one_of_its_path() -> None:
    jar = jar_of("a=1; Path=/", "b=1; Path=/", "a=2; Path=/")
    assert jar.header("a.test", PATH, False, NOW) == "b=1; a=2"
    jar.take("a=; Max-Age=0; Path=/socket.io", "a.test", PATH, NOW)
    assert jar.header("a.test", PATH, False, NOW) == "b=1; a=2"
    jar.take("a=; Max-Age=0; Path=/", "a.test", PATH, NOW)
    assert jar.header("a.test", PATH, False, NOW) == "b=1"


@pytest.mark.parametrize(
    ("header", "tls", "names"),
    [
        ("a=1", False, []),
        ("a=1; Secure", True, []),
        ("a=1; Secure", False, ["a"]),
        ("a=1; Path=/admin", False, ["a"]),
        ("a=1; Path=/socket.io", False, []),
        ("a=1; Domain=b.test", False, ["a"]),
        ("a=; Max-Age=0; Path=/admin", False, []),
    ],
)
def test_a_cookie_that_does_not_go_back_is_named(header: str, tls: bool, names: list[str]) -> None:
    assert unsent([header], "a.test", PATH, tls, NOW) == names


def test_what_a_script_gives_goes_to_the_servers_that_it_gave_it_for() -> None:
    """A user may have connections to several: what is confided to one isn't told to another."""
    jar = Jar()
    jar.give("session", "secret", "a.test")
    assert jar.header("b.test", PATH, False, NOW) == "" and jar.values("b.test", PATH, False, NOW) == {}
    assert jar.header("a.test", PATH, False, NOW) == "session=secret"
    jar.give("session", "secret", "b.test")
    assert jar.header("b.test", PATH, False, NOW) == "session=secret"
    jar.give("session", "other", "b.test")
    assert jar.header("b.test", PATH, False, NOW) == "session=other"
    assert jar.header("a.test", PATH, False, NOW) == "session=secret"


def test_what_a_script_gives_for_one_server_stays_while_another_sets_the_same_name() -> None:
    """Each of two servers may keep a session of its own by one name."""
    jar = Jar()
    jar.give("session", "abc", "a.test")
    jar.give("session", "abc", "b.test")
    jar.take("session=xyz; Path=/", "b.test", PATH, NOW)
    jar.give("session", "abc", "b.test")  # what options say once more on reconnecting
    assert jar.header("b.test", PATH, False, NOW) == "session=xyz"
    assert jar.header("a.test", PATH, False, NOW) == "session=abc"
    jar.drop("session", "b.test")
    assert jar.header("b.test", PATH, False, NOW) == ""
    assert jar.header("a.test", PATH, False, NOW) == "session=abc"


def test_a_header_is_kept_until_something_changes_or_expires() -> None:
    jar = jar_of("a=1; Max-Age=10", "b=2")
    first = jar.header("a.test", PATH, False, NOW)
    assert jar.header("a.test", PATH, False, NOW + 9) is first == "a=1; b=2"
    assert jar.header("a.test", PATH, False, NOW + 10) == "b=2"


def test_a_server_cant_fill_memory_with_cookies() -> None:
    jar = jar_of(*(f"c{i}={i}" for i in range(COOKIES + 20)))
    assert len(jar.values("a.test", PATH, False, NOW)) == COOKIES
    assert f"c{COOKIES + 19}" in jar.values("a.test", PATH, False, NOW)


def test_another_holder_sees_each_change_and_is_asked_before_each_use() -> None:
    class Other:
        held: list[Cookie] | None = None
        pushed: list[Sequence[Cookie]] = []

        def pull(self, host: str) -> list[Cookie] | None:
            held, self.held = self.held, None
            return held

        def push(self, cookies: Sequence[Cookie]) -> None:
            self.pushed.append(list(cookies))

    jar, other = jar_of("a=1"), Other()
    jar.mirror = other
    other.held = [Cookie("login", "x", "a.test")]
    assert jar.header("a.test", PATH, False, NOW) == "login=x"
    jar.take("node=1", "a.test", PATH, NOW)
    assert [c.pair for c in other.pushed[-1]] == ["login=x", "node=1"]
    jar.give("own", "1", "a.test")
    jar.take("elsewhere=1", "b.test", PATH, NOW)
    assert {c.pair: c.host for c in other.pushed[-1]} == {
        "login=x": "a.test", "node=1": "a.test", "own=1": "a.test", "elsewhere=1": "b.test"
    }  # fmt: skip


def test_text_beyond_ascii_goes_back_to_a_server_as_it_set_it() -> None:
    """Headers are read byte by byte, here and by Requests, whose cookies these are too; ours are UTF-8."""
    jar = jar_of("name=" + "Zoë €".encode().decode("latin-1") + "; Path=/")
    jar.give("own", "Zoë", "a.test")
    assert jar.header("a.test", PATH, False, NOW).encode() == "name=Zoë €; own=Zoë".encode()
