"""Real instances over HTTPS, with an authority of one's own, and with mutual TLS: both shells, and `configctl`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config_client import ConfigError, Connection, Service, StartFailed
from tests.client.real_service import Command
from tests.client.test_shells import Make
from tests.support.certificates import Authority
from tests.support.etcd import EtcdServer
from tests.support.https import Https
from tests.support.instances import InstanceProcess, within

REFUSED = r"UNKNOWN_CA|DECRYPT_ERROR|BAD_CERTIFICATE"


@dataclass(frozen=True)
class Secured:
    """An instance that lets in only clients with a certificate, and the files of one of them."""

    instance: InstanceProcess
    files: Https

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.instance.port}"

    @property
    def ca_file(self) -> Path:
        return self.files.directory / "ca.crt"

    @property
    def shown(self) -> dict[str, Any]:
        return {
            "ca_file": self.ca_file,
            "cert_file": self.files.directory / "tls.crt",
            "key_file": self.files.directory / "tls.key",
        }


@pytest.fixture(scope="module")
def etcd_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, etcd_here: EtcdServer) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("secured")
    files = Https.made(directory / "tls")
    settings = {**files.settings(), "TLS_CLIENT_CA": str(files.directory / "ca.crt")}
    instance = InstanceProcess(directory, ETCD_ENDPOINTS=etcd_here.endpoint, **settings)
    instance.cert = (settings["TLS_CERT"], settings["TLS_KEY"])
    with instance:
        yield Secured(instance, files)


def test_a_client_with_a_certificate_reads_writes_and_follows(make: Make, secured: Secured) -> None:
    client = make(secured.url, prefix="app/", **secured.shown)
    client.start()
    written = client.put("limit", 10)
    client.wait_for(written.revision)
    assert client["limit"] == 10


def test_a_client_without_one_is_not_let_in(make: Make, secured: Secured) -> None:
    client = make(secured.url, prefix="app/", ca_file=secured.ca_file, start_within=3.0)
    with pytest.raises(StartFailed, match="CERTIFICATE_REQUIRED"):
        client.start()


def test_a_client_that_does_not_know_the_authority_sends_nothing(make: Make, secured: Secured) -> None:
    client = make(secured.url, prefix="app/", start_within=3.0)
    with pytest.raises(StartFailed, match="CERTIFICATE_VERIFY_FAILED"):
        client.start()


def test_one_file_may_hold_certificate_and_key(secured: Secured, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(secured.shown[name].read_bytes() for name in ("cert_file", "key_file")))
    with Service(Connection(secured.url, ca_file=secured.ca_file, cert_file=both, trust_env=False)) as service:
        assert service.put("app/both", b"1").revision > 0


def test_files_that_are_renewed_count_from_the_next_connection_on(
    secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """1. A client shows what nobody vouches for; 2. its files are renewed, the key first; 3. it is let in."""
    names = {"ca_file": "ca.crt", "cert_file": "tls.crt", "key_file": "tls.key"}
    files: dict[str, Any] = {option: tmp_path / name for option, name in names.items()}
    foreign = Authority().issue("somebody")
    shutil.copy(secured.ca_file, files["ca_file"])
    files["cert_file"].write_bytes(foreign.cert)
    files["key_file"].write_bytes(foreign.key)
    with Service(Connection(secured.url, trust_env=False, **files)) as service:
        with pytest.raises(Exception, match=REFUSED):
            service.get("app/renewed")
        known = secured.files.authority.issue("me")
        files["key_file"].write_bytes(known.key)
        with pytest.raises(Exception, match=REFUSED):
            service.get("app/renewed")
        assert "connections go on with the certificates that were there before: cert_file" in caplog.text
        assert "KEY_VALUES_MISMATCH" in caplog.text
        files["cert_file"].write_bytes(known.cert)
        assert service.put("app/renewed", b"2").revision > 0


def test_what_follows_the_changes_goes_on_after_a_renewal(make: Make, secured: Secured, tmp_path: Path) -> None:
    """Its next connection shows what its files have then; the stream that there is goes on."""
    files = {option: tmp_path / file.name for option, file in secured.shown.items()}
    for option, file in secured.shown.items():
        shutil.copy(file, files[option])
    client = make(secured.url, prefix="app/", **files)
    client.start()
    renewed = secured.files.authority.issue("again")
    files["cert_file"].write_bytes(renewed.cert)
    files["key_file"].write_bytes(renewed.key)
    written = client.put("after", 11)
    client.wait_for(written.revision)
    assert client["after"] == 11


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cert_file": "/nowhere/tls.crt"}, "cert_file /nowhere/tls.crt can't be read: No such file"),
        ({"key_file": "/nowhere/tls.key"}, "key_file /nowhere/tls.key can't be read: No such file"),
        ({"key_file": __file__}, "cert_file .* with key_file .* can't be used"),
        ({"cert_file": None}, "key_file is set, and cert_file is not"),
    ],
)
def test_files_that_cannot_be_used_are_named(secured: Secured, change: dict[str, str | None], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Connection(secured.url, trust_env=False, **{**secured.shown, **change}).secured()


def test_configctl_is_told_by_options_variables_or_a_profile(secured: Secured, tmp_path: Path) -> None:
    options = [f"--{name.replace('_', '-')}={file}" for name, file in secured.shown.items()]
    variables = {f"CONFIG_{name.upper()}": str(file) for name, file in secured.shown.items()}
    profile = "".join(f'{name} = "{file}"\n' for name, file in secured.shown.items())
    (tmp_path / "configctl.toml").write_text(f'default = "here"\n[profiles.here]\nurl = "{secured.url}"\n{profile}')
    command = Command(secured.url, tmp_path)
    assert command.run(*options, "set", "app/ctl", '{"by": "option"}').returncode == 0
    assert command.run("get", "app/ctl", env=variables).stdout.strip() == '{"by": "option"}'
    elsewhere = Command(secured.url, tmp_path, XDG_CONFIG_HOME=str(tmp_path), CONFIG_URL="")
    assert elsewhere.run("get", "app/ctl").stdout.strip() == '{"by": "option"}'
    watched = elsewhere.process("wait", "app/ctl", "--timeout", "10")
    assert (watched.returncode, watched.stdout.strip()) == (0, '{"by": "option"}')


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ((), "CERTIFICATE_VERIFY_FAILED"),
        (("ca_file",), "CERTIFICATE_REQUIRED"),
    ],
)
def test_configctl_says_what_is_missing(secured: Secured, tmp_path: Path, left: tuple[str, ...], said: str) -> None:
    options = [f"--{name.replace('_', '-')}={secured.shown[name]}" for name in left]
    done = Command(secured.url, tmp_path).run(*options, "get", "app/ctl")
    assert done.returncode not in (0, 3), "3: there is no such document"
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_certificate_of_an_option_does_not_get_the_key_of_a_profile(secured: Secured, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(secured.shown[name].read_bytes() for name in ("cert_file", "key_file")))
    foreign = tmp_path / "foreign.key"
    foreign.write_bytes(Authority().issue("x").key)
    (tmp_path / "configctl.toml").write_text(
        f'default = "here"\n[profiles.here]\nurl = "{secured.url}"\nca_file = "{secured.ca_file}"\n'
        f'cert_file = "{both}"\nkey_file = "{foreign}"\n'
    )
    command = Command(secured.url, tmp_path, XDG_CONFIG_HOME=str(tmp_path), CONFIG_URL="")
    assert "KEY_VALUES_MISMATCH" in command.run("ls").stderr
    assert command.run(f"--cert-file={both}", "ls").returncode == 0


def test_a_certificate_and_a_context_are_not_both_taken(secured: Secured) -> None:
    context = secured.files.context()
    with pytest.raises(ConfigError, match="cert_file and ssl_context are both set"):
        Connection(secured.url, ssl_context=context, **secured.shown)


def test_instances_are_followed_from_one_to_another_over_https(make: Make, secured: Secured, tmp_path: Path) -> None:
    """The list of addresses may have one that another authority vouches for: it is told of, and the next one asked."""
    foreign = Https.made(tmp_path / "foreign")
    with (
        EtcdServer(tmp_path / "etcd") as etcd,
        InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, **foreign.settings()) as other,
    ):
        client = make([f"https://127.0.0.1:{other.port}", secured.url], prefix="app/", **secured.shown)
        client.start()
        written = client.put("next", 12)
        assert within(10, lambda: client.revision >= written.revision)
        assert client["next"] == 12
