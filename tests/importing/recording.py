"""What a browser did as a HAR file in Chrome's form, recorded over its DevTools protocol."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chromium import Page

Json = dict[str, Any]


class Recording:
    """The network of a page, from `Network` events to entries.

    Args:
        page: whose events are heard.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._entries: dict[str, Json] = {}
        self._clock = 0.0  # what a monotonic time stamp lacks to the time of day

    def har(self) -> Json:
        """All that happened so far."""
        heard = self._page.heard()
        # What a request really carried may be told before the request itself.
        for message in sorted(heard, key=lambda message: message.get("method", "").endswith("ExtraInfo")):
            name = message.get("method", "").partition("Network.")[2]
            handler = getattr(self, f"_on_{name}", None)
            if handler is not None:
                handler(message["params"], message["params"].get("requestId", ""))
        creator = {"name": "WebInspector", "version": "537.36"}
        entries = [*self._entries.values()]
        return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": entries}}

    def _entry(self, key: str, url: str, method: str, kind: str, at: float) -> Json:
        started = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self._entries.setdefault(key, {
            "startedDateTime": started, "time": 0, "_resourceType": kind, "_at": at,
            "request": {"method": method, "url": url, "headers": [], "cookies": []},
            "response": {"status": 0, "headers": [], "cookies": [], "content": {"size": 0, "mimeType": ""}},
        })  # fmt: skip

    def _on_requestWillBeSent(self, event: Json, key: str) -> None:
        self._clock = event["wallTime"] - event["timestamp"]
        request = event["request"]
        entry = self._entry(key, request["url"], request["method"], event["type"].lower(), event["wallTime"])
        self._headers(entry["request"], request["headers"])
        mime = {name.lower(): text for name, text in request["headers"].items()}.get("content-type", "")
        if request.get("hasPostData"):
            entry["request"]["postData"] = {"mimeType": mime, "text": request.get("postData", "")}

    def _on_requestWillBeSentExtraInfo(self, event: Json, key: str) -> None:
        if key in self._entries:
            self._headers(self._entries[key]["request"], event["headers"])

    def _on_responseReceived(self, event: Json, key: str) -> None:
        if key in self._entries:
            response = self._entries[key]["response"]
            response["status"] = event["response"]["status"]
            self._headers(response, event["response"]["headers"])

    def _on_responseReceivedExtraInfo(self, event: Json, key: str) -> None:
        if key in self._entries:
            self._headers(self._entries[key]["response"], event["headers"])

    def _on_loadingFinished(self, event: Json, key: str) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        entry["time"] = 1000 * (event["timestamp"] + self._clock - entry["_at"])
        body = self._page.command("Network.getResponseBody", requestId=key)
        entry["response"]["content"]["text"] = body["body"]
        if body["base64Encoded"]:
            entry["response"]["content"]["encoding"] = "base64"

    def _on_webSocketWillSendHandshakeRequest(self, event: Json, key: str) -> None:
        self._clock = event["wallTime"] - event["timestamp"]
        entry = self._entries[key]
        entry["startedDateTime"] = datetime.fromtimestamp(event["wallTime"], UTC).isoformat()
        self._headers(entry["request"], event["request"]["headers"])

    def _on_webSocketCreated(self, event: Json, key: str) -> None:
        self._entry(key, event["url"], "GET", "websocket", 0.0)["_webSocketMessages"] = []

    def _on_webSocketHandshakeResponseReceived(self, event: Json, key: str) -> None:
        self._entries[key]["response"]["status"] = event["response"]["status"]
        self._headers(self._entries[key]["response"], event["response"]["headers"])

    def _on_webSocketFrameSent(self, event: Json, key: str, kind: str = "send") -> None:
        frame = event["response"]
        if frame["opcode"] in (1, 2):
            self._entries[key]["_webSocketMessages"].append(
                {"type": kind, "time": event["timestamp"] + self._clock, "opcode": frame["opcode"],
                 "data": frame["payloadData"]}
            )  # fmt: skip

    def _on_webSocketFrameReceived(self, event: Json, key: str) -> None:
        self._on_webSocketFrameSent(event, key, "receive")

    @staticmethod
    def _headers(side: Json, headers: dict[str, str]) -> None:
        known = {header["name"].lower(): header for header in side["headers"]}
        for name, text in headers.items():
            known[name.lower()] = {"name": name, "value": text}
        side["headers"] = [*known.values()]
