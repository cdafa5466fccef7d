"""`sioload doctor`: examine a server before putting load on it."""

from __future__ import annotations

import importlib
import json
from typing import Any

import click

from sioload.cli import values
from sioload.options import Options
from sioload.plain import Json
from sioload.report.transcript import sentence
from sioload.report.words import counted


@click.command(short_help="Tell what a Socket.IO server speaks, and what is wrong.")
@click.argument("url", callback=values.server_url)
@click.option("--path", default="/socket.io/", show_default=True, help="The engine's path.")
@click.option("--namespace", default="/", show_default=True, help="The namespace to join.")
@click.option(
    "--auth", default=None, callback=values.json_value, help="Auth payload of the CONNECT packet, JSON."
)
@click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    callback=values.headers,
    help="An HTTP header, as 'Name: value'.",
)
@click.option("--proxy", default=None, metavar="URL", help="An HTTP proxy: http://[user:password@]host:port.")
@click.option("--ca-file", default=None, help="Certificates to trust (PEM).")
@click.option("--no-verify", is_flag=True, help="Don't verify the server's certificate.")
@click.option(
    "--transports",
    default="polling,websocket",
    show_default=True,
    metavar="LIST",
    callback=values.names,
    help="What the load test will use: without polling, no sticky sessions are needed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the diagnosis as JSON.")
def doctor(
    url: str,
    path: str,
    namespace: str,
    auth: Json,
    headers: dict[str, str],
    proxy: str | None,
    ca_file: str | None,
    no_verify: bool,
    transports: list[str],
    as_json: bool,
) -> int:
    """Tell what the Socket.IO server at URL speaks, what works, what doesn't and how to mend it.

    Exit code 0 when a load test can run, 1 when not.
    """
    options = Options(auth=auth, headers=headers, ca_file=ca_file, tls_verify=not no_verify, proxy=proxy,
                      transports=tuple(transports))  # fmt: skip
    importlib.import_module("locust")  # its monkey patch lets the examination use the event loop
    examination: Any = importlib.import_module("sioload.doctor").Examination(url, path, options, namespace)
    diagnosis = examination.run()
    click.echo(json.dumps(diagnosis.as_dict(), indent=1) if as_json else _text(diagnosis))
    return 0 if diagnosis.ready else 1


def _text(found: Any) -> str:
    """The diagnosis for a terminal of 80 columns."""
    lines = [found.url, ""]
    if found.socket_io is not None:
        engine = f" (Engine.IO {found.engine_io})" if found.engine_io else ""
        lines.append(_row("speaks", f"Socket.IO {found.socket_io}{engine}"))
        if found.allows_eio3:
            lines.append(_row("", "and Engine.IO 3 (allowEIO3), for clients of 2.x"))
    for name, state in found.transports.items():
        lines.append(_row(name, state))
    if found.upgrade is not None:
        lines.append(_row("upgrade", found.upgrade))
    if found.ping_interval_s is not None:
        lines.append(
            _row("heartbeat", f"every {found.ping_interval_s:g} s, {found.ping_timeout_s:g} s to answer")
        )
    if found.max_payload is not None:
        lines.append(_row("maxPayload", f"{found.max_payload:,} bytes"))
    if found.nodes is not None:
        lines.append(_row("nodes", found.nodes))
    if found.timings_ms:
        lines.append(_row("times", ", ".join(f"{name} {ms:.1f} ms" for name, ms in found.timings_ms.items())))
    if found.users_fit is not None:
        limit = f"{found.descriptors} descriptors" if found.descriptors is not None else "no descriptor limit"
        ports = f", {found.ports} local ports" if found.ports is not None else ""
        users = counted(found.users_fit, "user", ",")
        lines.append(_row("fits here", f"{users} in one process ({limit}{ports})"))
    for fault in found.faults:
        lines += ["", _row("FAULT" if fault.fatal else "note", fault.fault), _row("remedy", fault.remedy)]
    lines += ["", "A load test can run." if found.ready else "A load test can't run yet."]
    lines.append("sioload try URL (or a locustfile) shows every packet of one user.")
    return "\n".join(lines)


def _row(name: str, text: str) -> str:
    return sentence(f"{name:<12}", text)
