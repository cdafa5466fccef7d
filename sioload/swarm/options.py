"""The options that sioload adds to Locust's command line, checked while they are parsed: before any load."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sioload.durations import seconds_of
from sioload.engineio.urls import bare, parse_url
from sioload.load.phases import parse_phases
from sioload.measure.rooms import GRACE
from sioload.options import unknown
from sioload.report import capacity, drill
from sioload.report.checks import Check, checks_in, parse
from sioload.report.files import same_file
from sioload.swarm.processes import before_fork
from sioload.swarm.servers import admin_text, pattern_text, server_text, understood

#: Seconds that emits may stay open after the users are gone.
DRAIN = 5.0
#: Options that mean nothing without another one.
_NEEDED = {
    "sio_metrics_host": "sio_metrics_port",
    "sio_server_metric": "sio_server",
    "sio_trace_users": "sio_trace",
}


def add_options(parser: Any) -> None:
    """Add the `--sio-...` options to Locust's parser, its configuration files and environment variables.

    Locust sends all values to the workers, so each is a plain string, number or list. What is wrong with one
    is found by its `type` function, and argparse ends the process with exit code 2 and one line.
    """
    if parser.prog == "__main__.py":  # python -m locust, as which the commands of sioload start it
        parser.prog = "locust"
    if capacity.VARIABLE in os.environ or drill.VARIABLE in os.environ:
        parser.allow_abbrev = False  # `--use 5` would pass for none of those that their commands refuse
    locusts = parser.parse_args

    def parse_args(*args: Any, **kwargs: Any) -> Any:
        options = locusts(*args, **kwargs)
        faults = (_unknown(parser, options), _same_file(options), _stands_twice(parser), _unwritable(options))
        for fault in filter(None, (*faults, _alone(parser, options))):
            parser.error(fault)
        before_fork(options)
        return options

    parser.parse_args = parse_args
    # Options of a group never show in the web UI's form, where they would come too late.
    group = parser.add_argument_group("sioload options (Socket.IO)")

    def add(name: str, kind: Callable[[str], Any], metavar: str, help: str, **more: Any) -> None:
        env = f"LOCUST_{name.lstrip('-').replace('-', '_').upper()}"
        group.add_argument(name, type=kind, metavar=metavar, help=help, env_var=env, **more)

    add("--sio-check", check_text, "<check>",
        "Fail the run (exit code 3) unless this holds, e.g. 'CALL[/chat message]: p99 < 250ms' or "
        "'ledger: timeout == 0'. May be given several times.", action="append", default=[])  # fmt: skip
    add(
        "--sio-checks-file", checks_file, "<filename>", "TOML file with a list of such checks: checks = [...]"
    )
    add("--sio-report", writable_file, "<filename>", "Write sioload's report (JSON) to this file")
    add("--sio-junit", writable_file, "<filename>", "Write the checks' results (JUnit XML) to this file")
    add("--sio-html", writable_file, "<filename>", "Write sioload's own HTML report to this file")
    add("--sio-metrics-port", port, "<port>", "Serve Prometheus metrics on this port, at /metrics")
    text = "Address that the metrics are served on. Defaults to 127.0.0.1."
    add("--sio-metrics-host", own_host, "<address>", text)
    add("--sio-otlp", http_url, "<url>", "Send OpenTelemetry metrics to this collector (OTLP over HTTP)")
    text = "Read this server's figures beside ours: a Prometheus endpoint, e.g. api=http://127.0.0.1:3000/metrics"
    add("--sio-server", server_text, "<name=url>", f"{text}, or api=pid:4711. May be given several times.",
        action="append", default=[])  # fmt: skip
    text = "Keep these metrics of a --sio-server too, e.g. 'http_*_total'. May be given several times."
    add("--sio-server-metric", pattern_text, "<pattern>", text, action="append", default=[])
    add("--sio-admin", admin_text, "<url>",
        "Join Socket.IO's admin namespace and keep each node's figures, e.g. http://admin:secret@host/admin. "
        "May be given several times, for nodes that don't know of each other.",
        action="append", default=[])  # fmt: skip
    text = "Write sioload.hlog to here, an HdrHistogram log with a histogram for each row, told apart by tags"
    add("--sio-hlog", writable_directory, "<directory>", text)
    add(
        "--sio-trace",
        writable_file,
        "<filename>",
        "Write what the first user says and hears here (JSON lines)",
    )
    add("--sio-trace-users", users, "<n>", "How many users --sio-trace follows. Defaults to 1.")
    text = "Load over time: phases such as 'warmup: 0..200 users over 1m; peak: 500 users for 5m'"
    add(
        "--sio-phases",
        phases_text,
        "<phases>",
        f"{text} (in a .conf file write ';' without a space before it). May be given several times.",
        action="append",
    )
    text = "How long a session of phases in sessions per second lasts: 30s, or none until the script ends it"
    add("--sio-session-length", session_length, "<duration>", text)
    text = "How long sessions may go on after the last phase. Defaults to 30 s."
    add("--sio-session-drain", seconds, "<duration>", text)
    text = "How long a message may take to all of its audience (@on(..., room=)). Defaults to 5 s."
    add("--sio-grace", grace, "<duration>", text, default=GRACE)
    text = "How long emits may stay open after the users have stopped. Defaults to 5 s."
    add("--sio-drain", seconds, "<duration>", text, default=DRAIN)


def _same_file(options: Any) -> str | None:
    """Which two options name one file; None if none."""
    names = ("sio_report", "sio_junit", "sio_html", "sio_trace", "html_file", "logfile")
    paths = [("--" + n.removesuffix("_file").replace("_", "-"), getattr(options, n, None)) for n in names]
    if stem := getattr(options, "json_file", None):
        paths.append(("--json-file", f"{stem}.json"))
    return same_file(paths)


def _unwritable(options: Any) -> str | None:
    """Why Locust couldn't write a file of its own: it would end by a traceback, or find out after the run."""
    html: str = getattr(options, "html_file", None) or ""
    paths = {
        "--json-file": (getattr(options, "json_file", None), ".json"),
        "--csv": (getattr(options, "csv_prefix", None), "_stats.csv"),
        "--logfile": (getattr(options, "logfile", None), ""),
        "--html": ("" if "{" in html else html, ""),  # numbers of the run may take the place of {u}
    }
    for option, (path, ending) in paths.items():
        try:
            if path:
                writable_file(path + ending)
        except argparse.ArgumentTypeError as error:
            return f"argument {option}: {error}"
    return None


