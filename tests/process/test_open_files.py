"""How many clients may be connected where the limit on open files is low: asked in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.process.open_files import LEAST, RESERVED_FILES

ASK = """
import resource, sys
from service.process.open_files import connections_allowed
soft, hard, most = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(connections_allowed(most), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "most", "allowed", "raised_to"),
    [
        (512, 1024, 12_000, 1024 - RESERVED_FILES, 1024),
        (512, 1024, 500, 500, 500 + RESERVED_FILES),
        (1024, 1024, 500, 500, 1024),
        (RESERVED_FILES + 10, RESERVED_FILES + 10, 12_000, LEAST, RESERVED_FILES + 10),
        (128, 128, 12_000, LEAST, 128),
    ],
    ids=["as many as the hard limit leaves", "all, by raising it", "all, as it is", "the least", "still the least"],
)
def test_the_limit_is_raised_as_far_as_needed_and_bounds_the_connections(
    soft: int, hard: int, most: int, allowed: int, raised_to: int
) -> None:
    asked = [sys.executable, "-c", ASK, str(soft), str(hard), str(most)]
    printed = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed.split() == [str(allowed), str(raised_to), str(hard)]
