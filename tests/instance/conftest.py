"""The tests of what runs on the loop are driven on both kinds: the service's, and that of other people's programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import driver
from tests.support.holds import LOOPS

DRIVERS = {driver.__name__, "tests.instance.hand"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once on each kind of loop, whatever drives one."""
    if DRIVERS & {getattr(named, "__module__", None) for named in vars(metafunc.module).values()}:
        metafunc.parametrize("kind_of_loop", LOOPS, indirect=True)


@pytest.fixture(autouse=True)
def kind_of_loop(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of loop that the test drives."""
    kind = getattr(request, "param", "asyncio")
    with driver.driven_by(kind):
        yield kind
