"""Options of a connection, frozen and validated once, with clear errors that name the nearest valid name."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from sioload.errors import OptionError
from sioload.plain import Json

Version = Literal[0, 1, 2, 3, 4, "auto"]
Auth = Mapping[str, Json] | Callable[[], Any] | None

#: RFC 9110, section 5.6.2: what the name of a header is made of.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Emits a second of one user; more could not be on time.
MAX_RATE = 100_000.0
#: Seconds that waiting between attempts may take, so that no user waits for ever.
_LONGEST = 86_400.0

#: Options of python-socketio's `Client` that mean nothing here: taken, and warned of once.
IGNORED = frozenset(
    {"logger", "engineio_logger", "json", "handle_sigint", "request_timeout", "http_session",
     "websocket_extra_options"}
)  # fmt: skip
#: Others of them, by the names that they have here.
_NAMES = {"ssl_verify": "tls_verify", "serializer": "parser", "timestamp_requests": "timestamp"}
#: What of those had packets shown, and what does so here.
_SHOWN = {"logger": "every packet of a user", "engineio_logger": "every packet of a user"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may make this process hold, in bytes unless said otherwise.

    Each limit is checked before memory is taken.

    Attributes:
        message, payload: of one message, and of one HTTP body or of a packet with its attachments.
        attachments: how many one packet has.
        nesting: how many levels deep its JSON is.
        headers: of one HTTP answer.
        write_high_water: of what waits to be sent; above it, emits wait.
        handler_queue: how many calls of handlers and callbacks wait.
    """

    message: int = 8 << 20
    payload: int = 16 << 20
    attachments: int = 64
    nesting: int = 64
    headers: int = 64 << 10
    write_high_water: int = 64 << 10
    handler_queue: int = 10_000

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"limits: {f.name} must be a positive whole number, not {value!r}")


