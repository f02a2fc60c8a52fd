"""A client that asks for the past: what a key had, who changed it, all of a prefix at one revision (rule 19).

What it is told is compared with etcd's own history at once: it is exact, or nothing is told. Nothing is compared once a
backup was restored, for then it can't be said which history an answer is of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from consistency.core.model import Reading
from consistency.core.records import Op, Record
from consistency.core.store import Scan
from consistency.instance.recall import KeyHistory
from simulation.asking import Ask, Asker
from simulation.documents import NEVER, Documents, Version
from simulation.instance import Instance
from simulation.loop import Loop
from simulation.plan import KEPT, KEYS

PREFIXES = ("", "t/hot-", "t/warm-1", "kept/", "kept/b", "t/none")
LIMITS = (1, 3, 20)


class Historian(Asker):
    """See the module's opening. documents: None once nothing can be compared."""

    pause = 0.1

    def __init__(
        self,
        number: int,
        loop: Loop,
        instances: Sequence[Instance],
        documents: Callable[[], Documents | None],
        random: Random,
        problem: Callable[[str], None],
    ) -> None:
        super().__init__(f"historian {number}", loop, instances, random, problem)
        self._documents = documents

    def _asks(self) -> Sequence[Ask]:
        return self._past, self._past, self._history, self._history, self._scan

    def _key(self) -> str:
        return self._random.choice((*KEYS[:12], *KEPT))

    def _revision(self) -> int:
        """One that has been: mostly a late one, now and then any."""
        documents = self._documents()
        last = documents.revision if documents is not None else 100
        first = 1 if self._random.random() < 0.3 else max(1, last - 60)
        return self._random.randint(first, max(first, last))

    async def _past(self, instance: Instance, patience: float) -> None:
        key, revision = self._key(), self._revision()
        told: Reading = await self._asked(instance, patience, lambda cache: cache.get_at(key, revision))
        documents = self._documents()
        if documents is None:
            return
        there = documents.at(key, revision)
        if (told.value, told.mod_revision, told.revision) != (there.value, there.mod_revision, revision):
            self._problem(f"{key} at {revision} was told as {told}, in etcd was {there}")

    async def _history(self, instance: Instance, patience: float) -> None:
        """One page of a key's changes, and the next, until there are no more."""
        key, limit, before = self._key(), self._random.choice(LIMITS), None
        while True:
            told: KeyHistory = await self._asked(
                instance,
                patience,
                lambda cache, before=before: cache.history(key, before=before, limit=limit),  # type: ignore[misc]
            )
            documents = self._documents()
            if documents is not None and (wrong := _wrong_with(told, documents.versions(key), before, limit)):
                self._problem(f"history of {key} before {before}: {wrong}; told was {told}")
            if not told.more or self._loop.now >= self._until:
                return
            before = told.records[-1].mod_revision

    async def _scan(self, instance: Instance, patience: float) -> None:
        """All of a prefix, page by page, as it stood at one revision: one that is named, or the first page's."""
        prefix, limit, values = (
            self._random.choice(PREFIXES),
            self._random.choice((7, 100)),
            self._random.random() < 0.7,
        )
        revision = self._revision() if self._random.random() < 0.5 else None
        after = ""
        while True:
            told: Scan = await self._asked(
                instance,
                patience,
                lambda cache, after=after, revision=revision: cache.scan(  # type: ignore[misc]
                    prefix, after=after, limit=limit, revision=revision, values=values
                ),
            )
            revision = told.header.revision
            self._compare_scan(told, prefix, after, values=values)
            if not told.more or self._loop.now >= self._until:
                return
            after = told.documents[-1][0]

    def _compare_scan(self, told: Scan, prefix: str, after: str, *, values: bool) -> None:
        documents = self._documents()
        if documents is None:
            return
        revision = told.header.revision
        there = {key: at for key, at in documents.all_at(revision).items() if key.startswith(prefix) and key > after}
        expected = [(key, at.mod_revision, at.value if values else b"") for key, at in sorted(there.items())]
        found = [(key, document.mod_revision, document.data if values else b"") for key, document in told.documents]
        if found != expected[: len(found)] or told.more is not (len(expected) > len(found)):
            self._problem(f"{prefix} after {after!r} at {revision} was {found}, in etcd was {expected}")


def _wrong_with(told: KeyHistory, versions: Sequence[Version], before: int | None, limit: int) -> str:
    """What a page of a key's history tells that is not so, or leaves out; "": nothing."""
    known = [version for version in versions if version.revision <= told.revision]
    current = known[-1].mod_revision if known else 0
    if told.current != current:
        return f"the document is of {current}, not {told.current}"
    for record in told.records:
        if not _fits(record, at := _last(known, record.mod_revision)):
            return f"{record} was {at}"
    revisions = [record.mod_revision for record in told.records]
    if revisions != sorted(revisions, reverse=True) or len(revisions) > limit:
        return "they are out of order, or too many"
    if not told.began:
        return ""
    first, changed = max(told.began, told.trimmed), [version.revision for version in reversed(known)]
    expected = [at for at in changed if at >= first and (before is None or at < before)]
    found = [at for at in revisions if at >= first and at in changed]
    if found != expected[: len(found)] or (len(found) < len(expected) and not (told.more and len(revisions) == limit)):
        return f"of the changes {expected} these are told: {found}"
    return ""


def _last(versions: Sequence[Version], revision: int) -> Version:
    return next((version for version in reversed(versions) if version.revision <= revision), NEVER)


def _fits(record: Record, version: Version) -> bool:
    """A deletion of what was not there, which a batch may ask for, is no change, and leaves no record."""
    if record.at is None or not record.author.by:
        return False
    if version.value is None:
        return record.op is Op.DELETE and record.document is None and version.revision == record.mod_revision
    whole = version.revision == record.mod_revision and record.size == len(version.value)
    return whole and record.op is Op.PUT and record.document in (None, version.value)
