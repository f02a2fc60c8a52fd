"""Whom to ask next and for how long, and how calls use it; with endpoints of paper, and a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from consistency.core.events import EndpointDown, EndpointUp, Event, StoreCalled
from consistency.core.store import BadCredentials, Denied, OutcomeUnknown, StoreError, Unavailable
from consistency.etcd.calls import FIRST_LOOK, LAST_LOOK, TRUST, Call, Calls
from consistency.etcd.channels import BACKOFF
from consistency.etcd.errors import Diagnosis, Failed
from consistency.etcd.failover import Turns
from consistency.etcd.identity import PATIENCE
from tests.support.driver import run

REFUSED = Diagnosis(Unavailable, "connection refused", connected=False)
SILENT = Diagnosis(OutcomeUnknown, "no answer")
LEADERLESS = Diagnosis(Unavailable, "no leader")
FORBIDDEN = Diagnosis(Denied, "permission denied")
UNTRUSTED = Diagnosis(BadCredentials, "wrong certificate", connected=False)

PROBE = Call("probe", "range", None)
READ = Call("read", "txn", None)
WRITE = Call("commit", "txn", None, write=True)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


class PaperAnswer(str):
    """The name of the endpoint that gave it, and which cluster it says that it is of."""

    header: SimpleNamespace

    def __new__(cls, name: str, cluster: int, member: int) -> PaperAnswer:
        answer = super().__new__(cls, name)
        answer.header = SimpleNamespace(cluster_id=cluster, member_id=member)
        return answer


@dataclass
class PaperNode:
    """Answers its name, or fails as told; takes `seconds` for each call, or the whole timeout when it is SILENT."""

    name: str
    clock: Clock
    diagnosis: Diagnosis | None = None
    seconds: float = 0.001
    cluster: int = 7
    member: int = 70
    answers_from: float = float("inf")  # when its diagnosis is over
    asked: list[tuple[str, float]] = field(default_factory=list)

    async def rpc(self, call: Call, timeout: float, token: str) -> PaperAnswer:
        assert token == ""
        self.asked.append((call.kind, timeout))
        self.clock.now += timeout if self.diagnosis is SILENT else self.seconds
        if self.diagnosis and self.clock.now < self.answers_from:
            raise Failed(self.diagnosis)
        return PaperAnswer(self.name, self.cluster, self.member)


class Paper:
    """Three endpoints, and the calls that go to them."""

    def __init__(self, *diagnoses: Diagnosis | None, **identity: Any) -> None:
        self.clock = Clock()
        self.nodes = [PaperNode(name, self.clock, diagnosis) for name, diagnosis in zip("abc", diagnoses, strict=False)]
        self.events: list[Event] = []
        self.calls = Calls(self.nodes, PROBE, None, self.events.append, self.clock, self.clock.advance, **identity)

    def kinds(self) -> list[list[str]]:
        return [[kind for kind, _ in node.asked] for node in self.nodes]


# --- reads


def test_a_read_asks_one_endpoint_when_that_answers() -> None:
    """The usual case."""
    paper = Paper(None, None, None)
    assert run(paper.calls.ask(READ, 3.0)) == "a"
    assert paper.kinds() == [["read"], [], []]


def test_a_silent_endpoint_gets_its_share_and_no_more() -> None:
    """A black hole among three must not eat the time of the others."""
    paper = Paper(SILENT, SILENT, None)
    assert run(paper.calls.ask(READ, 3.0)) == "c"
    assert [node.asked[0][1] for node in paper.nodes] == pytest.approx([1.0, 1.0, 1.0])


def test_the_next_read_begins_where_the_last_was_answered() -> None:
    """Fail over once, not with every read."""
    paper = Paper(REFUSED, None, None)
    run(paper.calls.ask(READ, 3.0))
    run(paper.calls.ask(READ, 3.0))
    assert paper.kinds() == [["read"], ["read", "read"], []]


def test_a_read_ends_at_once_when_nobody_is_there() -> None:
    """Waiting helps nobody: every endpoint refused."""
    paper = Paper(REFUSED, REFUSED, REFUSED)
    with pytest.raises(Unavailable, match="a: connection refused; b: connection refused; c: connection refused"):
        run(paper.calls.ask(READ, 3.0))
    assert paper.kinds() == [["read"], ["read"], ["read"]]


def test_an_endpoint_that_is_back_is_found_when_the_last_other_one_goes() -> None:
    """gRPC tells of its refusals for a while after they have ceased to be true: members killed one after the other."""
    paper = Paper(REFUSED, None)
    assert run(paper.calls.ask(READ, 3.0)) == "b"
    paper.nodes[1].diagnosis = REFUSED
    paper.nodes[0].answers_from = paper.clock.now + BACKOFF
    assert run(paper.calls.ask(READ, 3.0)) == "a"


def test_for_old_news_a_read_waits_no_longer_than_they_can_be_old() -> None:
    """A later call waits no more: every endpoint has been tried anew since one of them answered."""
    paper = Paper(REFUSED, None)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[1].diagnosis = REFUSED
    began = paper.clock.now
    with pytest.raises(Unavailable):
        run(paper.calls.ask(READ, 3.0))
    assert BACKOFF < paper.clock.now - began < 2 * BACKOFF
    asked = paper.kinds()
    with pytest.raises(Unavailable):
        run(paper.calls.ask(READ, 3.0))
    assert paper.kinds() == [[*each, "read"] for each in asked]


def test_a_single_endpoint_that_refuses_is_believed_at_once() -> None:
    """It was asked just now."""
    paper = Paper(None)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].diagnosis = REFUSED
    with pytest.raises(Unavailable):
        run(paper.calls.ask(READ, 3.0))
    assert paper.kinds() == [["read", "read"]]


def test_bad_credentials_are_told_even_when_the_others_are_dead() -> None:
    """It is what an operator can do something about."""
    paper = Paper(REFUSED, UNTRUSTED, REFUSED)
    with pytest.raises(BadCredentials, match="wrong certificate"):
        run(paper.calls.ask(READ, 3.0))


def test_a_refusal_is_not_asked_for_elsewhere() -> None:
    """Every endpoint would say the same."""
    paper = Paper(FORBIDDEN, None, None)
    with pytest.raises(Denied, match="read at a: permission denied"):
        run(paper.calls.ask(READ, 3.0))
    assert paper.kinds() == [["read"], [], []]


def test_turns_go_round_while_one_endpoint_is_alive_but_has_no_leader() -> None:
    """Fault matrix: leader change, answered within the deadline."""
    clock = Clock()
    turns = Turns("abc", 0, 3.0, clock)
    for index, diagnosis in enumerate((REFUSED, LEADERLESS, REFUSED)):
        assert turns.take()[0] == index
        turns.failed(index, diagnosis)
    assert not turns.over()
    assert turns.take()[0] == 0
    clock.now += 3.0
    assert turns.over()


def test_what_an_endpoint_was_found_to_be_stays_when_its_last_turn_is_but_a_moment() -> None:
    """Of another cluster, no leader: what an operator can act upon, and "no answer within 0.0 s" is not."""
    clock = Clock()
    turns = Turns("a", 0, 3.0, clock)
    turns.take()
    turns.failed(0, LEADERLESS)
    clock.now += 2.0
    turns.take()
    turns.failed(0, FORBIDDEN)
    clock.now += 0.9
    turns.take()
    turns.failed(0, SILENT)
    assert "a: permission denied" in str(turns.error())


def test_turns_pause_between_rounds_and_not_within() -> None:
    """The others are asked at once; a cluster without a leader is not hammered."""
    turns = Turns("abc", 0, 3.0, Clock())
    pauses = []
    for _ in range(4):
        turns.take()
        pauses.append(turns.pause() > 0)
    assert pauses == [False, False, True, False]


def test_shares_never_add_up_to_more_than_the_timeout() -> None:
    """Every call has a deadline."""
    paper = Paper(SILENT, SILENT, SILENT)
    with pytest.raises(Unavailable):
        run(paper.calls.ask(READ, 3.0))
    assert paper.clock.now - 100.0 == pytest.approx(3.0, abs=0.1)


# --- writes


def test_a_write_goes_at_once_to_an_endpoint_that_has_just_answered() -> None:
    """No probe then."""
    paper = Paper(None, None, None)
    run(paper.calls.ask(READ, 3.0))
    run(paper.calls.send(WRITE, 3.0))
    assert paper.kinds() == [["read", "commit"], [], []]


@pytest.mark.parametrize("idle", [None, TRUST + 0.1])
def test_a_write_after_silence_is_preceded_by_a_probe(idle: float | None) -> None:
    """Never sent is better than unknown."""
    paper = Paper(None, None, None)
    if idle:
        run(paper.calls.ask(READ, 3.0))
        paper.clock.now += idle
    run(paper.calls.send(WRITE, 3.0))
    assert paper.kinds()[0][-2:] == ["probe", "commit"]


def test_a_write_is_sent_to_an_endpoint_that_the_probe_found() -> None:
    """The dead one never sees it, and half the time at most goes into finding another."""
    paper = Paper(SILENT, None, None)
    run(paper.calls.send(WRITE, 3.0))
    assert paper.kinds() == [["probe"], ["probe", "commit"], []]
    assert paper.clock.now - 100.0 < 1.5


def test_a_write_of_unknown_outcome_is_never_sent_again() -> None:
    """Rule 1, and the next write asks before it trusts anyone."""
    paper = Paper(None, None, None)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].diagnosis = SILENT
    with pytest.raises(OutcomeUnknown):
        run(paper.calls.send(WRITE, 3.0))
    assert paper.kinds() == [["read", "commit"], [], []]
    run(paper.calls.send(WRITE, 3.0))
    assert paper.kinds() == [["read", "commit"], ["probe", "commit"], []]


@pytest.mark.parametrize("diagnosis", [REFUSED, LEADERLESS])
def test_a_write_that_certainly_was_not_done_goes_elsewhere(diagnosis: Diagnosis) -> None:
    """With three endpoints any one may die between the probe and the write."""
    paper = Paper(None, None, None)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].diagnosis = diagnosis
    assert run(paper.calls.send(WRITE, 3.0)) == "b"


def test_a_write_that_nobody_takes_was_not_done() -> None:
    """Probes succeed and the write is turned away, by each endpoint: an end, and a definite one."""
    paper = Paper(None, None, None)
    for node in paper.nodes:
        refuse(node, WRITE)
    with pytest.raises(Unavailable):
        run(paper.calls.send(WRITE, 3.0))
    assert sum(kinds.count("commit") for kinds in paper.kinds()) == 4


def refuse(node: PaperNode, refused: Call) -> None:
    """It answers all calls but this one."""
    answer = node.rpc

    async def rpc(call: Call, timeout: float, token: str) -> PaperAnswer:
        name = await answer(call, timeout, token)
        if call is refused:
            raise Failed(LEADERLESS)
        return name

    node.rpc = rpc  # type: ignore[method-assign]


def test_a_write_to_a_dead_cluster_is_never_sent() -> None:
    """Fault matrix: 503, not 504."""
    paper = Paper(SILENT, SILENT, SILENT)
    with pytest.raises(Unavailable):
        run(paper.calls.send(WRITE, 3.0))
    assert not any("commit" in kinds for kinds in paper.kinds())


def test_no_error_but_those_of_the_store_leaves() -> None:
    """House rule: foreign errors are translated once."""
    for diagnoses in ((REFUSED,), (SILENT,), (FORBIDDEN,), (UNTRUSTED,), (LEADERLESS,)):
        for error in errors_of(Paper(*diagnoses)):
            assert not isinstance(error, Failed)


def errors_of(paper: Paper) -> Iterator[StoreError]:
    for call, how in ((READ, paper.calls.ask), (WRITE, paper.calls.send)):
        with pytest.raises(StoreError) as caught:
            run(how(call, 0.2))
        yield caught.value


def test_pauses_are_short() -> None:
    """A read of 3 s has time for many rounds while a leader is elected."""
    turns = Turns("a", 0, 3.0, Clock())
    turns.take()
    assert all(0.02 <= pause <= 0.1 for pause, _ in pairwise(turns.pause() for _ in range(50)))


# --- endpoints that fail


def test_an_endpoint_that_is_well_again_is_used_again() -> None:
    """The order of the settings is the order of preference: a restart does not move a whole fleet for good."""
    paper = Paper(REFUSED, None, None)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].diagnosis = None
    paper.clock.now += FIRST_LOOK
    assert run(paper.calls.look_again(1.0)) == LAST_LOOK
    run(paper.calls.ask(READ, 3.0))
    assert paper.kinds() == [["read", "probe", "read"], ["read"], []]


def test_an_endpoint_that_keeps_failing_is_looked_at_ever_more_seldom() -> None:
    """Each look may cost somebody a call."""
    paper = Paper(REFUSED, None, None)
    run(paper.calls.ask(READ, 3.0))
    looks = []
    for _ in range(100):
        before = len(paper.nodes[0].asked)
        wait = run(paper.calls.look_again(1.0))
        if len(paper.nodes[0].asked) > before:
            looks.append(paper.clock.now)
        paper.clock.now += wait
    assert [round(b - a) for a, b in pairwise(looks)][:6] == [2, 4, 8, 16, 30, 30]


def test_an_endpoint_that_answers_looks_but_no_calls_is_gone_back_to_ever_more_seldom() -> None:
    """A proxy that passes on ranges and no transactions: each return costs one call."""
    paper = Paper(None, None, None)
    refuse(paper.nodes[0], READ)
    for _ in range(1000):
        run(paper.calls.ask(READ, 3.0))
        run(paper.calls.look_again(1.0))
        paper.clock.now += 0.2
    assert paper.kinds()[0].count("read") < 12  # in 200 s


def test_only_the_endpoint_that_fails_is_told_of_and_only_once() -> None:
    """What observers get: up once, down once, up again."""
    paper = Paper(REFUSED, None, None)
    for _ in range(3):
        run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].diagnosis = None
    paper.clock.now += FIRST_LOOK
    for _ in range(3):
        run(paper.calls.look_again(1.0))
        run(paper.calls.ask(READ, 3.0))
    told = [event for event in paper.events if not isinstance(event, StoreCalled)]
    assert told == [EndpointDown("a", "connection refused"), EndpointUp("b"), EndpointUp("a")]


def test_a_call_that_the_closing_ended_is_no_endpoints_fault() -> None:
    """The log of a stop is not full of failures."""
    paper = Paper(REFUSED, REFUSED, REFUSED)
    paper.calls.close()
    with pytest.raises(Unavailable):
        run(paper.calls.ask(READ, 3.0))
    assert not [event for event in paper.events if isinstance(event, EndpointDown)]


# --- which cluster


def test_an_answer_of_another_cluster_does_not_count() -> None:
    """A list that mixes clusters serves the data of one."""
    paper = Paper(None, None)
    paper.nodes[1].cluster = 8
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].diagnosis = REFUSED
    with pytest.raises(Unavailable, match="b: it is of another etcd cluster \\(8, ours is 7\\)"):
        run(paper.calls.ask(READ, 3.0))
    with pytest.raises(Unavailable):
        run(paper.calls.send(WRITE, 3.0))
    assert "commit" not in paper.kinds()[1]


def test_a_cluster_made_anew_is_taken_for_ours_when_all_endpoints_are_of_it() -> None:
    """Restored from a backup under another id; nothing is left to be mixed up with."""
    paper = Paper(None, None, None)
    run(paper.calls.ask(READ, 3.0))
    for node in paper.nodes:
        node.cluster = 8
    assert [run(paper.calls.ask(READ, 3.0)) for _ in range(2)] == ["c", "c"]
    paper.clock.now += FIRST_LOOK
    run(paper.calls.look_again(1.0))
    assert run(paper.calls.ask(READ, 3.0)) == "a"


def test_a_cluster_made_anew_is_taken_for_ours_when_the_old_one_has_been_silent_for_long() -> None:
    """Of three members one has been restored, and the others are away."""
    paper = Paper(None, REFUSED, REFUSED)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].cluster = 8
    with pytest.raises(Unavailable):
        run(paper.calls.ask(READ, 3.0))
    paper.clock.now += PATIENCE
    assert run(paper.calls.ask(READ, 3.0)) == "a"


def test_a_cluster_that_is_ours_for_life_is_never_taken_for_another() -> None:
    """An embedded etcd ends, and another takes its port: ours can't come back there, and the other one stays."""
    paper = Paper(None, for_life=True)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].cluster = 8
    for idle in (TRUST + 0.1, PATIENCE):
        paper.clock.now += idle
        with pytest.raises(Unavailable, match="a: it is of another etcd cluster \\(8, ours is 7\\)"):
            run(paper.calls.ask(READ, 3.0))
        with pytest.raises(Unavailable):
            run(paper.calls.send(WRITE, 3.0))
    assert "commit" not in paper.kinds()[0]
    paper.nodes[0].cluster = 7
    assert run(paper.calls.ask(READ, 3.0)) == "a"


