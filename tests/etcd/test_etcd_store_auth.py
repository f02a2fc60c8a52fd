"""The store over an etcd that demands a user and a password."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from consistency.core.events import Event, StoreCalled
from consistency.core.store import BadCredentials, Denied, Put, ReadAnswer, Want
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.etcd.conftest import version
from tests.support.driver import each, run
from tests.support.etcd import EtcdServer

TIMEOUT = 5.0
PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd where user "app" may use what is beneath "auth/"."""
    with EtcdServer(tmp_path_factory.mktemp("auth"), durable=True) as server:
        server.enable_auth(root="root-pw", user="app", password=PASSWORD, prefix="auth/")
        yield server


def forget_tokens(server: EtcdServer) -> None:
    """Makes every token of the user invalid at once, by giving it the password that it has."""
    server.etcdctl("user", "passwd", "--interactive=false", "app", user="root:root-pw", stdin=f"{PASSWORD}\n")


class Account:
    """A store with a user, and what it was observed to call."""

    def __init__(self, server: EtcdServer, password: str | None = PASSWORD, prefix: str = "auth") -> None:
        self.seen: list[Event] = []
        user = None if password is None else "app"
        config = EtcdConfig((server.endpoint,), prefix, user=user, password=password)
        self.store = EtcdStore(config, observer=self.seen.append)

    def read(self) -> int:
        return run(self.store.read([Want("a")], None, timeout=TIMEOUT)).header.revision

    def put(self) -> int:
        return run(self.store.commit([Put("a", b"1")], version("a"), timeout=TIMEOUT)).header.revision

    def count(self, kind: str, outcome: str) -> int:
        calls = (event for event in self.seen if isinstance(event, StoreCalled))
        return sum((call.kind, call.outcome) == (kind, outcome) for call in calls)


@pytest.fixture
def account(guarded: EtcdServer) -> Iterator[Account]:
    """The right user with the right password."""
    account = Account(guarded)
    yield account
    run(account.store.close())


def test_the_right_password_opens_everything_beneath_the_prefix(account: Account) -> None:
    """Point 2: user and password, over plaintext too; every kind of call carries the token."""
    revision = account.put()
    assert account.read() >= revision
    lease = run(account.store.grant(60, timeout=TIMEOUT)).id
    assert run(account.store.claim(1, lease, "{}", timeout=TIMEOUT))
    assert run(account.store.keep_alive(lease, timeout=TIMEOUT)) >= 60
    stream = run(account.store.watch(revision, revision, timeout=TIMEOUT))
    next(each(stream))
    stream.close()
    run(account.store.revoke(lease, timeout=TIMEOUT))
    assert run(account.store.page("", after="", limit=5, timeout=TIMEOUT)).keys
    assert run(account.store.survey(revision, timeout=TIMEOUT)).version_then
    assert account.count("authenticate", "ok") == 1


@pytest.mark.fault("auth enabled, token expired, password changed")
def test_a_wrong_password_is_told_as_that(guarded: EtcdServer) -> None:
    """Point 2: told apart from a certificate and from silence, and nothing was done."""
    account = Account(guarded, password="wrong")
    for call in (account.read, account.put):
        with pytest.raises(BadCredentials, match="authentication failed, invalid user ID or password"):
            call()
    run(account.store.close())


def test_a_wrong_password_is_not_tried_over_and_over(guarded: EtcdServer) -> None:
    """A fleet with a changed password must not drown etcd in bcrypt: one attempt a second, however many calls."""
    account = Account(guarded, password="wrong")
    for _ in range(20):
        with pytest.raises(BadCredentials):
            account.read()
    assert account.count("authenticate", "bad_credentials") <= 2
    run(account.store.close())


def test_no_user_where_one_is_demanded_is_told(guarded: EtcdServer) -> None:
    """Another of the messages an operator will meet."""
    account = Account(guarded, password=None)
    for call in (account.read, account.put):
        with pytest.raises(BadCredentials, match="it wants a user and a password"):
            call()
    run(account.store.close())


