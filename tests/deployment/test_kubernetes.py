"""deploy/kubernetes: Kubernetes takes the objects, they fit together, and the service does what they rest upon."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import requests
import yaml

from metrics.build import version
from service.process.stopping import END_WITHIN
from service.settings.model import Settings
from tests.deployment.kustomized import Object, documents, identity, rendered
from tests.support.etcd import EtcdServer
from tests.support.https import Https
from tests.support.instances import PROJECT, InstanceProcess, within

FOLDER = PROJECT / "deploy" / "kubernetes"
DOCUMENT = (PROJECT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
OVERLAYS = ("production", "trial", "https")
FOREIGN = {
    "ServiceMonitor": {"selector", "endpoints"},
    "Certificate": {"secretName", "dnsNames", "usages", "privateKey", "issuerRef"},
}
"""Kinds that are not Kubernetes' own, of which no schema is here, and what they say."""
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest whose API the objects are held against."""

PROBES = ("startup", "liveness", "readiness")

TOKEN = "0123456789-abcdef-0123"
TOKENS = '[{"name": "team", "token": "%s", "scopes": ["admin"]}]'


def objects(overlay: str) -> list[Object]:
    return rendered(FOLDER / "overlays" / overlay)


def one(overlay: str, kind: str, name: str = "config-service") -> Object:
    (found,) = (each for each in objects(overlay) if identity(each) == (kind, name))
    return found


def pod(overlay: str = "production") -> Any:
    return one(overlay, "Deployment")["spec"]["template"]["spec"]


def container(overlay: str = "production") -> Any:
    (found,) = pod(overlay)["containers"]
    return found


ALL = [
    *((name, each) for name in OVERLAYS for each in objects(name)),
    ("mirror", documents(FOLDER / "examples/mirror.yaml")[0]),
]


@pytest.mark.parametrize("release", VERSIONS)
@pytest.mark.parametrize(
    ("where", "thing"), ALL, ids=lambda each: each if isinstance(each, str) else "-".join(identity(each))
)
def test_kubernetes_takes_it(where: str, thing: Object, release: str) -> None:
    """Kinds that are not Kubernetes' own have no schema here."""
    del where
    if thing["kind"] in FOREIGN:
        with pytest.raises(kubernetes_validate.SchemaNotFoundError):
            kubernetes_validate.validate(thing, release, strict=True)
        assert set(thing["spec"]) == FOREIGN[thing["kind"]]
        return
    kubernetes_validate.validate(thing, release, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    thing = one("production", "PodDisruptionBudget")
    thing["spec"]["maxUnavailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailabel"):
        kubernetes_validate.validate(thing, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_is_put_together_as_kubectl_does_it(overlay: str) -> None:
    """Where kubectl is; elsewhere at least nothing in it is unknown to what stands for it here."""
    found = objects(overlay)
    assert len(found) >= 6
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        theirs = {identity(each): each for each in yaml.safe_load_all(done.stdout)}
        assert {identity(each): in_order(each) for each in found} == {
            name: in_order(each) for name, each in theirs.items()
        }


def in_order(thing: Any) -> Any:
    """Lists of objects have no order that counts here."""
    if isinstance(thing, dict):
        return {name: in_order(each) for name, each in thing.items()}
    if isinstance(thing, list):
        return sorted((in_order(each) for each in thing), key=repr)
    return thing


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_reference_leads_to_something(overlay: str) -> None:
    labels = one(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert one(overlay, "Deployment")["spec"]["selector"]["matchLabels"].items() <= labels
    assert one(overlay, "Service")["spec"]["selector"].items() <= labels
    for kind, member in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert one(overlay, kind)["spec"][member]["matchLabels"].items() <= labels
    ports = {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}
    assert [port["targetPort"] for port in one(overlay, "Service")["spec"]["ports"]] == list(ports)
    assert {
        container(overlay)[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")
    } <= set(ports)
    assert identity(one(overlay, "ServiceAccount"))[1] == pod(overlay)["serviceAccountName"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(overlay)["volumeMounts"]}
    assert list(mounts) == [volume["name"] for volume in pod(overlay)["volumes"]]
    files = [each["value"] for each in container(overlay)["env"] if each.get("value", "").startswith("/")]
    assert all(any(file.startswith(f"{path}/") for path in mounts.values()) for file in files)
    secrets = {volume["secret"]["secretName"] for volume in pod(overlay)["volumes"]}
    renewed = {each["spec"]["secretName"] for each in objects(overlay) if each["kind"] == "Certificate"}
    assert all(f"create secret generic {secret}" in DOCUMENT for secret in secrets - renewed)
    assert renewed <= secrets


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_variables_are_settings_that_the_service_takes(overlay: str, tmp_path: Path) -> None:
    given = dict(one(overlay, "ConfigMap")["data"])
    given |= {each["name"]: each.get("value", "10.0.0.7") for each in container(overlay)["env"]}
    assert given.keys() <= {doc.name for doc in Settings.describe()}
    if "TLS_CERT" in given:
        given |= Https.made(tmp_path / "tls").settings()
    settings = Settings.load(
        {name: value for name, value in given.items() if name not in ("ETCD_CA_CERT", "ETCD_CERT", "ETCD_KEY")}
    )
    assert settings.port == container(overlay)["ports"][0]["containerPort"]
    assert settings.expected_instances == one(overlay, "Deployment")["spec"]["replicas"]
    allowed = {port["port"] for rule in one(overlay, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]}
    etcd = {int(endpoint.rpartition(":")[2]) for endpoint in settings.etcd_endpoints}
    assert etcd | {settings.port, 53} == allowed
    (inside,) = one(overlay, "NetworkPolicy")["spec"]["ingress"]
    assert inside["ports"] == [{"protocol": "TCP", "port": settings.port}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_routes_and_metrics_speak_what_the_service_speaks(overlay: str) -> None:
    """Over HTTPS, under names that the certificate is for."""
    given = {each["name"]: each.get("value") for each in container(overlay)["env"]}
    probes = {container(overlay)[f"{name}Probe"]["httpGet"].get("scheme", "HTTP") for name in PROBES}
    (port,) = one(overlay, "Service")["spec"]["ports"]
    if "TLS_CERT" not in given:
        assert (probes, port["port"]) == ({"HTTP"}, 80)
        return
    assert (probes, port["port"]) == ({"HTTPS"}, 443)
    certificate = one(overlay, "Certificate")
    (endpoint,) = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
    assert {given["TLS_PEER_NAME"], endpoint["tlsConfig"]["serverName"]} <= set(certificate["spec"]["dnsNames"])
    assert given["TLS_PEER_NAME"] == "config-service.{namespace}.svc".format(**certificate["metadata"])
    assert (endpoint["port"], endpoint["scheme"]) == (port["name"], "https")
    assert endpoint["tlsConfig"]["ca"]["secret"]["name"] == certificate["spec"]["secretName"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_certificate_of_the_overlay_is_what_peers_and_probes_ask_for(tmp_path: Path) -> None:
    """Two pods with the files that the secret would have, for its names alone: they reach each other by address."""
    names = one("https", "Certificate")["spec"]["dnsNames"]
    given = {each["name"]: each.get("value") for each in container("https")["env"]}
    settings = Https.made(tmp_path / "tls", *names).settings()
    assert settings.keys() | {"TLS_PEER_NAME"} == {name for name in given if name.startswith("TLS_")}
    settings["TLS_PEER_NAME"] = given["TLS_PEER_NAME"]
    with EtcdServer(tmp_path / "etcd") as etcd:
        pods = [InstanceProcess(tmp_path / name, ETCD_ENDPOINTS=etcd.endpoint, **settings) for name in "ab"]
        for each in pods:
            each.verify = False  # as the kubelet
        with pods[0], pods[1]:
            for name in PROBES:
                assert pods[0].answers(200, container("https")[f"{name}Probe"]["httpGet"]["path"])
            assert within(10, lambda: len(pods[0].request("GET", "/members").json()["members"]) == 2)
            states = pods[0].request("GET", "/members/states").json()["members"]
            assert [member.get("why_not") for member in states if not member.get("state")] == []


def test_a_pod_may_take_longer_to_end_than_the_service_does() -> None:
    drain = float(one("production", "ConfigMap")["data"]["DRAIN_WAIT"])
    probe = container()["readinessProbe"]
    assert pod()["terminationGracePeriodSeconds"] > END_WITHIN > drain
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]


def test_the_image_is_of_this_version_and_runs_as_the_user_that_it_is_made_for() -> None:
    assert container()["image"] == f"config-service:{version()}"
    made = (PROJECT / "deploy/container/Dockerfile").read_text(encoding="utf-8")
    context = pod()["securityContext"]
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in made
    assert context["runAsNonRoot"] is True
    assert f"\nEXPOSE {container()['ports'][0]['containerPort']}\n" in made


def test_the_memory_it_may_take_is_enough_for_the_least_that_the_service_wants() -> None:
    limit = container("trial")["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    Settings.load({"MEMORY_LIMIT": str(int(limit.removesuffix("Mi")) * 1024**2)})


class Mounted:
    """A secret as Kubernetes mounts it: what is seen is a link, and a change is one rename."""

    def __init__(self, directory: Path, tokens: str) -> None:
        self._directory = directory
        directory.mkdir()
        self.file = directory / "tokens.json"
        self.change(tokens, "..1")
        self.file.symlink_to("..data/tokens.json")

    def change(self, tokens: str, name: str) -> None:
        there = self._directory / name
        there.mkdir()
        (there / "tokens.json").write_text(tokens)
        link = self._directory / "..data_tmp"
        link.symlink_to(name)
        link.rename(self._directory / "..data")


def test_the_probes_mean_what_the_manifest_takes_them_for(tmp_path: Path) -> None:
    """They need no token. An etcd that is away changes none. SIGTERM ends the routes to the pod, which serves on."""
    probes = {name: container()[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    secret = Mounted(tmp_path / "secret", TOKENS % TOKEN)
    with EtcdServer(tmp_path / "etcd") as etcd:
        instance = InstanceProcess(
            tmp_path, ETCD_ENDPOINTS=etcd.endpoint, API_TOKENS_FILE=str(secret.file), DRAIN_WAIT="5", ETCD_TIMEOUT="0.5"
        )
        with instance:
            assert {name: instance.answers(200, path) for name, path in probes.items()} == dict.fromkeys(probes, True)
            etcd.kill()
            assert within(15, lambda: instance.answers(503, "/readyz"))
            assert {name: instance.answers(200, path) for name, path in probes.items()} == dict.fromkeys(probes, True)
            begun = time.monotonic()
            instance.ask_to_stop()
            assert within(2, lambda: instance.answers(503, probes["readiness"]))
            assert instance.answers(200, probes["liveness"])
            instance.token = TOKEN
            assert instance.get("a").status_code == 503  # answered: etcd is away
            assert instance.wait(within=pod()["terminationGracePeriodSeconds"]) == 0
            assert time.monotonic() - begun >= 5


def test_a_changed_secret_is_read_again_without_a_signal(tmp_path: Path) -> None:
    secret = Mounted(tmp_path / "secret", TOKENS % "another-0123456789")
    with InstanceProcess(tmp_path, API_TOKENS_FILE=str(secret.file)) as instance:
        asks = {"Authorization": f"Bearer {TOKEN}"}
        assert requests.get(f"{instance.url}/members", headers=asks, timeout=5).status_code == 401
        secret.change(TOKENS % TOKEN, "..2")
        assert within(30, lambda: requests.get(f"{instance.url}/members", headers=asks, timeout=5).status_code == 200)
