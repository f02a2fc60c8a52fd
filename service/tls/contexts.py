"""Makes the TLS context of the relay, which stands before the server where names in certificates give rights.

It is one of Python's `ssl`, with the rules that the server keeps elsewhere.
"""

from __future__ import annotations

import ssl

from service.process.startup import StartupError
from service.tls.files import written
from service.tls.shown import Material

PROTOCOLS = ("h2", "http/1.1")
"""That clients are offered, as the server offers them by itself."""


def server_context(material: Material) -> ssl.SSLContext:
    """For connections of clients, each of which has to show a certificate. Raises OSError (ssl.SSLError is one).

    Sessions of TLS 1.3 are not resumed. Those of TLS 1.2 may be, since no published interface turns that off. A resumed
    session has the certificate that it began with, and each request checks whether that has ended. Other authorities
    come with another context, which knows no earlier session.
    """
    assert material.client_ca is not None, "TLS_CLIENT_NAMES needs it"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    # Any certificate in TLS_CLIENT_CA is trusted by itself, as the server trusts it, and not only one at the root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=material.client_ca.decode("ascii"))
    context.set_alpn_protocols(list(PROTOCOLS))
    with written(material.cert, material.key) as (cert, key):
        context.load_cert_chain(cert, key)
    return context


def check(material: Material) -> None:
    """Raises StartupError: what can't be shown, as far as OpenSSL says it."""
    try:
        server_context(material)
    except OSError as error:
        said = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror
        raise StartupError(
            f"TLS_CERT, TLS_KEY or TLS_CLIENT_CA can't be used: OpenSSL does not take them ({said}). Expected "
            "certificates of X.509 and a key of RSA, P-256, P-384 or Ed25519, for example "
            "TLS_CERT=/etc/config-service/tls/tls.crt and TLS_KEY=/etc/config-service/tls/tls.key"
        ) from None
