"""What reads are answered from: the view, and the values that were asked for, made once for each change.

A reader takes what it finds, without a lock: a cell is complete before it is put in its place. `_lock` protects the
making of cells: 1. a reader makes a cell of the view; 2. an update takes the view's place; 3. the cell is put in its
place, and would be of the earlier view for ever. So both are done under it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config_client.core.model import Document, View
from config_client.core.replica import Update
from config_client.errors import InvalidValue, NoSuchKey
from config_client.values import Reader, reader_of

ABSENT: Any = object()
"""Stands for no value, and for no default."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One name as one type. value: ABSENT if there is none. refused: why the newest document is not served, or ""."""

    value: Any
    refused: str = ""


class Memory:
    """See the module's opening. Names are those beneath the prefix."""

    def __init__(self, prefix: str, view: View) -> None:
        self.prefix = prefix
        self.view = view
        self._cells: dict[tuple[str, Any], Cell] = {}
        self._lock = threading.Lock()
        self._hearers: list[Callable[[Update], None]] = []
        self.invalid: tuple[str, ...] = ()
        self._untold: Update | None = None  # an update that hearers have not all been told of

    def get(self, name: str, kind: Any, default: Any) -> Any:
        """Return a value. Raises NoSuchKey, unless there is a default, and InvalidValue."""
        cell = self._cells.get((name, kind)) or self._make(name, kind)
        if cell.value is not ABSENT:
            return cell.value
        if cell.refused:
            raise InvalidValue(name, cell.refused)
        if default is not ABSENT:
            return default
        raise NoSuchKey(f"{self.prefix}{name}: there is no such key at revision {self.view.revision}")

    def hear(self, hearer: Callable[[Update], None]) -> None:
        """Call `hearer` with each update from now on. It must be quick, and raise nothing."""
        with self._lock:
            self._hearers.append(hearer)

    def forget(self, hearer: Callable[[Update], None]) -> None:
        """Tell no more."""
        with self._lock:
            if hearer in self._hearers:
                self._hearers.remove(hearer)

    def publish(self, update: Update) -> list[InvalidValue]:
        """Put the next view in the place of the last, then tell; return what has changed and its type refuses."""
        names = {key.removeprefix(self.prefix) for key in update.names}
        with self._lock:
            told = []
            for (name, kind), cell in list(self._cells.items()) if names else ():
                if name not in names:
                    continue
                document = update.after.documents.get(self.prefix + name)
                if document is None:
                    del self._cells[name, kind]
                    continue
                self._cells[name, kind] = made = _cell(reader_of(kind), document, cell)
                if made.refused:
                    told.append(InvalidValue(name, made.refused))
            self._untold, self.view = update, update.after
            self._count_invalid()
        self._tell(update)
        return told

    def _tell(self, update: Update) -> None:
        for hearer in list(self._hearers):
            hearer(update)
        self._untold = None

    def after_fork(self) -> None:
        """Neither the thread that held the lock nor the one that would have told of the last update is here.

        1. A view takes the place of another; 2. the process is forked; 3. in the child nobody would ever be told of the
           difference, since the feed goes on from the later one. A listener that was told already may be told again.
        """
        self._lock = threading.Lock()
        if self._untold is not None and self._untold.after is self.view:
            self._tell(self._untold)

    def _make(self, name: str, kind: Any) -> Cell:
        reader = reader_of(kind)
        with self._lock:
            document = self.view.documents.get(self.prefix + name)
            made = _cell(reader, document, None)
            if document is not None:  # names that there are not have no bound
                self._cells[name, kind] = made
                self._count_invalid()
            return made

    def _count_invalid(self) -> None:
        self.invalid = tuple(sorted({name for (name, _), cell in self._cells.items() if cell.refused}))


def _cell(reader: Reader, document: Document | None, before: Cell | None) -> Cell:
    """A document as its type reads it. Refused, what was served before stays."""
    if document is None:
        return Cell(ABSENT)
    try:
        return Cell(reader(document.value))
    except Exception as error:  # noqa: BLE001 - a type's own validators may raise anything
        return Cell(before.value if before else ABSENT, str(error) or repr(error))


class Snapshot(Mapping[str, Document]):
    """The documents beneath the prefix at one `revision`: a mapping of names to documents, which never changes."""

    def __init__(self, prefix: str, view: View) -> None:
        self._prefix = prefix
        self._view = view
        self.revision = view.revision

    def __getitem__(self, name: str) -> Document:
        return self._view.documents[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(self._prefix) for key in self._view.documents)

    def __len__(self) -> int:
        return len(self._view.documents)

    def get_as(self, name: str, kind: Any = None) -> Any:
        """Return a value of this revision. Raises NoSuchKey, InvalidValue."""
        document = self._view.documents.get(self._prefix + name)
        if document is None:
            raise NoSuchKey(f"{self._prefix}{name}: there is no such key at revision {self.revision}")
        cell = _cell(reader_of(kind), document, None)
        if cell.refused:
            raise InvalidValue(name, cell.refused)
        return cell.value
