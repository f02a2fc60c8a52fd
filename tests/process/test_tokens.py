"""Where tokens come from, what is said of those that can't be used, and how they are exchanged without a restart."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.auth.keyring import Keyring
from service.auth.token_sources import TokenSource, resolve
from service.http.bridge import THREADS
from service.process.startup import StartupError
from service.settings.model import Settings, SettingsError
from tests.fault_matrix.scene import metric
from tests.process.test_stop import patched
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, environment, run_service, within

pytestmark = pytest.mark.lasting

OLD, NEW = "old-0123456789-abcdefgh", "new-0123456789-abcdefgh"


def tokens(*secrets: str) -> list[dict[str, Any]]:
    """For everything; each has the name that it begins with."""
    return [{"name": secret.partition("-")[0], "token": secret, "scopes": ["admin"]} for secret in secrets]


def bound(credentials: object, name: str = "tokens") -> dict[str, str]:
    """VCAP_SERVICES with one service."""
    return {"VCAP_SERVICES": json.dumps({"user-provided": [{"name": name, "credentials": credentials}]})}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """With the old token in it."""
    return written(tmp_path / "tokens.json", json.dumps(tokens(OLD)))


def written(file: Path, content: str) -> Path:
    file.write_text(content)
    return file


def found(**environ: str) -> TokenSource | None:
    return resolve(Settings.load(environ))


def refusal(**environ: str) -> str:
    with pytest.raises((SettingsError, StartupError)) as refused:
        found(**environ)
    assert OLD not in str(refused.value)
    assert refused.value.__cause__ is None
    return str(refused.value)


# Sources


def test_without_any_source_there_are_no_tokens() -> None:
    assert found() is None
    assert found(**bound({"hosts": "a:1"}, "config-etcd")) is None
    assert found(VCAP_SERVICES='{"x": [{"credentials": null}, {}], "y": []}') is None
    # A text under a like name may be the token of somebody else's service.
    assert found(**bound({"apitoken": "dt0c01.0123456789", "api_token": "x"}, "monitoring")) is None


def test_tokens_come_from_the_setting_the_file_or_a_bound_service(file: Path) -> None:
    """On Cloud Foundry a list, or the text of one."""
    text = json.dumps(tokens(OLD))
    for environ, origin in (
        ({"API_TOKENS": text}, "API_TOKENS"),
        ({"API_TOKENS_FILE": str(file)}, f"API_TOKENS_FILE ({file})"),
        (bound({"api_tokens": tokens(OLD)}), "VCAP_SERVICES (tokens)"),
        (bound({"api_tokens": text}), "VCAP_SERVICES (tokens)"),
    ):
        source = found(**environ)
        assert source is not None
        assert (source.origin, [token.name for token in source.tokens]) == (origin, ["old"])
        assert (source.file is not None) == ("API_TOKENS_FILE" in environ)
        assert OLD not in repr(source)


def test_two_sources_at_once_are_refused(file: Path) -> None:
    """Which one would a revoked token have to be taken out of?"""
    setting, path = {"API_TOKENS": json.dumps(tokens(OLD))}, {"API_TOKENS_FILE": str(file)}
    service = bound({"api_tokens": tokens(NEW)})
    two = {"VCAP_SERVICES": json.dumps({"user-provided": [
        {"name": "one", "credentials": {"api_tokens": tokens(OLD)}},
        {"name": "two", "credentials": {"api_tokens": tokens(NEW)}},
    ]})}  # fmt: skip
    for environ in ({**setting, **path}, {**setting, **service}, {**path, **service}, two):
        assert "Expected one place" in refusal(**environ)
    assert "from VCAP_SERVICES (one) and from VCAP_SERVICES (two)" in refusal(**two)


@pytest.mark.parametrize("content", ["", "[]", "{}", f'"{OLD}"', f'[{{"name": "{OLD}'])
def test_what_can_not_be_used_is_told_with_its_place_and_an_example(tmp_path: Path, content: str) -> None:
    """And never with what stands there."""
    file = written(tmp_path / "tokens.json", content)
    assert refusal(API_TOKENS_FILE=str(file)).startswith(f"API_TOKENS_FILE is '{file}', which can't be used: it ")
    if content:
        assert "API_TOKENS is set to something not shown here (it " in refusal(API_TOKENS=content)
    told = refusal(**bound({"api_tokens": content}))
    assert told.startswith("api_tokens of the service tokens in VCAP_SERVICES can't be used: it ")
    assert '"sha256"' in told


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    assert "it can't be read: No such file" in refusal(API_TOKENS_FILE=str(tmp_path / "none"))
    assert "it can't be read: Is a directory" in refusal(API_TOKENS_FILE=str(tmp_path))
    big = written(tmp_path / "big.json", " " * 2_000_000)
    assert "it has more than" in refusal(API_TOKENS_FILE=str(big))
    (tmp_path / "latin").write_bytes(b'["\xff"]')
    assert "it is not UTF-8" in refusal(API_TOKENS_FILE=str(tmp_path / "latin"))


@pytest.mark.parametrize("name", ["api_token", "apiTokens", "API_TOKENS", "api-tokens", "api_tokesn"])
def test_a_list_under_a_name_that_is_nearly_right_is_refused(name: str) -> None:
    """Passed over, it would let everybody in."""
    for value in (tokens(OLD), json.dumps(tokens(OLD))):
        told = refusal(**bound({name: value}))
        assert (
            "the service tokens in VCAP_SERVICES can't be used: it has a list that is nearly called api_tokens" in told
        )


def test_a_list_beside_the_credentials_is_refused() -> None:
    services = {"user-provided": [{"name": "tokens", "api_tokens": tokens(OLD), "credentials": {}}]}
    assert "it has api_tokens beside its credentials" in refusal(VCAP_SERVICES=json.dumps(services))


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ({"x": {"credentials": {}}}, "VCAP_SERVICES has an object of 1 member for its label 1, not a list"),
        ({"x": [], "y": 5}, "VCAP_SERVICES has a number for its label 2, not a list"),
        (
            {"x": [{}, "secret"]},
            "service number 2 of the label 1 in VCAP_SERVICES is a text of 6 characters, not an object",
        ),
        (
            {"x": [{"credentials": [{}]}]},
            "service number 1 of the label 1 in VCAP_SERVICES has a list of 1 for credentials",
        ),
    ],
)
def test_bound_services_of_another_shape_are_refused(services: object, told: str) -> None:
    """What can't be understood may have been meant to keep somebody out."""
    assert told in refusal(VCAP_SERVICES=json.dumps(services))


