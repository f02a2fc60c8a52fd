"""Reads `GET /changes` as JSON, page by page. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from config_client.core.model import Document, View
from config_client.core.wire import NotUnderstood, document_in, revision_in, text_in
from config_client.errors import Unavailable


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


MOST_LOOKS = 20
"""Answers, of at most a second each, after which a snapshot is taken to be behind for good."""


def view_of(ask: Callable[[str], Page], least: int) -> View:
    """Return a snapshot that is no older than a revision. ask: the page after a token; "" for the first.

    What an instance tells without being asked for more may be as old as its bound: then what has changed since is
    added. Raises NotUnderstood; Unavailable, if it stays behind.
    """
    documents: dict[str, Document] = {}
    token, looks = "", 0
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
        if page.more:
            continue
        if page.revision >= least:
            return View(MappingProxyType(documents), token, page.revision)
        looks += 1
        if looks > MOST_LOOKS:
            raise Unavailable(f"the instance tells of revision {page.revision}, and {least} has been reached")
