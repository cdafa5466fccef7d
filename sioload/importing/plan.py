"""What of a recording happens once and what repeats: the steps of `on_start` and of tasks, and pauses."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Final

from sioload.importing.conversation import (
    At,
    Choice,
    Connect,
    Cookie,
    Disconnect,
    Emit,
    Kind,
    Loop,
    Made,
    Note,
    Request,
    Step,
    Task,
    Think,
    Value,
    records_in,
)
from sioload.importing.statements import defined, used, variables_in

#: Seconds of silence that a person needs to do the next thing.
_PERSON: Final = 0.3
#: Repeats that make tasks of what is done between two pauses.
_OFTEN: Final = 5
#: Shorter pauses aren't made.
_SHORTEST: Final = 0.05
_JOINING: Final = re.compile(
    r"join|subscri|enter|auth|log.?in|sign.?in|regist|identif|add.?user|set.?(?:name|user|nick)|hello|^init|ready",
    re.IGNORECASE,
)
_LISTEN: Final = "The browser sent nothing here: it listened."


@dataclass(slots=True)
class Timed:
    """A step and when it was done.

    Attributes:
        at, until: when it began, and when its answer was there; seconds.
        hidden: it isn't part of the script unless something of its answer is used.
        again: a connection that was lost came back.
    """

    step: Step
    at: float
    until: float
    hidden: bool = False
    again: bool = False


def planned(kind: Kind, steps: Sequence[Timed], pace: float) -> None:
    """Divide steps into what is done at the start and what is done again and again."""
    steps = _together(kind, _without_returns(kind, sorted(steps, key=lambda each: each.at)))
    count = Counter(_shape(each.step) for each in steps)
    begun = _connected(steps)
    end = _starting(steps, begun, count)
    first = next((n for n, each in enumerate(steps) if isinstance(each.step, Connect)), 0)
    late = _paused(steps[first:begun], pace, _PERSON)  # another connection may be made long after the first
    plain = [each.step for each in steps]
    kind.start = [*plain[:first], *late, *plain[begun:end]]
    rest = _trimmed(steps[end:])
    gaps = [later.at - before.until for before, later in pairwise(rest)]
    pauses = [round(gap * pace, 1 if gap >= 1 else 2) for gap in gaps if gap >= _PERSON]
    middle = statistics.median(pauses) if pauses else 1.0 * pace
    kind.wait = (round(0.5 * middle, 2), round(1.5 * middle, 2))
    if not rest:
        kind.tasks = [Task("listen", [Note(_LISTEN), Think(round(max(1.0 * pace, 0.1), 2))])]
        return
    alike: dict[tuple[object, ...], list[list[Timed]]] = {}
    for unit in _units(rest):
        alike.setdefault(_unit_shape(unit), []).append(unit)
    if max(map(len, alike.values())) >= _OFTEN:
        answers = variables_in([handler.answer for handler in kind.handlers])
        kind.tasks = [_weighted(units, pace, answers) for units in alike.values()]
    else:
        kind.tasks = [Task(_named(rest), folded(_paused(rest, pace)))]


def _together(kind: Kind, steps: Sequence[Timed]) -> list[Timed]:
    """Connections made late are made with the first, if all is known there: what came between repeats."""
    found = list(steps)
    first = next((n for n, each in enumerate(found) if isinstance(each.step, Connect)), len(found))
    for place in range(first + 1, len(found)):
        step = found[place].step
        if isinstance(step, Disconnect | Cookie):
            break
        if isinstance(step, Connect) and step.client:
            before, *between = found[first:place]
            late = any(b.at - a.until >= _PERSON for a, b in pairwise((before, *between)))
            asked = used([step]) | variables_in([*kind.others[step.client - 1].values()])
            if late and not asked & defined([each.step for each in between]):
                moved = replace(found[place], at=before.until, until=before.until)
                found[first : place + 1] = [before, moved, *between]
                first += 1
    return found


def _paused(steps: Sequence[Timed], pace: float, least: float = _SHORTEST) -> list[Step]:
    """Steps with the pauses between them."""
    body: list[Step] = []
    for before, each in zip([None, *steps], steps, strict=False):
        gap = (each.at - before.until) * pace if before is not None else 0.0
        if gap >= least:
            body.append(Think(round(gap, 1 if gap >= 1 else 2)))
        body.append(each.step)
    return body


def _named(steps: Sequence[Timed]) -> str:
    events = list(dict.fromkeys(each.step.event for each in steps if isinstance(each.step, Emit)))
    return events[0] if len(events) == 1 else "conversation"


def _units(steps: Sequence[Timed]) -> list[list[Timed]]:
    """What was done between two pauses; what uses an answer belongs to what got it."""
    units: list[list[Timed]] = []
    for each in steps:
        if not units or each.at - units[-1][-1].until >= _PERSON:
            units.append([])
        units[-1].append(each)
    known = [defined([each.step for each in unit]) for unit in units]
    place = len(units) - 1
    while place > 0:
        wanted = used([each.step for each in units[place]])
        first = next((n for n in range(place) if wanted & known[n]), None) if wanted else None
        if first is None:
            place -= 1
            continue
        units[first : place + 1] = [[each for unit in units[first : place + 1] for each in unit]]
        known[first : place + 1] = [set().union(*known[first : place + 1])]
        place = first
    return units


def _unit_shape(unit: Sequence[Timed]) -> tuple[object, ...]:
    return tuple(_shape(each.step) for each in unit)


def _weighted(units: Sequence[Sequence[Timed]], pace: float, answers: set[str]) -> Task:
    """One task for what was done several times; values in which the times differ are chosen by chance.

    Args:
        answers: the variables that handlers answer with.
    """
    first = units[0]
    for unit in units[1:]:
        for known, repeated in zip(first, unit, strict=True):
            if answers & defined([repeated.step]):
                _hand_on(repeated.step, known.step)
    for place, each in enumerate(first):
        step = each.step
        if isinstance(step, Emit):
            emits = [other for unit in units if isinstance(other := unit[place].step, Emit)]
            if all(len(other.args) == len(step.args) for other in emits):
                step.args = [_chosen([other.args[n] for other in emits]) for n in range(len(step.args))]
    name = next((each.step.event for each in first if isinstance(each.step, Emit)), "request")
    return Task(name, folded(_paused(first, pace)), len(units))


def _chosen(values: list[Value]) -> Value:
    first = values[0]
    if all(type(value) is dict and list(value) == list(first) for value in values):
        return {key: _chosen([value[key] for value in values]) for key in first}
    if all(value == first for value in values) or any(True for _ in records_in(values)):
        return first
    kept = [value for place, value in enumerate(values) if value not in values[:place]]
    return Choice(tuple(kept[:20]))


def _connected(steps: Sequence[Timed]) -> int:
    """How many steps there are up to the last connection that is made at the start."""
    last = 0
    for number, each in enumerate(steps):
        if isinstance(each.step, Disconnect):
            break
        if isinstance(each.step, Connect):
            last = number + 1
    return last


def _starting(steps: Sequence[Timed], begun: int, count: Counter[tuple[object, ...]]) -> int:
    """How many steps happen once: up to the first pause after connecting, and whatever joins something."""
    end = begun
    pause = next(
        (n for n in range(begun, len(steps)) if n and steps[n].at - steps[n - 1].until >= _PERSON), None
    )
    while end < len(steps):
        step = steps[end].step
        once = count[_shape(step)] == 1 and not isinstance(step, Disconnect)
        joining = isinstance(step, Emit) and _JOINING.search(step.event) is not None
        if not once or not (joining or (pause is not None and end < pause)):
            break
        end += 1
    return end


def _trimmed(steps: Sequence[Timed]) -> list[Timed]:
    rest = list(steps)
    while rest and isinstance(rest[-1].step, Disconnect | Cookie):
        rest.pop()
    return rest


def _without_returns(kind: Kind, steps: list[Timed]) -> list[Timed]:
    """A lost connection comes back by itself: what was said each time belongs into `on_connected`."""
    returns = [number for number, each in enumerate(steps) if each.again]
    if not returns:
        return steps
    first = next(n for n, each in enumerate(steps) if isinstance(each.step, Connect))
    follow = [_following(steps, first), *(_following(steps, number) for number in returns)]
    same = 0
    while all(len(each) > same for each in follow) and len({_exact(each[same].step) for each in follow}) == 1:
        same += 1
    kind.connected = [each.step for each in follow[0][:same]]
    kind.notes.append("The recorded connection was lost and came back; sioload does that by itself.")
    gone = {id(each) for steps_after in follow for each in steps_after[:same]}
    gone |= {id(steps[number]) for number in returns}
    for number, again in zip(returns, follow[1:], strict=True):
        _hand_on(steps[number].step, _opening(steps, steps[number].step))
        for known, repeated in zip(follow[0][:same], again, strict=False):
            _hand_on(repeated.step, known.step)
    return [each for each in steps if id(each) not in gone]


def _opening(steps: Sequence[Timed], again: Step) -> Step:
    """The step that first opened what another opens again."""
    return next(each.step for each in steps if _shape(each.step) == _shape(again))


def _hand_on(gone: Step, known: Step) -> None:
    """What a step that isn't made again kept of its answer is kept of that of its first time."""
    if isinstance(gone, Emit | Request) and isinstance(known, Emit | Request):
        known.captures += gone.captures
    if isinstance(gone, Connect) and isinstance(known, Connect):
        known.sids += gone.sids
    if isinstance(gone, Emit | Request | Connect) and isinstance(known, Emit | Request | Connect):
        for each in gone.expected:
            same = (e for e in known.expected if (e.event, e.namespace) == (each.event, each.namespace))
            found = next(same, None)
            if found is None:
                known.expected.append(each)
            else:
                found.captures += each.captures


