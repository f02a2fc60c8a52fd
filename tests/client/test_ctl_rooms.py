"""The parts of `configctl` that are pure: paths, plans, sources, merges, profiles."""

from __future__ import annotations

import base64
import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_client import ConfigError, View
from config_client.core.model import Document
from config_client.core.requests import DeleteOperation, PutOperation
from config_client.ctl.merging import merge
from config_client.ctl.paths import name_of, path_of
from config_client.ctl.planning import Wanted, difference, plan_of
from config_client.ctl.profiles import connection_of
from config_client.ctl.sources import from_consul, from_etcd, from_folder, is_json, to_folder

SEGMENT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/%\ufffd"), min_size=1, max_size=200),
    st.sampled_from(
        ["a.json", "a", "a.yaml", "a.", "...", ".a", "%2E", "a%2Ejson", "x" * 300, "é" * 250, "-", "%25%2d"]
    ),
)
NAMES = (
    st.lists(SEGMENT.filter(lambda text: text not in (".", "..")), min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda name: len(name.encode()) <= 512)
)


@given(NAMES)
def test_a_name_comes_back_from_its_path(name: str) -> None:
    path = path_of(name)
    assert name_of(path) == name
    assert not path.is_absolute()
    assert all(len(part.encode()) <= 255 and part not in (".", "..") for part in path.parts)


@given(st.sets(NAMES, min_size=2, max_size=5))
def test_no_two_names_are_in_each_others_way(names: set[str]) -> None:
    """No file is another one's folder."""
    paths = [path_of(name) for name in names]
    folders = {parent for path in paths for parent in path.parents}
    assert len(set(paths)) == len(names)
    assert not folders & set(paths)


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/..", "."])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name of a file"):
        path_of(name)


@given(st.dictionaries(NAMES, st.sampled_from([b"1", b'{"a": 1.10}', b" [1,\n2]\n", '"é"'.encode()]), max_size=5))
def test_a_folder_has_what_was_written_into_it(documents: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        to_folder(Path(folder), documents)
        found = from_folder(Path(folder), "p/") if documents else {}
    assert {key: each.value for key, each in found.items()} == {f"p/{name}": value for name, value in documents.items()}


def view(**documents: bytes) -> View:
    return View({key: Document(key, value, 7) for key, value in documents.items()}, "9-a", 9)


def test_a_plan_is_what_differs_guarded_by_what_was_seen() -> None:
    held = view(same=b" 1\n", changed=b"[1,2]", meant=b'{"a": [1, 2]}', gone=b"1")
    wanted = {
        "same": Wanted(b"1"),
        "changed": Wanted(b"[1, 2]"),
        "meant": Wanted(b'{"a":[1,2]}', is_meant=True),
        "new": Wanted(b"2"),
    }
    plan = plan_of(held, wanted, prune=False)
    assert [(step.sign, step.operation) for step in plan.steps] == [
        ("~", PutOperation("changed", b"[1, 2]", 7)),
        ("+", PutOperation("new", b"2", 0)),
    ]
    pruned = plan_of(held, wanted, prune=True)
    assert [(step.sign, step.operation) for step in pruned.steps if step.sign == "-"] == [
        ("-", DeleteOperation("gone", 7))
    ]
    assert [*difference(plan.steps[0])] == ["  changed: the same value, written otherwise"]
    assert [*difference(plan.steps[1])] == ["--- nothing", "+++ new", "@@ -0,0 +1 @@", "+2"]


def test_yaml_is_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("rate: 5\nnames: [é]\n")
    assert from_folder(tmp_path, "p/") == {"p/a": Wanted('{"rate": 5, "names": ["é"]}'.encode(), is_meant=True)}
    (tmp_path / "a.yaml").write_text("base: &base {x: 1}\nmore: {<<: *base, x: 2}\n")
    assert from_folder(tmp_path, "")["a"].value == b'{"base": {"x": 1}, "more": {"x": 2}}', "a merge may be overruled"
    (tmp_path / "a.json").write_text("1")
    with pytest.raises(ConfigError, match=r"another file is the document p/a, too"):
        from_folder(tmp_path, "p/")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a.json", "{", "it is no JSON"),
        ("a.json", "NaN", "it is no JSON"),
        ("a.yaml", "a: [", "it is no YAML that is JSON, too"),
        ("a.yaml", "a: 2024-01-01", "it is no YAML that is JSON, too"),
        ("a.yaml", "!!python/object:os.system {}", "it is no YAML that is JSON, too"),
        ("a.json", "\ufeff1", "it is no JSON"),
        ("a.yaml", "on: push", "it is no YAML that is JSON, too: True is no text: quote it"),
        ("a.yaml", "80: http", "it is no YAML that is JSON, too: 80 is no text: quote it"),
        ("a.yaml", "a: {b: 1, b: 2}", "it is no YAML that is JSON, too: 'b' is there twice"),
        ("a.yaml", "[" * 5000, "it is no YAML that is JSON, too"),
        ("a%zz.json", "1", "this name is none that export writes"),
    ],
)
def test_a_file_that_is_no_document_is_named(tmp_path: Path, file: str, content: str, said: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(ConfigError, match=f"{file}: {said}"):
        from_folder(tmp_path, "")


def test_what_others_export_is_taken_over() -> None:
    def b64(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    consul = [{"key": "app/", "flags": 0, "value": ""}, {"key": "app/a", "flags": 0, "value": b64("[1.10]")}]
    assert from_consul(json.dumps(consul).encode(), "team/", "app/", text=False) == {"team/a": Wanted(b"[1.10]")}
    etcd = {"header": {}, "kvs": [{"key": b64("/app/a"), "value": b64("plain text")}], "count": 1}
    with pytest.raises(ConfigError, match=r"no JSON: /app/a; --text takes them as strings"):
        from_etcd(json.dumps(etcd).encode(), "team/", "/app/", text=False)
    assert from_etcd(json.dumps(etcd).encode(), "team/", "/app/", text=True) == {"team/a": Wanted(b'"plain text"')}
    binary = [{"key": "a", "value": "/wD/"}]
    with pytest.raises(ConfigError, match="a: the value is no text, found b"):
        from_consul(json.dumps(binary).encode(), "", "", text=True)
    with pytest.raises(ValueError, match="base64"):
        from_consul(b'[{"key": "a", "value": "M*Q=="}]', "", "", text=False)
    with pytest.raises(ConfigError, match="an array, as `consul kv export` writes it is expected, found dict"):
        from_consul(json.dumps(etcd).encode(), "", "", text=False)
    with pytest.raises(ConfigError, match="does not begin with 'x'"):
        from_consul(json.dumps(consul[1:]).encode(), "", "x", text=False)


@pytest.mark.parametrize(
    ("text", "fits"), [("1", True), ("", False), ("NaN", False), ("[Infinity]", False), ("[" * 100_000, False)]
)
def test_what_is_no_json_is_told(text: str, fits: bool) -> None:
    assert is_json(text.encode()) is fits


LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=6).map(
    lambda lines: "".join(f"{x}\n" for x in lines)
)


@given(LINES, LINES)
def test_what_one_has_changed_is_kept(base: str, changed: str) -> None:
    assert merge(base, changed, base) == (changed, True)
    merged, clean = merge(base, base, changed)
    assert (merged.split(), clean) == (changed.split(), True)


def test_changes_of_different_lines_are_merged_and_of_the_same_are_shown() -> None:
    base = "1\n2\n3\n4\n5\n"
    assert merge(base, "1\nmine\n3\n4\n5\n", "1\n2\n3\ntheirs\n5\n") == ("1\nmine\n3\ntheirs\n5\n", True)
    merged, clean = merge(base, "1\nmine\n3\n4\n5\n", "1\ntheirs\n3\n4\n5\n")
    assert not clean
    assert merged == "1\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> theirs\n3\n4\n5\n"


def test_options_come_before_the_environment_and_that_before_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "configctl.toml"
    file.write_text('default = "prod"\n[profiles.prod]\nurl = ["http://a", "http://b"]\ntoken_file = "/t"\n')
    where = {"XDG_CONFIG_HOME": str(tmp_path)}
    found = connection_of({}, None, None, where)
    assert (found.urls, found.token_file) == (("http://a", "http://b"), "/t")
    assert connection_of({}, None, None, {**where, "CONFIG_URL": "http://c,http://d"}).urls == ("http://c", "http://d")
    found = connection_of({"url": ["http://e"]}, None, None, {**where, "CONFIG_URL": "http://c", "CONFIG_TOKEN": "x"})
    assert (found.urls, found.token, found.token_file) == (("http://e",), "x", None)


def test_addresses_may_have_blanks_between_them_and_files_may_be_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "configctl.toml").write_text('default = "a"\n[profiles.a]\ntoken_file = "~/token"\n')
    found = connection_of({}, None, None, {"XDG_CONFIG_HOME": str(tmp_path), "CONFIG_URL": " http://a, http://b,"})
    assert (found.urls, found.token_file) == (("http://a", "http://b"), "/home/me/token")


