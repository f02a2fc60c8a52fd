"""Keeps the documents of a scope as they are told: nothing is seen of a transaction until all of it has come.

Pure. A view that has been given out is never changed; what is being told is gathered beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from config_client.core.model import NOBODY, Author, Document, View
from config_client.core.wire import Delete, Put, Told

MOST_BYTES = 1024 * 1024 * 1024
"""The most bytes that all documents of a scope may have together: a client's memory has a bound."""


class TooMuch(ValueError):
    """The scope has more bytes than a client holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What a later view has otherwise. names: of the keys that differ, in the order of their bytes; perhaps none.

    authors: who made the last change of each, where that was told.
    """

    before: View
    after: View
    names: tuple[str, ...]
    authors: Mapping[str, Author] = field(default_factory=dict)


class Replica:
    """See the module's opening. `view` is the last one that is complete."""

    def __init__(self, view: View, most: int = MOST_BYTES) -> None:
        self.view = view
        self._most = most
        self.resume = view.token  # where the next connection goes on; within a snapshot, not the view's
        self._whole = not view.token  # what is being told is the whole scope
        self._told: dict[str, Document | None] = {}  # since the last token
        self._pages: dict[str, Document] = {}  # of a snapshot, up to the last token
        self._bytes = 0  # of the two above
        self._authors: dict[str, Author] = {}  # of what has been told since the last token

    def forget(self) -> None:
        """The token is of a history that was lost: all has to be told anew. The view stays until it has been."""
        self.resume = ""
        self.reset()

    def reset(self) -> None:
        """All that follows is the whole scope."""
        self._whole = True
        self._told, self._pages, self._bytes, self._authors = {}, {}, 0, {}

    def interrupt(self) -> None:
        """The connection has ended: what came after the last token will come again.

        1. We hold the state at T; an instance says `reset`, and is cut off. 2. The next one is asked from T on, too,
        and tells what has changed since. 3. Taken for the whole scope, that would drop all the rest: so the reset is
        forgotten, unless a token from within the snapshot says that the next one goes on with it.
        """
        self._told, self._authors = {}, {}
        if self.resume == self.view.token:
            self._whole, self._pages = not self.resume, {}
        self._bytes = sum(len(each.value) for each in self._pages.values())

    def put(self, put: Put) -> None:
        """Gather a document. Raises TooMuch."""
        self._told[put.document.key] = put.document
        self._sign(put.document.key, put.author)
        self._bytes += len(put.document.value)
        if self._bytes > self._most:
            raise TooMuch(f"the scope has more than {self._most} bytes")

    def delete(self, delete: Delete) -> None:
        """Gather a deletion."""
        self._told[delete.key] = None
        self._sign(delete.key, delete.author)

    def _sign(self, key: str, author: Author) -> None:
        if author != NOBODY:
            self._authors[key] = author
        else:
            self._authors.pop(key, None)

    def tell(self, told: Told) -> Update | None:
        """What has been gathered is complete: return how the view changes; None: a snapshot has further pages."""
        self.resume = told.token
        if not self._whole:
            return self._turn(*self._changed(), told)
        self._pages.update({key: each for key, each in self._told.items() if each is not None})
        self._told = {}
        if told.more:
            return None
        before, after = self.view.documents, self._pages
        differ = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        return self._turn(MappingProxyType(after), differ, told)

    def _changed(self) -> tuple[Mapping[str, Document], Collection[str]]:
        held = self.view.documents
        changed = {key: each for key, each in self._told.items() if held.get(key) != each}
        if not changed:
            return held, ()
        documents = dict(held)
        for key, each in changed.items():
            if each is None:
                del documents[key]
            else:
                documents[key] = each
        return MappingProxyType(documents), changed

    def _turn(self, documents: Mapping[str, Document], names: Iterable[str], told: Told) -> Update:
        before, self.view = self.view, View(documents, told.token, told.revision)
        authors = self._authors
        self._whole, self._told, self._pages, self._bytes, self._authors = False, {}, {}, 0, {}
        return Update(before, self.view, tuple(sorted(names, key=_in_order)), authors)


def _in_order(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def merged(first: Update, second: Update) -> Update:
    """Return both as one."""
    names = tuple(sorted({*first.names, *second.names}, key=_in_order))
    authors = {key: each for key, each in first.authors.items() if key not in second.names}
    return Update(first.before, second.after, names, {**authors, **second.authors})
