"""Users who post after pauses of any length, to a server that closes idle connections when it likes.

    python posts.py URL USERS POSTS

Prints the ledger as JSON: an emit whose POST met the end of its connection is `indeterminate`. A user before
them has learnt the server's patience, with two POSTs of its own.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.errors import EmitError  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402

url, users, posts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fleet = Fleet()
left = 2


def user(shortest: float = 0.0) -> None:
    """One user, until all together have posted enough."""
    global left
    sio = SocketIOClient(fleet, {"version": 4, "transports": ["polling"]}, url=url)
    sio.connect()
    while left > 0:
        left -= 1
        gevent.sleep(random.uniform(shortest, 1.8))
        try:
            sio.emit("silent")
        except EmitError:
            pass  # it is counted
    sio.disconnect()


user(1.5)
left = posts
gevent.joinall([gevent.spawn(user) for _ in range(users)], raise_error=True)
print(json.dumps(fleet.recorder.ledger.encode()))
