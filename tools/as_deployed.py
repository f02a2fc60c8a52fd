"""An instance as it is deployed, for those who weigh it: compiled, and with the packages of its requirements alone.

Libraries load some of what else they find: structlog loads rich, which is here for the tests, 2 MB.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import packages_distributions
from pathlib import Path

PROJECT = Path(__file__).parent.parent

_HIDING = """
import sys

class Hiding:
    def find_spec(self, name, path, target=None):
        if name in {hidden}:
            raise ModuleNotFoundError("not among the requirements", name=name)

sys.meta_path.insert(0, Hiding())
"""


def as_deployed(directory: Path) -> dict[str, str]:
    """Return the variables with which such an instance is started; what they name is written into `directory`.

    Weigh it at its second start: the first one compiles all, and takes more.
    """
    required = {
        _normal(line.partition("==")[0])
        for line in (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    hidden = {
        name
        for name, packages in packages_distributions().items()
        if not {_normal(package) for package in packages} & required
    }
    (directory / "sitecustomize.py").write_text(_HIDING.format(hidden=hidden), encoding="utf-8")
    path = os.pathsep.join((str(directory), str(PROJECT)))
    return {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(directory / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}


def _normal(package: str) -> str:
    """The one name among those by which a package may be called."""
    return re.sub(r"[-_.]+", "-", package).lower()
