"""What a server is like before load is put on it: its generation, transports, nodes, and how many users fit.

Every question is asked with a short timeout, and all of them with one, so that an examination ends within ten
seconds whatever is wrong.
"""

from __future__ import annotations

import re
from dataclasses import replace
from time import perf_counter

import gevent
import requests

from sioload.client.api import SocketIOClient
from sioload.doctor.asking import TIMEOUT, Asker, Followed, otherwise_spoken, reachable, timed
from sioload.doctor.diagnosis import (
    PASS_UPGRADE,
    STICKY,
    Diagnosis,
    cause_of,
    is_login,
    join_remedy,
    login_remedy,
    namespace_remedy,
    tls_fault,
)
from sioload.doctor.machine import look_at_limits
from sioload.doctor.nodes import try_nodes
from sioload.engineio.cookies import given as given_cookies
from sioload.engineio.packet import Handshake
from sioload.engineio.urls import Endpoint, bare, parse_url
from sioload.errors import ConnectError, Failure, ProtocolError
from sioload.net.fleet import Fleet
from sioload.net.tls import check_files
from sioload.net.tunnel import by_way_of, proxy_for
from sioload.options import Limits, Options
from sioload.socketio.detect import (
    identify,
    lacks_upgrade,
    leads_on,
    majors,
    refuses_transport,
    refuses_version,
    said,
    unknown_session,
)
from sioload.socketio.generations import V0, V4, Generation

#: A server's generation, its handshake if that was seen, and the cookies of that session.
Found = tuple[Generation, Handshake | None, dict[str, str]]

#: Seconds that the whole examination may take.
BUDGET = 9.0
#: Seconds that a client stays, to see whether the server sends it away.
STAY = 0.3


