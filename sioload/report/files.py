"""Files that are there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
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
