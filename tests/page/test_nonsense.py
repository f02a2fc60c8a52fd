"""The page of a fleet whose members and keys nobody would want: shown as such, and nothing in it fails."""

from __future__ import annotations

import json
from pathlib import Path

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from playwright.sync_api import Browser, expect

from tests.http.test_nonsense import DESCRIPTIONS, OWN, members
from tests.http.test_proofs import answer, listener
from tests.support.browser import tab
from tests.support.page import running


def test_members_that_say_nonsense_leave_the_page_as_it_is(browser: Browser, tmp_path: Path) -> None:
    """A script that fails on one row would show none. The tab takes no error."""
    wrong = json.dumps({**OWN, "reads": 7, "recent": "x", "lease_age": {}}).encode()
    with running(tmp_path, 1) as fleet, listener(lambda _: answer(wrong)) as (port, _):
        fleet.instances[0].wait_for_slot()
        said = [*DESCRIPTIONS, json.dumps({"address": f"127.0.0.1:{port}", "started": [], "version": {}})]
        with members(fleet.etcd, "/page") as member, tab(browser, fleet.url) as page:
            for slot, description in enumerate(said, start=1):
                member(slot, description)
            expect(page.locator("#members tbody tr")).to_have_count(len(said) + 1)
            expect(page.locator("#members")).to_contain_text("its answer is none that this release understands")
            expect(page.locator("#members")).to_contain_text("it does not say where it can be reached")
            expect(page.locator("#verdict")).to_contain_text(f"{len(said)} instances do not answer")


def test_keys_that_no_path_can_name_are_walked_past(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, 1) as fleet, grpc.insecure_channel(fleet.etcd.endpoint.removeprefix("http://")) as channel:
        for number in range(100):
            pb.KVStub(channel).Put(pb.PutRequest(key=b"/page/config/\xff%02d" % number, value=b"1"))
            pb.KVStub(channel).Put(pb.PutRequest(key=b"/page/config//%02d" % number, value=b"1"))
        fleet.write("last", "1", instance=0)
        with tab(browser, fleet.url) as page:
            expect(page.locator("#key-note")).to_contain_text("only keys that can't be shown")
            page.locator("#more-keys").click()
            expect(page.locator("#key-list")).to_contain_text("last")
