"""What may not raise: callbacks of the hub, whose exceptions nobody would hear of."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def guarded(
    on_crash: Callable[[BaseException], None], callback: Callable[P, object], *args: P.args, **named: P.kwargs
) -> None:
    """Call something in the hub; whatever it raises is a defect of this program, which `on_crash` hears of.

    Where each message passes, the same lines stand in place of this call (`net.stream`).
    """
    try:
        callback(*args, **named)
    except BaseException as error:  # noqa: BLE001 - a hub callback never raises
        on_crash(error)
