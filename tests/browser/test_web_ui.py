"""Chromium on real runs: the tab and the chart page in Locust's web UI, and the report from disk."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serverkit
from browser.chromium import Page, browser

#: Share of a canvas that something was drawn on.
DRAWN = """
[...document.querySelectorAll('canvas')].map(canvas => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let drawn = 0;
  for (let i = 3; i < pixels.length; i += 4) drawn += pixels[i] > 0;
  return drawn / (pixels.length / 4);
})
"""
#: Titles of charts that are wider than their place.
CUT = """
[...document.querySelectorAll('figure')]
  .filter(one => one.querySelector('.uplot').offsetWidth > one.querySelector('.plot').clientWidth)
  .map(one => one.innerText)
"""
#: How much wider than its place the tab's table is.
WIDER = "(box => box.scrollWidth - box.clientWidth)(document.querySelector('main table').parentElement)"
ROWS = (
    "[...document.querySelectorAll('main tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
)
Counts = dict[tuple[str, str], tuple[int, int]]


def rows_of_tab(page: Page) -> Counts:
    """Counts and failures of the rows that are the report's too, as a reader sees them."""
    rows = [row for row in page.run(ROWS) if row[0].isupper() and row[2]]
    return {(row[0], row[1]): (int(row[2]), int(row[9])) for row in rows}


def rows_of_report(report: dict[str, Any]) -> Counts:
    return {(e["type"], e["name"]): (e["count"], e["failures"]) for e in report["events"]}


def captions(page: Page) -> list[str]:
    return list(page.run("[...document.querySelectorAll('figcaption')].map(one => one.innerText)"))


def download(page: Page, folder: Path, selector: str, name: str) -> str:
    """Click a link and read the file that it brings."""
    page.run(f"document.querySelector({selector!r}).click()")
    path, deadline = folder / name, time.monotonic() + 20
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < deadline, f"{name} doesn't come"
        time.sleep(0.1)
    return path.read_text()


