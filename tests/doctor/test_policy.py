"""The fleet's policy, as the doctor sees it."""

from __future__ import annotations

import json

from service.doctor import Level
from tests.doctor.conftest import Examine
from tests.support.etcd import EtcdServer

PREFIX = "/doctor's-policy"


def test_a_policy_is_counted_and_one_that_is_none_is_told_with_what_to_do(etcd: EtcdServer, examined: Examine) -> None:
    def finding() -> tuple[Level, str, str]:
        found = examined(ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=PREFIX).one("policy")
        return found.level, found.found, found.remedy

    assert finding() == (Level.OK, "the fleet has none", "")
    said = {"guarded": ["a/"], "schemas": [{"prefix": "b", "schema": True}], "reason_required": ["c", "d"]}
    etcd.etcdctl("put", f"{PREFIX}/policy", json.dumps(said))
    level, found, _ = finding()
    assert level == Level.OK
    assert found.endswith(": 1 guarded prefixes, 1 schemas, 2 that want a reason")
    lease = etcd.etcdctl("lease", "grant", "600").split()[1]
    etcd.etcdctl("put", f"{PREFIX}/members/03", "{}", f"--lease={lease}")
    level, found, remedy = finding()
    assert (level, "slot 03 do not know" in found, "Upgrade" in remedy) == (Level.WARNING, True, True)
    etcd.etcdctl("lease", "revoke", lease)
    etcd.etcdctl("put", f"{PREFIX}/policy", '{"schemas": 5}')
    level, found, remedy = finding()
    assert level == Level.WRONG
    assert found.endswith("is none: /schemas: a list")
    assert "configctl policy set policy.json" in remedy
    etcd.etcdctl("del", f"{PREFIX}/policy")
