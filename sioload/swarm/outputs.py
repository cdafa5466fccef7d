"""What a run leaves behind: reports in files, notes for CI, the summary in the terminal."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import gevent
import locust.html
import locust.stats

from sioload.errors import in_words
from sioload.plain import Json
from sioload.report.ci import github_lines, junit_xml, markdown
from sioload.report.document import UNVERIFIED, unverified
from sioload.report.figures import Figures
from sioload.report.files import write_whole
from sioload.report.hlog import hlog
from sioload.report.summary import coloured, print_to, summary_text
from sioload.swarm import describe

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds that a pipe waits for who reads it, once.
READER: Final = 30.0
#: Pipes that have waited in vain.
_unread: set[str] = set()
#: Makes files, as `path -> text`, from a run's report and figures.
Maker = Callable[[Mapping[str, Json], Figures], Mapping[str, str]]


def write(
    options: Any, report: Mapping[str, Json], figures: Figures, started: float, makers: Iterable[Maker] = ()
) -> dict[str, str]:
    """Write the files that were asked for; returns which could not be written or made, and why."""
    files: dict[str, str] = {}
    if path := getattr(options, "sio_report", None):
        files[path] = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    if path := getattr(options, "sio_junit", None):
        files[path] = junit_xml(report)
    if folder := getattr(options, "sio_hlog", None):
        files[_file_of("sio_hlog", folder)] = hlog(
            figures.rows, started=started, duration=report["duration_s"], unverified=unverified(report)
        )
    faults: dict[str, str] = {}
    for make in makers:
        try:
            files.update(make(report, figures))
        except Exception as error:
            logger.exception("sioload: internal error in %s", make.__name__)
            faults[make.__name__] = f"{make.__name__}: {in_words(error)}"
    for path, text in files.items():
        with pipe(path) as why:
            fault = f"can't write {path}: {why}" if why else write_whole(path, text)
        if fault is not None:
            faults[path] = fault
    return faults


@contextlib.contextmanager
def pipe(path: str) -> Iterator[str | None]:
    """Wait until somebody reads a pipe that is to be opened, which would block the whole process.

    Yields:
        Why it can't be written, or None; other files are just that.
    """
    held, until, told = None, time.monotonic() + (0.0 if path in _unread else READER), False
    try:
        while held is None and Path(path).is_fifo():
            try:
                held = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO or time.monotonic() >= until:
                    _unread.add(path)
                    yield "nobody reads it" if error.errno == errno.ENXIO else error.strerror
                    return
                if not told:
                    told = True
                    logger.warning("sioload: %s waits for up to %.0f s for who reads it", path, READER)
                gevent.sleep(0.1)
        yield None
    finally:
        if held is not None:
            os.close(held)


def _file_of(option: str, path: str) -> str:
    """The file that an option asks for; some name its folder."""
    return os.path.join(path, "sioload.hlog") if option == "sio_hlog" else path


def tell(report: Mapping[str, Json], options: Any, unwritten: Container[str] = ()) -> None:
    """Print the summary, and tell GitHub if it runs this. Not into the JSON that Locust is to print.

    Args:
        unwritten: files that were asked for and aren't there.
    """
    out = sys.stderr if getattr(options, "json", False) else sys.stdout
    width = min(max(shutil.get_terminal_size().columns, 80), 120)
    files = [
        f"{name.removeprefix('sio_')}: {path}"
        for name in ("sio_report", "sio_html", "sio_junit", "sio_hlog")
        if (path := getattr(options, name, None)) and _file_of(name, path) not in unwritten
    ]
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print_to(out, github_lines(report))
    print_to(out, "\n" + summary_text(report, width=width, colour=coloured(out), files=files))
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(path, "a", encoding="utf-8", errors="replace") as file:
                file.write(markdown(report) + "\n")
        except OSError as error:
            logger.warning("sioload: can't write GITHUB_STEP_SUMMARY: %s", error)


class CsvFiles(locust.stats.StatsCSVFileWriter):
    """Locust's CSV files. A disk that is full spoils them, but neither the run nor its end.

    Attributes:
        faults: which could not be written, and why, of all runs of this process.
        opened: those of this process.
    """

    faults: ClassVar[list[str]] = []
    opened: ClassVar[list[CsvFiles]] = []
    _writer: gevent.Greenlet[[], None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.opened.append(self)

    def stats_writer(self) -> None:
        """Runs in a greenlet of its own until the process ends."""
        self._writer = cast("gevent.Greenlet[[], None]", gevent.getcurrent())
        try:
            super().stats_writer()
        except OSError as error:
            self._failed(error)

    def write_now(self) -> None:
        """What the greenlet would write at its next turn, which is up to a second away."""
        if not self._writer:
            return  # it hasn't begun, or has failed
        try:
            for file, write, rows in (
                (self.requests_csv_filehandle, self.requests_csv, self.requests_csv_writer),
                (self.failures_csv_filehandle, self.failures_csv, self.failures_csv_writer),
                (self.exceptions_csv_filehandle, self.exceptions_csv, self.exceptions_csv_writer),
            ):
                file.seek(0)
                write(rows)
                file.truncate()
                file.flush()
            self._stats_history_data_rows(self.stats_history_csv_writer, time.time())
            self.stats_history_flush()
        except OSError as error:
            self._failed(error)

    def close_files(self) -> None:
        """The process ends, but may take its time for it: whoever writes once a second must not go on."""
        if self._writer is not None:
            self._writer.kill()
        for file in (
            self.requests_csv_filehandle,
            self.stats_history_csv_filehandle,
            self.failures_csv_filehandle,
            self.exceptions_csv_filehandle,
        ):
            try:
                file.close()
            except OSError as error:
                self._failed(error)

    def _failed(self, error: OSError) -> None:
        fault = f"can't write {self.base_filepath}_*.csv: {error.strerror or error}"
        if fault not in self.faults:
            self.faults.append(fault)
            logger.error("sioload: %s", fault)


def write_json(stats: Any, stem: str) -> str | None:
    """Write what Locust writes for `--json-file`, which forgets all by that; returns why it could not be."""
    rows = [row.serialize() for row in stats.entries.values() if row.num_requests or row.num_failures]
    return write_whole(f"{stem}.json", json.dumps(rows, indent=4))


def save_json(stats: Any, filename: str) -> None:
    """In place of Locust's own, which would end the process by an exception before the summary."""
    if (fault := write_json(stats, filename)) is not None:
        logger.error("sioload: %s", fault)


