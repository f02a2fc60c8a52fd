"""Which build is running. Owns the one place where the version is read: pyproject.toml, beside the packages."""

from __future__ import annotations

import tomllib
from pathlib import Path

_PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def version(project: Path = _PROJECT) -> str:
    """The project's version, or "unknown" where the packages were copied without their pyproject.toml."""
    try:
        found = tomllib.loads(project.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "unknown"
    return str(found["project"]["version"])
