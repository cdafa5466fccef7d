"""Makes gevent-socketio 0.3.6, which is written for Python 2, run on Python 3: python adapt_gsio.py FOLDER.

Only what the language and today's gevent ask for; what the server says on the wire stays as it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: By file, what is replaced by what.
EDITS: dict[str, list[tuple[str, str]]] = {
    "handler.py": [
        ("import urlparse", "import urllib.parse as urlparse"),
        ("self.result = ['io.j", "self.result = [('io.j"),
        ('(wrapper, data)]', '(wrapper, data)).encode()]'),
        ("self.result = [data]", "self.result = [data if isinstance(data, bytes) else data.encode()]"),
        ('"Access-Control-Max-Age", 3600', '"Access-Control-Max-Age", "3600"'),
        ("'Content-Length', 0)", "'Content-Length', '0')"),
    ],
    "mixins.py": [(".iteritems()", ".items()")],
    "namespace.py": [
        ("print \"ERROR: No such callback for ackId %s\" % packet['ackId']", "pass"),
        ('print "Unprocessed packet", packet', "pass"),
        ("inspect.getargspec", "inspect.getfullargspec"),
    ],
    "packet.py": [(".iteritems()", ".items()"), ("except ValueError, e:", "except ValueError as e:")],
    "server.py": [("except error, ex:", "except error as ex:")],
    "transports.py": [
        ("import urllib\nimport urlparse", "import urllib.parse as urllib\nimport urllib.parse as urlparse"),
        ('"Access-Control-Max-Age", 3600', '"Access-Control-Max-Age", "3600"'),
        ('    def write(self, data=""):\n        # Gevent', "    def write(self, data=\"\"):\n"
         "        data = data if isinstance(data, bytes) else data.encode()\n        # Gevent"),
        ("('Content-Length', l)", "('Content-Length', str(l))"),
        ("('Content-Length', len(data))", "('Content-Length', str(len(data)))"),
        ('self.start_response("200 OK", ())', 'self.start_response("200 OK", [])'),
    ],
    "virtsocket.py": [
        (".iteritems()", ".items()"),
        ("except (ValueError, KeyError, Exception), e:", "except (ValueError, KeyError, Exception) as e:"),
    ],
}  # fmt: skip


def main(folder: Path) -> None:
    """Edit in place; a text that isn't there is an error."""
    for name, edits in EDITS.items():
        path = folder / name
        source = path.read_text(encoding="utf-8")
        for old, new in edits:
            assert old in source, f"{name}: no {old!r}"
            source = source.replace(old, new)
        compile(source, name, "exec", dont_inherit=True)
        path.write_text(source, encoding="utf-8")


main(Path(sys.argv[1]))
