"""Secrets stay in: planted everywhere, driven through good and bad, and looked for in everything that comes out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from service.auth.token_sources import resolve as resolve_tokens
from service.settings.connection import resolve
from service.settings.model import Settings
from tests.process.canaries import MARK, Canary, canary, escaped
from tests.support.certificates import Authority, TlsFiles
from tests.support.etcd import EtcdServer, dying_with_us, free_ports
from tests.support.instances import InstanceProcess, environment, run_service, within
from tests.support.recent_etcd import sturdy_etcd

pytestmark = pytest.mark.lasting

TOKEN, READER, PASSWORD, WRONG, IN_FILE = map(canary, ("token", "reader", "password", "wrong", "broken-file"))
USER, PREFIX = "config", "/canaries"
AUTHORITY = Authority()
CLIENT = AUTHORITY.issue("client")
KEY_LINES = [Canary("a line of the key", line) for line in CLIENT.key.decode().splitlines()[1:-1]]
EVERYTHING = [TOKEN, READER, PASSWORD, WRONG, IN_FILE, *KEY_LINES]

TOKENS = json.dumps(
    [
        {"name": "admin", "token": TOKEN.text, "scopes": ["admin"]},
        {"name": "reader", "token": READER.text, "scopes": ["read"], "prefix": "team-a/"},
    ]
)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that asks for a client certificate, a user and a password."""
    directory = tmp_path_factory.mktemp("secured")
    tls = TlsFiles.write(directory / "tls", AUTHORITY.issue("127.0.0.1"), AUTHORITY)
    with EtcdServer(directory, tls=tls, program=sturdy_etcd()) as server:
        server.enable_auth("root", USER, PASSWORD.text, PREFIX)
        yield server


@pytest.fixture
def settings(secured: EtcdServer, tmp_path: Path) -> dict[str, str]:
    """With a secret wherever there can be one, and a log that tells all."""
    (tmp_path / "tokens.json").write_text(TOKENS)
    return {
        "API_TOKENS_FILE": str(tmp_path / "tokens.json"),
        "ETCD_ENDPOINTS": secured.endpoint,
        "ETCD_USER": USER,
        "ETCD_PASSWORD": PASSWORD.text,
        "ETCD_CA_CERT": AUTHORITY.pem.decode(),
        "ETCD_CERT": CLIENT.cert.decode(),
        "ETCD_KEY": CLIENT.key.decode(),
        "USER_KEY_PREFIX": PREFIX,
        "LOG_LEVEL": "DEBUG",
    }


UNSET = "(unset)"


def without_file(settings: dict[str, str]) -> dict[str, str]:
    """The same, but the tokens are said elsewhere."""
    return {name: value for name, value in settings.items() if name != "API_TOKENS_FILE"}


KEYS = ("/config/team-a/x", "/config/team-b/x", "/config/a//b", "/config/%ff", "/config/x?a=b", "/config/")
PAGES = (
    "/", "/healthz", "/readyz", "/metrics", "/members", "/members/targets", "/members/me", "/members/states",
    "/members/proof", "/members/tokens", "/members/config/a", "/none",
)  # fmt: skip
BODIES = {"GET": (None,), "HEAD": (None,), "PUT": (b"[1]", b"[1"), "POST": (b"{}",), "DELETE": (None,)}
REQUESTS = [(method, path, body) for path in KEYS for method, bodies in BODIES.items() for body in bodies]
REQUESTS += [("GET", path, None) for path in PAGES]

AUTHORIZATIONS = [
    None,
    *(f"{scheme} {each.text}" for scheme in ("Bearer", "Basic", "Digest", "bearer") for each in (TOKEN, READER, WRONG)),
    f"Bearer {TOKEN.text}, Bearer {READER.text}",
    TOKEN.text,
]


def answers(instance: InstanceProcess) -> Iterator[tuple[str, requests.Response]]:
    """Of every request with every header; and with secrets where they don't belong."""
    for authorization in AUTHORIZATIONS:
        headers = {"Authorization": authorization} if authorization else {}
        for method, path, body in REQUESTS:
            yield f"{method} {path}", instance.request(method, path, data=body, headers=headers)
    for headers in ({}, {"Authorization": f"Bearer {TOKEN.text}"}):
        yield "GET with a token in the query", instance.get(f"a?access_token={TOKEN.text}", headers=headers)
    cookie = {
        "Cookie": f"token={TOKEN.text}; config_revision_{'0' * 16}={TOKEN.text}; config_revision={TOKEN.text}",
        "Authorization": f"Bearer {READER.text}",
    }
    yield "GET with a token in a cookie", instance.get("team-a/x", headers=cookie)


