"""How long servers keep an idle connection, learnt from what they say and do, for all users of a process.

A request that meets the end of its connection is lost without a trace. One that only reads may be sent again;
a POST may not, so it goes out on an idle connection only while the server is sure to hold that.
"""

from __future__ import annotations

from time import perf_counter

from sioload.net.http import HTTPConnection, Response

#: Seconds that an idle connection is used before anything is known; Node closes after 5 s.
UNKNOWN = 4.0
#: Seconds that what was learnt is cut by: the request has to arrive in time.
MARGIN = 0.5
#: Seconds after a request in which its connection's end is one that it met on its way.
RACE = 1.0

Key = tuple[bool, str, int]


class Patience:
    """What is known of each server (TLS, host and port)."""

    def __init__(self) -> None:
        self._known: dict[Key, float] = {}

    def of(self, server: Key) -> float:
        """Seconds for which a connection to it may be idle and be used again."""
        return self._known.get(server, UNKNOWN)

    def learn(self, server: Key, seconds: float) -> None:
        """It closed a connection, or says that it will, after being idle for so long."""
        self._known[server] = min(self._known.get(server, seconds), max(0.0, seconds - MARGIN))

    def hear(self, server: Key, response: Response) -> None:
        """What it says of itself in a Keep-Alive header, while nothing was seen."""
        if server not in self._known:
            for part in response.header("keep-alive").split(","):
                name, _, value = part.strip().partition("=")
                if name.lower() == "timeout" and value.isdecimal() and len(value) < 9:
                    self.learn(server, float(value))

    def usable(self, server: Key, line: HTTPConnection | None) -> bool:
        """Whether the next request may go out on a connection; else it is closed."""
        if line is None:
            return False
        if line.alive and not line.stream.stale():
            if perf_counter() - line.idle_since < self.of(server):
                return True
        elif line.alive or line.ended:
            self.learn(server, (line.ended or perf_counter()) - line.idle_since)
        line.close()
        return False

    def raced(self, server: Key, line: HTTPConnection) -> bool:
        """Whether a failed request met the end of a connection that was used before; no answer had begun."""
        if not line.idle_since or not line.untouched or perf_counter() - line.asked_at > RACE:
            return False
        self.learn(server, line.asked_at - line.idle_since)
        return True
