"""The least that a Flask application can do: one route that returns a constant."""

from __future__ import annotations

from flask import Flask

from bench.documents import HEADERS, document

application = Flask(__name__, static_folder=None)
_BODY = document(0)
_HEADERS = list(HEADERS)


@application.get("/config/<path:_key>")
def constant(_key: str) -> tuple[bytes, list[tuple[str, str]]]:
    """Whatever the key."""
    return _BODY, _HEADERS
