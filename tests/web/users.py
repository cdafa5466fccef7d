"""Users of every kind of row, with names as hostile as servers' may be."""

from __future__ import annotations

import itertools
import os
import uuid
from typing import Any

import gevent
from locust import constant, events, task

from sioload import SocketIOUser, UnexpectedReply, on, stamp

#: A name that would run as a script, or as a formula, where it isn't escaped.
SCRIPT = "<script>boom()</script>"
IMAGE = "<img src=x onerror=boom()>"
FORMULA = '=1+1&"quoted"'
NAMES = int(os.environ.get("NAMES", "0"))


numbers = itertools.count()


class Caller(SocketIOUser):
    """Calls, emits, gets pushes, and fails now and then."""

    wait_time = constant(0.1)
    options = {"auth": {"token": "secret"}, "headers": {"X-Canary": "canary-header"}}

    def on_start(self) -> None:
        self.sio.connect(namespaces=["/", "/chat"])
        self.sio.call("subscribe", {"rate": 5})
        # Every other one only believes that it is in the room.
        if next(numbers) % 2:
            self.sio.call("join", {"room": IMAGE}, namespace="/chat")
        self.sio.rooms.add(IMAGE)
        self.turn = 0
        gevent.spawn(self.sio.wait_for, "never", timeout=3600)

    @task
    def talk(self) -> None:
        self.sio.call("echo", {"text": "hi"})
        self.sio.emit("echo", "no ack")
        message = {"id": uuid.uuid4().hex, "sent": stamp()}
        self.sio.call("message", message, namespace="/chat", ok=lambda reply: reply["ok"])
        message = {"id": SCRIPT + uuid.uuid4().hex, "room": IMAGE, "sent": stamp()}
        self.sio.call("message", message, namespace="/chat", ok=lambda reply: reply["ok"])
        self.turn += 1
        if self.turn % 5 == 1:
            self.sio.call("echo", 1, name=SCRIPT)
            self.sio.emit("echo", 1, name=IMAGE)
            self.sio.call("echo", 1, name=FORMULA)
            try:
                self.sio.call("echo", 1, ok=lambda reply: f"{SCRIPT} is no {reply}" == reply, name="refused")
            except UnexpectedReply:
                self.turn += 1
        for number in range(self.turn % 50, NAMES, 50):
            self.sio.emit("echo", number, name=f"event {number}" if number != 2 else "word" * 40)

    @on(
        "message",
        namespace="/chat",
        sent_at=lambda message: message["sent"],
        room=lambda message: (message.get("room", "*"), message["id"]),
    )
    def heard(self, message: Any) -> None: ...

    @on("news", sent_at=lambda news: news["sent"], delivery=lambda news: ("news", news["n"]))
    def news(self, news: Any) -> None: ...


if os.environ.get("TURNS"):
    from flask import Response, g
    from gevent.hub import get_hub

    turns = 0

    def turn() -> None:
        global turns
        turns += 1

    @events.init.add_listener
    def count(environment: Any, **_: Any) -> None:
        """Each answer tells in its header how often the event loop went round meanwhile."""
        watcher: Any = get_hub().loop.prepare()
        watcher.start(turn)
        app = environment.web_ui.app

        def told(response: Response) -> Response:
            response.headers["X-Turns"] = str(turns - g.turns)
            return response

        app.before_request(lambda: setattr(g, "turns", turns))
        app.after_request(told)


if os.environ.get("RESTLESS"):

    class Restless(SocketIOUser):
        """Is thrown out by the server, again and again, and raises."""

        wait_time = constant(1)

        @task
        def visit(self) -> None:
            self.sio.emit("kick")
            raise LookupError("a task's own fault")


if os.environ.get("LOGIN"):
    from flask import redirect, request
    from flask_login import UserMixin, login_user

    class Visitor(UserMixin):
        def get_id(self) -> str:
            return "ann"

    @events.init.add_listener
    def login(environment: Any, **_: Any) -> None:
        ui = environment.web_ui
        if ui is None:
            return
        base = environment.parsed_options.web_base_path or ""
        ui.app.config["SECRET_KEY"] = "only for tests"
        ui.login_manager.user_loader(lambda name: Visitor())
        ui.auth_args = {"username_password_callback": f"{base}/enter"}

        @ui.app.route(f"{base}/enter", methods=["POST"])
        def enter() -> Any:
            if request.form.get("password") == "right":
                login_user(Visitor())
            return redirect(f"{base}/")