def test_no_secret_leaves_a_running_instance(tmp_path: Path, secured: EtcdServer, settings: dict[str, str]) -> None:
    """Not in an answer, nor in a log line; while etcd is there, while it isn't, and while tokens are exchanged."""
    outputs: dict[str, str] = {}
    statuses = set()
    with InstanceProcess(tmp_path, **settings) as instance:
        for number, (asked, answer) in enumerate(answers(instance)):
            outputs[f"the answer to {asked} ({number})"] = f"{answer.headers}\n{answer.text}"
            statuses.add(answer.status_code)
        (tmp_path / "tokens.json").write_text(
            f'[{{"name": "x", "token": "{IN_FILE.text}", "scopes": ["{IN_FILE.text}"]}}]'
        )
        os.kill(instance.pid, signal.SIGHUP)
        assert within(5, lambda: "the tokens stay as they were" in instance.printed())
        secured.pause()
        try:
            asked_in_vain = instance.get("y?use_cache=false", headers={"Authorization": f"Bearer {TOKEN.text}"})
            assert asked_in_vain.status_code == 503
            assert within(10, lambda: instance.answers(503, "/readyz"))
            outputs["503"] = asked_in_vain.text + instance.request("GET", "/readyz").text
        finally:
            secured.resume()
        assert within(10, lambda: instance.answers(200, "/readyz"))
        assert instance.stop() == 0
        outputs["its log"] = instance.printed()
    assert {200, 201, 204, 400, 401, 403, 404} <= statuses
    assert len(outputs["its log"].splitlines()) > 5
    assert escaped(EVERYTHING, outputs) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"API_TOKENS": TOKENS},  # beside the file
        {"API_TOKENS_FILE": UNSET, "API_TOKENS": TOKENS[:-1]},
        {"API_TOKENS_FILE": UNSET, "API_TOKENS": TOKENS.replace("scopes", TOKEN.text)},
        {"API_TOKENS_FILE": UNSET, "API_TOKENS": TOKENS.replace("admin", READER.text)},
        {"API_TOKENS_FILE": UNSET, "API_TOKENS": f'{{"{TOKEN.text}": "{READER.text}"}}'},
        {"ETCD_USER": UNSET},
        {"ETCD_KEY": PASSWORD.text},
        {"ETCD_KEY": UNSET},
        {"ETCD_KEY": ""},
        {"ETCD_ENDPOINTS": f"https://{USER}:{PASSWORD.text}@127.0.0.1:1"},
        {"PORT": "x"},
        {"HOST": "192.0.2.1"},
        {"VCAP_SERVICES": f'{{"a": "{PASSWORD.text}"'},
        {
            "API_TOKENS_FILE": UNSET,
            "VCAP_SERVICES": f'{{"a": [{{"credentials": {{"api_tokens": ["{TOKEN.text}"]}}}}]}}',
        },
    ],
)
def test_no_secret_is_in_the_message_of_a_start_that_fails(
    tmp_path: Path, settings: dict[str, str], broken: dict[str, str]
) -> None:
    given = {"HOST": "127.0.0.1", "PORT": str(free_ports(1)[0]), **settings, **broken}
    done = run_service(tmp_path, env=environment(**{name: value for name, value in given.items() if value != UNSET}))
    assert done.returncode == 1, done.stderr
    assert "config-service: " in done.stderr
    assert escaped(EVERYTHING, {"stderr": done.stderr, "stdout": done.stdout}) == []


def test_no_secret_is_in_a_log_that_tells_of_refused_credentials(tmp_path: Path, settings: dict[str, str]) -> None:
    """A wrong password: etcd refuses it, again and again."""
    settings = {**settings, "ETCD_PASSWORD": WRONG.text}
    instance = InstanceProcess(tmp_path, **settings).start()
    try:
        assert within(15, lambda: "no answer yet" in instance.printed()), instance.printed()
        shown = instance.request("GET", "/readyz").text
    finally:
        instance.kill()
    assert escaped(EVERYTHING, {"its log": instance.printed(), "/readyz": shown}) == []


def test_no_representation_shows_a_secret(settings: dict[str, str]) -> None:
    """Of nothing that holds one: these get printed while debugging."""
    loaded = Settings.load({**without_file(settings), "API_TOKENS": TOKENS})
    connection, source = resolve(loaded), resolve_tokens(loaded)
    assert connection.password == PASSWORD.text
    held = {"settings": loaded, "connection": connection, "tokens": source, "without": loaded.without_secrets()}
    assert escaped(EVERYTHING, {name: f"{each!r} {each}" for name, each in held.items()}) == []


def test_help_shows_no_setting(tmp_path: Path, settings: dict[str, str]) -> None:
    shown = run_service(tmp_path, "--help", env=environment(**settings, API_TOKENS=TOKENS)).stdout
    assert "API_TOKENS" in shown
    assert escaped(EVERYTHING, {"--help": shown}) == []


