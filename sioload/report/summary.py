"""The report of a run as text: the summary in the terminal."""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TextIO

from sioload.measure.health import LIMITED, UNJUDGED
from sioload.measure.ledger import OUTCOMES
from sioload.plain import Json
from sioload.report import drill
from sioload.report.document import UNSEEN, UNVERIFIED, unverified
from sioload.report.servers import summary
from sioload.report.words import counted, ms

#: Colours of a terminal.
RED, GREEN, YELLOW, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
_HEAD: Final = ("type", "name", "count", "fails", "/s", "p50 ms", "p99 ms", "max ms")
_SHOWN_ERRORS: Final = 10
#: In place of the second column of a wide character.
_SECOND: Final = "\0"


def coloured(out: TextIO | None) -> bool:
    """Whether what is written there has colours: it is a terminal, and NO_COLOR isn't set."""
    return out is not None and out.isatty() and not os.environ.get("NO_COLOR")


def lenient(out: TextIO | None) -> None:
    """From now on a character that an output's encoding hasn't got is a question mark, and no error."""
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")


def print_to(out: TextIO | None, text: str) -> None:
    """Print, with a question mark for what can't be: bytes of the command line, or Japanese in a Latin 1.

    Nobody may be there to read it: it was closed before this process began (None), or since.
    """
    if out is None:
        return
    encoding = out.encoding or "utf-8"
    with contextlib.suppress(OSError):
        print(text.encode(encoding, "replace").decode(encoding), end="", file=out, flush=True)


def summary_text(
    report: Mapping[str, Json], width: int = 80, colour: bool = False, files: Sequence[str] = ()
) -> str:
    """The report as text for a terminal.

    Args:
        report: as `report` makes it.
        width: columns of the terminal.
        colour: with ANSI colours.
        files: lines that name what was written; the very last one is the exit code and why.
    """
    lines = [f"sioload: {ran(report)}"]
    if told := users_text(report["users"]):
        lines += textwrap.wrap(told, width)
    # A search passed through many loads, so that figures of all of it together say nothing.
    searched = "capacity" in report
    if not searched:
        lines += ["", *_table(report["events"], width)]
        for event in report["events"]:
            for text in _notes(event):
                lines += wrapped("", f"{event['type']} {event['name']}: {text}", width)
    lines += _phases(report["phases"], width)
    for told in drill.lines(report.get("drill", ())):
        lines += ["", *_labelled("drill", told, width)]
    lines += _errors(report["events"], width)
    lines += _raised(report["exceptions"], width)
    lines.append("")
    lines += _labelled("ledger", _ledger_text(report["ledger"], final=report.get("final", True)), width)
    closed = ", ".join(f"{n} {reason}" for reason, n in report["connections"]["closed"].items())
    opened = "{opened} opened, {upgraded} upgraded".format(**report["connections"])
    lines += _labelled("connections", opened + (f"; closed: {closed}" if closed else ""), width)
    for counts in report["delivery"]:
        lines += _labelled("delivery", _delivery_text(counts), width)
    if report["delivery"]:
        lines += _labelled("", UNSEEN, width)
    for heard in report.get("audience", ()):
        lines += _audience_lines(heard, width)
    for feed in report.get("feeds", ()):
        lines += _feed_lines(feed, width)
    for text in summary(report.get("server", ())):
        lines += _labelled("server", text, width)
    health = {**report["health"], "reasons": []} if searched else report["health"]  # each level has its own
    lines += _health_lines(health, width, colour)
    if report["checks"]:
        lines += ["", "checks"]
        for check in report["checks"]:
            lines += _check_lines(check, width, colour)
    if searched:
        lines += ["", *_labelled("capacity", report["capacity"]["summary"], width)]
    lines += ["", *_end_lines(report, width, colour, files)]
    return "\n".join(lines) + "\n"


def _notes(event: Mapping[str, Json]) -> Iterator[str]:
    """What is told of a row beside the table."""
    if event["service_ms"] is not None:
        yield f"service p99 {ms(event['service_ms']['p99'])} ms"
    if event.get("clock_error_ms"):
        yield f"clocks agree within {ms(event['clock_error_ms'])} ms"
    if event["skipped"]:
        yield f"{counted(event['skipped'], 'start')} skipped"
    if event["unfinished"]:
        yield f"{event['unfinished']} unfinished (ended with their user)"


def ran(report: Mapping[str, Json]) -> str:
    """On which server, if users have one in common, with how many of them, and for how long a run went on."""
    host = f"{report['host']}, " if report["host"] else ""
    early = f", {told}" if (told := ended_early(report)) else ""
    return f"{host}{counted(report['users']['peak'], 'user')}, {report['duration_s']:.1f} s{early}"


def ended_early(report: Mapping[str, Json]) -> str:
    """That a signal ended the run before its time; "" if none did."""
    return f"ended early by {report['ended_by']}" if report.get("ended_by") else ""


