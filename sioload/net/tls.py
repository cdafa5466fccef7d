"""TLS: contexts as the options say, and streams through them."""

from __future__ import annotations

import _socket
import ssl
import warnings
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from sioload.errors import End, OptionError
from sioload.net.stream import CHUNK, CLOSED, SMALL, Owner, Stream
from sioload.net.wire import text_frame
from sioload.options import Options

if TYPE_CHECKING:
    from sioload.measure.recorder import Recorder


def check_files(options: Options) -> None:
    """Read the files of certificates, if there are any: a mistake shall be known before load.

    Raises:
        OptionError: one of them can't be read.
    """
    if options.ca_file or options.cert_file:
        tls_context(options)


def hush_requests(options: Options) -> None:
    """Requests warns of each request to a server that isn't verified, where that is what was asked for."""
    if not options.tls_verify:
        warnings.filterwarnings("ignore", "Unverified HTTPS request")


def tls_context(options: Options) -> ssl.SSLContext:
    """A client's context as the options say; verification is on unless `tls_verify` is False.

    Raises:
        OptionError: a certificate or key file can't be read.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(f for f in (options.ca_file, options.cert_file, options.key_file) if f)
        raise OptionError(f"ca_file, cert_file, key_file: can't use {names}: {error}") from error
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


#: What a session of TLS holds for: how TLS is spoken, the name that the certificate must have, host and port.
Place = tuple[ssl.SSLContext, str, str, int]


class Tickets:
    """What one client can resume its last session of TLS with (RFC 8446, section 4.6.1), as browsers do.

    It keeps that connection's state, as servers send tickets when they like.
    """

    __slots__ = ("_place", "_tls")

    def __init__(self) -> None:
        self._place: Place | None = None
        self._tls: ssl.SSLObject | None = None

    def keep(self, place: Place, tls: ssl.SSLObject) -> None:
        """The handshake of this connection is complete."""
        self._place = place
        self._tls = tls

    def session(self, place: Place) -> ssl.SSLSession | None:
        """What the next connection offers; None for a full handshake."""
        return self._tls.session if self._tls is not None and self._place == place else None


@mypyc_attr(allow_interpreted_subclasses=True)
class TLSStream(Stream):
    """TLS over a connected TCP socket, through memory BIOs (`ssl.MemoryBIO`).

    `shake` begins the handshake; the owner hears `on_secure` when it is complete, `on_lost` when it fails.

    Attributes:
        tls: the connection's side of TLS.
    """

    __slots__ = ("_incoming", "_outgoing", "_room", "_secure", "tls")

    def __init__(
        self,
        sock: _socket.socket,
        owner: Owner,
        meter: Recorder,
        context: ssl.SSLContext,
        server_hostname: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname, session=session
        )
        self._secure = False
        self._room = SMALL  # of plain text, as `_small` is for what is encrypted
        super().__init__(sock, owner, meter)  # last: it starts to listen

    def write(self, data: bytes) -> None:
        """As `Stream.write`; `data` is plain text."""
        if self.closed:
            return
        try:
            sealed = self._seal(data)
        except (ssl.SSLError, MemoryError) as error:
            self._fail_later(data, tls_end(error))
            return
        super().write(sealed)

    def write_text(self, head: bytes, number: int | None, data: bytes) -> None:
        """As `Stream.write_text`."""
        self.write(text_frame(head, number, data))

    def _seal(self, data: bytes) -> bytes:
        """The records of `data`, made one by one: a BIO keeps the memory of the most that it has held."""
        if len(data) <= CHUNK:
            self.tls.write(data)
            return self._outgoing.read()
        return b"".join([self._seal(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)])

    def _flush(self) -> None:
        if self._outgoing.pending:
            super().write(self._outgoing.read())

    def shake(self) -> None:
        """Begin the handshake, or go on with it."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._flush()
            self._fail(tls_end(error))
            return
        self._flush()
        self._secure = True
        if not self.closed:
            self.owner.on_secure()  # type: ignore[attr-defined]

    def _received(self, data: bytes) -> None:
        self._incoming.write(data)
        if not self._secure:
            self._small = True  # certificates too come in small pieces, see `_seal`
            self.shake()
            if not self._incoming.pending:
                return
        while self._secure and not self.closed:
            room = self._room
            try:
                plain = self.tls.read(room)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                plain = b""
            except ssl.SSLError as error:
                self._fail(tls_end(error))
                return
            if not plain:
                self._fail(CLOSED)
                return
            super()._received(plain)
            if len(plain) == room:
                self._room = CHUNK
            elif not self._incoming.pending:
                break  # a read takes no more than a record: this one is over, and no other has begun
        if not self.closed:
            self._flush()


def tls_end(error: Exception) -> End:
    """A fault of TLS, in short, with the certificate's fault named, and what is to be done about that."""
    reason = tls_reason(error)
    if getattr(error, "verify_message", None):
        reason += " (options ca_file, server_hostname, tls_verify)"
    return End("transport error", reason)


def tls_reason(error: Exception) -> str:
    """Why TLS failed, short, with the certificate's fault named."""
    verify = getattr(error, "verify_message", None)
    if verify:
        return f"certificate not trusted: {verify}"
    reason = getattr(error, "reason", None)
    if reason == "WRONG_VERSION_NUMBER":
        return "the server doesn't speak TLS on this port (use http:// or ws://)"
    return f"TLS: {(reason or str(error)).replace('_', ' ').lower()}"