@pytest.mark.parametrize("nothing", [[], None, "", "[]", {}])
def test_an_empty_list_of_a_bound_service_is_refused(nothing: object) -> None:
    assert "api_tokens of the service tokens in VCAP_SERVICES can't be used" in refusal(
        **bound({"api_tokens": nothing})
    )


def test_a_start_with_tokens_that_can_not_be_used_fails(tmp_path: Path, etcd: EtcdServer) -> None:
    """One message, no traceback, nothing started."""
    for environ in (
        {"API_TOKENS": f'[{{"name": "a", "token": "{OLD}", "scopes": ["reed"]}}]'},
        {"API_TOKENS_FILE": str(tmp_path / "none")},
    ):
        given = environment(HOST="127.0.0.1", ETCD_ENDPOINTS=etcd.endpoint, **environ)
        done = run_service(tmp_path, env=given)
        assert done.returncode == 1
        assert done.stderr.startswith("config-service: ")
        assert next(iter(environ)) in done.stderr
        assert "Traceback" not in done.stderr
        assert OLD not in done.stderr + done.stdout


# A running instance


def running(directory: Path, etcd: EtcdServer, **settings: str) -> InstanceProcess:
    """One whose requests bear the old token."""
    instance = InstanceProcess(
        directory, ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=f"/{directory.name}", **settings
    )
    instance.token = OLD
    return instance


def statuses(instance: InstanceProcess, *secrets: str) -> list[int]:
    """Of a read, with each token in turn."""
    return [instance.get("a", headers={"Authorization": f"Bearer {secret}"}).status_code for secret in secrets]


def events(instance: InstanceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in instance.printed().splitlines()]


def hang_up(instance: InstanceProcess, said: str) -> dict[str, Any]:
    """SIGHUP, and the next line that begins so."""

    def lines() -> list[dict[str, Any]]:
        return [event for event in events(instance) if event["event"].startswith(said)]

    before = len(lines())
    os.kill(instance.pid, signal.SIGHUP)
    assert within(5, lambda: len(lines()) > before), instance.printed()
    return lines()[-1]


def test_tokens_are_rotated_without_a_restart(tmp_path: Path, etcd: EtcdServer, file: Path) -> None:
    """Both at first, then the new one only; and no request in between is lost."""
    with running(tmp_path, etcd, API_TOKENS_FILE=str(file)) as instance:
        assert statuses(instance, OLD, NEW) == [404, 401]
        written(file, json.dumps(tokens(OLD, NEW)))
        told = hang_up(instance, "the tokens have been read again")
        assert (told["now"], told["added"], told["removed"]) == (2, ["new"], [])
        assert statuses(instance, OLD, NEW) == [404, 404]
        written(file, json.dumps(tokens(NEW)))
        told = hang_up(instance, "the tokens have been read again")
        assert (told["now"], told["added"], told["removed"]) == (1, [], ["old"])
        assert statuses(instance, OLD, NEW) == [401, 404]
        assert instance.stop() == 0