def _unknown(parser: Any, options: Any) -> str | None:
    """Which option of ours in a configuration file is none; None if all are.

    With a space in its value it is a user class to Locust.
    """
    for given in getattr(options, "user_classes", None) or []:
        if given.startswith("--sio-"):
            valid = [each[2:] for each in parser._option_string_actions if each.startswith("--sio-")]
            return f"in a configuration file: {unknown(given[2:].partition('=')[0], valid)}"
    return None


def _stands_twice(parser: Any) -> str | None:
    """Which of our options stands twice in a configuration file, where the last holds alone; None if none."""
    for source, settings in parser.get_source_to_settings_dict().items():
        path = source.partition("|")[2]
        if not os.path.isfile(path) or path.endswith(".toml"):
            continue
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        for key in settings:
            lines = re.findall(rf"^\s*{re.escape(key)}[\s:=]", text, re.MULTILINE)
            if key.lstrip("-").startswith("sio-") and len(lines) > 1:
                hint = f"give it once, several as a list: {key} = [ONE, OTHER]"
                return f"{path}: {key} stands twice, and the last would hold alone: {hint}"
    return None


def _alone(parser: Any, options: Any) -> str | None:
    """Which option stands on the command line without the one that it belongs to; None if none does.

    The environment and configuration files may have it for the runs that have the other too.
    """
    sources: dict[str, Any] = parser.get_source_to_settings_dict()
    elsewhere = {
        action.dest
        for source, settings in sources.items()
        if source != "command_line"
        for action, _ in settings.values()
        if action is not None
    }
    for name, needed in _NEEDED.items():
        given = getattr(options, name, None)
        if given in (None, []) or name in elsewhere or getattr(options, needed, None) not in (None, []):
            continue
        flag, other = (f"--{each.replace('_', '-')}" for each in (name, needed))
        value = given[0] if isinstance(given, list) else given
        return f"{flag} {value} does nothing without {other}: give that too, or leave it out"
    return None


def checks_of(options: Any) -> list[Check]:
    """All checks that the command line and the checks file ask for, in that order."""
    checks = [parse(text) for text in getattr(options, "sio_check", None) or []]
    if path := getattr(options, "sio_checks_file", None):
        checks += _checks_in(path)
    return checks


@cache
def _checks_in(path: str) -> list[Check]:
    """What a file asks for; it is read once, for it may be a pipe."""
    return checks_in(path)


def check_text(text: str) -> str:
    """A check that can be parsed, as it was given."""
    return understood(text, parse)


def phases_text(text: str) -> str:
    """Phases that can be parsed, as they were given."""
    return understood(text, parse_phases)


def session_length(text: str) -> str:
    """A duration, or `none`, as it was given."""
    if text != "none" and not seconds_of(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: give e.g. 30s or 1m30s, or none")
    return text


def checks_file(path: str) -> str:
    """The path of a TOML file whose checks can all be parsed."""
    return understood(path, _checks_in)


def writable_file(path: str) -> str:
    """A path that can be written to; its directory is made. A file that wasn't there isn't left behind."""
    if not path.strip():
        raise argparse.ArgumentTypeError("the file name is empty")
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_fifo():
            return path  # who reads it would take the end of a try for the end of all
        existed = target.exists()
        with open(target, "ab"):
            pass
        if not existed:
            target.resolve().unlink()  # what a link leads to, not the link
    except OSError as error:
        raise argparse.ArgumentTypeError(f"can't write {path}: {error.strerror}") from error
    return path


def writable_directory(path: str) -> str:
    """A directory that can be written to; it is made when it isn't there."""
    writable_file(os.path.join(path, f".sioload-{os.getpid()}") if path.strip() else path)
    return path


def http_url(text: str) -> str:
    """An http or https URL, as it was given."""
    understood(text, parse_url)
    if not text.lower().startswith("http"):
        raise argparse.ArgumentTypeError(f"{bare(text)!r} must begin with http:// or https://")
    return text


def port(text: str) -> int:
    """A TCP port, 0 for any that is free."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return int(text)


def own_host(text: str) -> str:
    """An address of this machine, or its name: one that can be looked for."""
    try:
        text.encode("idna")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: give 127.0.0.1, say") from error
    return text


def grace(text: str) -> float:
    """A duration, or a number of seconds: more than 0, up to an hour."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is no grace: give more than 0, e.g. 5s")
    return value


def users(text: str) -> int:
    """A small number of users."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of users (1 to 100)")
    return int(text)


def seconds(text: str) -> float:
    """A duration, or a number of seconds: 0 to an hour."""
    value = seconds_of(text)
    try:
        value = float(text.removesuffix("s")) if value is None else value
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time of 0 s to an hour: give e.g. 30s or 1m30s")
    return value
