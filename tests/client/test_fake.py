"""`FakeConfig`: what a test of a program scripts is what the program is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_client import (
    Change,
    Closed,
    ConfigError,
    Connection,
    Fresh,
    InvalidValue,
    Lost,
    NoSuchKey,
    PreconditionFailed,
    Put,
    Rejected,
    Stale,
    TimedOut,
)
from config_client.core.calls import Attempt
from config_client.core.requests import plain
from config_client.ctl.sources import to_folder
from config_client.testing import FakeConfig, FolderConfig

pytest_plugins = ("config_client.testing.plugin",)


def state_of(config: FakeConfig) -> type:
    return type(config.state)


def test_what_is_set_is_read_and_told(fake_config: FakeConfig) -> None:
    told: list[Change] = []
    handle = fake_config.on_change("limits", told.append)
    revision = fake_config.set(limits={"rate": 5}, other=1)
    assert fake_config["limits"] == {"rate": 5}
    assert fake_config.revision == revision
    fake_config.remove("limits")
    with pytest.raises(NoSuchKey):
        fake_config["limits"]
    assert [change.value for change in told] == [{"rate": 5}, None]
    handle.close()
    fake_config.set(limits=1)
    assert len(told) == 2


def test_a_transaction_is_one_update() -> None:
    updates: list[list[str]] = []
    with FakeConfig({"a": 1}, prefix="team/") as config:
        config.on_update(lambda changes: updates.append([change.name for change in changes]))
        config.set({"a": 2, "b/c": 3})
        assert [*config.snapshot()] == ["a", "b/c"]
    assert updates == [["a", "b/c"]]


def test_staleness_and_loss_are_scripted() -> None:
    told: list[Change] = []
    with FakeConfig({"a": 1}) as config:
        config.on_change("a", told.append)
        assert state_of(config) == Fresh
        config.go_stale()
        assert state_of(config) == Stale
        config.lose("no route to host")
        state = config.state
        assert isinstance(state, Lost)
        assert (state.why, state.age >= 60) == ("http://fake.invalid: no route to host", True)
        config.set(a=2)
        assert config["a"] == 1
        with pytest.raises(TimedOut):
            config.wait_for(3)
        config.recover(reset=True)
        assert config["a"] == 2
        assert state_of(config) == Fresh
        config.restore({"a": 0})
        assert config["a"] == 0
    assert [change.value for change in told] == [2, 0]
    with pytest.raises(Closed):
        config.get("a")


def test_guarded_writes_are_guarded() -> None:
    with FakeConfig({"a": 1}) as config:
        at = config.snapshot()["a"].mod_revision
        config.put("a", 2, if_match=at)
        with pytest.raises(PreconditionFailed) as error:
            config.batch([Put("b", 1), Put("a", 3, if_match=at)])
        assert error.value.index == 1
        assert {name: each.json() for name, each in config.snapshot().items()} == {"a": 2}


def test_a_type_refuses_as_it_does_in_earnest() -> None:
    refused: list[InvalidValue] = []
    with FakeConfig({"a": 1}, on_invalid=refused.append) as config:
        assert config.get("a", int) == 1
        config.set(a="x")
        assert config.get("a", int) == 1
    assert [each.key for each in refused] == ["a"]


def test_names_that_there_are_not_are_not_kept() -> None:
    """A program that takes names from requests shall not fill its memory with them."""
    with FakeConfig({"a": 1}) as config:
        for number in range(1000):
            assert config.get(f"none-{number}", default=None) is None
        assert config["a"] == 1
        config.remove("a")
        assert config.get("a", default=None) is None
        assert config._memory._cells == {}
        config.set(a=2)
        assert config["a"] == 2


def test_a_token_is_not_shown() -> None:
    connection = Connection("http://127.0.0.1:1", token="hunter2")
    attempt = Attempt("http://127.0.0.1:1", plain("/readyz"), "hunter2")
    assert "hunter2" not in f"{connection!r} {attempt!r}"


@pytest.mark.parametrize("name", ["../a", "a/./b", ""])
def test_a_name_that_is_none_is_refused_as_it_is_in_earnest(name: str) -> None:
    with FakeConfig() as config, pytest.raises(Rejected, match="is no key"):
        config.put(name, 1)


def test_a_folder_that_was_exported_has_the_names_of_the_service(tmp_path: Path) -> None:
    """Whatever characters they have."""
    to_folder(tmp_path, {"a%b": b"1", "c.json/d": b"2"})
    with FolderConfig(tmp_path) as config:
        assert (config["a%b"], config["c.json/d"]) == (1, 2)
    (tmp_path / "a%zz.json").write_text("1")
    with pytest.raises(ConfigError, match="this name is none that export writes"):
        FolderConfig(tmp_path)


def test_a_folder_is_configuration_too(tmp_path: Path) -> None:
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "api.json").write_text('{"rate": 1.50}')
    (tmp_path / "name.json").write_text('"x"')
    told: list[list[str]] = []
    with FolderConfig(tmp_path, prefix="app/") as config:
        assert config.get("limits/api") == {"rate": 1.5}
        assert config.snapshot()["limits/api"].value == b'{"rate": 1.50}', "byte for byte"
        config.on_update(lambda changes: told.append([change.name for change in changes]))
        (tmp_path / "limits" / "api.json").write_text('{"rate": 2}')
        (tmp_path / "name.json").unlink()
        config.reload()
        config.reload()
        assert told == [["limits/api", "name"]]
        (tmp_path / "broken.json").write_text("{")
        with pytest.raises(ConfigError, match=r"broken.json: it is no JSON: Expecting property name"):
            config.reload()
    with pytest.raises(ConfigError, match="a folder of JSON files is expected"):
        FolderConfig(tmp_path / "none")
