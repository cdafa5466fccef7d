"""What a server's answer to a handshake tells of its generation, and what to say when it is the wrong one."""

from __future__ import annotations

import html
import re
from http import HTTPStatus

import orjson

from sioload.socketio.generations import UNKNOWN_3, V0, V1, V2, V4, Generation

_LENGTHS = re.compile(rb"\d{1,10}:0\{")
_OCTETS = re.compile(rb"[\0\1][\0-\x09]{1,10}\xff(0\{|\0\{)")
_TITLE = re.compile(rb"(?is)<title>\s*(?:\d{3}\b)?([^<]{1,200})")
_STATUSES = {"error", *(status.phrase.lower() for status in HTTPStatus)}
_DROPPED = " (does a proxy drop the header Upgrade? sioload doctor names the lines to add)"
_ROOT_TOO = b"\0\x02\xff40"


def identify(status: int, body: bytes, base64: bool = False) -> Generation | None:
    """The generation that answers so to a polling handshake; None when it is none.

    Engine.IO 4 opens with `0{`; Engine.IO 3 with a length, as text (2.x) or in octets (1.x, but also
    python-socketio 4, which opens "/" in the same body as 2.x does); 0.9 greets. If `base64` was asked for,
    1.x answers with text too, but doesn't open "/" in the same body.
    """
    if status == 200:
        if body.startswith(b"0{"):
            return V4
        if _LENGTHS.match(body):
            return V1 if base64 and not body.endswith(b"2:40") else V2
        if _OCTETS.match(body):
            return V2 if body.endswith(_ROOT_TOO) else V1
        if body.startswith(b"Welcome to socket.io"):
            return V0
        if re.match(rb"[\w-]{1,64}:\d*:\d*:[a-z,-]+$", body):
            return V0
    return None


def majors(generation: Generation) -> str:
    """The versions of Socket.IO that speak so."""
    if generation.eio is None:
        return "0.9"
    if generation is UNKNOWN_3:
        return "1.x or 2.x"
    return "3.x or 4.x" if generation.eio == "4" else f"{generation.version}.x"


def speaks(generation: Generation) -> str:
    """A generation in words, for messages."""
    engine = f" (Engine.IO {generation.eio})" if generation.eio is not None else ""
    return f"Socket.IO {majors(generation)}{engine}"


def accepts(wanted: Generation, found: Generation) -> bool:
    """Whether a server that speaks `found` is right for the option version that means `wanted`.

    3.x and 4.x are alike on the wire. A server that opens websockets only may be of 1.x or 2.x.
    """
    return speaks(wanted) == speaks(found) or (found is UNKNOWN_3 and wanted.eio == found.eio)


def wrong_version(found: Generation) -> str:
    """That the option version is wrong, and what to change."""
    if found is UNKNOWN_3:  # told by websockets only, which some servers open on any path
        return f'the server speaks {speaks(found)}: set the option version to "auto", or mend the option path'
    return f'the server speaks {speaks(found)}: set the option version to {found.version} or "auto"'


def mismatch(status: int, body: bytes, shown: bytes) -> str:
    """Why an answer to a handshake can't be used, with the option to change; `shown` is what may be told."""
    found = identify(status, body)
    if found is not None:
        return wrong_version(found)
    text = shown[:40].decode("utf-8", "replace").strip()
    what = "an HTML page" if text[:1] == "<" else f"{text!r}" if text else "an empty body"
    return f"no Socket.IO server answers here (got {what}): check the URL, its port and the option path"


def refuses_version(status: int, body: bytes) -> bool:
    """Whether an answer says that the server doesn't speak the revision of Engine.IO that was asked for."""
    return status == 400 and (b"nsupported protocol version" in body or b"unsupported version" in body)


def says_nothing(status: int, body: bytes) -> bool:
    """Whether a websocket is refused as ASGI servers do it, whatever their engine has against it.

    It may be the revision, the Origin or the session.
    """
    return status == 403 and not body