@contextlib.contextmanager
def read_again(instance: InstanceProcess, said: str = "the tokens have been read again") -> Iterator[None]:
    """What is done meanwhile makes it say so, once, and without a signal."""
    before = instance.printed().count(said)
    yield
    assert within(20, lambda: instance.printed().count(said) > before), instance.printed()


def test_a_file_that_changes_is_read_without_a_signal(tmp_path: Path, etcd: EtcdServer, file: Path) -> None:
    """Written in place, or replaced by another."""
    with running(tmp_path, etcd, API_TOKENS_FILE=str(file)) as instance:
        with read_again(instance):
            written(file, json.dumps(tokens(OLD, NEW)))
        assert statuses(instance, OLD, NEW) == [404, 404]
        with read_again(instance):
            written(tmp_path / "tokens.new", json.dumps(tokens(NEW))).rename(file)
        assert statuses(instance, OLD, NEW) == [401, 404]


HANGING = """
import threading
import service.app
import service.http.bridge
service.http.bridge.ANSWER_WITHIN = 1.0

class Hanging:
    def wsgi_app(self, environ, start_response):
        print("hangs", flush=True)
        threading.Event().wait()

service.app.routes_of = lambda *_: Hanging()
"""


def test_a_token_is_revoked_while_all_of_flasks_threads_hang(tmp_path: Path, etcd: EtcdServer, file: Path) -> None:
    """Else who is to be shut out could put it off, with lists and pages that take long."""
    with (
        patched(tmp_path, HANGING, ETCD_ENDPOINTS=etcd.endpoint, API_TOKENS_FILE=str(file)) as instance,
        ThreadPoolExecutor(THREADS) as clients,
    ):
        instance.token = OLD
        pages = [clients.submit(instance.request, "GET", "/docs", timeout=60) for _ in range(THREADS)]
        assert within(10, lambda: instance.printed().count("hangs") == THREADS), instance.printed()
        with read_again(instance):
            written(file, json.dumps(tokens(NEW)))
        assert statuses(instance, OLD, NEW) == [401, 404]
        assert [page.result(timeout=60).status_code for page in pages] == [503] * THREADS  # the threads hang on


def test_a_secret_that_kubernetes_mounts_is_read_when_its_link_is_replaced(tmp_path: Path, etcd: EtcdServer) -> None:
    """The file's own path and link stay as they are: what changes is the link `..data` on the way."""
    volume = tmp_path / "volume"
    for name, each in (("..1", tokens(OLD)), ("..2", tokens(NEW))):
        (volume / name).mkdir(parents=True)
        written(volume / name / "tokens.json", json.dumps(each))
    (volume / "..data").symlink_to("..1")
    (volume / "tokens.json").symlink_to("..data/tokens.json")
    with running(tmp_path / "instance", etcd, API_TOKENS_FILE=str(volume / "tokens.json")) as instance:
        assert statuses(instance, OLD, NEW) == [404, 401]
        with read_again(instance):
            (volume / "..data_tmp").symlink_to("..2")
            (volume / "..data_tmp").rename(volume / "..data")
            shutil.rmtree(volume / "..1")
        assert statuses(instance, OLD, NEW) == [401, 404]


def test_a_file_that_breaks_is_told_in_log_metric_and_by_name_until_it_is_mended(
    tmp_path: Path, etcd: EtcdServer, file: Path
) -> None:
    with running(tmp_path, etcd, API_TOKENS_FILE=str(file)) as instance:
        assert (metric(instance, "config_api_tokens"), metric(instance, "config_api_tokens_file_unusable")) == (1, 0)
        with read_again(instance, "the tokens stay as they were"):
            written(file, "[{")
        assert metric(instance, "config_api_tokens_file_unusable") == 1
        known = instance.request("GET", "/members/tokens").json()
        assert known["tokens"] == [{"name": "old", "scopes": ["admin"], "prefix": ""}]
        assert f"API_TOKENS_FILE is '{file}', which can't be used: it is not JSON" in known["trouble"]
        with read_again(instance):
            written(file, json.dumps(tokens(OLD, NEW)))
        assert (metric(instance, "config_api_tokens"), metric(instance, "config_api_tokens_file_unusable")) == (2, 0)
        assert instance.request("GET", "/members/tokens").json()["trouble"] == ""
        assert instance.printed().count("the tokens stay as they were") == 1, "it is told once"


