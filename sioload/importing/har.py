"""A HAR file, as Chrome or Playwright record it: its HTTP calls, and its Socket.IO sessions packet by packet.

A websocket is an entry with `_webSocketMessages`; polling is entries of its own. All codecs are those that a
run uses. Nothing is trusted: what can't be read is left out and named.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult

import orjson

from sioload.engineio.packet import Packet as EnginePacket
from sioload.engineio.packet import PacketType as EngineType
from sioload.errors import ProtocolError, UsageError
from sioload.importing.entries import (
    Entry,
    content_of,
    entries_of,
    form_of,
    headers_of,
    log_of,
    number_of,
    parameters,
    set_right,
    time_of,
)
from sioload.importing.fields import listed, mapping, text_of
from sioload.importing.recovery import without_recovery
from sioload.options import Limits
from sioload.socketio.detect import identify
from sioload.socketio.generations import UNKNOWN_3, V0, V1, V2, V4, Generation, codec_for
from sioload.socketio.packet import Packet, PacketType

_LIMITS: Final = Limits()
_FRAMELESS: Final = "websockets whose frames aren't in the file (Chrome and Playwright 1.61 record them)"
#: Parameters of Engine.IO's own.
ENGINE_PARAMETERS: Final = frozenset(("EIO", "transport", "t", "sid", "b64", "j"))
#: Opcodes of close, ping and pong, and that of what a browser complains of.
_CONTROL: Final = (8, 9, 10, -1)
#: Opcodes as some recorders write them.
_OPCODES: Final = {"2": 2, "binary": 2, "8": 8, "close": 8, "9": 9, "ping": 9, "10": 10, "pong": 10}
#: 0.9: /socket.io/1/ and then the transport and the session.
_V0_PATH: Final = re.compile(r"(.*/)1/(?:(websocket|xhr-polling)/([^/]+)/?)?")


@dataclass(slots=True)
class Said:
    """One packet of Socket.IO.

    Attributes:
        at: seconds since the epoch.
        sent: the browser sent it.
    """

    at: float
    sent: bool
    packet: Packet


@dataclass(slots=True)
class Session:
    """One session of Engine.IO.

    Attributes:
        url: of its first request.
        query: the user's own parameters.
        headers: of its first request.
        began, ended: seconds since the epoch.
        transports: those that carried something.
        compressed: its websocket uses permessage-deflate.
    """

    url: SplitResult
    path: str
    generation: Generation
    query: dict[str, str]
    headers: dict[str, str]
    began: float
    ended: float = 0.0
    sid: str = ""
    parser: str = "json"
    transports: set[str] = field(default_factory=set)
    compressed: bool = False
    said: list[Said] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Call:
    """One HTTP request and its answer.

    Attributes:
        at, until: seconds since the epoch.
        headers, answer_headers: by names in lower case.
        body: text as it was sent, None for none.
        text: of the answer; None when it isn't in the file.
        kind: what the browser took it for: document, xhr and so on.
    """

    at: float
    until: float
    method: str
    url: SplitResult
    headers: dict[str, str]
    body: str | None
    mime: str
    status: int
    answer_headers: list[tuple[str, str]]
    text: str | None
    kind: str
    redirect: str = ""


@dataclass(slots=True)
class Recording:
    """What a HAR file has of it.

    Attributes:
        creator: the program that wrote it.
        unread: what couldn't be read, by its reason.
        foreign: websockets that aren't Socket.IO's.
    """

    creator: str
    sessions: list[Session] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    foreign: int = 0


def read_har(data: bytes, name: str) -> Recording:
    """The recording in a HAR file.

    Raises:
        UsageError: it is none, or has no session of Socket.IO; one line with the remedy.
    """
    log = log_of(data, name)
    creator = mapping(log.get("creator"))
    said = " ".join(str(creator.get(key, "")) for key in ("name", "version") if creator.get(key))
    recording = Recording(said[:60] or "an unknown program")
    reader = _Reader(recording)
    entries = list(entries_of(log))
    set_right(entries)
    for entry in sorted(entries, key=lambda entry: entry.at):
        reader.take(entry)
    reader.finish()
    packets = [each.packet for session in recording.sessions for each in session.said]
    tells = any(packet.type in (PacketType.EVENT, PacketType.ACK) for packet in packets)
    if not packets or (_FRAMELESS in recording.unread and not tells):
        raise UsageError(
            f"{name}: no Socket.IO traffic with its frames (written by {recording.creator}): record with "
            'Chrome ("Export HAR (with sensitive data)") or Playwright 1.61 (record_har_content="embed")'
        )
    return recording


class _Way:
    """One direction of one session: frames to packets."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._decoder = codec_for(session.generation, session.parser).decoder(_LIMITS)
        self._fresh = True

    def packet(self, engine: EnginePacket) -> Packet | None:
        """The packet that a message completes; None while attachments are missing."""
        if isinstance(engine.data, bytes) and self._fresh and self._session.parser == "json":
            self._session.parser = "msgpack"
        if self._session.parser == "msgpack" and self._fresh:
            self._decoder = codec_for(self._session.generation, "msgpack").decoder(_LIMITS)
        self._fresh = False
        fields = self._decoder.feed(engine.data)
        if fields is None:
            return None
        packet = Packet(*fields)
        if self._session.generation is V0 and packet.type == PacketType.CONNECT:
            # The query stands behind the endpoint; no server's tells a client anything.
            return packet._replace(data=str(engine.data).partition("?")[2])
        return packet

    def anew(self) -> None:
        """After an error a decoder is of no use."""
        self._decoder = codec_for(self._session.generation, self._session.parser).decoder(_LIMITS)


