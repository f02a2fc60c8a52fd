"""How the instances tell their clients of changes: how many wait, how late they are told, and who was refused.

Each member is asked for its metrics, at the address that stands in etcd, without a token: the doctor has none. So this
says nothing of instances that want one, and finds no fault where it can't look. The counts are from each one's start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from consistency.core.model import Member
from consistency.core.store import StoreError
from consistency.loop import run
from consistency.tasks import Errands
from service.auth.access import METRICS
from service.doctor.report import Finding, ok, warning
from service.doctor.rights import Etcd
from service.fleet.members import describe
from service.fleet.names import Names
from service.fleet.peers import ANSWER_WITHIN, Heard, Peers
from service.process.startup import StartupError
from service.settings.model import Settings
from service.tls.material import authorities_of
from service.tls.trust import Trust

LATE = 1.0
"""Seconds from which on a change is told late, as in the alert ConfigChangesToldLate; a bound of the histogram."""

FEW = 0.01
"""Part of the changes that may be told late."""

_WAIT = re.compile(rb"^config_change_waiters\{[^}]*\} (\S+)$", re.MULTILINE)
_REFUSED = re.compile(rb'^config_http_requests_total\{(?=[^}]*route="/changes")[^}]*status="429"[^}]*\} (\S+)$', re.M)
_TOLD = re.compile(rb"^config_change_lag_seconds_count (\S+)$", re.MULTILINE)
_IN_TIME = re.compile(rb'^config_change_lag_seconds_bucket\{le="1.0"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Telling:
    """How late one instance told its clients of changes. told: times a client was told of changes; late: of these, more
    than LATE after they came."""

    address: str
    waiting: int
    refused: int
    told: int
    late: int


def telling(etcd: Etcd, settings: Settings) -> list[Finding]:
    """Nothing where there is no instance. Takes as long as an instance of the fleet waits for another."""
    try:
        members = run(etcd.store.survey(None, timeout=etcd.timeout)).members
        trust = Trust(authorities_of(settings) if settings.tls_ca else None, settings.tls_peer_name)
        heard = run(_ask(members, trust))
    except (StoreError, StartupError):
        return []  # the findings on the fleet and on https say why
    return judged(heard)


async def _ask(members: Sequence[Member], trust: Trust) -> list[Heard]:
    errands = Errands(lambda _: None)
    try:
        return await Peers(Names(errands), trust=trust).ask(members, METRICS, None)
    finally:
        await errands.stop(ANSWER_WITHIN)


def judged(heard: Sequence[Heard]) -> list[Finding]:
    """What their answers say."""
    those = [read(each) for each in heard if each.status == 200]
    found = [*_refusing(those), *_late(those)]
    if heard and not found:
        found.append(ok("telling", f"{_summary(those)}{_silent(heard)}"))
    return found


def read(heard: Heard) -> Telling:
    """What one instance's metrics say; what is missing counts as 0, since it may be of another release."""
    told, body = _sum(_TOLD, heard.body), heard.body
    late = told - _sum(_IN_TIME, body) if _IN_TIME.search(body) else 0
    return Telling(_address(heard), _sum(_WAIT, body), _sum(_REFUSED, body), told, late)


def _refusing(those: Sequence[Telling]) -> list[Finding]:
    if not (refusing := [each for each in those if each.refused]):
        return []
    found = ", ".join(f"{each.address} refused {each.refused:,} (now {each.waiting:,} wait)" for each in refusing)
    return [
        warning(
            "telling",
            f"clients that want to be told of changes were answered 429: {found}",
            "Compare how many wait with MAX_WAITERS and MAX_WAITERS_PER_TOKEN of these instances"
            " (docs/operations.md#configwaitersrefused). The count is from the instance's start.",
        )
    ]


def _late(those: Sequence[Telling]) -> list[Finding]:
    if not (late := [each for each in those if each.late > FEW * each.told]):
        return []
    found = ", ".join(f"{each.address} {each.late:,} of {each.told:,}" for each in late)
    return [
        warning(
            "telling",
            f"clients were told of changes more than {LATE:g} s after they were known there: {found}",
            "Its loop was held, or etcd is slow (docs/operations.md#configchangestoldlate)."
            " The count is from the instance's start.",
        )
    ]


def _summary(those: Sequence[Telling]) -> str:
    if not those:
        return "no instance could be asked how it tells its clients of changes"
    waiting, told, late = (sum(each) for each in zip(*((t.waiting, t.told, t.late) for t in those), strict=True))
    instances = f"{len(those)} instance{'s' if len(those) > 1 else ''}"
    return (
        f"{waiting:,} clients wait for changes at {instances}, none was refused; told {told:,} times,"
        f" {late:,} of them later than {LATE:g} s"
    )


def _silent(heard: Sequence[Heard]) -> str:
    """Why some say nothing."""
    silent = [each for each in heard if each.status != 200]
    if not silent:
        return ""
    if all(each.status == 401 for each in silent):
        return f". {len(silent)} want a token, which the doctor has not: see their metrics (docs/metrics.md)"
    return ". " + ", ".join(f"{_address(each)}: {each.why_not or each.status}" for each in silent)


def _address(heard: Heard) -> str:
    return str(describe(heard.member).get("address") or f"slot {heard.member.slot}")


def _sum(pattern: re.Pattern[bytes], metrics: bytes) -> int:
    try:
        return int(sum(map(float, pattern.findall(metrics))))
    except (ValueError, OverflowError):
        return 0