class Examination:
    """One examination of one server.

    Args:
        url: the server's URL.
        path: the engine's path.
        options: auth, headers, cookies, TLS and the like, as for a user.
        namespace: the namespace to join.

    Raises:
        OptionError: the URL is none, or a file of certificates can't be read.
    """

    def __init__(self, url: str, path: str, options: Options, namespace: str) -> None:
        own = {name: value for name, value in options.headers.items() if name.lower() != "cookie"}
        cookies = dict(given_cookies(options.cookies, options.headers))  # beside which those of servers stay
        given = options.but(path=path, headers=own, cookies=cookies)
        check_files(given)
        endpoint = parse_url(url, given.path)
        self._url = url
        self._namespace = namespace
        self._fleet = Fleet()
        self._failures: set[Failure] = set()
        self._kicked = False
        self.found = Diagnosis(url=endpoint.origin + endpoint.path)
        self._asker = Asker(endpoint, given, self.found)

    @property
    def _options(self) -> Options:
        return self._asker.options

    @property
    def _endpoint(self) -> Endpoint:
        return self._asker.endpoint

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
            what = error if isinstance(error, requests.exceptions.HTTPError) else type(error).__name__
            self._unanswered(
                f"some requests fail, of several alike: {what}",
                "look at the logs of the server, of each of its nodes, and of proxies before them, which may "
                "limit requests",
            )
        return self.found

    def _unanswered(self, fault: str, remedy: str) -> None:
        self.found.fault(fault, remedy, fatal="works" not in self.found.transports.values())

    def _examine(self) -> None:
        look_at_limits(self.found, max(1, len(self._options.source_addresses)))
        if not reachable(self._asker.endpoint, self._options, self.found):
            return
        opened = self._open()
        if opened is None:
            return
        generation, handshake, cookies = opened
        self._describe(generation, handshake)
        self._try_transports(generation, handshake)
        try_nodes(self._asker, generation, cookies)
        self._try_eio3(generation)

    def _open(self) -> Found | None:
        """Find the generation; None when the answer allows no load test."""
        try:
            answer = self._asker.open()
        except requests.exceptions.SSLError as error:
            self.found.fault(*tls_fault(error))
            return None
        except requests.exceptions.Timeout:
            proxy = parse_url(self._options.proxy) if self._options.proxy else None
            self.found.fault(
                f"no complete answer to an HTTP request in {TIMEOUT:g} s{by_way_of(proxy)}",
                ("check that the proxy reaches the server, and " if proxy else "check ")
                + f"that a Socket.IO server runs there, at this path ({self._endpoint.path})",
            )
            return None
        except requests.exceptions.ProxyError as error:
            status = re.search(r"Tunnel connection failed: (\d{3})", str(error))
            self._refused_by_proxy(int(status[1]) if status else 0)
            return None
        except requests.exceptions.RequestException as error:
            if (other := otherwise_spoken(self._endpoint, error)) is not None:
                self.found.fault(*other)
                return None
            closed = cause_of(error, ConnectionError) is not None
            if closed and (opened := self._otherwise()) is not None:
                return opened
            wrong = "the port closes HTTP connections" if closed else "not HTTP"
            scheme = (
                "http:// instead of https://" if self._endpoint.tls else "https://, if the server speaks TLS"
            )
            self.found.fault(f"{wrong}: {type(error).__name__}", f"check the port, or try {scheme}")
            return None
        generation = identify(answer.status_code, answer.content)
        if generation is None:
            return self._not_opened(answer)
        return self._opened(answer, generation)

    def _opened(self, answer: requests.Response, generation: Generation) -> Found | None:
        """What answered in this generation."""
        cookies = {**self._options.cookies, **answer.cookies.get_dict()}
        if generation is V0:
            return self._open_colon(cookies)
        try:
            packets = generation.decode_payload(answer.content, Limits())
            handshake = generation.parse_handshake(str(packets[0].data))
        except ProtocolError as error:
            self.found.fault(
                f"the handshake makes no sense: {error}", "check what stands between here and the server"
            )
            return None
        return generation, handshake, cookies

    def _refused_by_proxy(self, status: int) -> None:
        """Note what the proxy of the options doesn't do; 0: it says nothing."""
        proxy = proxy_for(parse_url(self._options.proxy), self._endpoint, websocket=False)
        words = proxy.refusal(status) if status else f"it closes the connection to {proxy.target}"
        self.found.fault(f"{proxy.name}: {words}", "check --proxy, and what the proxy allows")

    def _open_colon(self, cookies: dict[str, str]) -> Found | None:
        """0.9's handshake is a request of its own."""
        answer = self._asker.ask(below="1/", cookies=cookies)
        try:
            return V0, V0.parse_handshake(answer.text), cookies
        except ProtocolError:
            self.found.fault(
                f"the 0.9 handshake is refused: {said(answer.status_code, answer.content)}",
                "give what the server asks for (--header, the URL's query)",
            )
            return None

    def _otherwise(self) -> Found | None:
        """What a user finds that asks in other forms, of the path and of the handshake; None if nothing."""
        generation = self._found_by_client(self._options.transports)
        if generation is None:
            return None
        if False in self._fleet.slashes.values():
            self._asker.endpoint = replace(self._endpoint, path=self._endpoint.path.rstrip("/"))
        cookies = dict(self._options.cookies)
        if generation is V0:
            return self._open_colon(cookies)
        answer = self._asker.open()
        known = identify(answer.status_code, answer.content)
        return (generation, None, cookies) if known is None else self._opened(answer, known)

    def _not_opened(self, answer: requests.Response) -> Found | None:
        reason, cookies = said(answer.status_code, answer.content), dict(self._options.cookies)
        if leads_on(answer.status_code, answer.content) and (opened := self._otherwise()) is not None:
            return opened
        if refuses_version(answer.status_code, answer.content):
            other = self._asker.ask("EIO=3&transport=polling", cookies=cookies)
            generation = identify(other.status_code, other.content)
            if generation is not None:
                return self._opened(other, generation)
        if refuses_transport(answer.status_code, answer.content):
            self.found.transports["polling"] = "disabled on the server"
            return self._found_by_client(("websocket",)) or V4, None, cookies
        location = bare(answer.headers.get("Location", "")) or "?"  # what was asked with may be secret
        if self._options.proxy and (answer.status_code == 407 or "Proxy-Authenticate" in answer.headers):
            self._refused_by_proxy(407)
        elif answer.status_code in (401, 403) or "origin" in reason.lower():
            remedy = login_remedy(answer.status_code, reason)
            self.found.fault(f"the server refuses the handshake: {reason}", remedy)
        elif b"HTTP request was sent to HTTPS port" in answer.content:
            self.found.fault("the port speaks TLS", "use https:// or wss:// in the URL")
        elif self._asker.circling:
            self.found.fault(
                f"the server redirects in a circle: to {location[:60]}",
                "mend that there; behind a proxy that ends TLS it must be told of it (X-Forwarded-Proto)",
            )
        elif 300 <= answer.status_code < 400:
            login = is_login(self._endpoint, location)
            remedy = login_remedy(0, "", location) if login else "use that URL"
            self.found.fault(f"the server redirects to {location[:60]}", remedy)
        elif answer.status_code >= 500:
            self.found.fault(
                f"the server or a proxy before it fails: {reason}", "look at its logs; try again"
            )
        elif answer.status_code == 404:
            self.found.fault(
                "HTTP 404: something answers, but not Socket.IO at this path",
                f"give the server's path with --path (asked for {self._endpoint.path})",
            )
        elif answer.status_code == 200:
            self.found.fault(
                "an HTTP server answers, but no Socket.IO server",
                f"check the URL and --path (asked for {self._endpoint.path})",
            )
        else:
            self.found.fault(f"the handshake fails: {reason}", "check the URL, --path and --header")
        return None

    def _found_by_client(self, transports: tuple[str, ...]) -> Generation | None:
        """What a client finds out by itself."""
        options = self._options.but(
            transports=transports, version="auto", connect_timeout=2 * TIMEOUT, reconnection=False
        )
        user = Followed()
        client = SocketIOClient(self._fleet, options, url=self._url, user=user)
        try:
            client.connect(namespaces=[self._namespace])
        except ConnectError:
            pass  # what was found is tried again, and its fault named there
        else:
            client.disconnect()
        generation = next(iter(self._fleet.generations.values()), None)
        if generation is not None:
            self._describe(generation, user.handshake(generation))
        return generation

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
            version=generation.version, transports=transports, connect_timeout=TIMEOUT, reconnection=False
        )
        return SocketIOClient(self._fleet, options, url=self._url)

    def _try_transports(self, generation: Generation, handshake: Handshake | None) -> None:
        found = self.found
        for name in ("polling", "websocket"):
            if name not in found.transports:
                found.transports[name] = self._try(generation, name, name)
        works = [name for name, state in found.transports.items() if state == "works"]
        if len(works) == 2 and generation.upgrade:
            self._judge_upgrade(generation, handshake)
        if works:
            found.namespace = "joined"
        if "session unknown" in self._failures:
            found.not_sticky("sessions are", self._options.transports, self._asker.unsent)
        elif not works:
            self._not_joined(generation, found.transports["websocket"])
        elif len(works) == 1:
            self._works_alone(works[0], generation, handshake)

    def _judge_upgrade(self, generation: Generation, handshake: Handshake | None) -> None:
        """Whether a session moves to websocket, where both transports work."""
        found = self.found
        if handshake is not None and "websocket" not in handshake.upgrades:
            found.upgrade = "not offered by the server"
            found.fault(
                "the server offers no upgrade (allowUpgrades): who begins with polling stays there",
                "test with --transports polling, or websocket, as its clients do",
                fatal=False,
            )
            return
        found.upgrade = self._try_upgrade(generation)
        if found.upgrade != "works":
            told, remedy = found.upgrade, "let proxies pass upgrades, or test with --transports polling"
            if unknown_session(400, told.encode()):
                told, remedy = told.partition(" (")[0], STICKY
            found.fault(f"the upgrade to websocket fails: {told}", remedy, fatal=False)

    def _works_alone(self, name: str, generation: Generation, handshake: Handshake | None) -> None:
        """Note that of the two transports this one works."""
        other = "websocket" if name == "polling" else "polling"
        state, wanted = self.found.transports[other], self._options.transports == (other,)
        if state.startswith("HTTP 403") and self._asker.disabled(other):
            state = self.found.transports[other] = "disabled on the server"
        if handshake is not None and not generation.upgrade and other in handshake.upgrades:
            wanted = other in self._options.transports  # of 0.9 it is taken then, and no other follows
        if name == "polling" and lacks_upgrade(state.encode()):
            told = state.partition(" (")[0]
            self.found.fault(f"a proxy drops the header Upgrade ({told})", PASS_UPGRADE, fatal=wanted)
        else:
            self.found.fault(f"{other} doesn't work: {state}", f"test with --transports {name}", fatal=wanted)

    def _not_joined(self, generation: Generation, reason: str) -> None:
        """Note that the namespace can't be joined, by whichever transport."""
        self.found.namespace = reason
        remedy = "look at the server's logs; has it another parser than JSON's (a test's option parser)?"
        if "refused" in self._failures:
            remedy = namespace_remedy(generation, reason)
        elif told := join_remedy(reason):
            reason, remedy = reason.partition(" (switched off")[0], told
        elif self._kicked:
            remedy = "look for what it checks after the connect: a token (--auth, the URL's query), a cookie"
        elif "server" in self._failures and generation.binary:
            remedy += "; if it speaks msgpack, the test must too (option parser)"
        self.found.fault(f"namespace {self._namespace} can't be joined: {reason}", remedy)

    def _try(self, generation: Generation, name: str, *transports: str) -> str:
        client = self._client(generation, *transports)
        try:
            timed(self.found, name, lambda: client.connect(namespaces=[self._namespace]))
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
            while client.transport != "websocket" and perf_counter() - started < TIMEOUT:
                if row.totals().errors:
                    return next(iter(row.totals().errors))
                client.sleep(0.01)
        except ConnectError as error:
            return error.reason
        finally:
            upgraded = client.transport == "websocket"
            client.disconnect()
        self.found.timings_ms["upgrade"] = round(row.totals().times.mean * 1000, 2)
        return "works" if upgraded else f"no websocket after {TIMEOUT:g} s"

    def _try_eio3(self, generation: Generation) -> None:
        """Whether a server of 3.x or 4.x takes clients of 2.x too."""
        if generation.eio == "4" and self.found.transports.get("polling") == "works":
            answer = self._asker.ask("EIO=3&transport=polling&b64=1", cookies=dict(self._options.cookies))
            other = identify(answer.status_code, answer.content)
            self.found.allows_eio3 = other is not None and other.eio == "3"
