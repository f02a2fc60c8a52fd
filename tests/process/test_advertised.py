"""The address that an instance tells the others: which it is, why, and what is said when it leads nowhere."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from config_client import ConfigClient
from service.fleet.addresses import address_of, host_of, scheme_of
from service.fleet.advertised import advertised
from service.http.hosts import hosts_of
from service.settings.model import Settings, SettingsError
from tests.client.real_service import Command
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

WAYS = {"192.0.2.1": "10.0.0.7", "2001:db8::1": "fd00::7", "10.9.9.9": "10.9.0.1", "127.0.0.1": "127.0.0.1"}
"""How this machine would reach others: from which address of its own."""

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The machine's, as the test has them."""
    found = dict(WAYS)

    class Datagrams:
        def __init__(self, *_: object) -> None:
            self._to = ""

        def __enter__(self) -> Datagrams:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def connect(self, address: tuple[str, int]) -> None:
            if address[0] not in found:
                raise OSError("Network is unreachable")
            self._to = address[0]

        def getsockname(self) -> tuple[str, int]:
            return found[self._to], 1

    monkeypatch.setattr(socket, "socket", Datagrams)
    return found


@pytest.mark.parametrize(
    ("environ", "address", "why"),
    [
        ({"ADVERTISE_ADDRESS": "a.example"}, "a.example:8080", "as ADVERTISE_ADDRESS says"),
        ({"ADVERTISE_ADDRESS": "A.example:80", "PORT": "1"}, "a.example:80", "as ADVERTISE_ADDRESS says"),
        ({"ADVERTISE_ADDRESS": "fd00::1"}, "[fd00::1]:8080", "as ADVERTISE_ADDRESS says"),
        ({"ADVERTISE_ADDRESS": "[fd00::1]:80"}, "[fd00::1]:80", "as ADVERTISE_ADDRESS says"),
        ({"ADVERTISE_ADDRESS": "a", "POD_IP": "10.1.1.1"}, "a:8080", "as ADVERTISE_ADDRESS says"),
        ({"CF_INSTANCE_INTERNAL_IP": "10.255.0.7", "HOST": "::"}, "10.255.0.7:8080", "as CF_INSTANCE_INTERNAL_IP says"),
        ({"POD_IP": "10.1.1.1"}, "10.1.1.1:8080", "as POD_IP says"),
        ({"POD_IP": "fd00:1::1"}, "[fd00:1::1]:8080", "as POD_IP says"),
        ({"HOST": "::1"}, "[::1]:8080", "as HOST says"),
        ({"HOST": "localhost"}, "localhost:8080", "as HOST says"),
        ({"ETCD_ENDPOINTS": "http://10.9.9.9:2379"}, "10.9.0.1:8080", "found: by it etcd is reached"),
        ({"ETCD_ENDPOINTS": "http://127.0.0.1:2379"}, "10.0.0.7:8080", "found: by it other machines are reached"),
        ({"ETCD_ENDPOINTS": "http://etcd.example:2379"}, "10.0.0.7:8080", "found: by it other machines are reached"),
        ({"ETCD_ENDPOINTS": "http://[2001:db8::1]:1"}, "10.0.0.7:8080", "found: by it other machines are reached"),
        ({"ETCD_ENDPOINTS": "http://[2001:db8::1]:1", "HOST": "::"}, "[fd00::7]:8080", "found: by it etcd is reached"),
    ],
)
def test_the_address_is_what_is_said_or_the_one_by_which_others_are_reached(
    ways: dict[str, str], environ: dict[str, str], address: str, why: str
) -> None:
    """With HOST=0.0.0.0 nobody listens to IPv6."""
    settings = Settings.load(environ)
    told = advertised(settings, settings.etcd_endpoints)
    assert (told.address, told.why) == (address, why)
    ways.clear()
    if why.startswith("found"):
        assert advertised(settings, ()).address == "127.0.0.1:8080"


