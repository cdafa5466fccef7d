"""Pages made of this package's templates, style sheets and scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson
from jinja2 import Environment, FileSystemLoader

from sioload.plain import Json
from sioload.report.servers import shown, shown_total, titled
from sioload.report.words import counted, in_unit, three_digits

_WEB: Final = Path(__file__).parents[1] / "web"
STATIC: Final = _WEB / "static"
TEMPLATES: Final = _WEB / "templates"


def number(value: float | None) -> str:
    """A count, or a rate, with thousands separated; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"


def ms(value: float | None) -> str:
    """Milliseconds to three digits or so; a dash for none."""
    return "–" if value is None else three_digits(value)


def size(value: float) -> str:
    """Bytes, as KiB, MiB or GiB."""
    number, unit = in_unit(value)
    return f"{number:,.{0 if unit == 'B' else 1}f} {unit}"


def span(seconds: float) -> str:
    """A time span, as 1:02:03 or 2:03 or 3.4 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


#: Escapes all that a template shows: names come from servers.
_jinja = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_jinja.filters.update(
    number=number,
    ms=ms,
    size=size,
    span=span,
    counted=counted,
    measure=shown,
    total=shown_total,
    titled=titled,
)


def page(template: str, **values: object) -> str:
    """A template of this package with these values."""
    return _jinja.get_template(template).render(values)


def static(name: str) -> str:
    """The text of a style sheet or of a script of this package."""
    return (STATIC / name).read_text(encoding="utf-8")


def script_json(data: Json) -> str:
    """JSON that can stand in a page's `<script>`: nothing in it ends the element."""
    text = orjson.dumps(data).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
