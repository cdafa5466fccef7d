"""The requests of one session: where they go, and with what."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from sioload.engineio.packet import Handshake, Packet
from sioload.engineio.secrets import redact
from sioload.engineio.urls import Endpoint, Request, encoded, parse_url, redirected, stays
from sioload.errors import Stage
from sioload.measure.rows import Row
from sioload.net.dial import Dialler
from sioload.net.patience import Patience
from sioload.net.stream import Stream
from sioload.net.tls import Tickets
from sioload.net.tunnel import by_way_of, proxy_for
from sioload.net.websocket import Listener as FrameListener
from sioload.net.websocket import WebSocket
from sioload.options import Options
from sioload.session.probe import server_key
from sioload.socketio.detect import refusal
from sioload.socketio.generations import Generation

if TYPE_CHECKING:
    from sioload.net.fleet import Fleet


logger = logging.getLogger(__name__)
#: What makes streams: a name in whose place tests put another, as that of a compiled class can't be.
dialler: type[Dialler] = Dialler
#: Redirects that one opening follows.
MOVES = 5
_told: set[str] = set()


class _Heads(NamedTuple):
    """What stands behind the targets of polling requests.

    Attributes:
        get: of a GET.
        post: of a POST, which has a content type of its own.
        at, cookie, edits: where they go, and the `Request`'s when this was made.
    """

    get: str
    post: str
    at: Endpoint
    cookie: str
    edits: int


class Requests:
    """Makes a session's requests, and the streams that they go over.

    Attributes:
        generation: what is spoken; set it by `speak`.
        encode, decode: a packet's websocket frame in this generation, and the packet of a frame.
        given: the server that the script named.
        endpoint: the server, which may be elsewhere than that.
        sid: the session's id, "" before it is open.
        asked: what the user's script and options put into each request; None once none can follow.
        owner: the user, None without one.
        confided: the auth payload.
        proxy: the HTTP proxy that all goes through, None without one.
        tickets: of the client's TLS; set it for sessions that are to be resumed.
    """

    __slots__ = ("_heads", "_hidden", "_kept", "_moves", "_opens_at", "_sent", "asked", "confided", "decode",
                 "encode", "endpoint", "fleet", "generation", "given", "options", "owner", "proxy", "sid",
                 "tickets")  # fmt: skip

    def __init__(
        self,
        fleet: Fleet,
        options: Options,
        generation: Generation,
        endpoint: Endpoint,
        asked: Request,
        owner: object = None,
    ) -> None:
        self.fleet = fleet
        self.owner = owner
        self.options = options
        self.given = endpoint
        self.endpoint = endpoint
        self.asked: Request | None = asked
        self.sid = ""
        self._hidden: list[object] | None = None
        self._moves = 0
        self._opens_at: Endpoint | None = None
        self._sent = ""
        self._heads: _Heads | None = None
        self._kept: tuple[str, str] | None = None  # the target of polls, but for its timestamp
        self.confided: object = None
        self.tickets: Tickets | None = None
        self.proxy = parse_url(options.proxy) if options.proxy else None
        self.speak(generation)
        if fleet.slashes.get(server_key(endpoint, options)) is False:
            self._drop_slash()

    def speak(self, generation: Generation) -> None:
        """Ask, take and send as this generation does from now on."""
        self.generation = generation
        self._kept = None
        self.encode = generation.encode_base64 if self.options.base64 else generation.encode_frame
        self.decode = generation.decode_frame

    def at(self) -> Endpoint:
        """Where the next request goes: to `handshake_url`'s server while the session isn't open."""
        if self.options.handshake_url and not self.sid:
            return self._opens_at or parse_url(self.options.handshake_url)
        return self.endpoint

    def try_without_slash(self) -> bool:
        """The path is unknown: ask without the slash at its end, unless both forms were tried before."""
        key = server_key(self.given, self.options)
        if self._slashless():
            self.fleet.slashes.setdefault(key, True)  # it is no better
            return False
        return self.fleet.slashes.get(key) is not True and self._drop_slash()

    def _drop_slash(self) -> bool:
        at = self.endpoint
        if self.options.handshake_url or self.generation.eio is None or at.path[-1:] != "/" or at.path == "/":
            return False
        self.endpoint = replace(at, path=at.path.rstrip("/"))
        if self.asked is not None:
            self.asked.endpoint = self.endpoint
        return True

    def _slashless(self) -> bool:
        """Whether the slash alone is what was left out since."""
        given, at = self.given, self.endpoint
        return at.path == given.path.rstrip("/") != given.path and at.origin == given.origin

    def found(self) -> None:
        """A session is open: what was learnt of the server's path holds for the next ones."""
        self.fleet.slashes[server_key(self.given, self.options)] = not self._slashless()

    def follow(self, status: int, headers: list[tuple[str, str]]) -> bool:
        """Ask elsewhere, if an answer to the request for a session says so; at most five times (`MOVES`)."""
        asked, location = self.asked, next((value for name, value in headers if name == "location"), "")
        if status not in (301, 302, 303, 307, 308) or not location or asked is None or self._moves >= MOVES:
            return False
        at = self.at()
        to = redirected(at, self._sent, location)
        if to is None:
            return False
        self._moves += 1
        if self.options.handshake_url:
            self._opens_at = to
        else:
            if self.generation.eio is None:
                to = replace(to, path=to.path.removesuffix("1/"))
            self.endpoint = asked.endpoint = to
        if not stays(at, to.tls, to.host, to.port) and to.origin != self.given.origin:
            asked.leave(to)
        if to.origin == at.origin and to.path == at.path.rstrip("/"):
            return True  # which is no use saying: the option path means both
        told = f"{at.origin}{at.path} redirects to {to.origin}{to.path}"
        if told not in _told and len(_told) < 50:
            _told.add(told)
            logger.warning("sioload: %s, which is followed: use that URL or path (said once)", told)
        return True

    def patience(self) -> Patience:
        """That of the server that connections go to."""
        at = self.endpoint if self.proxy is None or self.endpoint.tls else self.proxy
        return self.fleet.idling.setdefault((at.tls, at.host, at.port), Patience())

    def dial(
        self, done: Callable[[Stream], None], failed: Callable[[Stage, str], None], websocket: bool = False
    ) -> Dialler:
        """Begin to connect a stream for the next request."""
        at = self.at()
        proxy = None if self.proxy is None else proxy_for(self.proxy, at, websocket)
        return dialler(
            self.fleet, at.host, at.port, self.options, at.tls, done, failed, self.owner, proxy, self.tickets
        )

    def row(self, type: str, name: str, size: int = 0, error: Exception | None = None) -> Row:
        """A row whose next sample is this session's; see `Row.note`."""
        row = self.fleet.recorder.row_of(self.owner, type, name)
        row.bytes += size
        row.note(self.owner, size, error)
        return row

    def get(self, generation: Generation | None = None) -> bytes:
        """The bytes of a poll, or of the request for a session (in another generation's form)."""
        target, heads = self._polling(generation or self.generation)
        return f"GET {target}{heads.get}\r\n\r\n".encode()

    def post(self, packets: list[Packet]) -> bytes:
        """The bytes of a request that brings packets."""
        body, content_type = self.generation.encode_payload(packets, self.options.base64)
        target, heads = self._polling(self.generation)
        own = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}"
        return f"POST {target}{heads.post}\r\n{own}\r\n\r\n".encode() + body

    def unpack(self, body: bytes) -> list[Packet]:
        """The packets of a poll's answer.

        Raises:
            ProtocolError: the body breaks the protocol.
        """
        return self.generation.decode_payload(body, self.options.limits)

    def websocket(self, stream: Stream, listener: FrameListener) -> WebSocket:
        """Begin the handshake of a websocket."""
        target, headers = self._shaking()
        return WebSocket(stream, listener, target, headers, self.options.limits, self.options.compress)

    def _shaking(self) -> tuple[str, list[tuple[str, str]]]:
        """Target and headers of a websocket's handshake."""
        asked, at = self.asked, self.at()
        assert asked is not None
        before, after = self._target(at, "websocket", self.generation)
        self._sent = f"{before}{self._timestamp('websocket')}{after}"
        return self._sent, asked.header_list(at, True, time())

    def _polling(self, generation: Generation) -> tuple[str, _Heads]:
        """A request's target, and what stands behind it; kept while nothing changes."""
        asked = self.asked
        assert asked is not None
        at, heads = self.at(), self._heads
        cookie = asked.cookie(at, time())
        if heads is None or heads.at is not at or heads.cookie != cookie or heads.edits != asked.edits:
            heads = self._heads = self._head(at, cookie)
            self._kept = None
        before, after = kept = self._kept or self._target(at, "polling", generation)
        target = f"{before}{self._timestamp('polling')}{after}"
        if self.sid:
            self._kept = kept
        else:
            self._sent = target
        # Through a proxy, which passes it on: RFC 9112, section 3.2.2.
        return (target if self.proxy is None or at.tls else at.origin + target), heads

    def _head(self, at: Endpoint, cookie: str) -> _Heads:
        asked, proxy = self.asked, self.proxy
        assert asked is not None
        headers = asked.header_list(at, False, time())
        if proxy is not None and not at.tls and proxy.authorization:
            headers = [header for header in headers if header[0].lower() != "proxy-authorization"]
            headers.append(("Proxy-Authorization", proxy.authorization))
        lines = [" HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
        post = [line for line in lines if not line.lower().startswith("content-type:")]
        return _Heads("\r\n".join(lines), "\r\n".join(post), at, cookie, asked.edits)

    def _target(self, at: Endpoint, transport: str, generation: Generation) -> tuple[str, str]:
        """Path and parameters in the generation's form, as they are before and behind the timestamp."""
        asked = self.asked
        assert asked is not None
        engines = rest = ""
        if generation.eio is None:
            where = f"{self.named(transport)}/{quote(self.sid, safe='')}" if self.sid else ""
            at = at if at is not self.endpoint else replace(at, path=f"{at.path.rstrip('/')}/1/{where}")
        else:
            engines = f"EIO={generation.eio}&transport={transport}"
            if self.options.base64:
                rest = "&b64=1"
            if self.sid:
                rest += f"&sid={encoded(self.sid)}"
        before = asked.target(at, engines)
        if self._stamps(transport):
            before += "&t=" if "?" in before else "?t="
        return before, rest

    def _stamps(self, transport: str) -> bool:
        """Whether a request carries a timestamp."""
        wanted = self.options.timestamp
        return wanted if wanted is not None else transport != "websocket" and self.generation.timestamp

    def _timestamp(self, transport: str) -> str:
        return self.fleet.next_timestamp() if self._stamps(transport) else ""

    def upgradable(self, transport: str, handshake: Handshake) -> bool:
        """Whether a session that opened on a transport can go on on a websocket."""
        upgrades = self.generation.upgrade and transport == "polling" and "websocket" in handshake.upgrades
        return upgrades and "websocket" in self.options.transports

    def named(self, transport: str) -> str:
        """A transport as this generation calls it."""
        return self.generation.polling if transport == "polling" else transport

    def keep_cookies(self, headers: list[tuple[str, str]]) -> None:
        """Cookies of a response, of any status, go into the user's later requests (sticky sessions)."""
        asked = self.asked
        for name, value in headers:
            if name == "set-cookie" and asked is not None:
                asked.keep_cookie(value, self.at(), time())

    def let_go(self) -> None:
        """No request can follow: of what they carried, only what nobody may see is still of interest."""
        asked, self.asked = self.asked, None
        self._heads = self._kept = None
        if asked is not None and (asked.edits or asked.jar is not None):
            self._hidden = asked.secrets()

    def discreet(self, text: str) -> str:
        """What a server said, without what it was told in confidence."""
        if not text:
            return text
        given, carried = self.options, self._hidden if self.asked is None else self.asked.secrets()
        told = (
            given.headers,
            given.cookies,
            given.query,
            given.auth,
            given.auth_token,
            self.confided,
            self.sid,
            self.endpoint.query,
            self.endpoint.authorization,
            "" if self.proxy is None else self.proxy.authorization,
            parse_url(given.handshake_url).query if given.handshake_url else "",
        )
        return redact(text, *told, carried)

    def refusal(self, status: int, body: bytes, transport: str) -> str:
        """What an HTTP error says, which may be the proxy's."""
        at, proxy = self.at(), self.proxy
        if proxy is None or at.tls or transport == "websocket":
            return refusal(status, self.shown(body), transport == "websocket")
        if status == 407:
            asked = proxy_for(proxy, at, websocket=False)
            return f"{asked.name}: {asked.refusal(status)}"
        return refusal(status, self.shown(body)) + by_way_of(proxy)

    def shown(self, body: bytes) -> bytes:
        """What of an error's body may be shown."""
        return self.discreet(body[:10_000].decode("utf-8", "replace")).encode()
