"""What is shown with the first failure of its kind: an excerpt of the data, and the place in the script."""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Final

from sioload.measure.names import clean_name
from sioload.plain import Json
from sioload.report.words import counted

#: Characters of an excerpt, and of the text that it is cut from: secrets are looked for in the longer one.
LENGTH: Final = 200
_LOOKED_AT: Final = 10_000
#: Code below these isn't the script's, nor is Cython's. What is compiled names its files as they were when it
#: was built.
_CYTHON: Final = (".pyx", ".pxd")
_OTHERS: Final = (
    "sioload/",
    "src/gevent/",
    *{os.path.join(path, "") for path in (str(Path(__file__).parents[1]), *sysconfig.get_paths().values())},
)


def excerpt(value: Json, discreet: Callable[[str], str]) -> str:
    """The beginning of a value, without what was confided to the server."""
    text = ""
    try:
        for part in json.JSONEncoder(ensure_ascii=False, default=_other).iterencode(value):
            text += part
            if len(text) > _LOOKED_AT:
                break
    except (TypeError, ValueError, RecursionError):
        text += f"... ({type(value).__name__})"
    return clean_name(discreet(text[:_LOOKED_AT]), LENGTH)


def _other(value: object) -> str:
    size = f" of {counted(len(value), 'byte')}" if isinstance(value, bytes | bytearray) else ""
    return f"({type(value).__name__}{size})"


def place_of_error(error: BaseException, *, anywhere: bool = True) -> str:
    """Where in the script an exception came from, as file:line.

    If the script has no part in it, where it came from at all, or "" without `anywhere`.
    """
    step, found, last = error.__traceback__, "", ""
    while step is not None:
        code = step.tb_frame.f_code
        last = _place(code, step.tb_lineno)
        if not code.co_filename.startswith(_OTHERS) and not code.co_filename.endswith(_CYTHON):
            found = last
        step = step.tb_next
    return found or (last if anywhere else "")


def place_of_function(function: object) -> str:
    """Where a function of the script begins, as file:line; empty when it isn't written in Python."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return _place(code, code.co_firstlineno) if isinstance(code, CodeType) else ""


def _place(code: CodeType, line: int) -> str:
    path = os.path.relpath(code.co_filename) if os.path.isabs(code.co_filename) else code.co_filename
    return f"{os.path.basename(path) if path.startswith('..') else path}:{line}"
