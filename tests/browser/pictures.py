"""Make the pictures of README from real runs: `.venv/bin/python tests/browser/pictures.py`."""

from __future__ import annotations

import contextlib
import html
import json
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import serverkit
import showkit
from chromium import Page, browser

PICTURES = serverkit.ROOT / "dashboards" / "pictures"
LARGEST = 200_000  # bytes
#: Seconds into the demo at which it is worth looking at.
LIVELY = 40.0
WIDTH = 1280
URL = "http://127.0.0.1:5000"
BENCH = (
    f"sioload bench {URL} -u 200 -t 15s --emit echo --data 1 --ack",
    "--sio-check 'CALL: p99 < 250ms' --sio-check 'ledger: timeout == 0'",
)
CAPACITY = (
    f"sioload capacity {URL} --users 10..320 --step 5s --settle 4s",
    "--emit busy --data 10 --ack --within 10% --sio-check 'CALL: p99 < 250ms'",
)
COMPARE = ("sioload compare before.json --with after.json --fail-on 'CALL: p50 +10%'",)
PAGE = (
    '<body style="margin:0;padding:16px 20px;background:#12161b;color:#d5dae0;font:15px/1.35 monospace">'
    '<pre id="text" style="margin:0;font:inherit;display:inline-block">{}</pre></body>'
)
COLOURS = {"31": "#ff7b7b", "32": "#4ade80", "33": "#f5b54a"}


def tab(page: Page, url: str) -> None:
    """The tab "Socket.IO" in Locust's web UI, while load is running."""
    page.size(WIDTH, 1080)
    page.open(f"{url}/?tab=socketio")
    page.until("[...document.querySelectorAll('td')].some(cell => cell.innerText === 'HEARTBEAT')", 30)
    page.picture(PICTURES / "web-ui.png")


def charts(page: Page, url: str) -> None:
    """The chart page, while load is running."""
    page.open(f"{url}/sioload/")
    page.until("document.querySelectorAll('#latency canvas').length >= 6")
    page.size(WIDTH, 760)
    page.run("document.getElementById('events-title').scrollIntoView(), scrollBy(0, -16)")
    page.picture(PICTURES / "charts.png")


def report(page: Page, path: Path) -> None:
    """The report of the finished run, from disk."""
    page.size(WIDTH, 1000)
    page.open(path.as_uri())
    page.until("document.querySelectorAll('canvas').length >= 6")
    page.picture(PICTURES / "report.png")


def typed(page: Page, words: tuple[str, ...], server: serverkit.Server, name: str, seconds: float) -> None:
    """What a command leaves in a terminal of 80 columns."""
    argv = shlex.split(" ".join(words).replace(URL, server.url))
    written = showkit.terminal([str(part) for part in serverkit.sioload(argv[1:])], seconds)
    text = "$ " + " \\\n    ".join(words) + "\n\n" + screen(written).replace(server.url, URL)
    text = re.sub(
        r"\x1b\[(3\d)m(.*?)\x1b\[0m",
        lambda found: f'<span style="color:{COLOURS[found[1]]}">{found[2]}</span>',
        html.escape(text),
    )
    page.open("about:blank")
    page.run(f"document.body.outerHTML = {json.dumps(PAGE.format(text))}")
    box = page.run("document.getElementById('text').getBoundingClientRect().toJSON()")
    page.size(round(box["right"]) + 20, round(box["bottom"]) + 16)
    page.picture(PICTURES / name)


def compared(page: Page, server: serverkit.Server) -> None:
    """Two runs, of which the second had to wait for half as much again, compared in a terminal."""
    flat = ["--transports", "websocket", "-u", "40", "--rate", "5", "-t", "20s"]
    for name, wait in (("before", "0.1"), ("after", "0.15")):
        emit = ["--emit", "delay", "--data", wait, "--ack", "--sio-report", f"{name}.json"]
        bench = ["bench", server.url, *emit, *flat]
        done = serverkit.run_sioload(bench, cwd=Path.cwd())
        assert done.code == 0, done.text
    typed(page, COMPARE, server, "compare.png", 30)


def screen(written: str) -> str:
    """What is to be seen in the end: a line that was written over is gone."""
    lines = [line.split("\r\x1b[K")[-1].rstrip("\r") for line in written.split("\n")]
    return "\n".join(lines).strip("\n")


def main() -> int:
    """Run the demo and a bench, and photograph them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    port = serverkit.free_port()
    with tempfile.TemporaryDirectory() as out, browser() as page:
        args = ["demo", "--web-port", str(port), "--out", out]
        with serverkit.Process(serverkit.sioload(args)) as demo:
            demo.wait_for("live on", 20)
            time.sleep(LIVELY)
            tab(page, f"http://127.0.0.1:{port}")
            charts(page, f"http://127.0.0.1:{port}")
            assert page.complaints() == []
            page.open("about:blank")  # it asks a server that ends
            assert demo.wait(60) == 0, str(demo)
        report(page, Path(out) / "demo.html")
        assert page.complaints() == []
        with serverkit.running("target") as target:
            typed(page, BENCH, target, "terminal.png", 60)
        with serverkit.running("sio4") as node:
            typed(page, CAPACITY, node, "capacity.png", 600)
            with contextlib.chdir(out):
                compared(page, node)
    for path in sorted(PICTURES.glob("*.png")):
        size = path.stat().st_size
        print(f"{path.relative_to(serverkit.ROOT)}: {size} bytes")
        if size > LARGEST:
            print("that is too large for README", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
