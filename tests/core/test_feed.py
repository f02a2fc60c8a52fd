"""Rule 18: what a scope is owed after a token. Against a model: the state at every revision, kept whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consistency.core.feed import (
    MOST_PARTS,
    Everything,
    Named,
    Nothing,
    NotYet,
    OfAnother,
    Older,
    Scope,
    Token,
    is_value_at,
    mark_of,
    owed,
    token_at,
)
from consistency.core.known import Entry, History
from consistency.core.model import NO_VERSION, VersionEvent, VersionState

KEYS = ("a", "b", "p/a", "p/b", "q")
ALL = Scope(prefixes=frozenset({""}))

State = dict[str, int]
"""Keys, each with the revision that it was put at."""


@dataclass
class Model:
    """A store that remembers everything, beside the history that is asked."""

    history: History
    states: dict[int, State]
    versions: dict[int, VersionState]
    horizon: int
    unnamed: set[int] = field(default_factory=set)

    def token(self, revision: int) -> Token:
        return token_at(revision, self.versions[revision])

    def within(self, scope: Scope, revision: int) -> State:
        return {key: at for key, at in self.states[revision].items() if key in scope}


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Transactions of one or more keys, some of which delete, and writes between them that concern no document."""
    remember = draw(st.sampled_from((6, 1000)))
    version = VersionState(10, 10, 1, mark_of("genesis"))
    model = Model(History(version, remember=remember), {10: {}}, {10: version}, 10)
    now = 10
    for count in range(2, 2 + draw(st.integers(0, 12))):
        for _ in range(draw(st.integers(0, 2))):  # a member's key, say
            now += 1
            model.states[now], model.versions[now] = model.states[now - 1], version
        now += 1
        names = draw(st.sets(st.sampled_from(KEYS), min_size=1, max_size=3))
        gone = draw(st.sets(st.sampled_from(sorted(names))))
        unnamed = draw(st.integers(0, 19)) == 0
        version = VersionState(now, 10, count, mark_of(f"n{now}"))
        state = model.states[now - 1] | dict.fromkeys(names - gone, now)
        model.states[now] = {key: at for key, at in state.items() if key not in gone}
        model.versions[now] = version
        model.unnamed |= {now} if unnamed else set()
        model.history.append(VersionEvent(version, None if unnamed else frozenset(names), op="put"))
    model.horizon = now
    return model


scopes = st.builds(
    Scope,
    keys=st.frozensets(st.sampled_from((*KEYS, "absent")), min_size=1),
    prefixes=st.frozensets(st.sampled_from(("p/", "p", "q", ""))),
)


