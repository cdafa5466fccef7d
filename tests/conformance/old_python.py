"""One user of gevent-socketio: python old_python.py URL VERSION TRANSPORTS; prints what came of it."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402

url, version, transports = sys.argv[1:]
fleet = Fleet()
options = {
    "version": version if version == "auto" else int(version),
    "transports": transports.split(","),
    "connect_timeout": 10.0,
    "reconnection": False,
}
sio = SocketIOClient(fleet, options, url=url)
sio.connect(namespaces=["/", "/chat"])
root = sio.call("echo", "€😀é")
chat = sio.call("echo", (1, {"a": None}), namespace="/chat")
with sio.expect("echo", timeout=5) as echoed:
    sio.emit("echo", "unasked")
gevent.sleep(2.5)  # its heartbeat comes each 2 s
later = [sio.call("echo", number) for number in range(20)]
sio.disconnect()
failures = {
    f"{kind} {name}": row.totals().errors
    for (kind, name), row in fleet.recorder.rows.items()
    if row.totals().failures
}
rows = {name: row.totals().count for (kind, name), row in fleet.recorder.rows.items() if kind == "OPEN"}
found = {
    "root": root,
    "chat": chat,
    "later": later,
    "echoed": echoed.args,
    "failures": failures,
    "rows": rows,
}
print(json.dumps(found))
