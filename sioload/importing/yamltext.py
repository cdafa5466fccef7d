"""YAML that nobody vouches for: plain values, within limits that hold before memory is taken.

As js-yaml 3 has them, which Artillery reads scripts with: `on`, `yes` and `no` are texts, and so are 08 and
0o17; 017 is octal, 1_000 a thousand, 12:30 is 750, and a date the text that JSON has of a JavaScript's date.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

import yaml

from sioload.errors import ProtocolError, UsageError
from sioload.plain import Json
from sioload.socketio.jsontext import loads

LARGEST: Final = 1 << 20
#: Nodes, those of repeated aliases counted each time.
_NODES: Final = 100_000
_DEPTH: Final = 60
_CORE: Final = {"null", "bool", "int", "float", "merge", "str", "seq", "map"}


class _Loader(yaml.SafeLoader):
    """As the safe loader, with plain scalars of our own and no tags of the file's own."""


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if ":" in digits:
        return sign * reduce(lambda whole, part: 60 * whole + int(part), digits.split(":"), 0)
    base = {"0x": 16, "0b": 2}.get(digits[:2])
    return sign * (int(digits[2:], base) if base else int(digits, 8 if digits[0] == "0" else 10))


def _date(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """As `Date.UTC` counts, to which the 30th of February is the first of March."""
    text = str(loader.construct_scalar(node))
    found = _DATE.fullmatch(text)
    assert found is not None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    zone = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
    try:
        at = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1) + timedelta(
            days=day - 1, hours=hour, minutes=minute, seconds=second,
            milliseconds=int((found[7] or "0")[:3].ljust(3, "0")),
        ) - (-zone if found[8] == "-" else zone)  # fmt: skip
    except (ValueError, OverflowError):
        return text
    return f"{at.isoformat(timespec='milliseconds')}Z"


_DATE: Final = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d{0,20}))?"
    r"(?:[ \t]*(?:Z|([-+])(\d\d?)(?::(\d\d))?))?)?"
)
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    (
        "int",
        r"[-+]?(?:0|0b[01_]{1,60}|0x[0-9a-fA-F_]{1,15}|0[0-7_]{1,20}|[1-9][0-9_]{0,17})(?<!_)"
        r"|[-+]?[1-9][0-9_]{0,8}(?::[0-5]?[0-9]){1,4}",
        "-+0123456789",
    ),
    (
        "float",
        r"(?:\.[0-9_]+|[-+]?(?:0|[1-9][0-9_]*)(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]{1,9})?(?<!_)|\.nan|[-+]?\.inf"
        r"|[-+]?[0-9][0-9_]{0,8}(?::[0-5]?[0-9]){1,4}\.[0-9_]*(?<!_)",
        "-+0123456789.",
    ),
    ("timestamp", rf"(?=\d{{4}}-(?:\d\d-\d\d\Z|\d\d?-\d\d?[Tt \t])){_DATE.pattern}", "0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), [char.strip("\0") for char in _first]
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def read_yaml(data: bytes, name: str) -> Json:
    """The value of one document.

    Raises:
        UsageError: it is none, too large, or asks for more than plain values; one line.
    """
    if len(data) > LARGEST:
        raise UsageError(f"{name} has more than {LARGEST >> 20} MiB, which no script needs")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if data.startswith((b"PK\3\4", b"\x1f\x8b")):
            raise UsageError(f"{name} is packed (zip or gzip): unpack it, and give the file in it") from None
        raise UsageError(f"{name} is no UTF-8: neither a recording nor a script") from None
    if text.lstrip()[:1] == "{":  # JSON may have tabs, and pairs of escapes, which the reader of YAML has not
        try:
            return _plain(loads(text, _DEPTH))
        except ProtocolError:
            pass
    try:
        _check(text, name)
        return _plain(_Loader(text).get_single_data())
    except UsageError:
        raise
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark
        where = f", line {at.line + 1}" if at is not None else ""
        # `{{ name }}` without quotes is an object whose key is an object.
        quote = error.problem == "found unhashable key"
        why = 'a template stands in quotes: "{{ name }}"' if quote else error.problem or error
        raise UsageError(f"{name}{where}: not YAML: {why}") from None
    except (yaml.YAMLError, ValueError, LookupError, RecursionError, OverflowError) as error:
        raise UsageError(f"{name}: not YAML: {str(error).splitlines()[0][:100]}") from None


def _check(text: str, name: str) -> None:
    """Refuse what would cost more than its size, or more than values, before anything is made of it."""
    sizes: dict[str, int] = {}
    begun: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        tag = getattr(event, "tag", None)
        if tag is not None and tag.removeprefix("tag:yaml.org,2002:") not in _CORE and tag != "!":
            raise UsageError(f"{name}: the tag {tag[:60]!r} is refused: a script has plain values")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise UsageError(
                    f"{name}: the alias *{str(event.anchor)[:40]} stands for nothing, or for itself"
                )
            total += sizes[event.anchor or ""]
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            if anchor:
                sizes[anchor] = total - before
        if total > _NODES:
            raise UsageError(f"{name}: more than {_NODES} values, with those that aliases repeat")
        if len(begun) > _DEPTH:
            raise UsageError(f"{name}: nested more than {_DEPTH} levels deep")


def _plain(value: object) -> Json:
    """As JSON has it: keys are texts."""
    if isinstance(value, dict):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):  # JavaScript has no other numbers
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return value


def _key(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)
