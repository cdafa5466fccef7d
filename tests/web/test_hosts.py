"""What may be secret of a host is shown nowhere in the web UI, and lost nowhere."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from locust import HttpUser, task
import sioload
from locust.env import Environment
from locust import events

class Api(HttpUser):
    host = "http://ada:pw'&@127.0.0.1:1/?token=sec"+"ret"
    @task
    def nothing(self): pass

class Other(Api):
    host = "http://bob:sec"+"ret@127.0.0.1:2"

def environment(host, classes):
    env = Environment(user_classes=classes, events=events, host=host,
                      available_user_classes={cls.__name__: cls for cls in classes})
    env.create_local_runner()
    env.runner.start = lambda *_, **__: None
    env.web_ui = None
    ui = env.create_web_ui("127.0.0.1", 0, delayed_start=True)
    from sioload.web.hosts import conceal
    conceal(ui)
    return env, ui.app.test_client()

env, browser = environment(None, [Api])
page = browser.get("/").get_data(as_text=True)
assert "127.0.0.1:1/" in page and "secret" not in page and "ada" not in page, page[-3000:]
form = {"user_count": 1, "spawn_rate": 1, "host": "http://127.0.0.1:1/"}
told = browser.post("/swarm", data=form).get_data(as_text=True)
assert env.host == Api.host and "token=secret" in env.host, env.host
assert "secret" not in told and "127.0.0.1:1" in told, told
report = browser.get("/stats/report?download=1")
assert "secret" not in report.get_data(as_text=True) + report.headers["Content-Disposition"]
browser.post("/swarm", data=form | {"host": "http://127.0.0.1:3"})
assert env.host == "http://127.0.0.1:3"
browser.post("/swarm", data=form)
assert "token=secret" in env.host
assert "token=secret" in Api.host and "bob:secret@" in Other.host

env, browser = environment("http://bob:secret@127.0.0.1:2", [Api, Other])
page = browser.get("/").get_data(as_text=True)
assert "127.0.0.1:2" in page and "secret" not in page
assert env.host == "http://bob:secret@127.0.0.1:2"
"""


def test_hosts_are_concealed_where_they_are_shown_and_whole_where_they_are_used() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


OPTIONS = """
import os, sys
from locust import argument_parser
from locust.argument_parser import parse_options
defaults = argument_parser.default_args_dict()
os.environ.pop("LOCUST_WEB_HOST", None)
before = vars(parse_options(args=[]))
import sioload
from sioload import SocketIOUser
after = vars(parse_options(args=[]))
assert {name: after[name] for name in before} == before, "an option of Locust's is another"
assert argument_parser.default_args_dict() == defaults
assert argument_parser.default_args_dict() is argument_parser.default_args_dict(), "found more than once"
"""


def test_locusts_own_options_keep_their_defaults() -> None:
    """Who else reaches the web UI is Locust's affair: `--web-host` tells it, and `--help` must be right."""
    done = subprocess.run([sys.executable, "-c", OPTIONS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
