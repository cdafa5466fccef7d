"""HTTP steps of an Artillery script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from sioload.importing import settings
from sioload.importing.answers import judge_request
from sioload.importing.calls import name_of, path_on
from sioload.importing.confiding import Secrets, confide_answer, confided, shown
from sioload.importing.conversation import Conversation, Request
from sioload.importing.fields import mapping, text_of
from sioload.importing.layout import said
from sioload.importing.templates import Templates
from sioload.plain import Json

METHODS: Final = ("get", "post", "put", "patch", "delete", "head")
_KNOWN: Final = ("url", "uri", "name", "headers", "json", "form", "body", "qs", "capture", "match")
_FORMS: Final[Mapping[str, Literal["json", "form", "text"]]] = {
    "json": "json",
    "form": "form",
    "body": "text",
}


def request_of(
    method: str,
    raw: Mapping[str, Json],
    config: Mapping[str, Json],
    made: Conversation,
    templates: Templates,
    columns: Secrets,
    leave: settings.Leave,
) -> Request:
    """A request that a step makes.

    Args:
        raw: what the step says of it.
        config: the script's, whose target's path goes before its own.
        columns: get its secrets.
    """
    path = settings.path_of_target(config)
    place = raw.get("url", raw.get("uri", "/"))
    url = templates.value(path + place if isinstance(place, str) and place.startswith("/") else place)
    url = path_on(url if isinstance(url, str | tuple) else str(url), made.host)
    url = confided(url, columns)
    step = Request(method.upper(), url, templates.value(text_of(raw.get("name"))) or name_of(url, made.host))
    headers = {key.lower(): inner for key, inner in settings.headers_of_all(config).items()}
    own = mapping(raw.get("headers"))
    headers = {key: inner for key, inner in headers.items() if key not in {name.lower() for name in own}}
    for key, inner in {**headers, **own}.items():
        step.headers[key] = confided(settings.written(templates.value(inner)), columns, key)
    for key, form in _FORMS.items():
        if key in raw:
            step.body, step.form = confided(templates.value(raw[key]), columns), form
            step.body = settings.texts(step.body) if form == "form" else step.body
    if "qs" in raw:
        step.params = settings.texts(confided(templates.value(raw["qs"]), columns), "")
    where = f"{method} {said(shown(raw.get('url')), 40)}"
    for key in raw:
        if key not in _KNOWN:
            leave(f"{where}: {said(key, 40)}")
    judge_request(step, raw, where, templates, leave)
    confide_answer(step, columns)
    return step