def _table(events: Sequence[Mapping[str, Json]], width: int) -> list[str]:
    rows = [_HEAD]
    for event in events:
        latency = event["latency_ms"] or {}
        times = [ms(latency.get(stat)) for stat in ("p50", "p99", "max")]
        counts = (str(event["count"]), str(event["failures"]), f"{event['rate']:.1f}")
        rows.append((event["type"], event["name"], *counts, *times))
    return _columned(rows, 1, width)


def _columned(rows: Sequence[Sequence[str]], wide: int, width: int) -> list[str]:
    """A table with its head: columns up to `wide` are text, whose last is cut into pieces if need be."""
    widths = [max(columns_of(row[i]) for row in rows) for i in range(len(rows[0]))]
    room = width - sum(widths) + widths[wide] - 2 * (len(widths) - 1)
    widths[wide] = max(8, min(widths[wide], room))
    lines = []
    for row in rows:
        name, *more = pieces(row[wide], widths[wide])
        texts = [*row[:wide], name]
        cells = [_fit(text, columns) for text, columns in zip(texts, widths, strict=False)]
        cells += [row[i].rjust(widths[i]) for i in range(wide + 1, len(row))]
        lines.append("  ".join(cells))
        indent = " " * sum(columns + 2 for columns in widths[:wide])
        lines += [indent + piece for piece in more]
    lines.insert(1, "-" * columns_of(lines[0]))
    return lines


def _phases(phases: Sequence[Mapping[str, Json]], width: int) -> list[str]:
    if not phases:
        return []
    rows = [("phase", "from", "to s", "users", "calls", "/s", "p50 ms", "p99 ms", "fails")]
    for phase in phases:
        calls, users = phase["calls"], phase["users"]
        latency = calls["latency_ms"] or {}
        load = f"{users['start']}..{users['end']}" if users["start"] != users["end"] else str(users["end"])
        span = (f"{phase['start_s']:.0f}", f"{phase['end_s']:.0f}", load)
        counts = (str(calls["count"]), f"{calls['rate']:.1f}")
        times = (ms(latency.get("p50")), ms(latency.get("p99")))
        rows.append((phase["name"], *span, *counts, *times, str(phase["failures"])))
    return ["", *_columned(rows, 0, width)]


def _errors(events: Sequence[Mapping[str, Json]], width: int) -> list[str]:
    found = [(n, text, event) for event in events for text, n in event["errors"].items()]
    if not found:
        return []
    found.sort(key=lambda error: -error[0])
    lines = ["", "failures"]
    for n, text, event in found[:_SHOWN_ERRORS]:
        lines += wrapped(f"{n:>8}  ", f"{event['type']} {event['name']}: {text}", width)
        if note := event["first"].get(text):
            lines += wrapped(" " * 10, f"the first at {note}", width)
    if len(found) > _SHOWN_ERRORS:
        lines.append(f"{'':8}  and {counted(len(found) - _SHOWN_ERRORS, 'more kind')}, in the report")
    return lines


def _raised(exceptions: Sequence[Mapping[str, Json]], width: int) -> list[str]:
    lines = ["", "exceptions"] if exceptions else []
    for raised in exceptions[:_SHOWN_ERRORS]:
        text = f"{raised['kind']}: {raised['message']}" if raised["message"] else raised["kind"]
        lines += wrapped(f"{raised['count']:>8}  ", f"{text} ({raised['place']})", width)
    if len(exceptions) > _SHOWN_ERRORS:
        lines.append(f"{'':8}  and {counted(len(exceptions) - _SHOWN_ERRORS, 'more kind')}, in the report")
    return lines


def users_text(users: Mapping[str, int], *, final: bool = True) -> str:
    """What became of users, if that isn't that all of them ran to the end; before it some may still come."""
    parts = []
    if final and users["peak"] < users["asked"]:
        parts.append(f"{counted(users['asked'], 'user')} asked for, {users['peak']} ran")
    if users["ended"]:
        parts.append(f"{users['ended']} died (an exception, no connection, no row)")
    if users["left"]:
        parts.append(f"{users['left']} left by themselves (StopUser)")
    return "; ".join(parts)


def _delivery_text(counts: Mapping[str, Json]) -> str:
    return (
        "{name}: {received} of {expected} received, {lost} lost, {duplicated} duplicated, "
        "{reordered} reordered, {reconnect_gaps} missed while reconnecting; "
        "{receivers} fell silent behind others"
    ).format(**counts, receivers=counted(counts["behind"], "receiver"))


def _audience_lines(heard: Mapping[str, Json], width: int) -> list[str]:
    parts = [
        counted(heard["messages"], "message"),
        f"{heard['reached']} of {heard['owed']} reached",
        f"{heard['missed']} missed",
        counted(heard["strays"], "stray"),
        counted(heard["duplicates"], "duplicate"),
        f"{heard['late']} late",
        f"{heard['unjudged']} not judged",
    ]
    text = f"{heard['name']}: {', '.join(parts)}"
    if heard["spread_ms"] is not None:
        text += f"; first to last arrival p99 {ms(heard['spread_ms']['p99'])} ms"
    if heard["strays"] and not heard["owed"]:
        text += "; nobody was known to be in these rooms: scripts say it with self.sio.rooms.add(room)"
    if heard["share"] < 1:
        text += f"; of one message in {round(1 / heard['share'])}"
    lines = _labelled("audience", text, width)
    for worst in heard["worst"]:
        lost = f"{worst['missed']} of {worst['of']} missed {worst['id']} in {worst['room']}"
        lines += _labelled("", lost, width)
    return lines


