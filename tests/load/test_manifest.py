"""What `cf push` is told: both apps start with just what the platform gives them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import requests
import yaml

from service.settings import Settings
from tests.load.locust_run import ROOT
from tests.load.lying_server import lying
from tests.load.running_fleet import sample
from tests.support.etcd import EtcdServer, free_ports

START_WITHIN = 30.0
STOP_WITHIN = 10.0
"""Cloud Foundry kills ten seconds after SIGTERM."""

APPS: dict[str, dict[str, Any]] = {
    app["name"]: app for app in yaml.safe_load((ROOT / "manifest.yml").read_text(encoding="utf-8"))["applications"]
}
SERVICE = APPS["config-service"]
LOCUST = APPS["config-service-locust"]


def platform(app: Mapping[str, Any], port: int) -> dict[str, str]:
    """The environment of the first instance, as Cloud Foundry sets it; and the PATH and tools of a buildpack."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "CI") if name in os.environ}
    return {
        **kept,
        **{name: str(value) for name, value in app["env"].items()},
        "PORT": str(port),
        "CF_INSTANCE_INDEX": "3",
        "CF_INSTANCE_GUID": "41653aa4-3a3a-486a-4431-ef258b39f042",
        "CF_INSTANCE_IP": "127.0.0.1",
        "CF_INSTANCE_INTERNAL_IP": "127.0.0.1",
        "VCAP_APPLICATION": json.dumps({"application_name": app["name"], "instance_index": 3, "limits": {"mem": 256}}),
    }


def bound_etcd(port: int) -> str:
    """VCAP_SERVICES with the service instance that the manifest names."""
    (name,) = SERVICE["services"]
    credentials = {"connection": {"grpc": {"hosts": [{"hostname": "127.0.0.1", "port": port}]}}}
    return json.dumps({"user-provided": [{"name": name, "label": "user-provided", "credentials": credentials}]})


@contextmanager
def started(command: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command as the platform runs it: by a shell, in the app's directory, with a process group of its own."""
    python = Path(sys.executable).parent
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=ROOT,
            env={**env, "PATH": f"{python}{os.pathsep}{env['PATH']}"},
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the health check passes. Raises AssertionError with the log."""
    deadline = time.monotonic() + START_WITHIN
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=2).status_code == 200:
                return
        time.sleep(0.1)


def test_service_starts_with_what_the_platform_gives_it(tmp_path: Path) -> None:
    """PORT, index, guid and the bound etcd are used; both health checks pass; SIGTERM reaches it through the shell."""
    port, log = free_ports(1)[0], tmp_path / "log"
    with EtcdServer(tmp_path / "etcd") as etcd:
        env = platform(SERVICE, port) | {"VCAP_SERVICES": bound_etcd(etcd.client_port)}
        with started(SERVICE["command"], env, log) as process:
            base = f"http://127.0.0.1:{port}"
            wait_for(base + SERVICE["health-check-http-endpoint"], process, log)
            wait_for(base + SERVICE["readiness-health-check-http-endpoint"], process, log)
            assert requests.put(f"{base}/config/pushed", data=b"true", timeout=5).status_code == 201
            assert sample(base, "config_member_slot") == 3
            assert "41653aa4-3a3a-486a-4431-ef258b39f042" in requests.get(f"{base}/members", timeout=5).text
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_WITHIN) == 0, log.read_text()


def test_locust_app_serves_its_page_on_the_port_given(tmp_path: Path) -> None:
    """The same command, with locust installed already: the page answers, and its HOST is the address of the service."""
    port, log = free_ports(1)[0], tmp_path / "log"
    with lying("") as server:
        env = platform(LOCUST, port) | {"HOST": server.address, "PIP_NO_INDEX": "1"}
        with started(LOCUST["command"], env, log) as process:
            wait_for(f"http://127.0.0.1:{port}{LOCUST['health-check-http-endpoint']}", process, log)
            assert server.address in requests.get(f"http://127.0.0.1:{port}/", timeout=5).text


def test_service_is_four_small_instances_with_health_and_readiness_checks() -> None:
    """Four instances of 256 MB, http health check on /healthz, readiness on /readyz, no shell left in between."""
    assert (SERVICE["instances"], SERVICE["memory"]) == (4, "256M")
    assert (SERVICE["health-check-type"], SERVICE["health-check-http-endpoint"]) == ("http", "/healthz")
    assert SERVICE["readiness-health-check-type"] == "http"
    assert SERVICE["readiness-health-check-http-endpoint"] == "/readyz"
    assert SERVICE["command"].startswith("exec ")
    assert " exec " in LOCUST["command"]


def test_every_variable_in_the_manifest_is_a_setting() -> None:
    """A misspelt one would be ignored in silence."""
    assert set(SERVICE["env"]) <= {doc.name for doc in Settings.describe()}
    assert Settings.load({name: str(value) for name, value in SERVICE["env"].items()})


def test_runtime_is_the_python_that_the_project_asks_for() -> None:
    """The buildpack reads runtime.txt: one line, python-3.<minor>.x picks the newest patch it has."""
    runtime = (ROOT / "runtime.txt").read_text()
    found = re.fullmatch(r"python-3\.(\d+)\.x\n", runtime)
    assert found, runtime
    assert int(found[1]) >= 11


def test_locust_is_pinned_to_the_version_that_was_tested() -> None:
    """What the locust app installs is what the tests ran with."""
    pinned = (ROOT / "deploy" / "requirements-load.txt").read_text().strip()
    assert pinned == f"locust=={metadata.version('locust')}"
