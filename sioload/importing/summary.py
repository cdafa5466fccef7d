"""What an import prints of a recording: names and numbers, no values."""

from __future__ import annotations

from collections.abc import Sequence

from sioload.importing.calls import origin
from sioload.importing.conversation import Conversation, Emit, Loop, Request, Step, Value
from sioload.importing.har import Recording, Session
from sioload.importing.layout import said
from sioload.importing.sessions import joins
from sioload.socketio.detect import speaks


def tell(
    made: Conversation, recording: Recording, lanes: Sequence[Sequence[Session]], columns: list[str]
) -> None:
    """Fill what was understood, and what was left out.

    Args:
        made: the conversation that was made of it.
        recording: what it was made of.
        lanes: the sessions of each connection.
        columns: of the recorded account.
    """
    for lane in lanes:
        session = lane[0]
        how = [speaks(session.generation), " then ".join(sorted(session.transports))]
        how += ["msgpack"] if session.parser == "msgpack" else []
        how += [f"came back {len(lane) - 1} times"] if len(lane) > 1 else []
        names = ", ".join(
            said(name, 40) for name in sorted({name for each in lane for name in joins(each)[0]})
        )
        made.understood.append(
            f"a connection to {origin(session.url)}{said(session.path)}: {', '.join(how)}; namespaces {names}"
        )
    for kind in made.kinds:
        for when, steps in (("at the start", kind.start), ("after each connect", kind.connected)):
            if steps:
                made.understood.append(f"{when}: {steps_told(steps)}")
        for task in kind.tasks:
            made.understood.append(f"again and again: {steps_told(task.steps)}")
    heard = [f"{said(each.event, 40)} ({each.count})" for kind in made.kinds for each in kind.handlers]
    if heard:
        made.understood.append(f"events of the server's own: {', '.join(heard)}")
    if columns:
        made.understood.append(
            f"an account: {', '.join(columns)}; accounts.csv has the recorded values, so keep it safe"
        )
    refused = sum(1 for each in recording.sessions if each.said) - sum(map(len, lanes))
    if refused:
        made.left_out.append(f"{refused} sessions that the server refused")
    made.left_out += [f"{number} {said(reason, 120)}" for reason, number in recording.unread.items()]
    if recording.foreign:
        made.left_out.append(f"{recording.foreign} websockets that aren't Socket.IO's")


def steps_told(steps: Sequence[Step]) -> str:
    """Steps in few words."""
    words = []
    for step in steps:
        match step:
            case Emit():
                reply = f" > {said(step.reply, 40)}" if step.how == "reply" else ""
                words.append(said(step.event, 40) + reply)
            case Request():
                words.append(f"{step.method} {said(step.name or _path(step.url), 60)}")
            case Loop():
                count = len(step.over) if isinstance(step.over, list) else step.count
                often = f"{count} times" if count is not None else "again and again"
                words.append(f"{often} ({steps_told(step.steps)})")
    return ", ".join(words[:30]) + (", ..." if len(words) > 30 else "") or "nothing"


def _path(url: Value) -> str:
    return url.partition("?")[0] if isinstance(url, str) else "(a URL)"
