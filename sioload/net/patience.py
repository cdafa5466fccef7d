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


class Patience:
    """What is known of one server's.

    Attributes:
        seconds: for which a connection to it may be idle and be used again.
    """

    __slots__ = ("_known", "seconds")

    def __init__(self) -> None:
        self.seconds = UNKNOWN
        self._known = False

    def learn(self, seconds: float) -> None:
        """It closed a connection, or says that it will, after being idle for so long."""
        less = max(0.0, seconds - MARGIN)
        if not self._known or less < self.seconds:
            self.seconds = less
        self._known = True

    def hear(self, response: Response) -> None:
        """What it says of itself in a Keep-Alive header, while nothing was seen."""
        if not self._known:
            for part in response.header("keep-alive").split(","):
                name, _, value = part.strip().partition("=")
                if name.lower() == "timeout" and value.isdecimal() and len(value) < 9:
                    self.learn(float(value))

    def allows(self, line: HTTPConnection) -> bool:
        """Whether the next request may go out on a connection; else it is closed."""
        if line.alive and not line.stream.stale():
            if perf_counter() - line.idle_since < self.seconds:
                return True
        elif line.alive:
            line.ended = perf_counter()
        line.close()
        return False

    def raced(self, line: HTTPConnection) -> bool:
        """Whether a failed request met the end of a connection that was used before; no answer had begun."""
        if not line.idle_since or not line.untouched or perf_counter() - line.asked_at > RACE:
            return False
        line.ended = line.asked_at
        return True

    def succeed(self, line: HTTPConnection, before: HTTPConnection | None) -> HTTPConnection:
        """A new connection takes the place of another, whose end may tell how long the server keeps them.

        What it tells is learnt once the new one has shown that the server itself hasn't ended (`confirm`).
        """
        if before is not None and before.ended:
            line.kept = before.ended - before.idle_since
        return line

    def confirm(self, line: HTTPConnection) -> None:
        """The server still knows the session of a request that went out on this connection."""
        if line.kept is not None:
            self.learn(line.kept)
            line.kept = None
