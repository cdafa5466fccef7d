"""Connects once for each of the options in the first argument (JSON), and prints what came of it."""

from __future__ import annotations

import gevent.monkey

gevent.monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

from sioload import ConnectError, SocketIOClient  # noqa: E402

for url, options in json.loads(sys.argv[1]):
    client = SocketIOClient(options={"reconnection": False, **options}, url=url)
    try:
        client.connect()
        answer = client.call("echo", "x", timeout=5)
        while len(options["transports"]) > 1 and client.transport != "websocket":
            client.sleep(0.01)
        print(json.dumps(f"{client.transport}: {answer}"))
        client.disconnect()
    except ConnectError as error:
        print(json.dumps(str(error)))
