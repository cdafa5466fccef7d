"""sioload as plain Python, as it runs where there is no C compiler; all other tests run what is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import serverkit

TESTS = ["tests/net/test_websocket.py", "tests/socketio", "tests/measure", "tests/users/test_schedule.py"]


@pytest.mark.timeout(300)
def test_plain_python_does_the_same() -> None:
    pytest_ = Path(sys.executable).with_name("pytest")
    done = serverkit.run(
        [pytest_, "-m", "not verify", "-p", "no:cacheprovider", *TESTS],
        280,
        env={"PYTHONPATH": str(serverkit.plain()), "PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""},
    )
    assert done.code == 0, done.text
    assert " passed" in done.out, done.text


def test_the_copy_is_plain_and_the_rest_is_compiled() -> None:
    serverkit.need_compiler()
    script = "import sioload.client.manager; print(sioload.client.manager.__file__)"
    plain = serverkit.run([sys.executable, "-c", script], 20, cwd=serverkit.plain())
    assert plain.out.strip() == os.fspath(serverkit.plain() / "sioload" / "client" / "manager.py"), plain.text
    own = serverkit.run([sys.executable, "-c", script], 20)
    assert own.out.strip().endswith((".so", ".pyd")), own.text


def test_a_run_of_plain_python_says_so(target: serverkit.Server) -> None:
    args = [
        "-f",
        serverkit.ROOT / "locustfiles" / "echo.py",
        "--headless",
        "-u",
        "1",
        "-t",
        "1s",
        "-H",
        target.url,
    ]
    for where, said in ((serverkit.plain(), True), (serverkit.ROOT, False)):
        run = serverkit.run_locust(args, cwd=where, env={"PYTHONPATH": str(where)})
        assert run.code == 0, run.text
        assert ("plain Python" in run.err) == said, run.text
