"""What the doctor says of users, permissions, space, pace and the fleet; and that it leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.doctor import Level
from service.doctor.pace import _reads
from tests.doctor.conftest import PREFIX, Examine
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = pytest.mark.lasting

ROOT = "root:root-pw"
PASSWORD = "correct-horse"


@pytest.fixture(scope="module", params=["", "etcd_recent"], ids=["usual", "recent"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd where user "app" may do everything beneath the prefix. A recent one tells root alone how it is."""
    program = request.getfixturevalue(request.param) if request.param else None
    with EtcdServer(tmp_path_factory.mktemp("auth"), program=program) as server:
        server.enable_auth(root="root-pw", user="app", password=PASSWORD, prefix=f"{PREFIX}/")
        yield server


def as_app(server: EtcdServer, password: str = PASSWORD) -> dict[str, str]:
    return {"ETCD_ENDPOINTS": server.endpoint, "ETCD_USER": "app", "ETCD_PASSWORD": password}


def test_a_user_who_may_use_the_prefix_and_no_more_is_enough(guarded: EtcdServer, examined: Examine) -> None:
    """The least role: readwrite beneath P/."""
    found = examined(**as_app(guarded))
    assert found.not_ok() == {}
    assert found.one("auth").found == "etcd knows user 'app'"


def test_a_wrong_password_is_told_and_not_shown(guarded: EtcdServer, examined: Examine) -> None:
    found = examined(**as_app(guarded, "hunter2"))
    assert found.not_ok() == {"auth": Level.WRONG}
    assert "etcd refuses user 'app' with this password" in found.one("auth").found
    assert "user passwd app" in found.one("auth").remedy
    assert "hunter2" not in found.report.text() + found.report.json()


def test_no_user_where_one_is_wanted_is_told(guarded: EtcdServer, examined: Examine) -> None:
    found = examined(ETCD_ENDPOINTS=guarded.endpoint)
    assert found.not_ok() == {"auth": Level.WRONG}
    assert found.one("auth").found.startswith("etcd wants a user and a password, and none is given")


def test_a_user_where_none_is_wanted_is_a_warning(etcd: EtcdServer, examined: Examine) -> None:
    """It works; but somebody thinks that etcd is closed."""
    found = examined(**as_app(etcd))
    assert found.not_ok() == {"auth": Level.WARNING}
    assert "authentication is off" in found.one("auth").found


@pytest.mark.parametrize(
    ("permission", "denied"),
    [
        ("read", "may not write {0}/config/…, {0}/version, {0}/fleet, {0}/members/…"),
        ("write", "may not read {0}/config/…, {0}/version, {0}/fleet, {0}/members/…"),
        (
            "",
            "may not read {0}/config/…, {0}/version, {0}/fleet, {0}/members/…, {0}/policy, {0}/intents/…, "
            "{0}/past/…, nor write {0}/config/…",
        ),
    ],
)
def test_a_permission_that_is_missing_is_named_and_the_command_given_grants_it(
    guarded: EtcdServer, examined: Examine, permission: str, denied: str
) -> None:
    prefix = f"/other-{permission or 'nothing'}"
    if permission:
        guarded.etcdctl("role", "grant-permission", "--prefix", "tests", permission, f"{prefix}/", user=ROOT)
    settings = {**as_app(guarded), "USER_KEY_PREFIX": prefix}
    found = examined(**settings)
    assert found.not_ok() == {"permissions": Level.WRONG}
    assert denied.format(prefix) in found.one("permissions").found
    command = found.one("permissions").remedy.splitlines()[-1].split()
    assert command[:3] == ["etcdctl", f"--endpoints={guarded.endpoint}", "--user=root"]
    guarded.etcdctl(*command[3:], user=ROOT)
    assert examined(**settings).not_ok() == {}


def test_one_place_that_is_denied_is_named_alone(guarded: EtcdServer, examined: Examine) -> None:
    """A role that was made by hand, and forgets the members."""
    prefix = "/partly"
    for key in ("config/", "version", "fleet", "policy", "intents/", "past/"):
        flags = ["--prefix"] if key.endswith("/") else []
        guarded.etcdctl("role", "grant-permission", *flags, "tests", "readwrite", f"{prefix}/{key}", user=ROOT)
    found = examined(**as_app(guarded), USER_KEY_PREFIX=prefix)
    assert found.one("permissions").found == (
        f"user 'app' may not read {prefix}/members/…, nor write {prefix}/members/…"
    )


