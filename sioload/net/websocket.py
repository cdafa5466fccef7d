"""The websocket transport: a fast path for ordinary frames beside `websockets`' sans-I/O protocol.

A frame that is final, unmasked, within the limit and whole in the buffer is taken here. Every other frame
(control, fragmented, invalid, huge) goes to `websockets.protocol.Protocol`, which stays the single judge of
protocol errors (RFC 6455). Its extension compresses for both (RFC 7692).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from typing import Protocol as Interface

from mypy_extensions import mypyc_attr
from websockets.exceptions import InvalidStatus, PayloadTooBig
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CONNECTING, OPEN, Protocol

from sioload.errors import End, ProtocolError
from sioload.net import rfc6455
from sioload.net.handshake import accepted, head_of, new_key
from sioload.net.pushes import NO_PUSHES
from sioload.net.stream import Owner, Stream
from sioload.net.wire import encode_frame, joined, text_of_server
from sioload.options import Limits

if TYPE_CHECKING:
    from sioload.measure.rooms import Member
    from sioload.net.pushes import BroadcastKey, Hearer

#: A frame beyond this size is collected by the protocol's own reader instead of by joining reads.
JOIN: Final = 65536

#: Bytes that may wait for the kernel before pings go unanswered (RFC 6455, section 5.5.3: the last will do).
UNREAD: Final = 1 << 20

#: In the first byte of a frame: its message is compressed (RFC 7692, section 6).
RSV1: Final = 0x40
NOT_TEXT: Final = End("protocol error", "text that isn't UTF-8")


class Listener(Interface):
    """Who uses a websocket. Called in the hub."""

    __slots__ = ()

    def on_ws_open(self, ws: WebSocket) -> None:
        """The handshake is complete."""

    def on_frame(self, ws: WebSocket, frame: str | bytes) -> None:
        """A whole text or binary message."""

    def on_ws_lost(self, ws: WebSocket, end: End, status: int, body: bytes) -> None:
        """The handshake was refused, or the connection ended. `status` and `body` tell of a refusal."""

    def on_ws_drained(self, ws: WebSocket) -> None:
        """The write buffer is empty again."""

    def on_crash(self, error: BaseException) -> None:
        """A callback raised."""


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageHandler(Interface):
    """Who takes an Engine.IO session's messages. Called in the hub."""

    __slots__ = ()

    def on_message(self, data: str | bytes) -> None:
        """A message of the session."""

    def on_ack_frame(self, frame: bytes, start: int) -> bool:
        """Maybe the message that begins there is an ack, short to read? False if it was left untouched."""

    def on_push(self, key: BroadcastKey) -> bool:
        """May events be counted that another user got as well? False if the messages are wanted themselves.

        The answer holds for all with this key while the stream has it as `counted`.
        """

    def member(self) -> Member | None:
        """Who hears events that are counted; None when nobody asks."""

    def hearer(self) -> Hearer:
        """Whose handlers are called with them."""


