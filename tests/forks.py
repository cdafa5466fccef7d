"""Runs of `locust` and `sioload` that end soon, each in a fork of one process that has imported all of it.

Importing Locust costs a second of CPU, and what these runs do next to nothing. Each line of standard input
asks for a run; it is answered by its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import locust.main  # patches, so it comes first

import sioload.cli.main


def become(asked: dict[str, Any]) -> None:
    """Do in this process what the command would."""
    signal.alarm(asked["timeout"])
    for number, path in enumerate((os.devnull, asked["out"], asked["err"])):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    sys.argv[:] = [asked["program"], *asked["args"]]
    sys.path[0] = asked["cwd"]
    sys.exit({"locust": locust.main.main, "sioload": sioload.cli.main.main}[asked["program"]]())


for line in sys.stdin:
    child = os.fork()
    if not child:
        become(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
