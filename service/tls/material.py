"""What an instance shows its clients: the certificate and its key, and whose certificates it asks them for.

All of it is checked before anybody is shown it: at the start, and again at each renewal. Opens the files that the
settings name, and no others. No message repeats what stands in them, but dates and names of certificates. Loads
`cryptography`, which takes 8 MB: imported only where HTTPS is set up.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from service.process.startup import StartupError
from service.settings.model import Settings
from service.settings.pem_sources import PemSource
from service.settings.small_files import State, Unreadable, state_of
from service.tls.shown import Material

LEAST_RSA = 2048
"""Bits. The server takes no shorter key."""

_CERT = "a certificate in PEM that is valid now and is for servers"
_KEY = "the private key of TLS_CERT in PEM, without a password: RSA of 2048 bits or more, P-256, P-384 or Ed25519"
_CLIENT_CA = "certificates in PEM, of which one is valid now"
_EXAMPLES = {
    "TLS_CERT": "/etc/config-service/tls/tls.crt",
    "TLS_KEY": "/etc/config-service/tls/tls.key",
    "TLS_CLIENT_CA": "/etc/config-service/clients/ca.crt",
    "TLS_CA": "/etc/config-service/tls/ca.crt",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it comes from."""

    cert: PemSource
    key: PemSource
    client_ca: PemSource | None = None
    ca: PemSource | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of them that can change."""
        given = (self.cert, self.key, self.client_ca, self.ca)
        return tuple(source.file for source in given if source and source.file)

    def states(self) -> tuple[State | None, ...]:
        """What these files are like at this moment."""
        return tuple(state_of(file) for file in self.files)

    def read(self) -> Material:
        """What they say now. Raises StartupError: which setting, what was found, what was expected, an example."""
        now = datetime.datetime.now(datetime.UTC)
        chain = _certificates("TLS_CERT", self.cert, _CERT)
        _check_server("TLS_CERT", self.cert, chain[0], now)
        private = _private_key(self.key)
        if _public(chain[0]) != _of(private):
            raise _refusal("TLS_KEY", self.key, "it is not the key of the certificate in TLS_CERT", _KEY)
        return Material(
            b"".join(each.public_bytes(Encoding.PEM) for each in chain),
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            _authorities("TLS_CLIENT_CA", self.client_ca, now),
            _authorities("TLS_CA", self.ca, now),
            min(each.not_valid_after_utc for each in chain).timestamp(),
            _names(chain[0]),
        )


def sources_of(settings: Settings) -> Sources:
    """Return the sources of an instance that speaks HTTPS."""
    assert settings.tls_cert is not None, "it speaks HTTPS"
    assert settings.tls_key is not None, "it goes with the certificate"
    return Sources(settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.tls_ca)


def authorities_of(settings: Settings) -> bytes | None:
    """TLS_CA, checked. Raises StartupError."""
    return _authorities("TLS_CA", settings.tls_ca, datetime.datetime.now(datetime.UTC))


def _content(setting: str, source: PemSource, expected: str) -> bytes:
    try:
        return source.read()
    except (Unreadable, ValueError) as error:
        raise _refusal(setting, source, str(error), expected) from None


def _certificates(setting: str, source: PemSource, expected: str) -> Sequence[x509.Certificate]:
    content = _content(setting, source, expected)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        what = "a private key, and no certificate" if b"PRIVATE KEY-----" in content else "no certificate"
        raise _refusal(setting, source, f"it holds {what}", expected)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        why = "what stands between BEGIN CERTIFICATE and END CERTIFICATE is no certificate"
        raise _refusal(setting, source, why, expected) from None


def _check_server(setting: str, source: PemSource, leaf: x509.Certificate, now: datetime.datetime) -> None:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if end <= now:
        raise _refusal(setting, source, f"it expired at {end:%Y-%m-%d %H:%M} UTC", _CERT)
    if begin > now:
        raise _refusal(setting, source, f"it is not valid before {begin:%Y-%m-%d %H:%M} UTC", _CERT)
    if not _for_servers(leaf):
        why = "it is not for servers (no serverAuth in its extendedKeyUsage)"
        raise _refusal(setting, source, why, _CERT)


def _private_key(source: PemSource) -> PrivateKeyTypes:
    content = _content("TLS_KEY", source, _KEY)
    try:
        private = load_pem_private_key(content, password=None)
    except TypeError:
        raise _refusal("TLS_KEY", source, "it is encrypted with a password", _KEY) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _refusal("TLS_KEY", source, "it is no private key that can be read", _KEY) from None
    if isinstance(private, RSAPrivateKey):
        if private.key_size < LEAST_RSA:
            raise _refusal("TLS_KEY", source, f"it has {private.key_size} bits", _KEY)
    elif isinstance(private, EllipticCurvePrivateKey):
        if not isinstance(private.curve, SECP256R1 | SECP384R1):
            raise _refusal("TLS_KEY", source, f"it is on the curve {private.curve.name}", _KEY)
    elif not isinstance(private, Ed25519PrivateKey):
        raise _refusal("TLS_KEY", source, "it is of another kind", _KEY)
    return private


def _authorities(setting: str, source: PemSource | None, now: datetime.datetime) -> bytes | None:
    if source is None:
        return None
    found = _certificates(setting, source, _CLIENT_CA)
    if all(each.not_valid_after_utc <= now for each in found):
        raise _refusal(setting, source, "all certificates in it have expired", _CLIENT_CA)
    return b"".join(each.public_bytes(Encoding.PEM) for each in found)


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _of(private: PrivateKeyTypes) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _for_servers(certificate: x509.Certificate) -> bool:
    """Without the extension it is for everything."""
    try:
        usages = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Those under which clients accept it: its subjectAltName. They have not looked at the common name for years."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def _refusal(setting: str, source: PemSource, found: str, expected: str) -> StartupError:
    return StartupError(
        f"{setting}{source.place} can't be used: {found}. Expected {expected}, for example "
        f"{setting}={_EXAMPLES[setting]}"
    )
