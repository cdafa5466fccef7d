"""Locust on a locustfile of somebody's: one that doesn't import sioload is refused before any load.

Without sioload, Locust would name an option that nobody gave, or make load that nobody measures or ends. This
file is run by its path, so that nothing of sioload is imported before the locustfile.
"""

from __future__ import annotations

import sys
from typing import Any

import locust
from locust.main import main


def look(**_: object) -> None:
    """Locust has imported the locustfile, and makes its command line.

    Raises:
        SystemExit: nothing in it imports sioload; one line and exit code 2.
    """
    if "sioload" in sys.modules:
        return
    given = [arg for flag, arg in zip(sys.argv, sys.argv[1:], strict=False) if flag == "--locustfile"]
    print(
        f"sioload: {given[0]} doesn't import sioload, and so nothing of it would be measured: write "
        "'from sioload import SocketIOUser' for users of Socket.IO, 'import sioload' beside others",
        file=sys.stderr,
    )
    raise SystemExit(2)


if __name__ == "__main__":
    sys.argv[0] = "locust"
    events: Any = locust.events
    events.init_command_line_parser.add_listener(look)
    main()  # type: ignore[no-untyped-call]