@dataclass(frozen=True, slots=True)
class Options:
    """How one simulated user connects. Times are in seconds.

    Every field is a key of the class attribute `options` of a `SocketIOUser`; the manual of scripts has a
    table of them, which sends here for four.

    Attributes:
        timestamp: requests carry a parameter `t`, lest a cache answers; None: as the generation's JavaScript
            client does it.
        base64: binary data goes as text, and is asked for as such (`b64=1`).
        encode_query: names and values of a `query` that is a dict are encoded as in encodeURIComponent; a
            list there is one text, with commas.
        limits: a `Limits`, or a dict of its fields.
    """

    version: Version = "auto"
    path: str = "/socket.io/"
    handshake_url: str | None = None
    transports: tuple[str, ...] = ("polling", "websocket")
    namespaces: tuple[str, ...] = ()
    query: Mapping[str, Json] | str = field(default_factory=dict)
    encode_query: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    auth: Auth = None
    auth_token: str | None = None
    timestamp: bool | None = None
    base64: bool = False
    parser: Any = "json"
    compress: bool = False
    connect_timeout: float = 20.0
    ack_timeout: float = 10.0
    reconnection: bool = True
    reconnection_attempts: float = float("inf")
    reconnection_delay: float = 1.0
    reconnection_delay_max: float = 5.0
    randomization_factor: float = 0.5
    connect_jitter: float = 0.0
    tls_verify: bool = True
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_hostname: str | None = None
    source_addresses: tuple[str, ...] = ()
    read_rate: float | None = None
    proxy: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("transports", "namespaces", "source_addresses"):
            value = getattr(self, name)
            if not isinstance(value, str | list | tuple):
                raise OptionError(f"{name} must be a list of strings, not {value!r}")
            put(self, name, (value,) if isinstance(value, str) else tuple(value))
        for name in ("ca_file", "cert_file", "key_file"):
            if isinstance(getattr(self, name), os.PathLike):
                put(self, name, os.fspath(getattr(self, name)))
        if isinstance(self.limits, Mapping):
            put(self, "limits", build(Limits, self.limits, "limits"))
        if not isinstance(self.limits, Limits):
            raise OptionError(f"limits must be a dict or Limits, not {self.limits!r}")
        if self.version not in (0, 1, 2, 3, 4, "auto") or isinstance(self.version, bool):
            raise OptionError(f'version must be 0, 1, 2, 3, 4 or "auto", not {self.version!r}')
        for transport in self.transports:
            if transport not in ("polling", "websocket"):
                raise OptionError(f"transports: {unknown(transport, ('polling', 'websocket'))}")
        if not self.transports:
            raise OptionError("transports is empty: name polling, websocket or both")
        if self.parser not in ("json", "msgpack") and not (
            hasattr(self.parser, "encode") and hasattr(self.parser, "decoder")
        ):
            raise OptionError(
                f'parser must be "json", "msgpack" or an object with encode and decoder, not {self.parser!r}'
            )
        for name in ("connect_timeout", "ack_timeout"):
            self._number(name, minimum=0.001)
        self._number("reconnection_attempts", minimum=0.0)
        if self.read_rate is not None:
            self._number("read_rate", minimum=1.0)
        for name in ("reconnection_delay", "reconnection_delay_max", "connect_jitter"):
            self._number(name, minimum=0.0, maximum=_LONGEST)
        self._number("randomization_factor", minimum=0.0, maximum=1.0)
        for name in ("encode_query", "base64", "compress", "reconnection", "tls_verify", "timestamp"):
            value = getattr(self, name)
            if not isinstance(value, bool) and not (name == "timestamp" and value is None):
                raise OptionError(f"{name} must be True or False, not {value!r}")
        self._addresses()
        if not callable(self.auth) and self.auth is not None and not isinstance(self.auth, Mapping):
            raise OptionError(
                f"auth must be a dict or a callable that returns one, not {type(self.auth).__name__}"
            )
        check_strings("headers", self.headers)
        check_strings("cookies", self.cookies)
        check_query(self.query, self.encode_query)
        if self.proxy is not None:
            check_proxy(self.proxy)

    def _addresses(self) -> None:
        """What names places: paths, files, hosts."""
        for name in (
            "path",
            "handshake_url",
            "auth_token",
            "ca_file",
            "cert_file",
            "key_file",
            "server_hostname",
        ):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "path"):
                raise OptionError(f"{name} must be a string, not {type(value).__name__}")
        for name in ("path", "handshake_url", "server_hostname"):
            if any(c <= " " for c in getattr(self, name) or ""):
                raise OptionError(f"{name} holds a space or a control character")
        for name in ("path", "handshake_url", "auth_token"):
            check_text(name, getattr(self, name) or "")
        if "?" in self.path or "#" in self.path:
            raise OptionError("path must end before ? or #: give what follows as the option query")
        try:
            (self.server_hostname or "").encode("idna")
        except UnicodeError:
            raise OptionError(f"server_hostname: {self.server_hostname!r} is no name of a host") from None
        if self.key_file and not self.cert_file:
            raise OptionError("key_file is of no use without cert_file")
        path = self.path if self.path.startswith("/") else "/" + self.path
        object.__setattr__(self, "path", path if path.endswith("/") else path + "/")
        for namespace in self.namespaces:
            if not isinstance(namespace, str) or namespace[:1] != "/":  # type: ignore[redundant-expr]
                raise OptionError(f"namespaces: {namespace!r} must begin with '/'")
            check_text(f"namespaces: {namespace!r}", namespace)
        for address in self.source_addresses:
            try:
                ipaddress.ip_address(str(address))
            except ValueError:
                raise OptionError(f"source_addresses: {address!r} is no IP address") from None
        # Those of a network that `ipaddress` listed are texts from here on.
        object.__setattr__(self, "source_addresses", tuple(map(str, self.source_addresses)))

    def _number(self, name: str, minimum: float, maximum: float = float("inf")) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
            span = (
                f"between {minimum:g} and {maximum:g}" if maximum != float("inf") else f"at least {minimum:g}"
            )
            raise OptionError(f"{name} must be a number, {span}, not {value!r}")

    def but(self, **changes: Any) -> Options:
        """A copy with some options changed; validated as on creation."""
        check_names(type(self), changes, "option")
        return replace(self, **changes)


