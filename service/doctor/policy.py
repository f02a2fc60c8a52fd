"""The fleet's policy: whether it can be read. If not, another tool has put it there, and no document is written."""

from __future__ import annotations

from consistency.core.model import Policy
from consistency.core.store import StoreError
from consistency.loop import run
from service.doctor.report import Finding, ok, warning, wrong
from service.doctor.rights import Etcd
from service.json_text import NotJson
from service.policy.reading import Invalid, rules_in
from service.turns import in_turns

REMEDY = (
    "No document is written until another one is put. Look at it and replace it:\n"
    "configctl policy get > policy.json\n"
    "configctl policy set policy.json"
)


OLD = "Upgrade them, or guard nothing until then: they serve guarded keys from memory, up to the bound old."


def policy(etcd: Etcd) -> Finding:
    """Whether there is one, and what it asks for. The schemas in it are not looked at."""
    try:
        found = run(etcd.store.policy(timeout=etcd.timeout)).policy
    except StoreError as error:
        return wrong("policy", f"it can't be read: {error}", "See the findings above.")
    if found.text is None:
        return ok("policy", "the fleet has none")
    try:
        asked = run(in_turns(rules_in(found.text)))
    except (Invalid, NotJson) as error:
        return wrong("policy", f"that of revision {found.mod_revision} is none: {error}", REMEDY)
    if old := _who_does_not_hold(etcd, found):
        return warning("policy", f"of revision {found.mod_revision}: keys are guarded, and {old} do not know that", OLD)
    counted = f"{len(found.guarded)} guarded prefixes, {len(asked.schemas)} schemas"
    return ok("policy", f"of revision {found.mod_revision}: {counted}, {len(asked.reason_required)} that want a reason")


def _who_does_not_hold(etcd: Etcd, found: Policy) -> str:
    """The slots of instances of an earlier release, if keys are guarded; "" if there are none (rule 17)."""
    if not found.guarded:
        return ""
    try:
        members = run(etcd.store.survey(None, timeout=etcd.timeout)).members
    except StoreError:
        return ""  # the findings on the fleet say so
    return ", ".join(f"slot {member.slot:02d}" for member in members if not member.holds)