def _following(steps: Sequence[Timed], start: int) -> list[Timed]:
    """The emits right behind a connect."""
    return [*takewhile(lambda each: isinstance(each.step, Emit), steps[start + 1 :])]


def _shape(step: Step) -> tuple[object, ...]:
    """What makes two steps the same, whatever they say."""
    match step:
        case Emit():
            return ("emit", step.client, step.namespace, step.event, str(step.asked), step.how, step.reply)
        case Request():
            return ("request", step.method, step.name or str(step.url).partition("?")[0])
        case Connect():
            return ("connect", step.client)
        case Think():
            return ("think",)
    return (type(step).__name__, id(step))


def _exact(step: Step) -> str:
    return f"{_shape(step)} {step.args!r}" if isinstance(step, Emit) else f"{_shape(step)}"


# Repeats.


def folded(body: list[Step]) -> list[Step]:
    """Steps with what repeats right behind itself as loops."""
    made: list[Step] = []
    start = 0
    while start < len(body):
        found = _repeat(body, start)
        if found is None:
            made.append(body[start])
            start += 1
            continue
        loop, size = found
        made.append(loop)
        start += size
    return made


def _repeat(body: list[Step], start: int) -> tuple[Loop, int] | None:
    """The loop that begins at a place, and how many steps it stands for."""
    best: tuple[int, int] | None = None
    for length in range(1, min(20, (len(body) - start) // 2 + 1) + 1):
        if not any(isinstance(step, Emit | Request) for step in body[start : start + length]):
            continue
        times = _times(body, start, length)
        if times >= 2 and (best is None or times * length > best[0] * best[1]):
            best = times, length
    if best is None:
        return None
    times, length = best
    turns = [body[start + n * length : start + (n + 1) * length] for n in range(times)]
    short = turns[-1]  # the last pause may be missing
    if len(short) < length:
        turns[-1] = [*short, *turns[0][len(short) :]]
    inside = {name for turn in turns for name in defined(turn)}
    behind = body[start + sum(map(len, turns)) :] + body[:start]
    if inside & used(behind):
        return None
    steps = _unified(turns)
    return (steps, min(times * length, len(body) - start)) if steps is not None else None


def _times(body: list[Step], start: int, length: int) -> int:
    """How often a stretch is there in a row; of the last one a closing pause may be missing."""
    shapes = [_shape(step) for step in body[start : start + length]]
    times = 1
    while True:
        turn = [_shape(step) for step in body[start + times * length : start + (times + 1) * length]]
        if turn == shapes:
            times += 1
        elif turn and turn == shapes[:-1] and shapes[-1] == ("think",):
            return times + 1
        else:
            return times


def _unified(turns: list[list[Step]]) -> Loop | None:
    """One loop for several turns; the values in which they differ are what it goes over."""
    first = turns[0]
    rows: list[list[Value]] = [[] for _ in turns]
    steps: list[Step] = []
    for place, step in enumerate(first):
        others = [turn[place] for turn in turns]
        match step:
            case Think():
                pauses = [each.seconds for each in others if isinstance(each, Think)]
                middle = statistics.median(pauses)
                steps.append(Think(round(middle, 1 if middle >= 1 else 2)))
            case Emit() if not step.captures and not any(
                e.expected or e.captures for e in others if isinstance(e, Emit)
            ):
                emits = [each for each in others if isinstance(each, Emit)]
                if len({len(each.args) for each in emits}) > 1 or any(
                    each.matches != step.matches for each in emits
                ):
                    return None
                args = [_differing([each.args[n] for each in emits], rows) for n in range(len(step.args))]
                steps.append(replace(step, args=args))  # it may be no loop yet
            case Request() if all(isinstance(e, Request) and not e.captures and e == step for e in others):
                steps.append(step)
            case _:
                return None
    width = len(rows[0])
    if width > 4:
        return None
    if width == 0:
        return Loop(steps, len(turns))
    if width == 1:
        for step in steps:
            if isinstance(step, Emit):
                step.args = [_alone(arg) for arg in step.args]
        return Loop(steps, over=[row[0] for row in rows])
    return Loop(steps, over=rows)


def _differing(values: list[Value], rows: list[list[Value]]) -> Value:
    """What the values of all turns have in common; where they differ stands a place of the turn's row."""
    first = values[0]
    if all(type(value) is type(first) and value == first for value in values):
        return first
    if all(type(value) is dict and list(value) == list(first) for value in values):
        return {key: _differing([value[key] for value in values], rows) for key in first}
    if all(type(value) is list and len(value) == len(first) for value in values):
        return [_differing([value[n] for value in values], rows) for n in range(len(first))]
    for row, value in zip(rows, values, strict=True):
        row.append(value)
    return At(Made("element"), (len(rows[0]) - 1,))


def _alone(value: Value) -> Value:
    """The same, where a turn's row has one value."""
    if isinstance(value, At):
        return value.value
    if isinstance(value, dict):
        return {key: _alone(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_alone(inner) for inner in value]
    return value