def take_over_html(options: Any) -> str | None:
    """The path of Locust's HTML report, which is ours to write from now on.

    Locust would write it before users are stopped when a signal ends the run, and write nothing else when it
    can't be written.
    """
    path: str | None = getattr(options, "html_file", None)
    if path:
        options.html_file = None
    return path


def write_locust_files(
    environment: Environment, html_file: str | None, settings: Mapping[str, Json]
) -> list[str]:
    """Let Locust's own files show all that was counted; returns which could not be written, and why.

    Its CSV files are written by a greenlet once a second, and closed without a last look.
    """
    options: Any = environment.parsed_options
    for files in CsvFiles.opened:
        files.write_now()
    faults = list(CsvFiles.faults)
    if (stem := getattr(options, "json_file", None)) and (fault := write_json(environment.stats, stem)):
        faults.append(fault)
    if html_file:
        options.html_file = html_file
        locust.html.process_html_filename(options)
        render: Any = locust.html.get_html_report
        host, environment.host = environment.host, describe.host(environment)  # which may hold credentials
        try:
            html = render(environment, show_download_link=False)
        finally:
            environment.host = host
        if unverified({"settings": settings}):
            html = html.replace("</body>", f"<p>{UNVERIFIED}</p></body>", 1)
        fault = write_whole(options.html_file, html)
        if fault is not None:
            faults.append(fault)
    return faults
