"""A websocket's handshake: the short way to read a yes says what the library says of the same answer."""

from __future__ import annotations

import pytest
from net.wire import Tape, bytewise
from websockets.utils import accept_key

from sioload.errors import End
from sioload.net.handshake import offer_of
from sioload.net.stream import CLOSED
from sioload.net.websocket import WebSocket
from sioload.options import Limits

HEAD = "HTTP/1.1 101 Switching Protocols"
YES = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: {accept}"]
ANSWERS: dict[str, tuple[bool, list[str]]] = {
    "plain": (True, [HEAD, *YES]),
    "in another order and case": (
        True,
        [HEAD, "sec-websocket-accept: {accept}", "CONNECTION: upgrade", "upgrade: WebSocket"],
    ),
    "with more headers": (
        True,
        [HEAD, "Server: x", *YES, "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d", "X:"],
    ),
    "without spaces, and with many": (
        True,
        [HEAD, "Upgrade:websocket", "Connection: \t Upgrade \t", "Sec-WebSocket-Accept:{accept}"],
    ),
    "without a reason": (True, ["HTTP/1.1 101 ", *YES]),
    "among other options": (True, [HEAD, YES[0], "Connection: keep-alive, Upgrade", YES[2]]),
    "in Latin-1": (True, [HEAD, *YES, "X: é"]),
    "at length": (True, [HEAD, *YES, "X: " + "y" * 5000]),
    "for another key": (False, [HEAD, *YES[:2], "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="]),
    "for none": (False, [HEAD, *YES[:2]]),
    "twice": (False, [HEAD, *YES, YES[2]]),
    "to another protocol": (False, [HEAD, "Upgrade: h2c", *YES[1:]]),
    "to nothing": (False, [HEAD, *YES[1:]]),
    "without an upgrade": (False, [HEAD, YES[0], "Connection: close", YES[2]]),
    "with an extension": (False, [HEAD, *YES, "Sec-WebSocket-Extensions: permessage-deflate"]),
    "with a subprotocol": (False, [HEAD, *YES, "Sec-WebSocket-Protocol: chat"]),
    "as HTTP/1.0": (False, ["HTTP/1.0 101 X", *YES]),
    "as another status": (False, ["HTTP/1.1 200 OK", *YES]),
    "with a folded line": (False, [HEAD, *YES, "X: a", " b"]),
    "with a broken line": (False, [HEAD, *YES, "X"]),
    "with a space in a name": (False, [HEAD, *YES, "X : a"]),
    "with a control character": (False, [HEAD, *YES, "X: a\x01"]),
    "with an empty header": (True, [HEAD, *YES, "X: "]),
    "with its proof in that": (False, [HEAD, *YES[:2], "Sec-WebSocket-Accept: ", "X: {accept}"]),
    "too often": (False, [HEAD, *YES, *["X: y"] * 200]),
}


