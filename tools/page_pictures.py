"""Makes the pictures of the fleet page in docs/: `python -m tools.page_pictures [--all directory]`.

With `--all`, also those that are worth looking at but not worth keeping: empty, full, broken.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.support.browser import chromium, tab
from tests.support.instances import PROJECT
from tests.support.page import Fleet, link, press, running

DOCS = PROJECT / "docs"
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 940}}
PHONE: dict[str, Any] = {"viewport": {"width": 380, "height": 760}}
KEYS = ("features/checkout", "features/search", "limits/api", "limits/upload", "team/app", "team/banner", "team/db")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.page_pictures", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIRECTORY", help="where the others go")
    others = parser.parse_args().all
    with chromium() as browser, tempfile.TemporaryDirectory() as directory:
        with running(Path(directory) / "four", 4, CACHE_STALENESS_BOUND="1") as fleet:
            prepare(fleet)
            kept(browser, fleet)
            if others:
                broken(browser, fleet, others)
        if others:
            with running(Path(directory) / "one", 1, CACHE_STALENESS_BOUND="1") as alone:
                shoot(browser, alone, others / "empty.png", **WIDE)
            with running(Path(directory) / "full", 64, CACHE_STALENESS_BOUND="1") as full:
                prepare(full)
                shoot(browser, full, others / "full.png", **WIDE)


def prepare(fleet: Fleet) -> None:
    """Something to see."""
    for instance in fleet.instances:
        instance.wait_for_slot()
    for number, key in enumerate(KEYS * 2):
        fleet.write(key, json.dumps({"enabled": True, "limit": 10 * number, "owner": key.split("/")[0]}), 0)


def read_for(fleet: Fleet, seconds: float) -> None:
    """What clients do, for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number, instance in enumerate(fleet.instances):
            instance.get(KEYS[(number + int(time.monotonic() * 3)) % len(KEYS)])


def kept(browser: Browser, fleet: Fleet) -> None:
    with tab(browser, fleet.url + link("team/app"), **WIDE) as page:
        read_for(fleet, 60)
        press(page, "Who serves what")
        page.wait_for_selector("#everywhere")
        page.mouse.move(0, 0)
        page.evaluate("scrollTo(0, 0)")  # its head stays at the top of what is seen
        page.screenshot(path=DOCS / "page-light.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        press(page, "History")
        page.wait_for_selector(".past li")
        page.screenshot(path=DOCS / "page-dark.png", full_page=True)
    with tab(browser, fleet.url + link("team/app"), color_scheme="light", **WIDE) as page:
        press(page, "Edit")
        page.fill("#text", page.input_value("#text").replace("110", "500"))
        fleet.write("team/app", '{"enabled": false, "limit": 200, "owner": "team"}')
        press(page, "Save")
        page.wait_for_selector("#conflict-title")
        page.locator("#document").screenshot(path=DOCS / "page-conflict.png")
    shoot(browser, fleet, DOCS / "page-narrow.png", key="team/app", color_scheme="dark", **PHONE)


def broken(browser: Browser, fleet: Fleet, directory: Path) -> None:
    def without_etcd(page: Page) -> None:
        page.wait_for_timeout(2000)
        fleet.etcd.pause()
        page.wait_for_selector(".verdict.bad")
        page.wait_for_timeout(2000)

    try:
        shoot(browser, fleet, directory / "etcd-away.png", without_etcd, **WIDE)
    finally:
        fleet.etcd.resume()


def shoot(
    browser: Browser,
    fleet: Fleet,
    file: Path,
    first: Callable[[Page], None] = lambda page: page.wait_for_timeout(3000),
    key: str = "",
    **options: Any,
) -> None:
    file.parent.mkdir(exist_ok=True)
    with tab(browser, fleet.url + (link(key) if key else ""), **options) as page:
        page.wait_for_selector(".verdict.good")
        first(page)
        page.screenshot(path=file, full_page=True)


if __name__ == "__main__":
    main()
