"""Which etcd to use, and as whom: ETCD_ENDPOINTS, else VCAP_SERVICES, else instance/etcd.config.json, else embedded.

The first source that says anything decides alone on the endpoints; one that can't be used is an error, never a reason
to try the next. ETCD_USER, ETCD_CA_CERT and the like win over what a source brings. Connects to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service import credentials
from service.credentials import Credentials, CredentialsError
from service.json_text import NotJson, distinct
from service.settings import Settings
from service.startup import StartupError

INSTANCE = Path("instance")
"""What belongs to this directory's instance: its configuration, and the data of the embedded etcd."""

EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach etcd. `origin` is the source that said so; without endpoints yet, it is the embedded one."""

    origin: str
    endpoints: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_cert: bytes | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)

    @property
    def embedded(self) -> bool:
        """Whether the etcd is one that this directory's instances start themselves."""
        return self.origin == EMBEDDED

    def at(self, endpoint: str) -> Connection:
        """The same, once it is known where the embedded etcd listens."""
        return replace(self, endpoints=(endpoint,))


def resolve(settings: Settings, instance: Path = INSTANCE) -> Connection:
    """Decides. Raises StartupError when the source that decides can't be used."""
    if settings.etcd_endpoints:
        return _with_settings("ETCD_ENDPOINTS", Credentials(settings.etcd_endpoints), settings)
    if bound := _bound_service(settings.vcap_services or {}):
        name, given = bound
        return _with_settings(f"VCAP_SERVICES ({name})", _read(given, f"service {name} in VCAP_SERVICES"), settings)
    file = instance / "etcd.config.json"
    if file.exists():
        return _with_settings(str(file), _read(_load(file), str(file)), settings)
    _refuse_credentials_for_nobody(settings)
    return Connection(EMBEDDED)


def _with_settings(origin: str, found: Credentials, settings: Settings) -> Connection:
    user, password = found.user, found.password
    if settings.etcd_user and settings.etcd_password:
        user, password = settings.etcd_user, settings.etcd_password.get_secret_value()
    ca_cert = settings.etcd_ca_cert or found.ca_cert
    plain = [endpoint for endpoint in found.endpoints if endpoint.startswith("http://")]
    if plain and (ca_cert or settings.etcd_cert):
        raise StartupError(
            f"{origin} names {plain[0]}, which is not encrypted, but ETCD_CA_CERT or ETCD_CERT is set. "
            "Expected https endpoints, for example ETCD_ENDPOINTS=https://etcd.example.com:2379, or no certificates"
        )
    return Connection(
        origin=origin,
        endpoints=found.endpoints,
        user=user,
        password=password,
        ca_cert=ca_cert,
        cert=settings.etcd_cert,
        key=settings.etcd_key.get_secret_value() if settings.etcd_key else None,
    )


def _bound_service(services: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Name and credentials of the one bound service that says it is an etcd."""
    bound = [
        (str(service.get("name", label)), service.get("credentials"))
        for label, group in services.items()
        for service in (group if isinstance(group, list) else ())
        if isinstance(service, dict) and _says_etcd(label, service)
    ]
    if len(bound) > 1:
        names = ", ".join(name for name, _ in bound)
        raise StartupError(
            f"VCAP_SERVICES holds {len(bound)} services that look like an etcd: {names}. Expected one. Unbind the "
            "others, or set ETCD_ENDPOINTS, for example ETCD_ENDPOINTS=https://etcd.example.com:2379"
        )
    if not bound:
        return None
    name, given = bound[0]
    if not isinstance(given, dict):
        raise StartupError(f"service {name} in VCAP_SERVICES has no credentials. Expected {credentials.EXAMPLE}")
    return name, given


def _says_etcd(label: str, service: Mapping[str, Any]) -> bool:
    tags = service.get("tags")
    words = [label, service.get("name"), service.get("label"), *(tags if isinstance(tags, list) else ())]
    return any("etcd" in word.lower() for word in words if isinstance(word, str))


def _load(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_bytes(), object_pairs_hook=distinct)
    except OSError as error:
        raise _unusable(str(file), f"it can't be read: {error.strerror}") from error
    except RecursionError:
        raise _unusable(str(file), "it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _unusable(str(file), f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise _unusable(str(file), "it is not UTF-8") from None
    except NotJson as error:
        raise _unusable(str(file), str(error)) from None
    if not isinstance(found, dict):
        raise _unusable(str(file), f"it is a JSON {type(found).__name__}, not an object")
    return found


def _read(given: Mapping[str, Any], place: str) -> Credentials:
    try:
        return credentials.read(given)
    except CredentialsError as error:
        raise _unusable(place, str(error)) from None


def _unusable(place: str, reason: str) -> StartupError:
    return StartupError(f"{place} can't be used: {reason}. Expected, for example:\n{credentials.EXAMPLE}")


def _refuse_credentials_for_nobody(settings: Settings) -> None:
    """Whoever sets a password has a cluster in mind: an empty embedded etcd instead would be a silent surprise."""
    given = {"ETCD_USER": settings.etcd_user, "ETCD_CA_CERT": settings.etcd_ca_cert, "ETCD_CERT": settings.etcd_cert}
    names = [name for name, value in given.items() if value]
    if names:
        raise StartupError(
            f"{names[0]} is set, but nothing says which etcd it is for. Expected ETCD_ENDPOINTS as well, for example "
            f"ETCD_ENDPOINTS=https://etcd.example.com:2379; or unset {names[0]} to use the embedded etcd"
        )