class Heard:
    """What a websocket's listener heard."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def on_ws_open(self, ws: WebSocket) -> None:
        headers = [(k, v) for k, v in ws.response_headers if k != "sec-websocket-accept"]
        self.events.append(("open", headers, ws.deflate is not None))

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        self.events.append(("frame", frame))

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        self.events.append(("lost", status))


def key_of(tape: Tape, more: dict[str, str] | None = None) -> str:
    lines = bytes(tape.written).decode().split("\r\n")
    assert lines[:2] == ["GET /x?y HTTP/1.1", "Host: h"] and lines[-2:] == ["", ""]
    sent = dict(line.split(": ", 1) for line in lines[2:-2])
    key = sent.pop("Sec-WebSocket-Key")
    offer = sent.pop("Sec-WebSocket-Extensions", None)
    assert offer in (None, "permessage-deflate; client_max_window_bits")
    assert sent == {
        **{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
        **(more or {}),
    }
    return key


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("how", ANSWERS)
def test_an_answer_in_one_piece_means_what_it_means_in_many(how: str, compress: bool) -> None:
    fine, lines = ANSWERS[how]
    heard = []
    for whole in (True, False, True):
        tape, listener = Tape(), Heard()
        ws = WebSocket(tape, listener, "/x?y", [("Host", "h")], Limits(), compress)  # type: ignore[arg-type]
        accept = accept_key(key_of(tape))
        answer = "\r\n".join([*lines, "", ""]).replace("{accept}", accept).encode("latin-1")
        answer += b"\x81\x02hi\x81\x01!"
        for piece in [answer] if whole else bytewise(answer):
            if not tape.closed:
                ws.on_data(piece)
        if not tape.closed and not ws.is_open:
            ws.on_lost(CLOSED)
        heard.append(listener.events)
    assert heard[0] == heard[1] == heard[2]  # the same yes again is known
    opens = fine or (compress and how == "with an extension")
    assert [event[0] for event in heard[0]] == (["open", "frame", "frame"] if opens else ["lost"])


ASKED = [
    ("Host", "h"),
    ("sec-websocket-key", "PVg+yYO5Q3EVgtPLLV2QXQ=="),
    ("Sec-WebSocket-Version", "8"),
    ("Connection", "keep-alive"),
    ("upgrade", "h2c"),
    ("Sec-WebSocket-Protocol", "v1, token.abc"),
    ("sec-websocket-extensions", "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits"),
]


@pytest.mark.parametrize(
    ("lines", "opens", "compresses"),
    [
        ([], True, False),
        (["Sec-WebSocket-Protocol: v1"], True, False),
        (["sec-websocket-protocol:token.abc"], True, False),
        (["Sec-WebSocket-Protocol: v2"], False, False),
        (["Sec-WebSocket-Protocol: v1, token.abc"], False, False),
        (["Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Protocol: v1"], False, False),
        (["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12"], True, True),
        (["Sec-WebSocket-Extensions: x-webkit-deflate-frame"], False, False),
        (["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: v1"], True, True),
    ],
)
def test_what_a_scripts_headers_ask_for_is_understood(
    lines: list[str], opens: bool, compresses: bool
) -> None:
    heard = []
    for whole in (True, False):
        tape, listener = Tape(), Heard()
        ws = WebSocket(tape, listener, "/x?y", ASKED, Limits())  # type: ignore[arg-type]
        key = key_of(tape, {"Sec-WebSocket-Protocol": "v1, token.abc"})
        assert key != ASKED[1][1]
        answer = "\r\n".join([HEAD, *YES, *lines, "", ""]).replace("{accept}", accept_key(key)).encode()
        for piece in [answer] if whole else bytewise(answer):
            if not tape.closed:
                ws.on_data(piece)
        heard.append(listener.events)
    assert heard[0] == heard[1]
    assert [event[0] for event in heard[0]] == (["open"] if opens else ["lost"])
    assert not opens or heard[0][0][2] == compresses


def test_keys_are_new_each_time() -> None:
    keys = set()
    for _ in range(20):
        tape = Tape()
        WebSocket(tape, Heard(), "/x?y", [("Host", "h")], Limits())  # type: ignore[arg-type]
        keys.add(key_of(tape))
    assert len(keys) == 20 and all(len(key) == 24 for key in keys)


@pytest.mark.parametrize("server", [None, *range(7, 17)])
@pytest.mark.parametrize("client", [None, *range(7, 17)])
def test_no_window_is_offered_that_cant_be_kept(server: int | None, client: int | None) -> None:
    """RFC 7692, section 7.1.2: from 8 to 15 bits. With 8 zlib can't compress: that was an internal error."""
    text = "permessage-deflate"
    text += "" if server is None else f"; server_max_window_bits={server}"
    text += "" if client is None else f'; client_max_window_bits="{client}"'
    found = offer_of([("Sec-WebSocket-Extensions", text)], False)
    good = server in (None, *range(8, 16)) and client in (None, *range(9, 16))
    assert (found.extensions, len(found.factories)) == ((text, 1) if good else ("", 0))