class TestOwed:
    @settings(deadline=None)
    @given(model=models(), scope=scopes, most=st.integers(1, 4), data=st.data())
    def test_what_is_told_leads_from_the_state_at_the_token_to_exactly_that_at_to(
        self, model: Model, scope: Scope, most: int, data: st.DataObject
    ) -> None:
        """Names only, in whole transactions; and in the end, that nothing has changed up to the horizon."""
        start = data.draw(st.sampled_from(sorted(model.states)))
        replica, token = model.within(scope, start), model.token(start)
        while True:
            told = owed(model.history, model.horizon, token, scope, most)
            if isinstance(told, Older):
                assert token.revision < model.history.base.revision
                return
            if isinstance(told, Everything):
                assert any(token.revision < at for at in model.unnamed)
                return
            assert not any(at > token.revision for at in model.unnamed), "what may have changed is not passed over"
            if isinstance(told, Nothing):
                assert replica == model.within(scope, model.horizon)
                return
            assert isinstance(told, Named)
            assert token.revision < told.first <= told.to.revision <= model.horizon
            assert told.to == model.token(told.to.revision)
            assert set(told.names) <= {key for key in (*KEYS, "absent") if key in scope}
            there = model.states[told.to.revision]
            replica = {key: at for key, at in replica.items() if key not in told.names}
            replica |= {key: there[key] for key in told.names if key in there}
            assert replica == model.within(scope, told.to.revision)
            for key, event in told.names.items():
                assert event.state.revision == max(
                    e.state.revision for e in model.history.after(token.revision)
                    if key in (e.names or ()) and e.state.revision <= told.to.revision
                )  # fmt: skip
            token = told.to

    @settings(deadline=None)
    @given(model=models(), scope=scopes, data=st.data())
    def test_a_token_of_another_history_is_never_taken_for_one_of_ours(
        self, model: Model, scope: Scope, data: st.DataObject
    ) -> None:
        """Rule 8: the same revision, another nonce."""
        start = data.draw(st.sampled_from(sorted(model.states)))
        told = owed(model.history, model.horizon, Token(start, mark_of("of another")), scope)
        assert isinstance(told, OfAnother if start >= model.history.base.revision else Older)

    @settings(deadline=None)
    @given(model=models(), scope=scopes, beyond=st.integers(1, 5))
    def test_a_token_ahead_of_the_horizon_is_judged_later(self, model: Model, scope: Scope, beyond: int) -> None:
        """Rule 10."""
        ahead = Token(model.horizon + beyond, model.token(model.horizon).mark)
        assert owed(model.history, model.horizon, ahead, scope) == NotYet()

    def test_before_a_watch_has_been_up_nothing_is_known(self) -> None:
        assert owed(History(NO_VERSION), 0, Token(1, mark_of("n")), ALL) == NotYet()

    def test_the_mark_is_that_of_the_last_version_before_the_token(self) -> None:
        """A horizon is mostly that of no version: lifted by a proof, between two of them."""
        history = _history(20, 30)
        assert owed(history, 35, Token(25, mark_of("n20")), ALL) != OfAnother()
        assert owed(history, 35, Token(25, mark_of("n30")), ALL) == OfAnother()
        assert owed(history, 35, Token(34, mark_of("n30")), ALL) == Nothing()

    def test_a_transaction_is_told_whole_however_many_it_changed(self) -> None:
        history = _history()
        many = frozenset(str(number) for number in range(150))
        history.append(VersionEvent(VersionState(20, 1, 2, "n20"), frozenset({"z"})))
        history.append(VersionEvent(VersionState(30, 1, 3, "n30"), many))
        history.append(VersionEvent(VersionState(40, 1, 4, "n40"), frozenset({"z"})))
        first = owed(history, 40, Token(10, mark_of("n10")), ALL)
        assert isinstance(first, Named)
        assert (set(first.names), first.to.revision, first.more) == ({"z"}, 20, True)
        second = owed(history, 40, first.to, ALL)
        assert isinstance(second, Named)
        assert (frozenset(second.names), second.to.revision, second.more) == (many, 30, True)
        third = owed(history, 40, second.to, ALL)
        assert isinstance(third, Named)
        assert (set(third.names), third.to.revision, third.more) == ({"z"}, 40, False)


class TestLengthening:
    """A past that was read goes before what is remembered, if it leads there."""

    def test_what_was_older_is_then_known(self) -> None:
        history = _history(base=40)
        past = [_event(20), _event(30), _event(40)]
        assert owed(history, 40, Token(15, mark_of("n10")), ALL) == Older()
        assert history.lengthen(_state(10), past)
        told = owed(history, 40, Token(15, mark_of("n10")), ALL)
        assert isinstance(told, Named)
        assert set(told.names) == {"k20", "k30", "k40"}
        assert owed(history, 40, Token(15, mark_of("other")), ALL) == OfAnother()
        assert history.named_after("k40", 39)
        assert not history.named_after("k20", 20)

    @pytest.mark.parametrize("missing", range(3))
    def test_not_with_an_event_missing(self, missing: int) -> None:
        """Rule 2, backwards."""
        history = _history(base=40)
        past = [_event(20), _event(30), _event(40)]
        del past[missing]
        assert not history.lengthen(_state(10), past)
        assert history.base == _state(40)

    def test_not_from_before_the_first_version(self) -> None:
        history = _history(base=10)
        assert not history.lengthen(NO_VERSION, [_event(10)])

    def test_not_more_than_may_be_remembered_and_it_is_given_back(self) -> None:
        history = _history(base=40, remember=6)
        past = [_event(20), _event(30), _event(40)]
        assert not _history(base=40, remember=5).lengthen(_state(10), past)
        assert history.lengthen(_state(10), past)
        bases = []
        for revision in (50, 60, 70, 80):
            history.append(_event(revision))
            bases.append(history.base.revision)
        assert bases == [10, 20, 40, 50], "what was lent is given back by those that come"

    def test_one_past_after_another_takes_no_more_than_one_may(self) -> None:
        history = _history(base=40, remember=7)
        assert history.lengthen(_state(20), [_event(30), _event(40)])
        assert history.room == 3
        assert not history.lengthen(_state(5), [_event(10), _event(20)])
        history.append(_event(50))
        assert history.room == 5, "what comes gives back what was lent"
        assert history.lengthen(_state(10), [_event(20)])

    def test_a_version_that_named_nothing_counts_in_the_past_too(self) -> None:
        history = _history(base=30)
        assert history.lengthen(_state(10), [VersionEvent(_state(20), None), _event(30)])
        assert owed(history, 30, Token(10, mark_of("n10")), ALL) == Everything()
        assert isinstance(owed(history, 30, Token(20, mark_of("n20")), ALL), Named)


