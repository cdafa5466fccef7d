"""What a server is like before load is put on it: its generation, transports, nodes, and how many users fit.

Every question is asked with a short timeout, and all of them with one, so that an examination ends within ten
seconds whatever is wrong.
"""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
import requests

from sioload.client.api import SocketIOClient
from sioload.doctor.diagnosis import (
    BY_COOKIE,
    NO_UPGRADE,
    PASS_UPGRADE,
    STICKY,
    Diagnosis,
    Fault,
    cause_of,
    is_login,
    login_remedy,
    majors,
    namespace_remedy,
    tls_fault,
)
from sioload.engineio.cookies import given
from sioload.engineio.packet import Handshake
from sioload.engineio.urls import Endpoint, parse_url, redirected, stays
from sioload.errors import ConnectError, Failure, ProtocolError
from sioload.net.fleet import Fleet
from sioload.net.tunnel import unused
from sioload.options import Limits, Options
from sioload.session.requests import MOVES
from sioload.socketio.detect import identify, refusal, refuses_transport, refuses_version
from sioload.socketio.generations import V0, V4, VERSIONS, Generation

#: Seconds that one question may take.
PATIENCE = 2.0
#: Seconds that the whole examination may take.
BUDGET = 9.0
#: Sessions opened to find out whether another node answers the second request.
SESSIONS = 4
#: Seconds that a client stays, to see whether the server sends it away.
STAY = 0.3
#: Other addresses of this machine for a server on it: nginx's ip_hash looks at the first three numbers.
ELSEWHERE = ("127.0.1.1", "127.0.2.1", "127.0.3.1")
#: Descriptors that a run needs beside one for each user.
SPARE_DESCRIPTORS = 100


