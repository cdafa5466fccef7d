"""Files of a run: each is there whole or not at all, and none takes the place of another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: str, text: str) -> str | None:
    """Write a file whole or not at all; returns why it could not be.

    Pipes and devices are written as they are, and so is what a link leads to: it may be this process's output
    (/dev/stdout), and the link must stay.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or (target.exists() and not target.is_file()):
            target.write_text(text, encoding="utf-8", errors="replace")
            return None
        try:
            part.write_text(text, encoding="utf-8", errors="replace")
            os.replace(part, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except OSError as error:
        return f"can't write {path}: {error.strerror or error}"
    return None


def same_file(paths: Iterable[tuple[str, str | None]]) -> str | None:
    """That two options name one file, of which the later would take the place of the other; None if none do.

    Args:
        paths: what names a file, and its path, if there is one.
    """
    seen: dict[str, str] = {}
    for what, path in paths:
        if not path or (os.path.exists(path) and not os.path.isfile(path)):
            continue  # pipes and devices take it all
        if (other := seen.setdefault(os.path.realpath(path), what)) != what:
            return f"{other} and {what} both name {path}: give each a file of its own"
    return None
