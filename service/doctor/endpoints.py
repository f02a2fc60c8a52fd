"""Each endpoint by itself: does it answer, with which certificate, and which release is it?"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography import x509

from consistency.etcd.config import EtcdConfig
from consistency.etcd.errors import Failed
from consistency.etcd.probe import EtcdProbe, MemberStatus
from consistency.etcd.releases import ADVICE, ADVICE_WITH_USERS, weaknesses
from consistency.loop import run
from service.doctor.glimpse import Glimpse, glimpse
from service.doctor.report import Finding, ok, warning, wrong

ANSWER_WITHIN = 3.0
"""Seconds that one endpoint has; gRPC gives up an attempt to connect after two."""

SOON = datetime.timedelta(days=14)

# (what was found, as `consistency.etcd.errors` words it; what to do). Read from the top.
_REMEDIES = (
    ("behind it", "Start the etcd behind the proxy at {0}, or correct the proxy's --endpoints."),
    ("signed by none", "Give ETCD_CA_CERT the authority that signed the certificate of {0} (etcd's --cert-file)."),
    ("for another name", "Issue a certificate for {0} whose subjectAltName has the host of that URL."),
    ("has expired", "Renew the certificate of {0} (etcd's --cert-file)."),
    ("not valid yet", "Set the clocks of both machines, or wait until the certificate of {0} is valid."),
    ("as etcd does", "Correct the address {0}, or what stands between: no etcd answers there."),
    ("does not speak grpc", "Correct the address {0}: something else than etcd listens there."),
    (
        "client certificate",
        "Set ETCD_CERT and ETCD_KEY to a valid pair signed by the authority that etcd trusts for clients "
        "(its --trusted-ca-file).",
    ),
    ("expect https", "Write https instead of http for {0}, and set ETCD_CA_CERT."),
    ("expect http?", "Write http instead of https for {0}, or turn TLS on there (etcd's --cert-file and --key-file)."),
    ("connection refused", "Start the etcd at {0}, or correct ETCD_ENDPOINTS: nothing listens there."),
    ("host name not found", "Correct the host name in {0}, or the name service of this machine."),
    ("packets dropped", "Open the way to {0}: look at firewalls, routes and security groups, and at the address."),
    ("does it hang", "Look at the etcd at {0}: is its process stopped, or its machine overloaded?"),
)
_OTHER_REMEDY = "Look at the log of the etcd at {0}."


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one endpoint gave. `failure` is empty when there is a `status`.

    proxy: it is etcd's gRPC proxy, and the status that of a member behind it.
    """

    endpoint: str
    status: MemberStatus | None = None
    failure: str = ""
    seconds: float = 0.0
    seen: Glimpse = field(default_factory=Glimpse)
    proxy: bool = False


def look_at_all(config: EtcdConfig) -> list[Look]:
    """One after the other."""
    probe = EtcdProbe(config)
    try:
        return [_look_at(probe, index, endpoint.url, config) for index, endpoint in enumerate(config.servers())]
    finally:
        run(probe.close())


def _look_at(probe: EtcdProbe, index: int, endpoint: str, config: EtcdConfig) -> Look:
    started = time.monotonic()
    try:
        status = run(probe.status(index, ANSWER_WITHIN))
    except Failed as failed:
        # A certificate that is not trusted is worth a look.
        seen = glimpse(endpoint, config, ANSWER_WITHIN) if "certificate" in failed.diagnosis.finding else Glimpse()
        return Look(endpoint, failure=failed.diagnosis.finding, seen=seen)
    seconds, seen = time.monotonic() - started, glimpse(endpoint, config, ANSWER_WITHIN)
    if not status.version:  # it told our user less than it shows anybody
        status = replace(status, version=seen.version, db_bytes=seen.db_bytes, in_use_bytes=seen.in_use_bytes)
    return Look(endpoint, status, seconds=seconds, seen=seen, proxy=run(probe.is_proxy(index, ANSWER_WITHIN)))


def reachability(looks: Sequence[Look], *, users: bool) -> list[Finding]:
    """One that fails is a warning as long as another answers: the service goes to that one. `users`: as `versions`."""
    blame = warning if any(look.status for look in looks) else wrong
    return [_reached(look, look.status, users) if look.status else blame(
        "endpoint", f"{look.endpoint}: {look.failure}", remedy_for(look)
    ) for look in looks]  # fmt: skip


