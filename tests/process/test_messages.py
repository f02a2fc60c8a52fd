"""No message of a start repeats what was given: a secret is put in every place, in every malformed way, and looked for.

The one field that is left out is the `name` of a bound service, which is for showing.
"""

from __future__ import annotations

import copy
import json
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.auth import token_sources
from service.auth.keyring import Keyring
from service.doctor import examine
from service.process.listener import reserve
from service.process.startup import StartupError
from service.settings.connection import resolve
from service.settings.model import Settings
from tests.process.canaries import MARK
from tests.support.certificates import Authority

pytestmark = pytest.mark.lasting

CANARY = f"{MARK}S3cret"
PEM = Authority().pem.decode()

# How a secret gets to where it should not be.
WAYS = [
    "{}", "{},{}", "1{}", " {} ", '"{}"', "'{}'", "{}\n", "{}@", "@{}", ":{}", "{}:{}", "{}:1", "u:{}@h:1", "{}:p@h:1",
    "https://u:{}@h:1", "https://u:{},x@h:1", "https://u:x,{}@h:1", "https://u:1,{}@h:1", "https://cfg:{},rest@h",
    '"https://u:{}@h:1"', "https://u:{}", "https://{}", "https://h:{}", "https://h:1/{}", "https://h:1?{}", "{}://h:1",
    "h:1,{}", "h:1,u:{}@h:2", "https://u:{}@h:1,https://v:{}@h:2", "https://u:a@{}@h:1", "https://[{}]:1", "http://{}@",
    "[{}]", "{{{}}}", '["{}"]', '{{"{}": 1}}', '{{"a": "{}"', '[{{"token": "{}"}}]', '[{{"{}": "x"}}]', "/{}", "{}/x",
    "./{}", "/etc/{}", "/etc/passwd/{}", "~/{}", "-----BEGIN {}", "-----BEGIN CERTIFICATE-----\n{}", "{}=", "${{{}}}",
    "{}\udcff", "{}\u0000x", "{}\u00e9", "\ufeff{}", "*{}", "{}..x",
]  # fmt: skip
ways = st.sampled_from(WAYS).map(lambda way: way.replace("{}", CANARY).replace("{{", "{").replace("}}", "}"))
names = st.sampled_from([doc.name for doc in Settings.describe()])

TOKENS: list[Any] = [
    {"name": "a", "token": "0123456789-abcdef", "scopes": ["read", "write"], "prefix": "team-a/"},
    {"name": "b", "sha256": "0f" * 32, "scopes": ["admin"]},
]
GRPC: dict[str, Any] = {
    "hosts": [{"hostname": "h", "port": 1}],
    "authentication": {"username": "u", "password": "p"},
    "certificate": {"name": "ca", "certificate_base64": PEM},
}
BOUND = [
    {"connection": {"grpc": GRPC}},
    {"hosts": ["h:1"], "username": "u", "password": "p", "certificate": PEM},
    {"uri": "https://u:p@h:1,h:2", "certificate": PEM},
    {"connection": {"grpc": GRPC}, "api_tokens": TOKENS},
]
SERVICES = [
    {"user-provided": [{"name": "etcd", "label": "x", "tags": ["etcd"], "credentials": each}]} for each in BOUND
]


@st.composite
def broken(draw: st.DrawFn, documents: list[Any]) -> str:
    """A JSON text that would be right, but for a secret that stands somewhere in it, or somewhere in its place."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    place = draw(st.sampled_from(list(places(document))))
    where, last = document, place[-1]
    for step in place[:-1]:
        where = where[step]
    secret = draw(ways)
    value = draw(
        st.sampled_from([secret, [secret], {secret: "x"}, {"x": secret}, [[{secret: secret}]], json.dumps([secret])])
    )
    if isinstance(where, dict) and draw(st.booleans()):
        where[secret] = where.pop(last)  # a key in place of a value
    else:
        where[last] = value
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    cut = draw(st.sampled_from(["", "", "", "end", "quoted", "twice"]))
    if cut == "end":
        return text[: draw(st.integers(1, len(text)))]
    return {"": text, "quoted": f"'{text}'", "twice": text + text}[cut]


def places(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of each member and item, at any depth; without the names of services."""
    members = document.items() if isinstance(document, dict) else enumerate(document)
    for step, value in members:
        if not (step == "name" and len(before) == 2):
            yield (*before, step)
        if isinstance(value, dict | list):
            yield from places(value, (*before, step))


def told(environ: Mapping[str, str], directory: Path) -> str:
    """All that a start and the doctor say with this environment; with causes, as a traceback would print them."""
    said = list(Settings.warnings(environ))
    try:
        found = Settings.load(environ)
        connection = resolve(found, directory)
    except StartupError as error:
        report = examine(environ, directory)
        return "\n".join([*said, *traceback.format_exception(error), report.text(), report.json()])
    said.append(connection.origin)
    try:
        source = token_sources.resolve(found)
        said.append(Keyring(source).describe() if source else "")
        reserve(found.host, 0).close()
    except StartupError as error:
        said += traceback.format_exception(error)
    if connection.embedded:
        report = examine(environ, directory)
        said += [report.subject if "USER_KEY_PREFIX" not in environ else "", *map(repr, report.findings)]
    return "\n".join(said)


def assert_kept(environ: Mapping[str, str], files: Mapping[str, str] | None = None) -> None:
    """That the secret is in nothing that is told."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file, content in (files or {}).items():
            (directory / file).write_text(content, encoding="utf-8", errors="surrogateescape")
        environ = {key: value.replace("DIRECTORY", name) for key, value in environ.items()}
        said = told(environ, directory)
    assert MARK not in said.lower()


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(names, ways, min_size=1, max_size=3))
@example({"ETCD_ENDPOINTS": f"https://cfg:{CANARY},rest@h"})
@example({"API_TOKENS_FILE": f'[{{"token": "{CANARY}"}}]'})
@example({"VCAP_SERVICES": f'{{"etcd": [{{"credentials": {{"uri": "https://u:{CANARY},x@h:1"}}}}]}}'})
@example({"VCAP_SERVICES": f'{{"etcd": [{{"credentials": {{"uri": "\\"https://u:{CANARY}@h:1\\""}}}}]}}'})
def test_no_setting_is_repeated(environ: dict[str, str]) -> None:
    assert_kept(environ)


@settings(max_examples=400, deadline=None)
@given(broken(SERVICES))
def test_nothing_of_bound_services_is_repeated(text: str) -> None:
    assert_kept({"VCAP_SERVICES": text})


@settings(max_examples=300, deadline=None)
@given(broken(BOUND))
def test_nothing_of_the_file_that_names_an_etcd_is_repeated(text: str) -> None:
    assert_kept({}, {"etcd.config.json": text})


@settings(max_examples=300, deadline=None)
@given(broken([TOKENS]), st.booleans())
def test_nothing_of_the_tokens_is_repeated(text: str, in_file: bool) -> None:
    if in_file:
        assert_kept({"API_TOKENS_FILE": "DIRECTORY/tokens.json"}, {"tokens.json": text})
    else:
        assert_kept({"API_TOKENS": text})


@pytest.mark.parametrize("name", ["ETCD_PASSWD", "API_TOKEN", "ETCD_DATA_DIR", "CACHE_SECRET", "etcd_key"])
def test_no_unknown_variable_is_repeated(name: str) -> None:
    assert_kept({name: CANARY})