class WebSocket(Owner):
    """A client's websocket on a stream.

    Attributes:
        stream: the byte stream below.
        listener: who hears of frames and of the end.
        receiver: once a session runs on this websocket and its generation needs no codec for it: who takes
            the rest of a text that begins with "4" (an Engine.IO message), past the listener.
        pushes: with `receiver`: those that need not be decoded again.
        deflate: what compresses messages, if that was agreed on.
        response_headers: what the server answered to the handshake, a refusal's too.
    """

    __slots__ = ("_fragments", "_key", "_limit", "_offer", "_protocol", "_rest", "deflate", "is_open",
                 "listener", "pushes", "receiver", "response_headers", "stream")  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        listener: Listener,
        target: str,
        headers: list[tuple[str, str]],
        limits: Limits,
        compress: bool = False,
    ) -> None:
        self.stream = stream
        self.listener = listener
        self._limit = limits.message
        self._rest = b""
        self.deflate: Extension | None = None
        self.receiver: MessageHandler | None = None
        self.pushes = NO_PUSHES
        self._fragments: tuple[bool, bytearray] | None = None
        self.is_open = False
        self.response_headers: list[tuple[str, str]] = []
        self._protocol: Protocol | None = None
        before, after, self._offer = head_of(tuple(headers), compress)
        self._key = key = new_key()  # until the answer begins
        stream.owner = self
        stream.write(f"GET {target}{before}{key}{after}".encode())

    # Sending.

    def send(self, frames: list[str | bytes]) -> None:
        """Send messages in one write."""
        parts = [self._encode(1, f.encode()) if isinstance(f, str) else self._encode(2, f) for f in frames]
        self._write(b"".join(parts))

    def send_text(self, head: bytes, number: int | None, data: bytes) -> None:
        """Send a text in the parts of `Stream.write_text`."""
        if self.deflate is None and self._protocol is None:
            self.stream.write_text(head, number, data)
        else:
            self._write(self._encode(1, joined(head, number, data)))

    def _write(self, data: bytes) -> None:
        if self._protocol is None or self._protocol.state is OPEN:  # nothing may follow the close frame
            self.stream.write(data)

    def _encode(self, opcode: int, payload: bytes) -> bytes:
        if self.deflate is None:
            return encode_frame(opcode, payload)
        return encode_frame(opcode | RSV1, rfc6455.compressed(self.deflate, opcode, payload))

    def start_close(self, code: int | None = None) -> None:
        """Send a close frame; frames are still taken until the peer's own (RFC 6455, section 7.1.2)."""
        if self.is_open and not self.stream.closed:
            protocol = self._slow()
            if protocol.state is OPEN:
                protocol.send_close(code)
                self._flush()

    def close(self, code: int | None = None) -> None:
        """Send a close frame if none was sent, and close the stream. The listener hears nothing."""
        self.start_close(code)
        self._let_go()

    def _let_go(self) -> None:
        self.is_open = False
        self.stream.close()
        if self._protocol is not None:
            rfc6455.let_go(self._protocol)

    # The stream's owner.

    def on_data(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol is not None:
            self._feed_protocol(data)
            return
        if self._key:
            self._answered(data)
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        pos, size = 0, len(data)
        while size - pos >= 2:
            first, length = data[pos], data[pos + 1]
            deflated = self.deflate is not None and first & RSV1 != 0
            if deflated:
                first ^= RSV1
            start = pos + 2
            if length >= 126:
                if length == 126:
                    start = pos + 4
                    length = data[pos + 2] << 8 | data[pos + 3] if size >= start else 0
                elif length == 127:
                    start = pos + 10
                    length = int.from_bytes(data[pos + 2 : start], "big") if size >= start else 0
                else:
                    length = -1
                if size < start and (first == 0x81 or first == 0x82):
                    break
            if (first != 0x81 and first != 0x82) or not 0 <= length <= self._limit:
                self._feed_protocol(data[pos:])
                return
            end = start + length
            if end > size:
                if length > JOIN:
                    self._feed_protocol(data[pos:])
                    return
                break
            begin, pos = pos, end
            if deflated:
                self._inflate(first, data[start:end])
            else:
                self._deliver(first, data if end - begin == size else data[begin:end], start - begin)
            # Delivering may resume a user, who may close this connection.
            if not self.is_open:
                return
            if self._protocol is not None:
                if pos < size:
                    self._feed_protocol(data[pos:])
                return
        if pos < size:
            self._rest = data[pos:]
            self.stream.counted = None

    def _deliver(self, first: int, frame: bytes, start: int) -> None:
        """A whole message, which begins there in its frame."""
        receiver = self.receiver
        if first == 0x82:
            self.listener.on_frame(self, frame[start:] if start else frame)
        elif receiver is None or len(frame) < start + 2 or frame[start] != 0x34:
            text = self._text(frame[start:] if start else frame)
            if text is not None:
                self.listener.on_frame(self, text)
        elif not receiver.on_ack_frame(frame, start + 1) and not self._known(frame, receiver):
            text = self._text(frame[start + 1 :])
            if text is not None:
                receiver.on_message(text)

    def _inflate(self, first: int, payload: bytes) -> None:
        """Deliver a compressed frame as if it had been none: pushes are known by plain ones."""
        assert self.deflate is not None
        try:
            message = rfc6455.decompressed(self.deflate, first & 0x0F, payload, self._limit)
        except ProtocolError as error:
            self.fail(error.close_code, End(error.kind, str(error)))
        else:
            frame = message if first == 0x82 else text_of_server(message)
            self._deliver(first, frame, len(frame) - len(message))

    def _known(self, frame: bytes, receiver: MessageHandler) -> bool:
        """Whether this is a push that only had to be counted."""
        push = self.pushes.get(frame)
        if push is None:
            return False
        key, stream = push.key, self.stream
        if key is None:
            return False
        if key is not stream.counted:
            if not receiver.on_push(key):
                return False
            stream.counted = key
            stream.member, stream.hearer = receiver.member(), receiver.hearer()
        push.count(stream.member, stream.hearer)
        return True

    def _text(self, payload: bytes) -> str | None:
        """A text, or None if that was the end of this websocket."""
        try:
            return payload.decode()
        except UnicodeDecodeError:
            self.fail(1007, NOT_TEXT)
            return None

    def on_lost(self, end: End) -> None:
        protocol = self._protocol
        if not self.is_open and protocol is not None:
            protocol.receive_eof()
            # Unless a refusal's body was still to come, `end` says more than that the answer is cut off.
            if isinstance(protocol.handshake_exc, InvalidStatus) and self._refused(protocol):
                return
        self._end(end)

    def on_drained(self) -> None:
        self.listener.on_ws_drained(self)

    def on_crash(self, error: BaseException) -> None:
        self.listener.on_crash(error)

    def _answered(self, data: bytes) -> None:
        """The answer to the handshake begins; nearly always it is whole, and a plain yes."""
        key, self._key = self._key, ""
        head, end, rest = data.partition(b"\r\n\r\n")
        offer = self._offer
        found = accepted(head, key, offer.protocols) if end else None
        if found is None:
            self._protocol = rfc6455.shaking(key, offer, self._limit)
            self._feed_protocol(data)
            return
        self.is_open = True
        self.response_headers = found
        self.listener.on_ws_open(self)
        if rest and self.is_open:
            self.on_data(rest)

    # The slow path.

    def _slow(self) -> Protocol:
        if self._protocol is None:
            self._protocol = rfc6455.opened(self._limit, self.deflate, self._rest)
            self._rest, self.stream.counted = b"", None
        return self._protocol

    def _feed_protocol(self, data: bytes) -> None:
        protocol = self._slow()
        protocol.receive_data(data)
        if self.stream.buffered > UNREAD and protocol.state is OPEN:
            protocol.data_to_send()  # pongs, for a peer that reads none
        self._flush()
        if not self.is_open:
            if self._refused(protocol):
                return
            if protocol.state is CONNECTING:
                return
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif isinstance(event, Response):
                self.is_open = True
                self.deflate = protocol.extensions[0] if protocol.extensions else None
                self.response_headers = [(k.lower(), v) for k, v in event.headers.raw_items()]
                self.listener.on_ws_open(self)
            if not self.is_open:
                return
        error = protocol.parser_exc
        if isinstance(error, PayloadTooBig):
            self._end(End("limit", str(rfc6455.too_big(error, self._limit))))
        elif error is not None:
            self._end(End("protocol error", rfc6455.fault_of(protocol)))
        elif protocol.close_rcvd is not None:
            self._end(End("transport closed", rfc6455.closed_by_server(protocol.close_rcvd)))
        elif protocol.state is OPEN and protocol.current_size is None and rfc6455.between_frames(protocol):
            self._protocol = None

    def _refused(self, protocol: Protocol) -> bool:
        """Whether the handshake has failed; tells the listener."""
        error = protocol.handshake_exc
        if error is None:
            return False
        self._let_go()
        if isinstance(error, InvalidStatus):
            response = error.response
            status, body = response.status_code, response.body or b""
            self.response_headers = [(k.lower(), v) for k, v in response.headers.raw_items()]
            self.listener.on_ws_lost(self, End("transport error", f"HTTP {status}"), status, bytes(body))
        else:
            self.listener.on_ws_lost(self, End("transport error", str(error)[:2000]), 0, b"")
        return True

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            return  # answered by the protocol
        payload = bytes(frame.data)
        if opcode is Opcode.CONT or not frame.fin:
            if opcode is not Opcode.CONT:
                self._fragments = (opcode is Opcode.TEXT, bytearray())
            assert self._fragments is not None
            is_text, parts = self._fragments
            parts += payload
            if not frame.fin:
                return
            self._fragments = None
            payload = bytes(parts)
        else:
            is_text = opcode is Opcode.TEXT
        self._deliver(0x81 if is_text else 0x82, payload, 0)

    def fail(self, code: int, end: End) -> None:
        """The peer broke the protocol: close with `code` and tell the listener."""
        if self.is_open:
            protocol = self._slow()
            if protocol.state is OPEN:
                protocol.fail(code, "")
                self._flush()
            self._end(end)

    def _end(self, end: End) -> None:
        self._let_go()
        self.listener.on_ws_lost(self, end, 0, b"")

    def _flush(self) -> None:
        protocol = self._protocol
        assert protocol is not None
        data = b"".join(protocol.data_to_send())
        if data:
            self.stream.write(data)
