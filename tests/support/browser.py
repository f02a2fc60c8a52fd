"""A real Chromium, and what a page must never do in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserType, ConsoleMessage, Page, Request, sync_playwright

from tests.support.unavailable import unavailable

AXE = "axe-core@4.14.1"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync")  # fmt: skip
"""As root there is no sandbox; the rest keeps Chromium from calling home."""

DEADLINE = 15_000
"""Milliseconds that a page has to come to show something."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Started and ended. Skips the test where there is none."""
    with sync_playwright() as playwright, another(playwright.chromium) as browser:
        yield browser


@contextmanager
def another(chromiums: BrowserType, *more: str) -> Iterator[Browser]:
    """One with `more` arguments. (There can be only one playwright at a time; it starts any number of browsers.)"""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        unavailable("Chromium is not installed: apt-get install chromium")
    browser = chromiums.launch(executable_path=program, args=[*ARGUMENTS, *more])
    yield browser
    browser.close()


class Watched:
    """A tab, and all that was wrong in it: scripts that failed, policies that were broken, requests to elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(DEADLINE)
        self.wrong: list[str] = []
        self._origin = urlsplit(url).netloc
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        # Chromium tells every status above 399 like this; pages show what it means.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self._origin:
            self.wrong.append(f"asked {request.url}")


@contextmanager
def tab(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """An open page. Raises AssertionError if anything was wrong in it, at the end."""
    watched = Watched(browser, url, **options)
    try:
        watched.page.goto(url)
        yield watched.page
        assert watched.wrong == []
    finally:
        watched.context.close()


def axe() -> Path:
    """The script, from npm, kept beside the other things that tests need."""
    script = Path(sys.prefix) / AXE / "package" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            unavailable("npm is not installed: apt-get install npm")
        script.parent.parent.mkdir(exist_ok=True)
        pack = [str(npm), "pack", AXE, "--silent", "--pack-destination", str(script.parent.parent)]
        name = subprocess.run(pack, capture_output=True, text=True, timeout=120, check=True).stdout.strip()
        with tarfile.open(script.parent.parent / name) as archive:
            archive.extract("package/axe.min.js", script.parent.parent, filter="data")
    return script


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or worse, in what is shown now."""
    # Not by a <script>: the page's policy lets none in, and that stays so.
    page.evaluate(axe().read_text(encoding="utf-8") + "\n;undefined")
    found = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
