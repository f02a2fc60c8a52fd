"""The commands of docs/security.md, copied verbatim and in order, do what it says: tokens, refusals, rotation."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.console import Shell, sessions
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

DOCUMENT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
MAKE_TOKENS, USE_THEM, ROTATE, MAKE_CERTIFICATE, USE_HTTPS, MAKE_CLIENT, USE_NAME = sessions(DOCUMENT)
READ_AGAIN = "the tokens have been read again"


def test_the_commands_do_what_is_shown(etcd: EtcdServer, tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": "/security-document", "API_TOKENS_FILE": file}
    instance = InstanceProcess(tmp_path / "instance", **settings)
    with Shell(tmp_path, instance.port) as shell:
        for step in MAKE_TOKENS:
            assert shell.run(step.command) == []
        with instance:
            changes = 0
            for step in USE_THEM + ROTATE:
                shell.follow(step)
                if step.command.endswith("mv tokens.new tokens.json"):
                    changes += 1
                    assert within(20, lambda told=changes: instance.printed().count(READ_AGAIN) == told)  # type: ignore[misc]
            assert changes == 2


def test_the_commands_for_https_do_what_is_shown(etcd: EtcdServer, tmp_path: Path) -> None:
    assert "`TLS_CERT=tls.crt TLS_KEY=tls.key TLS_CA=tls.crt make run`" in DOCUMENT
    files = {name: str(tmp_path / f"tls.{kind}") for name, kind in (("TLS_CERT", "crt"), ("TLS_KEY", "key"))}
    settings = {**etcd.settings("/security-https"), **files, "TLS_CA": files["TLS_CERT"]}
    instance = InstanceProcess(tmp_path / "instance", **settings)
    with Shell(tmp_path, instance.port) as shell:
        for step in MAKE_CERTIFICATE:
            shell.run(step.command)
        with instance:
            for step in USE_HTTPS:
                shell.follow(step)


def test_the_commands_for_names_in_certificates_do_what_is_shown(etcd: EtcdServer, tmp_path: Path) -> None:
    """Started with the settings that it shows."""
    started = re.search(r"Started with `(TLS_CERT=\S+ [^`]*TLS_CLIENT_NAMES=true[^`]*) make run`", DOCUMENT)
    assert started
    given = dict(each.split("=") for each in started[1].split())
    files = {name: str(tmp_path / value) for name, value in given.items() if name != "TLS_CLIENT_NAMES"}
    settings = {**etcd.settings("/security-names"), **given, **files}
    instance = InstanceProcess(tmp_path / "instance", **settings)
    instance.cert = (str(tmp_path / "ci.crt"), str(tmp_path / "ci.key"))
    with Shell(tmp_path, instance.port) as shell:
        for step in MAKE_CERTIFICATE + MAKE_CLIENT:
            shell.run(step.command)
        with instance:
            for step in USE_NAME:
                shell.follow(step)


def test_what_it_quotes_of_the_log_is_what_is_logged() -> None:
    """By the test above."""
    assert f"`{READ_AGAIN}`" in DOCUMENT


def test_every_field_scope_and_setting_is_in_it() -> None:
    """And no other."""
    from service.auth.token_lists import _Entry
    from service.auth.tokens import Scope

    fields = re.findall(r"^\| `(\w+)` \|", DOCUMENT.partition("## Which scope")[0], re.MULTILINE)
    assert [field for field in fields if field.islower()] == list(_Entry.model_fields)
    assert [field for field in fields if field.isupper()] == ["API_TOKENS", "API_TOKENS_FILE", "VCAP_SERVICES"]
    assert all(f"`{scope}`" in DOCUMENT for scope in Scope)
