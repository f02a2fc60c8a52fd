"""A fleet whose members hang, or whose name server does: what is asked of them, and what it costs everybody else.

63 members beside the instance, all alike; what has left the instance is counted where it arrives.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from service.fleet.names import LOOKUPS
from service.fleet.peers import ANSWER_WITHIN, NO_ANSWER, NOT_RESOLVED
from service.fleet.questions import AT_ONCE, MOMENT, OF_ONE_TOKEN, SHARED_FOR
from tests.http.test_nonsense import members
from tests.support.etcd import EtcdServer
from tests.support.instances import END_WITHIN, InstanceProcess, within
from tests.support.silence import NameServer, Peer

pytestmark = pytest.mark.lasting

OTHERS = 63
ASKERS = 200
FEW = 4 + 2
"""Threads that asking may add: libuv's, of which two look names up; one that loads httpx; one of Flask's."""

TOKENS = [{"name": name, "token": f"{name}-0123456789abc", "scopes": ["admin"]} for name in ("anna", "bert", "cleo")]
BEGINS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


class Scene:
    """One instance among members that are somebody else's."""

    def __init__(self, instance: InstanceProcess) -> None:
        self.instance = instance

    @property
    def threads(self) -> int:
        status = Path(f"/proc/{self.instance.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))

    def ask(self, path: str, askers: int, tokens: int = 1) -> Asked:
        """So many at once, with as many tokens in turn; and /healthz again and again until they all have an answer."""
        asked = Asked()
        rush = [threading.Thread(target=self._ask, args=(path, number % tokens, asked)) for number in range(askers)]
        for thread in rush:
            thread.start()
        while any(thread.is_alive() for thread in rush):
            assert self.instance.request("GET", "/healthz", timeout=30).status_code == 200
            asked.meanwhile += 1
            asked.threads = max(asked.threads, self.threads)
            time.sleep(0.02)
        return asked

    def _ask(self, path: str, token: int, asked: Asked) -> None:
        begun = time.monotonic()
        headers = {"Authorization": f"Bearer {TOKENS[token]['token']}"}
        answer = self.instance.request("GET", path, timeout=60, headers=headers)
        asked.statuses[answer.status_code] += 1
        asked.longest = max(asked.longest, time.monotonic() - begun)
        if answer.status_code == 200:
            asked.said = answer.json()


class Asked:
    """What came of it. `meanwhile`: how many other requests were answered before the last of these."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.longest = 0.0
        self.meanwhile = 0
        self.threads = 0
        self.said: dict[str, object] = {}

    @property
    def reasons(self) -> Counter[object]:
        """Why there is no answer, of how many."""
        rows = self.said["members"]
        assert isinstance(rows, list)
        return Counter(row["why_not"] for row in rows)


StartScene = Callable[..., Scene]


@pytest.fixture
def scene(etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartScene]:
    """Starts an instance beside 63 members at addresses made of their numbers."""
    prefix = f"/asking-{abs(hash(request.node.name))}"
    with ExitStack() as stack:

        def start(address: Callable[[int], str], around: Callable[..., list[str]] | None = None, **more: str) -> Scene:
            put = stack.enter_context(members(etcd, prefix))
            for slot in range(1, OTHERS + 1):
                put(slot, json.dumps({"address": address(slot)}))
            instance = InstanceProcess(tmp_path / "instance", **etcd.settings(prefix), **more)
            instance.around = around
            stack.enter_context(instance)
            instance.token = str(TOKENS[0]["token"]) if more else ""
            instance.wait_for_slot()
            assert within(10, lambda: len(instance.request("GET", "/members").json()["members"]) == OTHERS + 1)
            return Scene(instance)

        yield start


@contextmanager
def silent_names(directory: Path) -> Iterator[NameServer]:
    with NameServer(directory).running() as server:
        yield server


def test_a_silent_name_server_makes_nobody_late(scene: StartScene, tmp_path: Path) -> None:
    """Each lookup blocks a thread for 10 s, whatever becomes of who wants it: there are two."""
    with silent_names(tmp_path) as names:
        there = scene(lambda slot: f"silent-{slot}.test:80", names.around)
        before = there.threads
        asked = there.ask("/members/states", ASKERS)
        assert asked.statuses[200] >= 1
        assert asked.statuses.keys() <= {200, 503}
        assert asked.reasons == {"": 1, NOT_RESOLVED: OTHERS}
        assert asked.longest < 5 * ANSWER_WITHIN  # it was 10 s, and is 1.5 where nobody else uses the machine
        assert asked.meanwhile >= 5  # it was one
        assert asked.threads <= before + FEW
        assert 1 <= len(set(names.asked)) <= LOOKUPS
        begun = time.monotonic()
        assert there.instance.stop() == 0
        assert time.monotonic() - begun < END_WITHIN


def test_one_asker_takes_no_thread_for_each_name(scene: StartScene, tmp_path: Path) -> None:
    with silent_names(tmp_path) as names:
        there = scene(lambda slot: f"silent-{slot}.test:80", names.around)
        before = there.threads
        for _ in range(3):
            asked = there.ask("/members/config/a", 1)
            assert asked.statuses == {200: 1}
        assert asked.threads <= before + FEW  # it was 63 more
        assert len(set(names.asked)) <= LOOKUPS


@pytest.mark.parametrize("said", [b"", BEGINS], ids=["say nothing", "drip"])
def test_members_that_hang_are_asked_once_for_all_who_want_to_know(scene: StartScene, said: bytes) -> None:
    with Peer(said, drips=bool(said)).running() as peer:
        there = scene(lambda _: peer.address)
        before = there.threads
        asked = there.ask("/members/states", ASKERS)
        assert len(peer.connections) == OTHERS
        assert asked.reasons == {"": 1, NO_ANSWER: OTHERS}
        assert asked.meanwhile >= 5  # it was one
        assert asked.threads <= before + FEW


def test_who_comes_while_a_member_hangs_gets_the_last_answer_and_its_age(scene: StartScene) -> None:
    with Peer().running() as peer:
        there = scene(lambda _: peer.address)
        first = there.ask("/members/states", 1).said["age"]
        assert isinstance(first, float)
        assert first >= ANSWER_WITHIN
        time.sleep(SHARED_FOR)
        again = there.ask("/members/states", 4)
        assert again.said["age"] >= first + SHARED_FOR + MOMENT - 0.1  # type: ignore[operator]
        assert again.statuses == {200: 4}
        assert within(5, lambda: len(peer.connections) == 2 * OTHERS)


def test_questions_about_keys_are_few_and_those_of_one_token_fewer(scene: StartScene) -> None:
    with Peer().running() as peer:
        there = scene(lambda _: peer.address, API_TOKENS=json.dumps(TOKENS))
        before = there.threads
        asked = there.ask("/members/config/a", ASKERS)
        assert asked.statuses == {200: OF_ONE_TOKEN, 503: ASKERS - OF_ONE_TOKEN}
        assert len(peer.connections) == OF_ONE_TOKEN * OTHERS
        asked = there.ask("/members/config/a", ASKERS, tokens=len(TOKENS))
        assert asked.statuses == {200: AT_ONCE, 503: ASKERS - AT_ONCE}
        assert asked.meanwhile >= 5
        assert asked.threads <= before + FEW  # it was 252 more