def _reached(look: Look, status: MemberStatus, users: bool) -> Finding:
    endpoint, etcd = look.endpoint, f"etcd {status.version}".strip()
    said = f"{endpoint}: {etcd} answers after {look.seconds * 1000:.0f} ms"
    if look.proxy:
        said += ", through etcd's gRPC proxy"
    if look.proxy and users:
        remedy = f"Name the members of etcd themselves instead of {endpoint} (docs/etcd-cluster.md)."
        return warning("endpoint", f"{said}, which renews leases in nobody's name and shares watches of users", remedy)
    if status.learner:
        remedy = f"Promote {endpoint} (etcdctl member promote {status.member:x}), or take it out of ETCD_ENDPOINTS."
        return warning("endpoint", f"{said}, but is a learner, which answers no linearizable read", remedy)
    return ok("endpoint", said)


def remedy_for(look: Look) -> str:
    """What to do about an endpoint that gives no answer."""
    found = (remedy for phrase, remedy in _REMEDIES if phrase in look.failure or phrase in look.failure.lower())
    return next(found, _OTHER_REMEDY).format(look.endpoint)


def versions(looks: Sequence[Look], *, users: bool) -> list[Finding]:
    """One line for each release that answers. `users`: whether somebody signs in there."""
    by_version: dict[str, list[str]] = {}
    for look in looks:
        if look.status:
            by_version.setdefault(look.status.version, []).append(look.endpoint)
    found = [_judged(version, " ".join(endpoints), users) for version, endpoints in by_version.items()]
    if len(by_version) > 1:
        several = f"members run different releases: {', '.join(sorted(by_version))}"
        found.append(warning("version", several, "Finish the upgrade of etcd: one release for all members."))
    return found


def _judged(version: str, endpoints: str, users: bool) -> Finding:
    advice = ADVICE_WITH_USERS if users else ADVICE
    if not version:
        remedy = f"Look as root (etcdctl --user=root endpoint status), and upgrade if need be; {advice}."
        return warning("version", f"etcd tells root alone which release it is ({endpoints})", remedy)
    if faults := weaknesses(version, users=users):
        remedy = f"Upgrade etcd, one member at a time; {advice}."
        return warning("version", f"etcd {version} ({endpoints}): {'; '.join(faults)}", remedy)
    return ok("version", f"etcd {version} has no fault known to matter here")


def certificates(looks: Sequence[Look], config: EtcdConfig) -> list[Finding]:
    """How long each certificate is valid: etcd's as shown, ours and the authorities' as set."""
    found = [
        _validity(f"certificate of {look.endpoint}", look.seen.certificate, "Renew etcd's --cert-file", look)
        for look in looks
        if look.seen.certificate
    ]
    for what, pem in (("client certificate (ETCD_CERT)", config.cert), ("authority (ETCD_CA_CERT)", config.ca_cert)):
        found += [_validity(what, certificate, f"Renew the {what}") for certificate in _parse(pem)]
    if not found and any(endpoint.tls for endpoint in config.servers()):
        return [warning("tls", "no certificate could be seen", "Mend the endpoints first.")]
    return found


def _parse(pem: bytes | None) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem) if pem else ()
    except ValueError:
        return ()  # gRPC has complained already


def _validity(what: str, certificate: x509.Certificate, remedy: str, look: Look | None = None) -> Finding:
    """`look`: the endpoint that showed it; what to do about one that failed has been said of it already."""
    end, now = certificate.not_valid_after_utc, datetime.datetime.now(datetime.UTC)
    failed = remedy_for(look) if look and look.failure else ""
    said = f"{what}: valid until {end:%Y-%m-%d %H:%M} UTC"
    if certificate.not_valid_before_utc > now:
        begins = f"{what}: not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return wrong("tls", begins, failed or "Set this machine's clock, or wait.")
    if end <= now:
        return wrong("tls", f"{what}: expired at {end:%Y-%m-%d %H:%M} UTC", failed or f"{remedy}.")
    if end - now < SOON:
        return warning("tls", f"{said}, in {(end - now).days} days", f"{remedy} before {end:%Y-%m-%d}.")
    return ok("tls", said)