class TestScope:
    def test_what_a_prefix_covers_is_not_named_beside_it(self) -> None:
        same = Scope(frozenset({"x", "p/a"}), frozenset({"p/", "p/b", "p"}))
        assert same == Scope(frozenset({"x"}), frozenset({"p"}))
        assert hash(same) == hash(Scope(frozenset({"x"}), frozenset({"p"})))
        assert [key in same for key in ("x", "xy", "p", "p/a", "q")] == [True, False, True, True, False]

    def test_its_parts_are_in_the_order_of_keys(self) -> None:
        parts = Scope(frozenset({"b", "é", "a"}), frozenset({"p/", "c"})).parts()
        assert parts == [("a", False), ("b", False), ("c", True), ("p/", True), ("é", False)]

    def test_none_and_too_many_are_refused(self) -> None:
        with pytest.raises(ValueError, match="1 to 64"):
            Scope()
        with pytest.raises(ValueError, match="1 to 64"):
            Scope(frozenset(str(number) for number in range(MOST_PARTS + 1)))


class TestToken:
    @settings(deadline=None)
    @given(
        revision=st.integers(1, 2**63 - 1),
        mark=st.text("0123456789abcdef", min_size=32, max_size=32),
        place=st.binary(max_size=600),
    )
    def test_it_comes_back_as_it_went(self, revision: int, mark: str, place: bytes) -> None:
        token = Token(revision, mark, place)
        assert Token.parse(str(token)) == token
        assert all(char.isalnum() or char in "-_" for char in str(token)), "it goes into a query as it is"

    @pytest.mark.parametrize(
        "text",
        ["", "1", "0-" + "0" * 32, "1-" + "0" * 31, "1-" + "G" * 32, "01-" + "0" * 32, "-1-" + "0" * 32,
         "9223372036854775808-" + "0" * 32, "1-" + "0" * 32 + "-", "1-" + "0" * 32 + "-x", "1-" + "0" * 32 + "-YQ==",
         " 1-" + "0" * 32, "1-" + "0" * 32 + "\n", "\u0661-" + "0" * 32],
    )  # fmt: skip
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="given out here"):
            Token.parse(text)

    def test_a_nonce_put_by_hand_has_a_mark_too(self) -> None:
        assert len(mark_of("unreadable:00")) == len(mark_of("")) == 32
        assert mark_of("unreadable:00") != mark_of("unreadable:01")
        assert mark_of("0123456789abcdef" * 2) == "0123456789abcdef" * 2


class TestValues:
    """Which entries say what a key had at a revision: here 20, with all applied up to 30."""

    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            (Entry(b"1", 20, 25, 0.0), True),
            (Entry(b"1", 12, 15, 0.0), True),  # not named since
            (Entry(b"1", 21, 25, 0.0), False),  # newer than the revision
            (Entry(b"1", 12, 15, 0.0, stale=True), False),  # perhaps older
            (Entry(b"1", 4, 5, 0.0), False),  # below the floor, and perhaps older
            (Entry(None, 0, 20, 0.0), True),
            (Entry(None, 0, 21, 0.0), False),  # perhaps there was one at 20
        ],
    )
    def test_an_entry_says_what_was_there(self, entry: Entry, says: bool) -> None:
        assert is_value_at(entry, floor=10, horizon=30, revision=20) is says

    def test_of_what_has_not_been_applied_it_says_nothing(self) -> None:
        assert not is_value_at(Entry(b"1", 20, 25, 0.0), floor=10, horizon=30, revision=31)


def _state(revision: int) -> VersionState:
    return VersionState(revision, 1, revision // 10, f"n{revision}")


def _event(revision: int) -> VersionEvent:
    return VersionEvent(_state(revision), frozenset({f"k{revision}"}))


def _history(*revisions: int, base: int = 10, remember: int = 1000) -> History:
    made = History(_state(base), remember=remember)
    for revision in revisions:
        made.append(_event(revision))
    return made
