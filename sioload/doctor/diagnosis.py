"""What an examination found, and what is to be done about it: values and words, no questions."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from sioload.engineio.urls import Endpoint, bare
from sioload.net.tls import tls_reason
from sioload.plain import Json
from sioload.socketio.detect import refuses_transport, unknown_namespace
from sioload.socketio.generations import Generation

_Error = TypeVar("_Error", bound=BaseException)

#: What a load balancer's faults are mended by.
STICKY = "turn on sticky sessions at the load balancer, or test with --transports websocket"
BY_COOKIE = "use sticky sessions by cookie, several machines, or the option source_addresses"
PASS_UPGRADE = (
    'nginx: add "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;" and '
    '"proxy_set_header Connection upgrade;" to the location; or test with --transports polling'
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that keeps a load test from running, or that will spoil it."""

    fault: str
    remedy: str
    fatal: bool = True


@dataclass(slots=True)
class Diagnosis:
    """What was found. Times are in milliseconds, intervals in seconds."""

    url: str
    generation: str | None = None
    engine_io: str | None = None
    socket_io: str | None = None
    version: int | None = None
    allows_eio3: bool | None = None
    transports: dict[str, str] = field(default_factory=dict)
    upgrade: str | None = None
    ping_interval_s: float | None = None
    ping_timeout_s: float | None = None
    max_payload: int | None = None
    namespace: str | None = None
    nodes: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    descriptors: int | None = None
    ports: int | None = None
    users_fit: int | None = None
    faults: list[Fault] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether a load test can run."""
        return not any(fault.fatal for fault in self.faults)

    def fault(self, fault: str, remedy: str, fatal: bool = True) -> None:
        """Note what is wrong, and what mends it."""
        self.faults.append(Fault(fault, remedy, fatal))

    def not_sticky(self, which: str, transports: tuple[str, ...], unsent: Sequence[str]) -> None:
        """Note that sessions get lost between nodes, which is fatal where users begin by polling; those of
        0.9 all do. Maybe they go by a cookie that isn't sent."""
        said = f"{which} unknown on a second connection: several nodes without sticky sessions"
        remedy = STICKY
        if unsent:
            said += f", or with these by the cookie {unsent[0][:60]}, which isn't sent to this URL"
            remedy = "use the scheme, host and path that the cookie is for (its Secure, Domain, Path), or "
            remedy += STICKY
        if self.engine_io is None:
            self.fault(said, remedy.rpartition(",")[0])
        else:
            self.fault(said, remedy, fatal=transports[0] == "polling")

    def as_dict(self) -> dict[str, Json]:
        """Plain values, for JSON."""
        return {**asdict(self), "ready": self.ready}


def join_remedy(reason: str) -> str:
    """What to do where neither transport joins a namespace, for this reason; "" if it tells nothing."""
    if reason.startswith("HTTP 429"):
        return "it, or a proxy, limits requests: let it take more from this machine"
    if reason.startswith("HTTP 5"):
        return "look at its logs, and at those of proxies before it, which may limit requests by this"
    if refuses_transport(400, reason.encode()):
        return "let the server's option transports have polling or websocket: both are switched off"
    if "maxPayload" in reason:
        return "let the server take more (maxHttpBufferSize), or give less (--auth)"
    return ""


def login_remedy(status: int, said: str, location: str = "") -> str:
    """What to give a server that lets nobody in without it."""
    lowered = f"{said} {location}".lower()
    if "origin" in lowered:
        return "give an Origin that it accepts (--header 'Origin: https://the.site')"
    if status == 401:
        return "give what it asks for (--header 'Authorization: ...' or --header 'Cookie: ...')"
    if location:
        return "log in and give the session's cookie (--header 'Cookie: ...')"
    return (
        "give what it asks for: --header 'Cookie: ...' after a login, --header 'Authorization: ...', or "
        "--header 'Origin: https://the.site'"
    )


def is_login(asked: Endpoint, location: str) -> bool:
    """Whether a redirect leads to a login, and not to another place of what was asked for."""
    place = bare(location)
    path = re.sub(r"^\w*:?//[^/]*", "", place)
    words = place.lower().replace(asked.host, "")
    return path.rstrip("/") != asked.path.rstrip("/") and any(
        word in words for word in ("login", "signin", "sign_in", "auth", "session")
    )


def namespace_remedy(generation: Generation, reason: str) -> str:
    """What to give a server that refuses a namespace."""
    if unknown_namespace(reason):
        return "check --namespace: the server may have none of this name"
    if generation.connect_payload == "auth":
        return "give what the server asks for (--auth)"
    return (
        "give what the server asks for in the URL's query, as in 'http://host/?token=...' (--auth is of 3.x)"
    )


def cause_of(error: BaseException, kind: type[_Error]) -> _Error | None:
    """The exception of a kind that libraries have wrapped: in their exceptions' arguments, or as causes."""
    if isinstance(error, kind):
        return error
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, BaseException) and (found := cause_of(inner, kind)) is not None:
            return found
    return None


#: OpenSSL's codes of what is wrong with a certificate (X509_V_ERR_*), in words, and the remedies.
_CERTIFICATES = {
    9: ("the certificate isn't valid yet", "check the clocks of the server and of this machine"),
    10: ("the certificate has expired", "renew it; for a test of it as it is, --no-verify"),
    18: ("the certificate is self-signed", "give its CA with --ca-file, or --no-verify"),
    19: ("the certificate is self-signed", "give its CA with --ca-file, or --no-verify"),
    20: ("the certificate's issuer is unknown", "give its CA with --ca-file"),
    62: ("the certificate is for another host", "use the host it names, or --no-verify"),
    64: ("the certificate is for another host", "use the host it names, or --no-verify"),
}


def tls_fault(error: BaseException) -> tuple[str, str]:
    """What went wrong with TLS in words, and its remedy."""
    cause = cause_of(error, ssl.SSLError)
    if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in _CERTIFICATES:
        return _CERTIFICATES[cause.verify_code]
    if cause is not None and cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "the port doesn't speak TLS", "use http:// or ws:// in the URL"
    said = str(error)[:80] if cause is None else tls_reason(cause)
    return f"TLS fails: {said}", "check the server's TLS settings"
