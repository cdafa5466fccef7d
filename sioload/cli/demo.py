"""`sioload demo`: the embedded target under load, in Locust's web UI."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from sioload.cli import runner
from sioload.cli.reconcile import compare
from sioload.cli.values import duration
from sioload.load.phases import UNPHASED
from sioload.plain import Json
from sioload.report.words import counted
from sioload.system import end_with_parent

#: Whole seconds between heartbeats: short, so that they show within a minute.
PING_INTERVAL = 5
#: Seconds that the target may take to end.
PATIENCE = 5.0
#: The environment variable with the path of a file that the scenario makes when its figures begin anew.
ANEW = "SIOLOAD_DEMO_ANEW"


#: What is written, by the option that asks for it.
REPORTS = {"--html": "demo-locust.html", "--sio-html": "demo.html", "--sio-report": "demo.json"}


@click.command(short_help="Start the embedded server, and load on it in Locust's web UI.")
@click.option(
    "--users", "-u", type=click.IntRange(1), default=100, show_default=True, help="Simulated users."
)
@click.option("--run-time", "-t", default="60s", show_default=True, callback=duration, help="e.g. 30s or 5m.")
@click.option("--stay", is_flag=True, help="Go on until Ctrl+C.")
@click.option("--headless", is_flag=True, help="No web UI.")
@click.option(
    "--web-port",
    type=click.IntRange(1, 65535),
    default=8089,
    show_default=True,
    help="Port of the web UI on 127.0.0.1.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Directory of the reports.",
)
def demo(users: int, run_time: str, stay: bool, headless: bool, web_port: int, out: Path) -> int:
    """Start the embedded server and put load on it, live in Locust's web UI.

    At the end the report is compared with what the server itself counted.
    """
    if not headless:
        _check_free(web_port)
    files = _reports(out)
    with _target() as url:
        args = ["--host", url, "--users", users, "--spawn-rate", max(1, users // 5), "--sio-grace", "1s"]
        args += ["--run-time", 0 if stay else run_time]  # whatever a project's locust.conf says
        if headless:
            args.append("--headless")
        else:
            args += ["--autostart", "--autoquit", 0, "--web-host", "127.0.0.1", "--web-port", web_port]
        for option, path in files.items():
            args += [option, path]
        where = "in the terminal" if headless else f"live on http://127.0.0.1:{web_port}"
        until = "until Ctrl+C" if stay else f"for {run_time}"
        click.echo(f"sioload demo: {counted(users, 'user')} on {url} {until}, {where}")
        code, anew = _run(runner.locust("demo_locustfile.py", args))
        code, reason = _judged(code, files["--sio-report"], None if anew else url)
    if files["--html"].exists():
        click.echo(f"Locust's own report: {files['--html']}")
    if code:
        click.echo(f"exit code {code}: {reason}")
    return code


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            said = f"can't be used ({error.strerror}): "
            if error.errno == errno.EADDRINUSE:
                said = "is taken, by another Locust perhaps: end that, or "
            raise click.UsageError(
                f"port {port} of 127.0.0.1 {said}choose another port with --web-port"
            ) from error


def _reports(out: Path) -> dict[str, Path]:
    """Where reports go; those of an earlier run are removed, lest they pass for this one's."""
    paths = {option: out / name for option, name in REPORTS.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in paths.values():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise click.UsageError(f"can't write to {out}: {error.strerror}; choose another --out") from error
    return paths


@contextmanager
def _target() -> Iterator[str]:
    """The embedded target in a process of its own; gives its URL."""
    argv = runner.module("sioload.target", ["--port", 0, "--ping-interval", PING_INTERVAL])
    # In a process group of its own, for Ctrl+C must not end it before the users are gone.
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=end_with_parent,
    )
    try:
        ready = re.fullmatch(
            r"listening on (http://\S+)\n", process.stdout.readline() if process.stdout else ""
        )
        if ready is None:
            raise click.ClickException("the embedded server did not start")
        yield ready[1]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()
        process.wait()


def _run(argv: list[str]) -> tuple[int, bool]:
    """Run Locust to its end; signals to this process are handed on, each once.

    Returns:
        Its exit code, and whether its figures began anew meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="sioload-") as folder:
        anew = Path(folder, "anew")
        os.environ |= {UNPHASED: "1", ANEW: str(anew)}
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=end_with_parent
        )

        def hand_on(number: int, frame: FrameType | None) -> None:
            process.send_signal(number)

        before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return process.wait(), anew.exists()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _judged(code: int, path: Path, url: str | None) -> tuple[int, str]:
    """What Locust's exit code becomes, and why it isn't 0.

    Args:
        code: Locust's.
        path: of the report.
        url: of the server, whose own counts the report has to agree with; None if they are of more runs.
    """
    if not path.exists():
        return code or 4, "Locust ended without a report"
    report = json.loads(path.read_text(encoding="utf-8"))
    if url is None:
        click.echo("not compared with the server, which counted on while the figures began anew")
    elif fault := _reconcile(report, url):
        return 4, fault
    return code, report["exit_reason"]


def _reconcile(report: Json, url: str) -> str:
    """Compare a report with the server's own counts, and tell; returns what is wrong with it."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever the shell names
    try:
        with direct.open(f"{url}/counts", timeout=10) as answer:
            compared, differences = compare(report, json.load(answer))
    except OSError as error:
        return f"the embedded server doesn't tell its counts any more ({getattr(error, 'reason', error)})"
    if not differences:
        click.echo(f"reconciled with the server: all {compared} counts agree")
        return ""
    for difference in differences:
        click.echo(f"not reconciled with the server: {difference}")
    return "the report and the server's own counts differ"
