"""Query parameters: no silent defaults (the contract)."""

from __future__ import annotations

import pytest

from consistency.core.model import Demand
from service.http.parameters import AtRevision, ListParameters, list_parameters, read_parameters, write_parameters
from service.http.problems import Refused


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", Demand()),
        ("use_cache=true", Demand(use_cache=True)),
        ("use_cache=false", Demand(use_cache=False)),
        ("min_revision=0", Demand(min_revision=0)),
        ("min_revision=9223372036854775807", Demand(min_revision=2**63 - 1)),
        ("min_revision=7&use_cache=false", Demand(use_cache=False, min_revision=7)),
        ("use%5Fcache=false", Demand(use_cache=False)),
        ("consistency=linearizable", Demand(linearizable=True)),
        ("stale_if_error=60", Demand(stale_if_error=60)),
        ("revision=1", AtRevision(1)),
        ("revision=9223372036854775807", AtRevision(2**63 - 1)),
    ],
)
def test_a_read_takes_what_it_offers(query: str, parameters: Demand | AtRevision) -> None:
    """The contract."""
    assert read_parameters(query) == parameters


@pytest.mark.parametrize(
    "query",
    [
        "use_cache=True",
        "use_cache=1",
        "use_cache=",
        "use_cache",
        "use_cache=true&use_cache=true",
        "use_cahce=false",
        "min_revision=-1",
        "min_revision=+1",
        "min_revision=1.0",
        "min_revision=%201",
        "min_revision=1_000",
        "min_revision=٣",
        "min_revision=9223372036854775808",
        "min_revision=" + "9" * 5000,
        "consistency=eventual",
        "consistency=",
        "stale_if_error=-1",
        "stale_if_error=inf",
        "stale_if_error=2592001",
        "sync=true",
        "revision=0",
        "revision=",
        "revision=9223372036854775808",
        "revision=1&revision=1",
        "&",
        "use_cache=true&",
        "use_cache=%ff",
        "use_cache=true%",
        "use%zzcache=true",
        "\xff=1",
        "&".join(f"a{n}=1" for n in range(100)),
    ],
)
def test_a_read_refuses_everything_else(query: str) -> None:
    """A misspelt `use_cache=false` that was ignored would be answered from the cache."""
    with pytest.raises(Refused) as refusal:
        read_parameters(query)
    assert refusal.value.problem.kind.status == 400
    assert len(refusal.value.problem.detail) < 300


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", ListParameters()),
        ("prefix=a/&after=a/b&limit=1000", ListParameters(prefix="a/", after="a/b", limit=1000)),
        ("prefix=&limit=1", ListParameters(limit=1)),
        ("prefix=%C3%BC%2F", ListParameters(prefix="ü/")),
        ("prefix=a%25&after=a%2541", ListParameters(prefix="a%", after="a%41")),
    ],
)
def test_a_listing_takes_what_it_offers(query: str, parameters: ListParameters) -> None:
    """The contract."""
    assert list_parameters(query) == parameters


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=",
        "after=",
        "after=/a",
        "after=a/",
        "prefix=//",
        "prefix=%ff",
        "prefix=%zz",
        "prefix=a%",
        "prefix=a%4",
        "after=a%25",
        "after=%EF%BF%BD",
        "prefix=%EF%BF%BD",
        "use_cache=true",
    ],
)
def test_a_listing_refuses_everything_else(query: str) -> None:
    """`after` is a key that was returned before; it can't be empty."""
    with pytest.raises(Refused):
        list_parameters(query)


@pytest.mark.parametrize("other", ["use_cache=true", "consistency=linearizable", "min_revision=0", "stale_if_error=0"])
def test_the_past_is_asked_for_alone(other: str) -> None:
    """The past cannot be cached, or be newer or staler: a client that asks for both has mistaken one of them."""
    for query in (f"revision=5&{other}", f"{other}&revision=5"):
        with pytest.raises(Refused) as refusal:
            read_parameters(query)
        assert refusal.value.problem.kind.status == 400
        assert other.partition("=")[0] in refusal.value.problem.detail


@pytest.mark.parametrize(("query", "sync"), [("", False), ("sync=false", False), ("sync=true", True)])
def test_a_write_is_synchronous_on_demand(query: str, sync: bool) -> None:
    """Rule 12."""
    assert write_parameters(query) is sync


@pytest.mark.parametrize(
    "query", ["sync=True", "sync=1", "sync=", "sync", "sync=true&sync=true", "snyc=true", "min_revision=1"]
)
def test_a_write_refuses_everything_else(query: str) -> None:
    """One that ignored a misspelt `sync=true` would break its promise."""
    with pytest.raises(Refused) as refusal:
        write_parameters(query)
    assert refusal.value.problem.kind.status == 400