def test_an_etcd_out_of_space_is_told_with_the_way_out(tmp_path: Path, examined: Examine) -> None:
    """Followed to the letter, the way leads out."""
    with EtcdServer(tmp_path / "etcd", arguments=["--quota-backend-bytes=2000000"]) as server:
        with pytest.raises(AssertionError, match="database space exceeded"):
            fill(server)
        found = examined(ETCD_ENDPOINTS=server.endpoint)
        assert found.not_ok() == {"space": Level.WRONG, "permissions": Level.WARNING}
        assert found.one("space").found.startswith("alarm NOSPACE")
        compact, defrag, disarm = found.one("space").remedy.splitlines()[2:]
        assert compact.endswith("compact --physical $revision")
        server.etcdctl("compact", "--physical", str(int(server.counter("etcd_debugging_mvcc_current_revision"))))
        for command in (defrag, disarm):
            server.etcdctl(*command.split()[2:])
        assert examined(ETCD_ENDPOINTS=server.endpoint).not_ok() == {}


def fill(server: EtcdServer) -> None:
    """Writes until etcd refuses."""
    for _ in range(100):
        server.etcdctl("put", "filler", stdin="x" * 400_000)


def test_a_file_that_is_nearly_full_is_a_warning(tmp_path: Path, examined: Examine) -> None:
    with EtcdServer(tmp_path / "etcd", arguments=["--quota-backend-bytes=20000000"]) as server:
        while server.counter("etcd_mvcc_db_total_size_in_bytes") < 16_500_000:
            server.etcdctl("put", "filler", stdin="x" * 400_000)
        found = examined(ETCD_ENDPOINTS=server.endpoint)
    assert found.not_ok() == {"space": Level.WARNING}
    assert "of the quota of 20 MB" in found.one("space").found


def test_slow_reads_are_measured_against_the_bound() -> None:
    """A read of 30 ms is a third of a bound of 0.1 s, and nothing beside one of a minute."""
    slow = _reads(lambda: time.sleep(0.03), bound=0.1)
    assert slow.level is Level.WARNING
    assert "slow for CACHE_STALENESS_BOUND=0.1" in slow.found
    assert _reads(lambda: time.sleep(0.03), bound=60).level is Level.OK


def test_nothing_is_left_behind(etcd: EtcdServer, examined: Examine) -> None:
    granted, revoked = (f"etcd_debugging_lease_{what}_total" for what in ("granted", "revoked"))
    left_by_others = etcd.counter(granted) - etcd.counter(revoked)
    before = etcd.counter(granted)
    examined(ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX="/untouched")
    assert etcd.etcdctl("get", "--prefix", "/untouched") == ""
    assert etcd.counter(granted) > before
    assert etcd.counter(granted) - etcd.counter(revoked) == left_by_others


def test_a_running_fleet_is_counted_and_not_disturbed(tmp_path: Path, examined: Examine) -> None:
    """What the doctor writes is no write from outside (rule 13): the fleet keeps what it has in memory."""
    with (
        EtcdServer(tmp_path / "etcd") as etcd,
        InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, CACHE_AUDIT_INTERVAL="0.1") as instance,
    ):
        instance.wait_for_slot()
        instance.put("a", b"1")
        assert within(5, lambda: instance.get("a").headers["X-Cache"] == "HIT")
        before = audited(instance)
        found = examined(ETCD_ENDPOINTS=etcd.endpoint)
        assert found.not_ok() == {}
        assert found.one("fleet").found.startswith(f"1 of 64 slots are taken beneath {PREFIX}/, by version 0.")
        time.sleep(0.5)  # five audits
        assert audited(instance) == before
        assert instance.get("a").headers["X-Cache"] == "HIT"


def audited(instance: InstanceProcess) -> str:
    text = instance.request("GET", "/metrics").text
    return next(line for line in text.splitlines() if line.startswith("config_audit_documents_total"))