def _feed_lines(feed: Mapping[str, Json], width: int) -> list[str]:
    used = f"taken {counted(feed['taken'], 'time')}, {feed['most_held']} held at a time"
    lines = _labelled("feed", f"{feed['name']}: {counted(feed['rows'], 'row')}, {used}", width)
    for twice in feed["held_twice"]:
        text = (
            f"{counted(twice['rows'], 'row')} may have been held twice from {twice['from_s']:.1f} s to "
            f"{twice['to_s']:.1f} s: worker {twice['worker']} was silent and came back"
        )
        lines += _labelled("", text, width)
    return lines


def _ledger_text(ledger: Mapping[str, int], *, final: bool) -> str:
    parts = ", ".join(f"{ledger[name]} {name}" for name in OUTCOMES)
    late = f", {counted(ledger['late_acks'], 'late ack')}" if ledger["late_acks"] else ""
    verdict = "it balances" if ledger["open"] == 0 else f"{ledger['open']} open: IT DOESN'T BALANCE"
    if ledger["open"] > 0 and not final:
        verdict = f"{ledger['open']} open, as the run goes on"
    return f"{counted(ledger['emits'], 'emit')}: {parts}{late}; {verdict}"


def _health_lines(health: Mapping[str, Json], width: int, colour: bool) -> list[str]:
    figures = (
        f"CPU up to {health['cpu_peak']:.0%} of a core, own lag p99 {ms(health['own_lag_p99_ms'])} ms, "
        f"machine lag p99 {ms(health['machine_lag_p99_ms'])} ms"
    )
    judged = health["verdict"] != UNJUDGED
    lines = _labelled("health", f"{health['verdict']}: {figures}" if judged else UNJUDGED, width)
    for reason in health["reasons"]:
        lines += _labelled("", reason, width)
    if colour and health["verdict"] == LIMITED:
        lines[0] = RED + lines[0] + PLAIN
    return lines


def _check_lines(check: Mapping[str, Json], width: int, colour: bool) -> list[str]:
    word = "ok" if check["ok"] else "warn" if check["warn"] else "FAIL"
    measured = check["value"] if check["ok"] else check["reason"]
    return judged(word, f"{check['check']}  ({measured})", width, colour)


def judged(word: str, text: str, width: int, colour: bool) -> list[str]:
    """What was judged, behind its verdict: `ok`, `warn` or `FAIL`."""
    lines = wrapped(f"{word:<6}", text, width)
    if colour:
        paint = {"ok": GREEN, "warn": YELLOW, "FAIL": RED}[word]
        lines[0] = paint + word + PLAIN + lines[0][len(word) :]
    return lines


def _end_lines(report: Mapping[str, Json], width: int, colour: bool, files: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for reason in report["untrusted"]:
        lines += _labelled("UNTRUSTED", reason, width)
    if unverified(report):
        lines.append(UNVERIFIED)
    lines += files
    why = f": {' '.join(report['exit_reason'].split())}" if report["exit_reason"] else ""
    lines.append(
        f"exit code {report['exit_code']}{why}"
    )  # in one line, whatever its length: CI shows the last
    if colour:
        lines[-1] = (RED if report["exit_code"] else GREEN) + lines[-1] + PLAIN
    return lines


def _labelled(label: str, text: str, width: int) -> list[str]:
    return wrapped(f"{label:<13}", text, width)


class _Wrapper(textwrap.TextWrapper):
    """Breaks a word that is longer than a line, but no wide character."""

    def _handle_long_word(
        self, reversed_chunks: list[str], cur_line: list[str], cur_len: int, width: int
    ) -> None:
        word, end = reversed_chunks[-1], width - cur_len
        end -= word[end : end + 1] == _SECOND
        cur_line.append(word[:end])
        reversed_chunks[-1] = word[end:]


def wrapped(head: str, text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; those after the first are indented as far as the text is."""
    indent = " " * len(head)
    # It counts characters, so there is one more behind each that is wide.
    text = "".join(c + _SECOND * (columns_of(c) - 1) for c in text)
    wrapper = _Wrapper(max(width, 40), initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(_SECOND, "") for line in wrapper.wrap(text)]


def columns_of(text: str) -> int:
    """Terminal columns that a text takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def pieces(text: str, width: int) -> list[str]:
    """A text in pieces of at most `width` columns."""
    if text.isascii():
        return [text[at : at + width] for at in range(0, max(1, len(text)), width)]
    found, used = [""], 0
    for character in text:
        columns = columns_of(character)
        if used + columns > width:
            found.append("")
            used = 0
        found[-1] += character
        used += columns
    return found


def _fit(text: str, width: int) -> str:
    return text + " " * (width - columns_of(text))
