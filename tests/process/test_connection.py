"""Which etcd an environment amounts to: the precedence of the sources, and what is said of those that can't be used."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from service.process.startup import StartupError
from service.settings.connection import Connection, resolve
from service.settings.model import Settings

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BASE64 = base64.b64encode(PEM.encode()).decode()


def grpc(*hosts: tuple[str, int], **more: Any) -> dict[str, Any]:
    """Credentials in the shape of `instance/etcd.config.json`."""
    return {"connection": {"grpc": {"hosts": [{"hostname": name, "port": port} for name, port in hosts], **more}}}


def bound(credentials: Any, name: str = "config-etcd", label: str = "user-provided", **more: Any) -> str:
    """VCAP_SERVICES with one service."""
    return json.dumps({label: [{"name": name, "label": label, "credentials": credentials, **more}]})


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """An empty `instance/`."""
    return tmp_path


def connect(instance: Path, **environ: str) -> Connection:
    """What this environment amounts to."""
    return resolve(Settings.load(environ), instance)


def refusal(instance: Path, **environ: str) -> str:
    """The message of a start that is refused."""
    with pytest.raises(StartupError) as refused:
        connect(instance, **environ)
    return str(refused.value)


def write(instance: Path, content: Any) -> None:
    """instance/etcd.config.json."""
    text = content if isinstance(content, str) else json.dumps(content)
    (instance / "etcd.config.json").write_text(text)


ENDPOINTS = {"ETCD_ENDPOINTS": "a:1"}
VCAP = {"VCAP_SERVICES": bound(grpc(("b", 2)))}
OTHER_VCAP = {"VCAP_SERVICES": bound(grpc(("b", 2)), name="database", label="postgres")}


@pytest.mark.parametrize(
    ("environ", "file", "origin", "endpoints"),
    [
        ({**ENDPOINTS, **VCAP}, True, "ETCD_ENDPOINTS", ("http://a:1",)),
        (VCAP, True, "VCAP_SERVICES (config-etcd)", ("http://b:2",)),
        (OTHER_VCAP, True, "etcd.config.json", ("http://c:3",)),
        ({}, True, "etcd.config.json", ("http://c:3",)),
        (OTHER_VCAP, False, "embedded", ()),
        ({}, False, "embedded", ()),
    ],
)
def test_the_first_source_that_names_an_etcd_decides(
    instance: Path, environ: dict[str, str], file: bool, origin: str, endpoints: tuple[str, ...]
) -> None:
    """ETCD_ENDPOINTS before VCAP_SERVICES before instance/etcd.config.json before embedded."""
    if file:
        write(instance, grpc(("c", 3)))
    found = connect(instance, **environ)
    assert found.origin.endswith(origin)
    assert found.endpoints == endpoints
    assert found.embedded == (not endpoints)


@pytest.mark.parametrize(
    "more",
    [
        {"name": "my-ETCD"},
        {"label": "databases-for-etcd", "name": "store"},
        {"tags": ["key-value", "etcd"], "name": "store"},
    ],
)
def test_a_service_is_an_etcd_if_its_name_label_or_tag_says_so(instance: Path, more: dict[str, Any]) -> None:
    """Platforms let people name services as they like."""
    assert connect(instance, VCAP_SERVICES=bound(grpc(("b", 2)), **more)).endpoints == ("http://b:2",)


def test_a_certificate_means_https_and_credentials_are_taken_over(instance: Path) -> None:
    """The shape of DESIGN's etcd.config.json, base64 certificate included."""
    write(
        instance,
        grpc(
            ("one", 1),
            ("two", 2),
            authentication={"method": "direct", "username": "root", "password": "s3cret"},
            certificate={"name": "ca", "certificate_base64": BASE64},
        ),
    )
    found = connect(instance)
    assert found.endpoints == ("https://one:1", "https://two:2")
    assert (found.user, found.password, found.ca_cert) == ("root", "s3cret", PEM.encode())
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("credentials", "endpoints", "user"),
    [
        ({"hosts": "a:1, b:2"}, ("http://a:1", "http://b:2"), None),
        ({"hosts": ["a:1", "b:2"], "username": "u", "password": "p"}, ("http://a:1", "http://b:2"), "u"),
        ({"uri": "https://u:p%40@a:1,b:2"}, ("https://a:1", "https://b:2"), "u"),
        ({"uri": "u:p@a:1", "certificate": PEM}, ("https://a:1",), "u"),
        ({"uri": "https://u:p,1@a:1,b:2"}, ("https://a:1", "https://b:2"), "u"),
        ({"uri": "https://u:12,34@a:1"}, ("https://a:1",), "u"),
        ({"uri": "https://u:p@p:1@a:1"}, ("https://a:1",), "u"),
        ({"uri": "https://u:p@a:1,https://u:p@b:2/"}, ("https://a:1", "https://b:2"), "u"),
        ({"hosts": ["a:1"], "uri": "https://u:p@b:2"}, ("https://a:1",), "u"),
        ({"hosts": ["https://u:p,1@a:1", "b:2"]}, ("https://a:1", "https://b:2"), "u"),
        ({"hosts": ["a:1"], "user": "", "cert": None, "hostname": "a", "port": 1}, ("http://a:1",), None),
        ({"hosts": ["a:1"], "certificate": BASE64}, ("https://a:1",), None),
    ],
)
def test_user_provided_services_may_be_flat(
    instance: Path, credentials: dict[str, Any], endpoints: tuple[str, ...], user: str | None
) -> None:
    """`hosts` or `uri`, `username`, `password`, `certificate`."""
    found = connect(instance, VCAP_SERVICES=bound(credentials))
    assert found.endpoints == endpoints
    assert found.user == user


