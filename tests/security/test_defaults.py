"""Unless told otherwise, certificates are verified and nothing listens beyond loopback."""

from __future__ import annotations

import ast
import inspect
import json
import ssl
import time
from pathlib import Path

import psutil
import pytest
import serverkit
import trustme

import sioload.options
from sioload.options import Options

SPY = Path(__file__).with_name("spy.py")
PACKAGE = serverkit.ROOT / "sioload"
LOOPBACK = {"127.0.0.1", "::1"}


def listening(process: serverkit.Process, at_least: int) -> set[str]:
    """The addresses that a process and its children listen on, once there are so many."""
    deadline = time.monotonic() + 20
    while True:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        found = {
            (connection.laddr.ip, connection.laddr.port)
            for member in family
            for connection in member.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        if len(found) >= at_least:
            return {address for address, _ in found}
        assert time.monotonic() < deadline, f"{found}\n{process}"
        time.sleep(0.1)


def test_the_target_listens_on_loopback() -> None:
    with serverkit.Process(serverkit.sioload(["target", "--port", "0"])) as process:
        process.wait_for("listening", 20)
        assert listening(process, 1) <= LOOPBACK


def test_the_demo_and_its_web_ui_listen_on_loopback(tmp_path: Path) -> None:
    args = [
        "demo",
        "--users",
        "2",
        "--run-time",
        "30s",
        "--web-port",
        str(serverkit.free_port()),
        "--out",
        "out",
    ]
    with serverkit.Process(serverkit.sioload(args), cwd=tmp_path) as process:
        assert listening(process, 2) <= LOOPBACK


def test_metrics_of_a_plain_locustfile_listen_on_loopback(tmp_path: Path) -> None:
    args = [
        "-f",
        SPY,
        "--web-host",
        "127.0.0.1",
        "--web-port",
        str(serverkit.free_port()),
        "--sio-metrics-port",
        str(serverkit.free_port()),
    ]
    env = {"CANARY": "x", "TRANSPORTS": "websocket"}
    with serverkit.Process(serverkit.locust(args), cwd=tmp_path, env=env) as process:
        assert listening(process, 2) <= LOOPBACK


def test_certificates_are_verified() -> None:
    """The option's default; that nothing else in the program switches it off; what the context then says."""
    assert Options().tls_verify is True
    assert inspect.signature(Options).parameters["tls_verify"].default is True
    switched = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            if name in ("CERT_NONE", "_create_unverified_context", "check_hostname"):
                switched.append(f"{path.relative_to(PACKAGE)}:{name}")
    assert sorted(switched) == ["net/tls.py:CERT_NONE", "net/tls.py:check_hostname"]
    from sioload.net.tls import tls_context

    sound, weak = tls_context(Options()), tls_context(Options(tls_verify=False))
    assert (sound.verify_mode, sound.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (weak.verify_mode, weak.check_hostname) == (ssl.CERT_NONE, False)
    assert sound.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("name", ["tls_verify", "ssl_verify"])
def test_a_run_without_verification_says_so(tmp_path: Path, target: serverkit.Server, name: str) -> None:
    """Also by the name that the option has in python-socketio."""
    script = tmp_path / "careless.py"
    script.write_text(
        "from locust import task, constant\n"
        "from sioload import SocketIOUser\n"
        "class Careless(SocketIOUser):\n"
        "    wait_time = constant(0.1)\n"
        f"    options = {{'version': 4, 'transports': ['websocket'], {name!r}: False}}\n"
        "    @task\n"
        "    def talk(self):\n"
        "        self.sio.call('echo', 1)\n"
    )
    files = ["--sio-report", tmp_path / "report.json", "--sio-html", tmp_path / "own.html",
             "--sio-junit", tmp_path / "junit.xml", "--sio-hlog", tmp_path / "hlog",
             "--html", tmp_path / "locust.html"]  # fmt: skip
    args = ["-f", script, "--host", target.url, "-u", "2", "-t", "2s", "--headless", "--only-summary", *files]
    steps = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    run = serverkit.run_locust(args, env=steps)
    assert run.code == 0, run.text
    assert json.loads((tmp_path / "report.json").read_text())["settings"] == {"tls_verify": False}
    said = "TLS certificates were not verified"
    assert said in run.out and f"::warning title=sioload::{said}" in run.out
    for name in ("junit.xml", "hlog/sioload.hlog", "locust.html", "summary.md"):
        assert said in (tmp_path / name).read_text(), name
    page = (tmp_path / "own.html").read_text()
    assert "not verified" in page and "tls_verify False" in page


@pytest.mark.parametrize("processes", [[], ["--processes", "2"]], ids=["alone", "workers"])
def test_so_does_one_whose_scripts_further_connections_are_not_verified(
    tmp_path: Path, processes: list[str]
) -> None:
    pem = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    (tmp_path / "locustfile.py").write_text(
        "from locust import task, constant\n"
        "from sioload import SocketIOUser\n"
        "class Careless(SocketIOUser):\n"
        "    wait_time = constant(0.2)\n"
        "    def on_start(self):\n"
        "        self.sio = self.another_client(options={'tls_verify': False})\n"
        "        self.sio.connect()\n"
        "    @task\n"
        "    def talk(self): self.sio.call('echo', 1)\n"
    )
    files = ["--sio-report", "report.json", "--html", "locust.html"]
    load = ["-u", "2", "-r", "2", "-t", "3s", "--headless", *processes]
    with serverkit.running("sio4", "--cert", str(pem), "--key", str(pem)) as server:
        run = serverkit.run_locust(["--host", server.url, *load, *files], cwd=tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["settings"] == {"tls_verify": False}, run.text
    assert "TLS certificates were not verified" in run.out
    assert "TLS certificates were not verified" in (tmp_path / "locust.html").read_text()


def test_users_without_options_have_settings_too(tmp_path: Path, target: serverkit.Server) -> None:
    """And users of another kind, whose `options` are something else."""
    (tmp_path / "locustfile.py").write_text(
        "from locust import User, task, constant\n"
        "from sioload import SocketIOUser\n"
        "class Plain(SocketIOUser):\n"
        "    wait_time = constant(0.1)\n"
        "    options = None\n"
        "    @task\n"
        "    def talk(self):\n"
        "        self.sio.call('echo', 1)\n"
        "class Other(User):\n"
        "    wait_time = constant(1)\n"
        "    options = 5\n"
        "    @task\n"
        "    def idle(self): ...\n"
    )
    args = ["--host", target.url, "-u", "2", "-r", "2", "-t", "2s", "--headless", "--sio-html", "own.html"]
    run = serverkit.run_locust(args, cwd=tmp_path)
    assert run.code == 0, run.text
    page = (tmp_path / "own.html").read_text()
    assert page.count("default options") == 2, page[:2000]


@pytest.mark.parametrize("value", ["no", 0, None])
def test_verification_is_not_switched_off_by_accident(value: object) -> None:
    with pytest.raises(sioload.options.OptionError, match="tls_verify must be True or False"):
        Options(tls_verify=value)  # type: ignore[arg-type]
