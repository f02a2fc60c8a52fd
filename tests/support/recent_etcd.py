"""An etcd as it is recommended for production. Nothing that Python or Debian's stable release can install is one."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from consistency.etcd.releases import ADVICE, weaknesses
from service.embedded_etcd.binary import PROGRAM, find_etcd
from tests.support.unavailable import unavailable


def recent_etcd() -> Path:
    """The program, with etcdctl and etcdutl beside it: in the directory RECENT_ETCD, else where `find_etcd` looks.

    Skips the test when that has a release with known faults.
    """
    directory = os.environ.get("RECENT_ETCD")
    program = Path(directory) / PROGRAM if directory else find_etcd()
    told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    found = re.search(r"etcd Version: (\S+)", told)
    assert found, told
    if weaknesses(found[1]):
        unavailable(
            f"{program} is {found[1]}; {ADVICE}: RECENT_ETCD=/directory/of/its/programs "
            "(on Debian, `.ci/recent-etcd DIRECTORY` fetches one)"
        )
    return program


def sturdy_etcd() -> Path:
    """The program in RECENT_ETCD where there is one, else the usual: for a test in which etcd is held and must go on.

    One that the releases' table warns of may end itself when it goes on, and reads were given up meanwhile.
    """
    directory = os.environ.get("RECENT_ETCD")
    return Path(directory) / PROGRAM if directory else find_etcd()
