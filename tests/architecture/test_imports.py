"""The rooms and their doors: who may import whom, and who alone may touch what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("consistency", "metrics", "service")
FILES = sorted(file for package in PACKAGES for file in (PROJECT / package).glob("**/*.py"))


def imported(file: Path) -> set[str]:
    """The modules a file imports, dotted."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def importers(module: str) -> set[str]:
    """The files that import `module` or something in it."""
    return {
        str(file.relative_to(PROJECT))
        for file in FILES
        if any(name == module or name.startswith(f"{module}.") for name in imported(file))
    }


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 20
    assert "consistency.core.store" in imported(PROJECT / "consistency" / "cache.py")


@pytest.mark.parametrize(
    "module", ["flask", "werkzeug", "granian", "prometheus_client", "structlog", "service", "metrics"]
)
def test_the_protocol_knows_neither_web_nor_metrics(module: str) -> None:
    assert not {file for file in importers(module) if file.startswith("consistency/")}


def test_metrics_know_the_protocols_events_and_words_only() -> None:
    for file in (PROJECT / "metrics").glob("*.py"):
        ours = {name for name in imported(file) if name.startswith(("consistency", "service"))}
        assert {
            name for name in ours if not name.startswith(("consistency.core.events", "consistency.core.model"))
        } == set(), file


def test_prometheus_is_known_to_metrics_only() -> None:
    assert all(file.startswith("metrics/") for file in importers("prometheus_client"))


def test_one_file_connects_to_etcd_and_two_make_messages_for_it() -> None:
    """One more reads streams, which end with gRPC's errors."""
    assert importers("grpc") == {"consistency/etcd/endpoint.py", "consistency/etcd/watch.py"}
    assert importers("etcd3") == {
        "consistency/etcd/endpoint.py",
        "consistency/etcd/store.py",
        "consistency/etcd/probe.py",
    }


PURE = [*(PROJECT / "consistency" / "core").glob("*.py"), PROJECT / "consistency" / "etcd" / "layout.py"]


@pytest.mark.parametrize("file", PURE, ids=lambda file: file.stem)
def test_what_is_pure_imports_neither_clocks_nor_threads_nor_sockets(file: Path) -> None:
    impure = {"time", "threading", "socket", "os", "random", "subprocess", "logging", "tenacity"}
    assert not imported(file) & impure


@pytest.mark.parametrize(
    ("room", "may_import"),
    [("core", {"core"}), ("instance", {"core", "instance"}), ("etcd", {"core", "etcd", "instance.workers"})],
)
def test_rooms_of_the_protocol_import_downwards_only(room: str, may_import: set[str]) -> None:
    allowed = tuple(f"consistency.{each}" for each in may_import)
    for file in (PROJECT / "consistency" / room).glob("*.py"):
        ours = {name for name in imported(file) if name.startswith("consistency.")}
        upwards = {name for name in ours if not name.startswith(allowed) and f"consistency.{room}" != name}
        assert not {name for name in upwards if not name.endswith((".core", ".etcd"))}, file


def test_threads_are_created_in_one_file() -> None:
    creators = {
        str(file.relative_to(PROJECT))
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("threading.Thread", "Thread", "threading.Timer")
    }
    assert creators == {"consistency/instance/workers.py"}


def test_catalogues_hold_no_logic() -> None:
    for package in PACKAGES:
        body = ast.parse((PROJECT / package / "__init__.py").read_text()).body
        assert all(isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.Expr) for node in body), package


def test_every_module_says_what_it_is() -> None:
    assert [file for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))] == []
