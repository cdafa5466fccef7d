"""Users with a single-use ticket each, who start at one instant.

    python tickets.py URL VERSION TRANSPORTS [SECONDS]

Prints what each heard as JSON, and the rows of type OPEN. `SECONDS`: the option connect_timeout.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.errors import SioloadError  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402

url, version, transports = sys.argv[1:4]
fleet = Fleet()
USERS = 3


def user(number: int) -> object:
    """One user's session."""
    given = {
        "version": version if version == "auto" else int(version),
        "transports": transports.split(","),
        "query": {"ticket": f"t{number}"},
        "connect_timeout": float(sys.argv[4]) if len(sys.argv) > 4 else 20.0,
        "reconnection": False,
    }
    sio = SocketIOClient(fleet, given, url=url)
    try:
        sio.connect()
        return sio.call("echo", number)
    except SioloadError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        sio.disconnect()


users = [gevent.spawn(user, number) for number in range(USERS)]
gevent.joinall(users)
rows = {name: row.totals().count for (kind, name), row in fleet.recorder.rows.items() if kind == "OPEN"}
print(json.dumps({"heard": [one.value for one in users], "rows": rows}))
