"""What requests carry: query, headers, cookies, tokens, time stamps; where they go."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from conformance.behaviours.sessions import refused, told
from conformance.cell import Cell, Hooks, same, true
from conformance.table import behaviour

VALUE = "x y&=é€/+"


@behaviour("query: encoded")
def query(cell: Cell) -> None:
    sio = cell.connected("/", "/chat", query={"a": VALUE, "n": 7, "l": ["é", "+"], "b": True})
    for namespace in ("/", "/chat"):
        saw = sio.call("handshake", namespace=namespace)["query"]
        found = [saw.get(name) for name in "anlb"]
        same(found, [VALUE, "7", "é,+", "true"], f"what the server saw in {namespace}")


@behaviour("query: as written")
def query_as_written(cell: Cell) -> None:
    for given in ({"a": "x%20y", "b": "p+q"}, "a=x%20y&b=p+q"):
        wire = cell.wire()
        sio = cell.connected(url=wire.url, query=given, encode_query=False)
        same(sio.call("handshake")["query"].get("a"), "x y", "what the server saw")
        opening = wire.requests()[:1]
        true(all("?a=x%20y&b=p+q&" in r.target + "&" for r in opening), f"{[r.target for r in opening]}")


@behaviour("query: behind the URL")
def query_of_the_url(cell: Cell) -> None:
    sio = cell.connected(url=cell.url + "/?a=1é€")
    same(sio.call("handshake")["query"].get("a"), "1é€")


@behaviour("query of a namespace", missing=("pysio4",), cannot="it discards the query")
def query_of_a_namespace(cell: Cell) -> None:
    wire = cell.wire()
    cell.connected("/", "/chat", url=wire.url, query={"a": "b c"})
    sent = wire.sent()
    if cell.server.eio == 4:
        true(b"/chat?" not in sent, "a query in a CONNECT that has none")
    else:
        true(
            (b"1::/chat:?a=b%20c" if cell.server.eio is None else b"40/chat?a=b%20c") in sent,
            "no query in the CONNECT",
        )


@behaviour("headers")
def headers(cell: Cell) -> None:
    wire = cell.wire()
    sio = cell.connected(url=wire.url, headers={"X-Load": "yes, some", "User-Agent": "sioload test"})
    saw = sio.call("handshake")["headers"]
    same((saw["x-load"], saw["user-agent"]), ("yes, some", "sioload test"), "what the server saw")
    same({r.headers.get("x-load") for r in wire.requests()}, {"yes, some"}, "every request's")


@behaviour("Basic and Bearer")
def authorization(cell: Cell) -> None:
    for value in ("Basic " + b64encode("Aladdin:open sesamé".encode()).decode(), "Bearer abc.def-ghi~"):
        sio = cell.connected(headers={"Authorization": value})
        same(sio.call("handshake")["authorization"], value)


@behaviour("auth token")
def token(cell: Cell) -> None:
    for query in ({}, "a=1"):
        sio = cell.connected("/", "/private", auth_token="secret", query=query)
        same(sio.call("echo", 1, namespace="/private"), 1)
    told(refused(cell, "/private", auth_token="wrong"))


@behaviour("auth payload: dict and callable", only=lambda s: s.eio == 4)
def auth(cell: Cell) -> None:
    for given in ({"token": "secret", "é": ["€😀"]}, lambda: {"token": "secret"}):
        sio = cell.connected("/private", auth=given)
        same(sio.call("handshake", namespace="/private")["auth"]["token"], "secret")


@behaviour("auth payload where there is none: the refusal says so", only=lambda s: s.eio != 4)
def auth_in_vain(cell: Cell) -> None:
    error = refused(cell, "/private", auth={"token": "secret"})
    true("auth_token" in str(error), f"the remedy isn't told: {error}")


@behaviour("cookies of the options")
def cookies(cell: Cell) -> None:
    wire = cell.wire()
    sio = cell.connected(url=wire.url, cookies={"a": "1", "b": "two"})
    true("a=1; b=two" in sio.call("handshake")["cookie"], "what the server saw")
    true(all("a=1; b=two" in r.headers.get("cookie", "") for r in wire.requests()), "every request's")


@behaviour("cookies of the server go into the session's later requests", ("polling", "upgrade"))
def sticky(cell: Cell) -> None:
    wire = cell.wire()

    def arm(request: Any) -> None:
        wire.cookie = wire.cookie or "route=node7"

    user = Hooks()
    user.change = arm
    sio = cell.client(url=wire.url, cookies={"a": "1"}, user=user)
    sio.connect()
    cell.settled(sio)
    same(sio.call("echo", 1), 1)
    later = [r for r in wire.requests() if r.parameter("sid") or re.search("/1/.+/", r.target)]
    sent = [r.headers.get("cookie", "") for r in later]
    true(later and all("route=node7" in cookie and "a=1" in cookie for cookie in sent), f"cookies: {sent}")


@behaviour("timestamp")
def timestamp(cell: Cell) -> None:
    for option in (None, True, False):
        wire = cell.wire()
        sio = cell.connected(url=wire.url, timestamp=option)
        for n in range(3):
            sio.call("echo", n)
        own = [r for r in wire.requests() if r.parameter("sid") or r.is_websocket or "/1/" in r.target]
        stamps = [r.parameter("t") for r in own]
        wanted = [not r.is_websocket if option is None else option for r in own]
        same([stamp is not None for stamp in stamps], wanted, f"requests with t, timestamp={option}")
        given = [stamp for stamp in stamps if stamp]
        same(len(set(given)), len(given), "distinct values of t")


@behaviour("on_handshake may change a request")
def on_handshake(cell: Cell) -> None:
    def change(request: Any) -> None:
        request.headers["X-Hook"] = "1"
        request.query["hook"] = "a b"
        request.cookies["hook"] = "c"

    user = Hooks()
    user.change = change
    sio = cell.connected("/", "/chat", user=user)
    saw = sio.call("handshake", namespace="/chat")
    same((saw["headers"].get("x-hook"), saw["query"].get("hook")), ("1", "a b"), "what the server saw")
    true("hook=c" in (saw["cookie"] or ""), "the cookie")
    same(
        len(user.requests),
        2 if cell.transport == "upgrade" and cell.server.eio is not None else 1,
        "requests shown",
    )


@behaviour("on_handshake that raises fails the connect")
def on_handshake_raises(cell: Cell) -> None:
    def change(request: Any) -> None:
        raise LookupError("no token")

    user = Hooks()
    user.change = change
    error = refused(cell, user=user)
    true("on_handshake" in str(error) and "no token" in str(error), f"the cause isn't named: {error}")


@behaviour("handshake_url")
def handshake_url(cell: Cell) -> None:
    front, back = cell.wire(), cell.wire()
    copied = "1/?t=1" if cell.server.eio is None else "?EIO=3&transport=polling&t=x.1"  # from a browser
    path = f"/socket.io/{copied}"
    sio = cell.connected(url=back.url, handshake_url=front.url + path)
    same(sio.call("echo", 1), 1)
    opened, later = (
        [bool(r.parameter("sid") or re.search("/1/.+/", r.target)) for r in wire.requests()]
        for wire in (front, back)
    )
    true(opened, "no session was asked for at handshake_url")
    if cell.transport == "websocket" and cell.server.eio is not None:
        return  # the websocket that was opened there is the session
    same((any(opened), all(later), bool(later)), (False, True, True), "requests of an open session")
