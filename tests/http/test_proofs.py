"""Where a client's token goes: to instances that have proven their address, and to nobody else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from consistency.etcd.store import EtcdStore
from service.auth.token_lists import from_list
from service.fleet.proofs import Ask, Challenge, Witness
from tests.http.conftest import keyring
from tests.support.driver import run
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

ADMIN = "admin-0123456789abc"
TOKENS = [
    {"name": "admin", "token": ADMIN, "scopes": ["admin"]},
    {"name": "team", "token": "team-0123456789abc", "scopes": ["read"], "prefix": "team/"},
]
NOT_PROVEN = "did not prove that its address is its own; not asked"
NOT_SENT = (NOT_PROVEN, "RemoteProtocolError: Server disconnected", "ConnectionResetError", "BrokenPipeError")
PREFIX = "/proofs"

Reply = Callable[[bytes], bytes]


@contextmanager
def listener(reply: Reply, *, then_closes: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers the first bytes of each connection, and keeps all that it is sent: (port, received)."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(3)
                    received.append(connection.recv(65536))
                    try:
                        connection.sendall(reply(received[-1]))
                        if then_closes:
                            continue
                        received.append(connection.recv(65536))
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], received
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def impostor(etcd: EtcdServer, prefix: str, address: str, slot: int = 63) -> Iterator[None]:
    """A member key that somebody has written who may write to etcd, with an address of his choice."""
    store = EtcdStore(etcd.config(prefix))
    try:
        lease = run(store.grant(60, timeout=5))
        assert run(store.claim(slot, lease.id, json.dumps({"address": address}), timeout=5))
        try:
            yield
        finally:
            run(store.revoke(lease.id, timeout=5))
    finally:
        run(store.close())


@pytest.fixture(scope="module")
def fleet(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[InstanceProcess]]:
    """Two members, with tokens."""
    with ExitStack() as stack:
        settings = {**etcd.settings(PREFIX), "API_TOKENS": json.dumps(TOKENS)}
        made = [InstanceProcess(tmp_path_factory.mktemp("member"), **settings) for _ in range(2)]
        for instance in made:
            stack.enter_context(instance).token = ADMIN
            instance.wait_for_slot()
        assert within(5, lambda: len(rows(made[0], "/members/states")) == 2)
        yield made


def rows(instance: InstanceProcess, path: str) -> dict[int, dict[str, object]]:
    """What the fleet says, by slot."""
    return {row["slot"]: row for row in instance.request("GET", path).json()["members"]}


def reason(instance: InstanceProcess, path: str) -> object:
    """Why there is no answer of the impostor."""
    return rows(instance, path).get(63, {}).get("why_not")


FALSE_REPLIES: dict[str, Reply] = {
    "an earlier release": lambda _: answer(b'{"type": "about:blank"}', "404 Not Found"),
    "one that wants the token first": lambda _: answer(b"{}", "401 Unauthorized", "WWW-Authenticate: Bearer"),
    "one that proves nothing": lambda _: answer(b'{"proof": null}'),
    "one that guesses": lambda _: answer(json.dumps({"proof": "0" * 64}).encode()),
    "one that sends elsewhere": lambda _: answer(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:1/"),
    "one that says nonsense": lambda _: answer(b"[" * 60_000),
    "one that says a number": lambda _: answer(b'{"proof": 1e999}'),
    "one that repeats what it was asked": lambda asked: answer(
        json.dumps({"proof": asked.partition(b"mac=")[2][:64].decode("latin-1")}).encode()
    ),
}


@pytest.mark.parametrize("path", ["/members/states", "/members/config/team/secret-name"])
@pytest.mark.parametrize("reply", FALSE_REPLIES.values(), ids=FALSE_REPLIES)
def test_a_false_address_is_sent_no_token(
    etcd: EtcdServer, fleet: list[InstanceProcess], reply: Reply, path: str
) -> None:
    """Somebody who may write to etcd would only have to wait until an operator looks at the page."""
    with listener(reply) as (port, received), impostor(etcd, PREFIX, f"127.0.0.1:{port}"):
        assert within(5, lambda: reason(fleet[0], path) is not None and bool(received))
        why = reason(fleet[0], path)
    heard = b"".join(received)
    assert ADMIN.encode() not in heard
    assert why == NOT_PROVEN
    assert heard.startswith(b"GET /members/proof?")
    assert b"authorization" not in heard.lower()
    assert b"secret-name" not in heard


def test_a_false_address_that_passes_the_question_on_is_sent_no_token(
    etcd: EtcdServer, fleet: list[InstanceProcess]
) -> None:
    """1. A asks at the false address.  2. It passes the question on to B, a true instance.  3. B would prove itself."""

    def relay(asked: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", fleet[1].port), timeout=3) as true_one:
            true_one.sendall(asked)
            return true_one.recv(65536)

    with listener(relay) as (port, received), impostor(etcd, PREFIX, f"127.0.0.1:{port}"):
        assert within(5, lambda: reason(fleet[0], "/members/states") == NOT_PROVEN and bool(received))
    assert ADMIN.encode() not in b"".join(received)


@pytest.mark.parametrize("closes", [("Connection: close",), ()], ids=["says so", "without a word"])
def test_a_proof_holds_for_the_connection_it_came_over(
    etcd: EtcdServer, fleet: list[InstanceProcess], closes: tuple[str, ...]
) -> None:
    """1. An instance proves itself. 2. The connection is closed. 3. Another program may listen there now."""

    def prove(asked: bytes) -> bytes:
        query = asked.partition(b"?")[2].partition(b" ")[0].decode()
        ask = Ask(**dict(parse_qsl(query))) if asked.startswith(b"GET /members/proof?") else None
        proof = ask and Witness(keyring(TOKENS), ask.address).prove(ask)
        return answer(json.dumps({"proof": proof}).encode(), "200 OK", *closes)

    with listener(prove, then_closes=True) as (port, received), impostor(etcd, PREFIX, f"127.0.0.1:{port}"):
        assert within(5, lambda: reason(fleet[0], "/members/states") is not None and bool(received))
        assert str(reason(fleet[0], "/members/states")).startswith(NOT_SENT)
    assert b"".join(received).count(b"GET ") == b"".join(received).count(b"GET /members/proof?") > 0
    assert ADMIN.encode() not in b"".join(received)


def test_true_instances_are_asked_with_the_token(fleet: list[InstanceProcess]) -> None:
    fleet[0].put("team/a", b"1")
    assert within(5, lambda: len(rows(fleet[0], "/members/states")) == 2)
    said = rows(fleet[0], "/members/states")
    assert [(row["why_not"], type(row["state"])) for row in said.values()] == [("", dict)] * 2
    assert [row["status"] for row in rows(fleet[0], "/members/config/team/a").values()] == [200] * 2


def test_without_tokens_no_authorization_is_passed_on(
    etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is somebody's password for something else, perhaps."""
    prefix = f"{PREFIX}-open"
    with (
        InstanceProcess(tmp_path_factory.mktemp("open"), **etcd.settings(prefix)) as instance,
        listener(lambda _: answer(b"{}")) as (port, received),
        impostor(etcd, prefix, f"127.0.0.1:{port}"),
    ):
        instance.token = "of-something-else-0123"
        assert within(5, lambda: 63 in rows(instance, "/members/states") and bool(received))
    assert b"of-something-else" not in b"".join(received)


