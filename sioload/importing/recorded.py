"""A recording as a conversation: steps with the origin of their values, and what came by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import SplitResult, parse_qsl

from sioload.errors import ProtocolError
from sioload.importing.calls import ANALYTICS, DEEPEST, body_of, calls_kept, cookies_in, name_of, origin
from sioload.importing.conversation import (
    Capture,
    Connect,
    Conversation,
    Cookie,
    Disconnect,
    Emit,
    Expected,
    Joined,
    Kind,
    Match,
    Path,
    Request,
    Step,
    Value,
)
from sioload.importing.har import Call, Recording, Said, Session
from sioload.importing.layout import said
from sioload.importing.names import Names
from sioload.importing.origins import (
    ACCOUNTS,
    Origins,
    accounts,
    in_page,
    is_login,
    is_secret,
    joined,
    looks_random,
)
from sioload.importing.plan import Timed, planned
from sioload.importing.sessions import (
    Happening,
    Heard,
    accepted_by_server,
    happenings_of,
    joins,
    lanes_of,
    left_by_browser,
    query_of,
    replies_of,
)
from sioload.importing.summary import tell
from sioload.socketio.generations import UNKNOWN_3
from sioload.socketio.jsontext import loads
from sioload.socketio.packet import PacketType as Type

#: Headers that a script has to send itself.
_HEADERS: Final = re.compile(
    r"(?:authorization|x-(?!requested-with|forwarded|client-data).*|api-?key|.*csrf.*|.*xsrf.*)$"
)


def understand(recording: Recording, name: str, pace: float) -> Conversation:
    """The conversation of a recording.

    Args:
        name: of its file.
        pace: think times are multiplied by it; 0 leaves them out.
    """
    return _Understanding(recording, name).conversation(pace)


class _Understanding:
    def __init__(self, recording: Recording, name: str) -> None:
        self._recording = recording
        self._origins = Origins()
        self._names = Names()
        accepted = [session for session in recording.sessions if accepted_by_server(session)]
        self._lanes = lanes_of(accepted or [session for session in recording.sessions if session.said])
        self._client = {id(session): number for number, lane in enumerate(self._lanes) for session in lane}
        self._steps: list[Timed] = []
        self._handlers: dict[tuple[int, str, str], Heard] = {}
        self._open: dict[tuple[int, str, int], Timed] = {}
        self._asking: dict[int, Timed] = {}
        self._asked: dict[tuple[int, str, int], Heard] = {}
        self._latest: dict[int, Timed] = {}
        self._since: dict[int, set[tuple[str, str]]] = {}
        self._replies = replies_of(self._lanes)
        self._joined: dict[int, Timed] = {}
        self._options: dict[int, dict[str, Value]] = {}
        self._calls: dict[int, Timed] = {}
        main = self._lanes[0][0]
        self._base = main.url
        self._conversation = Conversation(f"{name} (recorded by {recording.creator})", origin(main.url))
        self._kept = calls_kept(recording, [session for lane in self._lanes for session in lane])

    def conversation(self, pace: float) -> Conversation:
        """All of it."""
        made, recording = self._conversation, self._recording
        for happening in happenings_of(self._lanes, self._kept.calls):
            self._take(happening)
        kind = Kind("recorded user", options=self._options[0])
        for number, lane in enumerate(self._lanes[1:], 1):
            kind.others.append({"url": origin(lane[0].url), "options": self._options[number]})
        kind.handlers = [heard.handler() for heard in self._handlers.values() if heard.wanted()]
        steps = [timed for timed in self._steps if not timed.hidden]
        planned(kind, steps, pace)
        made.kinds = [kind]
        if self._origins.columns:
            made.feeds.append(accounts(self._origins.columns))
            kind.feeds = [ACCOUNTS]
        tell(made, recording, self._lanes, list(self._origins.columns), self._handlers.values())
        made.left_out += self._kept.left_out
        return made

    # What happened.

    def _take(self, happening: Happening) -> None:
        if happening.call is not None:
            if happening.answer:
                self._on_answer(happening.call)
            else:
                self._on_request(happening.call, happening.at)
            return
        session, said = happening.session, happening.said
        assert session is not None
        if said is None:
            self._on_session(session, happening.at)
        elif said.sent:
            self._on_sent(session, said)
        else:
            self._on_received(session, said)

    def _add(self, step: Step, at: float, client: int | None, hidden: bool = False) -> Timed:
        timed = Timed(step, at, at, hidden)
        self._steps.append(timed)
        if client is not None and not hidden:
            self._latest[client] = timed
            self._since[client] = set()
        return timed

    def _on_request(self, call: Call, at: float) -> None:
        origins = self._origins
        login = is_login(call.url.path)
        url = self._url(call.url)
        step = Request(call.method, url, name_of(url, origin(call.url)))
        step.headers = self._headers(call.headers)
        if call.body is not None and call.method != "GET":
            step.body, step.form = body_of(call)
            if step.form == "text" and "multipart" in call.mime:
                step.body = origins.form(call.body, login)
            else:
                step.body = origins.value(step.body, "", at, login)
            if step.form == "text":
                step.headers["Content-Type"] = said(call.mime or "text/plain", 200)
        self._cookies(call.headers.get("cookie", ""), at)
        self._calls[id(call)] = self._add(step, at, 0, hidden=call not in self._kept.needed)

    def _headers(self, given: Mapping[str, str]) -> dict[str, Value]:
        return {key.title(): self._header(key, value) for key, value in given.items() if _HEADERS.match(key)}

    def _header(self, key: str, value: str) -> Value:
        kind, space, token = value.partition(" ")
        if key == "authorization" and space:
            return Joined((f"{kind} ", self._secret(token, "token")))
        return self._secret(value, key) if is_secret(key) or "key" in key else self._origins.text(value, key)

    def _secret(self, value: str, key: str) -> Value:
        """A text that must not stay in the script."""
        found = self._origins.text(value, key)
        return self._origins.column(value, key) if found == value else found

    def _cookies(self, header: str, at: float) -> None:
        """Cookies that the browser had from before the recording."""
        for name, value in cookies_in(header):
            known = name in self._kept.renewed or (name, value) in self._kept.cookies
            if not value or known or ANALYTICS.match(name):
                continue
            self._kept.cookies.add((name, value))
            self._add(Cookie(name, self._secret(value, f"cookie {name}")), at, None)

    def _url(self, url: SplitResult) -> Value:
        """A path on the user's own server, a whole URL elsewhere; with the origin of what is in it."""
        text = url.path or "/"
        if url.query:
            for key, value in parse_qsl(url.query, keep_blank_values=True):
                if is_secret(key):
                    self._secret(value, key)
            text += f"?{url.query}"
        own = (url.hostname, url.port) == (self._base.hostname, self._base.port)
        parts: list[Value] = []
        pieces = re.split(r"([/?&=])", text)
        for place, piece in enumerate(pieces):
            key = pieces[place - 2] if pieces[place - 1] == "=" else "id"
            parts.append(self._origins.piece(piece, key))
        if not own:
            parts.insert(0, origin(url))
        return joined(parts)

    def _on_answer(self, call: Call) -> None:
        timed = self._calls[id(call)]
        timed.until = max(timed.at, call.until)
        step = timed.step
        assert isinstance(step, Request)
        hint = next((part for part in reversed(call.url.path.split("/")) if part), "answer")
        if call.text is None:
            return

        def take(path: Path, name: str, pattern: str = "") -> str:
            timed.hidden = False
            return self._captured(step.captures, path, name, pattern)

        try:
            answer = loads(call.text, DEEPEST)
        except ProtocolError:
            for name, value, pattern in in_page(call.text):
                self._origins.learn({name: value}, 0, name, partial(take, pattern=pattern))
            return
        self._origins.learn(answer, 0, hint, take)

    def _captured(self, captures: list[Capture], path: Path, name: str, pattern: str = "") -> str:
        """A part of an answer is kept among these; the name of its variable."""
        new = self._names.new(name)
        captures.append(Capture(new, path, pattern))
        return new

    # Sessions.

    def _on_session(self, session: Session, at: float) -> None:
        client = self._client[id(session)]
        namespaces, auth = joins(session)
        values = [
            self._origins.value(payload, "", at, True)
            for payload in auth.values()
            if isinstance(payload, dict)
        ]
        self._cookies(session.headers.get("cookie", ""), at)
        headers = self._headers(session.headers)  # not as options: `on_handshake` is for all connections
        asked = [self._asked_for(name, query_of(session, auth.get(name))) for name in namespaces]
        step = Connect(asked, client, values[0] if values else None, headers)
        if any(value != values[0] for value in values):
            step.notes.append(
                "The recording gave each namespace an auth of its own; this is that of the first."
            )
            self._conversation.left_out.append("auth of further namespaces: all have that of the first")
        first = self._lanes[client][0] is session
        if first:  # now, for what is in its query can't come from what was said later
            self._options[client] = self._options_of(session)
        previous = None if first else self._lanes[client][self._lanes[client].index(session) - 1]
        left = previous is not None and left_by_browser(previous, session, self._recording.calls)
        if left:
            self._add(Disconnect(client), at, client)
        timed = self._add(step, at, client)
        timed.again = previous is not None and not left
        self._joined[id(session)] = timed
        if session.sid and session.generation.eio == "3":
            self._learn_sid(timed, "", session.sid)

    def _asked_for(self, namespace: str, query: Sequence[tuple[str, str]]) -> Value:
        """A namespace, with the query that it was joined with."""
        parts: list[Value] = [namespace]
        for place, (key, value) in enumerate(query):
            parts += ["&" if place else "?", f"{key}=", self._plain(value, key)]
        return joined(parts)

    def _learn_sid(self, timed: Timed, namespace: str, sid: str) -> None:
        step = timed.step
        assert isinstance(step, Connect)

        def take(path: Path, name: str) -> str:
            new = self._names.new("socket id")
            step.sids.append((namespace, new))
            return new

        self._origins.learn({"sid": sid}, 0, "socket", take)

    def _on_sent(self, session: Session, said: Said) -> None:
        kind, namespace, data, number, _ = said.packet
        client = self._client[id(session)]
        if kind == Type.EVENT:
            event, args = str(data[0]), list(data[1:])
            asked = self._origins.named(event)
            step = Emit(name_of(asked, "") or event, [], namespace, client)
            step.asked = None if asked == event else asked
            step.args = [self._origins.value(arg, "", said.at, is_login(event)) for arg in args]
            if is_login(event):
                step.args = [self._confided(arg) for arg in step.args]
            timed = self._add(step, said.at, client)
            if id(said) in self._replies.of:
                step.how, step.reply = "reply", self._replies.of[id(said)]
                self._asking[id(said)] = timed
            elif number is not None and (id(session), namespace, number) in self._replies.acked:
                step.how = "call"
                self._open[id(session), namespace, number] = timed
            elif number is not None:
                step.notes.append("The browser asked for an ack here, which didn't come in the recording.")
        elif kind == Type.ACK and number is not None:
            heard = self._asked.pop((id(session), namespace, number), None)
            if heard is not None:
                heard.answer = [self._origins.value(arg, "", said.at) for arg in data or []]

    def _confided(self, arg: Value) -> Value:
        """An argument of an event that tells who the user is."""
        if isinstance(arg, list):
            return [self._confided(inner) for inner in arg]
        return self._origins.column(arg, "token") if isinstance(arg, str) and len(arg) >= 4 else arg

    def _on_received(self, session: Session, said: Said) -> None:
        kind, namespace, data, number, _ = said.packet
        if kind == Type.CONNECT:
            sid = data.get("sid") if isinstance(data, dict) else None
            timed = self._joined.get(id(session))
            if isinstance(sid, str) and timed is not None:
                self._learn_sid(timed, namespace, sid)
                timed.until = max(timed.until, said.at)
        elif kind == Type.ACK and number is not None:
            answered = self._open.pop((id(session), namespace, number), None)
            if answered is not None:
                self._answered(answered, list(data or []), said.at)
        elif kind == Type.EVENT:
            self._on_event(session, said)

    def _answered(self, timed: Timed, args: list[Value], at: float) -> None:
        step = timed.step
        assert isinstance(step, Emit)
        timed.until = at
        value: Value = args[0] if len(args) == 1 else args
        if step.how == "call":
            if isinstance(value, dict):
                step.matches += [Match((key,), True) for key in ("ok", "success") if value.get(key) is True][
                    :1
                ]
            elif len(args) > 1 and args[0] is None:
                step.matches.append(Match((0,), None))
        self._origins.learn(value, 0, step.event, partial(self._captured, step.captures))

    def _on_event(self, session: Session, said: Said) -> None:
        _, namespace, data, number, _ = said.packet
        client = self._client[id(session)]
        event, args = str(data[0]), list(data[1:])
        asking = self._asking.pop(self._replies.replies.get(id(said), 0), None)
        if asking is not None:  # not always the latest step: a request may have begun meanwhile
            return self._answered(asking, args, said.at)
        latest = self._latest.get(client)
        heard = self._handlers.setdefault((client, namespace, event), Heard(event, namespace, client))
        heard.came.append((said.at, args))
        if number is not None:
            self._asked[id(session), namespace, number] = heard
            heard.asks = True
        since = self._since.setdefault(client, set())
        if latest is None or (namespace, event) in since:
            return
        since.add((namespace, event))
        step = latest.step
        if not isinstance(step, Emit | Connect | Request):
            return
        expecting: Emit | Connect | Request = step

        def take(path: Path, name: str) -> str:
            expected = next(
                (e for e in expecting.expected if (e.event, e.namespace) == (event, namespace)), None
            )
            if expected is None:
                expected = Expected(event, namespace)
                expecting.expected.append(expected)
                latest.until = max(latest.until, said.at)
            return self._captured(expected.captures, path, name)

        self._origins.learn(args[0] if len(args) == 1 else args, 1, event, take)

    # What it is made of.

    def _options_of(self, session: Session) -> dict[str, Value]:
        options: dict[str, Value] = {}
        if session.generation is not UNKNOWN_3:
            options["version"] = session.generation.version
        if session.path.rstrip("/") != "/socket.io":
            options["path"] = session.path
        if session.transports in ({"websocket"}, {"polling"}):
            options["transports"] = sorted(session.transports)
        if session.query:
            options["query"] = {key: self._plain(value, key) for key, value in session.query.items()}
        if session.parser != "json":
            options["parser"] = session.parser
        if session.compressed:
            options["compress"] = True
        return options

    def _plain(self, value: str, key: str) -> Value:
        return (
            self._secret(value, key)
            if is_secret(key) or looks_random(value)
            else self._origins.piece(value, key)
        )
