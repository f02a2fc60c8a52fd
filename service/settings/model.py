"""The settings: every environment variable the service reads, with its unit, its bounds and an example.

Owns the names and the validation at start. Opens no connection and keeps no state; which etcd the settings
amount to is decided in `service.settings.connection`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from consistency.core.model import SLOTS
from consistency.core.options import CacheOptions
from service.auth import token_lists
from service.process.startup import StartupError
from service.settings import names as setting_names
from service.settings import values as setting_values
from service.settings import words as setting_words
from service.settings.fields import (
    CertificateName,
    HostNames,
    JsonObject,
    KeyPrefix,
    LogLevel,
    Pem,
    PemAgain,
    Reachable,
    SecretPem,
    Tokens,
    Workers,
    flag,
    number,
    text,
)
from service.settings.words import SettingDoc

AUTO = 0
"""WORKERS=auto, until the processors have been counted."""

MOST_WORKERS = setting_values.MOST_WORKERS

MAX_VALUE_BYTES_LIMIT = 1_500_000
"""etcd takes requests of 1.5 MiB; what is missing here is for the key, the prefix and the version record."""

SECRETS = frozenset({"API_TOKENS", "ETCD_PASSWORD", "ETCD_KEY", "TLS_KEY", "VCAP_SERVICES"})
"""Variables whose value never appears in a message, and is taken out of the environment once it has been read."""

EVERYBODY = "or unset it to let everybody in who reaches the service"


class SettingsError(StartupError):
    """The environment can't be used. The message names each variable, what was found, what was expected, an example."""


_PEM = "the path of a PEM file, or PEM text"
_BY_CF = "Set by Cloud Foundry:"


