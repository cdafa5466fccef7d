"""Hosts as Locust's pages show them: without credentials and query, which may be secret.

The hosts themselves stay what they are, whoever's they are. What a page shows is changed on its way out, and
the form's host, if it is one that was shown, on its way in.
"""

from __future__ import annotations

import html
import json
from typing import Any

from flask import Response, request
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from sioload.engineio.urls import bare


def conceal(web_ui: Any) -> None:
    """Show bare hosts on every page of a web UI, and take them for the whole ones in its form."""
    app, environment = web_ui.app, web_ui.environment
    shown: dict[str, str] = {}  # also of hosts that were replaced meanwhile

    def look() -> None:
        classes = [*environment.user_classes, *(environment.available_user_classes or {}).values()]
        for whole in (environment.host, *(cls.host for cls in classes)):
            if isinstance(whole, str) and bare(whole) != whole:
                shown[bare(whole)] = whole

    def incoming() -> None:
        look()
        whole = shown.get(request.form.get("host", "")) if request.method == "POST" else None
        if whole is not None:
            form = MultiDict(request.form)
            form["host"] = whole
            request.__dict__["form"] = ImmutableMultiDict(form)  # where werkzeug keeps what it has parsed

    def outgoing(response: Response) -> Response:
        look()
        text = response.get_data(as_text=True) if shown and _is_text(response) else None
        for short, whole in shown.items():
            for form in _forms(whole) if text is not None else ():
                text = text.replace(form, short) if text is not None else None
            for name in ("Content-Disposition", "Location"):
                if whole in response.headers.get(name, ""):
                    response.headers[name] = response.headers[name].replace(whole, short)
        if text is not None:
            response.set_data(text)
        return response

    app.before_request(incoming)
    app.after_request(outgoing)


def _is_text(response: Response) -> bool:
    return not response.direct_passthrough and (response.mimetype or "").startswith(
        ("text/html", "text/csv", "application/json")
    )


def _forms(whole: str) -> set[str]:
    """A text as it stands in HTML, in JSON, and in JSON within HTML."""
    quoted = json.dumps(whole)[1:-1]
    safe = quoted
    for character in "<>&'":
        safe = safe.replace(character, f"\\u{ord(character):04x}")
    return {whole, html.escape(whole), str(html.escape(quoted)), quoted, safe}