class _Reader:
    """Puts entries together: each session of its requests and its websocket."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._by_sid: dict[str, Session] = {}
        self._frames: list[tuple[float, int, Session, bool, EnginePacket]] = []

    def take(self, entry: Entry) -> None:
        """One entry, in the order in which they began."""
        query = parameters(entry.url)
        old = _V0_PATH.fullmatch(entry.url.path) if "EIO" not in query else None
        if "EIO" in query and "transport" in query:
            self._engine(entry, query)
        elif old is not None and (
            old[2] or text_of(mapping(entry.response.get("content")).get("text")).count(":") == 3
        ):
            self._old(entry, old)
        elif entry.is_socket:
            self._recording.foreign += 1
        else:
            call = _call(entry)
            if not call.body and call.headers.get("content-length", "0") != "0":
                self._miss(
                    f"bodies of {call.method} {call.url.path} that aren't in the file: it is sent without"
                )
            self._recording.calls.append(call)

    def _engine(self, entry: Entry, query: dict[str, str]) -> None:
        sid = query.get("sid", "")
        session = self._by_sid.get(sid) if sid else None
        if session is None:
            answer = content_of(mapping(entry.response.get("content"))) or b""
            generation = V4 if query["EIO"] == "4" else UNKNOWN_3
            if query["transport"] == "polling":
                status = int(number_of(entry.response.get("status")))
                found = identify(status, answer, query.get("b64") == "1")
                if status and status != 200:
                    return self._miss(f"handshakes that the server answered with HTTP {status}")
                generation = found if found is not None and found is not V0 else generation
            session = self._begin(entry, entry.url.path, generation, sid)
        self._carry(session, entry, query["transport"])

    def _old(self, entry: Entry, old: re.Match[str]) -> None:
        sid = old[3] or ""
        session = self._by_sid.get(sid) if sid else None
        if session is None:
            given = text_of(mapping(entry.response.get("content")).get("text")).partition(":")[0]
            session = self._begin(entry, old[1], V0, sid or given)
        if old[2]:
            self._carry(session, entry, "websocket" if old[2] == "websocket" else "polling")

    def _begin(self, entry: Entry, path: str, generation: Generation, sid: str) -> Session:
        query = {key: value for key, value in parameters(entry.url).items() if key not in ENGINE_PARAMETERS}
        session = Session(
            entry.url, path, generation, query, dict(headers_of(entry.request)), entry.at, sid=sid
        )
        self._recording.sessions.append(session)
        if sid:
            self._by_sid[sid] = session
        return session

    def _carry(self, session: Session, entry: Entry, transport: str) -> None:
        session.ended = max(session.ended, entry.until)
        if transport == "websocket":
            self._socket(session, entry)
        else:
            self._poll(session, entry)

    def _poll(self, session: Session, entry: Entry) -> None:
        sent = entry.request.get("method") == "POST"
        content = mapping(entry.request.get("postData") if sent else entry.response.get("content"))
        body = content_of(content)
        session.transports.add("polling")
        if not body and sent and "octet-stream" in text_of(content.get("mimeType")):
            self._miss("binary bodies of polling requests, which browsers don't record: empty bytes are sent")
            return self._frame(entry.at, session, sent, EnginePacket(EngineType.MESSAGE, b""))
        if not body:
            if sent or entry.response.get("status") == 200:
                self._miss("polling bodies that aren't in the file")
            return
        if not sent and number_of(entry.response.get("status")) not in (0, 200):
            return
        try:
            packets = session.generation.decode_payload(body, _LIMITS)
        except ProtocolError as error:
            return self._miss(f"polling bodies: {error}")
        for packet in packets:
            self._frame(entry.at if sent else entry.until, session, sent, packet)

    def _socket(self, session: Session, entry: Entry) -> None:
        answered = dict(headers_of(entry.response))
        session.compressed = "permessage-deflate" in answered.get("sec-websocket-extensions", "")
        if not entry.frames and entry.response.get("status") == 101:
            self._miss(_FRAMELESS)
        probing = "polling" in session.transports
        used, at = False, entry.at
        for raw in entry.frames:
            frame = mapping(raw)
            data, kind, opcode = frame.get("data"), frame.get("type"), frame.get("opcode")
            opcode = _OPCODES.get(opcode.lower(), 1) if isinstance(opcode, str) else opcode
            if opcode in _CONTROL:
                continue
            if kind not in ("send", "receive") or not isinstance(data, str):
                self._miss("frames without a text, or whose type is neither `send` nor `receive`")
                continue
            given = time_of(frame.get("time"))
            at = given + entry.shift if given else at
            session.ended = max(session.ended, at)
            try:
                whole = base64.b64decode(data, validate=True) if opcode == 2 else data
                packet = session.generation.decode_frame(whole)
            except (ProtocolError, ValueError) as error:
                self._miss(f"frames: {error}")
                continue
            if not (probing and packet.data == "probe"):
                used = True
                self._frame(at, session, kind == "send", packet)
        if used or not probing:
            session.transports.add("websocket")

    def _frame(self, at: float, session: Session, sent: bool, packet: EnginePacket) -> None:
        if packet.type == EngineType.OPEN and not sent and not session.sid:
            session.sid = _sid(packet.data)
            self._by_sid.setdefault(session.sid, session)
        self._frames.append((at, len(self._frames), session, sent, packet))

    def finish(self) -> None:
        """All entries are there: frames to packets, each session's in the order of time."""
        ways: dict[tuple[int, bool], _Way] = {}
        for at, _, session, sent, engine in sorted(self._frames, key=lambda frame: frame[:2]):
            if engine.type != EngineType.MESSAGE:
                continue
            if session.generation is UNKNOWN_3 and sent:
                session.generation = _told_apart(engine.data)
            way = ways.setdefault((id(session), sent), _Way(session))
            packet = self._packet(way, engine)
            if packet is not None:
                session.said.append(Said(at, sent, packet))
        for session in self._recording.sessions:
            own = without_recovery([(each.sent, each.packet) for each in session.said])
            for each, packet in zip(session.said, own, strict=True):
                each.packet = packet

    def _packet(self, way: _Way, engine: EnginePacket) -> Packet | None:
        """The packet that a message completes; one whose attachments aren't in the file is left out alone."""
        for _ in range(2):
            try:
                return way.packet(engine)
            except ProtocolError as error:
                self._miss(f"packets: {error}")
                way.anew()
                if isinstance(engine.data, bytes):
                    break
        return None

    def _miss(self, what: str) -> None:
        self._recording.unread[what] = self._recording.unread.get(what, 0) + 1


