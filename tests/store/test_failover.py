"""Whom to ask next and for how long, and how calls use it; with endpoints of paper, and a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from consistency.etcd_calls import TRUST, Call, Calls
from consistency.etcd_errors import Failed, Verdict
from consistency.events import ignore
from consistency.failover import Turns
from consistency.store import BadCredentials, Denied, OutcomeUnknown, StoreError, Unavailable

REFUSED = Verdict(Unavailable, "connection refused", connected=False)
SILENT = Verdict(OutcomeUnknown, "no answer")
LEADERLESS = Verdict(Unavailable, "no leader")
FORBIDDEN = Verdict(Denied, "permission denied")
UNTRUSTED = Verdict(BadCredentials, "wrong certificate", connected=False)

PROBE = Call("probe", "range", None)
READ = Call("read", "txn", None)
WRITE = Call("commit", "txn", None, write=True)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class PaperNode:
    """Answers its name, or fails as told; takes `seconds` for each call, or the whole timeout when it is SILENT."""

    name: str
    clock: Clock
    verdict: Verdict | None = None
    seconds: float = 0.001
    asked: list[tuple[str, float]] = field(default_factory=list)

    def rpc(self, call: Call, timeout: float, token: str) -> str:
        assert token == ""
        self.asked.append((call.kind, timeout))
        self.clock.now += timeout if self.verdict is SILENT else self.seconds
        if self.verdict:
            raise Failed(self.verdict)
        return self.name


class Paper:
    """Three endpoints, and the calls that go to them."""

    def __init__(self, *verdicts: Verdict | None) -> None:
        self.clock = Clock()
        self.nodes = [PaperNode(name, self.clock, verdict) for name, verdict in zip("abc", verdicts, strict=False)]
        self.calls = Calls(self.nodes, PROBE, None, ignore, self.clock, self.clock.advance)

    def kinds(self) -> list[list[str]]:
        return [[kind for kind, _ in node.asked] for node in self.nodes]


# --- reads


def test_a_read_asks_one_endpoint_when_that_answers() -> None:
    """The usual case."""
    paper = Paper(None, None, None)
    assert paper.calls.ask(READ, 3.0) == "a"
    assert paper.kinds() == [["read"], [], []]


def test_a_silent_endpoint_gets_its_share_and_no_more() -> None:
    """A black hole among three must not eat the time of the others."""
    paper = Paper(SILENT, SILENT, None)
    assert paper.calls.ask(READ, 3.0) == "c"
    assert [node.asked[0][1] for node in paper.nodes] == pytest.approx([1.0, 1.0, 1.0])


def test_the_next_read_begins_where_the_last_was_answered() -> None:
    """Fail over once, not with every read."""
    paper = Paper(REFUSED, None, None)
    paper.calls.ask(READ, 3.0)
    paper.calls.ask(READ, 3.0)
    assert paper.kinds() == [["read"], ["read", "read"], []]


def test_a_read_ends_at_once_when_nobody_is_there() -> None:
    """Waiting helps nobody: every endpoint refused."""
    paper = Paper(REFUSED, REFUSED, REFUSED)
    with pytest.raises(Unavailable, match="a: connection refused; b: connection refused; c: connection refused"):
        paper.calls.ask(READ, 3.0)
    assert paper.kinds() == [["read"], ["read"], ["read"]]


def test_bad_credentials_are_told_even_when_the_others_are_dead() -> None:
    """It is what an operator can do something about."""
    paper = Paper(REFUSED, UNTRUSTED, REFUSED)
    with pytest.raises(BadCredentials, match="wrong certificate"):
        paper.calls.ask(READ, 3.0)


def test_a_refusal_is_not_asked_for_elsewhere() -> None:
    """Every endpoint would say the same."""
    paper = Paper(FORBIDDEN, None, None)
    with pytest.raises(Denied, match="read at a: permission denied"):
        paper.calls.ask(READ, 3.0)
    assert paper.kinds() == [["read"], [], []]


def test_turns_go_round_while_one_endpoint_is_alive_but_has_no_leader() -> None:
    """Fault matrix: leader change, answered within the deadline."""
    clock = Clock()
    turns = Turns("abc", 0, 3.0, clock)
    for index, verdict in enumerate((REFUSED, LEADERLESS, REFUSED)):
        assert turns.take()[0] == index
        turns.failed(index, verdict)
    assert not turns.over()
    assert turns.take()[0] == 0
    clock.now += 3.0
    assert turns.over()


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
        paper.calls.ask(READ, 3.0)
    assert paper.clock.now - 100.0 == pytest.approx(3.0, abs=0.1)


# --- writes


def test_a_write_goes_at_once_to_an_endpoint_that_has_just_answered() -> None:
    """No probe then."""
    paper = Paper(None, None, None)
    paper.calls.ask(READ, 3.0)
    paper.calls.send(WRITE, 3.0)
    assert paper.kinds() == [["read", "commit"], [], []]


@pytest.mark.parametrize("idle", [None, TRUST + 0.1])
def test_a_write_after_silence_is_preceded_by_a_probe(idle: float | None) -> None:
    """Never sent is better than unknown."""
    paper = Paper(None, None, None)
    if idle:
        paper.calls.ask(READ, 3.0)
        paper.clock.now += idle
    paper.calls.send(WRITE, 3.0)
    assert paper.kinds()[0][-2:] == ["probe", "commit"]


def test_a_write_is_sent_to_an_endpoint_that_the_probe_found() -> None:
    """The dead one never sees it, and half the time at most goes into finding another."""
    paper = Paper(SILENT, None, None)
    paper.calls.send(WRITE, 3.0)
    assert paper.kinds() == [["probe"], ["probe", "commit"], []]
    assert paper.clock.now - 100.0 < 1.5


def test_a_write_of_unknown_outcome_is_never_sent_again() -> None:
    """Rule 1, and the next write asks before it trusts anyone."""
    paper = Paper(None, None, None)
    paper.calls.ask(READ, 3.0)
    paper.nodes[0].verdict = SILENT
    with pytest.raises(OutcomeUnknown):
        paper.calls.send(WRITE, 3.0)
    assert paper.kinds() == [["read", "commit"], [], []]
    paper.calls.send(WRITE, 3.0)
    assert paper.kinds() == [["read", "commit"], ["probe", "commit"], []]


@pytest.mark.parametrize("verdict", [REFUSED, LEADERLESS])
def test_a_write_that_certainly_was_not_done_goes_elsewhere(verdict: Verdict) -> None:
    """With three endpoints any one may die between the probe and the write."""
    paper = Paper(None, None, None)
    paper.calls.ask(READ, 3.0)
    paper.nodes[0].verdict = verdict
    assert paper.calls.send(WRITE, 3.0) == "b"


def test_a_write_that_nobody_takes_was_not_done() -> None:
    """Probes succeed and the write is turned away, by each endpoint: an end, and a definite one."""
    paper = Paper(None, None, None)
    refuse_writes(paper.nodes)
    with pytest.raises(Unavailable):
        paper.calls.send(WRITE, 3.0)
    assert sum(kinds.count("commit") for kinds in paper.kinds()) == 4


def refuse_writes(nodes: list[PaperNode]) -> None:
    for node in nodes:
        answer: Callable[[Call, float, str], str] = node.rpc

        def rpc(call: Call, timeout: float, token: str, answer: Callable[[Call, float, str], str] = answer) -> str:
            name = answer(call, timeout, token)
            if call.write:
                raise Failed(LEADERLESS)
            return name

        node.rpc = rpc  # type: ignore[method-assign]


def test_a_write_to_a_dead_cluster_is_never_sent() -> None:
    """Fault matrix: 503, not 504."""
    paper = Paper(SILENT, SILENT, SILENT)
    with pytest.raises(Unavailable):
        paper.calls.send(WRITE, 3.0)
    assert not any("commit" in kinds for kinds in paper.kinds())


def test_no_error_but_those_of_the_store_leaves() -> None:
    """House rule: foreign errors are translated once."""
    for verdicts in ((REFUSED,), (SILENT,), (FORBIDDEN,), (UNTRUSTED,), (LEADERLESS,)):
        for error in errors_of(Paper(*verdicts)):
            assert not isinstance(error, Failed)


def errors_of(paper: Paper) -> Iterator[StoreError]:
    for call, how in ((READ, paper.calls.ask), (WRITE, paper.calls.send)):
        with pytest.raises(StoreError) as caught:
            how(call, 0.2)
        yield caught.value


def test_pauses_are_short() -> None:
    """A read of 3 s has time for many rounds while a leader is elected."""
    turns = Turns("a", 0, 3.0, Clock())
    turns.take()
    assert all(0.02 <= pause <= 0.1 for pause, _ in pairwise(turns.pause() for _ in range(50)))
