"""What the service would show its clients, if it speaks HTTPS. Asks nobody."""

from __future__ import annotations

import datetime
import time

from service.doctor.report import Finding, ok, warning, wrong
from service.fleet.addresses import host_of
from service.fleet.advertised import advertised
from service.process.startup import StartupError
from service.settings.model import Settings
from service.tls.material import sources_of
from service.tls.shown import Material

SOON = 14
"""Days before the end of a certificate from which on it is told."""


def https(settings: Settings) -> list[Finding]:
    """Examine TLS_CERT, TLS_KEY, TLS_CLIENT_CA and TLS_CA; nothing where plain HTTP is spoken."""
    if not settings.speaks_https:
        return []
    try:
        material = sources_of(settings).read()
    except StartupError as error:
        found, _, rest = str(error).partition(". Expected ")
        remedy = f"Give it {rest}.\nInstances that run show what they showed before until it is in order."
        return [wrong("https", found, remedy)]
    days = (material.expires - time.time()) / 86_400
    if days < SOON:
        until = datetime.datetime.fromtimestamp(material.expires, datetime.UTC)
        found = f"the certificate, or one between it and its authority, ends at {until:%Y-%m-%d %H:%M} UTC"
        return [warning("https", found, "Renew the certificate in TLS_CERT; instances read it by themselves.")]
    if name := _name_missing(settings, material):
        found = f"the certificate is for {material.describe()}, and other instances would ask for {name}"
        return [warning("https", found, f"Issue it for {name}, too, or set TLS_PEER_NAME to a name that it is for.")]
    return [ok("https", f"the certificate is for {material.describe()}")]


def _name_missing(settings: Settings, material: Material) -> str:
    """Under which others ask, and the certificate does not have; "" if it has. One with * is for all beside it."""
    name = settings.tls_peer_name or host_of(advertised(settings, settings.etcd_endpoints).address)
    name = name.strip("[]")
    wildcard = f"*.{name.partition('.')[2]}"
    return "" if {name, wildcard} & {each.lower() for each in material.names} else name