def leads_on(status: int, body: bytes) -> bool:
    """Whether an error may be that of a server which knows only another form of handshake.

    401, 403, 407 and 429 refuse the user, 502 to 504 are a proxy's whose server doesn't answer, or who limits
    requests; an Engine.IO server says in JSON what it refuses.
    """
    if status in (401, 403, 407, 429, 502, 503, 504) or 300 <= status < 400:
        return False
    return status != 400 or body[:1] not in (b"{", b'"')


def refuses_transport(status: int, body: bytes) -> bool:
    """Whether an answer says that the server's polling is switched off."""
    said = b"Transport unknown" in body or b"Invalid transport" in body
    return status == 400 and said and not lacks_upgrade(body)


def refuses_origin(status: int, body: bytes) -> bool:
    """Whether an answer says that it is the header Origin that the server refuses."""
    return status in (400, 401, 403) and re.search(rb"(?i)\b(origin|cors)\b", body[:200]) is not None


def unknown_namespace(reason: str) -> bool:
    """Whether a refusal says, as Node's and Python's servers do, that there is no namespace of this name."""
    return re.search("invalid namespace|unable to connect", reason, re.IGNORECASE) is not None


def lacks_upgrade(body: bytes) -> bool:
    """Whether that is what Node or python-socketio (the third: 4.x) say of a websocket without its header
    Upgrade."""
    words = (
        b"Bad request",
        b"nvalid websocket upgrade",
        b"Invalid transport websocket",
        b"missing Upgrade header",
    )
    return any(said in body for said in words)


def unknown_session(status: int, body: bytes) -> bool:
    """Whether an answer says that the server doesn't know the session (any more)."""
    return status >= 400 and (b"Session ID unknown" in body or b"Invalid session" in body)


def refusal(status: int, body: bytes, websocket: bool = False) -> str:
    """What an HTTP error says (in answer to the handshake of a websocket, or to another request), with a
    remedy where the cause is known."""
    return said(status, body) + _remedy(status, body, websocket)


def upgrade_refusal(status: int, body: bytes) -> str:
    """What a session's upgrade was answered with, with a remedy.

    Without its header Upgrade, python-socketio 4 takes it for a poll, and 5 says what it also says of a
    transport that is switched off.
    """
    if status == 200:
        return f"HTTP 200{_DROPPED}"
    if status == 400 and b"Invalid transport" in body:
        which = "does a proxy drop the header Upgrade, or is websocket switched off on the server?"
        return f"{said(status, body)} ({which} sioload doctor tells)"
    return refusal(status, body, True)


def said(status: int, body: bytes) -> str:
    """What an HTTP error says."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict):
        told = told.get("message")
    if isinstance(told, str):
        return f"HTTP {status}: {told}"
    text = body[:60].decode("utf-8", "replace").strip()
    if status == 404:
        return "HTTP 404: no Socket.IO server at this path (check the option path and the URL)"
    if 300 <= status < 400:
        return f"HTTP {status}: the server redirects (use the URL that it redirects to)"
    if text[:1] == "<":
        text = _title(body)
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def _title(body: bytes) -> str:
    """What a page is called, if that says more than its status."""
    found = _TITLE.search(body[:2000])
    title = html.unescape(found[1].decode("utf-8", "replace")).strip()[:60] if found else ""
    return "" if title.lower() in _STATUSES else title


def _remedy(status: int, body: bytes, websocket: bool) -> str:
    """What to do about a refusal whose cause is known."""
    if refuses_version(status, body):
        return ' (set the option version, or leave it "auto")'
    if refuses_transport(status, body):
        return " (switched off on the server: name the other one in the option transports, or --transports)"
    if status == 400 and unknown_session(status, body):
        return " (several nodes without sticky sessions? turn these on, or test with --transports websocket)"
    if refuses_origin(status, body):
        return " (give one that it accepts in the option headers, or as --header 'Origin: https://the.site')"
    if websocket and status == 400 and lacks_upgrade(body):
        return _DROPPED
    if websocket and says_nothing(status, body):
        return " (ASGI servers don't say why: sioload doctor asks by polling too)"
    if status == 400 and b"SSL certificate" in body[:2000]:
        return " (it asks for the client's: options cert_file and key_file)"
    return ""