# What a proof is

THERE = "10.0.0.1:8080"
(ADMIN_TOKEN, TEAM_TOKEN) = from_list(TOKENS)
WITNESS = Witness(keyring(TOKENS), THERE)


def test_a_witness_proves_itself_to_who_knows_the_token() -> None:
    challenge = Challenge.to(THERE, ADMIN_TOKEN)
    proof = WITNESS.prove(challenge.ask)
    assert challenge.is_met_by(proof)
    assert proof != challenge.ask.mac


def changed(**what: str) -> Ask:
    return replace(Challenge.to(THERE, ADMIN_TOKEN).ask, **what)


@pytest.mark.parametrize(
    "ask",
    [
        changed(token="nobody"),
        changed(token="team"),
        changed(mac="0" * 64),
        changed(nonce="0" * 32),
        changed(address="10.0.0.1:8081"),
        Challenge.to("10.0.0.1:8081", ADMIN_TOKEN).ask,
        Challenge.to(THERE, replace(ADMIN_TOKEN, digest=b"0" * 32)).ask,
        Challenge.to(THERE, replace(TEAM_TOKEN, name="admin")).ask,
    ],
)
def test_a_witness_proves_nothing_to_anybody_else(ask: Ask) -> None:
    """A stranger who could make it compute would have something to guess tokens by, offline."""
    assert WITNESS.prove(ask) is None


def test_a_witness_without_tokens_proves_nothing() -> None:
    assert Witness(None, THERE).prove(Challenge.to(THERE, ADMIN_TOKEN).ask) is None


@pytest.mark.parametrize("proof", [None, "", "0" * 64, 7, {}, "é" * 64])
def test_what_is_no_proof_meets_no_challenge(proof: object) -> None:
    assert not Challenge.to(THERE, ADMIN_TOKEN).is_met_by(proof)


def test_a_proof_meets_no_other_challenge() -> None:
    """Neither a later one, nor one for another token or address."""
    proof = WITNESS.prove(Challenge.to(THERE, ADMIN_TOKEN).ask)
    assert not Challenge.to(THERE, ADMIN_TOKEN).is_met_by(proof)
    assert not Challenge.to(THERE, TEAM_TOKEN).is_met_by(proof)
