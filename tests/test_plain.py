"""sioload as plain Python, as it runs where there is no C compiler; all other tests run what is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import forked
import pytest
import serverkit

PURE = ["tests/socketio/test_codec.py", "tests/socketio/test_v0.py", "tests/measure/test_histogram.py"]
MORE = ["tests/socketio", "tests/net/test_websocket.py", "tests/measure", "tests/users/test_schedule.py"]


def passes(tests: list[str], cache: Path) -> None:
    """These tests pass with plain Python, in pytest and in the scripts that they run."""
    plain = str(serverkit.plain())
    env = {"PYTHONPATH": plain, forked.TESTED: plain, "PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""}
    pytest_ = Path(sys.executable).with_name("pytest")
    done = serverkit.run([pytest_, "-m", "not verify", "-o", f"cache_dir={cache}", *tests], 280, env=env)
    assert done.code == 0, done.text
    assert " passed" in done.out, done.text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tests", [PURE, pytest.param(MORE, marks=pytest.mark.verify)])
def test_plain_python_does_the_same(tests: list[str], tmp_path: Path) -> None:
    passes(tests, tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("tests", "which"),
    [
        ("tests/client/test_client.py", "sio4 and websocket"),
        pytest.param("tests/client", "", marks=pytest.mark.verify),
        pytest.param("tests/conformance/test_matrix.py", "4.8.4-websocket", marks=pytest.mark.verify),
    ],
)
def test_plain_python_speaks_to_servers_alike(tests: str, which: str, tmp_path: Path) -> None:
    passes([tests, "-k", which], tmp_path)


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