def test_settings_win_over_what_a_source_brings(instance: Path) -> None:
    """The nearer one wins: an operator can override a bound service's user."""
    credentials = grpc(("b", 2), authentication={"username": "bound", "password": "theirs"})
    found = connect(instance, VCAP_SERVICES=bound(credentials), ETCD_USER="mine", ETCD_PASSWORD="own")
    assert (found.user, found.password) == ("mine", "own")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "line 1, column 2"),
        ("[]", "it is JSON, but an empty list and not an object"),
        ('{"connection": {}, "connection": {}}', "a name is given twice in one object"),
        ({}, "connection is missing"),
        ({"connection": {}}, "connection.grpc is missing"),
        (grpc(), "connection.grpc.hosts is an empty list"),
        (grpc(("a", 0)), "connection.grpc.hosts.0.port is 0"),
        (grpc(("a b", 1)), "connection.grpc.hosts.0.hostname is a text of 3 characters, but it is no host name"),
        (grpc(("a", 1), authentication={"username": "s3cret"}), "connection.grpc.authentication.password is missing"),
        (grpc(("a", 1), authentication={"username": "u", "password": ["s3cret"]}), "password is a list of 1"),
        (grpc(("a", 1), certificate={"certificate_base64": "s3cret!"}), "it should be base64"),
        (grpc(("a", 1), certificate={"certificate_base64": "czNjcmV0"}), "it should hold a certificate in PEM"),
    ],
)
def test_an_unusable_file_is_told_with_place_reason_and_example(instance: Path, content: Any, told: str) -> None:
    """One message: which file, what was found, an example; never a secret, never the next source instead."""
    write(instance, content)
    message = refusal(instance)
    assert str(instance / "etcd.config.json") in message
    assert told in message
    assert '"hostname": "etcd.example.com"' in message
    assert "s3cret" not in message
    assert "czNjcmV0" not in message


