"""Deliberate breaks of the protocol, each of one rule: what the tests of the protocol have to notice.

A mutant replaces one piece of source text by another. It never touches the product: the runner breaks a copy.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """`old` must occur in `file`; its first occurrence becomes `new`."""

    rule: int
    break_: str
    file: str
    old: str
    new: str

    @property
    def title(self) -> str:
        """What tells it from all others."""
        return f"rule {self.rule}: {self.break_}"


class Impossible(NamedTuple):
    """A break that this design has no place for; `nearest` is the title of the mutant that comes closest."""

    rule: int
    break_: str
    reason: str
    nearest: str


FRESHNESS = "consistency/core/freshness.py"
HISTORY = "consistency/core/history.py"
STATE = "consistency/instance/state.py"
ENTRIES = "consistency/core/entries.py"
READS = "consistency/instance/reads.py"
BATCH = "consistency/instance/read_batches.py"
CACHE = "consistency/cache.py"
MEMBERS = "consistency/instance/membership.py"
ROLL = "consistency/core/acks.py"
AUDIT = "consistency/instance/auditor.py"
FLEET = "consistency/instance/fleet.py"
DEPARTURES = "consistency/core/departures.py"
RECORDER = "consistency/instance/recorder.py"
DECISIONS = "consistency/core/decisions.py"
WRITES = "consistency/instance/writes.py"
LAYOUT = "consistency/etcd/layout.py"
GROUP = "consistency/instance/group_commit.py"
SHARED = "consistency/instance/shared_calls.py"
TASKS = "consistency/tasks.py"
FLEET_ID = "consistency/instance/fleet_id.py"

MUTANTS = (
    Mutant(1, "serve on after an unknown outcome", WRITES, "self._state.may_have_written(keys)", "pass"),
    Mutant(1, "serve on while the group of a put of unknown outcome is on its way", WRITES,
           "self._state.may_have_written((put.key,))", "pass"),
    Mutant(1, "serve the own old value", WRITES, "self._state.wrote(keys, commit.header, ticket)", "pass"),
    Mutant(1, "retry an unknown write", WRITES, "self._state.may_have_written(keys)\n            raise",
           "self._state.may_have_written(keys)\n            return await self._commit(changes, op, sync, timeout)"),
    Mutant(1, "reuse a nonce", WRITES, "VersionRecord(new_nonce(), ", 'VersionRecord("same", '),
    Mutant(1, "join a group of puts that has been sent", SHARED,
           "        if self._open is call:\n            self._open = None\n", ""),
    Mutant(1, "send the put of a client that has gone", GROUP, "                group.remove(put)",
           "                pass"),
    Mutant(1, "cut a write short when its client goes away", TASKS,
           "await asyncio.shield(self.start(work, name))", "await self.start(work, name)"),
    Mutant(1, "say not done of a write that a close cuts short", "consistency/blocking.py",
           "return self._do(work, OutcomeUnknown)", "return self._do(work, Unavailable)"),
    Mutant(1, "say not done of a group that is cut short", GROUP, "lost=OutcomeUnknown(", "lost=Unavailable("),
    Mutant(1, "send a group that all have given up", SHARED, "if call.waiting:", "if True:"),
    Mutant(1, "say not done of a put whose group was sent", GROUP, "        if group.sent:",
           "        if False:"),
    Mutant(2, "skip the lock-step of version counts", HISTORY, "event.state.count == applied.count + 1",
           "event.state.count > applied.count"),
    Mutant(2, "ignore that the key was recreated", HISTORY, "event.state.created == applied.created", "True"),
    Mutant(2, "apply below the horizon", FRESHNESS, " or event.state.revision <= self.horizon", ""),
    Mutant(2, "null names nothing", FRESHNESS,
           "            self.floor = self.known_from = self.horizon\n        return True",
           "            pass\n        return True"),
    Mutant(2, "invalidate nothing", STATE, "self._mark(event.names, at)", "0"),
    Mutant(2, "invalidate what the event's own revision validated", ENTRIES, "entry.validated_at >= revision",
           "entry.validated_at > revision"),
    Mutant(3, "ignore the clock", FRESHNESS, "if confirm or now >= self.fresh_until:", "if confirm:"),
    Mutant(3, "ignore the floor", FRESHNESS, "entry.stale or entry.validated_at < self.floor", "entry.stale"),
    Mutant(3, "ignore staleness", FRESHNESS, "entry.stale or entry.validated_at < self.floor",
           "entry.validated_at < self.floor"),
    Mutant(3, "in a hit: ignore the clock", DECISIONS, "now < self.until\n            and not entry.stale",
           "not entry.stale"),
    Mutant(3, "in a hit: ignore staleness", DECISIONS, "            and not entry.stale\n", ""),
    Mutant(3, "in a hit: ignore the floor", DECISIONS, "self.floor <= entry.validated_at <= self.horizon",
           "entry.validated_at <= self.horizon"),
    Mutant(3, "in a hit: take an entry of a later window", DECISIONS,
           "self.floor <= entry.validated_at <= self.horizon", "self.floor <= entry.validated_at"),
    Mutant(3, "in a hit: don't look whether the window has changed", STATE,
           " or window is not self._window", ""),
    Mutant(3, "in a hit: keep the window of before", STATE,
           "    def _publish(self) -> None:\n        self._window = self._fresh.window()",
           "    def _publish(self) -> None:\n        pass"),
    Mutant(4, "measure the window from the answer", STATE, "self._fresh.accept(part.ticket, verdict)",
           "self._fresh.accept(part.ticket, replace(verdict, fresh_until=self._clock() + self._fresh._bound))"),
    Mutant(4, "ignore the member key", FRESHNESS, "if answer.member != ticket.lease:", "if False:"),
    Mutant(4, "prove by another membership's answer", FRESHNESS,
           "if not ticket.lease or ticket.lease != self.lease:", "if not ticket.lease:"),
    Mutant(4, "prove by a version not applied", FRESHNESS, "if standing is Standing.AHEAD:", "if False:"),
    Mutant(4, "join a batch in flight", BATCH, "batch = self._calls.open(",
           "batch = self._loading.get(str(need.key)) or self._calls.open("),
    Mutant(4, "draw the ticket after the answer", READS, "return [Part(ticket, needs, answer)]",
           "return [Part(self._state.ticket(), needs, answer)]"),
    Mutant(5, "fill without the overtaken check", FRESHNESS, "and not self.history.named_after(key, at)", ""),
    Mutant(5, "let only the last event overtake a load", HISTORY,
           "        for name in event.names or ():\n            self._named[name] = event.state.revision",
           "        self._named = dict.fromkeys(event.names or (), event.state.revision)"),
    Mutant(5, "fill from an answer that is ahead of the watch", STATE, "            return verdict  # not the last",
           "            self._fill(part)\n            return verdict  # not the last"),
    Mutant(5, "fill below the floor", FRESHNESS, "and at >= self.floor ", ""),
    Mutant(5, "fill from an earlier epoch", FRESHNESS, "return ticket.epoch == self.epoch and at >= self.floor",
           "return at >= self.floor"),
    Mutant(5, "cache a leased key", STATE, "return None if leased else Entry", "return Entry"),
    Mutant(5, "trust a forgotten event's silence", HISTORY, "revision < self._base.revision or ", ""),
    Mutant(5, "fill without a proof", STATE, "            case Unproven():\n                pass",
           "            case Unproven():\n                self._fill(part)"),
    Mutant(6, "validate by mod_revision across a gap whose history can't be proven", STATE,
           'self._invalidated("history", self._entries.clear())\n                    self._fresh.rebase',
           "self._fresh.rebase"),
    Mutant(6, "keep entries as they are across a gap", FRESHNESS,
           "self.horizon = self.floor = self.known_from = survey", "self.horizon = survey"),
    Mutant(6, "believe an unproven validation", READS, "if need.entry is not None and isinstance(verdict, Proof):",
           "if need.entry is not None:"),
    Mutant(6, "keep loads in flight across a gap", FRESHNESS,
           "        self.epoch += 1\n        self.history = History(s", "        self.history = History(s"),
    Mutant(6, "go on after the horizon at a gap", STATE, "if gap:", "if False:"),
    Mutant(7, "keep loads in flight across a reconnect", FRESHNESS, "(rule 7).\"\"\"\n        self.epoch += 1",
           '(rule 7)."""'),
    Mutant(7, "resume the watch at now", STATE, "start = Start(self._fresh.horizon,",
           "start = Start(survey.header.revision,"),
    Mutant(7, "trust any nonce at the horizon", FRESHNESS, "if survey.version_then != self.history.applied:",
           "if False:"),
    Mutant(7, "apply events of an earlier stream", STATE, "epoch != self._fresh.epoch or not", "not"),
    Mutant(7, "take over a survey that came too late", STATE, "if ticket.epoch != self._fresh.epoch:", "if False:"),
    Mutant(7, "never restart a silent watch", CACHE, 'self._watch.restart("stuck")', "pass"),
    Mutant(7, "let a task end for good at its first error", TASKS, "while not self._stopped:", "for _ in range(1):"),
    Mutant(7, "take gRPC's cancellation for the end of the task", TASKS,
           "return task is None or task.cancelling() > 0", "return True"),
    Mutant(7, "take the end of the task for gRPC's cancellation", TASKS,
           "return task is None or task.cancelling() > 0", "return False"),
    Mutant(9, "go on with a task that was told to stop", TASKS, "        self._stopped = True\n", ""),
    Mutant(8, "ignore lower revisions", FRESHNESS, "if header.revision < ticket.seen:", "if False:"),
    Mutant(8, "take a late answer for another history", FRESHNESS, "if header.revision < ticket.seen:",
           "if header.revision < self.seen:"),
    Mutant(8, "ignore the cluster id", FRESHNESS, "if self.cluster and header.cluster != self.cluster:", "if False:"),
    Mutant(8, "take an older version under a newer header for a late answer", HISTORY,
           "if seen.revision < applied.revision <= header:", "if False:"),
    Mutant(8, "trust an equal revision with another nonce", HISTORY,
           "Standing.OURS if self._states.get(seen.revision) == seen else",
           "Standing.OURS if seen.revision in self._states else"),
    Mutant(8, "keep entries of the lost history", STATE,
           'self._invalidated("history", self._entries.clear())\n        self._fresh.turn_back()',
           "self._fresh.turn_back()"),
    Mutant(8, "ignore a write that was answered by another history", STATE,
           "if detail := self._fresh.contradiction(ticket, header):", "if detail := '':"),
    Mutant(8, "keep the slot of the lost history", CACHE, 'self._state.leave("history")', "pass"),
    Mutant(8, "prove by an answer of an earlier epoch", FRESHNESS,
           "        if ticket.epoch != self.epoch:\n            return Unproven()\n", ""),
    Mutant(9, "hit without a slot", FRESHNESS, "if not self.lease:", "if False:"),
    Mutant(9, "keep the window when the slot is lost", FRESHNESS,
           "self.slot, self.lease = None, 0\n        self.fresh_until = 0.0", "self.slot, self.lease = None, 0"),
    Mutant(9, "take a member key without a lease for a member", LAYOUT,
           "return self.slot_of(raw) if lease else None", "return self.slot_of(raw)"),
    Mutant(9, "ignore an event about our slot", STATE, "self._fresh.doubt()", "pass"),
    Mutant(9, "ignore that the lease has expired", MEMBERS, "if not alive:", "if False:"),
    Mutant(9, "keep the slot at the end", MEMBERS,
           "            await self._give_back(lease)\n\n    @property",
           "            pass\n\n    @property"),
    Mutant(9, "leave without a word", MEMBERS, "            await self._say_that_we_leave(slot, lease)\n", ""),
    Mutant(9, "say that we leave when the slot is lost", MEMBERS,
           "            await self._give_back(lease)\n\n    @property",
           "            await self._say_that_we_leave(slot, lease)\n            await self._give_back(lease)\n\n"
           "    @property"),
    Mutant(9, "let the joiner take an orderly end for a loss", CACHE,
           "            self._state.leave(\"closed\")\n",
           "            self._state.leave(\"closed\")\n            import asyncio\n"
           "            await asyncio.sleep(0)\n"),
    Mutant(9, "take an orderly leave for a loss", DEPARTURES,
           "if member.lease in self._written:", "if False:"),
    Mutant(9, "tell those who come later nothing", RECORDER,
           "await write_down(self._store, departure, timeout=self._timeout)", "pass"),
    Mutant(9, "everybody writes down who has gone", RECORDER,
           "slot is None or slot != self._fleet.leader()", "slot is None"),
    Mutant(9, "erase what was written when its answer is lost", RECORDER,
           "    except OutcomeUnknown:\n        raise\n", ""),
    Mutant(9, "forget who was here before a cut", FLEET,
           "self._have_gone(before)", "pass"),
    Mutant(9, "take those of another history for lost", FLEET,
           "        self._departures.forget()\n        self._known_at = None\n", ""),
    Mutant(9, "never renew the place of who waits for a slot", MEMBERS,
           "if self._place and await self._store.keep_alive(self._place.id, timeout=self._timeout) <= 0:",
           "if False:"),
    Mutant(9, "let everybody be seen waiting", MEMBERS, " or len(survey.waiting) >= WAITING", ""),
    Mutant(9, "keep the place after a claim without an answer", MEMBERS,
           "            self._place = None\n            await self._give_back(lease)\n            raise",
           "            await self._give_back(lease)\n            raise"),
    Mutant(9, "end the wait without a word", MEMBERS,
           "            await self._say_that_we_leave(None, self._place)\n", ""),
    Mutant(9, "take who gets a slot for lost", FLEET, "if member.lease not in here:", "if True:"),
    Mutant(12, "wait out the departure of who only waited for a slot", FLEET,
           "        before = self._waiting.pop(event.lease, None)\n",
           "        before = self._waiting.pop(event.lease, None)\n        self._roll.left(self._clock())\n"),
    Mutant(10, "ignore the session", FRESHNESS, "if self.horizon < min_revision:", "if False:"),
    Mutant(10, "in a hit: ignore the session", DECISIONS, "            and min_revision <= self.horizon\n", ""),
    Mutant(10, "ignore that a token is from another history", READS,
           "if part.answer.header.revision < demand.min_revision:", "if False:"),
    Mutant(10, "let a session follow a load in flight", READS, "if demand.min_revision or demand.linearizable:",
           "if demand.linearizable:"),
    Mutant(10, "take a session that can't be understood for none", READS, "if demand.session_unknown:", "if False:"),
    Mutant(10, "answer a session that can't be understood unproven", READS,
           "linearizable=True, stale_if_error=0.0)", "linearizable=True)"),
    Mutant(10, "take an answer of a lost history for the fleet's id", FLEET_ID, "if self._histories == asked_of:",
           "if True:"),
    Mutant(10, "keep the id of the lost history", CACHE, "        self._fleet_id.forget()\n", ""),
    Mutant(11, "trust the clock for a linearizable read", FRESHNESS, "if confirm or now >= self.fresh_until:",
           "if now >= self.fresh_until:"),
    Mutant(11, "let a linearizable read follow a load in flight", READS,
           "if demand.min_revision or demand.linearizable:", "if demand.min_revision:"),
    Mutant(11, "serve the entry without a proof of the read's own", READS,
           "return part.ticket.sent_at if isinstance(verdict, Proof) else None", "return part.ticket.sent_at"),
    Mutant(11, "let a few go ahead of the crowd", SHARED,
           " and all(call.joined >= other.joined for other in self._under_way)", ""),
    Mutant(11, "close a batch before those who were just woken can join it", SHARED,
           "        self._under_way.append(call)\n",
           "        self._under_way.append(call)\n        self._open = None\n"),
    Mutant(3, "serve unproven without being asked", FRESHNESS,
           "demand.use_cache and demand.stale_if_error > 0", "True"),
    Mutant(3, "serve what is known to be old if etcd is away", FRESHNESS,
           "entry is None or entry.stale or entry.validated_at < self.known_from", "entry is None"),
    Mutant(2, "serve as the last known what null has named", FRESHNESS,
           "self.floor = self.known_from = self.horizon", "self.floor = self.horizon"),
    Mutant(2, "serve as the last known what an event has named", FRESHNESS,
           "entry.stale or entry.validated_at < self.known_from", "entry.validated_at < self.known_from"),
    Mutant(6, "serve as the last known what may have changed in a gap", FRESHNESS,
           "self.horizon = self.floor = self.known_from = survey", "self.horizon = self.floor = survey"),
    Mutant(9, "forget the last known with the slot", FRESHNESS,
           "        self.floor = self.seen + 1\n", "        self.floor = self.known_from = self.seen + 1\n"),
    Mutant(13, "tell a later membership's proof as the age of the last known", FRESHNESS,
           "if entry.validated_at < floor), self.proved_at)", "if entry.validated_at < -floor), self.proved_at)"),
    Mutant(13, "tell the age of the last known by the membership before", FRESHNESS,
           "for floor, proved_at in self._left if", "for floor, proved_at in reversed(self._left) if"),
    Mutant(13, "serve as the last known what no remembered proof covers", FRESHNESS,
           "self.known_from = max(self.known_from, self._left.popleft()[0])", "self._left.popleft()"),
    Mutant(12, "acknowledge before applying", "consistency/instance/acknowledger.py", "us.lease, us.horizon,",
           "us.lease, us.horizon + 1000,"),
    Mutant(12, "return without waiting", WRITES, "self._clock() + self._options.sync_wait)", "self._clock())"),
    Mutant(12, "return without waiting after a departure", ROLL, "self._blind_until = max(", "_ = max("),
    Mutant(12, "trust a stream that has just begun", ROLL,
           "self._blind_until = now + self._bound\n\n    def stream_ended",
           "self._blind_until = now\n\n    def stream_ended"),
    Mutant(12, "trust a stream that has ended", ROLL,
           'self._blind_until = float("inf")\n\n    def left', "pass\n\n    def left"),
    Mutant(12, "ask nobody", WRITES, "op, ack=sync)", "op)"),
    Mutant(12, "count an older acknowledgement", ROLL, ">= revision for slot in members", "> 0 for slot in members"),
    Mutant(12, "count an acknowledgement without a lease", LAYOUT, "if lease and raw.endswith", "if raw.endswith"),
    Mutant(12, "take no members for all members", ROLL, "bool(members) and ", ""),
    Mutant(13, "everybody audits", AUDIT, "us.slot != self._fleet.leader()", "False"),
    Mutant(13, "ignore outside writes", AUDIT, "return unexplained(touched, events) + undone", "return undone"),
    Mutant(13, "ignore outside deletions", AUDIT, "max(0, vanished(before, touched) - accounted)", "0"),
    Mutant(13, "ignore outside deletions of what was just put", AUDIT, "+ undone(touched, events) ", ""),
    Mutant(13, "take our own deletions for outside ones", AUDIT, "vanished(before, touched) - accounted",
           "vanished(before, touched)"),
    Mutant(13, "tell nobody", AUDIT, "VersionRecord(new_nonce(), None, \"audit\")",
           "VersionRecord(new_nonce(), frozenset(), \"audit\")"),
    Mutant(13, "take what a new auditor finds for unchanged", AUDIT,
           "            await self._validate_all()\n            self._goes", "            self._goes"),
    Mutant(13, "begin with a look at a fleet that is not empty", AUDIT,
           "if not (await self._store.survey(None, timeout=self._timeout)).members:", "if True:"),
    Mutant(13, "compare with a look at another history", AUDIT,
           "not self._state.has_applied(before.version)", "False"),
    Mutant(13, "take too much to compare for unchanged", AUDIT, "if outside != 0:", "if outside:"),
    Mutant(13, "give up an audit of a past that is compacted, each time", AUDIT, "with contextlib.suppress(Compacted):",
           "with contextlib.nullcontext():"),
    Mutant(13, "forget what nobody could be told", AUDIT,
           "        if outside:\n", "        self._before = seen_at(seen)\n        if outside:\n"),
    Mutant(13, "go on from an audit that a first look has overtaken", AUDIT, "if self._before is before:", "if True:"),
    Mutant(13, "serve what was held before the slot was lost", FRESHNESS,
           "        self.floor = self.seen + 1\n", ""),
    Mutant(13, "never reload by age", FRESHNESS, "now - entry.loaded_at > self._max_age", "False"),
    Mutant(13, "in a hit: never reload by age", DECISIONS,
           "            and now - entry.loaded_at <= self.max_age\n", ""),
    Mutant(14, "let followers join an overtaken load", STATE, "and not self._fresh.overtaken(key, ticket)", ""),
    Mutant(14, "follow a load older than the bound", STATE, "self._clock() < ticket.sent_at + bound and", ""),
    Mutant(14, "forget a load when one that it displaced arrives", BATCH,
           "                if self._loading.get(key) is batch:", "                if key in self._loading:"),
    Mutant(14, "don't look again before loading", BATCH, "if loading is None and answered():", "if False:"),
    Mutant(14, "load once for each reader", BATCH, "and follow(loading.ticket):", "and False:"),
)  # fmt: skip

IMPOSSIBLE = (
    Impossible(5, "forget a load that a newer one displaced",
               "there is no list of loads: an answer is overtaken iff an event applied since names its key",
               "rule 5: let only the last event overtake a load"),
    Impossible(7, "keep what was validated beyond the horizon at a reconnect",
               "nothing is: an answer enters the cache as part of a proof only, and a proof lifts the horizon to it",
               "rule 5: fill from an answer that is ahead of the watch"),
)  # fmt: skip
