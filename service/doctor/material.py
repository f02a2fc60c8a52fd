"""What we show and trust ourselves: the authorities, our client certificate and its key, before anybody is asked.

Whatever is wrong here would make every endpoint look wrong, in words of TLS that lead elsewhere. Asks nobody.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from consistency.etcd.config import EtcdConfig
from service.doctor.report import Finding, wrong

_AUTHORITY = "Give ETCD_CA_CERT the certificate, in PEM, of the authority that signed etcd's (its --cert-file)."
_CLIENT = "Give ETCD_CERT the client certificate in PEM, and ETCD_KEY its key."


def faults(config: EtcdConfig) -> list[Finding]:
    """One finding at most for each of the three; none if they can be used."""
    found = []
    if config.ca_cert is not None and (said := _no_certificates(config.ca_cert)):
        found.append(wrong("tls", f"authority (ETCD_CA_CERT): {said}", _AUTHORITY))
    if config.cert is not None and config.key is not None:
        found += _of_client(config.cert, config.key)
    return found


def _of_client(cert: bytes, key: bytes) -> list[Finding]:
    if said := _no_certificates(cert):
        return [wrong("tls", f"client certificate (ETCD_CERT): {said}", _CLIENT)]
    try:
        private = load_pem_private_key(key, password=None)
    except TypeError:
        remedy = "Take the password off the key (openssl pkey -in KEY -out NEW), and give ETCD_KEY the new one."
        return [wrong("tls", "key (ETCD_KEY): it is encrypted with a password", remedy)]
    except (ValueError, UnsupportedAlgorithm):
        return [wrong("tls", "key (ETCD_KEY): it is no private key that can be read", _CLIENT)]
    return _of_pair(x509.load_pem_x509_certificates(cert)[0], private)


def _of_pair(certificate: x509.Certificate, private: PrivateKeyTypes) -> list[Finding]:
    if _public(certificate) != private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        return [wrong("tls", "key (ETCD_KEY): it does not belong to the client certificate (ETCD_CERT)", _CLIENT)]
    now = datetime.datetime.now(datetime.UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    what = "client certificate (ETCD_CERT)"
    if begin > now:
        return [
            wrong("tls", f"{what}: not valid before {begin:%Y-%m-%d %H:%M} UTC", "Set this machine's clock, or wait.")
        ]
    if end <= now:
        return [wrong("tls", f"{what}: expired at {end:%Y-%m-%d %H:%M} UTC", f"Renew the {what}.")]
    if not _for_clients(certificate):
        remedy = f"Issue the {what} with clientAuth in its extendedKeyUsage: etcd takes no other."
        return [wrong("tls", f"{what}: it is not for clients (no clientAuth in its extendedKeyUsage)", remedy)]
    return []


def _no_certificates(pem: bytes) -> str:
    """Why there is no certificate in it, in a few words; "" if there is."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        return "it holds a private key, and no certificate" if b"PRIVATE KEY-----" in pem else "it holds no certificate"
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return "what stands between BEGIN CERTIFICATE and END CERTIFICATE is no certificate"
    return ""


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _for_clients(certificate: x509.Certificate) -> bool:
    """Without the extension it is for everything."""
    try:
        usages: Sequence[x509.ObjectIdentifier] = list(
            certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        )
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
