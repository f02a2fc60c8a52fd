"""Makes a site of the documents, with a search: `make docs`. Nothing serves it: it is files to look at or to publish.

Owns which documents are pages, and in which order. A link that leads nowhere, or to a heading that isn't there,
ends it with exit code 1.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parent.parent
SITE = PROJECT / "instance" / "docs-site"
"""Its `source` is what the site is made from, its `site` what it is."""

PAGES: dict[str, tuple[str, ...]] = {
    "Start": ("README.md", "docs/installing.md", "docs/faq.md"),
    "Use": (
        "docs/client.md",
        "client/README.md",
        "docs/configctl.md",
        "docs/changing-safely.md",
        "docs/library.md",
        "docs/page.md",
    ),
    "Operate": (
        "docs/operations.md",
        "docs/workers.md",
        "docs/troubleshooting.md",
        "docs/settings.md",
        "docs/security.md",
        "docs/limits.md",
        "docs/metrics.md",
        "docs/prometheus.md",
        "docs/etcd-cluster.md",
        "docs/cloud-foundry.md",
        "docs/systemd.md",
        "docs/kubernetes.md",
        "docs/container.md",
    ),
    "Understand": ("PROTOCOL.md", "docs/how-it-works.md", "docs/performance.md"),
    "Trust": ("docs/faults.md", "docs/simulation.md", "docs/mutants.md", "tests/README.md"),
    "Changes": ("CHANGELOG.md", "docs/compatibility.md", "CONTRIBUTING.md", "SECURITY.md"),
}

LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")


def pages() -> list[str]:
    """Every document of the site, by its path in the project."""
    return [page for section in PAGES.values() for page in section]


def linked(page: str) -> Iterator[Path]:
    """The files that a page leads to. Raises FileNotFoundError where there is none."""
    for target in LINK.findall((PROJECT / page).read_text(encoding="utf-8")):
        file = (PROJECT / page).parent.joinpath(target).resolve()
        if not file.is_file():
            raise FileNotFoundError(f"{page} leads to {target}, which is no file")
        yield file


def collect(source: Path) -> None:
    """Copy the pages, and what they lead to, as they lie in the project."""
    files = {PROJECT / page for page in pages()}
    files |= {file for page in pages() for file in linked(page)}
    for file in files:
        copy = source / file.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def settings() -> str:
    """What the generator is told, in TOML."""
    sections = ", ".join(f'{{ "{name}" = {list(section)} }}' for name, section in PAGES.items())
    return f"""[project]
site_name = "config-service"
docs_dir = "source"
site_dir = "site"
use_directory_urls = false
nav = [{sections}]

[project.theme]
font = false
features = ["navigation.sections", "navigation.footer", "search.highlight", "content.code.copy", "toc.follow"]

[project.markdown_extensions]
tables = {{}}
sane_lists = {{}}
toc.permalink = true
pymdownx.superfences = {{}}
pymdownx.highlight = {{}}
"""


def main() -> int:
    """Make the site; return the exit code."""
    shutil.rmtree(SITE, ignore_errors=True)
    try:
        collect(SITE / "source")
    except FileNotFoundError as error:
        sys.stderr.write(f"docs: {error}\n")
        return 1
    (SITE / "zensical.toml").write_text(settings(), encoding="utf-8")
    generator = Path(sys.executable).parent / "zensical"
    if subprocess.run([generator, "build", "--strict"], cwd=SITE, check=False).returncode:
        return 1
    sys.stdout.write(f"{SITE / 'site' / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
