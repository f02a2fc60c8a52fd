"""The rooms of the client: what is pure, and who alone may touch what. It knows nothing of the service's own code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "client" / "config_client"
FILES = sorted(ROOT.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """What a file imports, dotted, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def importers(*modules: str) -> set[str]:
    """The files that import one of these modules, or something in one."""
    return {
        str(file.relative_to(ROOT))
        for file in FILES
        if any(name == module or name.startswith(f"{module}.") for name in imported(file) for module in modules)
    }


def test_nothing_of_the_service_is_needed() -> None:
    assert importers("service", "consistency", "metrics", "tests", "tools") == set()


def test_the_core_is_pure() -> None:
    impure = ("time", "threading", "asyncio", "anyio", "socket", "os", "random", "logging", "httpx", "pathlib", "ssl")
    assert {file for file in importers(*impure) if file.startswith("core/")} == set()
    ours = {
        name for file in (ROOT / "core").glob("*.py") for name in imported(file) if name.startswith("config_client")
    }
    assert {name for name in ours if not name.startswith("config_client.core")} == {"config_client.errors"}


def test_what_speaks_http_is_known() -> None:
    assert importers("httpx") == {
        "async_following.py",
        "async_service.py",
        "connection.py",
        "following.py",
        "service.py",
    }


def test_threads_are_started_where_somebody_joins_them() -> None:
    threads = {
        str(file.relative_to(ROOT))
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Thread")
    }
    assert threads == {"following.py", "listening.py", "ctl/supervising.py", "adapters/openfeature.py"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_file_says_what_it_is_and_is_short(file: Path) -> None:
    text = file.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 300
