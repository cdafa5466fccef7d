"""Every exception sioload raises.

Two trees meet here: misuse by the script (`UsageError`) and misbehaviour of the peer (`ProtocolError`).
The exceptions that end an emit (`EmitError`) each name the ledger outcome that they stand for.
"""

from __future__ import annotations

from typing import ClassVar


class SioloadError(Exception):
    """Base of all exceptions that sioload raises."""


class UsageError(SioloadError, ValueError):
    """The script or the command line asked for something that makes no sense; nothing was sent."""


class OptionError(UsageError):
    """An option is unknown or has a value that it can't have."""


class CheckError(UsageError):
    """A check (`--sio-check`) can't be parsed."""


class ProtocolError(SioloadError):
    """The peer broke the protocol. The only exception that decoders raise.

    Attributes:
        close_code: the websocket close code to answer with (RFC 6455, section 7.4.1).
    """

    close_code: ClassVar[int] = 1002


class TextError(ProtocolError):
    """Text that isn't valid UTF-8."""

    close_code = 1007


class LimitError(ProtocolError):
    """The peer sent more than `Limits` allows; refused before memory was taken."""

    close_code = 1009


class ConnectError(SioloadError, ConnectionError):
    """A connection, session or namespace could not be opened.

    Attributes:
        stage: "dial", "tls", "open", "upgrade" or "connect".
        reason: short and normalised, fit for a failure row.
        data: what the server said of a refusal (CONNECT_ERROR's payload), else None.
    """

    def __init__(self, stage: str, reason: str, data: object = None) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.data = data


class EmitError(SioloadError):
    """An emit ended without the answer it asked for."""

    outcome: ClassVar[str] = "error"


class NotConnected(EmitError, ConnectionError):
    """There was no connection to send on; the server never saw the emit."""

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
