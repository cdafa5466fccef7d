"""Headless Chromium over its DevTools protocol: open a page, look at it, hear its complaints."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import serverkit
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-extensions", "--force-color-profile=srgb", "--remote-debugging-port=0")  # fmt: skip
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._next = 0
        self._heard: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        self._next += 1
        self._socket.send(json.dumps({"id": self._next, "method": method, "params": params}))
        deadline = time.monotonic() + 30
        while True:
            message = json.loads(self._socket.recv(max(0.0, deadline - time.monotonic())))
            if message.get("id") == self._next:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self._heard.append(message)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the window's inner size and the colour scheme that it prefers."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def offline(self) -> None:
        """From now on there is no network."""
        self.command(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=0,
            uploadThroughput=0,
        )

    def open(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        failure = self.command("Page.navigate", url=url).get("errorText")
        assert failure is None, f"{url}: {failure}"
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        answer = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def until(self, script: str, timeout: float = 20.0) -> Any:
        """Wait until an expression is true; its value."""
        deadline = time.monotonic() + timeout
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {script}"
            time.sleep(0.1)
        return value

    def picture(self, path: Path) -> None:
        """Write what is to be seen as PNG."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))

    def heard(self) -> list[dict[str, Any]]:
        """All events of the protocol so far."""
        self.run("1")  # hear what has arrived
        return list(self._heard)

    def forget(self) -> None:
        """All that was heard so far."""
        self._heard.clear()

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions and failed requests so far."""
        found = []
        for message in self.heard():
            if message.get("method") in COMPLAINTS:
                params = message["params"]
                level = params.get("entry", params).get("level") or params.get("type", "error")
                if level in ("error", "warning", "assert"):
                    found.append(json.dumps(params)[:500])
        return found


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """A tab of a Chromium of its own, which ends with the block."""
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        serverkit.missing("Chromium", "install it (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="sioload-chromium-", ignore_cleanup_errors=True) as home:
        argv = [binary, *FLAGS, f"--user-data-dir={home}", "about:blank"]
        with serverkit.Process(argv, env={"HOME": home}) as process:
            port = process.wait_for(r"DevTools listening on ws://[^:]+:(\d+)/", 30).group(1)
            pages = serverkit.http_json(f"http://127.0.0.1:{port}/json/list")
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            with connect(url, max_size=64 << 20, proxy=None) as socket:
                yield Page(socket)
