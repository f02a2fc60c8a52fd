"""The feed against a model of histories: however the wire is cut, the client holds exactly a state that there was."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from config_client import Fresh
from config_client.core.feed import Connect, Feed, FeedOptions, Phase
from tests.client.scripted_history import ScriptedHistory, event

KEYS = st.sampled_from(["a", "b", "c/d", "c/e", "é"])
VALUES = st.sampled_from([b"1", b'{"limit": 10}', '"\N{SNOWMAN}"'.encode(), b"null", b" [1,\t2] "])
GONE = b'{"type": "urn:problem-type:config-service:wrong-timeline", "detail": "of a history that was lost"}'
PROBLEM = {"content-type": "application/problem+json"}


class FollowedHistory(RuleBasedStateMachine):
    """Writes, restores, instances that come and go, a wire that is cut anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.history = ScriptedHistory()
        chances = itertools.cycle([0.0, 0.9, 0.5, 0.2])
        self.feed = Feed(["http://a", "http://b"], FeedOptions(), lambda: next(chances))
        self.now = 100.0
        self.sent = ""  # the token up to which the open connection has been told
        self.outbox = b""  # sent, and not received
        self.proven: dict[str, float] = {}  # by token: when what it stands for was the newest

    @rule(changes=st.dictionaries(KEYS, VALUES | st.none(), min_size=1, max_size=4))
    def write(self, changes: dict[str, bytes | None]) -> None:
        self.history.write(changes)

    @precondition(lambda self: self.feed.phase is Phase.WAITING)
    @rule(back=st.integers(0, 3))
    def restore(self, back: int) -> None:
        self.history.restore(max(1, self.history.revision - back))

    @precondition(lambda self: self.feed.phase is Phase.WAITING)
    @rule(reset=st.booleans(), busy=st.booleans())
    def connect(self, reset: bool, busy: bool) -> None:
        step = self.feed.next(self.now)
        if not isinstance(step, Connect):
            assert 0 < step.seconds <= 400
            self.now += step.seconds
            return
        if busy:
            self.feed.refused(503, {"retry-after": "2", **PROBLEM}, b"{}", self.now)
        elif self.history.is_foreign(step.after):
            self.feed.refused(410, PROBLEM, GONE, self.now)
        else:
            self.feed.opened()
            self.outbox = b"".join(self.history.tell(step.after, reset=reset))
            self.sent = self.history.token(self.history.revision)

    @precondition(lambda self: self.feed.phase is Phase.STREAMING)
    @rule(reset=st.booleans())
    def tell_more(self, reset: bool) -> None:
        self.outbox += b"".join(self.history.tell(self.sent, reset=reset))
        self.sent = self.history.token(self.history.revision)

    @precondition(lambda self: self.feed.phase is Phase.STREAMING)
    @rule()
    def say_stale(self) -> None:
        self.outbox += event("stale", {"age": 1.5})

    @precondition(lambda self: self.feed.phase is Phase.STREAMING)
    @rule()
    def say_goodbye(self) -> None:
        self.outbox += event("goodbye", retry=500)

    @precondition(lambda self: self.feed.phase is Phase.STREAMING and self.outbox)
    @rule(most=st.integers(1, 200) | st.just(10_000))
    def receive(self, most: int) -> None:
        chunk, self.outbox = self.outbox[:most], self.outbox[most:]
        update = self.feed.received(chunk, self.now)
        if update is not None:
            assert update.before is self.feed.view, "nothing counts before it is applied"
            before, after = update.before.documents, update.after.documents
            differ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            assert differ <= set(update.names)
            self.feed.applied(update)
        if self.feed.is_over:
            self.feed.ended("closed", self.now)
            self.outbox = b""

    @precondition(lambda self: self.feed.phase is Phase.STREAMING)
    @rule()
    def cut(self) -> None:
        self.feed.ended("reset by peer", self.now)
        self.outbox = b""

    @rule(seconds=st.sampled_from([0.1, 3.0, 11.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def it_holds_exactly_a_state_that_there_was(self) -> None:
        view = self.feed.view
        if view.token:
            held = {key: (each.value, each.mod_revision) for key, each in view.documents.items()}
            assert held == self.history.at(view.token)
            assert view.revision == int(view.token.split("-")[0])

    @invariant()
    def it_is_fresh_only_for_a_while_after_a_proof(self) -> None:
        token = self.feed.view.token
        if token and token not in self.proven:
            self.proven[token] = self.now
        state = self.feed.state(self.now)
        if isinstance(state, Fresh):
            assert token
            assert state.age <= 12.0


TestFollowedHistory = FollowedHistory.TestCase
TestFollowedHistory.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
