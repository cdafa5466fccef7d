"""The proxies that stand before real servers, as child processes with configurations of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import serverkit

NGINX = """
pid {home}/pid; error_log stderr; worker_processes 1; daemon off; {user}
events {{ worker_connections 2048; }}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{ listen 127.0.0.1:{port}; {lines} }}
}}
"""
PASS = (
    "location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_read_timeout 60s;"
    " proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;"
    " proxy_set_header Connection $connection_upgrade; }}"
)
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
{defaults}
frontend front
  bind 127.0.0.1:{port}
  default_backend nodes
backend nodes
{backend}
"""


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        serverkit.missing(name, f"Debian: apt-get install {name}")
    return path


def _listening(port: int, process: serverkit.Process) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.popen.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"no proxy listens: {process}")


@contextlib.contextmanager
def nginx(lines: str) -> Iterator[str]:
    """The URL of an nginx with these lines in its server block."""
    with tempfile.TemporaryDirectory() as home:
        port, conf = serverkit.free_port(), Path(home, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        conf.write_text(NGINX.format(home=home, port=port, lines=lines, user=user))
        with serverkit.Process([_program("nginx"), "-c", conf, "-e", "stderr"]) as process:
            _listening(port, process)
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def haproxy(defaults: str, backend: str) -> Iterator[str]:
    """The URL of an HAProxy with these lines."""
    with tempfile.TemporaryDirectory() as home:
        port, conf = serverkit.free_port(), Path(home, "haproxy.cfg")
        conf.write_text(HAPROXY.format(port=port, defaults=defaults, backend=backend))
        with serverkit.Process([_program("haproxy"), "-db", "-f", conf]) as process:
            _listening(port, process)
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def tinyproxy(lines: str = "") -> Iterator[str]:
    """Host and port of a forward proxy with these lines."""
    with tempfile.TemporaryDirectory() as home:
        port, conf = serverkit.free_port(), Path(home, "tinyproxy.conf")
        conf.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\n{lines}\n")
        with serverkit.Process([_program("tinyproxy"), "-d", "-c", conf]) as process:
            _listening(port, process)
            yield f"127.0.0.1:{port}"
