"""Loads scripts as Locust does, and prints as a line of JSON why each is refused before any load."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from locust.util.load_locustfile import load_locustfile

from sioload.errors import UsageError
from sioload.swarm.stock import Stock
from sioload.users import feeds
from sioload.users.handlers import check_label

HEAD = "from sioload import SocketIOUser, feed\n"

if __name__ == "__main__":
    sys.dont_write_bytecode = True  # one file name, within a second
    folder = Path(tempfile.mkdtemp(dir="."))
    (folder / "many.csv").write_text("a,b\n1,2\n1,2,3\n")
    (folder / "empty.csv").write_text("")
    (folder / "bad.jsonl").write_text('{"a": 1}\n{"a": \n')
    for script in json.load(sys.stdin):
        feeds.feeds.__init__()  # type: ignore[misc]
        file = folder / "locustfile.py"
        file.write_text(HEAD + script)
        try:
            for user_class in load_locustfile(str(file.resolve()))[0].values():
                check_label(user_class)
                feeds.check_places(user_class)
            Stock()
        except UsageError as error:
            print(json.dumps(str(error)), flush=True)
        else:
            print(json.dumps(""), flush=True)
