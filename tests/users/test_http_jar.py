"""The jar of a user's HTTP client is that of its connections, to whichever servers these go."""

from __future__ import annotations

import gevent
import requests
from faults.hostile import Hostile, Peer

from sioload.client.api import SocketIOClient
from sioload.engineio.cookies import Jar
from sioload.users.http import share

PATH = "/socket.io/"


def test_cookies_of_one_server_stay_its_own_while_another_is_asked() -> None:
    """Names without a dot, as those of containers: the standard library writes them as local ones."""
    jar, client = Jar(), requests.Session()
    share(jar, client, "api")
    client.cookies.set("login", "x", domain="api.local", path="/")
    assert jar.header("chat", PATH, False, 0.0) == ""
    assert jar.header("api", PATH, False, 0.0) == "login=x"
    jar.give("own", "1", "api")
    jar.take("node=1; Path=/", "chat", PATH, 0.0)
    assert {cookie.name: cookie.domain for cookie in client.cookies} == {
        "login": "api.local", "own": "api.local", "node": "chat.local"
    }  # fmt: skip
    client.cookies.set("later", "y", domain="api.local", path="/")
    assert jar.header("chat", PATH, False, 0.0) == "node=1"
    assert jar.header("api", PATH, False, 0.0) == "login=x; own=1; later=y"


def test_a_cookie_without_a_domain_goes_where_requests_sends_it() -> None:
    """client.cookies.set("token", "x"), as scripts do that were told one."""
    jar, client = Jar(), requests.Session()
    client.cookies.set("token", "x")
    share(jar, client, "api")
    assert jar.header("api", PATH, False, 0.0) == "token=x"
    assert jar.header("chat", PATH, False, 0.0, own=False) == ""  # where a redirect led
    jar.take("node=1; Path=/", "api", PATH, 0.0)
    held = {(cookie.name, cookie.domain) for cookie in client.cookies}
    assert held == {("token", ""), ("node", "api.local")}
    jar.take("token=y; Path=/", "api", PATH, 0.0)
    assert jar.header("api", PATH, False, 0.0) == "node=1; token=y"


def test_a_cookie_that_is_held_already_is_its_servers_once_that_is_asked() -> None:
    """Of a login at a server with a short name, to which the user's second connection goes."""
    jar, client = Jar(), requests.Session()
    client.cookies.set("login", "x", domain="chat.local", path="/")
    share(jar, client, "api")
    assert jar.header("api", PATH, False, 0.0) == ""
    assert jar.header("chat", PATH, False, 0.0) == "login=x"


def test_the_server_that_is_asked_for_the_session_gets_what_the_others_get() -> None:
    seen: list[tuple[str, str]] = []

    def front(peer: Peer) -> None:
        seen.append(("front", peer.request().headers.get("cookie", "")))
        peer.reply(200, peer.session().encode())
        peer.hold()

    def back(peer: Peer) -> None:
        joined = False
        while True:
            asked = peer.request()
            seen.append(("back", asked.headers.get("cookie", "")))
            if asked.method == "POST":
                peer.reply(200, b"ok")
            elif not joined:
                joined = True
                peer.reply(200, b'40{"sid":"s"}')
            else:
                peer.hold()

    with Hostile(front) as opens, Hostile(back) as server, gevent.Timeout(8):
        at = opens.url.replace("127.0.0.1", "localhost") + PATH
        options = {"version": 4, "transports": ["polling"], "cookies": {"a": "1"}, "handshake_url": at}
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        sio.close_quietly()
    assert set(seen) == {("front", "a=1"), ("back", "a=1")}
