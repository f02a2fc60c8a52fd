"""The policy, and what it refuses, from the library and `configctl`, against a real instance over a real etcd."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config_client import Connection, Fault, PolicyViolation, PreconditionFailed, ReasonRequired, Service
from config_client.core.requests import PutOperation
from config_client.ctl import exits
from tests.client.real_service import Command
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess

LIMITS = {"type": "object", "properties": {"limit": {"type": "integer", "maximum": 100}}, "required": ["limit"]}
POLICY = json.dumps({"schemas": [{"prefix": "team/", "schema": LIMITS}], "reason_required": ["prod/"]}, indent=2)


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": "of-policy"}
    with InstanceProcess(tmp_path_factory.mktemp("instance"), **settings) as started:
        started.wait_for_slot()
        yield started


@pytest.fixture
def service(instance: InstanceProcess) -> Iterator[Service]:
    """Each test begins with the policy, and with no document."""
    with Service(Connection(instance.url)) as service:
        there = service.policy()
        service.put_policy(POLICY.encode(), if_match=there.mod_revision if there else 0)
        yield service
        for key, _ in list(service.keys("")):
            service.delete(key, reason="the end of a test")


@pytest.fixture
def ctl(instance: InstanceProcess, tmp_path: Path, service: Service) -> Command:
    del service  # for its policy
    return Command(instance.url, tmp_path)


def test_what_the_policy_refuses_is_an_error_with_every_place(service: Service) -> None:
    with pytest.raises(PolicyViolation, match="422") as refused:
        service.put("team/a", b'{"limit": 1000}')
    assert refused.value.faults == (Fault("/limit", "maximum: 100", "team/a", "team/"),)
    with pytest.raises(PolicyViolation) as refused:
        service.batch([PutOperation("a", b"1"), PutOperation("team/a", b"{}"), PutOperation("team/b", b"1")])
    assert [fault.key for fault in refused.value.faults] == ["team/a", "team/b"]
    assert list(service.keys("")) == []


def test_a_reason_that_is_missing_is_an_error_of_its_own(service: Service) -> None:
    with pytest.raises(ReasonRequired, match="prod/a"):
        service.put("prod/a", b"1")
    service.put("prod/a", b"1", reason="since")


def test_a_policy_is_read_tried_and_replaced(service: Service) -> None:
    there = service.policy()
    assert there is not None
    assert there.value == POLICY.encode()
    service.put("other", b"1")
    tried = list(service.try_policy(b'{"schemas": [{"prefix": "", "schema": {"type": "string"}}]}'))
    assert [(each["key"], each["errors"][0]["pointer"]) for each in tried] == [("other", "")]
    with pytest.raises(PolicyViolation) as refused:
        service.put_policy(b'{"guarded": 5}', if_match=there.mod_revision)
    assert refused.value.faults == (Fault("/guarded", "a list"),)
    with pytest.raises(PreconditionFailed):
        service.put_policy(b"{}", if_match=there.mod_revision - 1)
    assert service.put_policy(b"{}", if_match=there.mod_revision).existed == (True,)


def test_a_command_tells_every_place_and_has_an_exit_code_of_its_own(ctl: Command) -> None:
    refused = ctl.run("set", "team/a", '{"limit": 1000}')
    assert refused.returncode == exits.AGAINST_POLICY
    assert "  team/a /limit: expected maximum: 100" in refused.stderr.splitlines()
    assert ctl.run("set", "prod/a", "1").returncode == exits.AGAINST_POLICY
    ctl.ok("set", "prod/a", "1", "--reason", "since")


def test_apply_tells_of_all_documents_that_the_policy_refuses(ctl: Command, tmp_path: Path) -> None:
    folder = tmp_path / "wanted"
    folder.mkdir()
    for name, text in (("a", '{"limit": 1}'), ("b", '{"limit": "1"}'), ("c", "{}")):
        (folder / f"{name}.json").write_text(text)
    refused = ctl.run("apply", str(folder), "--prefix", "team/", "--yes")
    assert refused.returncode == exits.AGAINST_POLICY
    assert [line.split()[0] for line in refused.stderr.splitlines() if line.startswith("  team/")] == [
        "team/b",
        "team/c",
    ]
    assert ctl.ok("ls", "team/").splitlines()[1:] == []


def test_edit_tells_what_the_policy_refuses(ctl: Command) -> None:
    """And opens it again where somebody can be asked."""
    ctl.ok("set", "team/a", '{"limit": 10}')
    refused = ctl.run("edit", "team/a", "--yes", env={"EDITOR": "sed -i s/10/1000/"})
    assert refused.returncode == exits.AGAINST_POLICY
    assert "team/a /limit: expected maximum: 100" in refused.stderr
    assert ctl.ok("get", "team/a") == '{"limit": 10}'


def kept_in(stderr: str) -> str:
    """What is in the file that the command names."""
    file = Path(stderr.rpartition("your text is kept in ")[2].split("\n")[0])
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    file.unlink()
    return text


def test_what_was_edited_and_not_written_is_kept(ctl: Command) -> None:
    """Whatever the reason: refused by the schema, without a reason for the change, no JSON, no service any more."""
    ctl.ok("set", "team/a", '{"limit": 10}')
    refused = ctl.run("edit", "team/a", "--yes", env={"EDITOR": "sed -i s/10/1000/"})
    assert kept_in(refused.stderr) == '{"limit": 1000}\n'
    ctl.ok("set", "prod/a", "1", "--reason", "new")
    unreasoned = ctl.run("edit", "prod/a", "--yes", env={"EDITOR": "sed -i s/1/2/"})
    assert unreasoned.returncode == exits.AGAINST_POLICY
    assert kept_in(unreasoned.stderr) == "2\n"
    torn = ctl.run("edit", "prod/a", "--yes", env={"EDITOR": "sed -i s/1/{/"})
    assert kept_in(torn.stderr) == "{\n"
    policy = ctl.run("policy", "edit", "--yes", env={"EDITOR": "sed -i s/schemas/schemes/"})
    assert kept_in(policy.stderr) == POLICY.replace("schemas", "schemes") + "\n"
    unchanged = ctl.run("edit", "prod/a", "--yes", env={"EDITOR": "false"})
    assert unchanged.returncode != 0
    assert "is kept in" not in unchanged.stderr


def test_a_reason_is_asked_for_on_a_terminal(ctl: Command) -> None:
    """And the change is made with it."""
    ours, theirs = os.openpty()
    os.write(ours, b"twice the load\n")
    done = ctl.run_on(theirs, "set", "prod/b", "1", "--yes")
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    (change,) = json.loads(ctl.ok("--json", "history", "prod/b"))
    assert change["why"] == "twice the load"


def test_a_policy_is_shown_checked_set_and_edited(ctl: Command, tmp_path: Path) -> None:
    assert ctl.ok("policy", "get").rstrip() == POLICY
    ctl.ok("set", "team/a", '{"limit": 50}')
    other = tmp_path / "policy.json"
    other.write_text(POLICY.replace("100", "40"))
    checked = ctl.run("--json", "policy", "check", str(other))
    assert checked.returncode == exits.DIFFERENT
    (found,) = json.loads(checked.stdout)
    assert (found["key"], found["pointer"], found["expected"]) == ("team/a", "/limit", "maximum: 40")
    assert ctl.ok("policy", "get").rstrip() == POLICY
    done = ctl.run("policy", "set", str(other), "--yes")
    assert done.returncode == 0, done.stderr
    assert "it will refuse what is stored: team/a /limit: expected maximum: 40" in done.stderr
    assert ctl.ok("policy", "get").rstrip() == POLICY.replace("100", "40")
    assert "it is that already" in ctl.run("policy", "set", str(other)).stderr
    done = ctl.run("policy", "edit", "--yes", env={"EDITOR": "sed -i s/40/60/"})
    assert done.returncode == 0, done.stderr
    assert ctl.ok("policy", "get").rstrip() == POLICY.replace("100", "60")
    wrong = ctl.run("policy", "edit", "--yes", env={"EDITOR": "sed -i s/schemas/schemes/"})
    assert wrong.returncode == exits.AGAINST_POLICY
    assert "  policy /schemes: expected no such member" in wrong.stderr
    other.write_text('{"guarded": 5}')
    assert ctl.run("policy", "check", str(other)).returncode == exits.AGAINST_POLICY
