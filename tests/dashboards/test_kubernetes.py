"""The manifest for Kubernetes: its parts fit each other, its commands make a run, and its schemas take it."""

from __future__ import annotations

import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import serverkit
import yaml

MANIFEST = serverkit.ROOT / "dashboards" / "kubernetes.yaml"
PARTS: dict[tuple[str, str], dict[str, Any]] = {
    (part["kind"], part["metadata"]["name"]): part for part in yaml.safe_load_all(MANIFEST.read_text())
}


def pod(role: str) -> dict[str, Any]:
    template: dict[str, Any] = PARTS["Job", f"sioload-{role}"]["spec"]["template"]
    return template


def container(role: str) -> dict[str, Any]:
    (only,) = pod(role)["spec"]["containers"]
    return dict(only)


def test_its_parts_fit_each_other_and_the_image() -> None:
    service = PARTS["Service", "sioload-master"]["spec"]
    assert service["selector"].items() <= pod("master")["metadata"]["labels"].items()
    assert not service["selector"].items() <= pod("worker")["metadata"]["labels"].items()
    named = {port["name"]: port["containerPort"] for port in container("master")["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == named
    image = (serverkit.ROOT / "Dockerfile").read_text()
    assert set(map(str, named.values())) == set(image.partition("EXPOSE ")[2].splitlines()[0].split())
    expected = PARTS["Job", "sioload-worker"]["spec"]
    assert expected["parallelism"] == expected["completions"]
    assert f"--expect-workers={expected['parallelism']}" in container("master")["args"]
    for role in ("master", "worker"):
        spec = pod(role)["spec"]
        assert f"--uid {spec['securityContext']['runAsUser']} " in image
        assert {"requests", "limits"} <= container(role)["resources"].keys()
        mounted = {each["mountPath"]: each["name"] for each in container(role)["volumeMounts"]}
        volumes = {each["name"]: each for each in spec["volumes"]}
        assert volumes[mounted["/load"]]["configMap"]["name"] == "sioload" and mounted.keys() == {
            "/load",
            "/tmp",
        }
    assert (
        f"--master-host={PARTS['Service', 'sioload-master']['metadata']['name']}"
        in container("worker")["args"]
    )


def test_the_operators_get_the_same_run() -> None:
    first, second = yaml.safe_load_all((MANIFEST.parent / "operators.yaml").read_text())
    whole = container("master")["args"]
    load = [arg for arg in whole if arg.startswith(("--sio-phases", "--sio-check", "--host"))]
    assert len(load) == 3 and set(load) <= set(shlex.split(first["spec"]["args"]))
    master = second["spec"]["master"]
    assert set(load) <= {*master["command"].split(), *master["extraArgs"]}
    assert first["spec"]["workers"] == second["spec"]["worker"]["replicas"]
    assert first["spec"]["locustfile"]["configMap"]["name"] == second["spec"]["testFiles"]["configMapRef"]
    assert ("ConfigMap", second["spec"]["testFiles"]["configMapRef"]) in PARTS


@pytest.mark.verify
def test_its_commands_make_a_run(target: serverkit.Server, tmp_path: Path) -> None:
    for name, text in PARTS["ConfigMap", "sioload"]["data"].items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    bind, web, metrics = (str(serverkit.free_port()) for _ in range(3))
    places = {"/load": str(tmp_path), "http://my-server:5000": target.url, "sioload-master": "127.0.0.1",
              "0.0.0.0": "127.0.0.1", "5557": bind, "9646": metrics, "0..200 users": "0..4 users",
              "over 30s": "over 1s", "200 users for 5m": "4 users for 1s"}  # fmt: skip

    def command(role: str, *more: str) -> list[Any]:
        args = container(role)["args"]
        for written, here in places.items():
            args = [arg.replace(written, here) for arg in args]
        return serverkit.locust([*args, *more])

    ports = ["--master-bind-host", "127.0.0.1", "--master-bind-port", bind, "--web-port", web]
    with serverkit.Process(command("master", *ports)) as master:
        workers = [serverkit.Process(command("worker")) for _ in range(2)]
        try:
            assert master.wait(60) == 0, str(master)
            assert "4 users" in master.out, str(master)
            assert [worker.wait(20) for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                worker.close()
    assert target.counts()["acks"]["/"]["echo"]


@pytest.mark.verify
def test_the_schemas_of_kubernetes_take_it(tmp_path: Path) -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--target",
        str(tmp_path),
    ]
    got = serverkit.run([*pip, "kubernetes-validate"], 110)
    assert got.code == 0, got.text
    env = {"PYTHONPATH": str(tmp_path)}
    judge = [sys.executable, "-m", "kubernetes_validate", "--strict"]
    done = serverkit.run([*judge, MANIFEST], 60, env=env)
    assert done.code == 0 and done.out.count(" passed for resource ") == len(PARTS), done.text
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MANIFEST.read_text().replace("parallelism: 2", "paralelism: 2"))
    assert serverkit.run([*judge, wrong], 60, env=env).code != 0
