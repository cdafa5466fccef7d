"""Whole numbers as varints, and as text for reports: base64 of those, deflated."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable


def varints(numbers: Iterable[int]) -> bytes:
    """Numbers from 0; those below 128 take a byte each."""
    data = bytearray()
    for number in numbers:
        while number > 127:
            data.append(number & 127 | 128)
            number >>= 7
        data.append(number)
    return bytes(data)


def numbers_of(data: bytes) -> list[int]:
    """The numbers that `varints` was given."""
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    return numbers


def packed(numbers: Iterable[int]) -> str:
    """Numbers from 0 as text; small ones take little of it."""
    data = varints(numbers)
    return base64.b64encode(zlib.compress(data)).decode("ascii") if data else ""


def unpacked(text: str) -> list[int]:
    """The numbers that `packed` was given.

    Raises:
        ValueError: it is something else.
    """
    try:
        return numbers_of(zlib.decompress(base64.b64decode(text, validate=True)) if text else b"")
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"no histogram or blocks: {text[:40]!r}") from error
