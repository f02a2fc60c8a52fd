"""The fleet through one instance: states of all, the same key asked of all, and those who don't answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from consistency.core.events import ignore
from consistency.core.model import Member
from consistency.tasks import Errands
from service.fleet.foreign import LONGEST
from service.fleet.names import Names
from service.fleet.peers import ANSWER_WITHIN, Heard, Peers
from tests.support.driver import least_hold, run
from tests.support.etcd import EtcdServer
from tests.support.holds import most
from tests.support.instances import InstanceProcess, within
from tests.support.silence import Peer

TOKENS = json.dumps(
    [
        {"name": "looks", "token": "looks-0123456789abc", "scopes": ["observe", "read"]},
        {"name": "team", "token": "team-0123456789abc", "scopes": ["read"], "prefix": "team/"},
        {"name": "admin", "token": "admin-0123456789abc", "scopes": ["admin"]},
    ]
)


@pytest.fixture(scope="module")
def fleet(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[InstanceProcess]]:
    """Three members, with tokens."""
    with ExitStack() as stack:
        instances = [
            stack.enter_context(
                InstanceProcess(
                    tmp_path_factory.mktemp("member"),
                    **etcd.settings("/fleet-routes"),
                    API_TOKENS=TOKENS,
                    CF_INSTANCE_INDEX=str(number),
                )
            )
            for number in range(3)
        ]
        for instance in instances:
            instance.token = "admin-0123456789abc"
            instance.wait_for_slot()
        yield instances


def ask(instance: InstanceProcess, path: str, bearer: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {bearer}-0123456789abc"}
    answer = instance.request("GET", path, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_one_instance_tells_the_state_of_all(fleet: list[InstanceProcess]) -> None:
    """The others are asked with the token of who asks; without one that is for it, they tell nothing."""
    assert within(5, lambda: len(ask(fleet[1], "/members/states", "looks")["members"]) == 3)
    said = ask(fleet[1], "/members/states", "looks")
    assert said["me"] == 1
    assert [(row["slot"], row["address"]) for row in said["members"]] == [
        (number, f"127.0.0.1:{instance.port}") for number, instance in enumerate(fleet)
    ]
    for row in said["members"]:
        assert isinstance(row["state"], dict)
        assert (row["state"]["slot"], row["why_not"]) == (row["slot"], "")
    assert "HTTP Request" not in fleet[1].printed()  # httpx would have a line for each
    refused = fleet[1].request("GET", "/members/states", headers={"Authorization": "Bearer team-0123456789abc"})
    assert refused.status_code == 403


def test_the_same_key_is_asked_of_all(fleet: list[InstanceProcess]) -> None:
    fleet[0].put("team/é x", b'{"a": 1}')
    rows = ask(fleet[2], "/members/config/team/%C3%A9%20x", "team")["members"]
    assert [(row["slot"], row["status"], row["value"]) for row in rows] == [
        (number, 200, '{"a": 1}') for number in range(3)
    ]
    again = ask(fleet[2], "/members/config/team/%C3%A9%20x", "team")["members"]
    assert [row["source"] for row in again] == ["HIT"] * 3
    assert len({row["mod_revision"] for row in again}) == 1
    absent = ask(fleet[0], "/members/config/team/none", "team")["members"]
    assert [(row["status"], row["mod_revision"]) for row in absent] == [(404, None)] * 3


def test_a_token_is_for_its_own_keys_here_too(fleet: list[InstanceProcess]) -> None:
    headers = {"Authorization": "Bearer team-0123456789abc"}
    assert fleet[0].request("GET", "/members/config/other", headers=headers).status_code == 403
    assert fleet[0].request("GET", "/members/config/team/../other", headers=headers).status_code in (400, 403)


def test_who_hangs_is_told_and_makes_nobody_else_late(fleet: list[InstanceProcess]) -> None:
    fleet[2].pause()
    try:
        rows = ask(fleet[0], "/members/config/team/x", "team")["members"]
        states = ask(fleet[0], "/members/states", "looks")["members"]
    finally:
        fleet[2].resume()
    assert [row["why_not"] for row in rows] == ["", "", f"no answer within {ANSWER_WITHIN:g} s"]
    assert [row["why_not"] for row in states] == ["", "", f"no answer within {ANSWER_WITHIN:g} s"]


def member(slot: int, address: object) -> Member:
    return Member(slot=slot, lease=1, created=2, description=json.dumps({"address": address}))


def asked(members: list[Member]) -> list[Heard]:
    """What they answer, on a loop of its own."""

    async def ask() -> list[Heard]:
        return await Peers(Names(Errands(ignore))).ask(members, "/members/me", None)

    return run(ask())


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of a server that sends a byte now and then, for ever."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not over.wait(0.1):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join(5)


def test_whatever_is_at_an_address_the_answer_comes_in_time(dripping: int) -> None:
    """One byte after another keeps a socket's own timeout from ending anything."""
    nobody = socket.create_server(("127.0.0.1", 0))
    closed = nobody.getsockname()[1]
    nobody.close()
    members = [
        member(0, f"127.0.0.1:{dripping}"),
        member(1, f"127.0.0.1:{closed}"),
        member(2, 7),
        member(3, "evil/x:80"),
    ]
    begun = time.monotonic()
    heard = asked(members)
    assert time.monotonic() - begun < ANSWER_WITHIN + 5
    assert [each.status for each in heard] == [0] * 4
    assert [each.why_not for each in heard] == [
        f"no answer within {ANSWER_WITHIN:g} s",
        "nobody listens at its address",
        "it does not say where it can be reached",
        "it does not say where it can be reached",
    ]


FLOODS = {
    "answers before the answer": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "chunks of one byte": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_whatever_a_member_pours_out_others_have_their_turn_on_the_loop(flood: tuple[bytes, bytes]) -> None:
    """What one turn takes of the processor: 64 kB of such things, taken apart in one go, are 200 ms of it."""
    begins, goes_on = flood
    heard = list[Heard]()
    with Peer(begins + goes_on * 100_000).running() as peer:

        async def work() -> None:
            peers = Peers(Names(Errands(ignore)))
            await peers.ask([member(0, 7)], "/", None)  # loads httpx
            heard.extend(await peers.ask([member(0, peer.address)], "/", None))

        seconds, what = least_hold(work)
    assert all(each.body or each.why_not.startswith("RemoteProtocolError") for each in heard)
    assert all(len(each.body) <= LONGEST for each in heard)
    assert seconds < most(), what


def test_an_answer_is_read_up_to_a_bound(fleet: list[InstanceProcess]) -> None:
    fleet[0].put("team/long", json.dumps("x" * 2 * LONGEST).encode())
    rows = ask(fleet[0], "/members/config/team/long", "team")["members"]
    assert [len(str(row["value"])) for row in rows] == [LONGEST] * 3
