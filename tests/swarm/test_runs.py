"""No sample is lost at the end of a run, however it is driven and ended, and all places show the same."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request

import serverkit
from swarmkit import Swarm, scene

#: Acks that come half a second after users were told to stop, and an `on_stop` that takes a second.
SLOW = {"SLOW_CALL": "1", "SLOW_STOP": "1"}


@scene
def test_one_process_ends_by_its_run_time(swarm: Swarm) -> None:
    assert swarm.run(swarm.args("-t", "4s"), SLOW) == 0
    swarm.assert_everything_agrees()
    counts = swarm.counts()
    assert counts["DISCONNECT", "client"] == counts["CONNECT", "/"] == (20, 0)
    assert counts["EMIT", "echo"][0] > 20
    assert swarm.report["users"]["peak"] == 20


@scene
def test_workers_that_are_forked_end_by_their_run_time(swarm: Swarm) -> None:
    args = swarm.args("-t", "4s", "--processes", "2")
    assert swarm.run(args, SLOW | {"FAIL": "1"}) == 1, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    count, failures = swarm.counts()["CALL", "refused"]
    assert count == failures > 0
    assert swarm.report["exit_code"] == 1
    assert swarm.report["workers"] == {"expected": 2, "lost": 0}
    assert swarm.report["users"]["peak"] == 20


@scene
def test_sigint_ends_a_run_like_its_run_time(swarm: Swarm) -> None:
    ended_by(signal.SIGINT, swarm, workers=0)


@scene
def test_sigterm_ends_a_run_like_its_run_time(swarm: Swarm) -> None:
    ended_by(signal.SIGTERM, swarm, workers=0)


@scene
def test_sigint_ends_a_run_with_workers(swarm: Swarm) -> None:
    ended_by(signal.SIGINT, swarm, workers=2)


@scene
def test_sigterm_ends_a_run_with_workers(swarm: Swarm) -> None:
    ended_by(signal.SIGTERM, swarm, workers=2)


def ended_by(number: signal.Signals, swarm: Swarm, *, workers: int) -> None:
    more = ["--processes", str(workers)] if workers else []
    process = swarm.start(swarm.args(*more), SLOW)
    assert swarm.interrupt(process, number, after=1.5) == 0, str(process)
    swarm.assert_everything_agrees()


@scene
def test_master_and_workers_as_processes_of_their_own(swarm: Swarm) -> None:
    port = serverkit.swarm_ports()
    master = swarm.start(swarm.args("-t", "4s", "--master", "--expect-workers", "2", *port), SLOW)
    plain = ["-f", swarm.args()[1], "--worker", "--master-host", "127.0.0.1", *port[-2:]]
    workers = [swarm.start(plain, SLOW | {"SKEW": str(skew)}) for skew in (0, 3)]
    assert master.wait(40) == 0, str(master)
    assert [worker.wait(10) for worker in workers] == [0, 0]
    swarm.assert_everything_agrees()
    (push,) = [event for event in swarm.report["events"] if event["type"] == "PUSH"]
    assert push["count"] > 0 and push["failures"] == 0
    assert push["latency_ms"]["max"] < 1500, "one worker's clock is 3 s ahead"
    assert 0 < push["clock_error_ms"] < 5


@scene
def test_statistics_that_are_reset_when_all_users_are_there(swarm: Swarm) -> None:
    args = swarm.args("-t", "4s", "--reset-stats", "--processes", "2")
    assert swarm.run([*args, "-r", "10"], SLOW) == 0, str(swarm.processes[0])
    counts = swarm.counts()
    assert counts == {row: n for row, n in swarm.csv_counts().items() if n != (0, 0)}, str(swarm.processes[0])
    assert counts["DISCONNECT", "client"] == (20, 0)
    assert swarm.report["duration_s"] < 3.6, "the clock of the run began anew"
    assert swarm.report["ledger"]["open"] == 0 and swarm.report["untrusted"] == []


@scene
def test_a_worker_that_is_told_to_end_alone_reports_all(swarm: Swarm) -> None:
    port = serverkit.swarm_ports()
    master = swarm.start(swarm.args("-t", "4s", "--master", "--expect-workers", "2", *port), SLOW)
    plain = ["-f", swarm.args()[1], "--worker", "--master-host", "127.0.0.1", *port[-2:]]
    workers = [swarm.start(plain, SLOW) for _ in range(2)]
    master.wait_for(serverkit.SPAWNED, 20)
    workers[0].signal(signal.SIGTERM)
    assert master.wait(40) == 0, str(master)
    swarm.assert_everything_agrees()


@scene
def test_workers_that_are_told_to_stop_are_waited_for(swarm: Swarm) -> None:
    """Locust forgets them for as long as users may take to stop, while what is open is still answered."""
    web = [
        "--web-host",
        "127.0.0.1",
        "--web-port",
        str(serverkit.free_port()),
        "--autostart",
        "--autoquit",
        "0",
    ]
    args = swarm.args("--processes", "2", "-t", "3s", "--stop-timeout", "4", *web)
    args.remove("--headless")
    assert swarm.run(args, {"OWED": "2"}) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert "was lost" not in swarm.processes[0].err


@scene
def test_a_run_that_ends_while_it_ramps_up(swarm: Swarm) -> None:
    args = [*swarm.args("-t", "3s", "--processes", "2"), "-u", "400", "-r", "10"]
    assert swarm.run(args, SLOW) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert swarm.report["users"]["peak"] < 100


@scene
def test_a_killed_worker_is_named_and_fails_the_run(swarm: Swarm) -> None:
    port, page = serverkit.swarm_ports(), swarm.folder / "page.html"
    more = ["--sio-html", page, "--sio-metrics-port", "0"]
    master = swarm.start(swarm.args("-t", "14s", "--master", "--expect-workers", "2", *port, *more))
    plain = ["-f", swarm.args()[1], "--worker", "--master-host", "127.0.0.1", *port[-2:]]
    workers = [swarm.start(plain) for _ in range(2)]
    metrics = master.wait_for(r"metrics on (http://\S+)", 20)[1]
    master.wait_for(serverkit.SPAWNED, 20)
    time.sleep(9)  # both have measured themselves, and told
    workers[0].popen.kill()
    lost = master.wait_for(r"worker (\S+) was lost", 20)[1]
    with urllib.request.urlopen(metrics, timeout=10) as answer:
        measure = set(
            re.findall(r'^sioload_generator_cpu_cores{worker="(.+)"}', answer.read().decode(), re.M)
        )
    assert len(measure) == 1 and lost not in measure, "it measures nothing any more"
    assert master.wait(40) == 4, str(master)
    report = swarm.report
    assert report["exit_code"] == 4
    assert report["workers"] == {"expected": 2, "lost": 1}
    loss = re.search(r"worker (\S+) was lost with up to ([\d.]+) s of its samples unreported", master.err)
    assert loss, str(master)
    assert 0 < float(loss[2]) <= 6
    assert any(loss[1] in reason for reason in report["untrusted"])
    assert "UNTRUSTED" in master.out
    assert swarm.csv_counts() == swarm.counts()
    data = re.search(r'id="sioload-data"[^>]*>(.+?)</script>', page.read_text(), re.DOTALL)
    assert data
    cpu = {name: found["cpu"] for name, found in json.loads(data[1])["columns"]["processes"].items()}
    assert any(cpu[lost]) and cpu[lost][-1] is None, "its line ends with it"
    assert all(values[-1] is not None for name, values in cpu.items() if name != lost)


@scene
def test_a_second_signal_hurries_the_end(swarm: Swarm) -> None:
    process = swarm.start(swarm.args(), {"SLOW_STOP": "60"})
    process.wait_for(serverkit.SPAWNED, 20)
    time.sleep(1)
    process.signal(signal.SIGINT)
    time.sleep(0.5)
    process.signal(signal.SIGINT)
    assert process.wait(15) == 0, str(process)
    swarm.assert_everything_agrees()


@scene
def test_json_on_standard_output_stays_json(swarm: Swarm) -> None:
    assert swarm.run(swarm.args("-t", "2s", "--json")) == 0
    rows = json.loads(swarm.processes[0].out)
    assert {(r["method"], r["name"]): (r["num_requests"], r["num_failures"]) for r in rows} == swarm.counts()
    assert "ledger" in swarm.processes[0].err


@scene
def test_listeners_of_the_request_event_get_every_sample(swarm: Swarm) -> None:
    env = {"LISTEN": str(swarm.folder / "heard"), "FAIL": "1"}
    assert swarm.run(swarm.args("-t", "3s"), env) == 1, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    heard = {}
    for line in (swarm.folder / "heard").read_text().splitlines():
        kind, name, *numbers = line.split("\t")
        heard[kind, name] = tuple(map(int, numbers))
    assert {row: numbers[:2] for row, numbers in heard.items()} == swarm.counts()
    assert heard["EMIT", "echo"][2] == 0
    assert heard["CALL", "echo"][2] == heard["CALL", "echo"][0]


@scene
def test_names_beyond_the_limit_fall_under_other(swarm: Swarm) -> None:
    args = swarm.args("-t", "4s", "--processes", "2")
    assert swarm.run(args, {"NAMES": "300", "WAIT": "0.01"}) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    names = {name for _, name in swarm.counts()}
    assert 150 < len(names) <= 200
    assert swarm.counts()["CALL", "(other)"][0] > 100


@scene
def test_a_listener_of_the_request_event_may_end_the_run(swarm: Swarm) -> None:
    script = swarm.folder / "finish.py"
    script.write_text(
        f"exec(open({str(swarm.args()[1])!r}).read())\n"
        "@events.init.add_listener\n"
        "def add(environment, **_):\n"
        "    listener = lambda exception, **_: exception and environment.runner.quit()\n"
        "    environment.events.request.add_listener(listener)\n"
    )
    args = swarm.args("-t", "60s")
    args[1] = script
    assert swarm.run(args, {"FAIL": "1"}, timeout=30) == 1, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert "too slow" not in swarm.processes[0].err, str(swarm.processes[0])


@scene
def test_a_listener_of_spawning_complete_may_end_the_run(swarm: Swarm) -> None:
    """It is told in the greenlet that spawns users, which Locust ends in the middle of its stop."""
    script = swarm.folder / "finish.py"
    script.write_text(
        f"exec(open({str(swarm.args()[1])!r}).read())\n"
        "@events.init.add_listener\n"
        "def add(environment, **_):\n"
        "    def finish(**_):\n"
        "        gevent.sleep(1)\n"
        "        environment.runner.quit()\n"
        "    environment.events.spawning_complete.add_listener(finish)\n"
    )
    args = swarm.args("-t", "60s")
    args[1] = script
    assert swarm.run(args, timeout=30) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert swarm.report["users"]["peak"] == 20 and swarm.report["duration_s"] >= 1


@scene
def test_a_message_from_a_worker_may_end_the_run(swarm: Swarm) -> None:
    """Locust hands it over in the greenlet that receives what the master then waits for.

    The users that stop meanwhile take rows of a feed.
    """
    script = swarm.folder / "finish.py"
    script.write_text(
        f"exec(open({str(swarm.args()[1])!r}).read())\n"
        "from sioload import feed\n"
        "words = feed([{'word': 'bye'}])\n"
        "slow = Talker.on_stop\n"
        "def on_stop(self):\n"
        "    slow(self)\n"
        "    self.sio.emit('echo', next(words)['word'], name='bye')\n"
        "Talker.on_stop = on_stop\n"
        "@events.init.add_listener\n"
        "def register(environment, runner, **_):\n"
        "    if hasattr(runner, 'clients'):\n"
        "        runner.register_message('finish', lambda **_: runner.quit())\n"
        "    else:\n"
        "        gevent.spawn_later(3, runner.send_message, 'finish')\n"
    )
    args = swarm.args("-t", "60s", "--processes", "2")
    args[1] = script
    assert swarm.run(args, SLOW, timeout=30) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    assert swarm.counts()["EMIT", "bye"] == (20, 0)