def check_sizes(page: Page, url: str) -> None:
    """The page fits small and large windows, and follows the scheme that is asked for."""
    grounds = set()
    for width in (1280, 400):
        for dark in (False, True):
            page.size(width, 900, dark=dark)
            page.open(url)
            page.until("document.querySelectorAll('canvas').length >= 6")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert all(part > 0.003 for part in page.run(DRAWN)), "a chart is empty"
            assert page.run(CUT) == []
            grounds.add(page.run("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    page.size(1280, 900)


def test_a_run_from_login_to_report(shown: Callable[..., Any], tmp_path: Path) -> None:
    run = shown("--web-login", "--autostart", "-t", "120s", base="/load", env={"LOGIN": "1"})
    enter = {"username": "ann", "password": "right"}
    run.ask("/enter", enter)
    with browser() as page:
        page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        page.size(1280, 900)
        page.open(f"{run.url}/sioload/")
        assert "/load/login" in page.run("location.href"), "nothing is shown before the login"
        form = "new URLSearchParams({username: 'ann', password: 'right'})"
        page.run(f"fetch('/load/enter', {{method: 'POST', body: {form}}}).then(answer => answer.ok)")

        page.open(f"{run.url}/?tab=socketio")
        page.until("[...document.querySelectorAll('td')].some(cell => cell.innerText === 'CALL')")
        first = rows_of_tab(page)["CALL", "echo"][0]
        page.until(f"{ROWS}.some(row => row[0] === 'CALL' && row[1] === 'echo' && +row[2] > {first})")
        page.run(
            "[...document.querySelectorAll('#sioload-links a')].find(a => a.innerText === 'Charts').click()"
        )
        page.until("document.querySelectorAll('canvas').length >= 6")
        assert page.run("location.pathname") == "/load/sioload/"

        watch_the_charts(page)
        check_sizes(page, f"{run.url}/sioload/")
        report = json.loads(download(page, tmp_path, "a[href='report.json']", "sioload.json"))
        assert rows_of_report(report)["CALL", "echo"][0] > first
        table = list(
            csv.DictReader(io.StringIO(download(page, tmp_path, "a[href='events.csv']", "sioload.csv")))
        )
        assert {row["type"] for row in table} >= {"CALL", "EMIT", "PUSH"}
        assert "Tag=CALL:echo" in download(page, tmp_path, "a[href='sioload.hlog']", "sioload.hlog")
        assert "sioload-data" in download(page, tmp_path, "a[href='report.html']", "sioload.html")

        page.open(f"{run.url}/?tab=socketio")
        page.until("[...document.querySelectorAll('td')].some(cell => cell.innerText === 'CALL')")
        run.ask("/stop", {})
        page.until("document.body.innerText.includes('STOPPED')", 30)
        assert rows_of_tab(page) == rows_of_report(run.json("/sioload/report.json")), (
            "without loading it again"
        )
        assert page.run("window.boomed") is None and page.complaints() == []


def watch_the_charts(page: Page) -> None:
    """The chart page lives, can be searched, and is reached with the keyboard alone."""
    page.until("document.querySelector('figcaption')?.innerText.startsWith('Users')")
    emits = "+[...document.querySelectorAll('.cards dt')].find(dt => dt.innerText === 'Emits')" \
            ".nextElementSibling.innerText.replace(',', '')"  # fmt: skip
    page.until(f"{emits} > {page.run(emits)}")
    legend = "document.querySelector('#overview .u-legend').innerText"
    page.until("document.querySelector('#overview').innerText.includes('Generator: CPU')")
    page.run(f"window.told = {legend}")
    page.until(f"{legend} !== told")
    for title in ("Reach", "Spread of /chat message"):
        titles = "[...document.querySelectorAll('figcaption')]"
        page.until(f"{titles}.some(one => one.innerText.startsWith('{title}'))")
    page.until(
        "[...document.querySelectorAll('figcaption')].some(one => one.innerText.startsWith('Generator: CPU'))"
    )
    assert all(part > 0.003 for part in page.run(DRAWN)), "a chart is empty"
    assert {"PUSH news", "CALL echo"} <= {caption.split(" ms,")[0] for caption in captions(page)}
    assert any("<script>boom()" in caption for caption in captions(page)), "a hostile name is text"

    page.run("document.getElementById('filter').focus()")
    for letter in "news":
        page.command("Input.dispatchKeyEvent", type="char", text=letter)
    page.until("document.querySelectorAll('#latency figure').length === 1")
    assert captions(page)[-1].startswith("PUSH news")
    for _ in range(20):
        press(page, "Tab", 9)
        if page.run("document.activeElement.closest('#latency') !== null"):
            break
    legend = "document.activeElement.querySelector('.u-value').innerText"
    newest = page.run(legend)
    press(page, "Home", 36)
    assert page.run(legend) < newest, "arrow keys read other times"
    page.run("document.getElementById('filter').value = ''")
    page.run("document.getElementById('filter').dispatchEvent(new Event('input'))")
    page.until("document.querySelectorAll('#latency figure').length > 1")


def press(page: Page, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        page.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


@pytest.mark.verify
def test_a_distributed_run_with_as_many_names_as_there_may_be(shown: Callable[..., Any]) -> None:
    run = shown("--processes", "2", "--autostart", "--expect-workers", "2", "-t", "8s",
                "--sio-check", "CALL: p99 < 9s", env={"NAMES": "400"})  # fmt: skip
    run.until("running")  # a page that was opened before doesn't notice
    with browser() as page:
        page.size(1280, 900)
        page.open(f"{run.url}/?tab=socketio")
        page.until("document.body.innerText.includes('STOPPED')", 40)
        seen, kinds = rows_of_tab(page), [row[0] for row in page.run(ROWS)]
        assert any(len(max(name.split(), key=len)) > 100 for _, name in seen)
        assert page.run(WIDER) <= 0, "a long name takes no figure out of sight"
        check_sizes(page, f"{run.url}/sioload/")
        assert re.match(r"6 of \d+ rows", page.run("document.getElementById('found').innerText"))
        assert re.search(r"the 8 busiest of [12]\d\d$", captions(page)[1]), (
            "a chart has no more lines than can be told apart"
        )
        assert page.complaints() == []
    assert kinds.count("generator") == 2 and kinds.count("check") == 1
    assert ("EMIT", "(other)") in seen, "more names than are shown"
    report = run.end()
    assert report["workers"] == {"expected": 2, "lost": 0}
    assert seen == rows_of_report(report)


SCRIPT = """
from locust import constant, task
from sioload import SocketIOUser

class Base(SocketIOUser):
    abstract = True
    wait_time = constant(0.1)

    @task
    def call(self):
        self.sio.call("echo", 1, name=type(self).__name__)

class First(Base): ...

class Second(Base): ...
"""
TITLES = "[...document.querySelectorAll('#latency figcaption')].map(one => one.innerText)"
POLLS = "performance.getEntriesByType('resource').filter(one => one.name.includes('/data')).length"


def drag(page: Page, selector: str) -> None:
    """Drag the mouse over the right half of an element."""
    box = page.run(f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())")
    place = json.loads(box)
    for kind, part in (
        ("mouseMoved", 0.5),
        ("mousePressed", 0.5),
        ("mouseMoved", 0.9),
        ("mouseReleased", 0.9),
    ):
        x, y = place["left"] + part * place["width"], place["top"] + 50
        held = {"button": "left", "buttons": 1, "clickCount": 1} if part == 0.9 or "Pressed" in kind else {}
        page.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)


def test_an_open_page_names_the_charts_and_the_server_of_the_next_run(
    target: serverkit.Server, tmp_path: Path
) -> None:
    (tmp_path / "kinds.py").write_text(SCRIPT)
    port = serverkit.free_port()
    command = ["-f", "kinds.py", "--host", target.url, "--web-host", "127.0.0.1", "--web-port", str(port),
               "--class-picker"]  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    other = target.url.replace("127.0.0.1", "localhost")

    def begin(kind: str, host: str) -> None:
        form = {"user_count": "2", "spawn_rate": "2", "host": host, "user_classes": kind}
        with urllib.request.urlopen(f"{url}/swarm", urllib.parse.urlencode(form).encode(), 10) as answer:
            assert json.load(answer)["success"]

    calls = f"{TITLES}.find(title => title.startsWith('CALL'))"
    with serverkit.Process(serverkit.locust(command), cwd=tmp_path) as process, browser() as page:
        process.wait_for("Starting web interface", 30)
        begin("First", target.url)
        page.size(1280, 900)
        page.open(f"{url}/sioload/")
        page.until(f"/^CALL First ms, \\d+ samples$/.test({calls})")
        urllib.request.urlopen(f"{url}/stop", b"", timeout=10).close()
        page.until("document.querySelector('.cards small').innerText.startsWith('exit code')")
        drag(page, "#overview .u-over")
        assert page.run("document.getElementById('unzoom').hidden") is False
        # Just after it asked, so that it doesn't see how there is nothing for a moment.
        page.until(f"{POLLS} > {page.run(POLLS)}")
        begin("Second", other)
        page.until(f"/^CALL Second ms, \\d+ samples$/.test({calls})", 10)
        names = [page.run(name) for name in ("document.title", "document.querySelector('h1').innerText")]
        assert names == [f"Socket.IO · {other}", f"Socket.IO {other}"]
        assert page.run("document.getElementById('unzoom').hidden"), "it was zoomed into the run before"
        assert page.complaints() == []


OVERTAKING = """
from locust import constant, task
from sioload import SocketIOUser

class Racer(SocketIOUser):
    wait_time = constant(1)
    turn = 0

    @task
    def overtake(self):
        self.turn += 1
        for _ in range(self.turn):
            self.sio.call("echo", 1, name=f"turn {self.turn}")
"""


def test_an_open_page_draws_the_busiest_events_whichever_they_are_by_now(
    target: serverkit.Server, tmp_path: Path
) -> None:
    (tmp_path / "racer.py").write_text(OVERTAKING)
    port = serverkit.free_port()
    command = ["-f", "racer.py", "--host", target.url, "--web-host", "127.0.0.1", "--web-port", str(port),
               "--autostart", "-u", "1", "-t", "60s"]  # fmt: skip
    shown = "document.querySelectorAll('#latency figure').length"
    with serverkit.Process(serverkit.locust(command), cwd=tmp_path) as process, browser() as page:
        process.wait_for("Starting web interface", 30)
        page.size(1280, 900)
        page.open(f"http://127.0.0.1:{port}/sioload/")
        page.until(f"{shown} === 6", 30)
        page.run(
            "window.least = 6; window.said = found.textContent;"
            f"new MutationObserver(() => least = Math.min(least, {shown}))"
            ".observe(latency, {childList: true});"
            "new MutationObserver(() => said += found.textContent).observe(found, {childList: true})"
        )
        newest = f"Math.max(...{TITLES}.map(title => +title.match(/^CALL turn (\\d+)/)?.[1] || 0))"
        page.until(f"{newest} > {page.run(newest)} + 4")
        assert page.run("least") == 6, "a chart went away although its event is among the busiest"
        assert "this file" not in page.run("said"), "a page that is asked for anew is no file"
        assert page.complaints() == []


def test_an_open_page_stays_where_it_was_scrolled_to_and_says_nothing_twice(
    shown: Callable[..., Any],
) -> None:
    run = shown("--autostart", "-t", "120s", env={"NAMES": "60"})
    with browser() as page:
        page.size(1280, 900)
        page.open(f"{run.url}/sioload/")
        box = "document.querySelector('.scroll[aria-label=Events]')"
        page.until(f"{box}?.scrollHeight > {box}?.clientHeight + 300", 40)
        page.run(
            "window.said = [found.textContent];"
            "new MutationObserver(() => said.push(found.textContent)).observe(found, {childList: true})"
        )
        page.run(f"window.seen = {box}; seen.scrollTop = 250")
        page.until(f"{box} !== seen")
        assert page.run(f"{box}.scrollTop") == 250
        page.run(f"window.seen = {box}")
        page.until(f"{box} !== seen")
        assert page.run("said.every((words, i) => words !== said[i - 1])")


def test_the_report_of_a_long_run_opens_from_disk_without_network(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    script = serverkit.ROOT / "tests" / "web" / "long_run.py"
    subprocess.run([sys.executable, str(script), str(path), "3600", "50"], check=True, timeout=60,
                   env={"PYTHONPATH": str(serverkit.ROOT)})  # fmt: skip
    assert path.stat().st_size < 2 << 20
    with browser() as page:
        page.offline()
        check_sizes(page, path.as_uri())
        assert "6 of 50 rows" in page.run("document.getElementById('found').innerText")
        page.run("document.getElementById('more').click()")
        assert page.run("document.querySelectorAll('#latency canvas').length") == 12
        assert all(part > 0.003 for part in page.run(DRAWN)), "a chart is empty"
        assert len(page.run("[...document.querySelectorAll('.figures tbody tr')]")) >= 50
        assert page.run("performance.getEntriesByType('resource').length") == 0, "nothing is asked for"
        page.run("document.documentElement.dataset.theme = 'dark'")
        page.size(1050, 900)
        page.until("document.querySelector('#overview canvas').offsetWidth > 900")
        page.run(
            "const wide = one => document.querySelector(`#overview ${one}`).clientWidth; window.printed = [];"
            "const tables = document.getElementsByClassName('scroll');"
            "const cut = () => [...tables].filter(one => one.scrollWidth > one.clientWidth);"
            "matchMedia('print').addEventListener('change', print =>"
            " printed.push([print.matches, wide('.plot'), wide('canvas'), cut().length]))"
        )
        page.command("Page.printToPDF")
        (paper, place, chart, cut), (_, _, again, _) = page.run("printed")
        assert paper and place == chart < 900 < again, "charts are as wide as paper is, and the page again"
        assert not cut, "tables are too wide for paper"
        page.command("Emulation.setEmulatedMedia", media="print")
        ink = page.run("getComputedStyle(document.querySelector('td')).color")
        assert max(map(int, re.findall(r"\d+", ink))) < 100, f"paper is white: {ink}"
        assert page.complaints() == []
