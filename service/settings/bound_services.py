"""The services that a platform has bound to this application: `VCAP_SERVICES`, taken apart for all who look into it.

Reads a value, no environment. Refuses what has another shape, since what can't be understood may have been meant to
let somebody in or to keep somebody out. No message shows anything of it but a service's name, if that is a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.process.startup import StartupError
from service.settings.descriptions import describe

EXPECTED = 'Expected, as Cloud Foundry writes it, {"user-provided": [{"name": "config-etcd", "credentials": {…}}]}'

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,49}", re.ASCII)


@dataclass(frozen=True, slots=True)
class BoundService:
    """One bound service. `name` is what messages call it; `credentials` is None if there are none."""

    name: str
    says_etcd: bool
    members: Mapping[str, Any] = field(repr=False)
    credentials: Mapping[str, Any] | None = field(repr=False)


def bound_services(found: Mapping[str, Any] | None) -> list[BoundService]:
    """All of them. Raises StartupError."""
    return [
        _service(label, service, f"number {number} of the label {place}")
        for place, (label, group) in enumerate((found or {}).items(), 1)
        for number, service in enumerate(_group(group, place), 1)
    ]


def _group(found: object, place: int) -> list[Any]:
    if isinstance(found, list):
        return found
    raise StartupError(f"VCAP_SERVICES has {describe(found)} for its label {place}, not a list. {EXPECTED}")


def _service(label: str, found: object, which: str) -> BoundService:
    if not isinstance(found, dict):
        raise StartupError(f"service {which} in VCAP_SERVICES is {describe(found)}, not an object. {EXPECTED}")
    credentials = found.get("credentials")
    if credentials is not None and not isinstance(credentials, dict):
        raise StartupError(f"service {which} in VCAP_SERVICES has {describe(credentials)} for credentials. {EXPECTED}")
    name = found.get("name")
    shown = name if isinstance(name, str) and _NAME.fullmatch(name) else which
    return BoundService(shown, _says_etcd(label, found), found, credentials)


def _says_etcd(label: str, service: Mapping[str, Any]) -> bool:
    tags = service.get("tags")
    words = [label, service.get("name"), service.get("label"), *(tags if isinstance(tags, list) else ())]
    return any("etcd" in word.lower() for word in words if isinstance(word, str))