def test_a_file_is_read_once_it_has_stayed_as_it_is_for_a_look(file: Path) -> None:
    """Somebody writes it in place, and is not done at the first look."""
    source = found(API_TOKENS_FILE=str(file))
    assert source is not None
    keyring = Keyring(source)
    whole = json.dumps(tokens(OLD, NEW))
    for looked, content in enumerate((whole[:10], whole[:20], whole)):
        written(file, content)
        os.utime(file, (looked, looked))  # the clock of files may stand still between two writes
        keyring.look()
        assert (len(keyring), keyring.trouble) == (1, "")
    keyring.look()
    assert (len(keyring), keyring.trouble) == (2, "")


def test_a_broken_file_changes_nothing_and_is_told(tmp_path: Path, etcd: EtcdServer, file: Path) -> None:
    """What is wrong with it, as at the start; and the next one that is in order is taken."""
    with running(tmp_path, etcd, API_TOKENS_FILE=str(file)) as instance:
        for content, reason in (
            (f'[{{"name": "new", "token": "{NEW}"}}]', "token 1 (new): scopes is missing"),
            (f'[{{"name": "new", "token": "{NEW}', "it is not JSON"),
            ("[]", "it holds 0 tokens"),
        ):
            written(file, content)
            told = hang_up(instance, "the tokens stay as they were")
            assert reason in told["reason"]
            assert (told["level"], str(file) in told["reason"]) == ("error", True)
            assert statuses(instance, OLD, NEW) == [404, 401]
        file.unlink()
        assert "No such file" in hang_up(instance, "the tokens stay as they were")["reason"]
        assert statuses(instance, OLD, NEW) == [404, 401]
        written(file, json.dumps(tokens(NEW)))
        hang_up(instance, "the tokens have been read again")
        assert statuses(instance, OLD, NEW) == [401, 404]
        assert NEW not in instance.printed()
        assert OLD not in instance.printed()


def test_a_signal_while_it_starts_is_neither_fatal_nor_lost(tmp_path: Path, file: Path) -> None:
    """Here while its own etcd is starting: the tokens have been read by then."""
    instance = InstanceProcess(tmp_path, API_TOKENS_FILE=str(file)).start()
    try:
        assert within(10, lambda: "starting" in instance.printed()), instance.printed()
        written(file, json.dumps(tokens(NEW)))
        os.kill(instance.pid, signal.SIGHUP)
        instance.wait_until_ready()
        assert within(5, lambda: "the tokens have been read again" in instance.printed()), instance.printed()
        assert statuses(instance, OLD, NEW) == [401, 404]
        assert instance.stop() == 0
    finally:
        instance.kill()


@pytest.fixture
def terminal() -> Iterator[None]:
    """What is started meanwhile ends with its terminal, even under `nohup`: an ignored signal is inherited."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
def test_without_a_file_a_closed_terminal_ends_the_service(tmp_path: Path, etcd: EtcdServer) -> None:
    """As without tokens: there is nothing to read again."""
    with running(tmp_path, etcd, API_TOKENS=json.dumps(tokens(OLD))) as instance:
        assert statuses(instance, OLD) == [404]
        os.kill(instance.pid, signal.SIGHUP)
        assert instance.wait() == 0


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"HOST": "0.0.0.0"}, True),
        ({"HOST": "127.0.0.1"}, False),
        ({"HOST": "localhost"}, False),
        ({"HOST": "0.0.0.0", "API_TOKENS": json.dumps(tokens(OLD))}, False),
    ],
)
def test_an_open_door_on_a_public_address_is_warned_about(
    tmp_path: Path, etcd: EtcdServer, settings: dict[str, str], warned: bool
) -> None:
    """With what to set."""
    with running(tmp_path, etcd, **settings) as instance:
        told = [event["event"] for event in events(instance) if event["level"] == "warning" and "status" not in event]
        assert ["set API_TOKENS or API_TOKENS_FILE" in event for event in told if not event.startswith("etcd ")] == [
            True
        ] * warned
        access = "access:  1 token, from API_TOKENS" if "API_TOKENS" in settings else "access:  everybody"
        assert within(5, lambda: access in instance.printed()), instance.printed()


@pytest.mark.parametrize("headers", [[f"Bearer {OLD}"] * 2, [f"Bearer {OLD}", "Basic x"], ["Basic x", f"Bearer {OLD}"]])
def test_two_authorization_headers_let_nobody_in(tmp_path: Path, etcd: EtcdServer, headers: Sequence[str]) -> None:
    """A proxy in front may have looked at the other one."""
    with running(tmp_path, etcd, API_TOKENS=json.dumps(tokens(OLD))) as instance:
        lines = "".join(f"Authorization: {header}\r\n" for header in headers)
        with socket.create_connection(("127.0.0.1", instance.port), 5) as connection:
            connection.sendall(f"GET /config/a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
            assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
