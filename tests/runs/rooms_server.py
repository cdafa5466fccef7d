"""A chat server with rooms, as load tests written for Locust's own Socket.IO user expect one.

usage: python rooms_server.py
"""

import gevent.monkey

gevent.monkey.patch_all()

import collections  # noqa: E402
import json  # noqa: E402

import socketio  # noqa: E402
from gevent import pywsgi  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

sio = socketio.Server(async_mode="gevent")
received = collections.Counter()


def counts(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(received).encode()]


@sio.event
def join_room(sid, data):
    received["join_room"] += 1
    sio.enter_room(sid, data["room"])
    sio.emit("room_joined", f"someone joined {data['room']}", room=data["room"])
    return "joined"


@sio.event
def leave_room(sid, data):
    received["leave_room"] += 1
    sio.leave_room(sid, data["room"])
    return "left"


@sio.event
def send_message(sid, data):
    received["send_message"] += 1
    sio.emit("chat_message", data["message"], room=data["room"])


app = socketio.WSGIApp(sio, counts)
server = pywsgi.WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None)
server.start()
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
