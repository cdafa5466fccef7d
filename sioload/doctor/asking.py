"""The doctor's own requests: each on a connection of its own, with a short timeout, where a user's go."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from http.client import BadStatusLine
from time import perf_counter, time
from typing import Any

import gevent
import requests
from requests.adapters import HTTPAdapter

from sioload.doctor.diagnosis import Diagnosis, cause_of, is_login
from sioload.engineio.cookies import unsent
from sioload.engineio.packet import Handshake, undouble
from sioload.engineio.urls import Endpoint, Request, parse_url, redirected, stays, with_token, without_engines
from sioload.measure.trace import Trace
from sioload.net.http import SETTINGS
from sioload.net.tls import hush_requests, tls_context
from sioload.net.tunnel import unused
from sioload.options import Limits, Options
from sioload.session.requests import MOVES
from sioload.socketio.detect import refuses_transport
from sioload.socketio.generations import VERSIONS, Generation

#: Seconds that one question may take.
TIMEOUT = 2.0
#: A POST that ends a session again.
_CLOSE = VERSIONS[4].decode_payload(b"1", Limits())


class _Adapter(HTTPAdapter):
    """Makes connections as users do: with their trust, their own certificate and the name they ask for."""

    def __init__(self, context: ssl.SSLContext, name: str | None, source: str) -> None:
        self._own: dict[str, Any] = {"ssl_context": context}
        if name:
            self._own["server_hostname"] = name
        if source:
            self._own["source_address"] = source, 0
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **more, **self._own)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        return super().proxy_manager_for(proxy, **more, **self._own)

    def cert_verify(self, *_: Any) -> None:
        """The context says all of it; Requests trusts whom its own list names."""


class Followed:
    """The user of a client whose packets are kept, that of the session's opening among them."""

    def __init__(self) -> None:
        self.sio_trace = Trace(0, perf_counter, veiled=False)

    def handshake(self, generation: Generation) -> Handshake | None:
        """What the last session was opened with; None if there was none."""
        entries = [entry for entry in self.sio_trace.take(perf_counter()) if entry.reading.kind == "open"]
        return generation.parse_handshake(str(entries[-1].text)[1:]) if entries else None


class Asker:
    """Asks one server, and goes on asking where it redirects to.

    Attributes:
        options: as for a user; what was meant for one server alone doesn't follow to another.
        endpoint: where requests go.
        found: gets the redirects that were followed, and the times that questions took.
        circling: the server redirects without an end.
        unsent: the cookies of a session's first answer that don't go back to where it came from.
    """

    def __init__(self, endpoint: Endpoint, options: Options, found: Diagnosis) -> None:
        self.endpoint = endpoint
        self.options = options
        self.found = found
        self.circling = False
        self.unsent: list[str] = []
        self._context = tls_context(options)
        hush_requests(options)

    def disabled(self, transport: str) -> bool:
        """Whether the server says that a transport is switched off: ASGI servers don't, to a websocket."""
        answer = self.ask(f"EIO=4&transport={transport}", cookies=dict(self.options.cookies))
        return refuses_transport(answer.status_code, answer.content)

    def ask(self, parameters: str = "", below: str = "", **more: Any) -> requests.Response:
        """A request of the engine's (`below` its path), behind the queries of URL and options."""
        options, at = self.options, self.endpoint
        given, token = options.query, options.auth_token
        if token is not None:
            given = with_token(given, token, options.encode_query)
        query = Request(at, "polling", {}, given, {}, options.encode_query).query_string()
        parts = [part for part in (*map(without_engines, (at.query, query)), parameters) if part]
        return self._request(f"{at.path}{below}{'?' if parts else ''}{'&'.join(parts)}", **more)

    def _request(
        self,
        target: str,
        cookies: Mapping[str, str],
        source: str = "",
        kind: str = "",
        method: str = "GET",
        **more: Any,
    ) -> requests.Response:
        """A request (from the address `source`, with a body of this kind) whose answer must be complete in
        time.

        Raises:
            requests.exceptions.RequestException: it isn't, or fails.
        """
        options, at = self.options, self.endpoint
        own = {**options.headers, "Content-Type": kind} if kind else options.headers
        # What a server set was read byte by byte, and goes back as it was.
        sent = {name: undouble(value) for name, value in cookies.items()}
        asked = Request(at, "polling", own, {}, sent, True)
        try:
            with gevent.Timeout(TIMEOUT), requests.Session() as session:
                session.trust_env = False
                if options.proxy:
                    session.proxies = dict.fromkeys(("http", "https"), options.proxy)
                adapter = _Adapter(self._context, options.server_hostname, source)
                session.mount("http://", adapter)
                session.mount("https://", adapter)
                return session.request(
                    method=method,
                    url=at.origin + target,
                    # As a user sends them; for texts Requests has Latin 1 only.
                    headers={name: value.encode() for name, value in asked.header_list(at)},
                    timeout=TIMEOUT,
                    verify=options.tls_verify,
                    allow_redirects=False,
                    **more,
                )
        except gevent.Timeout as error:
            raise requests.exceptions.Timeout from error
        except requests.exceptions.RequestException:
            raise
        except ValueError as error:  # of Requests, which reads Location also where it isn't followed
            raise requests.exceptions.InvalidHeader(str(error)) from error

    def open(self) -> requests.Response:
        """The answer to a request for a session, behind redirects."""
        answer: requests.Response = timed(self.found, "open", self._ask_for_session)
        for _ in range(MOVES):
            if not self._moved(answer):
                return answer
            answer = self._ask_for_session()
        self.circling = "Location" in answer.headers
        return answer

    def _ask_for_session(self) -> requests.Response:
        answer, at = self.ask("EIO=4&transport=polling", cookies=dict(self.options.cookies)), self.endpoint
        given = answer.raw.headers.getlist("Set-Cookie")
        self.unsent = unsent(given, at.host, at.path, at.tls, time())
        return answer

    def _moved(self, answer: requests.Response) -> bool:
        """Whether the answer sends us to another place, where a load test goes too."""
        here, location = self.endpoint, answer.headers.get("Location", "")
        if not 300 < answer.status_code < 400 or not location or is_login(here, location):
            return False
        to = redirected(here, answer.request.path_url, location)
        if to is None:
            return False
        if stays(here, to.tls, to.host, to.port):
            cookies = {**self.options.cookies, **answer.cookies.get_dict()}  # it may look for them there
            self.options = self.options.but(cookies=cookies)
        else:
            self.options = self.options.but(headers={}, cookies={})
        self.endpoint = to
        if (to.origin, to.path) not in ((here.origin, here.path), (here.origin, here.path.rstrip("/"))):
            place = f"{to.origin}{to.path}"
            said = f"the server redirects to {place}, which a load test follows for each session"
            self.found.fault(said, "use that URL or --path", fatal=False)
        return True

    def end(
        self, generation: Generation, sid: str, cookies: dict[str, str], source: str = ""
    ) -> requests.Response:
        """The answer to a POST that ends a session, on a second connection."""
        body, kind = generation.encode_payload(_CLOSE, False)
        parameters = f"EIO={generation.eio}&transport=polling&sid={sid}"
        return self.ask(parameters, source=source, method="POST", kind=kind, data=body, cookies=cookies)


