"""JSON text: values with binary data inside to text and attachments, and text to values, within limits."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Never

import orjson

from sioload.errors import EncodeError, LimitError, ProtocolError
from sioload.plain import Json

#: orjson refuses data nested deeper than this on sending.
SEND_DEPTH: Final = 254

OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_from_json: Final = orjson.loads
_NON_ASCII = re.compile("[^\0-\x7f]")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def escape(text: str) -> str:
    """JSON text with non-ASCII characters as `\\uXXXX`, alike in every encoding and length rule."""
    return text if text.isascii() else _NON_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def to_json(value: object, args: Sequence[Json]) -> tuple[str, list[bytes]]:
    """`value`, which holds `args`, as JSON with placeholders, and the attachments that they stand for.

    Raises:
        EncodeError: one of `args` can't be sent as JSON.
    """
    try:
        return orjson.dumps(value, None, OPTIONS).decode(), []
    except TypeError:
        pass  # it holds binary, keys that aren't text, or something that can't be sent
    attachments: list[bytes] = []

    def default(item: object) -> object:
        if isinstance(item, bytes | bytearray | memoryview):
            attachments.append(bytes(item))
            return {"_placeholder": True, "num": len(attachments) - 1}
        if isinstance(item, tuple):  # orjson takes tuples, not their subclasses
            return list(item)
        raise TypeError

    try:
        return orjson.dumps(value, default, OPTIONS | orjson.OPT_NON_STR_KEYS).decode(), attachments
    except TypeError as error:
        raise EncodeError(culprit([*args], "data") or f"data: {error}") from None


def culprit(value: object, path: str, depth: int = 0, form: str = "JSON") -> str | None:
    """Which part of `value` can't be sent as "JSON" or "msgpack", and why; None when it isn't found."""
    if depth > SEND_DEPTH - 2:
        return f"{path[:60]}...: nested deeper than {SEND_DEPTH} levels, or inside itself"
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None) and form == "JSON":
                return f"{path}: a key of type {type(key).__name__} can't be sent as JSON; convert it first"
            if found := culprit(key, f"{path}, a key", 0, form) or culprit(
                item, f"{path}.{key}", depth + 1, form
            ):
                return found
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if found := culprit(item, f"{path}[{index}]", depth + 1, form):
                return found
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            return f"{path}: an integer beyond 64 bits can't be sent as {form}; send it as text"
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{path}: text with a lone surrogate can't be sent as UTF-8"
    elif value is not None and not isinstance(value, float | bytes | bytearray | memoryview):
        try:
            if form == "JSON":
                orjson.dumps(value, None, OPTIONS)
                return None
        except TypeError:
            pass
        return f"{path}: {type(value).__name__} can't be sent as {form}; convert it first"
    return None


def loads(text: str, nesting: int) -> Any:
    """JSON text as a value.

    Raises:
        ProtocolError: it isn't JSON.
        LimitError: it is nested deeper than `nesting`.
    """
    check_depth(text, nesting)
    try:
        return _from_json(text)
    except orjson.JSONDecodeError as error:
        if "\\ud" in text or "\\uD" in text:
            return _loads_surrogates(text)
        raise ProtocolError(f"not JSON: {error}") from None


def _loads_surrogates(text: str) -> Any:
    """JSON that holds lone surrogates, as JavaScript may write them and orjson refuses them."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None


def _refuse(text: str) -> Never:
    raise ValueError(f"{text} is no JSON")


def _integer(text: str) -> int | float:
    """As orjson does: beyond 64 bits a number is a float."""
    value = int(text) if len(text) <= 20 else None
    return value if value is not None and -(1 << 63) <= value < 1 << 64 else _finite(text)


def _finite(text: str) -> float:
    value = float(text)
    return value if abs(value) != float("inf") else _refuse(text)


def check_depth(text: str, nesting: int) -> None:
    """Refuses text nested too deeply, at the speed of C: drop all but brackets, then peel off the leaves."""
    if text.count("[") + text.count("{") <= nesting:
        return
    bare = text.encode("utf-8", "replace")
    if b"\\" in bare:
        bare = bare.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare = b"".join(bare.split(b'"')[::2]).translate(_BRACKETS, _NO_BRACKETS)
    if bare.count(b"[") * 2 != len(bare):
        raise ProtocolError("not JSON: brackets don't match")
    for _ in range(nesting):
        bare = bare.replace(b"[]", b"")
        if not bare:
            return
    raise LimitError.of("JSON nested more deeply", "nesting", nesting)