class Examination:
    """One examination of one server.

    Args:
        url: the server's URL.
        path: the engine's path.
        options: auth, headers, cookies, TLS and the like, as for a user.
        namespace: the namespace to join.
    """

    def __init__(self, url: str, path: str, options: Options, namespace: str) -> None:
        own = {name: value for name, value in options.headers.items() if name.lower() != "cookie"}
        cookies = dict(given(options.cookies, options.headers))  # beside which those of servers stay
        self._options = options.but(path=path, headers=own, cookies=cookies)
        self._endpoint: Endpoint = parse_url(url, self._options.path)
        self._url = url
        self._namespace = namespace
        self._fleet = Fleet()
        self._verify: bool | str = (self._options.ca_file or True) if self._options.tls_verify else False
        self._failures: set[Failure] = set()
        self._kicked = False
        self.found = Diagnosis(url=self._endpoint.origin + self._endpoint.path)

    def run(self) -> Diagnosis:
        """Ask all questions that still make sense after the answers so far."""
        try:
            with gevent.Timeout(BUDGET):
                self._examine()
        except gevent.Timeout:
            self._unanswered(
                f"not all questions are answered within {BUDGET:g} s",
                "look at the server's load, and at the network and proxies before it",
            )
        except (requests.exceptions.RequestException, ProtocolError) as error:
            self._unanswered(
                f"some requests fail, of several alike: {type(error).__name__}",
                "look at the logs of the server, of each of its nodes, and of proxies before them",
            )
        return self.found

    def _unanswered(self, fault: str, remedy: str) -> None:
        self._fault(fault, remedy, fatal="works" not in self.found.transports.values())

    def _examine(self) -> None:
        self._look_at_limits()
        if not self._look_up():
            return
        opened = self._open()
        if opened is None:
            return
        generation, handshake, cookies = opened
        self._describe(generation, handshake)
        self._try_transports(generation)
        self._try_nodes(generation, cookies)
        self._try_eio3(generation)

    def _fault(self, fault: str, remedy: str, fatal: bool = True) -> None:
        self.found.faults.append(Fault(fault, remedy, fatal))

    def _timed(self, name: str, ask: Callable[[], Any]) -> Any:
        started = perf_counter()
        answer = ask()
        self._took(name, started)
        return answer

    def _took(self, name: str, started: float) -> None:
        self.found.timings_ms[name] = round((perf_counter() - started) * 1000, 2)

    def _look_at_limits(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.found.descriptors = None if hard == resource.RLIM_INFINITY else hard
        fits = [hard - SPARE_DESCRIPTORS] if self.found.descriptors is not None else []
        try:
            low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        except OSError:
            pass
        else:
            self.found.ports = int(high) - int(low) + 1
            fits.append(self.found.ports * max(1, len(self._options.source_addresses)))
        self.found.users_fit = min(fits, default=None)
        if self.found.users_fit is not None and self.found.users_fit < 1000:
            self._fault(
                f"only {self.found.users_fit} users fit in one process here",
                "raise the hard limit of open files (ulimit -Hn) or use more processes",
                fatal=False,
            )

    def _look_up(self) -> bool:
        at = parse_url(self._options.proxy) if self._options.proxy else self._endpoint
        host, port = at.host, at.port
        hint = "" if self._options.proxy else unused(at)
        try:
            addresses = self._timed("dns", lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            self._fault(f"the name {host} is not found ({error.strerror})", f"check the host name{hint}")
            return False
        reasons = []
        for family, _, _, _, address in addresses:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(PATIENCE)
                try:
                    started = perf_counter()
                    probe.connect(address)
                    self._took("tcp", started)
                    return True
                except OSError as error:
                    reasons.append((error.strerror or "timed out").lower())
        self._fault(
            f"nothing answers on {host} port {port} ({reasons[-1]})",
            f"start the server, or check host and port{hint}",
        )
        return False

    def _speaks_tls(self) -> bool:
        context = ssl.create_default_context()
        try:
            with (
                gevent.Timeout(PATIENCE),
                socket.create_connection((self._endpoint.host, self._endpoint.port), PATIENCE) as probe,
                context.wrap_socket(probe, server_hostname=self._endpoint.host),
            ):
                return True
        except ssl.SSLCertVerificationError:
            return True  # what shows a certificate speaks TLS, whoever signed it
        except (OSError, gevent.Timeout):
            return False

    def _get(self, target: str, source: str = "", **more: Any) -> requests.Response:
        """A request on a connection of its own (from the address `source`); its answer must be complete in
        time."""
        more = {"method": "GET", "headers": self._options.headers, **more}
        if self._endpoint.authorization:
            more["headers"] = {"Authorization": self._endpoint.authorization, **more["headers"]}
        try:
            with gevent.Timeout(PATIENCE), requests.Session() as session:
                session.trust_env = False
                if self._options.proxy:
                    session.proxies = dict.fromkeys(("http", "https"), self._options.proxy)
                if source:
                    session.get_adapter("http://").init_poolmanager(1, 1, source_address=(source, 0))  # type: ignore[attr-defined]
                    session.mount("https://", session.get_adapter("http://"))
                return session.request(
                    url=self._endpoint.origin + target,
                    timeout=PATIENCE,
                    verify=self._verify,
                    allow_redirects=False,
                    **more,
                )
        except gevent.Timeout as error:
            raise requests.exceptions.Timeout from error

    def _ask(self, parameters: str, **more: Any) -> requests.Response:
        query = self._options.query
        if isinstance(query, Mapping):
            query = "&".join(f"{k}={v}" for k, v in query.items())
        parts = [part for part in (self._endpoint.query, query, parameters) if part]
        return self._get(f"{self._endpoint.path}?{'&'.join(parts)}", **more)

    def _open(self) -> tuple[Generation, Handshake | None, dict[str, str]] | None:
        """Find the generation; None when the answer allows no load test."""
        cookies = dict(self._options.cookies)
        try:
            answer = self._timed("open", lambda: self._ask("EIO=4&transport=polling", cookies=cookies))
            for _ in range(MOVES):
                if self._moved(answer):
                    answer = self._ask("EIO=4&transport=polling", cookies=cookies)
        except requests.exceptions.SSLError as error:
            self._fault(*tls_fault(error))
            return None
        except requests.exceptions.Timeout:
            self._fault(
                f"no complete answer to an HTTP request in {PATIENCE:g} s",
                f"check that a Socket.IO server runs there, at this path ({self._endpoint.path})",
            )
            return None
        except requests.exceptions.RequestException as error:
            if not self._endpoint.tls and self._speaks_tls():
                self._fault("the port speaks TLS", "use https:// or wss:// in the URL")
                return None
            wrong = "the port closes HTTP connections" if cause_of(error, ConnectionError) else "not HTTP"
            scheme = (
                "http:// instead of https://" if self._endpoint.tls else "https://, if the server speaks TLS"
            )
            self._fault(f"{wrong}: {type(error).__name__}", f"check the port, or try {scheme}")
            return None
        generation = identify(answer.status_code, answer.content)
        if generation is None:
            return self._not_opened(answer, cookies)
        cookies |= answer.cookies.get_dict()
        if generation is V0:
            return self._open_colon(cookies)
        packets = generation.decode_payload(answer.content, Limits())
        try:
            handshake = generation.parse_handshake(str(packets[0].data))
        except ProtocolError as error:
            self._fault(
                f"the handshake makes no sense: {error}", "check what stands between here and the server"
            )
            return None
        return generation, handshake, cookies

    def _moved(self, answer: requests.Response) -> bool:
        """Whether the answer sends us to another place, where a load test goes too."""
        location = answer.headers.get("Location", "")
        if not 300 < answer.status_code < 400 or not location or is_login(location):
            return False
        sent = answer.request.path_url
        here, to = self._endpoint, redirected(self._endpoint, sent, location)
        if to is None:
            return False
        if not stays(here, to.tls, to.host, to.port):
            self._options = self._options.but(headers={}, cookies={})
        self._endpoint = to
        if (to.origin, to.path) != (here.origin, here.path.rstrip("/")):
            place = f"{to.origin}{to.path}"
            said = f"the server redirects to {place}, which a load test follows for each session"
            self._fault(said, "use that URL or --path", fatal=False)
        return True

    def _open_colon(
        self, cookies: dict[str, str]
    ) -> tuple[Generation, Handshake | None, dict[str, str]] | None:
        """0.9 greeted; its handshake is a request of its own."""
        answer = self._get(f"{self._endpoint.path}1/", cookies=cookies)
        try:
            return V0, V0.parse_handshake(answer.text), cookies
        except ProtocolError:
            self._fault(
                f"the 0.9 handshake is refused: {refusal(answer.status_code, answer.content)}",
                "give what the server asks for (--header, --auth)",
            )
            return None

    def _not_opened(
        self, answer: requests.Response, cookies: dict[str, str]
    ) -> tuple[Generation, Handshake | None, dict[str, str]] | None:
        reason = refusal(answer.status_code, answer.content)
        if refuses_version(answer.status_code, answer.content):
            other = self._ask("EIO=3&transport=polling", cookies=cookies)
            generation = identify(other.status_code, other.content)
            if generation is not None:
                packets = generation.decode_payload(other.content, Limits())
                return generation, generation.parse_handshake(str(packets[0].data)), cookies
        if refuses_transport(answer.status_code, answer.content):
            self.found.transports["polling"] = "disabled on the server"
            return self._found_on_websocket(), None, cookies
        location = answer.headers.get("Location", "?")[:60]
        if answer.status_code in (401, 403) or "origin" in reason.lower():
            remedy = login_remedy(answer.status_code, reason)
            self._fault(f"the server refuses the handshake: {reason}", remedy)
        elif b"HTTP request was sent to HTTPS port" in answer.content:
            self._fault("the port speaks TLS", "use https:// or wss:// in the URL")
        elif 300 <= answer.status_code < 400:
            remedy = login_remedy(0, "", location) if is_login(location) else "use that URL"
            self._fault(f"the server redirects to {location}", remedy)
        elif answer.status_code >= 500:
            self._fault(f"the server or a proxy before it fails: {reason}", "look at its logs; try again")
        elif answer.status_code == 404:
            self._fault(
                "HTTP 404: something answers, but not Socket.IO at this path",
                f"give the server's path with --path (asked for {self._endpoint.path})",
            )
        elif answer.status_code == 200:
            self._fault(
                "an HTTP server answers, but no Socket.IO server",
                f"check the URL and --path (asked for {self._endpoint.path})",
            )
        else:
            self._fault(f"the handshake fails: {reason}", "check the URL, --path and --header")
        return None

    def _found_on_websocket(self) -> Generation:
        """Polling is off: let a client find the generation out by itself."""
        options = self._options.but(
            transports=("websocket",), connect_timeout=2 * PATIENCE, reconnection=False
        )
        client = SocketIOClient(self._fleet, options, url=self._url)
        try:
            client.connect(namespaces=[self._namespace])
        except ConnectError:
            pass  # the websocket is tried again below, and its fault named there
        else:
            client.disconnect()
        return next(iter(self._fleet.generations.values()), V4)

    def _describe(self, generation: Generation, handshake: Handshake | None) -> None:
        found = self.found
        found.generation, found.version = generation.name, generation.version
        found.engine_io = generation.eio
        found.socket_io = majors(generation)
        if handshake is not None:
            found.ping_interval_s = handshake.ping_interval if handshake.ping_interval < 1e9 else None
            found.ping_timeout_s = handshake.ping_timeout if handshake.ping_timeout < 1e9 else None
            found.max_payload = handshake.max_payload

    def _client(self, generation: Generation, *transports: str) -> SocketIOClient:
        options = self._options.but(
            version=generation.version, transports=transports, connect_timeout=PATIENCE, reconnection=False
        )
        return SocketIOClient(self._fleet, options, url=self._url)

    def _try_transports(self, generation: Generation) -> None:
        found = self.found
        for name in ("polling", "websocket"):
            if name not in found.transports:
                found.transports[name] = self._try(generation, name, name)
        works = [name for name, state in found.transports.items() if state == "works"]
        if len(works) == 2 and generation.upgrade:
            found.upgrade = self._try_upgrade(generation)
            if found.upgrade != "works":
                self._fault(
                    f"the upgrade to websocket fails: {found.upgrade}",
                    "let proxies pass upgrades, or test with --transports polling",
                    fatal=False,
                )
        if works:
            found.namespace = "joined"
            other = "websocket" if works == ["polling"] else "polling"
            if "session unknown" in self._failures:
                self._not_sticky("sessions are")
            elif works == ["polling"] and any(text in found.transports[other] for text in NO_UPGRADE):
                said = found.transports[other]
                self._fault(f"a proxy drops the header Upgrade ({said})", PASS_UPGRADE, fatal=False)
            elif len(works) == 1:
                self._fault(
                    f"{other} doesn't work: {found.transports[other]}",
                    f"test with --transports {works[0]}",
                    fatal=False,
                )
        else:
            reason = found.transports["websocket"]
            found.namespace = reason
            remedy = "look at the server's logs"
            if "refused" in self._failures:
                remedy = namespace_remedy(generation, reason)
            elif self._kicked:
                remedy = (
                    "look for what it checks after the connect: a token (--auth, the URL's query), a cookie"
                )
            self._fault(f"namespace {self._namespace} can't be joined: {reason}", remedy)

    def _try(self, generation: Generation, name: str, *transports: str) -> str:
        client = self._client(generation, *transports)
        try:
            self._timed(name, lambda: client.connect(namespaces=[self._namespace]))
        except ConnectError as error:
            self._failures.add(error.kind)
            return error.reason
        until = perf_counter() + STAY
        while client.connected and not client.kicked and perf_counter() < until:
            client.sleep(0.01)
        if not client.connected or client.kicked:
            self._kicked = True
            client.close_quietly()
            return "the server disconnects the client right after it has joined"
        client.disconnect()
        return "works"

    def _try_upgrade(self, generation: Generation) -> str:
        client = self._client(generation, "polling", "websocket")
        row = self._fleet.recorder.row("UPGRADE", "websocket")
        started = perf_counter()
        try:
            client.connect(namespaces=[self._namespace])
            while client.transport != "websocket" and perf_counter() - started < PATIENCE:
                if row.totals().errors:
                    return next(iter(row.totals().errors))
                client.sleep(0.01)
        except ConnectError as error:
            return error.reason
        finally:
            upgraded = client.transport == "websocket"
            client.disconnect()
        self.found.timings_ms["upgrade"] = round(row.totals().times.mean * 1000, 2)
        return "works" if upgraded else f"no websocket after {PATIENCE:g} s"

    def _try_nodes(self, generation: Generation, cookies: dict[str, str]) -> None:
        """Whether a session is known on another connection: polling needs sticky sessions."""
        if self.found.transports.get("polling") != "works" or generation.eio is None:
            return
        known = 0
        for _ in range(SESSIONS):
            opened = self._ask(f"EIO={generation.eio}&transport=polling", cookies=cookies)
            packets = generation.decode_payload(opened.content, Limits()) if opened.status_code == 200 else []
            if not packets:
                continue
            sid = generation.parse_handshake(str(packets[0].data)).sid
            kept = {**cookies, **opened.cookies.get_dict()}
            parameters = f"EIO={generation.eio}&transport=polling&sid={sid}"
            body, kind = generation.encode_payload(_CLOSE, False)
            headers = {**self._options.headers, "Content-Type": kind}
            answer = self._ask(parameters, method="POST", data=body, cookies=kept, headers=headers)
            known += answer.status_code == 200
        self.found.nodes = f"{known} of {SESSIONS} sessions were known on a second connection"
        if known < SESSIONS:
            self._not_sticky(f"{SESSIONS - known} of {SESSIONS} sessions were")
        else:
            self._try_addresses(generation, cookies)

    def _not_sticky(self, which: str) -> None:
        self._fault(f"{which} unknown on a second connection: several nodes without sticky sessions", STICKY,
                    fatal=self._options.transports[0] == "polling")  # fmt: skip

    def _try_addresses(self, generation: Generation, cookies: dict[str, str]) -> None:
        """Whether a session that is known here is unknown to other addresses of this machine (ip_hash)."""
        others = self._options.source_addresses
        if self._options.proxy:
            return
        if not others and self._endpoint.host in ("127.0.0.1", "localhost"):
            others = ELSEWHERE
        for address in others:
            opened = self._ask(f"EIO={generation.eio}&transport=polling", cookies=cookies)
            if opened.status_code != 200 or opened.cookies:
                return
            sid = generation.parse_handshake(
                str(generation.decode_payload(opened.content, Limits())[0].data)
            ).sid
            body, kind = generation.encode_payload(_CLOSE, False)
            headers = {**self._options.headers, "Content-Type": kind}
            asked = f"EIO={generation.eio}&transport=polling&sid={sid}"
            try:
                answer = self._ask(
                    asked, source=address, method="POST", data=body, cookies=cookies, headers=headers
                )
            except requests.exceptions.RequestException:
                return  # it can't be reached from there
            if answer.status_code == 400:
                self.found.nodes = f"{self.found.nodes}, but not from {address}"
                said = (
                    "sessions go by the client's address (ip_hash): all users of this machine are on one node"
                )
                self._fault(said, BY_COOKIE, fatal=False)
                return

    def _try_eio3(self, generation: Generation) -> None:
        """Whether a server of 3.x or 4.x takes clients of 2.x too."""
        if generation.eio == "4" and self.found.transports.get("polling") == "works":
            answer = self._ask("EIO=3&transport=polling&b64=1", cookies=dict(self._options.cookies))
            other = identify(answer.status_code, answer.content)
            self.found.allows_eio3 = other is not None and other.eio == "3"


_CLOSE = VERSIONS[4].decode_payload(b"1", Limits())
