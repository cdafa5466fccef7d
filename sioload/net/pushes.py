"""Pushes that need not be decoded again: a broadcast is the same frame for all of its receivers."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from mypy_extensions import mypyc_attr

from sioload.net import clock

if TYPE_CHECKING:
    from sioload.measure.audience import Message
    from sioload.measure.rooms import Member
    from sioload.measure.rows import Row

#: How many pushes are remembered.
PUSHES: Final = 32

_clock: Final = perf_counter  # a global that costs no look-up


class Pushes:
    """The last pushes of every key, by their frames.

    Nearly always it is that of the receiver before: comparing two frames takes a tenth of a hash.
    """

    __slots__ = ("_by_frame", "_frame", "_push")

    def __init__(self) -> None:
        self._by_frame: dict[bytes, CountedBroadcast] = {}
        self._frame = b""
        self._push: CountedBroadcast | None = None

    def get(self, frame: bytes) -> CountedBroadcast | None:
        """The push that came as this frame, of whatever key; None if it isn't remembered."""
        if frame != self._frame:
            push = self._by_frame.get(frame)
            if push is None:
                return None
            self._frame, self._push = frame, push
        return self._push

    def put(self, frame: bytes, push: CountedBroadcast) -> None:
        """Remember a push."""
        if len(self._by_frame) >= PUSHES:
            self._by_frame.clear()
        self._by_frame[frame] = push
        self._frame, self._push = frame, push

    def clear(self) -> None:
        """Forget all of them."""
        self._by_frame.clear()
        self._frame, self._push = b"", None


#: Of a websocket that may not count pushes by itself.
NO_PUSHES: Final = Pushes()


class BroadcastKey:
    """Pushes that are alike to who gets them.

    Attributes:
        namespace, codec: how they were read.
        handlers: those that they were looked up in.
        pushes: where they are remembered.
    """

    __slots__ = ("codec", "handlers", "namespace", "pushes")

    def __init__(self, namespace: str, codec: object, handlers: object, pushes: Pushes) -> None:
        self.namespace = namespace
        self.codec = codec
        self.handlers = handlers
        self.pushes = pushes


class HandlerCall:
    """The call of a script's handler that each receiver of a broadcast owes.

    Attributes:
        handler: what is called.
        event, namespace: of the broadcast.
        before: arguments ahead of its own.
        text: its name and its own arguments in JSON. Everyone decodes them anew, as a script may change them.
    """

    __slots__ = ("before", "event", "handler", "namespace", "text")

    def __init__(self, handler: object, event: str, namespace: str, before: tuple[str, ...]) -> None:
        self.handler = handler
        self.event = event
        self.namespace = namespace
        self.before = before
        self.text = ""


@mypyc_attr(allow_interpreted_subclasses=True)
class Hearer(Protocol):
    """Whose handlers are called. In the hub."""

    __slots__ = ()

    def handle(self, call: HandlerCall) -> None:
        """The same is to be called for this one, too."""


class CountedBroadcast:
    """An event of which all that was done will be done without looking for others who get the same frame.

    Attributes:
        handlers: those that it was looked up in.
        key: what it has in common with others, once it is remembered.
        message: where it is noted who heard it; None when nobody asks.
        call: what is called with it; None when it was only measured.
    """

    __slots__ = ("_row", "_sent", "_size", "_timed", "call", "handlers", "key", "message")

    def __init__(self, handlers: object, row: Row, sent: float | None, size: int) -> None:
        """
        Args:
            handlers: see above.
            row: where it is counted.
            sent: when it was sent, in seconds of `perf_counter`; None when it doesn't say.
            size: in bytes.
        """
        self.handlers = handlers
        self.key: BroadcastKey | None = None
        self.message: Message | None = None
        self.call: HandlerCall | None = None
        self._row = row
        self._size = size
        self._timed = sent is not None
        self._sent = 0.0 if sent is None else sent

    def count(self, member: Member | None, hearer: Hearer | None) -> None:
        """It arrived now, at this member of its audience, whose handlers are `hearer`'s."""
        self._row.bytes += self._size
        now = _clock()
        if self._timed:
            self._row.add(now - self._sent)
        else:
            self._row.tick()
        message = self.message
        if message is not None and member is not None:
            self.message = message.heard(member, clock.zero + now)
        if self.call is not None and hearer is not None:
            hearer.handle(self.call)
