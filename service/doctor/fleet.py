"""Who is in the fleet, as etcd has it."""

from __future__ import annotations

from consistency.core.model import SLOTS
from consistency.core.store import StoreError
from consistency.loop import run
from service.doctor.report import Finding, ok, warning, wrong
from service.doctor.rights import Etcd
from service.fleet.foreign import as_text
from service.fleet.members import describe


def fleet(etcd: Etcd) -> list[Finding]:
    """Slots taken, and the releases of those who hold them."""
    try:
        members = run(etcd.store.survey(None, timeout=etcd.timeout)).members
    except StoreError as error:
        return [wrong("fleet", f"the members can't be read: {error}", "See the findings above.")]
    said = f"{len(members)} of {SLOTS} slots are taken beneath {etcd.config.prefix}/"
    versions = sorted({as_text(describe(member).get("version")) or "unknown" for member in members})
    found = [
        warning("fleet", f"{said}: further instances serve uncached", "Run fewer instances, or two fleets.")
        if len(members) >= SLOTS
        else ok("fleet", said + (f", by version {', '.join(versions)}" if members else ""))
    ]
    if len(versions) > 1:
        several = f"instances of different versions: {', '.join(versions)}"
        found.append(warning("fleet", several, "Finish the deployment; during one this is as it should be."))
    return found
