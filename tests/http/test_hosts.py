"""Which Host is one, and which are answered. Hazard: a page's own name that leads to this machine (DNS rebinding)."""

from __future__ import annotations

import pytest

from service.http.hosts import Authority, Hosts, hosts_of, parse
from service.settings.model import Settings, SettingsError

MACHINE = "box-7"


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("localhost", Authority("localhost")),
        ("LocalHost:8080", Authority("localhost", "8080")),
        ("localhost.", Authority("localhost")),
        ("127.0.0.1:80", Authority("127.0.0.1", "80")),
        ("[::1]:8080", Authority("[::1]", "8080")),
        ("config.example.com:", Authority("config.example.com")),
        ("my_service", Authority("my_service")),
        ("h:080", Authority("h", "80")),
    ],
)
def test_a_host_is_a_name_or_an_address_and_perhaps_a_port(text: str, authority: Authority) -> None:
    """RFC 3986, 3.2.2 and 3.2.3."""
    assert parse(text) == authority


@pytest.mark.parametrize(
    "text",
    ["", " ", ":80", "a b", "a/b", "a@b", "http://a", "a:b", "a:80:80", "a:65536", "a:999999", "[::1", "::1", "[a]",
     "[1.2.3.4]x", "[:::]", "a\n", "\xe9", "a?b", "a#b", "a%41"],
)  # fmt: skip
def test_what_is_no_host_is_none(text: str) -> None:
    assert parse(text) is None


def answered(hosts: Hosts, *names: str) -> list[str]:
    return [name for name in names if hosts.admit(name)]


NAMES = ("localhost", "127.0.0.1", "127.9.9.9", "[::1]", "evil.example", "10.0.0.7", "0.0.0.0", MACHINE, "mine.example")
OWN = ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"]


@pytest.mark.parametrize("listening", ["127.0.0.1", "localhost", "::1", "127.0.0.2", "127.1", "LOCALHOST"])
def test_who_listens_on_this_machine_alone_answers_to_its_own_names_alone(listening: str) -> None:
    assert answered(hosts_of(listening, (), MACHINE), *NAMES) == OWN
    assert answered(hosts_of(listening, ("mine.example",), MACHINE), *NAMES) == [*OWN, "mine.example"]
    assert answered(hosts_of(listening, ("*",), MACHINE), *NAMES) == list(NAMES)


def test_who_listens_for_others_answers_to_any_name_unless_told() -> None:
    """Then to addresses as well: nobody can rebind one, and platforms probe by it, and instances ask each other."""
    assert answered(hosts_of("0.0.0.0", (), MACHINE), *NAMES) == list(NAMES)
    told = hosts_of("0.0.0.0", ("mine.example",), MACHINE)
    assert answered(told, *NAMES) == [name for name in NAMES if name != "evil.example"]


def test_the_names_are_a_setting() -> None:
    assert Settings.load({"ALLOWED_HOSTS": " Config.example.com,b ,b"}).allowed_hosts == ("config.example.com", "b")
    assert Settings.load({}).allowed_hosts == ()


@pytest.mark.parametrize("text", [",", "a:80", "http://a", "a b", "a,*.b", "a."])
def test_names_that_could_never_be_asked_for_end_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_HOSTS"):
        Settings.load({"ALLOWED_HOSTS": text})