SPY = """
    import gc, json, os, sys
    from service.process import life as process
    from service.process.entry import main

    def held(mark):
        "Whatever text that an object of this process holds has the mark in it, but for those that nothing holds."
        gc.unfreeze()  # else we would not be told of what is there from the start
        gc.collect()
        left, seen, found = gc.get_objects(), set(), []
        while left:
            each = left.pop()
            if id(each) in seen or each is seen or each is left:
                continue
            seen.add(id(each))
            if isinstance(each, (str, bytes, bytearray)):
                found += [repr(each)] if (mark if isinstance(each, str) else mark.encode()) in each else []
            else:
                left += gc.get_referents(each)
        return found

    def surroundings(*arguments):
        from service.http.front import Front  # no earlier than the service itself
        answer = Front.__call__

        async def spy(front, scope, receive, send):
            if scope["path"] != "/spy":
                return await answer(front, scope, receive, send)
            shown = {name: str(value) for name, value in scope.items()}
            told = {"asgi": shown, "process": dict(os.environ), "held": held("".join(reversed("yr4n4c")))}
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(told).encode()})

        Front.__call__ = spy
        return inside(*arguments)

    inside, process._surroundings = process._surroundings, surroundings
    sys.exit(main())
"""
"""The service, with a look into its memory and into what its server hands to the application."""


class Spied(InstanceProcess):
    """An instance that tells of itself what it never would."""

    def start(self) -> Spied:
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                dying_with_us([sys.executable, "-c", textwrap.dedent(SPY)]),
                cwd=self.directory,
                env=environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self


def spied(instance: InstanceProcess) -> dict[str, Any]:
    """After requests with good and with bad tokens."""
    for token in (TOKEN, WRONG):
        for path in ("/config/a", "/metrics", "/config/"):
            instance.request("GET", path, headers={"Authorization": f"Bearer {token.text}"})
    with requests.Session() as session:
        session.trust_env = False
        found: dict[str, Any] = session.get(f"{instance.url}/spy", timeout=10).json()
    return found


def test_nothing_is_left_of_the_secrets_that_were_in_the_environment(tmp_path: Path, settings: dict[str, str]) -> None:
    """A server may hand it to each request. What must be known again is held once: etcd's."""
    given = {**without_file(settings), "API_TOKENS": TOKENS}
    given["VCAP_SERVICES"] = json.dumps({"a": [{"name": "a", "credentials": {"b": canary("bound").text}}]})
    with Spied(tmp_path, **given) as instance:
        found = spied(instance)
    planted = [*EVERYTHING, canary("bound")]
    assert escaped(planted, {"ASGI": json.dumps(found["asgi"]), "os.environ": json.dumps(found["process"])}) == []
    assert found["process"]["ETCD_USER"] == USER  # it is only secrets that are taken out
    assert {held for held in found["held"] if PASSWORD.text not in held} == set()


@pytest.mark.parametrize("source", ["API_TOKENS", "API_TOKENS_FILE", "VCAP_SERVICES"])
def test_an_embedded_etcd_is_told_no_secret_and_no_token_is_kept(tmp_path: Path, source: str) -> None:
    """Wherever they come from: of tokens the process keeps hashes only, and its child knows nothing."""
    (tmp_path / "tokens.json").write_text(TOKENS)
    bound = {"a": [{"name": "a", "credentials": {"api_tokens": json.loads(TOKENS)}}]}
    value = {"API_TOKENS": TOKENS, "API_TOKENS_FILE": "tokens.json", "VCAP_SERVICES": json.dumps(bound)}[source]
    with Spied(tmp_path, **{source: value}) as instance:
        found = spied(instance)
        child = Path(f"/proc/{instance.embedded_etcd()['pid']}")
        told = (child / "environ").read_text() + (child / "cmdline").read_text()
        logged = (tmp_path / "instance" / "etcd.log").read_text()
        printed = instance.printed()
    assert found["held"] == []
    assert MARK not in told + logged + printed


def test_an_embedded_etcd_is_given_no_variable_of_unknown_meaning(tmp_path: Path) -> None:
    """Whatever it is called: only what is known to be harmless is handed on."""
    secret = canary("of-somebody-else")
    names = ("GITHUB_PAT", "HTTPS_PROXY", "ETCDCTL_PASSWORD", "SOME_NAME", "ETCD_ROOT_PASSWORD")
    with InstanceProcess(tmp_path, **dict.fromkeys(names, secret.text)) as instance:
        told = Path(f"/proc/{instance.embedded_etcd()['pid']}/environ").read_text()
        logged = (tmp_path / "instance" / "etcd.log").read_text()
        printed = instance.printed()
    assert "PATH=" in told
    assert MARK not in told + logged + printed
