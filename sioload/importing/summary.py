"""What an import prints of a recording: names and numbers, no values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sioload.importing.calls import origin
from sioload.importing.conversation import Conversation, Emit, Handler, Joined, Loop, Request, Step
from sioload.importing.har import Recording, Session
from sioload.importing.layout import said
from sioload.importing.sessions import Heard, joins, left_alone
from sioload.report.words import counted
from sioload.socketio.detect import speaks


def tell(
    made: Conversation,
    recording: Recording,
    lanes: Sequence[Sequence[Session]],
    columns: list[str],
    heard: Iterable[Heard],
) -> None:
    """Fill what was understood, and what was left out.

    Args:
        made: the conversation that was made of it.
        recording: what it was made of.
        lanes: the sessions of each connection.
        columns: of the recorded account.
        heard: the server's events, of all connections.
    """
    for lane in lanes:
        session = lane[0]
        how = [speaks(session.generation), " then ".join(sorted(session.transports))]
        how += ["msgpack"] if session.parser == "msgpack" else []
        how += [f"came back {counted(len(lane) - 1, 'time')}"] if len(lane) > 1 else []
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
    handled = [_heard_told(each) for kind in made.kinds for each in kind.handlers]
    if handled:
        made.understood.append(f"events of the server's own: {', '.join(handled)}")
    if columns:
        made.understood.append(
            f"an account: {', '.join(columns)}; accounts.csv has the recorded values, so keep it safe"
        )
    refused = sum(1 for each in recording.sessions if each.said) - sum(map(len, lanes))
    if refused:
        made.left_out.append(f"{counted(refused, 'session')} that the server refused")
    left = sum(left_alone(session) for lane in lanes for session in lane)
    if left:
        made.left_out.append(
            f"{counted(left, 'time')} that the browser left a namespace: the script stays in it"
        )
    others = [_heard_told(each.handler()) for each in heard if not each.wanted()]
    if others:
        made.left_out.append(
            f"handlers of other connections' events, which are counted without: {', '.join(others)}"
        )
    unread = recording.unread.items()
    made.left_out += [f"{number} " * (number > 1) + said(reason, 120) for reason, number in unread]
    if recording.foreign:
        foreign = counted(recording.foreign, "websocket")
        made.left_out.append(f"{foreign} {'isn' if recording.foreign == 1 else 'aren'}'t Socket.IO's")


def _heard_told(heard: Handler) -> str:
    where = "" if heard.namespace == "/" else f"{said(heard.namespace, 40)} "
    return f"{where}{said(heard.event, 40)} ({heard.count})"


def steps_told(steps: Sequence[Step]) -> str:
    """Steps in few words."""
    words = []
    for step in steps:
        match step:
            case Emit():
                reply = f" > {said(step.reply, 40)}" if step.how == "reply" else ""
                words.append(said(step.event, 40) + reply)
            case Request():
                words.append(f"{step.method} {said(_name(step), 60)}")
            case Loop():
                count = len(step.over) if isinstance(step.over, list) else step.count
                known = "some times" if step.over or count is not None else "again and again"
                often = counted(count, "time") if isinstance(count, int) else known
                words.append(f"{often} ({steps_told(step.steps)})")
    return ", ".join(words[:30]) + (", ..." if len(words) > 30 else "") or "nothing"


def _name(step: Request) -> str:
    name = step.name or step.url
    if isinstance(name, Joined):
        name = "".join(part if isinstance(part, str) else "[...]" for part in name.parts)
    return name.partition("?")[0] if isinstance(name, str) else "(a URL)"