def _told_apart(data: str | bytes) -> Generation:
    """1.x and 2.x, which websockets alone don't tell apart, from how the browser joined a namespace."""
    if isinstance(data, str) and data.startswith("0/"):
        return V2 if data.endswith(",") else V1
    return UNKNOWN_3


def _sid(data: str | bytes) -> str:
    try:
        return text_of(mapping(orjson.loads(data)).get("sid"))
    except orjson.JSONDecodeError:
        return ""


def _kind_of(mime: str) -> str:
    """What an answer is, in a file that doesn't say what the browser took it for."""
    if mime.startswith("text/html"):
        return "document"
    return "script" if "javascript" in mime else mime.partition("/")[0]


def _call(entry: Entry) -> Call:
    answer = mapping(entry.response.get("content"))
    post = mapping(entry.request.get("postData"))
    sent, got = content_of(post), content_of(answer)
    body = None if sent is None else sent.decode("utf-8", "replace")
    if body is None and listed(post.get("params")):
        body = form_of([(str(p.get("name")), str(p.get("value", ""))) for p in map(mapping, post["params"])])
    return Call(
        entry.at,
        entry.until,
        text_of(entry.request.get("method")).upper() or "GET",
        entry.url,
        dict(headers_of(entry.request)),
        body,
        text_of(post.get("mimeType")),
        int(number_of(entry.response.get("status"))),
        headers_of(entry.response),
        None if got is None else got.decode("utf-8", "replace"),
        entry.kind or _kind_of(text_of(answer.get("mimeType"))),
        text_of(entry.response.get("redirectURL")),
    )
