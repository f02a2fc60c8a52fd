"""--help and docs/settings.md tell every setting, with its unit and its default, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings.model import Settings
from tests.support.instances import PROJECT, environment
from tools.settings_page import DOCUMENT, page

FIELDS = {name.upper(): field for name, field in Settings.model_fields.items()}


@pytest.fixture(scope="module")
def shown() -> str:
    """What --help prints, on a line each."""
    command = [sys.executable, "-m", "service", "--help"]
    return subprocess.run(
        command, cwd=PROJECT, env=environment(), capture_output=True, text=True, timeout=30, check=True
    ).stdout


def entries(shown: str) -> dict[str, str]:
    """What is said about each setting, without line breaks."""
    _, _, settings = shown.partition("settings, all of them environment variables:\n\n")
    parts = re.split(r"^  (?=[A-Z])", settings, flags=re.MULTILINE)[1:]
    return {part.split()[0]: " ".join(part.split()) for part in parts}


def test_help_lists_every_setting_and_no_other(shown: str) -> None:
    assert list(entries(shown)) == list(FIELDS)


@pytest.mark.parametrize("name", list(FIELDS))
def test_help_tells_default_unit_and_meaning(shown: str, name: str) -> None:
    """From the fields themselves, not from what help is made of."""
    entry, field = entries(shown)[name], FIELDS[name]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    assert f"{field.description}: {extra['expected']}. Example: {extra['example']}" in entry
    if field.default in (None, ()):
        assert "(default" not in entry
    else:
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        with_unit = f"{default} {extra.get('unit', '')}".rstrip()
        assert f"{name} (default {with_unit})" in entry


def test_help_lists_the_commands(shown: str) -> None:
    assert re.search(r"^commands:\n.*^ +doctor +examine", shown, re.MULTILINE | re.DOTALL)


def test_the_document_is_what_make_settings_would_write() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == page()
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page(), re.MULTILINE)) == set(FIELDS)


def test_every_setting_that_a_document_or_a_manifest_names_exists() -> None:
    """A setting that was renamed leaves traces."""
    ours = re.compile(r"\b(?:CACHE|LEASE|MAX_VALUE|DRAIN|THREADS)_[A-Z_]+\b")
    for file in [*PROJECT.glob("docs/*.md"), PROJECT / "README.md", PROJECT / "PROTOCOL.md", PROJECT / "manifest.yml"]:
        assert set(ours.findall(file.read_text(encoding="utf-8"))) <= set(FIELDS), Path(file).name