def test_a_prefix_that_is_not_ours_is_denied(guarded: EtcdServer) -> None:
    """Denied is not BadCredentials: the user is known, and may not. Definite for writes and streams as well."""
    account = Account(guarded, prefix="elsewhere")
    for call in (account.read, account.put, lambda: run(account.store.watch(1, 1, timeout=TIMEOUT))):
        with pytest.raises(Denied, match="permission denied"):
            call()
    run(account.store.close())


def test_a_user_where_none_is_demanded_does_no_harm(etcd: EtcdServer, prefix: str) -> None:
    """Authentication may be turned on later than the service."""
    account = Account(etcd, prefix=prefix)
    account.put()
    account.read()
    assert account.count("authenticate", "rejected") == 1
    run(account.store.close())


@pytest.mark.fault("auth enabled, token expired, password changed")
def test_authentication_may_be_turned_on_under_way(tmp_path: Path) -> None:
    """The first refusal brings the token."""
    with EtcdServer(tmp_path) as server:
        account = Account(server)
        account.put()
        server.enable_auth(root="root-pw", user="app", password=PASSWORD, prefix="auth/")
        account.put()
        account.read()
        run(account.store.close())


@pytest.mark.fault("auth enabled, token expired, password changed")
def test_a_lost_token_is_renewed_once_for_all_who_wait(guarded: EtcdServer) -> None:
    """Hazard: tokens die; re-authentication costs 56 ms of bcrypt. One for 16 concurrent readers, as etcd counts."""
    account = Account(guarded)
    account.put()
    forget_tokens(guarded)
    before = authentications(guarded)

    async def read_together() -> list[ReadAnswer]:
        return await asyncio.gather(*(account.store.read([Want("a")], None, timeout=TIMEOUT) for _ in range(16)))

    assert len(run(read_together())) == 16
    assert account.count("read", "bad_credentials") > 1, "several readers met the lost token"
    assert authentications(guarded) == before + 1
    run(account.store.close())


def authentications(server: EtcdServer) -> float:
    return server.counter("grpc_server_handled_total", grpc_method="Authenticate")


@pytest.mark.fault("auth enabled, token expired, password changed")
@pytest.mark.parametrize("kind", ["commit", "watch", "page"])
def test_every_kind_of_call_survives_a_lost_token(guarded: EtcdServer, kind: str) -> None:
    """Hazard: an invalid token is a definite failure, so that even a write is made again, once."""
    account = Account(guarded)
    count = run(account.store.read([], None, timeout=TIMEOUT)).version.count
    forget_tokens(guarded)
    match kind:
        case "commit":
            account.put()
            assert run(account.store.read([], None, timeout=TIMEOUT)).version.count == count + 1
        case "watch":
            run(account.store.watch(0, 0, timeout=TIMEOUT)).close()
        case _:
            run(account.store.page("", after="", limit=1, timeout=TIMEOUT))
    assert account.count("authenticate", "ok") == 2
    run(account.store.close())


@pytest.mark.fault("auth enabled, token expired, password changed")
def test_nobody_notices_a_restart_of_an_etcd_with_users(guarded: EtcdServer) -> None:
    """Hazard: simple tokens may die at restart."""
    account = Account(guarded)
    account.put()
    guarded.restart()
    account.put()
    account.read()
    run(account.store.close())


def test_the_password_and_the_token_are_never_shown(guarded: EtcdServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a repr, nor in a message with all its causes, nor in a log, nor in an event."""
    caplog.set_level(logging.DEBUG)
    secret = "wrong-but-secret"
    account = Account(guarded, password=secret)
    config = EtcdConfig((guarded.endpoint,), "auth", user="app", password=secret)
    with pytest.raises(BadCredentials) as caught:
        account.read()
    shown = [repr(config), str(config), repr(account.store), repr(account.seen), caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert not [text for text in shown if secret in text]
    run(account.store.close())