class Settings(BaseModel):
    """One instance's settings, frozen. `load` reads an environment; `Settings()` is every default, whatever is set."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = text(
        "0.0.0.0",
        "Address to listen on",
        "an IP address or a host name",
        "127.0.0.1",
        pattern=r"^[^\s/]+$",
    )
    port: int = number(8080, "", "TCP port to listen on", 1, 65535)
    workers: Workers = Field(
        default=1,
        description="Instances on PORT, each with a slot, a cache and a port of its own (WORKER_PORT), and one process "
        "that supervises them; 1: one process alone. auto: as many as keep the processors busy, four for five of them, "
        "as far as there is memory",
        json_schema_extra={
            "expected": f"a whole number from 1 to {MOST_WORKERS}, or auto",
            "example": "4",
            "number": True,
        },
    )
    worker_port: int | None = text(
        None,
        "With WORKERS: the first worker's own port, at which the others and Prometheus reach it; each further worker "
        "has the next port. Without it: PORT + 1",
        "a whole number from 1 to 65535",
        "8081",
        ge=1,
        le=65535,
    )
    advertise_address: Reachable = text(
        None,
        "Where other instances, and Prometheus, reach this one. Without it: CF_INSTANCE_INTERNAL_IP, POD_IP, HOST if "
        "it is one address, else the address by which etcd or other machines are reached",
        "a host name or an IP address, with a port if it is not PORT (with WORKERS: the first worker's, if it is not "
        "WORKER_PORT), and https:// before it where a proxy speaks it for an instance that does not",
        "10.0.0.7",
    )
    allowed_hosts: HostNames = Field(
        default=(),
        description="Names under which clients reach the service; a request whose Host is another is refused (DNS "
        "rebinding). localhost and loopback addresses always count. Without it: every name or, while HOST is a "
        "loopback address, no other",
        json_schema_extra={
            "expected": "host names without ports, separated by commas; * for all",
            "example": "config.example.com,config.internal",
        },
    )
    drain_wait: float = number(
        0.0, "seconds", "Time between readiness off and the end of listening, for a load balancer to notice", 0, 5
    )
    log_level: LogLevel = text("INFO", "Least severity that is logged", "DEBUG, INFO, WARNING or ERROR", "INFO")
    memory_limit: int | None = text(
        None,
        "Most memory that the instance may use in all; the bounds of connections, bodies and large answers follow from "
        "it. Without it: the memory of the container, else of the machine",
        "a number of bytes from 67108864 on",
        "268435456",
        ge=64 * 1024**2,
    )
    max_value_bytes: int = number(1024 * 1024, "bytes", "Largest document accepted", 1, MAX_VALUE_BYTES_LIMIT)
    user_key_prefix: KeyPrefix = text(
        "/config-service",
        "The place of all data in etcd; instances with the same prefix are one fleet",
        "1 to 256 bytes without spaces, not among another fleet's documents or members (a slash at its end is dropped)",
        "/config-service",
    )

    api_tokens: Tokens = Field(
        default=(),
        description="Who may read and write. Everybody who reaches the service may do everything if there is neither "
        "this, nor API_TOKENS_FILE, nor a bound service whose credentials hold api_tokens",
        json_schema_extra={
            "expected": "a JSON list of tokens with name, sha256 or token, scopes (read, write, observe, admin), and "
            "prefix for those that are for some keys only",
            "example": token_lists.EXAMPLE,
            "without": EVERYBODY,
        },
    )
    api_tokens_file: Path | None = text(
        None,
        "A file with the same content as API_TOKENS; it is read again when it changes, and on SIGHUP",
        "the path of a file",
        "/etc/config-service/tokens.json",
        without=EVERYBODY,
    )

    tls_cert: PemAgain = text(
        None,
        "The certificate, with those between it and its authority, that is shown to clients: with it the instance "
        "speaks HTTPS alone. Files are read again when they change, and on SIGHUP",
        _PEM,
        "/etc/config-service/tls/tls.crt",
    )
    tls_key: PemAgain = text(None, "Key of TLS_CERT, without a password", _PEM, "/etc/config-service/tls/tls.key")
    tls_client_ca: PemAgain = text(
        None,
        "Certificates of the authorities of clients: who shows none that they vouch for is not let in to ask anything. "
        "It gives nobody a right: tokens do, and names with TLS_CLIENT_NAMES",
        _PEM,
        "/etc/config-service/clients/ca.crt",
    )
    tls_client_names: bool = flag(
        False,
        "Whether the name in a client's certificate gives it the rights of the token whose `certificate` is this name. "
        "TLS then ends in the service's own loop, which costs requests some time. Linux only",
    )
    tls_ca: PemAgain = text(
        None,
        "Certificates that vouch for those of the other instances. Without it, those that this machine trusts",
        _PEM,
        "/etc/config-service/tls/ca.crt",
    )
    tls_peer_name: CertificateName = text(
        None,
        "The name that the certificates of all instances are for, where it is not the address that each tells the "
        "others",
        "a host name",
        "config-service.internal",
    )

    etcd_user: str | None = text(None, "User known to etcd", "a user name", "config")
    etcd_password: SecretStr | None = text(None, "Password of ETCD_USER", "a password", "...")
    etcd_ca_cert: Pem = text(None, "Certificates that vouch for etcd's own", _PEM, "/etc/etcd/ca.pem")
    etcd_cert: Pem = text(None, "Client certificate", _PEM, "/etc/etcd/client.pem")
    etcd_key: SecretPem = text(None, "Key of the client certificate", _PEM, "/etc/etcd/client-key.pem")
    # Behind the certificates: they decide what a bare host:port means.
    etcd_endpoints: tuple[str, ...] = Field(
        default=(),
        description="The etcd cluster. A bare host:port is https when ETCD_CA_CERT or ETCD_CERT is set, else http. "
        "Without it: VCAP_SERVICES, then instance/etcd.config.json, then an embedded etcd",
        json_schema_extra={
            "expected": "http(s)://host:port or host:port, separated by commas",
            "example": "http://10.0.0.1:2379,http://10.0.0.2:2379",
        },
    )
    etcd_timeout: float = number(3.0, "seconds", "Longest time for one read or write in all", 0.1, 60)

    cache_staleness_bound: float = number(
        1.0, "seconds", "B: a cached answer was current at most this long before its request", 0.05, 60
    )
    cache_max_entries: int = number(100_000, "keys", "Most keys kept in memory", 1, 10_000_000)
    cache_max_bytes: int = number(
        64 * 1024**2,
        "bytes",
        "Most memory for keys and values; less by default where MEMORY_LIMIT is below 300 MB",
        1024,
        64 * 1024**3,
    )
    cache_audit_interval: float = number(
        5.0, "seconds", "Time between looks for writes that bypassed the service", 0.1, 3600
    )
    cache_max_age: float = number(300.0, "seconds", "Age at which an entry is loaded whole again", 1, 86_400)
    history_max_bytes: int = number(
        8 * 1024**2, "bytes", "Memory for the latest changes, for clients of /changes", 1024, 1024**3
    )
    max_waiters: int = number(
        10_000,
        "clients",
        "Most clients that wait for changes here; never more than five in six of all possible connections",
        1,
        1_000_000,
    )
    max_waiters_per_token: int = number(
        2_000, "clients", "Most clients with one API token that wait for changes here", 1, 1_000_000
    )
    stream_lifetime: float = number(
        840.0,
        "seconds",
        "Longest time for a stream of /changes, except that a snapshot is told to its end. A stream ends in the last "
        "quarter of this time, and its client comes back. Set less than a router allows for one request, such as Cloud "
        "Foundry's 15 minutes",
        1,
        86_400,
    )
    expected_instances: int = number(
        0,
        "instances",
        "How many should run; the page, /readyz and an alert tell when fewer do. 0: not set",
        0,
        1000,
        example="4",
    )
    lease_ttl: int = number(10, "seconds", "Time until the slot of a crashed instance is free", 2, 3600)

    cf_instance_index: int | None = text(None, f"{_BY_CF} the slot to try first", "a number from 0 on", "0", ge=0)
    cf_instance_guid: str | None = text(None, f"{_BY_CF} identity of this instance", "a text", "0f2a-…")
    cf_instance_internal_ip: str | None = text(
        None, f"{_BY_CF} address within the fleet", "an IP address", "10.255.0.7"
    )
    pod_ip: str | None = text(
        None, "For Kubernetes' downward API: the address of the pod (status.podIP)", "an IP address", "10.1.2.3"
    )
    vcap_application: JsonObject = text(None, f"{_BY_CF} the application", "a JSON object", "{}", repr=False)
    vcap_services: JsonObject = text(None, f"{_BY_CF} the bound services", "a JSON object", "{}", repr=False)

    @field_validator("etcd_endpoints", mode="before")
    @classmethod
    def _endpoints(cls, given: object, info: ValidationInfo) -> object:
        if not isinstance(given, str):
            return given
        secure = info.data.get("etcd_ca_cert") or info.data.get("etcd_cert")
        return setting_values.endpoints(given, bare_scheme="https" if secure else "http")

    @model_validator(mode="after")
    def _https(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            there, missing = ("TLS_CERT", "TLS_KEY") if self.tls_cert else ("TLS_KEY", "TLS_CERT")
            raise ValueError(
                f"{there} is set, and {missing} is not; expected both, for HTTPS, or neither, for example "
                "TLS_CERT=/etc/config-service/tls/tls.crt and TLS_KEY=/etc/config-service/tls/tls.key"
            )
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError(
                "TLS_CLIENT_CA is set, and TLS_CERT is not, so that no client would be asked for a certificate; "
                "expected TLS_CERT and TLS_KEY as well, for example TLS_CERT=/etc/config-service/tls/tls.crt and "
                "TLS_KEY=/etc/config-service/tls/tls.key"
            )
        if self.tls_client_names and not self.tls_client_ca:
            raise ValueError(
                "TLS_CLIENT_NAMES is true, and TLS_CLIENT_CA is not set, so that nobody vouches for a name; expected "
                "the authorities of clients as well, for example TLS_CLIENT_CA=/etc/config-service/clients/ca.crt"
            )
        if self.tls_client_names and sys.platform != "linux":
            raise ValueError(
                "TLS_CLIENT_NAMES is true, and this is not Linux, where each client can have a loopback address of its "
                "own; expected TLS_CLIENT_NAMES=false"
            )
        if self.tls_cert and (self.advertise_address or "").startswith("http://"):
            raise ValueError(
                "ADVERTISE_ADDRESS begins with http://, and TLS_CERT is set, so that the instance speaks HTTPS alone; "
                "expected https:// or no scheme, for example ADVERTISE_ADDRESS=10.0.0.7"
            )
        return self

    @model_validator(mode="after")
    def _settings_that_belong_together(self) -> Self:
        if (self.etcd_user is None) != (self.etcd_password is None):
            raise ValueError("ETCD_USER and ETCD_PASSWORD belong together: set both, or neither")
        if (self.etcd_cert is None) != (self.etcd_key is None):
            raise ValueError("ETCD_CERT and ETCD_KEY belong together: set both, or neither")
        plain = any(endpoint.startswith("http://") for endpoint in self.etcd_endpoints)
        if plain and (self.etcd_ca_cert or self.etcd_cert):
            raise ValueError(
                "ETCD_ENDPOINTS has an http:// endpoint, which is not encrypted, but certificates are set; "
                "expected https:// endpoints, or neither ETCD_CA_CERT nor ETCD_CERT"
            )
        return self

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """Reads the settings from `environ`. Raises SettingsError, with all that is wrong."""
        docs = cls.describe()
        near = setting_names.near_misses(environ.keys(), [doc.name for doc in docs])
        unusable = setting_words.refuse_unusable(environ, docs)
        wrong = [*itertools.starmap(setting_words.misspelt, near.items()), *unusable.values()]
        usable = (doc.name for doc in docs if doc.name in environ and doc.name not in unusable)
        try:
            settings = cls.model_validate({name.lower(): environ[name] for name in usable})
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            if unusable:  # what belongs together may be there
                found = [each for each in found if each["loc"]]
            wrong += setting_words.explain(found, docs, environ)
        if wrong:  # outside of the handler: the error in it holds what was found, secrets included
            raise SettingsError("\n  ".join(["the settings can't be used:", *wrong]))
        return settings

    @staticmethod
    def forget_secrets(environ: MutableMapping[str, str]) -> None:
        """Takes them out of `environ`: the server hands a copy of it to each request, and children inherit it."""
        for name in SECRETS:
            environ.pop(name, None)

    @classmethod
    def describe(cls) -> tuple[SettingDoc, ...]:
        """Every setting with its unit, bounds and an example: what --help and the documentation print."""
        return setting_words.document(cls.model_fields, SECRETS)

    @classmethod
    def warnings(cls, environ: Mapping[str, str]) -> tuple[str, ...]:
        """A sentence for each variable that is named like a setting and is none, and that `load` does not refuse."""
        return setting_names.unknown(environ.keys(), [doc.name for doc in cls.describe()])

    def without_secrets(self) -> Settings:
        """The same, for the time after those who need the secrets have taken them. Tokens are hashes, and stay."""
        return self.model_copy(update={"etcd_password": None, "etcd_key": None, "tls_key": None, "vcap_services": None})

    @property
    def speaks_https(self) -> bool:
        """Whether it does itself; a proxy may do so for one that does not."""
        return self.tls_cert is not None

    def cache_options(self) -> CacheOptions:
        """What the protocol needs of these."""
        index = self.cf_instance_index
        return CacheOptions(
            staleness_bound=self.cache_staleness_bound,
            timeout=self.etcd_timeout,
            lease_ttl=self.lease_ttl,
            max_entries=self.cache_max_entries,
            max_bytes=self.cache_max_bytes,
            max_age=self.cache_max_age,
            audit_interval=self.cache_audit_interval,
            history_bytes=self.history_max_bytes,
            preferred_slot=index if index is not None and index < SLOTS else None,
        )
