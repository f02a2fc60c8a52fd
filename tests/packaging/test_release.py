"""`make release`: what it writes, and what it refuses without having written anything."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.instances import PROJECT
from tools.release import BUILT, Refused, build, numbers, prepare, with_section

DAY = datetime.date(2026, 12, 1)
WRITTEN = (
    "pyproject.toml",
    "CHANGELOG.md",
    "service/site/openapi.yaml",
    "deploy/container/Dockerfile",
    "deploy/kubernetes/base/deployment.yaml",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """All that a build needs."""
    for name in ("service", "consistency", "metrics", "docs", "tools", "deploy"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "CHANGELOG.md", "README.md", "LICENSE", "PROTOCOL.md", ".gitignore"):
        shutil.copy(PROJECT / name, tmp_path)
    return tmp_path


def test_it_writes_version_and_section_and_builds_both_archives(checkout: Path) -> None:
    prepare(checkout, "7.1.0", DAY)
    assert '\nversion = "7.1.0"\n' in (checkout / "pyproject.toml").read_text()
    assert '\n  version: "7.1.0"\n' in (checkout / "service/site/openapi.yaml").read_text()
    assert "## Unreleased\n\n## 7.1.0 - 2026-12-01\n\n### Added" in (checkout / "CHANGELOG.md").read_text()
    assert "\nARG VERSION=7.1.0\n" in (checkout / "deploy/container/Dockerfile").read_text()
    assert " image: config-service:7.1.0\n" in (checkout / "deploy/kubernetes/base/deployment.yaml").read_text()
    made = build(checkout, "7.1.0")
    assert [file.name for file in made] == ["config_service-7.1.0-py3-none-any.whl", "config_service-7.1.0.tar.gz"]
    assert all(file.parent == checkout / BUILT / "7.1.0" for file in made)
    with pytest.raises(Refused, match="nothing under Unreleased"):
        prepare(checkout, "7.2.0", DAY)


def without_page(checkout: Path) -> None:
    (checkout / "service/site/page/index.html").unlink()


def with_two_versions(checkout: Path) -> None:
    with (checkout / "pyproject.toml").open("a") as file:
        file.write('\n[tool.other]\nversion = "1"\n')


@pytest.mark.parametrize(
    ("version", "harm", "reason"),
    [
        ("7.1", None, "expected three numbers, for example VERSION=0.2.0"),
        ("", None, "expected three numbers"),
        ("07.1.0", None, "expected three numbers"),
        ("0.0.9", None, "expected a newer one"),
        ("7.1.0", with_two_versions, "2 lines look like"),
    ],
)
def test_what_can_not_be_released_changes_nothing(
    checkout: Path, version: str, harm: Callable[[Path], None] | None, reason: str
) -> None:
    if harm:
        harm(checkout)
    before = [(checkout / name).read_text() for name in WRITTEN]
    with pytest.raises(Refused, match=reason):
        prepare(checkout, version, DAY)
    assert [(checkout / name).read_text() for name in WRITTEN] == before


def test_a_wheel_without_its_page_is_refused(checkout: Path) -> None:
    without_page(checkout)
    prepare(checkout, "7.1.0", DAY)
    with pytest.raises(Refused, match=r"the wheel has no service/site/page/index\.html"):
        build(checkout, "7.1.0")


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("0.10.0") > numbers("0.9.9")


def test_a_changelog_without_news_is_refused() -> None:
    text = "# Changelog\n\n## Unreleased\n\n## 0.1.0 - 2026-01-01\n\n- the first\n"
    with pytest.raises(Refused, match="nothing under Unreleased"):
        with_section(text, "0.2.0", DAY)
