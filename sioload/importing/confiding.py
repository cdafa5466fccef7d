"""Secrets of an Artillery script: they stand in a feed, and neither in the new script nor on the screen."""

from __future__ import annotations

from sioload.importing.conversation import Column, Conversation, Emit, Joined, Match, Request, Value
from sioload.importing.layout import said
from sioload.importing.names import identifier
from sioload.importing.origins import ACCOUNTS, is_secret, without_secrets
from sioload.plain import Json


class Secrets(dict[str, str]):
    """The secrets of a script by column.

    Attributes:
        feed: the name of the feed that gets them; payload files may have the usual one.
    """

    feed = ACCOUNTS

    def column(self, text: str, key: str, whole: bool = False) -> Value:
        """The column with this secret, as a `whole` number or as a text."""
        base = name = identifier(key)
        number = 2
        while self.get(name, text) != text:
            name = f"{base}_{number}"
            number += 1
        self[name] = text
        return Column(self.feed, name, whole)


def confided(value: Value, columns: Secrets, key: str = "") -> Value:
    """A value whose secrets stand in a feed, in the columns that this fills."""
    if isinstance(value, dict):
        return {name: confided(inner, columns, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [confided(inner, columns, key) for inner in value]
    name = identifier(key)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1000
    if not ((isinstance(value, str) and value) or whole) or not (is_secret(key) or name == "cookie"):
        return without_secrets(value, columns.column) if isinstance(value, str | Joined) else value
    return columns.column(str(value), name, whole)


def confide_answer(step: Emit | Request, columns: Secrets) -> None:
    """What the answer to a step has to be, whose secrets stand in a feed from now on."""

    def own(match: Match) -> Match:
        key = next((part for part in reversed(match.path) if isinstance(part, str)), "")
        return match._replace(value=confided(match.value, columns, key))

    step.matches = [own(match) for match in step.matches]
    if isinstance(step, Emit) and step.where is not None:
        step.where = own(step.where)


def confide_variables(names: set[str], made: Conversation, columns: Secrets) -> list[Value]:
    """The values of these variables, whose secrets stand in a feed from now on."""
    found: list[Value] = []
    for name in sorted(names & made.variables.keys()):
        made.variables[name] = [confided(value, columns, name) for value in made.variables[name]]
        found += made.variables[name]
    return found


def shown(value: Json) -> str:
    """A value in words, for whoever imports, without its secrets."""
    return said(str(_without_secrets(value)), 60)


def _without_secrets(value: Json) -> Json:
    if isinstance(value, dict):
        return {k: "..." if is_secret(k) else _without_secrets(inner) for k, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return without_secrets(value, lambda secret, key: "...") if isinstance(value, str) else value
