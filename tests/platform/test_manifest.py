"""What `cf push` is told: both apps start with just what the platform gives them."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import requests

from service.settings.model import Settings
from tests.load.locust_run import ROOT
from tests.load.lying_server import lying
from tests.load.running_fleet import sample
from tests.platform.apps import LOCUST, SERVICE, environment
from tests.platform.cell import Container
from tests.support.etcd import EtcdServer, free_ports, wait_for

GUID = "41653aa4-3a3a-486a-4431-ef258b39f042"


def test_service_starts_with_what_the_platform_gives_it(tmp_path: Path) -> None:
    """PORT, index, guid and the bound etcd are used; both health checks pass; SIGTERM reaches it through the shell."""
    (port,) = free_ports(1)
    with EtcdServer(tmp_path / "etcd") as etcd:
        hosts = [{"hostname": "127.0.0.1", "port": etcd.client_port}]
        env = environment(
            SERVICE, port=port, index=3, guid=GUID, credentials={"connection": {"grpc": {"hosts": hosts}}}
        )
        with Container(SERVICE, port, env, tmp_path / "log") as container:
            container.wait_until("health-check")
            container.wait_until("readiness-health-check")
            assert requests.put(f"{container.url}/config/pushed", data=b"true", timeout=5).status_code == 201
            wait_for(lambda: sample(container.url, "config_member_slot") == 3, what="the slot of its index")
            # The watch tells it of itself after etcd has given it the slot.
            wait_for(lambda: GUID in requests.get(f"{container.url}/members", timeout=5).text, what="a member")
            container.ask_to_stop()
            assert container.wait().code == 0, container.printed()


def test_locust_app_serves_its_page_on_the_port_given(tmp_path: Path) -> None:
    """The same command, with locust installed already: the page answers, and its HOST is the address of the service."""
    (port,) = free_ports(1)
    with lying("") as server:
        env = environment(LOCUST, port=port, index=0, guid=GUID) | {"HOST": server.address, "PIP_NO_INDEX": "1"}
        with Container(LOCUST, port, env, tmp_path / "log") as container:
            container.wait_until("health-check")
            assert server.address in requests.get(container.url, timeout=5).text


def test_service_is_four_small_instances_with_health_and_readiness_checks() -> None:
    """Four instances of 256 MB, health on /healthz, readiness on what is routed by, no shell left in between."""
    assert (SERVICE["instances"], SERVICE["memory"]) == (4, "256M")
    assert (SERVICE["health-check-type"], SERVICE["health-check-http-endpoint"]) == ("http", "/healthz")
    assert SERVICE["readiness-health-check-type"] == "http"
    assert SERVICE["readiness-health-check-http-endpoint"] == "/readyz?for=routing"
    assert SERVICE["command"].startswith("exec ")
    assert " exec " in LOCUST["command"]


def test_every_variable_in_the_manifest_is_a_setting() -> None:
    """A misspelt one would be ignored in silence."""
    assert set(SERVICE["env"]) <= {doc.name for doc in Settings.describe()}
    Settings.load({name: str(value) for name, value in SERVICE["env"].items()})


def test_runtime_is_the_python_that_the_project_asks_for() -> None:
    """The buildpack reads runtime.txt: one line, python-3.<minor>.x picks the newest patch it has."""
    runtime = (ROOT / "runtime.txt").read_text()
    found = re.fullmatch(r"python-3\.(\d+)\.x\n", runtime)
    assert found, runtime
    assert int(found[1]) >= 11


def test_locust_is_pinned_to_the_version_that_was_tested() -> None:
    """What the locust app installs is what the tests ran with."""
    pinned = (ROOT / "tools" / "requirements-load.txt").read_text().strip()
    assert pinned == f"locust=={metadata.version('locust')}"