def test_an_unreadable_file_is_an_error_and_not_a_reason_for_an_empty_etcd(instance: Path) -> None:
    """Starting on an embedded etcd instead would look as if all configuration were gone."""
    (instance / "etcd.config.json").mkdir()
    assert "can't be read: Is a directory" in refusal(instance)


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        (None, "has no credentials"),
        ({"hosts": []}, "names no endpoint"),
        ({"hosts": ["a"]}, "has no port"),
        ({"hosts": ["a:1"], "username": "s3cret"}, "belong together"),
        ({"uri": "http://a:1", "certificate": PEM}, "expected https://"),
        ({"uri": "http://u:s3cret@a:nonsense"}, "not an address"),
        ({"uri": "http://u:s3cret@[a:1"}, "not an address"),
        ({"uri": '"http://u:s3cret@a:1"'}, "neither http nor https"),
        ({"uri": "https://u:s3cret"}, "endpoint 1 is not an address"),
        ({"uri": "https://u:s3cret,x"}, "endpoint 1 is not an address"),
        ({"uri": "u:1,s3cret@a:1"}, "not clear where the password ends"),
        ({"uri": "https://u:1,s3@cret@a:1"}, "not clear where the password ends"),
        ({"uri": "https://u:p@a:1,https://u:s3cret@b:2"}, "different users or passwords"),
        ({"uri": "https://:@a:1"}, "no user and password before it"),
        ({"uri": "https://s3cret@a:1"}, "no user and password before it"),
        ({"hosts": ["a:1"], "username": "", "password": ""}, "username is an empty text"),
        (
            {"hosts": ["a:1"], "user": "u", "pass": "s3cret"},
            "it has no username, but a member whose name is nearly that",
        ),
        ({"hosts": ["a:1"], "userName": "u", "Password": "s3cret"}, "it has no username"),
        ({"hosts": ["a:1"], "username": "u", "passwrod": "s3cret"}, "it has no password"),
        ({"hosts": ["a:1"], "ca_cert": PEM}, "it has no certificate"),
        (grpc(("a", 1), authentification={"username": "u", "password": "s3cret"}), "it has no authentication"),
        (grpc(("a", 1), certificates={"certificate_base64": BASE64}), "it has no certificate"),
        (grpc(("a", 1), authentication={"username": "u", "password": ""}), "password is an empty text"),
    ],
)
def test_an_unusable_bound_service_is_told_by_name(instance: Path, credentials: Any, told: str) -> None:
    """As for the file."""
    message = refusal(instance, VCAP_SERVICES=bound(credentials))
    assert "service config-etcd in VCAP_SERVICES" in message
    assert told in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    "name", [None, "", 5, ["etcd-s3cret"], "https://u:s3cret@etcd", "etcd s3cret", "etcd" + "x" * 50]
)
def test_what_is_no_name_is_not_shown_as_one(instance: Path, name: Any) -> None:
    """A service is told by its place then."""
    message = refusal(instance, VCAP_SERVICES=bound({"hosts": []}, name=name, label="s3cret-etcd"))
    assert message.startswith("service number 1 of the label 1 in VCAP_SERVICES can't be used: it names no endpoint")
    assert "s3cret" not in message


def test_two_services_that_look_like_an_etcd_are_not_chosen_from(instance: Path) -> None:
    """Guessing could mean another fleet's data."""
    services = {"user-provided": [{"name": name, "credentials": grpc(("a", 1))} for name in ("etcd-a", "etcd-b")]}
    assert "etcd-a, etcd-b" in refusal(instance, VCAP_SERVICES=json.dumps(services))


def test_credentials_without_an_etcd_to_use_them_on_are_refused(instance: Path) -> None:
    """A password is meant for a cluster, not for an empty embedded one."""
    assert "ETCD_USER is set, but nothing says which etcd" in refusal(instance, ETCD_USER="u", ETCD_PASSWORD="p")


def test_certificates_for_an_unencrypted_endpoint_are_refused(instance: Path) -> None:
    """They would be ignored in silence."""
    write(instance, grpc(("a", 1)))
    assert "names an http:// endpoint, which is not encrypted" in refusal(instance, ETCD_CA_CERT=PEM)
