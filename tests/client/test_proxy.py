"""Through a proxy, over both shells: by argument, by the environment, and past it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from config_client import ConfigError, Connection, StartFailed
from tests.client.forward_proxy import PASSWORD, ForwardProxy, forward_proxy
from tests.client.scripted_server import ScriptedServer
from tests.client.test_shells import Make, started


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy() as started:
        yield started


def test_all_goes_through_the_proxy_that_is_named(make: Make, server: ScriptedServer, proxy: ForwardProxy) -> None:
    client = make(server.url, prefix="app/", proxy=proxy.url, silence=60)
    started(client, server)
    assert client["limit"] == 10
    assert [line.split("?")[0] for line in proxy.asked] == [f"GET {server.url}/changes"]


def test_https_goes_through_a_tunnel(
    make: Make, secured: ScriptedServer, authority: trustme.CA, proxy: ForwardProxy, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = make(secured.url, prefix="app/", proxy=proxy.url, ca_file=tmp_path / "ca.pem", silence=60)
    started(client, secured)
    assert client["limit"] == 10
    assert proxy.asked == [f"CONNECT {secured.url.removeprefix('https://')} HTTP/1.1"]


def test_the_environment_names_one_unless_it_is_not_to_count(
    make: Make, server: ScriptedServer, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    past = make(server.url, prefix="app/", silence=60)  # trust_env=False
    started(past, server)
    assert proxy.asked == []
    through = make(server.url, prefix="app/", trust_env=True, silence=60)
    started(through, server)
    assert len(proxy.asked) == 1


def test_one_that_refuses_is_told_of_and_its_password_is_not(
    make: Make, server: ScriptedServer, proxy: ForwardProxy
) -> None:
    wrong = proxy.url.replace(PASSWORD, "hunter3")
    client = make(server.url, prefix="app/", proxy=wrong, start_within=3.0)
    with pytest.raises(StartFailed, match="407") as error:
        client.start()
    assert "hunter" not in str(error.value)
    assert "hunter" not in repr(Connection(server.url, proxy=wrong))


@pytest.mark.parametrize("proxy", ["me:hunter2@proxy:3128", "ftp://proxy", "http://", "http://a:99999", ""])
def test_one_that_is_no_address_is_refused_and_not_repeated(proxy: str) -> None:
    with pytest.raises(ConfigError, match="proxy: it is not an address") as error:
        Connection("http://127.0.0.1:1", proxy=proxy)
    assert "hunter2" not in str(error.value)
