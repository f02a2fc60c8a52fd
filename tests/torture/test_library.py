"""What is written down of a client of the library: what it holds, look by look, and its last word."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

from config_client.testing import FakeConfig
from torture import library
from torture.followed import Told, read_followed
from torture.library import Watched
from torture.workload import Load


def load(directory: Path, count: int) -> Load:
    history, followed, held = (str(directory / name) for name in ("history", "followed", "held"))
    return Load(1, 0, 1.0, (1,), (), history, followed, held, 0, count)


def fake(documents: dict[str, int]) -> Any:
    """In place of a client of the library."""
    return FakeConfig(documents, prefix="t/")


def test_each_look_tells_what_differs_from_the_last(tmp_path: Path) -> None:
    told: list[Told] = []
    watched = Watched(0, load(tmp_path, 1), told.append)
    with fake({"hot-0": 1, "cold-1": 1}) as client:
        watched.begin(client)
        watched.look(client)
        changed = client.set({"hot-0": 2})
        client.remove("cold-1")
        watched.look(client)
        assert watched.is_well(client)
        client.lose()
        watched.look(client)
        assert not watched.is_well(client)
        client.recover()
        client.restore({"hot-0": 3})
        watched.look(client)
        watched.end(client)
    first, second, lost, restored, last = told
    assert (first.since, first.reset, {key for key, _, _ in first.changes}) == (0, "history", {"t/hot-0", "t/cold-1"})
    assert (second.since, second.reset) == (first.to, "")
    assert set(second.changes) == {("t/hot-0", "2", changed), ("t/cold-1", None, 0)}
    assert (lost.note, lost.changes) == ("Lost", ())
    assert (restored.reset, [value for _, value, _ in restored.changes]) == ("history", ["3"])
    assert (last.word, last.note) == ("listened", "Fresh")


def test_a_change_while_it_begins_is_not_lost(tmp_path: Path) -> None:
    """1. It is listened to; 2. somebody writes; 3. what it holds is noted. The other way round nobody would be told."""
    watched = Watched(0, load(tmp_path, 1), lambda _: None)
    with fake({"hot-0": 1}) as client:
        listens = client.on_update

        def on_update(*arguments: Any) -> Any:
            threading.Thread(target=client.set, args=({"hot-0": 2},)).start()  # its listener waits for our lock
            return listens(*arguments)

        client.on_update = on_update
        watched.begin(client)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.name.startswith("Thread-"):
                thread.join(5.0)
        assert watched.is_well(client)


def test_one_that_fails_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(watched: Watched, client: object) -> None:
        raise RuntimeError(f"{watched.prefix} {client}")

    monkeypatch.setattr(library, "ConfigClient", lambda **_: FakeConfig(prefix="t/"))
    monkeypatch.setattr(library, "AsyncConfigClient", lambda **_: FakeConfig(prefix="t/"))
    monkeypatch.setattr("sys.stdin", io.StringIO(load(tmp_path, 2).to_json() + "\n"))
    monkeypatch.setattr(Watched, "begin", fails)
    with pytest.raises(RuntimeError):
        library.main()


def test_one_that_never_starts_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there."""
    monkeypatch.setattr("sys.stdin", io.StringIO(load(tmp_path, 2).to_json() + "\n"))
    before = Watched.__init__

    def hasty(watched: Watched, *arguments: Any) -> None:
        before(watched, *arguments)
        watched.arguments["start_within"] = 0.1

    monkeypatch.setattr(Watched, "__init__", hasty)
    library.main()
    words = list(read_followed(tmp_path / "held"))
    assert [word.follower for word in words if word.word == "unlike"] in ([0, 1], [1, 0])
