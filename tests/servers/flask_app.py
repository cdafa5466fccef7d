"""Flask-SocketIO in threads, with sessions and events as its documentation writes them: python flask_app.py

It prints `listening PORT`. GET /login has a form with a CSRF token; POST /login sets the session cookie with
the redirect that follows. `/` refuses who has no session with a reason, `/quiet` without. GET /counts:
`{"sessions", "people": {user: {"connects", "disconnects", "messages", "transport"}}, "refused": {...}}`.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from flask import Flask, abort, redirect, render_template_string, request, session
from flask_socketio import ConnectionRefusedError, SocketIO
from werkzeug.serving import make_server

FORM = '<form method="post"><input type="hidden" name="csrf" value="{{ csrf }}"><input name="user"></form>'

app = Flask(__name__)
app.secret_key = secrets.token_bytes(16)
io = SocketIO(app, async_mode="threading")
counts: dict[str, Any] = {}


def reset() -> None:
    """Count from zero."""
    counts.update(sessions=0, people={}, refused={"/": 0, "/quiet": 0})


def mine() -> dict[str, Any]:
    """The counts of the session's user."""
    fresh = {"connects": 0, "disconnects": 0, "messages": 0, "transport": None}
    person: dict[str, Any] = counts["people"].setdefault(session["user"], fresh)
    return person


@app.get("/login")
def form() -> str:
    session["csrf"] = secrets.token_hex(8)
    return render_template_string(FORM, csrf=session["csrf"])


@app.post("/login")
def login() -> Any:
    if request.form.get("csrf") != session.pop("csrf", secrets):
        abort(403)
    session["user"] = request.form["user"]
    return redirect("/", 303)


@app.get("/")
def home() -> str:
    return f"Hello {session['user']}" if "user" in session else abort(401)


@app.get("/counts")
def show() -> dict[str, Any]:
    return counts


@app.post("/reset")
def forget() -> dict[str, Any]:
    reset()
    return {}


@io.on("connect")
def connect(auth: Any = None) -> None:
    if "user" not in session:
        counts["refused"]["/"] += 1
        raise ConnectionRefusedError("log in first")
    mine()["connects"] += 1


@io.on("connect", namespace="/quiet")
def connect_quietly(auth: Any = None) -> bool:
    counts["refused"]["/quiet"] += "user" not in session
    return "user" in session


@io.on("disconnect")
def disconnect(reason: str) -> None:
    mine()["disconnects"] += 1


@io.on("message")
def message(data: Any) -> dict[str, Any]:
    mine()["messages"] += 1
    mine()["transport"] = io.server.transport(request.sid)
    return {"from": session["user"], "text": data["text"]}


@io.on("whoami")
def whoami() -> Any:
    return session["user"]


@io.on("crash")
def crash() -> None:
    raise RuntimeError("the handler's own fault")


@io.on("crash", namespace="/quiet")
def crash_quietly() -> None:
    raise RuntimeError("the handler's own fault")


@io.on_error("/quiet")
def told(error: Exception) -> dict[str, str]:
    return {"error": str(error)}


def counted(environ: dict[str, Any], start: Any) -> Any:
    """The application, and how many sessions its clients ask for."""
    counts["sessions"] += environ["PATH_INFO"] == "/socket.io/" and "sid=" not in environ["QUERY_STRING"]
    return app(environ, start)


reset()
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, counted, threaded=True)
print("listening", server.server_port, flush=True)
server.serve_forever()
