"""Every exception sioload raises, and the closed sets of why things end.

Two trees meet here: misuse by the script (`UsageError`) and misbehaviour of the peer (`ProtocolError`).
The exceptions that end an emit (`EmitError`) each name the ledger outcome that they stand for. Why a stream,
an exchange, a session or an attempt ended is told apart by its kind, never by the words of its detail.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, NamedTuple

#: Why sessions, and what they stand on, end: the closed set that DISCONNECT rows and reports use.
Reason = Literal[
    "client",
    "dropped",
    "server",
    "transport closed",
    "transport error",
    "ping timeout",
    "protocol error",
    "limit",
    "session unknown",
    "timeout",
    "internal error",
]
#: Why an attempt failed: its session's end, or the server's no to a namespace.
Failure = Literal[Reason, "refused"]
#: Why a client loses what it has: its session's end, the end of one namespace, or of all tries to come back.
Loss = Literal[Reason, "namespace closed", "given up"]
#: Where an attempt to connect stood when it failed.
Stage = Literal["dial", "tls", "open", "upgrade", "connect"]
#: What becomes of an emit.
Outcome = Literal["acked", "sent", "timeout", "error", "indeterminate", "not_sent"]

#: What this machine lacked for a connection, as DIAL rows tell it: no fault of the server.
NO_DESCRIPTORS: Final = "too many open files (raise ulimit -n)"
NO_PORTS: Final = "no local port or source address left (add source_addresses)"


class End(NamedTuple):
    """Why something ended, made where it ended.

    Attributes:
        kind: what is decided by.
        detail: what is shown: short, and fit for a failure row.
    """

    kind: Reason
    detail: str


class SioloadError(Exception):
    """Base of all exceptions that sioload raises."""


class UsageError(SioloadError, ValueError):
    """The script or the command line asked for something that makes no sense; nothing was sent."""


class OptionError(UsageError):
    """An option is unknown or has a value that it can't have."""


class CheckError(UsageError):
    """A check (`--sio-check`) can't be parsed."""


class PhaseError(UsageError):
    """Phases (`--sio-phases`) can't be understood."""


class FeedError(UsageError):
    """A feed, or its file, can't be used as it is."""


class ProtocolError(SioloadError):
    """The peer broke the protocol. The only exception that decoders raise.

    Attributes:
        kind: why the session ends by it.
        close_code: the websocket close code to answer with (RFC 6455, section 7.4.1).
    """

    kind: ClassVar[Reason] = "protocol error"
    close_code: ClassVar[int] = 1002


class TextError(ProtocolError):
    """Text that isn't valid UTF-8."""

    close_code = 1007


class LimitError(ProtocolError):
    """The peer sent more than `Limits` allows, which may be right; refused before memory was taken."""

    kind = "limit"
    close_code = 1009

    @classmethod
    def of(cls, what: str, name: str, most: int) -> LimitError:
        """`what` came, and the option `limits` takes at most `most` under this name."""
        return cls(f"{what}, more than the option limits takes: {name} {most}")

    @classmethod
    def of_size(cls, what: str, size: int, name: str, most: int) -> LimitError:
        """As `of`, of bytes, with both figures so short that failure rows keep them."""
        said = f"{what} {_shown(size, 1)}, more than the option limits takes: {name} {_shown(most, 0)}"
        return cls(said)


def _shown(size: int, up: int) -> str:
    """A number of bytes, rounded to tenths of its unit."""
    for unit, of in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= of:
            tenths = -(-10 * size // of) if up else 10 * size // of
            return f"{tenths / 10:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"


class ConnectError(SioloadError, ConnectionError):
    """A connection, session or namespace could not be opened.

    Attributes:
        stage: "dial", "tls", "open", "upgrade" or "connect".
        reason: short and normalised, fit for a failure row.
        data: what the server said of a refusal (CONNECT_ERROR's payload), else None.
        kind: what the failure is, of a closed set: "refused" for a namespace, else why the session ended.
    """

    def __init__(
        self, stage: Stage, reason: str, data: object = None, kind: Failure = "transport error"
    ) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.data = data
        self.kind = kind


class EmitError(SioloadError):
    """An emit ended without the answer it asked for."""

    outcome: ClassVar[Outcome] = "error"


class NotConnected(EmitError, ConnectionError):
    """There was no connection to send on; the server never saw the emit.

    Attributes:
        emitter: of the client that was to send it; None when that isn't known.
    """

    outcome = "not_sent"
    emitter: object = None


class RunEnded(EmitError):
    """The run has ended and its figures are final: nothing was sent, and nothing was counted.

    Listeners of the run's end get it, from when the last of `test_stop` has returned.
    """

    outcome = "not_sent"


class EncodeError(EmitError, UsageError):
    """The data can't be serialised."""

    outcome = "not_sent"


class AckTimeout(EmitError, TimeoutError):
    """No answer came within the timeout."""

    outcome = "timeout"


class ConnectionLost(EmitError, ConnectionError):
    """The connection ended after the emit was written; whether the server saw it is unknown."""

    outcome = "indeterminate"


class Refused(EmitError):
    """The server or the protocol refused the emit (too large for maxPayload, namespace not joined...)."""

    outcome = "error"


class UnexpectedReply(EmitError):
    """The answer came, and the script's `ok` refused it."""

    outcome = "acked"


def in_words(error: BaseException) -> str:
    """What was raised: its kind, and its message if it has one (that of `assert reply["ok"]` is empty)."""
    kind, message = type(error).__name__, str(error)
    return f"{kind}: {message}" if message else kind
