"""Which etcd to use, and as whom: ETCD_ENDPOINTS, else VCAP_SERVICES, else instance/etcd.config.json, else embedded.

The first source that says anything decides alone on the endpoints; one that can't be used is an error, never a reason
to try the next. ETCD_USER, ETCD_CA_CERT and the like win over what a source brings. Connects to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.process.startup import StartupError
from service.settings import credentials, small_files
from service.settings.bound_services import BoundService, bound_services
from service.settings.credentials import Credentials, CredentialsError
from service.settings.model import Settings
from service.settings.small_files import Unreadable
from service.settings.values import json_object

INSTANCE = Path("instance")
"""What belongs to this directory's instance: its configuration, and the data of the embedded etcd."""

EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach etcd. `origin` is the source that said so; without endpoints yet, it is the embedded one.

    member: the id of the embedded one, if it is known; else 0.
    """

    origin: str
    endpoints: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_cert: bytes | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    member: int = 0

    @property
    def embedded(self) -> bool:
        """Whether the etcd is one that this directory's instances start themselves."""
        return self.origin == EMBEDDED

    def at(self, endpoint: str, member: int) -> Connection:
        """The same, once it is known where the embedded etcd listens, and its id."""
        return replace(self, endpoints=(endpoint,), member=member)


def resolve(settings: Settings, instance: Path = INSTANCE) -> Connection:
    """Return how etcd is reached. Raises StartupError when the source that decides can't be used."""
    if settings.etcd_endpoints:
        return _with_settings("ETCD_ENDPOINTS", Credentials(settings.etcd_endpoints), settings)
    if bound := _bound_etcd(settings.vcap_services or {}):
        place = f"service {bound.name} in VCAP_SERVICES"
        if bound.credentials is None:
            raise StartupError(f"{place} has no credentials. Expected {credentials.EXAMPLE}")
        return _with_settings(f"VCAP_SERVICES ({bound.name})", _read(bound.credentials, place), settings)
    file = instance / "etcd.config.json"
    if (found := _load(file)) is not None:
        return _with_settings(str(file), _read(found, str(file)), settings)
    _refuse_credentials_for_nobody(settings)
    return Connection(EMBEDDED)


def _with_settings(origin: str, found: Credentials, settings: Settings) -> Connection:
    user, password = found.user, found.password
    if settings.etcd_user and settings.etcd_password:
        user, password = settings.etcd_user, settings.etcd_password.get_secret_value()
    ca_cert = settings.etcd_ca_cert or found.ca_cert
    plain = any(endpoint.startswith("http://") for endpoint in found.endpoints)
    if plain and (ca_cert or settings.etcd_cert):
        raise StartupError(
            f"{origin} names an http:// endpoint, which is not encrypted, but ETCD_CA_CERT or ETCD_CERT is set. "
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


def _bound_etcd(services: Mapping[str, Any]) -> BoundService | None:
    """The one bound service that says it is an etcd."""
    bound = [service for service in bound_services(services) if service.says_etcd]
    if len(bound) > 1:
        names = ", ".join(service.name for service in bound)
        raise StartupError(
            f"VCAP_SERVICES holds {len(bound)} services that look like an etcd: {names}. Expected one. Unbind the "
            "others, or set ETCD_ENDPOINTS, for example ETCD_ENDPOINTS=https://etcd.example.com:2379"
        )
    return bound[0] if bound else None


def _load(file: Path) -> Mapping[str, Any] | None:
    """What the file holds; None if there is none. A link to nothing is there, and was meant."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(str(file), f"it can't be looked for: {error.strerror}") from None
    try:
        return json_object(small_files.read(file))
    except (Unreadable, ValueError) as error:
        raise _unusable(str(file), str(error)) from None


def _read(given: Mapping[str, Any], place: str) -> Credentials:
    try:
        return credentials.read(given)
    except CredentialsError as error:
        raise _unusable(place, str(error)) from None


def _unusable(place: str, reason: str) -> StartupError:
    return StartupError(f"{place} can't be used: {reason}. Expected, for example:\n{credentials.EXAMPLE}")


def _refuse_credentials_for_nobody(settings: Settings) -> None:
    """A password is meant for a cluster: an empty embedded etcd in its place would be a silent surprise."""
    given = {"ETCD_USER": settings.etcd_user, "ETCD_CA_CERT": settings.etcd_ca_cert, "ETCD_CERT": settings.etcd_cert}
    names = [name for name, value in given.items() if value]
    if names:
        raise StartupError(
            f"{names[0]} is set, but nothing says which etcd it is for. Expected ETCD_ENDPOINTS as well, for example "
            f"ETCD_ENDPOINTS=https://etcd.example.com:2379; or unset {names[0]} to use the embedded etcd"
        )
