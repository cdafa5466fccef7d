"""What a run leaves behind: reports in files, notes for CI, the summary in the terminal."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import gevent
import locust.html
import locust.stats

from sioload.measure.hlog import hlog
from sioload.measure.merge import Figures
from sioload.measure.outputs import github_lines, junit_xml, markdown
from sioload.measure.report import summary_text

logger = logging.getLogger(__name__)

#: Makes files, as `path -> text`, from a run's report and figures.
Maker = Callable[[Mapping[str, Any], Figures], Mapping[str, str]]


def write(
    options: Any, report: Mapping[str, Any], figures: Figures, started: float, makers: Iterable[Maker] = ()
) -> list[str]:
    """Write the files that were asked for; returns which could not be written, and why."""
    files: dict[str, str] = {}
    if path := getattr(options, "sio_report", None):
        files[path] = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    if path := getattr(options, "sio_junit", None):
        files[path] = junit_xml(report)
    if folder := getattr(options, "sio_hlog", None):
        text = hlog(figures.rows, started=started, duration=report["duration_s"])
        files[os.path.join(folder, "sioload.hlog")] = text
    faults = []
    for make in makers:
        try:
            files.update(make(report, figures))
        except Exception as error:
            logger.exception("sioload: internal error in %s", make.__name__)
            faults.append(f"{make.__name__}: {type(error).__name__}: {error}")
    return faults + [fault for path, text in files.items() if (fault := _write(path, text)) is not None]


def _write(path: str, text: str) -> str | None:
    """Write a file whole or not at all (pipes and devices as they are); returns why it could not be."""
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
            return None
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except OSError as error:
        return f"can't write {path}: {error.strerror or error}"
    return None


def tell(report: Mapping[str, Any], options: Any) -> None:
    """Print the summary, and tell GitHub if it runs this. Not into the JSON that Locust is to print."""
    out = sys.stderr if getattr(options, "json", False) else sys.stdout
    width = min(max(shutil.get_terminal_size().columns, 80), 120)
    print("\n" + summary_text(report, width=width, colour=out.isatty()), file=out, flush=True)
    for name in ("sio_report", "sio_html", "sio_junit", "sio_hlog"):
        if path := getattr(options, name, None):
            print(f"{name.removeprefix('sio_')}: {path}", file=out, flush=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(github_lines(report), end="", file=out, flush=True)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(markdown(report) + "\n")
        except OSError as error:
            logger.warning("sioload: can't write GITHUB_STEP_SUMMARY: %s", error)


def renew_locust_files(environment: Any) -> None:
    """Let Locust's own files show what came in since it wrote them.

    Its HTML report is written before users are stopped when a signal ends the run. Its CSV files are written
    by a greenlet once a second, and closed without a last look.
    """
    options = environment.parsed_options
    if getattr(options, "csv_prefix", None):
        gevent.sleep(1.2 * locust.stats.CSV_STATS_INTERVAL_SEC)
    if getattr(options, "html_file", None):
        locust.html.process_html_filename(options)
        render: Any = locust.html.get_html_report
        html = render(environment, show_download_link=False)
        if fault := _write(options.html_file, html):
            logger.error("sioload: %s", fault)
