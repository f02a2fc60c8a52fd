"""`make docs`: the site has every document, its links lead somewhere, and its search knows their words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.instances import PROJECT
from tools import docs_site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is made; a test may put documents of its own in the place of the project's."""
    monkeypatch.setattr(docs_site, "SITE", tmp_path / "made")
    return tmp_path / "made"


def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **pages: str) -> None:
    """A project of these pages alone."""
    for name, text in pages.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(docs_site, "PROJECT", tmp_path)
    monkeypatch.setattr(docs_site, "PAGES", {"All": tuple(f"{name}.md" for name in pages)})


def test_every_document_is_a_page() -> None:
    found = {str(file.relative_to(PROJECT)) for file in (PROJECT / "docs").glob("*.md")}
    assert {page for page in docs_site.pages() if page.startswith("docs/")} == found
    assert {"README.md", "PROTOCOL.md", "client/README.md", "tests/README.md"} <= set(docs_site.pages())


def test_the_site_is_made_and_its_search_knows_the_words_of_the_documents(site: Path) -> None:
    assert docs_site.main() == 0
    assert (site / "site" / "index.html").is_file()
    for page in docs_site.pages():
        made = (site / "site" / page).with_suffix(".html")
        assert made.is_file() or (made.stem == "README" and made.with_name("index.html").is_file()), page
    searched = json.dumps(json.loads((site / "site" / "search.json").read_text(encoding="utf-8")))
    for word in ("tombstone", "stale_if_error", "ConfigProofsMissing", "grpc-proxy"):
        assert word in searched, word


def test_a_list_of_a_document_is_a_list_of_the_site(site: Path) -> None:
    """The generator wants an empty line before one; without it the list would be one long sentence."""
    assert docs_site.main() == 0
    for file in (site / "site").rglob("*.html"):
        assert not re.search(r"<p>[^<]*\n(- |\d\. )", file.read_text(encoding="utf-8")), file


@pytest.mark.usefixtures("site")
def test_a_link_to_no_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documents(tmp_path, monkeypatch, README="# One\n\n[nowhere](two.md)\n")
    assert docs_site.main() == 1
    assert "README.md leads to two.md, which is no file" in capsys.readouterr().err


@pytest.mark.usefixtures("site")
def test_a_link_to_no_heading_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents(tmp_path, monkeypatch, README="# One\n\n[there](two.md#there)\n", two="# Two\n\n## There\n")
    assert docs_site.main() == 0
    documents(tmp_path, monkeypatch, README="# One\n\n[there](two.md#nowhere)\n", two="# Two\n\n## There\n")
    assert docs_site.main() == 1