def test_a_stranger_that_answers_first_is_known_by_the_member_that_ours_has() -> None:
    """An embedded etcd ends before it was asked anything, and another takes its port."""
    paper = Paper(None, for_life=True, member=70)
    paper.nodes[0].cluster, paper.nodes[0].member = 8, 80
    for call, how in ((READ, paper.calls.ask), (WRITE, paper.calls.send)):
        with pytest.raises(Unavailable, match="a: it is of another etcd cluster \\(its member 50, ours is 46\\)"):
            run(how(call, 3.0))
    assert "commit" not in paper.kinds()[0]
    paper.nodes[0].cluster, paper.nodes[0].member = 7, 70
    assert run(paper.calls.ask(READ, 3.0)) == "a"


@pytest.mark.parametrize(("call", "error"), [(READ, Unavailable), (WRITE, OutcomeUnknown)])
def test_an_answer_without_a_cluster_is_no_answer(call: Call, error: type[StoreError]) -> None:
    """A server that says OK to everything: an empty answer would read as an absent key."""
    paper = Paper(None)
    run(paper.calls.ask(READ, 3.0))
    paper.nodes[0].cluster = 0
    with pytest.raises(error, match="without the id of a cluster"):
        run((paper.calls.send if call.write else paper.calls.ask)(call, 3.0))