@pytest.mark.parametrize(
    ("content", "profile", "said"),
    [
        (None, None, "no address of the service: give --url, or set CONFIG_URL"),
        (None, "prod", "there is no such file, so no profile prod"),
        ("[profiles.test]\nurl = 'http://a'", "prod", "has no profile prod; it has test"),
        ("[profiles.prod]\nuri = 'http://a'", "prod", "profile prod: uri is unknown; known: url, token_file"),
        ("[profiles", "prod", "can't be read"),
        ("[profiles.prod]\nurl = 'ftp://a'", "prod", "one is not an address"),
        ("[profiles.prod]\nurl = 5", "prod", "profile prod: url: text is expected, found int"),
        ("[profiles.prod]\nurl = ['http://a', 5]", "prod", "profile prod: url: text is expected, found list"),
        ("[profiles.prod]\nurl = 'http://a'\ntoken_file = true", "prod", "token_file: text is expected, found bool"),
        ("[profiles]\nprod = 5", "prod", r"profile prod: a table is expected, \[profiles.prod\], found 5"),
        ("profiles = 5", None, r"profiles: tables are expected"),
        ("default = 5", None, "default: the name of a profile is expected, found 5"),
        ("defualt = 'prod'", None, "defualt is unknown; known: default, profiles"),
        (
            "default = 'prod'\n[profiles.prod]\nurl = 'http://a'\n[profiles.b]\nuri = 1",
            None,
            "profile b: uri is unknown",
        ),
    ],
)
def test_a_profile_that_will_not_do_is_told(
    tmp_path: Path, content: str | None, profile: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "configctl.toml").write_text(content)
    with pytest.raises(ConfigError, match=said):
        connection_of({}, profile, None, {"XDG_CONFIG_HOME": str(tmp_path)})


def test_paths_are_what_people_expect() -> None:
    assert path_of("limits/api") == PurePosixPath("limits/api.json")
    assert path_of("a.json/b") == PurePosixPath("a%2Ejson/b.json")
    assert path_of("a%2Fb") == PurePosixPath("a%252Fb.json")
