"""The table of generations: all that tells Socket.IO's versions apart on the wire.

Whoever adds a generation begins here, with a record; "Where to add" in sioload/README.md has the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from sioload.engineio import packet as frames
from sioload.engineio import payload
from sioload.engineio.packet import Frame, Handshake
from sioload.engineio.packet import Packet as EnginePacket
from sioload.errors import OptionError
from sioload.options import Limits
from sioload.socketio import codec as json
from sioload.socketio import v0
from sioload.socketio.parsers import MSGPACK, Codec, codec_of


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of the protocols.

    Attributes:
        name: its key in `GENERATIONS`.
        version: the server's major version, as in `Options.version`.
        eio: value of the query parameter EIO; None when there is no Engine.IO.
        pinger: who sends pings; "echo": the server, and its ping is sent back (0.9).
        opens_root: who opens "/": the server by itself, or a client by its CONNECT.
        connect_payload: what a CONNECT may carry: an auth object, a query string, or nothing.
        token: where `Options.auth_token` goes: the auth payload's or the query's `token`.
        polling: name of the long-polling transport.
        parse_handshake: reads the OPEN packet's data (0.9: the handshake's body).
        decode_frame, encode_frame: websocket frame to packet and back.
        encode_base64: as `encode_frame`, with binary as text (`Options.base64`).
        decode_payload, encode_payload: polling body (and its content type) to packets and back.
        codec: packets of Socket.IO, with the JSON parser.
        codec_base64: the same for polling with `Options.base64`, if that is another one.
        timestamp: polling requests carry `t`, as those of the JavaScript client of that generation.
        binary: messages may be binary.
        upgrade: a session can move from polling to websocket.
        leaving_root_closes: the disconnect of "/" ends the session, whichever side sends it (0.9).
        dashed_acks: acks have the form of 1.0.0 to 1.0.2.
        first_id: the id of the first emit that asks for an ack (gevent-socketio never answers id 0).
        greeting: how the first message of a session's transport begins; nothing may be sent before (0.9).
        unknown_session: how the message begins that says that the server doesn't know the session (0.9).
    """

    name: str
    version: int
    eio: Literal["3", "4"] | None
    pinger: Literal["server", "client", "echo"]
    opens_root: Literal["server", "client"]
    connect_payload: Literal["auth", "query", "none"]
    token: Literal["auth", "query"]
    polling: Literal["polling", "xhr-polling"]
    parse_handshake: Callable[[str], Handshake]
    decode_frame: Callable[[Frame], EnginePacket]
    encode_frame: Callable[[EnginePacket], Frame]
    encode_base64: Callable[[EnginePacket], Frame]
    decode_payload: Callable[[bytes, Limits], list[EnginePacket]]
    encode_payload: Callable[[Sequence[EnginePacket], bool], tuple[bytes, str]]
    codec: Codec
    codec_base64: Codec | None = None
    timestamp: bool = True
    binary: bool = True
    upgrade: bool = True
    leaving_root_closes: bool = False
    dashed_acks: bool = False
    first_id: int = 0
    greeting: str = ""
    unknown_session: str = ""


_JSON = Codec(json.encode_event, json.encode_ack, json.encode_connect, json.encode_disconnect, json.Decoder)
_JSON_BARE = replace(
    _JSON, encode_connect=json.encode_connect_bare, encode_disconnect=json.encode_disconnect_bare
)
_JSON_QUERY = replace(_JSON, encode_connect=json.encode_connect_query)
#: What has JSON's non-ASCII characters escaped.
_ESCAPED: dict[str, Any] = {
    "encode_event": partial(json.encode_event, ascii=True),
    "encode_ack": partial(json.encode_ack, ascii=True),
}

V4 = Generation(
    name="4",
    version=4,
    eio="4",
    pinger="server",
    opens_root="client",
    connect_payload="auth",
    token="auth",
    polling="polling",
    parse_handshake=frames.parse_handshake,
    decode_frame=frames.decode_eio4,
    encode_frame=frames.encode_eio4,
    encode_base64=frames.encode_eio4_base64,
    decode_payload=payload.decode_records,
    encode_payload=payload.encode_records,
    codec=_JSON,
)

