"""Whether several nodes stand behind one address, and whether each user stays on one of them."""

from __future__ import annotations

import requests

from sioload.doctor.asking import Asker
from sioload.doctor.diagnosis import BY_COOKIE
from sioload.options import Limits
from sioload.socketio.detect import said
from sioload.socketio.generations import Generation

#: Sessions opened to find out whether another node answers the second request.
SESSIONS = 4
#: Other addresses of this machine for a server on it. nginx's ip_hash looks at the first three numbers, of
#: HAProxy's `balance source` the last one decides where there are two nodes.
ELSEWHERE = ("127.0.1.2", "127.0.2.3", "127.0.3.4")


def try_nodes(asker: Asker, generation: Generation, cookies: dict[str, str]) -> None:
    """Whether a session is known on another connection: polling needs sticky sessions."""
    found = asker.found
    if found.transports.get("polling") != "works" or generation.eio is None:
        return
    known = 0
    for _ in range(SESSIONS):
        opened = _heard(asker.ask(f"EIO={generation.eio}&transport=polling", cookies=cookies))
        sid = _sid(generation, opened)
        if sid:
            kept = {**cookies, **opened.cookies.get_dict()}
            known += _heard(asker.end(generation, sid, kept)).status_code == 200
    found.nodes = f"{known} of {SESSIONS} sessions were known on a second connection"
    if known < SESSIONS:
        which = f"{SESSIONS - known} of {SESSIONS} sessions were"
        found.not_sticky(which, asker.options.transports, asker.unsent)
    elif not asker.options.proxy:
        _try_addresses(asker, generation, cookies)


def _heard(answer: requests.Response) -> requests.Response:
    """An answer that tells of sessions.

    Raises:
        requests.exceptions.HTTPError: it is of who limits requests, or reaches no node.
    """
    if answer.status_code in (429, 502, 503, 504):
        raise requests.exceptions.HTTPError(said(answer.status_code, answer.content))
    return answer


def _sid(generation: Generation, opened: requests.Response) -> str:
    """The id of the session that was opened, "" if none was."""
    packets = generation.decode_payload(opened.content, Limits()) if opened.status_code == 200 else []
    return generation.parse_handshake(str(packets[0].data)).sid if packets else ""


def _try_addresses(asker: Asker, generation: Generation, cookies: dict[str, str]) -> None:
    """Whether a session that is known here is unknown to other addresses of this machine (nginx's ip_hash,
    HAProxy's `balance source`)."""
    others = asker.options.source_addresses
    if not others and asker.endpoint.host in ("127.0.0.1", "localhost"):
        others = ELSEWHERE
    for address in others:
        opened = asker.ask(f"EIO={generation.eio}&transport=polling", cookies=cookies)
        sid = _sid(generation, opened)
        if not sid:
            return
        kept = {**cookies, **opened.cookies.get_dict()}  # by which it may go, wherever a user comes from
        try:
            answer = asker.end(generation, sid, kept, address)
        except requests.exceptions.RequestException:
            return  # it can't be reached from there
        if answer.status_code == 400:
            asker.found.nodes = f"{asker.found.nodes}, but not from {address}"
            said = "sessions go by the client's address (ip_hash, balance source): all users of this machine "
            said += "are on one node"
            asker.found.fault(said, BY_COOKIE, fatal=False)
            return
