"""Make the pictures of README from real runs: `.venv/bin/python tests/browser/pictures.py`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import serverkit
from chromium import Page, browser

PICTURES = serverkit.ROOT / "dashboards" / "pictures"
LARGEST = 300_000  # bytes
#: Seconds into the demo at which it is worth looking at.
LIVELY = 35.0


def web_ui(page: Page, url: str) -> None:
    """The table of rows in Locust's web UI, while load is running."""
    page.size(1280, 1240)
    page.open(url)
    page.until("document.body.innerText.includes('HEARTBEAT')", 60)
    page.picture(PICTURES / "web-ui.png")


def main() -> int:
    """Run the demo and photograph it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    port = serverkit.free_port()
    with tempfile.TemporaryDirectory() as out:
        args = ["demo", "--stay", "--web-port", str(port), "--out", out]
        with serverkit.Process(serverkit.sioload(args)) as demo, browser() as page:
            demo.wait_for("live on", 20)
            time.sleep(LIVELY)
            web_ui(page, f"http://127.0.0.1:{port}/")
            assert page.complaints() == []
    for path in sorted(PICTURES.glob("*.png")):
        size = path.stat().st_size
        print(f"{path.relative_to(serverkit.ROOT)}: {size} bytes")
        if size > LARGEST:
            print("that is too large for README", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