def timed(found: Diagnosis, name: str, ask: Callable[[], Any]) -> Any:
    """An answer; the milliseconds that it took go into the diagnosis."""
    started = perf_counter()
    answer = ask()
    found.timings_ms[name] = round((perf_counter() - started) * 1000, 2)
    return answer


def reachable(endpoint: Endpoint, options: Options, found: Diagnosis) -> bool:
    """Whether something takes connections there, or at the proxy."""
    if options.proxy:
        at, rename, start = parse_url(options.proxy), "check --proxy", "start the proxy, or check --proxy"
    else:
        at, hint = endpoint, unused(endpoint).replace("set the option proxy", "give --proxy")
        rename, start = f"check the host name{hint}", f"start the server, or check host and port{hint}"
    host, port = at.host, at.port
    try:
        addresses = timed(found, "dns", lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        found.fault(f"the name {host} is not found ({error.strerror})", rename)
        return False
    reasons = []
    for family, _, _, _, address in addresses:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT)
            try:
                timed(found, "tcp", partial(probe.connect, address))
                return True
            except OSError as error:
                reasons.append((error.strerror or "timed out").lower())
    found.fault(f"nothing answers on {host} port {port} ({reasons[-1]})", start)
    return False


def otherwise_spoken(endpoint: Endpoint, error: Exception) -> tuple[str, str] | None:
    """What a port speaks that didn't answer in HTTP/1.1, and what to do; None if that isn't known."""
    if not endpoint.tls and speaks_tls(endpoint):
        return "the port speaks TLS", "use https:// or wss:// in the URL"
    answer = cause_of(error, BadStatusLine)
    if answer is not None and str(answer)[3:9] == SETTINGS.decode():
        return "the port speaks HTTP/2 alone", "let it speak HTTP/1.1 too, as Socket.IO's clients do"
    return None


def speaks_tls(endpoint: Endpoint) -> bool:
    """Whether the port answers to TLS."""
    context = ssl.create_default_context()
    try:
        with (
            gevent.Timeout(TIMEOUT),
            socket.create_connection((endpoint.host, endpoint.port), TIMEOUT) as probe,
            context.wrap_socket(probe, server_hostname=endpoint.host),
        ):
            return True
    except ssl.SSLCertVerificationError:
        return True  # what shows a certificate speaks TLS, whoever signed it
    except (OSError, gevent.Timeout):
        return False
