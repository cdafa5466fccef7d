"""Where the values that a browser sent came from: an earlier answer, the user's account, or the page itself.

A value that was first heard from the server is taken from there. What the user knew by heart (passwords, and
tokens from before the recording) goes into a feed, so that no script holds it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from sioload.importing.conversation import Column, Feed, Joined, Made, Path, Quoted, Value, Variable
from sioload.importing.names import identifier

ACCOUNTS: Final = "accounts"
_SECRET: Final = re.compile(
    r"(^|_)(pass|password|passwd|passphrase|passcode|pwd|pin|otp|secret|token|jwt|api_?key|apikey|access_key|auth"
    r"|authorization|authentication|credentials?|session|session_id|sessid|bearer|signature|sig|ticket|csrf|xsrf)(_|$)"
)
_PERSON: Final = re.compile(
    r"(^|_)(user|username|user_name|email|e_mail|mail|login|account|phone|mobile|member|nick|nickname)$"
)
_LOGIN: Final = re.compile(
    r"(^|[_/\W])(log_?in|sign_?in|auth|authenticate|session|token|register|identify)s?([_/\W]|$)"
)
_ID: Final = re.compile(
    r"(^|_)(id|ids|uuid|guid|token|key|code|sid|slug|hash|nonce|ref|room|channel|session|csrf|ticket)$"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OWN_ID: Final = re.compile(r"(client|message|msg|request|req|correlation|temp|tmp|local|trace|idempotency)")
_JWT: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_RANDOM: Final = re.compile(r"(?=(?:[^0-9]*[0-9]){2})(?=(?:[^A-Za-z]*[A-Za-z]){4})[\w+/=.~-]+", re.ASCII)
_FIELD: Final = re.compile(r'(?:name|id)="([\w.-]{1,40})"\s+(?:value|content)="([^"<>]{8,500})"')
#: A field of a form that has files, and isn't one.
_PART: Final = re.compile(r'name="([^"\r\n]*)"\r?\n\r?\n(.*?)(?=\r?\n--)', re.DOTALL)
#: A secret within a text: its value, and the key that it stands under where it has one.
_TOLD: Final = re.compile(
    r"""(?P<jwt>(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)
    | \b(?:[Bb]earer|[Bb]asic|Token)[ ]+(?P<token>(?=[A-Za-z+/._~-]*[0-9=])[\w.~+/=-]{6,})
    | ://[^\s/:@"'<>]+:(?P<password>[^\s/@"'<>]+)@
    | "(?P<json>[\w.-]{1,60})"\s*:\s*(?:"(?P<a>(?:[^"\\]|\\.)+)"|(?P<pin>[0-9]{4,18})(?![0-9.]))
    | (?<![\w.-])(?P<field>[\w.-]{1,60})=(?:"(?P<b>[^"<>{}]+)"|'(?P<c>[^'<>{}]+)'|(?P<d>[^\s&;,"'<>{}]+))
    | <(?P<tag>[\w.:-]{1,60})>(?P<e>[^<>{}]+)</(?P=tag)>
    | ^[ \t]*(?P<line>[\w.-]{1,60})[ \t]*:[ \t]*(?P<f>[^\s{}"'/][^\s{}"']*)[ \t]*$""",
    re.VERBOSE | re.MULTILINE,
)
_KEYS: Final = ("json", "field", "tag", "line")
#: The groups of values, and what they are where no key says it.
_VALUES: Final = {
    **dict.fromkeys(("jwt", "token", "a", "pin", "b", "c", "d", "e", "f"), "token"),
    "password": "password",
}
#: Values that tell nothing.
_NOTHING: Final = ("true", "false", "null", "none", "undefined", "0", "1")
#: A text without spaces that a number is a part of, and where that is.
_NAME: Final = re.compile(r"(?=.*[0-9]{4})(?=.*[^0-9])\S{5,200}")
_DIGITS: Final = re.compile(r"(?<![0-9.])([1-9][0-9]{3,17})(?![0-9.])")
#: Texts below this length are looked for as wholes only.
_WITHIN: Final = 8


def is_secret(key: str) -> bool:
    """Whether what has this key is nobody's business."""
    return _SECRET.search(identifier(key)) is not None


def secrets_in(text: str) -> Iterator[tuple[int, int, str]]:
    """Where secrets stand within a text, and under which key: `token=...`, `"token": "..."` and the like."""
    found = _TOLD.search(text)
    while found is not None:
        value = next(each for each in _VALUES if found[each] is not None)
        key = next((found[each] for each in _KEYS if found[each] is not None), _VALUES[value])
        secret = is_secret(key) and found[value].lower() not in _NOTHING
        if secret:
            yield *found.span(value), key
        found = _TOLD.search(text, found.end() if secret else found.start(value))


def without_secrets(value: Value, take: Callable[[str, str], Value]) -> Value:
    """A text, with `take(secret, key)` in place of each secret that it tells."""
    parts: list[Value] = []
    for part in value.parts if isinstance(value, Joined) else (value,):
        end = 0
        if isinstance(part, str):
            for start, stop, key in secrets_in(part):
                parts += (part[end:start], take(part[start:stop], key))
                end = stop
            part = part[end:]
        parts.append(part)
    return joined(parts)


def is_login(text: str) -> bool:
    """Whether a path or an event is about who somebody is."""
    return _LOGIN.search(text.lower()) is not None


def looks_random(text: str, least: int = 20) -> bool:
    """Whether a text is one that nobody would type."""
    return least <= len(text) <= 20_000 and _RANDOM.fullmatch(text) is not None


@dataclass(slots=True)
class Source:
    """A value that the server said first.

    Attributes:
        rank: 0 in an answer, 1 in an event of the server's own accord.
        take: makes the answer keep it, under a name that it is given, and tells the variable's.
        hint: what the variable may be called.
        variable: once something asked for it.
    """

    rank: int
    take: Callable[[str], str]
    hint: str
    variable: Variable | None = None


@dataclass(slots=True)
class Origins:
    """All values seen so far, in the order of time.

    Attributes:
        columns: of the recorded account.
    """

    columns: dict[str, str] = field(default_factory=dict)
    _heard: dict[object, Source] = field(default_factory=dict)
    _own: set[object] = field(default_factory=set)
    _by_value: dict[str | int, Column] = field(default_factory=dict)
    _texts: list[tuple[str, str]] = field(default_factory=list)  # the longest first, and as a URL has it

    def learn(self, answer: Value, rank: int, hint: str, take: Callable[[Path, str], str]) -> None:
        """The server said this; `take(path, name)` makes the script keep a part of it."""
        for path, value in leaves(answer):
            key = next((part for part in reversed(path) if isinstance(part, str)), "")
            known = self._heard.get(value)
            if value in self._own or (known is not None and (known.variable or known.rank <= rank)):
                continue
            if not _worth(value, key):
                continue
            if known is None:
                self._note(value)
            self._heard[value] = Source(rank, _bound(take, path), _named(key, hint))

    def value(self, value: Value, key: str = "", at: float = 0.0, login: bool = False) -> Value:
        """A value that was sent, with the origin of each part of it.

        Args:
            key: what it stands under.
            at: when it was sent, in seconds since the epoch.
            login: it tells who the user is.
        """
        if isinstance(value, dict):
            own = login or any(is_secret(str(k)) for k in value)
            return {k: self.value(v, str(k), at, own) for k, v in value.items()}
        if isinstance(value, list):
            return [self.value(inner, key, at, login) for inner in value]
        if isinstance(value, str):
            return self.text(value, key, login)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return self._number(value, key, at)

    def _number(self, value: float, key: str, at: float) -> Value:
        if at and abs(value / 1000 - at) < 2 and value == int(value):
            return Made("stamp_ms")
        if at and abs(value - at) < 2:
            return Made("stamp")
        source = self._heard.get(value)
        if source is not None and (abs(value) >= 1000 or _ID.search(identifier(key))):
            return self._variable(source)
        if isinstance(value, int) and abs(value) >= 1000 and (value in self._by_value or is_secret(key)):
            return self.column(value, key)  # a PIN
        self._own.add(value)
        return value

    def text(self, value: str, key: str = "", login: bool = False) -> Value:
        """A text that was sent."""
        column = self._by_value.get(value)
        if column is not None and (len(value) >= 4 or _PERSON.search(identifier(key))):
            return column
        source = self._heard.get(value)
        if source is not None:
            return self._variable(source)
        found = self._within(value)
        if found is not None:
            return without_secrets(found, self._told)
        own = is_secret(key) or _JWT.fullmatch(value) or (login and _PERSON.search(identifier(key)))
        if value and own:
            return self.column(value, key)
        if _UUID.fullmatch(value):
            if value not in self._own and _OWN_ID.search(identifier(key)):
                return Made("uuid")
            return self.column(value, key or "id")
        if looks_random(value):
            return self.column(value, key)
        numbered = self._numbered(value)
        if numbered is not None:
            return numbered
        told = without_secrets(value, self._told)
        if told == value:
            self._own.add(value)
        return told

    def named(self, event: str) -> Value:
        """The name of an event, with the origin of what the server said in it; words are nobody's own."""
        known = any(text in event and re.search("[0-9]", text) for text, _ in self._texts)
        found = (self._within(event) if known else None) or self._numbered(event)
        return event if found is None else found

    def _numbered(self, value: str) -> Value | None:
        """A name with a known number inside, such as that of the room item:4711."""
        sources = [self._heard.get(int(part)) for part in _DIGITS.findall(value)]
        if not any(sources) or not _NAME.fullmatch(value):
            return None
        parts: list[Value] = [*_DIGITS.split(value)]
        parts[1::2] = [
            part if source is None else self._variable(source)
            for part, source in zip(parts[1::2], sources, strict=True)
        ]
        return joined(parts)

    def _told(self, secret: str, key: str) -> Value:
        source = self._heard.get(secret)
        return self._variable(source) if source is not None else self.column(secret, key)

    def form(self, body: str, login: bool) -> Value:
        """The body of a form that may have files, with the origin of each field."""
        parts: list[Value] = []
        end = 0
        for found in _PART.finditer(body):
            parts += (body[end : found.start(2)], self.text(found[2], found[1], login))
            end = found.end(2)
        return joined([*parts, body[end:]])

    def piece(self, value: str, key: str) -> Value:
        """A piece of a URL, where what was a number in an answer is a text."""
        number = int(value) if re.fullmatch(r"[1-9][0-9]{0,17}", value) else 0
        source = self._heard.get(number)
        if source is not None and (number >= 1000 or _ID.search(identifier(key))):
            return self._variable(source)
        return self.text(value, key) if len(value) > 1 else value

    def column(self, value: str | int, key: str) -> Column:
        """The account's value of this name."""
        known = self._by_value.get(value)
        if known is not None:
            return known
        base = name = identifier(key)
        number = 2
        while name in self.columns:
            name = f"{base}_{number}"
            number += 1
        self.columns[name] = str(value)
        column = self._by_value[value] = Column(ACCOUNTS, name, isinstance(value, int))
        self._note(value)
        return column

    def _variable(self, source: Source) -> Variable:
        if source.variable is None:
            source.variable = Variable(source.take(source.hint))
        return source.variable

    def _within(self, value: str) -> Value | None:
        """A text with a known value inside."""
        if not _WITHIN < len(value) <= 4000:
            return None
        for text, quoted in self._texts[bisect_left(self._texts, -len(value), key=_longest) :]:
            if text in value or (quoted and quoted in value):
                what: Value = self._by_value.get(text) or self._variable(self._heard[text])
                form, what = (text, what) if text in value else (quoted, Quoted(what))
                before, _, after = value.partition(form)
                parts = (self._within(before) or before, what, self._within(after) or after)
                return Joined(tuple(part for part in _spread(parts) if part != ""))
        return None

    def _note(self, text: Value) -> None:
        """A text may be found within others from now on."""
        if isinstance(text, str) and len(text) >= _WITHIN:
            quoted = quote(text, safe="", errors="replace")
            insort(self._texts, (text, quoted if quoted != text else ""), key=_longest)


def _longest(known: tuple[str, str]) -> int:
    return -len(known[0])


def _spread(parts: Sequence[Value]) -> Iterator[Value]:
    for part in parts:
        yield from part.parts if isinstance(part, Joined) else (part,)


def _bound(take: Callable[[Path, str], str], path: Path) -> Callable[[str], str]:
    return lambda name: take(path, name)


def _worth(value: Value, key: str) -> bool:
    """Whether a value of an answer is one that can be told apart from all others."""
    named = _ID.search(identifier(key)) is not None if key else False
    if isinstance(value, str):
        return (named and len(value) >= 2) or looks_random(value, 12)
    return named and isinstance(value, int | float) and not isinstance(value, bool) and value > 1


def _named(key: str, hint: str) -> str:
    name = identifier(key)
    if name in ("id", "uuid", "key", "code", "_id", "value_id") or not key:
        singular = identifier(hint)
        singular = singular[:-1] if singular.endswith("s") and not singular.endswith("ss") else singular
        return f"{singular}_{name if key else 'value'}"
    return name


def accounts(columns: dict[str, str], name: str = ACCOUNTS) -> Feed:
    """The feed with one account's values by column."""
    return Feed(
        name,
        f"{name}.csv",
        list(columns),
        [list(columns.values())],
        comments=[
            f"One account, which all users share. Add rows; {name}.take(self) in place of",
            f"next({name}) gives each user one of its own.",
        ],
    )


def in_page(text: str) -> Iterator[tuple[str, str, str]]:
    """What a page has for its forms to send back: name, value, and a pattern that finds the value.

    `<input name="csrf" value="...">` and `<meta name="csrf-token" content="...">`.
    """
    for found in _FIELD.finditer(text[:1_000_000]):
        start = re.escape(text[found.start() : found.start(2)]).replace(r"\ ", " ")
        yield found[1] if is_secret(found[1]) else "token", found[2], start + '([^"]+)"'


def leaves(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Texts and numbers in a value, and where they stand."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value[:200]):
            yield from leaves(inner, (*path, place))
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, value


def joined(parts: Sequence[Value]) -> Value:
    """Parts of a text, some of them in parts themselves, as one value."""
    whole: list[Value] = []
    for part in _spread(parts):
        if isinstance(part, str) and whole and isinstance(whole[-1], str):
            whole[-1] += part
        elif part != "":
            whole.append(part)
    if not whole:
        return ""
    return whole[0] if len(whole) == 1 and isinstance(whole[0], str) else Joined(tuple(whole))