def test_the_real_machine_has_an_address_to_tell() -> None:
    """Never its name."""
    told = advertised(Settings.load({}), ())
    assert told.address != f"{socket.gethostname()}:8080"
    assert socket.inet_aton(told.address.partition(":")[0])


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({}, "10.0.0.7:8080"),
        ({"ADVERTISE_ADDRESS": "http://10.0.0.7"}, "10.0.0.7:8080"),
        ({"ADVERTISE_ADDRESS": "https://10.0.0.7"}, "https://10.0.0.7:8080"),
        ({"ADVERTISE_ADDRESS": "HTTPS://A.example:443/"}, "https://a.example:443"),
        ({"ADVERTISE_ADDRESS": "https://fd00::7"}, "https://[fd00::7]:8080"),
        ({"TLS_CERT": PEM, "TLS_KEY": PEM}, "https://10.0.0.7:8080"),
        ({"TLS_CERT": PEM, "TLS_KEY": PEM, "ADVERTISE_ADDRESS": "https://b:1"}, "https://b:1"),
    ],
)
def test_others_are_told_whether_to_come_by_https(environ: dict[str, str], setting: str) -> None:
    """A proxy may speak it for an instance that does not."""
    settings = Settings.load({"POD_IP": "10.0.0.7", **environ})
    told = advertised(settings, ())
    assert told.setting == setting
    known = settings.model_copy(update={"advertise_address": told.setting})
    assert address_of(known) == told.address == setting.rpartition("/")[2]
    assert scheme_of(known) == told.scheme
    assert host_of(known.advertise_address) == told.address.rpartition(":")[0]


@pytest.mark.parametrize(
    "given",
    [
        "a b",
        "ftp://a",
        "https://",
        "https://a/b",
        "://a",
        "https://a b",
        "a:b",
        "a:0",
        "a:65536",
        "[::1",
        "0.0.0.0",
        "::",
        "[::]:80",
    ],
)
def test_what_others_can_not_come_to_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="ADVERTISE_ADDRESS is"):
        Settings.load({"ADVERTISE_ADDRESS": given})


def test_the_name_that_others_are_told_is_answered() -> None:
    """Also where ALLOWED_HOSTS says which names clients use."""
    assert hosts_of("0.0.0.0", ("mine.example",), "box", "told.example").admit("told.example")
    assert not hosts_of("0.0.0.0", ("mine.example",), "box").admit("told.example")


def lines(instance: InstanceProcess, beginning: str) -> list[dict[str, str]]:
    found = [json.loads(line) for line in instance.printed().splitlines()]
    return [line for line in found if line["event"].startswith(beginning)]


def test_a_start_says_which_address_was_taken_and_why(tmp_path: Path, etcd: EtcdServer) -> None:
    settings = {"HOST": "0.0.0.0", "ADVERTISE_ADDRESS": "localhost", "USER_KEY_PREFIX": "/told"}
    with InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, **settings) as instance:
        instance.wait_for_slot()
        (line,) = lines(instance, "fleet:")
        assert line["event"] == f"fleet:   others are told localhost:{instance.port} (as ADVERTISE_ADDRESS says)"
        (member,) = instance.request("GET", "/members").json()["members"]
        assert member["description"]["address"] == f"localhost:{instance.port}"
        assert lines(instance, "this instance does not reach itself") == []


def test_a_name_that_nobody_resolves_is_warned_about(tmp_path: Path, etcd: EtcdServer) -> None:
    settings = {"ADVERTISE_ADDRESS": "pod-7.invalid", "USER_KEY_PREFIX": "/warned"}
    with InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, **settings) as instance:
        assert within(10, lambda: bool(lines(instance, "this instance does not reach itself"))), instance.printed()
        (line,) = lines(instance, "this instance does not reach itself")
        assert (line["level"], line["address"]) == ("warning", f"pod-7.invalid:{instance.port}")
        assert "ADVERTISE_ADDRESS" in line["event"]


@pytest.fixture
def fleet(tmp_path: Path, etcd: EtcdServer) -> Callable[[int], InstanceProcess]:
    settings = {"HOST": "::1", "USER_KEY_PREFIX": "/six", "ETCD_ENDPOINTS": etcd.endpoint}
    return lambda number: InstanceProcess(tmp_path / str(number), **settings)


def test_a_fleet_speaks_ipv6(fleet: Callable[[int], InstanceProcess], tmp_path: Path) -> None:
    """Members, the page's numbers, discovery, the question to all, the client library, the command line."""
    with fleet(0) as one, fleet(1) as two:
        for each in (one, two):
            each.wait_for_slot()
        addresses = {f"[::1]:{each.port}" for each in (one, two)}
        assert within(10, lambda: len(one.request("GET", "/members").json()["members"]) == 2)
        assert one.put("team/a", b"1", params={"sync": "true"}).ok
        targets = one.request("GET", "/members/targets").json()
        assert {target for each in targets for target in each["targets"]} == addresses
        states = one.request("GET", "/members/states").json()["members"]
        assert {each["address"] for each in states} == addresses
        assert [each["state"] is not None for each in states] == [True, True]
        said = one.request("GET", "/members/config/team/a").json()["members"]
        assert [each["status"] for each in said] == [200, 200]
        with ConfigClient([one.url, two.url], prefix="team/", trust_env=False) as client:
            assert client["a"] == 1
        assert Command(two.url, tmp_path).ok("get", "team/a") == "1"
