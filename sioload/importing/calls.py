"""Which of a recording's HTTP requests are steps of a user, and what they carry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qs, urldefrag, urljoin

from sioload.errors import ProtocolError
from sioload.importing.conversation import Joined, Value
from sioload.importing.har import Call, Recording, Session
from sioload.importing.layout import said
from sioload.options import Limits
from sioload.socketio.jsontext import loads

#: What a browser asks for that is no step of a user's.
_PAGES: Final = frozenset(
    ("document", "script", "stylesheet", "image", "font", "media", "manifest", "preflight", "ping",
     "texttrack", "eventsource", "cspviolationreport", "signedexchange", "prefetch")
)  # fmt: skip
_STATIC: Final = re.compile(
    r"\.(?:js|mjs|css|png|jpe?g|gif|svg|ico|webp|woff2?|ttf|map|mp[34]|webm|html?)$", re.IGNORECASE
)
#: JSON of a request or an answer that is nested more deeply is a text.
DEEPEST: Final = Limits().nesting
#: Ends of names below which sites of many owners are.
_SHARED: Final = re.compile(
    r"\.(?:(?:co|com|org|net|edu|gov|ac)\.[a-z]{2}|(?:ne|or|go)\.(?:jp|kr|th|id)|me\.uk)$"
)
#: Cookies that no server asks for.
ANALYTICS: Final = re.compile(r"(?:_ga|_gid|_gat|_fbp|__utm|_hj|amp_|ajs_|optimizely|io$)")


@dataclass(slots=True)
class Kept:
    """Which HTTP calls a script makes.

    Attributes:
        calls: those, and pages that may be needed for what is in them.
        needed: those that it makes in any case.
        cookies: that the server set.
        renewed: names of cookies that it set.
        left_out: the others, in words.
    """

    calls: list[Call]
    needed: set[Call]
    cookies: set[tuple[str, str]]
    renewed: set[str]
    left_out: list[str]


def calls_kept(recording: Recording, sessions: list[Session]) -> Kept:
    """Which calls are steps of the user whose sessions these are, on the sites that they belong to."""
    hosts = {session.url.hostname or "" for session in sessions}
    hosts |= {call.url.hostname or "" for call in recording.calls if call.kind == "document"}
    sites = {_site(host) for host in hosts}
    calls: list[Call] = []
    needed: set[Call] = set()
    left: Counter[str] = Counter()
    setters: dict[tuple[str, str], Call] = {}
    led_to: set[str] = set()
    for call in recording.calls:
        setters.update(dict.fromkeys(_cookies_of_answer(call), call))
        if _site(call.url.hostname or "") not in sites:
            left["requests to other sites"] += 1
        elif call.method not in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
            left["preflights"] += 1
        elif call.url.geturl() in led_to:
            led_to.remove(call.url.geturl())
            left["pages that a redirect led to"] += 1
        elif call.status >= 400:
            left[f"{call.method} {said(call.url.path, 60)}, which was answered {call.status}"] += 1
        else:
            calls.append(call)
            page = (call.kind in _PAGES and call.method == "GET") or _STATIC.search(call.url.path)
            if not page:
                needed.add(call)
        if call.redirect:
            led_to.add(_led_to(call))
    kept, cookies = set(calls), set(setters)
    wanted = [session.headers.get("cookie", "") for session in sessions]
    wanted += [call.headers.get("cookie", "") for call in needed]
    for header in wanted:
        for name, value in cookies_in(header):
            setter = setters.get((name, value))
            if setter is not None and setter in kept and not ANALYTICS.match(name):
                needed.add(setter)
    left["pages, scripts, styles, images and fonts"] = len(calls) - len(needed)
    renewed = {name for name, _ in setters}
    return Kept(
        calls,
        needed,
        cookies,
        renewed,
        [f"{count} {what}" if count > 1 else what for what, count in left.items() if count],
    )


def _cookies_of_answer(call: Call) -> Iterator[tuple[str, str]]:
    """Name and value of each cookie that the server set."""
    for header, value in call.answer_headers:
        if header == "set-cookie":
            for line in value.split("\n"):
                pair = line.partition(";")[0].partition("=")
                yield pair[0].strip(), pair[2].strip()


def cookies_in(header: str) -> Iterator[tuple[str, str]]:
    """Name and value of each cookie that a request sent."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        yield name, value


def _led_to(call: Call) -> str:
    """Where the answer sent the browser: the file has what the server said, a path most times."""
    try:
        return urldefrag(urljoin(call.url.geturl(), call.redirect)).url
    except ValueError:
        return ""


def _site(host: str) -> str:
    """What belongs together: the last two labels of a name, three of `shop.co.uk`; an address is its own."""
    if re.fullmatch(r"[\d.]+|.*:.*", host):
        return host
    return ".".join(host.split(".")[-3 if _SHARED.search(host) else -2 :])


def body_of(call: Call) -> tuple[Value, Literal["json", "form", "text"]]:
    """What a request carries, and how."""
    assert call.body is not None
    if "json" in call.mime or call.body[:1] in ("{", "["):
        try:
            return loads(call.body, DEEPEST), "json"
        except ProtocolError:
            pass
    if "urlencoded" in call.mime:
        fields = parse_qs(call.body, keep_blank_values=True)
        return {name: texts if len(texts) > 1 else texts[0] for name, texts in fields.items()}, "form"
    return call.body, "text"


def path_on(url: Value, host: str) -> Value:
    """A URL on the host as its path: the script asks the server that its users are sent to (`--host`)."""
    parts = url.parts if isinstance(url, Joined) else (url,)
    first = parts[0]
    if url == host or not isinstance(first, str) or not first.startswith(f"{host}/"):
        return "/" if url == host else url
    path = first.removeprefix(host)
    return Joined((path, *parts[1:])) if isinstance(url, Joined) else path


def name_of(url: Value, host: str) -> str:
    """The name of the row of requests whose URLs differ from user to user; "" where they don't.

    Args:
        url: a path, or a URL.
        host: of the server; it isn't said.
    """
    if isinstance(url, str):
        return ""
    parts = url.parts if isinstance(url, Joined) else (url,)
    shown = "".join(part if isinstance(part, str) else "[...]" for part in parts)
    return shown.removeprefix(host).partition("?")[0][:200]


def origin(url: SplitResult) -> str:
    """Scheme, host and port of a server; no credentials."""
    scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" + (f":{url.port}" if url.port else "")
