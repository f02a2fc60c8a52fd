"""What the service leans on of Granian, by name: all of it published, and there in the release that is installed."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import service

ROOT = Path(service.__file__).parent
OWNER = ROOT / "http" / "accepting.py"

IMPORTED = {
    ("granian.constants", "HTTPModes"),
    ("granian.constants", "Interfaces"),
    ("granian.constants", "SSLProtocols"),
    ("granian.http", "HTTP1Settings"),
    ("granian.http", "HTTP2Settings"),
    ("granian.log", "LogLevels"),
    ("granian.server.embed", "Server"),
}
USED = {
    "HTTPModes": {"auto", "http1"},
    "Interfaces": {"ASGINL"},
    "LogLevels": {"error"},
    "SSLProtocols": {"tls12"},
    "Server": {"serve", "stop"},
}
ARGUMENTS = {
    "HTTP1Settings": {"header_read_timeout", "max_buffer_size"},
    "HTTP2Settings": {
        "initial_connection_window_size", "initial_stream_window_size", "keep_alive_interval", "max_concurrent_streams",
        "max_headers_size", "max_send_buffer_size",
    },
    "Server": {
        "address", "backlog", "backpressure", "http", "http1_settings", "http2_settings", "interface", "log_dictconfig",
        "log_level", "port", "ssl_ca", "ssl_cert", "ssl_client_verify", "ssl_key", "ssl_protocol_min", "websockets",
    },
}  # fmt: skip
HELD_AS = "_granian"
"""The attribute of ours that holds the server."""


def imports(file: Path) -> Iterator[tuple[str, str, str]]:
    """Module, name, and as what it is known there; for a module that is imported whole the name is empty."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "granian":
            yield from ((node.module or "", each.name, each.asname or each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, "", "") for each in node.names if each.name.partition(".")[0] == "granian")


def test_one_module_knows_granian() -> None:
    assert [file for file in ROOT.rglob("*.py") if list(imports(file))] == [OWNER]


def test_what_is_imported_of_granian() -> None:
    found = {(module, name) for module, name, _ in imports(OWNER)}
    assert found == IMPORTED
    assert all(getattr(importlib.import_module(module), name) for module, name in found)


def names() -> dict[str, str]:
    """Granian's name for each of ours."""
    return {known: name for _, name, known in imports(OWNER)}


def used() -> dict[str, set[str]]:
    """The attributes of what is imported, and of the server that is held."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(OWNER.read_text())):
        if not isinstance(node, ast.Attribute):
            continue
        of = node.value
        if isinstance(of, ast.Name) and of.id in names():
            found.setdefault(names()[of.id], set()).add(node.attr)
        elif isinstance(of, ast.Attribute) and of.attr == HELD_AS:
            found.setdefault("Server", set()).add(node.attr)
    return found


def test_what_is_used_of_granian_is_published() -> None:
    assert used() == USED
    modules = {name: module for module, name in IMPORTED}
    for name, attributes in USED.items():
        assert not [each for each in attributes if each.startswith("_")]
        assert all(hasattr(getattr(importlib.import_module(modules[name]), name), each) for each in attributes)


def test_the_server_is_held_as_what_it_is() -> None:
    """Else an attribute of it could be used under another name, and not be seen here."""
    tree = ast.parse(OWNER.read_text())
    held = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == HELD_AS]
    of_ours = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assigned = [node for node in held if isinstance(node.ctx, ast.Store)]
    assert len(assigned) == 1
    assert all(id(node) in of_ours for node in held if node not in assigned)


def test_what_granian_is_told() -> None:
    modules = {name: module for module, name in IMPORTED}
    found = {
        names()[node.func.id]: {str(keyword.arg) for keyword in node.keywords}
        for node in ast.walk(ast.parse(OWNER.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names()
    }
    assert found == ARGUMENTS
    for name, arguments in found.items():
        known = inspect.signature(getattr(importlib.import_module(modules[name]), name)).parameters
        assert arguments <= known.keys()
