"""`sioload target`: the embedded server alone."""

from __future__ import annotations

import signal

import serverkit


def test_serves_until_it_is_told_to_end(tmp_path):
    with serverkit.Process(serverkit.sioload(["target", "--port", "0"]), cwd=tmp_path, fresh=True) as process:
        port = process.wait_for(serverkit.READY, 20).group(1)
        assert serverkit.counts(f"http://127.0.0.1:{port}")["received"] == {}
        process.signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_an_address_that_cannot_be_bound(tmp_path):
    done = serverkit.run_sioload(["target", "--host", "192.0.2.1"], 20, cwd=tmp_path, fresh=True)
    assert done.code == 1
    assert done.err.startswith("can't listen on 192.0.2.1:5000") and done.err.count("\n") == 1
    assert done.err.endswith("assign requested address; choose another --port, or --host\n")
