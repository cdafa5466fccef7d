"""What kind of end of a session it is, from what was seen of it."""

from __future__ import annotations

from typing import Final

from sioload.errors import End, Reason
from sioload.socketio.detect import refuses_version, unknown_session

#: Why a server may close a websocket without a word.
CAUSES: Final = "refused, or the URL, its port or the option path is wrong"


def refused(status: int, body: bytes, said: str) -> End:
    """The server answered a request with an HTTP error, which says this."""
    kind: Reason = "transport error"
    if unknown_session(status, body):
        kind = "session unknown"
    elif refuses_version(status, body):
        kind = "protocol error"
    return End(kind, said)


def unopened(end: End) -> End:
    """The websocket ended before its session was open."""
    if end.kind in ("protocol error", "limit"):
        return end
    return End("transport closed", f"{end.detail} before the session was open: {CAUSES}")