def check_text(name: str, text: str) -> None:
    """Text that a request can carry: some is none, of arguments in another encoding or of half a pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OptionError(f"{name} holds a character that can't be sent in UTF-8") from None


def check_strings(name: str, value: object) -> None:
    """Headers or cookies that a request can carry."""
    if not isinstance(value, Mapping):
        raise OptionError(f"{name} must be a dict of strings, not {type(value).__name__}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise OptionError(f"{name}: {key!r} must map a string to a string")
        if any(c in key + text for c in "\r\n\0"):
            raise OptionError(f"{name}: {key!r} holds a line break")
        check_text(f"{name}: {key!r}", key + text)
        if name == "headers" and not TOKEN.fullmatch(key):
            raise OptionError(f"headers: {key!r} is no name of a header")


def check_proxy(value: object) -> None:
    """The URL of an HTTP proxy, which is spoken to without TLS."""
    text = value if isinstance(value, str) else ""
    try:
        url = urlsplit(text)
        good = url.scheme == "http" and url.hostname and url.port != 0 and url.path in ("", "/")
    except ValueError:
        good = False
    if not good or any(c <= " " or c in "?#" for c in text):
        given = isinstance(value, str)
        shown = repr(re.sub(r"//.*@", "//", text)) if given else f"{type(value).__name__}"
        raise OptionError(f"proxy must be http://host:port or http://user:password@host:port, not {shown}")


def check_query(query: object, encode: bool) -> None:
    """A query that a request can carry."""
    if not isinstance(query, Mapping | str):
        raise OptionError(f"query must be a dict or a string, not {type(query).__name__}")
    pairs = () if isinstance(query, str) else query.items()
    text = query if isinstance(query, str) else "".join(f"{key}{parameter(key, v)}" for key, v in pairs)
    check_text("query", text)
    if (isinstance(query, str) or not encode) and any(c <= " " for c in text):
        raise OptionError("query holds a space or a control character, which has to be encoded")


def parameter(name: object, value: object) -> str:
    """The value of a query's parameter, as JavaScript makes a text of it; of None an empty one.

    Raises:
        OptionError: it has no form there.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(parameter(name, item) for item in value)
    if isinstance(value, Mapping | bytes | bytearray | set):
        raise OptionError(f"query: {name!r} must be a text, a number or a list, not {type(value).__name__}")
    return str(value)


def unknown(name: object, valid: Any) -> str:
    """`'transprts' is unknown (nearest: 'transports')`, for error messages."""
    near = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1, cutoff=0.5)
    hint = f"nearest: {near[0]!r}" if near else "valid: " + ", ".join(str(v) for v in valid)
    return f"{name!r} is unknown ({hint})"


def check_names(kind: type, given: Mapping[str, Json], what: str) -> None:
    names = [f.name for f in fields(kind)]
    for name in given:
        if name not in names:
            raise OptionError(f"{what} {unknown(name, names)}")


def build(kind: type[Any], given: Mapping[str, Json], what: str) -> Any:
    """`kind(**given)` with clear errors for unknown names."""
    check_names(kind, given, what)
    return kind(**given)


_warned: set[str] = set()


def options_from(given: Mapping[str, Json] | Options | None) -> Options:
    """The class attribute `options` of a user, as an `Options`.

    Raises:
        OptionError: a name is unknown or a value can't be used; the message names it and the nearest valid
            one.
    """
    if isinstance(given, Options):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise OptionError(f"options must be a dict or an Options, not {type(given).__name__}")
    given = given or {}
    for name in IGNORED & given.keys():
        if name not in _warned:
            _warned.add(name)
            hint = f" (--sio-trace FILE shows {_SHOWN[name]})" if name in _SHOWN else ""
            said = f"sioload: option {name!r} means nothing here and is ignored{hint}"
            warnings.warn(said, stacklevel=2)
    options: Options = build(Options, named(given), "option")
    return options


def named(given: Mapping[str, Json]) -> dict[str, Json]:
    """What a dict of options says, by the names that they have here; what means nothing is left out."""
    used: dict[str, Json] = {}
    for name, value in given.items():
        known = _NAMES.get(name, name)
        if name not in IGNORED and (known == name or known not in given):
            used[known] = "json" if (name, value) == ("serializer", "default") else value
    return used
