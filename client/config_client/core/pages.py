"""Reads `GET /changes` as JSON, page by page. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from config_client.core.model import Document, View
from config_client.core.wire import NotUnderstood, document_in, revision_in, text_in


@dataclass(frozen=True, slots=True)
class Page:
    """One answer. changed: by key; None was deleted. reset: what was held before counts no more."""

    changed: dict[str, Document | None]
    token: str
    revision: int
    reset: bool
    more: bool


def page_of(body: bytes) -> Page:
    """Return what an answer says. Raises NotUnderstood."""
    try:
        data = json.loads(body)
        changed = {text_in(each, "key"): document_in(each) if each["op"] == "put" else None for each in data["changes"]}
        return Page(changed, text_in(data, "to"), revision_in(data, "revision"), data["reset"], data["more"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotUnderstood(f"the changes are not understood: {error!r}") from error


def view_of(ask: Callable[[str], Page]) -> View:
    """Return a snapshot. ask: the page after a token; "" for the first. Raises NotUnderstood."""
    documents: dict[str, Document] = {}
    token = ""
    while True:
        page = ask(token)
        if page.reset:
            documents = {}
        for key, document in page.changed.items():
            if document is None:
                documents.pop(key, None)
            else:
                documents[key] = document
        token = page.token
        if not page.more:
            return View(MappingProxyType(documents), token, page.revision)
