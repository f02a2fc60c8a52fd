"""HTTPS with a certificate of one's own authority, over both shells."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trustme

from config_client import ConfigError, Connection, StartFailed
from tests.client.scripted_server import ScriptedServer
from tests.client.test_shells import Make, started


def test_an_authority_that_is_named_is_trusted(
    make: Make, secured: ScriptedServer, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = make(secured.url, prefix="app/", ca_file=tmp_path / "ca.pem", silence=60)
    started(client, secured)
    assert client["limit"] == 10
    client.close()
    left = [thread for thread in threading.enumerate() if thread.name.startswith("config-client")]
    assert left == [], "a read over TLS is ended, too"


def test_any_other_is_not(make: Make, secured: ScriptedServer, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    client = make(secured.url, prefix="app/", ca_file=tmp_path / "ca.pem", start_within=3.0)
    with pytest.raises(StartFailed, match="CERTIFICATE_VERIFY_FAILED"):
        client.start()


def test_a_file_that_is_no_certificate_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    client = make("https://127.0.0.1:1", ca_file=tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match=r"ca_file .*/ca.pem can't be read"):
        client.start()


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "a:80", "http://me:hunter2@a", "http://a?b", "http://a:99999", ""]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="one is not an address") as error:
        Connection([url])
    assert "hunter2" not in str(error.value)