V3 = replace(V4, name="3", version=3)

V2 = Generation(
    name="2",
    version=2,
    eio="3",
    pinger="client",
    opens_root="server",
    connect_payload="query",
    token="query",
    polling="polling",
    parse_handshake=partial(frames.parse_handshake, strict=True),
    decode_frame=frames.decode_eio3,
    encode_frame=frames.encode_eio3,
    encode_base64=frames.encode_eio3_base64,
    decode_payload=payload.decode_lengths,
    encode_payload=payload.encode_lengths,
    codec=_JSON_QUERY,
    # Bodies are text, in which python-engineio 3 counts characters and Node counts units of UTF-16.
    codec_base64=replace(_JSON_QUERY, **_ESCAPED),
)

#: 1.1 to 1.7. `Options.version` 1 means this; JSON is escaped because the server may be 1.0.x, which crashes
#: on plain non-ASCII text.
V1 = replace(
    V2,
    name="1",
    version=1,
    decode_payload=partial(payload.decode_lengths, double=True),
    encode_payload=partial(payload.encode_lengths, double=True),
    codec=replace(_JSON_BARE, **_ESCAPED),
    codec_base64=None,
)

#: 1.0.3 to 1.0.6.
V1_0_3 = replace(
    V1,
    name="1.0.3",
    connect_payload="none",
    decode_frame=frames.decode_eio3_double,
    encode_frame=frames.encode_eio3_double,
    encode_base64=frames.encode_eio3_double_base64,
    codec=_JSON_BARE,
)

#: 1.0.0 to 1.0.2.
V1_0 = replace(
    V1_0_3,
    name="1.0",
    codec=replace(_JSON_BARE, encode_ack=partial(json.encode_ack, dashed=True)),
    dashed_acks=True,
)

#: Engine.IO 3 in the form that any server of 1.x and 2.x reads, for when polling can't tell which it is. Once
#: the decoder's `dashed_acks` turns true, the server is known to be "1.0".
UNKNOWN_3 = replace(V1, name="eio3", decode_frame=frames.decode_eio3_double)

V0 = Generation(
    name="0",
    version=0,
    eio=None,
    pinger="echo",
    opens_root="server",
    connect_payload="query",
    token="query",
    polling="xhr-polling",
    parse_handshake=frames.parse_handshake_v0,
    decode_frame=frames.decode_v0,
    encode_frame=frames.encode_v0,
    encode_base64=frames.encode_v0,
    decode_payload=payload.decode_v0,
    encode_payload=payload.encode_v0,
    codec=Codec(v0.encode_event, v0.encode_ack, v0.encode_connect, v0.encode_disconnect, v0.Decoder),
    binary=False,
    upgrade=False,
    leaving_root_closes=True,
    first_id=1,
    greeting="1::",
    unknown_session="7:::1",
)

#: All records by name.
GENERATIONS: dict[str, Generation] = {
    record.name: record for record in (V0, V1_0, V1_0_3, V1, V2, V3, V4, UNKNOWN_3)
}

#: What each number of `Options.version` means.
VERSIONS: dict[int, Generation] = {0: V0, 1: V1, 2: V2, 3: V3, 4: V4}


def codec_for(generation: Generation, parser: Any, base64: bool = False) -> Codec:
    """The codec of a generation with `Options.parser`: "json", "msgpack" or an object.

    Args:
        generation: what is spoken.
        parser: the option.
        base64: messages may go in bodies of text (`Options.base64`).

    Raises:
        OptionError: the generation can't have another parser.
    """
    if parser == "json":
        return (generation.codec_base64 if base64 else None) or generation.codec
    if not generation.binary:
        raise OptionError("parser: Socket.IO 0.9 has no other than json")
    return MSGPACK if parser == "msgpack" else codec_of(parser)
