"""Asks for pages again and again: `python look.py '{"name": "url", ...}'`.

When its input ends it prints the seconds that each answer took, by name, as JSON.
"""

from __future__ import annotations

import json
import select
import sys
import time
import urllib.request

PAUSE = 2.0  # seconds between two looks


def main() -> None:
    pages: dict[str, str] = json.loads(sys.argv[1])
    found: dict[str, list[float]] = {name: [] for name in pages}
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        for name, url in pages.items():
            began = time.monotonic()
            try:
                with urllib.request.urlopen(url, timeout=30) as answer:
                    answer.read()
            except OSError:
                if not found[name]:
                    continue  # it isn't there yet
            found[name].append(time.monotonic() - began)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
