"""Is what is stored as the policies in force demanded it, and does it tell who wrote it? Pure; rules 15 and 19.

A document, and the version that names it, are put by one transaction at one revision, at which the policy in force is
that of before: nothing else puts one in the same transaction. So each change can be held against it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping

from consistency.core.records import DOUBTED, NOBODY, Author
from simulation.plan import KEPT
from simulation.policies import breach
from simulation.record import Order, PolicySent
from torture.history import CHECKED
from torture.truth import DOCUMENTS, VERSION, Change, Truth
from torture.violations import Violation

POLICY = "policy"
PAST = "past/"
BEGAN = f"{PAST}\0"


def what_was_demanded(truth: Truth, orders: Mapping[str, Order], sent: Iterable[PolicySent]) -> Iterator[Violation]:
    """Everything that breaks a policy, is signed by another, or has left a record that does not tell it.

    orders: all writes that were sent. sent: the policies whose answers are of this history.
    """
    yield from _policies(truth, sent)
    yield from _versions(truth)
    policy: Change | None = None
    unrecorded = set[str]()
    for change in truth.changes:
        if change.key == POLICY:
            policy = change
        elif _key(change):
            yield from _document(truth, change, policy, orders)
            if not any(each.key.startswith(f"{PAST}{_key(change)}\0") for each in truth.by_revision[change.revision]):
                unrecorded.add(_key(change))
        elif change.key.startswith(PAST) and change.key.endswith(DOUBTED) and change.value is not None:
            yield from _doubt(change, unrecorded)


def _key(change: Change) -> str:
    """The document's name, if nobody changes it past the service."""
    name = change.key.removeprefix(DOCUMENTS) if change.key.startswith(DOCUMENTS) else ""
    return name if change.document is not None or name in KEPT else ""


def _doubt(change: Change, unrecorded: Collection[str]) -> Iterator[Violation]:
    """What was overwritten had left no record, it says: nobody but the service writes these keys."""
    key = change.key.removeprefix(PAST).rpartition("\0")[0]
    if (key.startswith(CHECKED) or key in KEPT) and key not in unrecorded:
        yield Violation("doubted without cause", f"the past of {key} at {change.revision}", (), (change,))


def _policies(truth: Truth, sent: Iterable[PolicySent]) -> Iterator[Violation]:
    """Those that came into force are there, at their revision and once; those that did not, are nowhere."""
    there: dict[str, list[int]] = {}
    for change in truth.changes:
        if change.key == POLICY and change.value is not None:
            there.setdefault(change.value, []).append(change.revision)
    for policy in sent:
        found = there.get(policy.text, [])
        if len(found) > 1 or (policy.done is False and found) or (policy.done and found != [policy.revision]):
            yield Violation("policy not as answered", f"{policy} is in etcd at {found}")
        for revision in found:
            record = truth.record(revision)
            if record is None or record.authors.of(POLICY).by != policy.by:
                yield Violation("policy signed by another", f"{policy} at {revision}: {record}")


def _versions(truth: Truth) -> Iterator[Violation]:
    """A version tells of something: a key, an intent, a policy, or that anything may have changed.

    What its clients have given up before it was sent is not sent (rule 1).
    """
    for change in truth.changes:
        record = truth.record(change.revision) if change.key == VERSION else None
        if record is not None and record.names == frozenset() and not record.policy and record.intent is None:
            yield Violation("version of nothing", f"{record}", (), (change,))


def _document(truth: Truth, change: Change, policy: Change | None, orders: Mapping[str, Order]) -> Iterator[Violation]:
    key = _key(change)
    record = truth.record(change.revision)
    author = record.authors.of(key) if record is not None else NOBODY
    text = policy.value.encode() if policy is not None and policy.value is not None else None
    if wrong := breach(text, key, change.value, author.why):
        yield Violation("policy broken", f"{wrong}, by the policy of {policy and policy.revision}", (), (change,))
        return
    order = orders.get(author.request)
    if order is None or order.author != author or order.changes.get(key, "") != change.value:
        yield Violation("signed by another", f"{key} bears {author}", (), (change,))
    yield from _record(truth, change, text, author)


def _record(truth: Truth, change: Change, policy: bytes | None, author: Author) -> Iterator[Violation]:
    """What the change has left of itself, in the same transaction."""
    key, keeps, most = _key(change), True, 65536
    if policy is not None:
        history = json.loads(policy).get("history", {})
        keeps, most = history.get("keep", 20) > 0, history.get("max_bytes", most)
    left = {each.key: each.value for each in truth.by_revision[change.revision]}
    kind = "d" if change.value is None else "p"
    records = [value for name, value in left.items() if name.startswith(f"{PAST}{key}\0") and name.endswith(kind)]
    if not keeps:
        if records or left.get(BEGAN) is not None:
            yield Violation("record without leave", f"of {key}, though none are kept", (), (change,))
        return
    if len(records) != 1 or records[0] is None:
        yield Violation("no record", f"of {key}: {sorted(left)}", (), (change,))
        return
    head, _, document = records[0].partition("\n")
    told = json.loads(head)
    kept = change.value if change.value is not None and len(change.value) <= most else ""
    if {name: told[name] for name in ("by", "request", "why") if name in told} != author.members() or document != kept:
        yield Violation("wrong record", f"of {key}: {records[0]}", (), (change,))
