"""A client that keeps some documents by policies: puts policies, writes, and has a prefix as it was (rules 15, 19).

What comes of a write is looked at at once, in etcd's own history; nothing is compared once a backup was restored.
Whether the documents are as the policies demanded, and who is said to have written them, is judged at the end
(`demanded`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from consistency.core.model import Applied, Author, Policy, PreconditionFailed, Written
from consistency.core.rollbacks import Plan, parts
from consistency.core.store import Change, Delete, OutcomeUnknown, Put, StoreError
from simulation.asking import Ask, Asker
from simulation.documents import Documents
from simulation.instance import Instance
from simulation.life import Gone
from simulation.loop import Loop
from simulation.plan import KEPT
from simulation.policies import Approval, reason, text
from simulation.record import Order, PolicySent
from simulation.surroundings import SimulatedEtcd

PAUSES = (0.0, 0.003, 0.05)
"""Virtual seconds that it takes to hold a write against a policy."""

FIRST = 2000
"""The number that stands in the documents of the first keeper: clients have lower ones."""


class Keeper(Asker):
    """See the module's opening. policies: what was sent is added to them. guarded: what
    each of them guards. The first keeper alone puts some."""

    pause = 0.15

    def __init__(
        self,
        number: int,
        loop: Loop,
        instances: Sequence[Instance],
        surroundings: SimulatedEtcd,
        random: Random,
        policies: list[PolicySent],
        guarded: tuple[str, ...],
        sign: Callable[[Order], None],
        tell: Callable[[str, object], None],
        problem: Callable[[str], None],
    ) -> None:
        super().__init__(f"keeper {number}", loop, instances, random, problem)
        self._number = FIRST + number
        self._surroundings = surroundings
        self._policies = policies
        self._guarded = guarded
        self._sign = sign
        self._tell = tell
        self._wants_policies = 0 if number else random.choice((0, 1, 1, 6))
        self._compacts = random.random() < 0.5 if number else False
        self._values = 0
        self._orders = 0
        self._known = 0  # the revision of the last policy that this one has seen

    def _asks(self) -> Sequence[Ask]:
        policies: list[Ask] = [self._put_policy, self._read_policy] * self._wants_policies
        compactions: list[Ask] = [self._compact] * self._compacts
        return [*policies, *compactions, self._write, self._write, self._write, self._roll_back]

    def _documents(self) -> Documents | None:
        return self._surroundings.documents()

    # --- policies

    async def _put_policy(self, instance: Instance, patience: float) -> None:
        """Another one; mostly in place of whatever is in force, else only of the one that this keeper knows."""
        put = text(f"{self._number}.{len(self._policies)}", self._random, self._guarded)
        if_match = self._known if self._random.random() < 0.3 else None
        done: bool | None = None
        revision = 0
        try:
            written: Written = await self._asked(
                instance, patience, lambda cache: cache.put_policy(put, if_match=if_match, author=Author(self._name))
            )
            done, revision = True, written.revision
            self._known = revision
            before = self._surroundings.policy(revision - 1)
            if if_match is not None and before is not None and before.mod_revision != if_match:
                self._problem(f"a policy took the place of {before}, only that of {if_match} was to be replaced")
        except PreconditionFailed as refused:
            done, self._known = False, refused.current
        except OutcomeUnknown:
            pass
        except Gone as gone:
            done = False if str(gone) == "refused" else None
        except StoreError:
            done = False
        self._policies.append(PolicySent(put.decode(), done, revision, self._name))
        self._tell(self._name, f"has put the policy {put.decode()}: {revision or done}")

    async def _read_policy(self, instance: Instance, patience: float) -> None:
        before = self._surroundings.policy()
        policy: Policy = await self._asked(instance, patience, lambda cache: cache.read_policy())
        self._known = policy.mod_revision
        now = self._surroundings.policy()
        if before is None or now is None:
            return
        # None at all is of revision 0: there was none before, or there was none for a moment meanwhile.
        none = before.value is None or now != before
        if not (before.revision <= policy.mod_revision <= now.revision if policy.mod_revision else none):
            self._problem(f"a policy of {policy.mod_revision} was in force, in etcd {before} before and {now} now")
        if policy.mod_revision == now.revision and policy.text != now.value:
            self._problem(f"a policy was told that is not in force: {policy}, in etcd is {now}")

    async def _compact(self, instance: Instance, patience: float) -> None:
        """etcd forgets, as it is told to day by day: what was long ago is told by records alone."""
        del instance, patience
        self._surroundings.compact()

    # --- documents

    async def _write(self, instance: Instance, patience: float) -> None:
        """A put, a delete, or several of both at once."""
        keys = self._random.sample(KEPT, self._random.choice((1, 1, 1, 2, 3)))
        changes = [self._change(key) for key in keys]
        await self._applied(instance, patience, changes, sync=self._random.random() < 0.1)

    def _change(self, key: str) -> Change:
        if self._random.random() < 0.2:
            return Delete(key)
        self._values += 1
        return Put(key, f'"{self._number}-{self._values}{"." * self._random.choice((0, 0, 40, 300))}"'.encode())

    async def _roll_back(self, instance: Instance, patience: float) -> None:
        """A prefix, as it was at an earlier revision: planned, compared, and done over what the plan has seen."""
        documents = self._documents()
        last = documents.revision if documents is not None else 100
        revision, prefix = (
            self._random.randint(max(1, last - 150), max(1, last)),
            self._random.choice(("kept/", "kept/a")),
        )
        plan: Plan = await self._asked(instance, patience, lambda cache: cache.plan(prefix, revision))
        if (wrong := self._wrong_with(plan)) is not None:
            self._problem(f"the plan of {prefix} at {revision}: {wrong}; planned was {plan}")
        for some in parts(plan.steps):
            await self._applied(instance, patience, [step.change for step in some], sync=False)

    def _wrong_with(self, plan: Plan) -> str | None:
        documents = self._documents()
        if documents is None:
            return None
        unknowable = {key for key, _ in plan.unknowable}
        if plan.prefix in unknowable:  # what is gone may be missing
            unknowable |= set(KEPT) - documents.all_at(plan.seen).keys() - {step.key for step in plan.steps}
        expected = []
        for key in KEPT:
            before, after = documents.at(key, plan.seen), documents.at(key, plan.revision)
            if key.startswith(plan.prefix) and key not in unknowable and before.value != after.value:
                expected.append((key, before.mod_revision, before.value, after.value))
        planned = [
            (step.key, step.before.mod_revision, step.before.data, step.after)
            if step.before
            else (step.key, 0, None, step.after)
            for step in plan.steps
        ]
        return None if planned == expected else f"expected was {expected}"

    async def _applied(self, instance: Instance, patience: float, changes: Sequence[Change], *, sync: bool) -> None:
        values = {change.key: change.value.decode() if isinstance(change, Put) else None for change in changes}
        author = self._signed(values)
        pause = self._random.choice(PAUSES)
        applied: Applied = await self._asked(
            instance,
            patience,
            lambda cache: cache.apply(
                changes, sync=sync, author=author, approve=Approval(cache, values, author, pause)
            ),
        )
        documents = self._documents()
        if documents is None:
            return
        for key, value in values.items():
            there = documents.at(key, applied.revision)
            if there.value != (None if value is None else value.encode()) or (
                value and there.revision != applied.revision
            ):
                self._problem(f"{key}={value} was written at {applied.revision}, in etcd was {there}")

    def _signed(self, values: Mapping[str, str | None]) -> Author:
        self._orders += 1
        request = f"{self._number}.{self._orders}"
        author = Author(self._name, request, reason(request, self._orders))
        self._sign(Order(author, values))
        return author
